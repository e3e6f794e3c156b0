"""Colour palette (Okabe–Ito, safe for colour blindness): modalities, roles, ranks, loss mask."""

from __future__ import annotations

from collections.abc import Iterable

MODALITY_COLOURS = {
    "image": "#0072B2",
    "audio": "#E69F00",
    "text": "#009E73",
    "speech": "#D55E00",
    "control": "#999999",
}
MODALITY_ORDER = tuple(MODALITY_COLOURS)  # the order of the whole package
UNSUPERVISED = 0.35  # opacity of a token without loss; 1 with loss
DIVERGING = ("#0072B2", "#D55E00")  # signed values: below zero, above it
INK, FAINT, LINE = "#1b1f24", "#666c75", "#c9ced6"

_KNOWN_ROLES = {"guide": "#CC79A7", "visitor": "#56B4E9"}
_MORE_ROLES = ("#8C6D31", "#6B6ECF", "#17838F", "#B5BD61")
_NO_ROLE = "#B0B5BD"
# Paul Tol's muted scheme, also safe for colour-blind readers; disjoint from the modality colours
_RANKS = ("#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#CC6677")


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a `#rrggbb` colour, each in [0, 255].

    >>> rgb("#0072B2")
    (0, 114, 178)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def shade(kind: str, supervised: bool) -> tuple[float, float, float, float]:
    """Face colour of a token: red, green, blue and opacity in [0, 1]; unknown kinds as control.

    >>> shade("audio", supervised=False)[3]
    0.35
    """
    red, green, blue = rgb(MODALITY_COLOURS.get(kind, MODALITY_COLOURS["control"]))
    return red / 255, green / 255, blue / 255, 1.0 if supervised else UNSUPERVISED


def ink(kind: str, supervised: bool) -> str:
    """Text colour on a token of that shade over white: black or white, by contrast."""
    *parts, opacity = shade(kind, supervised)
    return ink_on([1 - opacity + opacity * part for part in parts])


def ink_on(colour: Iterable[float]) -> str:
    """Text colour by contrast (WCAG luminance): black or white on red, green and blue in [0, 1].

    >>> ink_on((1.0, 1.0, 0.9)), ink_on((0.0, 0.0, 0.5))
    ('#000000', '#ffffff')
    """
    red, green, blue = (((part + 0.055) / 1.055) ** 2.4 for part in colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if luminance < 0.179 else "#000000"  # 0.179: equal contrast to both


def role_colours(roles: list[str | None]) -> dict[str | None, str]:
    """Colour of every role: fixed for guide and visitor, by order of appearance for the others."""
    colours: dict[str | None, str] = {}
    for role in roles:
        if role not in colours:
            others = sum(1 for known in colours if known and known not in _KNOWN_ROLES)
            free = _MORE_ROLES[others % len(_MORE_ROLES)]
            colours[role] = _NO_ROLE if not role else _KNOWN_ROLES.get(role, free)
    return colours


def rank_colour(rank: int) -> str:
    """Colour of a rank; the eight colours repeat, so a figure also writes the rank's number.

    >>> rank_colour(0) == rank_colour(8) != rank_colour(1)
    True
    """
    return _RANKS[rank % len(_RANKS)]

"""Figure style and export: matplotlib figures without pyplot, shown by a notebook when returned."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.ticker import NullFormatter

from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, INK, LINE

DPI = 110
# fallback fonts after DejaVu, which has no Chinese, Japanese or Korean; used where installed
_MORE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
)
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a price in a subtitle is no formula
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


class Picture(Figure):
    """Matplotlib figure with alternative text that displays in a notebook under any backend.

    It is not registered with `pyplot`: it is freed like any other object, so that drawing many
    pictures does not leak memory.
    """

    alt: str = ""  # alternative text of one or two sentences, for screen readers

    @functools.cached_property
    def png(self) -> bytes:
        """PNG bytes of the figure, rendered on first access and cached."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png


def save(picture: Figure, path: Path) -> None:
    """Figure export in the format of the file name's extension: .png, .pdf, .svg …

    Raises
    ------
    UsageError
        matplotlib has no such format, or the file is not writable
    """
    formats = picture.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise UsageError(
            f"{path}: pictures are written as {', '.join(f'.{name}' for name in sorted(formats))}"
        )
    try:
        picture.savefig(path, dpi=DPI)
    except OSError as error:
        raise UsageError(f"{path}: not writable ({error.strerror or error})") from None


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator that draws under the project's style and restores matplotlib's settings after."""

    @functools.wraps(draw)
    def within(*args: Any, **kwargs: Any) -> Figure:
        with rc_context({**STYLE, "font.family": _fonts()}):
            return draw(*args, **kwargs)

    return within


def drawable(text: str) -> str:
    """Text with □ in place of every character that is missing from the figure fonts.

    >>> drawable("5 \N{MULTIPLICATION SIGN} \x1b[1m")
    '5 × □[1m'
    """
    letters = _letters()
    return "".join(c if c == "\n" or (c.isprintable() and ord(c) in letters) else "□" for c in text)


def shortened(text: str, most: int) -> str:
    """Text truncated to at most `most` characters, the last of them an ellipsis.

    >>> shortened("panorama", 5)
    'pano…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def in_few_letters(number: float, gap: str = "") -> str:
    """Number with a unit prefix: thousands (K), millions (M) or billions (G), after `gap`.

    >>> in_few_letters(5e7), in_few_letters(409_600.0), in_few_letters(100.0)
    ('50M', '410K', '100')
    >>> in_few_letters(2_500_000, " ")
    '2.5 M'
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.3g}{gap}{letter}"
    return f"{number:g}"


def how_many(count: int, noun: str) -> str:
    """Count and noun, in the singular or the plural.

    >>> how_many(1, "token"), how_many(2, "token")
    ('1 token', '2 tokens')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


@functools.cache
def _letters() -> frozenset[int]:
    return frozenset().union(*(get_font(findfont(name)).get_charmap() for name in _fonts()))


@functools.cache
def _fonts() -> list[str]:
    there = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _MORE_FONTS if name in there)]


def new_picture(
    width: float, height: float, alt: str, layout: str | None = "constrained"
) -> Picture:
    """Empty figure of a width and height in inches, with its alternative text."""
    picture = Picture(figsize=(width, height), layout=layout)
    picture.alt = alt
    return picture


def logarithmic(ax: Axes, both: bool = False) -> None:
    """Logarithmic loss axis with plain numbers on it, and the axis of steps too for `both`.

    Within one decade only minor ticks fall into an axis, so that these carry the numbers.
    """
    for axis, own in ((ax.yaxis, True), (ax.xaxis, both)):
        if not own:
            continue
        (ax.set_yscale if axis is ax.yaxis else ax.set_xscale)("log")
        low, high = axis.get_view_interval()
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())
    ax.grid(axis="y")


def notice(message: str, width: float = 7.0) -> Picture:
    """Small placeholder figure with a message in place of data that is missing."""
    picture = new_picture(width, 1.0, message)
    picture.text(0.5, 0.5, message, ha="center", va="center", color=FAINT, fontsize=10)
    return picture

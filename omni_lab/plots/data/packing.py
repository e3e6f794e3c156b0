"""Sequence packing: rows as bars of documents, padding, truncated documents, density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS, MODALITY_ORDER, role_colours
from omni_lab.plots.style import drawable, how_many, new_picture, styled

_WIDTH, _ROW = 12.0, 0.17  # inches
_LETTERS = 150  # that fit across the whole width
_ALTERNATING = ("#56B4E9", "#0072B2")  # of neighbouring documents in a row
_FREE = "#eceef1"

# (document, its first token, one past its last token) of every piece in a row
Row = Sequence[tuple[int, int, int]]


@styled
def draw_packing(
    packings: Mapping[str, Sequence[Row]],
    capacity: int,
    streams: Sequence[str] | None = None,
    most_rows: int = 24,
) -> Figure:
    """Packings of the same documents side by side: a bar per row, padding hatched, cuts black.

    The density above each packing is the fraction of its token positions that holds tokens, over
    all rows, drawn or not.

    Parameters
    ----------
    packings : name → rows, each of pieces as in `omni_lab.sequences.packing.concatenated`
    capacity : tokens in a row
    streams : name of the stream of each document, by its number; None alternates two colours
    most_rows : limit of the rows that are drawn

    Raises
    ------
    UsageError
        there is nothing to draw, a row exceeds its capacity, or a document has no stream

    >>> rows = [[(0, 0, 6), (1, 0, 4)], [(1, 4, 5)]]
    >>> draw_packing({"concatenated": rows}, capacity=10).alt
    'Rows of 10 tokens. concatenated: 2 rows, density 0.550, 1 document cut.'
    """
    _check_rows(packings, capacity, streams)
    summaries = {name: _in_words(rows, capacity) for name, rows in packings.items()}

    drawn = min(most_rows, max(len(rows) for rows in packings.values()))
    height = max(1.2, _ROW * (drawn + 1)) + 1.35
    alt = "; ".join(f"{name}: {message}" for name, message in summaries.items())
    picture = new_picture(_WIDTH, height, f"Rows of {how_many(capacity, 'token')}. {alt}.")
    axes = picture.subplots(1, len(packings), sharey=True, squeeze=False)[0]

    colours = role_colours(list(streams or ())) | MODALITY_COLOURS
    for ax, (name, rows) in zip(axes, packings.items(), strict=True):
        _draw_rows(ax, rows[:most_rows], capacity, streams, colours, _whole(rows))
        room = int(_LETTERS / len(packings))
        ax.set_title(
            "\n".join([*wrap(drawable(name), room), *wrap(summaries[name], room)]), fontsize=9
        )
        ax.set(xlim=(0, capacity), ylim=(drawn + 0.7, -0.1), xlabel="tokens")
        if len(rows) > most_rows:
            more = f"… and {how_many(len(rows) - most_rows, 'more row')}"
            ax.text(0, drawn + 0.35, more, color=FAINT, fontsize=8, va="center")
        ax.locator_params(axis="x", integer=True)
        ax.spines["left"].set_visible(False)
        ax.tick_params(left=False, labelleft=False)
    axes[0].set_ylabel("rows")

    modalities = [name for name in MODALITY_ORDER if name in (streams or ())]
    names = dict.fromkeys([*modalities, *(streams or ())])
    handles = [Patch(facecolor=colours[name], label=drawable(name)) for name in names]
    handles += [Patch(facecolor=_FREE, edgecolor=LINE, hatch="////", label="padding")]
    handles += [Patch(facecolor=INK, label="a document is cut here")]
    picture.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.3
    )
    return picture


def _check_rows(
    packings: Mapping[str, Sequence[Row]], capacity: int, streams: Sequence[str] | None
) -> None:
    """Refuse an empty figure, rows over capacity, and documents without a stream."""
    if not packings or not all(packings.values()):
        raise UsageError("no rows to draw; give at least one packing with at least one row")
    for name, rows in packings.items():
        if (fullest := max(_filled(row) for row in rows)) > capacity:
            raise UsageError(
                f"{name}: a row holds {fullest} tokens, more than its capacity of {capacity}"
            )
        last = max((document for row in rows for document, _, _ in row), default=-1)
        if streams and last >= len(streams):
            raise UsageError(
                f"{name}: document {last} has no stream, streams names {len(streams)}; "
                "name one for each document"
            )


def _filled(row: Row) -> int:
    """Tokens in a row."""
    return sum(end - first for _, first, end in row)


def _whole(rows: Sequence[Row]) -> dict[int, int]:
    """Length of every document in tokens: the largest end of its pieces."""
    lengths: dict[int, int] = {}
    for document, _, end in (piece for row in rows for piece in row):
        lengths[document] = max(end, lengths.get(document, 0))
    return lengths


def _in_words(rows: Sequence[Row], capacity: int) -> str:
    """Rows, density and truncated documents of a packing, as text."""
    density = sum(map(_filled, rows)) / (len(rows) * capacity)
    cut = len({document for row in rows for document, first, _ in row if first > 0})
    torn = how_many(cut, "document") if cut else "no documents"
    return f"{how_many(len(rows), 'row')}, density {density:.3f}, {torn} cut"


def _draw_rows(
    ax: Axes,
    rows: Sequence[Row],
    capacity: int,
    streams: Sequence[str] | None,
    colours: Mapping,
    whole: dict[int, int],
) -> None:
    """Bars of pieces per row, black lines at cuts, and hatched padding."""
    for number, row in enumerate(rows):
        x = 0
        for place, (document, first, end) in enumerate(row):
            colour = colours[streams[document]] if streams else _ALTERNATING[place % 2]
            # points; a seam narrower than its piece, so that small documents stay visible
            seam = min(0.6, 60 * (end - first) / capacity)
            piece = Rectangle(
                (x, number), end - first, 0.82, facecolor=colour, edgecolor="white", linewidth=seam
            )
            piece.set_gid(f"piece:{number}:{document}:{first}:{end}")
            ax.add_patch(piece)

            cuts = [x] * (first > 0) + [x + end - first] * (end < whole[document])
            for cut in cuts:
                edge = [cut, cut], [number, number + 0.82]
                line = ax.plot(*edge, color=INK, linewidth=3, solid_capstyle="butt", clip_on=False)
                line[0].set_gid(f"cut:{document}:{cut}")
            x += end - first

        if x < capacity:
            look = {"facecolor": _FREE, "edgecolor": LINE, "hatch": "////", "linewidth": 0}
            free = Rectangle((x, number), capacity - x, 0.82, **look)
            free.set_gid(f"free:{number}:{capacity - x}")
            ax.add_patch(free)

"""Map of the course: the way of the data, with the station where the reader is."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import new_picture, styled

HERE = "#0072B2"
WRITTEN = ("00", "01", "02", "03", "04", "05", "06", "07", "08", "11")  # notebooks that there are


class Station(NamedTuple):
    """Notebook, or group of notebooks, on the map."""

    numbers: tuple[str, ...]
    title: str
    about: str
    column: float
    row: int


STATIONS = (
    Station(("01",), "triplets", "a film on one clock", 0, 0),
    Station(("02",), "sequences", "clips as tokens", 1, 0),
    Station(("03",), "the model", "encoders, connectors, decoder", 2, 0),
    Station(("04", "05", "06", "11"), "stages", "losses; which tokens, which data", 3, 0),
    Station(("09", "10", "12", "13", "14"), "what it learned", "speech, answers, attention", 4, 0),
    Station(("07",), "long context", "from short rows to long", 3, 1),
    Station(("08",), "ring attention", "one row, many machines", 4, 1),
)  # fmt: skip


@styled
def draw_course(here: str) -> Figure:
    """Map of the course as boxes along the way of the data, the notebook at hand filled.

    Notebooks that are still planned have a dashed border.

    Parameters
    ----------
    here : number of the notebook, `00` to `14`; 00 walks the whole way
    """
    found = [station.title for station in STATIONS if here in station.numbers]
    where = f"here: {found[0]}" if found else "this notebook walks the whole way"
    picture = new_picture(8.6, 1.75, f"Map of the course, {where}.")
    ax = picture.subplots()
    ax.set(xlim=(-0.1, 5.02), ylim=(2.05, -0.12))
    ax.axis("off")

    for station in STATIONS:
        _box(ax, station, here in (*station.numbers, "") or (here == "00" and station.row == 0))
    for left in range(4):
        _arrow(ax, (left + 0.9, 0.45), (left + 1.0, 0.45))
    _arrow(ax, (3.45, 0.86), (3.45, 1.1))
    _arrow(ax, (3.9, 1.52), (4.0, 1.52))
    note = "00 walks the whole way once · dashed: planned"
    ax.text(0, 1.55, note, size=7.5, color=FAINT, va="center")
    return picture


def _box(ax, station: Station, here: bool) -> None:
    """One station: its numbers, its title, and what it is about."""
    x, y = station.column, station.row * 1.08
    planned = not set(station.numbers) & set(WRITTEN)
    box = FancyBboxPatch(
        (x + 0.03, y + 0.05), 0.84, 0.78, boxstyle="round,pad=0.02,rounding_size=0.06",
        facecolor=HERE if here else "white", edgecolor=HERE if here else LINE,
        linestyle="--" if planned else "-", linewidth=1.1,
    )  # fmt: skip
    ax.add_patch(box)
    ink, faint = ("white", "white") if here else (INK, FAINT)
    first, last = station.numbers[0], station.numbers[-1]
    number = first if first == last else f"{first}–{last}"
    ax.text(x + 0.45, y + 0.22, number, size=7.5, color=faint, ha="center", va="center")
    ax.text(x + 0.45, y + 0.44, station.title, size=9, color=ink, ha="center", va="center")
    about = station.about if len(station.about) <= 21 else _folded(station.about)
    ax.text(
        x + 0.45, y + 0.68, about, size=6.3, color=faint, ha="center", va="center", linespacing=1
    )


def _folded(text: str) -> str:
    """Text on two lines, broken at the space nearest to its middle."""
    spaces = [at for at, letter in enumerate(text) if letter == " "]
    at = min(spaces, key=lambda place: abs(place - len(text) / 2))
    return f"{text[:at]}\n{text[at + 1 :]}"


def _arrow(ax, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=FAINT, linewidth=0.9)
    )

"""Accuracy per fact over the amount of film that a model learned from, beside the generator's."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from omni_lab.plots.evaluation.facts import in_words
from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import new_picture, notice, styled

_FILMS = "films_"
_GENERATED = "#B8860B"  # no modality's colour
_COLUMNS = 5
_EDGE = 0.005  # of accuracy, added to either side of the band


@styled
def draw_films(record: dict[str, Any]) -> Figure:
    """Accuracy of every fact against the part of the films that was learned from.

    The line joins the means over seeds, each dot is one seed; the band spans the seeds of the
    generator's own lessons at the same number of steps.

    Parameters
    ----------
    record : of the experiment `from_films`: `metrics` (`films_<part>.<fact>`, `generated.<fact>`:
        `mean`, `min`, `max`, `seeds`)
    """
    metrics = record.get("metrics") or {}
    # a part is a decimal fraction, whose point is not the one before the fact's name
    split = [
        name.removeprefix(_FILMS).rpartition(".") for name in metrics if name.startswith(_FILMS)
    ]
    parts = sorted({float(part) for part, _, _ in split})
    facts = list(dict.fromkeys(fact for _, _, fact in split))
    if not parts:
        return notice("No films were learned from in this run.")

    described = "; ".join(
        f"{in_words(fact)} {metrics[f'{_FILMS}{parts[-1]:g}.{fact}']['mean']:.2f} from most films, "
        f"{metrics[f'generated.{fact}']['mean']:.2f} generated"
        for fact in facts
    )
    rows = -(-len(facts) // _COLUMNS)
    picture = new_picture(8.6, 1.75 * rows + 0.7, f"Accuracy from films: {described}.")
    axes = picture.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, fact in zip(axes, facts, strict=False):
        scores = [metrics[f"{_FILMS}{part:g}.{fact}"] for part in parts]
        _panel(ax, parts, scores, metrics[f"generated.{fact}"])
        ax.set_title(in_words(fact), fontsize=9)
    for ax in axes[len(facts) :]:
        ax.set_visible(False)

    handles = [
        Line2D([], [], color=INK, marker="o", markersize=4, label="from films alone"),
        Patch(color=_GENERATED, alpha=0.35, label="from the generator, as many steps"),
    ]
    legend = picture.legend(handles=handles, loc="outside lower center", ncols=2)
    seeds = len(record.get("seeds") or [])
    message = (
        f"accuracy on unseen scenes over the part of the films, {seeds} seed{'s' * (seeds != 1)}"
    )
    legend.set_title(message, {"size": 8})
    return picture


def _panel(
    ax: Axes, parts: list[float], scores: list[dict[str, Any]], generated: dict[str, Any]
) -> None:
    """One fact: accuracy over parts on a logarithmic axis."""
    # equal seeds would make a band of no height
    low, high = generated["min"] - _EDGE, generated["max"] + _EDGE
    ax.axhspan(low, high, color=_GENERATED, alpha=0.35, linewidth=0, zorder=1)
    ax.plot(parts, [score["mean"] for score in scores], color=INK, linewidth=1.3, zorder=3)
    for part, score in zip(parts, scores, strict=True):
        seeds = score["seeds"]
        ax.plot([part] * len(seeds), seeds, "o", color=INK, markersize=3.2, zorder=4, clip_on=False)
    ax.set_xscale("log", base=2)
    ax.set_xticks(parts, [_fraction(part) for part in parts])
    ax.minorticks_off()
    ax.set(ylim=(0, 1.03), yticks=(0, 0.5, 1))
    ax.set_yticklabels(("0", ".5", "1"))
    ax.spines["left"].set_color(LINE)
    ax.tick_params(colors=FAINT, labelcolor=INK)
    ax.grid(axis="y")
    ax.set_axisbelow(True)


def _fraction(part: float) -> str:
    """Part of a whole in words of a chart.

    >>> _fraction(0.125), _fraction(2.0)
    ('1/8', '2')
    """
    return f"{part:g}" if part >= 1 else f"1/{round(1 / part)}"

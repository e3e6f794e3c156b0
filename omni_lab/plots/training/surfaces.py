"""Instruction mixtures: scores by part, response surface, and what choosing by few runs costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, INK, LINE, rank_colour
from omni_lab.plots.style import how_many, new_picture, notice, styled

_KINDS = {"trunk": (FAINT, "--"), "branch": ("#0072B2", "-"), "merge": ("#D55E00", ":")}
_ARMS = {"optimum": "*", "importance": "s", "equal": "o"}  # and their marks
_SEARCHES = {
    "regret.random": ("#882255", "best of random runs"),
    "regret.regression": ("#117733", "regression on them"),
}
_WRONG = {
    "false.runner_up": ("#882255", "against the runner-up"),
    "false.equal": ("#117733", "against equal shares"),
}
Metrics = dict[str, Any]


@styled
def draw_mixtures(record: dict[str, Any]) -> Figure:
    """Scores after every part, the surface with its optimum, regret and false winners by runs.

    Above: accuracy on unseen samples of the trunk, of decay branches and of merges, over parts that
    double; of the branches by task; fitted score of random mixtures by two sums of their shares, with
    the optimum, the mixture by importance and equal shares. Below: these three in per cent, with
    their scores in other orders; how far below the optimum procedures end, and how often they crown
    a winner that is none, by the runs they make. Bands and bars are 95 % intervals over seeds.

    Parameters
    ----------
    record : of the experiment `mixture`: `metrics`, and in `details` `tasks`, `parts`, `rows`,
        `percentages` and `searched`
    """
    details, metrics = record.get("details") or {}, record.get("metrics") or {}
    if not details.get("rows") or "confirmed.optimum" not in metrics:
        return notice("No mixture of instructions has been run.")

    parts, last = details["parts"], details["parts"][-1]
    described = ", ".join(
        f"{kind} {metrics[f'{kind}.{last}.average']['mean']:.3f}" for kind in _KINDS
    )
    picture = new_picture(
        10.6, 6.4,
        f"Instruction mixtures, {how_many(len(record['seeds']), 'seed')}. Average accuracy after "
        f"part {last}: {described}. Optimum of the fitted surface "
        f"{metrics['confirmed.optimum']['mean']:.3f}, by importance "
        f"{metrics['confirmed.importance']['mean']:.3f}.",
    )  # fmt: skip
    (average, tasks, plane), (shares, regret, wrong) = picture.subplots(2, 3)
    for kind, (colour, dashes) in _KINDS.items():
        _curve(average, metrics, parts, f"{kind}.{{}}.average", colour, kind, dashes)
    average.axhline(metrics["before.average"]["mean"], color=LINE, label="before", zorder=0)
    for number, task in enumerate(details["tasks"]):
        _curve(tasks, metrics, parts, f"branch.{{}}.{task}", rank_colour(number), task)
    for ax, title in ((average, "average over tasks"), (tasks, "branches, by task")):
        _parts_axis(ax, parts, title)
    _plane(plane, details)
    _shares(shares, details, metrics)

    levels = {"importance": "one mixture by importance", "equal": "equal shares"}
    for arm, dashes in zip(levels, ("--", ":"), strict=True):
        level = metrics[f"regret.{arm}"]["mean"]
        regret.axhline(level, color=FAINT, linestyle=dashes, label=levels[arm])
    _by_runs(regret, details["searched"], metrics, _SEARCHES, "below the optimum")
    _by_runs(wrong, details["searched"], metrics, _WRONG, "fraction of false winners")
    wrong.set_ylim(0, 1)
    return picture


def _curve(
    ax: Axes, metrics: Metrics, places: Sequence[int], name: str, colour: str, label: str,
    dashes: str = "-",
) -> None:  # fmt: skip
    """Means of a metric with their intervals, by part or by runs."""
    found = [metrics[name.format(place)] for place in places]
    ax.plot(places, [m["mean"] for m in found], dashes, color=colour, marker="o", ms=3, label=label)
    low, high = ([m[edge] for m in found] for edge in ("low", "high"))
    ax.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)


def _parts_axis(ax: Axes, parts: Sequence[int], title: str) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(parts, [f"{part}×" for part in parts])
    ax.minorticks_off()
    ax.set(title=title, xlabel="samples, in first parts", ylabel="accuracy, unseen samples")
    ax.grid(axis="y")
    ax.legend(fontsize=7)


def _plane(ax: Axes, details: dict[str, Any]) -> None:
    """Fitted scores of all mixtures that were run, by two sums of their shares."""
    many, words = ("compare", "order"), ("speech", "text")

    def place(percent: Sequence[float]) -> tuple[float, float]:
        by = dict(zip(details["tasks"], percent, strict=True))
        return sum(by[task] for task in many), sum(by[task] for task in words)

    x, y = zip(*(place(row["percent"]) for row in details["rows"]), strict=True)
    dots = ax.scatter(x, y, c=[row["fit"] for row in details["rows"]], s=10, cmap="viridis")
    ax.figure.colorbar(dots, ax=ax, label="fitted score", shrink=0.85)
    for arm, mark in _ARMS.items():
        at = place(details["percentages"][arm])
        ax.plot(*at, mark, color="none", markeredgecolor="#D55E00", ms=9, mew=1.6, label=arm)
    ax.set(
        title=f"surface, R² {details['cross_validated']:.2f} left out",
        xlabel=f"{' + '.join(many)} (%)", ylabel=f"{' + '.join(words)} (%)",
    )  # fmt: skip
    ax.legend(fontsize=7)


def _shares(ax: Axes, details: dict[str, Any], metrics: Metrics) -> None:
    """Percentages of three mixtures, with their scores in other orders of the samples."""
    for row, arm in enumerate(_ARMS):
        start = 0.0
        for number, (task, percent) in enumerate(
            zip(details["tasks"], details["percentages"][arm], strict=True)
        ):
            ax.barh(
                row, percent, left=start, height=0.5, color=rank_colour(number),
                label=task if row == 0 else None,
            )  # fmt: skip
            start += percent
        score = metrics[f"confirmed.{arm}"]
        told = f"{arm}: {score['mean']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
        ax.text(0, row - 0.32, told, fontsize=7.5, color=INK, va="bottom")
    ax.set(title="mixtures, and their scores", xlabel="% of the samples", xlim=(0, 100), yticks=[])
    ax.set_ylim(len(_ARMS) - 0.4, -1.25)
    ax.legend(fontsize=7, ncols=3, loc="upper left")


def _by_runs(
    ax: Axes, runs: Sequence[int], metrics: Metrics, lines: dict[str, tuple[str, str]], title: str
) -> None:
    """What procedures reach, by the number of runs that they make."""
    for name, (colour, label) in lines.items():
        _curve(ax, metrics, runs, f"{name}.{{}}", colour, label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(runs, [str(count) for count in runs])
    ax.minorticks_off()
    ax.set(title=title, xlabel="runs", ylim=(0, None))
    ax.grid(axis="y")
    ax.legend(fontsize=7)

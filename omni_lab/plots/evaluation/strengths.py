"""Accuracy of answers against the strength with which one modality looks at another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, styled

# a light and a dark shade of the modality that carries a fact, and a marker for each
_LOOKS = {
    "image": (("#0072B2", "o"), ("#56B4E9", "s"), ("#003F63", "^")),
    "audio": (("#E69F00", "o"), ("#D55E00", "s"), ("#8C4A00", "^")),
}


@styled
def draw_strengths(
    scores: Mapping[str, Mapping[str, Sequence[float]]],
    levels: Sequence[float],
    carriers: Mapping[str, str],
    chance: Mapping[str, float],
) -> Figure:
    """Accuracy by fact against modality strength, a panel for each pair; dotted is chance.

    Facts that are seen are blue, facts that are heard orange.

    Parameters
    ----------
    scores : pair as written (`text>audio`) → fact → accuracy at every level
    levels : strengths, in the order in which they are drawn
    carriers : fact → the modality that carries it, `image` or `audio`
    chance : fact → accuracy of a guess

    Raises
    ------
    UsageError
        there is no pair, or a fact has not one accuracy for each level
    """
    if not scores:
        raise UsageError("no pair of modalities to draw; give at least one")
    for pair, facts in scores.items():
        for fact, found in facts.items():
            if len(found) != len(levels):
                wrong = f"{pair}, {fact}: {len(found)} accuracies for {len(levels)} levels"
                raise UsageError(f"{wrong}; give one for each")

    ends = "; ".join(
        f"{pair}: " + ", ".join(f"{fact} {found[0]:.2f} to {found[-1]:.2f}" for fact, found in facts.items())
        for pair, facts in scores.items()
    )  # fmt: skip
    about = f"strength {levels[0]:g} to {levels[-1]:g}"
    picture = new_picture(4.1 * len(scores) + 1.3, 3.4, f"Accuracy of answers, {about}. {ends}.")
    axes = picture.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for ax, (pair, facts) in zip(axes, scores.items(), strict=True):
        _panel(ax, facts, carriers, chance)
        ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        ax.set(title=pair, xlabel="strength", ylim=(-0.04, 1.04))
    axes[0].set_ylabel("accuracy (share of questions)")
    handles, labels = axes[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside right center")
    return picture


def _panel(
    ax: Axes, facts: Mapping[str, Sequence[float]], carriers: Mapping[str, str], chance: Mapping
) -> None:
    """One pair: a line per fact, those drawn later thinner, so that none covers another."""
    looks = {sense: iter(many) for sense, many in _LOOKS.items()}
    size = 9.0
    for fact, found in facts.items():
        colour, marker = next(looks[carriers[fact]], (MODALITY_COLOURS["control"], "D"))
        (line,) = ax.plot(
            range(len(found)), found, marker=marker, markersize=size, color=colour,
            linewidth=size / 3.5, label=f"{fact} ({'seen' if carriers[fact] == 'image' else 'heard'})",
            clip_on=False,
        )  # fmt: skip
        line.set_gid(f"strength:{fact}")
        ax.axhline(chance[fact], color=colour, linewidth=1, linestyle=(0, (1, 2)), zorder=0)
        size -= 2
    ax.plot([], [], color=FAINT, linewidth=1, linestyle=(0, (1, 2)), label="guessing")
    ax.grid(axis="y")
    ax.set_axisbelow(True)

"""Accuracy by fact with chance level, and controls: accuracy after one modality is swapped."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from omni_lab.evaluation.intervals import wilson
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, notice, styled

# key of the summary: label, and marker
EXAMS = {
    "facts": ("held-out scenes", "o"),
    "held_out_pairs": ("held-out pairs", "D"),
    "films": ("films", "s"),
}
# control: label, and the modality that it removes (None: the question, which every fact needs)
CONTROLS = {
    "swap_image": ("image swapped", "image"),
    "swap_audio": ("audio swapped", "audio"),
    "swap_question": ("question swapped", None),
}
NEAR = 0.10  # accuracy tolerance: a control is expected within it of chance, or of the original


def carriers(summary: dict[str, Any], fact: str) -> tuple[str, ...]:
    """Modalities that carry a fact, from its recorded scores; empty where none is recorded."""
    groups = [*(summary.get(exam) for exam in EXAMS), *(summary.get("controls") or {}).values()]
    return next(
        (tuple(s["carriers"]) for g in groups if (s := (g or {}).get(fact)) and s.get("carriers")),
        (),
    )


def facts_in(*scores: dict[str, Any] | None) -> list[str]:
    """Names of facts with a score, in the order of the scores."""
    return list(
        dict.fromkeys(fact for group in scores for fact, score in (group or {}).items() if score)
    )


def interval(score: dict[str, Any]) -> tuple[float, float] | None:
    """95 % confidence interval of a score: as recorded, else Wilson, else None."""
    if score.get("low") is not None and score.get("high") is not None:
        return score["low"], score["high"]
    return wilson(round(score["accuracy"] * score["n"]), score["n"]) if score.get("n") else None


def signed(difference: float) -> str:
    """Signed difference with two decimals.

    >>> signed(-0.021), signed(0.001)
    ('−0.02', '±0.00')
    """
    text = f"{abs(difference):.2f}"
    return ("±" if text == "0.00" else "+" if difference > 0 else "−") + text


def takes_away(summary: dict[str, Any], control: str, fact: str) -> bool:
    """Whether a control removes a modality (or the question) that the fact needs."""
    carrier = CONTROLS[control][1]
    return carrier is None or carrier in carriers(summary, fact)


@styled
def draw_facts(summary: dict[str, Any]) -> Figure:
    """Accuracy of every fact with 95 % interval and chance level, for each exam that was taken.

    A marker has the colour of the modality that carries the fact, two colours where two are needed.
    The grey tick is chance.

    Parameters
    ----------
    summary : `facts`, `held_out_pairs`, `films`: fact → `accuracy`, `chance`; optional: `n`,
        `low`, `high`. A missing exam is listed in the legend as not asked
    """
    facts = facts_in(*(summary.get(exam) for exam in EXAMS))
    if not facts:
        return notice("No questions were asked in this run.")
    taken = [exam for exam in EXAMS if summary.get(exam)]
    scores = summary.get("facts") or summary[taken[0]]
    described = ", ".join(
        f"{in_words(f)} {scores[f]['accuracy']:.2f}" for f in facts if scores.get(f)
    )
    picture = new_picture(
        7.6, 0.34 * len(facts) + 1.35, f"Accuracy by fact ({EXAMS[taken[0]][0]}): {described}."
    )

    ax = picture.subplots()
    for row, fact in enumerate(facts):
        _fact_row(ax, row, fact, summary)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(facts) - 0.5, -0.5), xlabel="accuracy")
    ax.set_yticks(range(len(facts)), [in_words(f) for f in facts])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_axisbelow(True)

    senses = [m for m in MODALITY_COLOURS if any(m in carriers(summary, f) for f in facts)]
    handles = _legend_entries(taken, senses)
    picture.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.3)
    return picture


def _fact_row(ax: Axes, row: int, fact: str, summary: dict[str, Any]) -> None:
    """One fact: its chance levels, and a marker with its interval for each exam."""
    here = [exam for exam in EXAMS if (summary.get(exam) or {}).get(fact)]
    chances = {
        summary[exam][fact]["chance"]
        for exam in here
        if summary[exam][fact].get("chance") is not None
    }
    for chance in chances:
        (line,) = ax.plot((chance, chance), (row - 0.36, row + 0.36), color=FAINT, linewidth=1.6)
        line.set_gid(f"chance:{fact}")

    # exams lie beside each other within the row, so that their intervals do not overlap
    for index, exam in enumerate(here):
        score, y = summary[exam][fact], row + 0.26 * (index - (len(here) - 1) / 2)
        if span := interval(score):
            ax.plot(span, (y, y), color=INK, linewidth=1.1, solid_capstyle="butt")
        _mark(ax, score["accuracy"], y, EXAMS[exam][1], carriers(summary, fact))

    if row % 2:
        ax.axhspan(row - 0.5, row + 0.5, color="#f6f7f9", zorder=0)


def _legend_entries(taken: list[str], senses: list[str]) -> list[Line2D]:
    """Legend of a figure of facts: exams by marker, chance, and modalities by colour."""
    handles = [
        Line2D([], [], linestyle="", marker=mark, color=INK, markerfacecolor="white",
               label=name if exam in taken else f"{name}: not asked")
        for exam, (name, mark) in EXAMS.items()
    ]  # fmt: skip
    tick = {"marker": "|", "markersize": 11, "markeredgewidth": 1.6, "color": FAINT}
    handles += [Line2D([], [], linestyle="", label="chance", **tick)]
    handles += [
        Line2D([], [], linestyle="", marker="o", color=MODALITY_COLOURS[m], label=f"carried by {m}")
        for m in senses
    ]
    return handles


@styled
def draw_controls(summary: dict[str, Any]) -> Figure:
    """Accuracy of every fact under every control, and below it the difference to chance.

    A frame marks where the control removes what the fact needs: there the accuracy should come
    within 10 points of chance, elsewhere within 10 points of the original. An exclamation mark
    flags a cell where it does not.

    Parameters
    ----------
    summary : `controls`: control → fact → `accuracy`, `chance`; `facts`: the original accuracy
    """
    controls = {c: s for c, s in (summary.get("controls") or {}).items() if c in CONTROLS and s}
    if not controls:
        return notice("No controls were made in this run.")
    before = summary.get("facts") or {}
    facts = facts_in(*controls.values())
    columns = ["original", *(CONTROLS[c][0] for c in controls)]

    broken = [
        f"{in_words(f)} ({CONTROLS[c][0]})"
        for c in controls
        for f in facts
        if unexpected(summary, c, f)
    ]
    picture = new_picture(
        1.25 * len(columns) + 1.8, 0.42 * len(facts) + 1.1,
        "Accuracy of each fact when a carrier is swapped. "
        f"Not as expected: {', '.join(broken) or 'none'}.",
    )  # fmt: skip

    ax = picture.subplots()
    shades = np.full((len(facts), len(columns)), np.nan)
    for row, fact in enumerate(facts):
        for column, scores in enumerate([before, *controls.values()]):
            control = list(controls)[column - 1] if column else None
            shades[row, column] = _control_cell(ax, row, column, scores, fact, control, summary)

    ax.imshow(shades, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(facts)), [in_words(f) for f in facts])
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    legend = (
        "large: accuracy · small: difference to chance · frame: the control removes the carrier"
    )
    flagged = f"!: more than {100 * NEAR:.0f} points from the expected accuracy"
    ax.set_xlabel(f"{legend}\n{flagged}", fontsize=7.5, color=FAINT)
    ax.hlines(np.arange(len(facts) - 1) + 0.5, -0.5, len(columns) - 0.5, color=LINE, linewidth=0.4)
    return picture


def _control_cell(
    ax: Axes,
    row: int,
    column: int,
    scores: dict[str, Any],
    fact: str,
    control: str | None,
    summary: dict[str, Any],
) -> float:
    """Numbers and frame of one cell; returns its shade: accuracy above chance, in [0, 1] or NaN."""
    score = scores.get(fact)
    if not score:
        ax.text(column, row, "–", ha="center", va="center", color=FAINT)
        return np.nan

    chance = score.get("chance") or 0.0
    above = max(0.0, (score["accuracy"] - chance) / (1 - chance))
    flag = " !" if control and unexpected(summary, control, fact) else ""
    look = {"ha": "center", "va": "center", "color": "white" if above > 0.6 else INK}
    ax.text(column, row - 0.13, f"{score['accuracy']:.2f}{flag}", **look)
    ax.text(column, row + 0.24, signed(score["accuracy"] - chance), **look, fontsize=6.5)

    if control and takes_away(summary, control, fact):
        corner = (column - 0.46, row - 0.44)
        frame = Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=INK, linewidth=1.6)
        frame.set_gid(f"carrier:{control}:{fact}")
        ax.add_patch(frame)
    return above


def unexpected(summary: dict[str, Any], control: str, fact: str) -> bool:
    """Whether a control missed its expected accuracy: near chance, or near the original."""
    score = (summary.get("controls", {}).get(control) or {}).get(fact)
    before = (summary.get("facts") or {}).get(fact)
    if not score:
        return False
    if takes_away(summary, control, fact):
        return score.get("chance") is not None and score["accuracy"] > score["chance"] + NEAR
    return bool(before) and score["accuracy"] < before["accuracy"] - NEAR


def _mark(ax: Axes, x: float, y: float, mark: str, senses: tuple[str, ...]) -> None:
    """Marker in the colour of its carrier, half and half where there are two."""
    colours = [MODALITY_COLOURS[sense] for sense in senses] or [FAINT]
    ax.plot(
        x, y, mark, markersize=7 if mark == "o" else 5.5,
        fillstyle="left" if len(colours) > 1 else "full", markerfacecolor=colours[0],
        markerfacecoloralt=colours[-1], markeredgecolor=INK, markeredgewidth=0.7, zorder=3,
        clip_on=False,
    )  # fmt: skip


def in_words(fact: str) -> str:
    """Display name of a fact."""
    return {
        "shape_to_colour": "heard shape → colour",
        "colour_to_shape": "heard colour → shape",
    }.get(fact, fact.replace("_", " "))

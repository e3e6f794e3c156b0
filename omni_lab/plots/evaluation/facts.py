"""What the model can answer: every fact with its chance level, and what is left when a carrier is swapped."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from omni_lab.evaluation.intervals import wilson
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, said_instead, styled

# key of the summary: how it is called, and its mark
EXAMS = {
    "facts": ("held-out scenes", "o"),
    "held_out_pairs": ("held-out pairs", "D"),
    "films": ("films", "s"),
}
# control: how it is called, and the carrier that it takes away (the question is needed by every fact)
CONTROLS = {
    "swap_image": ("image swapped", "image"),
    "swap_audio": ("audio swapped", "audio"),
    "swap_question": ("question swapped", None),
}
NEAR = 0.10  # of chance, or of the accuracy before: how close a control is expected to come


def carriers(summary: dict[str, Any], fact: str) -> tuple[str, ...]:
    """Modalities that carry a fact, as its scores say; none where they do not."""
    groups = [*(summary.get(exam) for exam in EXAMS), *(summary.get("controls") or {}).values()]
    return next(
        (tuple(s["carriers"]) for g in groups if (s := (g or {}).get(fact)) and s.get("carriers")),
        (),
    )


def facts_in(*scores: dict[str, Any] | None) -> list[str]:
    """Every fact that has a score, in the order in which scores name them."""
    return list(
        dict.fromkeys(fact for group in scores for fact, score in (group or {}).items() if score)
    )


def interval(score: dict[str, Any]) -> tuple[float, float] | None:
    """The 95 % interval of a score: as recorded, else Wilson's from accuracy and count, else none."""
    if score.get("low") is not None and score.get("high") is not None:
        return score["low"], score["high"]
    return wilson(round(score["accuracy"] * score["n"]), score["n"]) if score.get("n") else None


def signed(difference: float) -> str:
    """A difference with its sign, to two places.

    >>> signed(-0.021), signed(0.001)
    ('−0.02', '±0.00')
    """
    text = f"{abs(difference):.2f}"
    return ("±" if text == "0.00" else "+" if difference > 0 else "−") + text


def takes_away(summary: dict[str, Any], control: str, fact: str) -> bool:
    """Whether a control takes what the fact needs."""
    carrier = CONTROLS[control][1]
    return carrier is None or carrier in carriers(summary, fact)


@styled
def draw_facts(summary: dict[str, Any]) -> Figure:
    """Draw the accuracy of every fact with its 95 % interval and its chance level, for each exam that was sat.

    A mark has the colour of the sense that carries the fact, two colours where two are needed. The grey tick is chance.

    Parameters
    ----------
    summary : `facts`, `held_out_pairs`, `films`: fact → `accuracy`, `chance`, and where known `n`, `low`, `high`;
        an exam that is missing is named as such
    """
    facts = facts_in(*(summary.get(exam) for exam in EXAMS))
    if not facts:
        return said_instead("No questions were asked in this run.")
    sat = [exam for exam in EXAMS if summary.get(exam)]
    told = summary.get("facts") or summary[sat[0]]
    said = ", ".join(f"{in_words(f)} {told[f]['accuracy']:.2f}" for f in facts if told.get(f))
    picture = new_picture(
        7.6, 0.34 * len(facts) + 1.35, f"Accuracy by fact ({EXAMS[sat[0]][0]}): {said}."
    )
    ax = picture.subplots()
    for row, fact in enumerate(facts):
        here = [exam for exam in EXAMS if (summary.get(exam) or {}).get(fact)]
        chances = {
            summary[exam][fact]["chance"]
            for exam in here
            if summary[exam][fact].get("chance") is not None
        }
        for chance in chances:
            line = ax.plot((chance, chance), (row - 0.36, row + 0.36), color=FAINT, linewidth=1.6)[
                0
            ]
            line.set_gid(f"chance:{fact}")
        for index, exam in enumerate(here):
            score, y = summary[exam][fact], row + 0.26 * (index - (len(here) - 1) / 2)
            if span := interval(score):
                ax.plot(span, (y, y), color=INK, linewidth=1.1, solid_capstyle="butt")
            _mark(ax, score["accuracy"], y, EXAMS[exam][1], carriers(summary, fact))
        if row % 2:
            ax.axhspan(row - 0.5, row + 0.5, color="#f6f7f9", zorder=0)
    ax.set(
        xlim=(-0.02, 1.02), ylim=(len(facts) - 0.5, -0.5), xlabel="share of answers that are right"
    )
    ax.set_yticks(range(len(facts)), [in_words(f) for f in facts])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    senses = [m for m in MODALITY_COLOURS if any(m in carriers(summary, f) for f in facts)]
    handles = [
        Line2D([], [], linestyle="", marker=mark, color=INK, markerfacecolor="white",
               label=name if exam in sat else f"{name}: not asked")
        for exam, (name, mark) in EXAMS.items()
    ]  # fmt: skip
    handles += [
        Line2D(
            [],
            [],
            linestyle="",
            marker="|",
            markersize=11,
            markeredgewidth=1.6,
            color=FAINT,
            label="chance",
        )
    ]
    handles += [
        Line2D([], [], linestyle="", marker="o", color=MODALITY_COLOURS[m], label=f"carried by {m}")
        for m in senses
    ]
    picture.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.3)
    return picture


@styled
def draw_controls(summary: dict[str, Any]) -> Figure:
    """Draw every fact against every control: accuracy, and beneath it the difference to chance.

    A frame marks where the control takes away what the fact needs: there the accuracy should come within 10 points of
    chance, elsewhere within 10 points of what it was. An exclamation mark says where it does not.

    Parameters
    ----------
    summary : `controls`: control → fact → `accuracy`, `chance`; and `facts` for the accuracy before
    """
    controls = {c: s for c, s in (summary.get("controls") or {}).items() if c in CONTROLS and s}
    if not controls:
        return said_instead("No controls were made in this run.")
    before = summary.get("facts") or {}
    facts = facts_in(*controls.values())
    columns = ["as it was", *(CONTROLS[c][0] for c in controls)]
    broken = [
        f"{in_words(f)} ({CONTROLS[c][0]})"
        for c in controls
        for f in facts
        if unexpected(summary, c, f)
    ]
    picture = new_picture(
        1.25 * len(columns) + 1.8, 0.42 * len(facts) + 1.1, "Accuracy of each fact when a carrier is swapped. "
        f"Not as expected: {', '.join(broken) or 'none'}.",
    )  # fmt: skip
    ax = picture.subplots()
    shades = np.full((len(facts), len(columns)), np.nan)
    for row, fact in enumerate(facts):
        for column, scores in enumerate([before, *controls.values()]):
            score = scores.get(fact)
            if not score:
                ax.text(column, row, "–", ha="center", va="center", color=FAINT)
                continue
            chance = score.get("chance") or 0.0
            above = max(0.0, (score["accuracy"] - chance) / (1 - chance))
            shades[row, column] = above
            colour = "white" if above > 0.6 else INK
            control = list(controls)[column - 1] if column else None
            flag = " !" if control and unexpected(summary, control, fact) else ""
            ax.text(
                column,
                row - 0.13,
                f"{score['accuracy']:.2f}{flag}",
                ha="center",
                va="center",
                color=colour,
            )
            difference = signed(score["accuracy"] - chance)
            ax.text(
                column, row + 0.24, difference, ha="center", va="center", color=colour, fontsize=6.5
            )
            if control and takes_away(summary, control, fact):
                frame = Rectangle(
                    (column - 0.46, row - 0.44),
                    0.92,
                    0.88,
                    fill=False,
                    edgecolor=INK,
                    linewidth=1.6,
                )
                frame.set_gid(f"carrier:{control}:{fact}")
                ax.add_patch(frame)
    ax.imshow(shades, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(facts)), [in_words(f) for f in facts])
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlabel(
        "large: accuracy · small: difference to chance · frame: the control takes what the fact needs\n"
        f"!: more than {100 * NEAR:.0f} points from where it should be",
        fontsize=7.5, color=FAINT,
    )  # fmt: skip
    ax.hlines(np.arange(len(facts) - 1) + 0.5, -0.5, len(columns) - 0.5, color=LINE, linewidth=0.4)
    return picture


def unexpected(summary: dict[str, Any], control: str, fact: str) -> bool:
    """Whether a control did not do what it should: bring the fact near chance, or leave it as it was."""
    score = (summary.get("controls", {}).get(control) or {}).get(fact)
    before = (summary.get("facts") or {}).get(fact)
    if not score:
        return False
    if takes_away(summary, control, fact):
        return score.get("chance") is not None and score["accuracy"] > score["chance"] + NEAR
    return bool(before) and score["accuracy"] < before["accuracy"] - NEAR


def _mark(ax: Any, x: float, y: float, mark: str, senses: tuple[str, ...]) -> None:
    """A mark with the colour of its carrier, half and half where there are two."""
    colours = [MODALITY_COLOURS[sense] for sense in senses] or [FAINT]
    ax.plot(
        x, y, mark, markersize=7 if mark == "o" else 5.5, fillstyle="left" if len(colours) > 1 else "full",
        markerfacecolor=colours[0], markerfacecoloralt=colours[-1], markeredgecolor=INK, markeredgewidth=0.7, zorder=3,
        clip_on=False,
    )  # fmt: skip


def in_words(fact: str) -> str:
    """The name of a fact as people read it."""
    return {
        "shape_to_colour": "heard shape → colour",
        "colour_to_shape": "heard colour → shape",
    }.get(fact, fact.replace("_", " "))

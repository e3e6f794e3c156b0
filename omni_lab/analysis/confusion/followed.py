"""Which modality an answer follows: the one whose content it is, where the contents differ.

A question whose senses do not differ cannot tell, whatever is answered: it is left out and counted,
never assigned. Which questions these are does not depend on the answers, so that leaving them out
favours no sense.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int8

from omni_lab.analysis.confusion.matrix import NONE, RESAMPLES, Confusion, confusion_matrix
from omni_lab.analysis.confusion.names import SENSES
from omni_lab.analysis.confusion.table import NO_SENSE, Answers
from omni_lab.analysis.confusion.wording import MISSING
from omni_lab.errors import InputError

_MOSTLY = 0.9  # of answers that follow none, which is said


@dataclass(frozen=True, eq=False)
class Followed:
    """What every answer follows, which questions count, and what is to be said about the others."""

    column: Int8[np.ndarray, " questions"]  # index into SENSES, NO_SENSE
    counts: Bool[np.ndarray, " questions"]
    left_out: dict[str, int]  # reason → questions
    notes: tuple[str, ...]


def followed_senses(answers: Answers) -> Followed:
    """Modality that every answer follows, by its content or as the table says."""
    there, left_out = np.ones(len(answers), bool), {}

    def leave_out(which: Bool[np.ndarray, " questions"], why: str) -> None:
        if number := int((which & there).sum()):
            left_out[why] = number
        there[which] = False

    if answers.condition is not None:
        absent = [one.kind in ("drop", "keep") for one in answers.conditions]
        leave_out(np.array(absent, bool)[answers.condition], "a sense was dropped")
    if answers.followed is not None:
        return Followed(answers.followed, there, left_out, ())

    contents = answers.contents
    lacks = np.ones(len(answers), bool)
    for number, sense in enumerate(SENSES):
        if sense in contents:
            lacks &= (answers.asked != number) | (contents[sense] == MISSING)
    leave_out(lacks, "the sense asked for has no content")
    for one, other in combinations(contents, 2):
        same = (contents[one] == contents[other]) & (contents[one] != MISSING)
        leave_out(same, f"{one} and {other} say the same")
    filled = np.sum([content != MISSING for content in contents.values()], axis=0)
    leave_out(filled < 2, "one sense alone has content")

    column = np.full(len(answers), NO_SENSE, np.int8)
    for sense, content in contents.items():
        column[(content == answers.answer) & (content != MISSING)] = SENSES.index(sense)
    return Followed(column, there, left_out, _notes(answers, column, there))


def _notes(answers: Answers, column: np.ndarray, there: np.ndarray) -> tuple[str, ...]:
    """What is to be said about answers that follow none."""
    notes = []
    if empty := int((there & (answers.answer == MISSING)).sum()):
        notes.append(f"{empty:,} empty answers count as {NONE}")
    none = float(np.mean(column[there] == NO_SENSE)) if there.any() else 0.0
    if none > _MOSTLY:
        why = "answers are compared whole, so that `It is red` is not `red`"
        notes.append(f"{none:.0%} of the answers are no sense's content; {why}")
    return tuple(notes)


def matrices(answers: Answers, found: Followed, resamples: int = RESAMPLES) -> dict[str, Confusion]:
    """Modality confusion matrix of every group (model, checkpoint or step), by its name.

    Raises
    ------
    InputError
        no question is left that can tell what its answer follows
    """
    if not found.counts.any():
        why = "; ".join(f"{name} in {number:,}" for name, number in found.left_out.items())
        right = "ask about items whose senses differ, or give a column followed"
        raise InputError(f"{answers.path}: no question tells what was followed ({why}); {right}")
    asked, column = answers.asked, found.column
    known = {*np.unique(asked[found.counts]), *np.unique(column[found.counts])}
    known |= {SENSES.index(sense) for sense in answers.contents}
    senses = [number for number in range(len(SENSES)) if number in known]
    rows = [number for number in senses if (asked[found.counts] == number).any()]
    place = np.full(len(SENSES) + 1, len(senses))
    place[senses] = range(len(senses))
    line = np.full(len(SENSES), -1)
    line[rows] = range(len(rows))

    out = {}
    for number, name in enumerate(answers.groups):
        own = found.counts & (answers.group == number)
        items = None if answers.item is None else answers.item[own]
        names = [SENSES[row] for row in rows], [*(SENSES[sense] for sense in senses), NONE]
        out[name] = confusion_matrix(line[asked[own]], place[column[own]], *names, items, resamples)
    return out

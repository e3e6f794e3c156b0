"""Record of a table of answers: confusion matrices, reliance and Shapley shares of every model or step.

What cannot be measured from the table is said in the notes, with what would be needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omni_lab.analysis.confusion.followed import followed_senses, matrices
from omni_lab.analysis.confusion.matrix import RESAMPLES
from omni_lab.analysis.confusion.shares import (
    Outcomes,
    outcomes_of,
    permutation_reliance,
    shapley_shares,
)
from omni_lab.analysis.confusion.table import Answers
from omni_lab.errors import InputError


def confusion_record(answers: Answers, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Plain record of all that a table of answers tells.

    Returns
    -------
    record : `file`, `questions`, `columns` (role → name), `left_out` (reason → questions), `notes`,
        `matrices` and `shares`, each with a `name` per model, checkpoint or step

    Raises
    ------
    InputError
        no question tells what was followed, and there are no conditions to compare
    """
    found = followed_senses(answers)
    notes, drawn = [*answers.notes, *found.notes], {}
    if answers.condition is None:
        drawn = matrices(answers, found, resamples)
    else:
        drawn = _tried(lambda: matrices(answers, found, resamples), notes) or {}
    shares = [] if answers.condition is None else _shares(answers, resamples, notes)
    if not drawn and not any(one["permutation"] or one["shapley"] for one in shares):
        raise InputError("; ".join(notes))
    return {
        "file": answers.path, "questions": len(answers), "columns": answers.columns,
        "left_out": found.left_out, "notes": notes,
        "matrices": [{"name": name, **one.to_dict()} for name, one in drawn.items()],
        "shares": shares,
    }  # fmt: skip


def _shares(answers: Answers, resamples: int, notes: list[str]) -> list[dict[str, Any]]:
    """Permutation reliance and Shapley shares of every group."""
    out = []
    for number, name in enumerate(answers.groups):
        outcomes = _tried(lambda number=number: outcomes_of(answers, number), notes)
        if outcomes is not None:
            lost = _tried(lambda own=outcomes: permutation_reliance(own, resamples), notes)
            games = [_game(outcomes, kind, resamples, notes) for kind in ("swap", "drop")]
            shapley = [game for game in games if game is not None]
            out.append({"name": name, "permutation": lost or [], "shapley": shapley})
    return out


def _game(outcomes: Outcomes, kind: str, resamples: int, notes: list[str]) -> dict[str, Any] | None:
    """Shapley shares where two or more senses were changed so, and all their subsets are there."""
    changed = [one for one in outcomes.conditions if (one.kind == "swap") == (kind == "swap")]
    senses = frozenset().union(*(one.senses for one in changed))
    if len(senses) < 2:
        return None
    return _tried(lambda: shapley_shares(outcomes, kind, resamples), notes)


def _tried(make: Callable[[], Any], notes: list[str]) -> Any:
    """What a function makes; None, and its reason among the notes once, where it is refused."""
    try:
        return make()
    except InputError as error:
        if str(error) not in notes:
            notes.append(str(error))
        return None

"""Permutation reliance and exact Shapley shares: how much of the accuracy each modality carries.

Reliance is the accuracy that is lost when a modality is swapped or dropped, question by question
(Breiman 2001, permutation importance). Shapley shares (Shapley 1953) divide the accuracy among the
modalities from the accuracies with every subset of them intact: the only division that is efficient
(they sum to the accuracy with all, less that with none), symmetric and additive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from omni_lab.analysis.confusion.conditions import Condition
from omni_lab.analysis.confusion.matrix import RESAMPLES
from omni_lab.analysis.confusion.names import OPTION, SENSES
from omni_lab.analysis.confusion.table import Answers
from omni_lab.analysis.confusion.wording import MISSING
from omni_lab.analysis.resampling import bootstrap, patterned
from omni_lab.errors import InputError

Subset = frozenset[str]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Accuracy of every question under every condition, NaN where it was not asked so."""

    where: str
    values: Float64[np.ndarray, "questions conditions"]
    conditions: tuple[Condition, ...]
    items: Int64[np.ndarray, " questions"]  # number of every question's item

    def column(self, condition: Condition) -> Float64[np.ndarray, " questions"]:
        """Accuracies under one condition."""
        return self.values[:, self.conditions.index(condition)]


def outcomes_of(answers: Answers, group: int) -> Outcomes:
    """Outcomes of one group: a question is an item and the sense asked; several answers are averaged.

    An answer is right as the column `correct` says, or else where it is the `label`, or else where
    it is what the sense asked for says in the original.

    Raises
    ------
    InputError
        there are no conditions, no items, or nothing tells what is right
    """
    for role, what in (("condition", "what was done"), ("item", "which questions belong together")):
        if getattr(answers, role) is None:
            right = f"{OPTION} {role}=NAME says"
            raise InputError(f"{answers.path}: no column says {what}, in pairs; {right}")
    own = np.flatnonzero(answers.group == group)
    item = np.unique(answers.item[own], return_inverse=True)[1]
    asked = answers.asked[own].astype(np.int64)
    keys, question = np.unique(item * len(SENSES) + asked, return_inverse=True)
    condition = answers.condition[own].astype(np.int64)
    right = _right(answers, own, question, len(keys))

    width = len(answers.conditions)
    cells, known = question * width + condition, ~np.isnan(right)
    size = len(keys) * width
    total = np.bincount(cells[known], right[known], size)
    times = np.bincount(cells[known], minlength=size)
    values = np.divide(total, times, out=np.full(size, np.nan), where=times > 0)
    shaped = values.reshape(-1, width)
    return Outcomes(answers.path, shaped, answers.conditions, keys // len(SENSES))


def _right(
    answers: Answers,
    own: Int64[np.ndarray, " rows"],
    question: Int64[np.ndarray, " rows"],
    count: int,
) -> Float64[np.ndarray, " rows"]:
    """Whether every answer is right; NaN where that is not known."""
    if answers.correct is not None:
        return answers.correct[own].astype(np.float64)
    if answers.label is not None and answers.answer is not None:
        return (answers.answer[own] == answers.label[own]).astype(np.float64)
    if not answers.contents:
        right = f"{OPTION} correct=NAME or {OPTION} label=NAME says"
        raise InputError(f"{answers.path}: no column says which answers are right; {right}")
    truth = np.zeros(count, np.uint64)
    original = [one.kind == "original" for one in answers.conditions]
    first = np.array(original, bool)[answers.condition[own]]
    for number, sense in enumerate(SENSES):
        if sense in answers.contents:
            here = first & (answers.asked[own] == number)
            truth[question[here]] = answers.contents[sense][own][here]
    known = truth[question] != MISSING
    return np.where(known, answers.answer[own] == truth[question], np.nan)


def permutation_reliance(outcomes: Outcomes, resamples: int = RESAMPLES) -> list[dict[str, Any]]:
    """Permutation reliance: accuracy lost under every changed condition, paired over questions.

    Returns
    -------
    found : per condition its name, kind and senses, the accuracy `original` and `changed`, the
        `drop` with its 95 % bounds `low` and `high` (items resampled), and `n` (questions)

    Raises
    ------
    InputError
        no row is of the original condition, or no question has rows of two conditions
    """
    original = [one for one in outcomes.conditions if one.kind == "original"]
    if not original:
        there = ", ".join(one.name for one in outcomes.conditions)
        raise InputError(f"{outcomes.where}: no row of the condition original; there are {there}")
    out = []
    for condition in outcomes.conditions:
        pair = np.stack([outcomes.column(original[0]), outcomes.column(condition)], 1)
        whole = ~np.isnan(pair).any(1)
        if condition.kind == "original" or not whole.any():
            continue
        before, after = pair[whole].mean(0)
        low, high = _intervals(outcomes, pair, whole, np.array([[1.0, -1.0]]), resamples)
        out.append({
            "condition": condition.name, "kind": condition.kind,
            "senses": [sense for sense in SENSES if sense in condition.senses],
            "original": float(before), "changed": float(after), "drop": float(before - after),
            "low": float(low[0]), "high": float(high[0]), "n": int(whole.sum()),
        })  # fmt: skip
    if not out:
        wrong = "no question has an answer both in the original and in another condition"
        raise InputError(f"{outcomes.where}: {wrong}; its rows have one item and one sense asked")
    return out


def _intervals(
    outcomes: Outcomes,
    values: Float64[np.ndarray, "questions subsets"],
    whole: Bool[np.ndarray, " questions"],
    weights: Float64[np.ndarray, "shares subsets"],
    resamples: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap bounds of weighted sums of accuracies, items drawn with all their questions."""
    names, own = np.unique(outcomes.items[whole], return_inverse=True)
    columns = [np.ones(int(whole.sum())), *values[whole].T]
    tallies = np.stack([np.bincount(own, column, len(names)) for column in columns], 1)

    def shares(totals: np.ndarray) -> np.ndarray:
        return totals[:, 1:] / totals[:, :1] @ weights.T

    return bootstrap(*patterned(tallies), shares, resamples)


def subsets_of(senses: Sequence[str]) -> list[Subset]:
    """All subsets of some modalities, small ones first.

    >>> [sorted(one) for one in subsets_of(["audio", "image"])]
    [[], ['audio'], ['image'], ['audio', 'image']]
    """
    sizes = range(len(senses) + 1)
    return [frozenset(one) for size in sizes for one in combinations(senses, size)]


def shapley_weights(senses: Sequence[str]) -> Float64[np.ndarray, "shares subsets"]:
    """Weights of exact Shapley shares: shares = weights @ values, in the order of `subsets_of`.

    >>> shapley_weights(["image", "audio"]).tolist()
    [[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5]]
    """
    subsets, count = subsets_of(senses), len(senses)
    weights = np.zeros((count, len(subsets)))
    for row, sense in enumerate(senses):
        for place, subset in enumerate(subsets):
            others = len(subset - {sense})
            chance = factorial(others) * factorial(count - others - 1) / factorial(count)
            weights[row, place] = chance if sense in subset else -chance
    return weights


def shapley(values: Mapping[Subset, float], senses: Sequence[str]) -> dict[str, float]:
    """Exact Shapley shares of modalities, from the value of every subset of them.

    They sum to the value of all less that of none (efficiency).

    >>> game = {frozenset(): 0.0, frozenset({"a"}): 0.4, frozenset({"b"}): 0.0, frozenset("ab"): 1.0}
    >>> {name: round(share, 6) for name, share in shapley(game, ["a", "b"]).items()}
    {'a': 0.7, 'b': 0.3}

    Raises
    ------
    InputError
        a subset has no value; the message names it
    """
    check_complete(values, senses, "values")
    every = np.array([values[subset] for subset in subsets_of(senses)], np.float64)
    return dict(zip(senses, (shapley_weights(senses) @ every).tolist(), strict=True))


def check_complete(there: Mapping[Subset, Any], senses: Sequence[str], where: str) -> None:
    """Refusal of Shapley shares without the value of every subset.

    Raises
    ------
    InputError
        some are missing; the message names them
    """
    missing = [_said(subset, senses) for subset in subsets_of(senses) if subset not in there]
    if missing:
        needed = f"Shapley shares of {', '.join(senses)} need all {2 ** len(senses)} subsets intact"
        raise InputError(f"{where}: {needed}; missing: {'; '.join(missing)}")


def _said(subset: Subset, senses: Sequence[str]) -> str:
    return " + ".join(sense for sense in senses if sense in subset) or "none of them"


def shapley_shares(outcomes: Outcomes, kind: str, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Exact Shapley shares of the accuracy, with 95 % bootstrap intervals paired over items.

    The value of a subset is the accuracy with that subset of the modalities intact and the others
    swapped or dropped. Only questions that were asked under every subset count.

    Parameters
    ----------
    kind : what was done to the others: "swap", or "drop" (to which `only_image` and `blind` belong)

    Returns
    -------
    found : `senses`, `values` (accuracy by subset), `shares` with bounds `low` and `high`, `all` and
        `nothing` (accuracies; shares sum to their difference), `n` (questions), `left_out`

    Raises
    ------
    InputError
        a subset was asked of no question, or no question under all; the message names it
    """
    kinds = {"swap": ("original", "swap"), "drop": ("original", "drop", "keep")}[kind]
    used = [one for one in outcomes.conditions if one.kind in kinds]
    named = frozenset().union(*(one.senses for one in used))
    senses = tuple(sense for sense in SENSES if sense in named)
    there = {one.intact(senses): outcomes.column(one) for one in reversed(used)}
    where = f"{outcomes.where}: {kind}"
    check_complete(there, senses, where)
    subsets = subsets_of(senses)
    values = np.stack([there[subset] for subset in subsets], 1)
    whole = ~np.isnan(values).any(1)
    if not whole.any():
        raise InputError(f"{where}: no question was asked under all {len(subsets)} conditions")

    weights, means = shapley_weights(senses), values[whole].mean(0)
    low, high = _intervals(outcomes, values, whole, weights, resamples)
    return {
        "kind": kind, "senses": list(senses),
        "values": {_said(s, senses): float(v) for s, v in zip(subsets, means, strict=True)},
        "shares": (weights @ means).tolist(), "low": low.tolist(), "high": high.tolist(),
        "all": float(means[-1]), "nothing": float(means[0]), "n": int(whole.sum()),
        "left_out": int((~whole).sum()),
    }  # fmt: skip

"""Right answers to the small exercises of notebook 11; the first of each is mutated."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import numpy as np
import torch


def epochs(lengths, percentages, size):
    return {name: size * percentages[name] / 100 / lengths[name] for name in lengths}


def epochs_by_counts(lengths: dict, percentages: dict, size: int) -> dict:
    read = {name: size * percent / 100 for name, percent in percentages.items()}
    return {name: read[name] / length for name, length in lengths.items()}


def epochs_by_arrays(lengths: dict, percentages: dict, size: int) -> dict:
    names = list(lengths)
    share = np.array([percentages[name] for name in names]) / 100
    return dict(zip(names, share * size / np.array([lengths[name] for name in names]), strict=True))


def drawn(which, lengths):
    counts, found = dict.fromkeys(lengths, 0), []
    for name in which:
        found.append([counts[name] // lengths[name], counts[name] % lengths[name]])
        counts[name] += 1
    return found


def drawn_by_counting(which: list, lengths: dict) -> list:
    before = (which[:at].count(name) for at, name in enumerate(which))
    return [divmod(count, lengths[name]) for count, name in zip(before, which, strict=True)]


def drawn_by_counter(which: list, lengths: dict) -> list:
    seen: Counter = Counter()
    found = []
    for name in which:
        found.append(divmod(seen[name], lengths[name]))
        seen[name] += 1
    return found


def drawn_by_walking(which: list, lengths: dict) -> list:
    place = dict.fromkeys(lengths, (0, 0))
    found = []
    for name in which:
        epoch, at = place[name]
        found.append((epoch, at))
        place[name] = (epoch + 1, 0) if at + 1 == lengths[name] else (epoch, at + 1)
    return found


def branch_rate(step, left, extra):
    return min(1.0, (left + extra - step) / extra)


def branch_rate_by_cases(step: int, left: int, extra: int) -> float:
    if step < left:
        return 1.0
    return 1 - (step - left) / extra


def branch_rate_by_interpolation(step: int, left: int, extra: int) -> np.float64:
    return np.interp(step, [0, left, left + extra], [1, 1, 0])


def ends(scores, quantile):
    means = [sum(own) / len(own) for own in scores]
    top = scores[means.index(max(means))]
    found = []
    for own in scores:
        off = [mine - best for mine, best in zip(own, top, strict=True)]
        half = quantile * statistics.stdev(off) / math.sqrt(len(off))
        found.append(sum(off) / len(off) + half)
    return found


def ends_by_arrays(scores: list, quantile: float) -> np.ndarray:
    table = np.array(scores)
    off = table - table[table.mean(1).argmax()]
    return off.mean(1) + quantile * off.std(1, ddof=1) / math.sqrt(table.shape[1])


def ends_in_torch(scores: list, quantile: float) -> torch.Tensor:
    table = torch.tensor(scores, dtype=torch.float64)
    off = table - table[table.mean(1).argmax()]
    return off.mean(1) + quantile * off.std(1) / table.shape[1] ** 0.5


def update_shares(number):
    return [(number - 1 - update) / number for update in range(number - 1)]


def update_shares_by_walking(number: int) -> list:
    found, inside = [], number
    while inside > 1:
        inside -= 1
        found.append(inside / number)
    return found


def update_shares_by_arrays(number: int) -> np.ndarray:
    updates = np.tri(number, number - 1, -1)  # checkpoint × update: whether it is in there
    return updates.mean(0)


ANSWERS = {
    "epochs": (epochs, epochs_by_counts, epochs_by_arrays),
    "drawn": (drawn, drawn_by_counting, drawn_by_counter, drawn_by_walking),
    "branch_rate": (branch_rate, branch_rate_by_cases, branch_rate_by_interpolation),
    "update_shares": (update_shares, update_shares_by_walking, update_shares_by_arrays),
    "ends": (ends, ends_by_arrays, ends_in_torch),
}

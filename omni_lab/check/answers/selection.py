"""Right answers to the small exercises of notebook 06; the first of each is mutated."""

from __future__ import annotations

import statistics

import numpy as np
import torch


def auc(scores, wrong):
    above = 0
    for high, is_wrong in zip(scores, wrong, strict=True):
        for low, other in zip(scores, wrong, strict=True):
            if is_wrong and not other:
                above += 0.5 if high == low else high > low
    return above / (sum(wrong) * (len(wrong) - sum(wrong)))


def auc_by_arrays(scores: list, wrong: list) -> float:
    scores, wrong = np.array(scores), np.array(wrong)
    apart = scores[wrong][:, None] - scores[~wrong][None]
    return ((apart > 0) + 0.5 * (apart == 0)).mean()


def auc_by_ranks(scores: list, wrong: list) -> float:
    from scipy.stats import rankdata

    wrong = np.array(wrong)
    mine, others = wrong.sum(), (~wrong).sum()
    return (rankdata(scores)[wrong].sum() - mine * (mine + 1) / 2) / (mine * others)


def auc_in_torch(scores: list, wrong: list) -> torch.Tensor:
    scores, wrong = torch.tensor(scores), torch.tensor(wrong)
    apart = (scores[wrong].unsqueeze(1) - scores[~wrong]).sign()
    return (apart + 1).double().mean() / 2


def kept(train, reference, keep, weight):
    scores = [t - weight * r for t, r in zip(train, reference, strict=True)]
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    chosen = order[: int(keep * len(scores) + 0.5)]
    return [place in chosen for place in range(len(scores))]


def kept_by_arrays(train: list, reference: list, keep: float, weight: float) -> np.ndarray:
    scores = np.float32(train) - np.float32(weight) * np.float32(reference)
    found = np.zeros(len(scores), bool)
    found[np.argsort(-scores, kind="stable")[: int(np.floor(keep * len(scores) + 0.5))]] = True
    return found


def kept_in_torch(train: list, reference: list, keep: float, weight: float) -> torch.Tensor:
    scores = torch.tensor(train) - weight * torch.tensor(reference)
    order = scores.argsort(descending=True, stable=True)
    found = torch.zeros(len(scores), dtype=torch.bool)
    found[order[: int(keep * len(order) + 0.5)]] = True
    return found


def slope(train, reference):
    middle = sum(reference) / len(reference)
    level = sum(train) / len(train)
    products = sum((r - middle) * (t - level) for r, t in zip(reference, train, strict=True))
    spread = sum((r - middle) ** 2 for r in reference)
    return max(0.0, products / spread)


def slope_by_polyfit(train: list, reference: list) -> float:
    return max(0, np.polyfit(reference, train, 1)[0])


def slope_by_statistics(train: list, reference: list) -> float:
    return max(statistics.linear_regression(reference, train).slope, 0)


def slope_in_torch(train: list, reference: list) -> torch.Tensor:
    moments = torch.tensor([reference, train]).double().cov()
    return (moments[0, 1] / moments[0, 0]).clamp(min=0)


ANSWERS = {
    "auc": (auc, auc_by_arrays, auc_by_ranks, auc_in_torch),
    "kept": (kept, kept_by_arrays, kept_in_torch),
    "slope": (slope, slope_by_polyfit, slope_by_statistics, slope_in_torch),
}

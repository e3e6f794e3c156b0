"""Right answers to the small exercises of notebook 06; the first of each is mutated."""

from __future__ import annotations

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


def separability(losses):
    values = sorted(losses)
    count, middle = len(values), sum(values) / len(values)
    variance = sum((v - middle) ** 2 for v in values) / count
    between = []
    for at in range(1, count):
        low, high = values[:at], values[at:]
        apart = sum(low) / len(low) - sum(high) / len(high)
        between.append(len(low) * len(high) / count**2 * apart**2)
    return max(between) / variance


def separability_within(losses: list) -> float:
    values = np.sort(losses)
    cuts = range(1, len(values))
    within = [at * values[:at].var() + (len(values) - at) * values[at:].var() for at in cuts]
    return 1 - min(within) / len(values) / values.var()


def separability_by_thresholds(losses: list) -> float:
    found = []
    for threshold in sorted(set(losses))[1:]:
        high = [loss >= threshold for loss in losses]
        found.append(np.corrcoef(high, losses)[0, 1] ** 2)
    return max(found)


def separability_in_torch(losses: list) -> torch.Tensor:
    values = torch.tensor(losses, dtype=torch.float64).sort().values
    low = torch.arange(1, len(values))
    sums = values.cumsum(0)[:-1]
    apart = sums / low - (values.sum() - sums) / (len(values) - low)
    between = low * (len(values) - low) / len(values) ** 2 * apart.square()
    return between.max() / values.var(correction=0)


def word_types(words, shown):
    found = []
    for word, true in zip(words, shown, strict=True):
        if true is None:
            found.append(2)
        else:
            found.append(1 if word == true else 3)
    return found


def word_types_in_one_line(words: list, shown: list) -> list:
    pairs = zip(words, shown, strict=True)
    return [2 if true is None else 3 - 2 * (word == true) for word, true in pairs]


def word_types_by_arrays(words: list, shown: list) -> np.ndarray:
    words, shown = np.array(words, object), np.array(shown, object)
    return np.where(shown == None, 2, np.where(words == shown, 1, 3))  # noqa: E711


def kept_loss(processes):
    total = count = 0
    for losses, kept in processes:
        for loss, is_kept in zip(losses, kept, strict=True):
            if is_kept:
                total += loss
                count += 1
    return total / count


def kept_loss_by_lists(processes: list) -> float:
    kept = [x for losses, marks in processes for x, k in zip(losses, marks, strict=True) if k]
    return sum(kept) / len(kept)


def kept_loss_by_arrays(processes: list) -> np.float64:
    losses = np.concatenate([own for own, _ in processes])
    return losses[np.concatenate([marks for _, marks in processes])].mean()


def kept_loss_in_torch(processes: list) -> torch.Tensor:
    pairs = [(torch.tensor(own), torch.tensor(marks)) for own, marks in processes]
    return sum((own * marks).sum() for own, marks in pairs) / sum(m.sum() for _, m in pairs)


ANSWERS = {
    "word_types": (word_types, word_types_in_one_line, word_types_by_arrays),
    "kept_loss": (kept_loss, kept_loss_by_lists, kept_loss_by_arrays, kept_loss_in_torch),
    "auc": (auc, auc_by_arrays, auc_by_ranks, auc_in_torch),
    "kept": (kept, kept_by_arrays, kept_in_torch),
    "separability": (
        separability, separability_within, separability_by_thresholds, separability_in_torch,
    ),
}  # fmt: skip

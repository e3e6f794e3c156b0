"""Response surface of mixtures: fit over shares, optimum, and procedures that search for it.

Scores of random mixtures at one budget are fitted by a ridge regression, quadratic in the logarithms
of the shares, with an offset for every seed. Procedures are replayed on the rows of one seed; what
they choose is judged by the surface of all other seeds, so that no noise counts twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Float64, Int64

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the ridge, of which leaving one out chooses
LEAST = 1  # per cent that every task has
DRAWS = 200  # replays of a procedure
FOLDS = 8

Shares = Float64[np.ndarray, "runs tasks"]
Scores = Float64[np.ndarray, " runs"]
Seeds = Int64[np.ndarray, " runs"]


def draw_percentages(rng: np.random.Generator, tasks: int) -> list[int]:
    """Random mixture, even over all of them: whole per cents, `LEAST` or more, 100 together.

    >>> sum(draw_percentages(np.random.default_rng(0), 6))
    100
    """
    free = 100 - LEAST * tasks
    cuts = np.sort(rng.integers(0, free + 1, tasks - 1))
    return [LEAST + int(part) for part in np.diff([0, *cuts, free])]


def features(shares: Shares) -> Float64[np.ndarray, "runs features"]:
    """Logarithms of shares against the equal share, and all their products, about 1 in size."""
    logs = np.log(shares * shares.shape[1]) / 2
    pairs = combinations_with_replacement(range(shares.shape[1]), 2)
    return np.column_stack([logs, *(logs[:, a] * logs[:, b] for a, b in pairs)])


@dataclass(frozen=True, eq=False)
class Surface:
    """Fitted response, relative to a seed's offset."""

    weights: Float64[np.ndarray, " features"]
    offsets: dict[int, float]

    def __call__(self, shares: Shares) -> Scores:
        """Response of mixtures, with the mean offset of the seeds."""
        return features(shares) @ self.weights + float(np.mean(list(self.offsets.values())))


def fitted(shares: Shares, scores: Scores, seeds: Seeds) -> Surface:
    """Ridge regression of scores on features, an offset for every seed without a penalty.

    The penalty is that with the least error on runs left out, one at a time, in closed form.
    """
    design = features(shares)
    names = np.unique(seeds)
    inside = (seeds[:, None] == names).astype(float)
    full = np.concatenate([design, inside], 1)
    free = np.r_[np.ones(design.shape[1]), np.full(len(names), 1e-9)]

    def solved(penalty: float) -> tuple[float, np.ndarray]:
        gram = full.T @ full + np.diag(penalty * free)
        hat = full @ np.linalg.solve(gram, full.T)
        left_out = (scores - hat @ scores) / np.maximum(1e-6, 1 - np.diag(hat))
        return float(np.square(left_out).mean()), np.linalg.solve(gram, full.T @ scores)

    weights = min((solved(penalty) for penalty in PENALTIES), key=lambda found: found[0])[1]
    edge = design.shape[1]
    return Surface(weights[:edge], dict(zip(names.tolist(), weights[edge:].tolist(), strict=True)))


def cross_validated(shares: Shares, scores: Scores, seeds: Seeds) -> float:
    """R² of runs left out, a fold at a time, about the mean of their seed."""
    fold = np.random.default_rng(0).permutation(len(scores)) % FOLDS
    wrong = total = 0.0
    for number in range(FOLDS):
        out, rest = fold == number, fold != number
        surface = fitted(shares[rest], scores[rest], seeds[rest])
        offsets = np.array([surface.offsets[int(seed)] for seed in seeds[out]])
        guess = features(shares[out]) @ surface.weights + offsets
        means = np.array([scores[rest & (seeds == seed)].mean() for seed in seeds[out]])
        wrong += float(np.square(scores[out] - guess).sum())
        total += float(np.square(scores[out] - means).sum())
    return 1 - wrong / max(1e-12, total)


def candidates(tasks: int, count: int = 4000) -> Shares:
    """Mixtures among which an optimum is looked for, the same in every call."""
    rng = np.random.default_rng(0)
    return np.array([draw_percentages(rng, tasks) for _ in range(count)]) / 100


def rank_correlation(one: Scores, other: Scores) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


@dataclass(frozen=True, eq=False)
class Judge:
    """Truth about mixtures, as the other seeds' runs have it.

    Parameters
    ----------
    surface : fitted without the seed whose runs a procedure is given
    grid : mixtures among which the optimum is
    """

    surface: Surface
    grid: Shares

    def regret(self, shares: Float64[np.ndarray, " tasks"]) -> float:
        """How far a mixture's response is below the optimum's."""
        return float(self.surface(self.grid).max() - self.surface(shares[None])[0])


def replay(
    shares: Shares, scores: Scores, judge: Judge, runs: Sequence[int], first: int = 2
) -> dict[str, float]:
    """Regret of random search and of regression, and false winners, by number of runs.

    A winner is false where the truth puts it no higher than what it has won against by its one
    score: the runner-up, or equal shares.

    Parameters
    ----------
    shares, scores : of the runs of one seed, of which run 0 has equal shares
    runs : numbers of runs that a procedure may make
    first : run from which on they are random, a procedure's own
    """
    truth, guesses = judge.surface(shares), judge.surface(judge.grid)
    best, drawn = float(guesses.max()), np.arange(first, len(scores))
    found = {}
    for count in runs:
        rng = np.random.default_rng([count])
        searched, fits, beaten, second = [], [], [], []
        for _ in range(DRAWS):
            own = rng.choice(drawn, count, replace=False)
            winner, after = own[np.argsort(-scores[own], kind="stable")][:2]
            searched.append(best - truth[winner])
            second.append(truth[winner] <= truth[after])
            beaten.append(scores[winner] > scores[0] and truth[winner] <= truth[0])
            chosen = fitted(shares[own], scores[own], np.zeros(count, np.int64))(judge.grid)
            fits.append(best - guesses[chosen.argmax()])
        found |= {
            f"regret.random.{count}": float(np.mean(searched)),
            f"regret.regression.{count}": float(np.mean(fits)),
            f"false.runner_up.{count}": float(np.mean(second)),
            f"false.equal.{count}": float(np.mean(beaten)),
        }
    return found

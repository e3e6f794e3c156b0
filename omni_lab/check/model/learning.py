"""Small exercises of notebook 03, third part: shared heads, change between frames, the alignment loss."""

from __future__ import annotations

import math
import random

import numpy as np

from omni_lab.check.step import Step

# --- heads that share keys and values


def _kv_head(query: int, heads: int, kv_heads: int) -> int:
    """Key/value head of a query head, by the library's own repetition of them."""
    import torch
    from transformers.models.qwen2.modeling_qwen2 import repeat_kv

    own = torch.arange(kv_heads).reshape(1, kv_heads, 1, 1)
    return int(repeat_kv(own, heads // kv_heads)[0, query])


def _heads(source: random.Random) -> tuple:
    kv_heads, group = source.randrange(1, 9), source.randrange(1, 9)
    return source.randrange(kv_heads * group), kv_heads * group, kv_heads


kv_head = Step(
    right=_kv_head,
    cases=[(0, 28, 4), (6, 28, 4), (7, 28, 4), (27, 28, 4), (8, 28, 4), (5, 12, 4), (3, 4, 4), (5, 8, 1),
           (11, 12, 2)],
    rule="each key/value head serves heads // kv_heads query heads in a row",
    mistakes=[
        (
            lambda query, heads, kv_heads: query % kv_heads,
            "this deals the query heads out in turn; neighbours share: heads // kv_heads in a row",
        ),
        (
            lambda query, heads, kv_heads: query // kv_heads,
            "a group has heads // kv_heads query heads, not kv_heads",
        ),
        (
            lambda query, heads, kv_heads: query % (heads // kv_heads),
            "this is the place inside the group; which group it is, // gives",
        ),
        (
            lambda query, heads, kv_heads: query // 7,
            "groups of 7 are those of full_7b(): compute the size of a group, heads // kv_heads",
        ),
        (
            lambda query, heads, kv_heads: (query - 1) // (heads // kv_heads),
            "heads are numbered from 0: divide the number as it is",
        ),
        (
            lambda query, heads, kv_heads: round(query / (heads / kv_heads)),
            "do not round to the nearest: the group is the whole part, //",
        ),
        (
            lambda query, heads, kv_heads: math.ceil(query / (heads / kv_heads)),
            "do not round up: the group is the whole part, //",
        ),
        (
            lambda query, heads, kv_heads: query,
            "only with as many key/value heads as query heads each has one of its own",
        ),
        (
            lambda query, heads, kv_heads: query // heads,
            "this is 0 for every head: divide by the size of a group, heads // kv_heads",
        ),
        (
            lambda query, heads, kv_heads: heads // kv_heads,
            "this is the size of a group; ask in which group the query head is",
        ),
        (
            lambda query, heads, kv_heads: query / (heads // kv_heads),
            "a head has a whole number: //, not /",
        ),
        (
            lambda query, heads, kv_heads: query / (heads / kv_heads),
            "a head has a whole number: //, not /",
        ),
        (
            lambda query, heads, kv_heads: query * (heads // kv_heads),
            "divide by the size of a group: there are fewer key/value heads than query heads",
        ),
        (
            lambda query, heads, kv_heads: query // (heads // kv_heads) + 1,
            "every answer is 1 too large: heads are numbered from 0",
        ),
        (
            lambda query, heads, kv_heads: heads // (heads // kv_heads),
            "this is the number of key/value heads, whatever the query head: divide `query`",
        ),
        (
            lambda query, heads, kv_heads: kv_heads // (heads // kv_heads),
            "this does not ask for the query head at all: divide `query`",
        ),
    ],
    inputs=_heads,
    shows="in full_7b() seven query heads in a row share one key/value head",
)  # fmt: skip

# --- weights that see nothing but change


def _only_change(weights: list) -> list:
    """Weights less their mean over the frames."""
    own = np.array(weights, float)
    return (own - own.mean(0)).tolist()


def _weights(source: random.Random) -> tuple:
    return (
        [[source.uniform(-2, 2) for _ in range(3)] for _ in range(source.choice([2, 2, 3, 4]))],
    )


def _of(change):
    """Mistake on an array of weights, frames by numbers, as a function of lists."""
    return lambda weights: np.asarray(change(np.array(weights, float))).tolist()


only_change = Step(
    right=_only_change,
    cases=[
        ([[1.0, 4.0, -2.0], [3.0, -2.0, 0.5]],),
        ([[1.0, 2.0], [4.0, 2.0], [7.0, -1.0]],),
        ([[0.5, 0.5], [0.5, 0.5]],),
        ([[3.0, -1.0]],),
        ([[2.0], [0.0], [0.0], [6.0]],),
    ],
    rule="for each number take its mean over the frames away, so that its weights add up to 0",
    mistakes=[
        (_of(lambda w: w), "these are the weights as they were: a picture that stands still is still seen"),
        (
            _of(lambda w: w - w.mean(1, keepdims=True)),
            "you took the mean inside each frame; the mean over the frames is the one that has to go",
        ),
        (
            _of(lambda w: w - w.mean()),
            "you took one mean of all weights; each number of a frame has a mean of its own over the frames",
        ),
        (
            _of(lambda w: w - w[0]),
            "you took the first frame's weights away: they still do not add up to 0 over the frames",
        ),
        (
            _of(lambda w: w - w.sum(0)),
            "you took the sum over the frames away; the mean is right, so that nothing is left over",
        ),
        (
            _of(lambda w: w - w.sum(0) / 2),
            "you divide the sum by 2 always: a unit may have more frames than two, or one",
        ),
        (
            _of(lambda w: w - w[-1]),
            "you took the last frame's weights away: they still do not add up to 0 over the frames",
        ),
        (
            _of(lambda w: np.array([-w[0], w[0]])),
            "these see change, but they are not what is asked for: each frame's weights less the mean over frames",
        ),
        (_of(lambda w: w + w.mean(0)), "you added the mean; take it away"),
        (_of(lambda w: w.mean(0) - w), "every weight has the wrong sign: weight less mean"),
        (_of(lambda w: np.broadcast_to(w.mean(0), w.shape)), "this is the mean itself, which is what has to go"),
        (_of(lambda w: w.mean(0)), "this is the mean over the frames: take it away from every frame's weights"),
        (_of(lambda w: w / np.where(w.mean(0) == 0, np.nan, w.mean(0))), "take the mean away; you divide by it"),
        (_of(lambda w: w * w.mean(0)), "take the mean away; you multiply by it"),
        (
            _of(lambda w: np.diff(w, axis=0)),
            "these are differences of the weights; a weight for every frame is asked for",
        ),
        (_of(lambda w: w - w.sum(0) * len(w)), "the mean is the sum divided by the number of frames"),
        (_of(lambda w: w - w.sum(0) // len(w)), "a mean is a fraction: /, not //"),
        (_of(lambda w: w - w.sum(0) / w.shape[1]), "the mean over frames divides by the number of frames"),
        (_of(lambda w: w - np.median(w, axis=0)), "this is the median; only the mean makes the weights add up to 0"),
        (
            _of(lambda w: (w - w.mean(0)) / np.where(w.std(0) == 0, 1, w.std(0))),
            "take the mean away and stop there: the size of the weights may stay",
        ),
    ],
    inputs=_weights,
    shows="what is the same in all frames adds up to nothing, and only change is left",
)  # fmt: skip

# --- alignment loss


def _contrastive(similarities: list, scale: float) -> float:
    """InfoNCE of both directions, as `omni_lab.training.contrastive_loss` takes it for each pair."""
    import torch
    from torch.nn import functional as F

    scores = scale * torch.tensor(similarities, dtype=torch.float64)
    here = torch.arange(len(scores))
    return float((F.cross_entropy(scores, here) + F.cross_entropy(scores.T, here)) / 2)


def _similarities(source: random.Random) -> tuple:
    count = source.randrange(1, 5)
    return (
        [[source.uniform(-1, 1) for _ in range(count)] for _ in range(count)],
        source.uniform(0.5, 12),
    )


def _scored(loss):
    """Mistake on the scores, an array of scale · similarity."""
    return lambda similarities, scale: float(loss(scale * np.array(similarities, float)))


def _log_sums(scores: np.ndarray) -> np.ndarray:
    return np.log(np.exp(scores).sum(1))


def _rows(scores: np.ndarray) -> float:
    return float((_log_sums(scores) - np.diag(scores)).mean())


def _both(scores: np.ndarray) -> float:
    return (_rows(scores) + _rows(scores.T)) / 2


def _logged(scores: np.ndarray) -> float:
    """Mean of the probabilities first, and then the logarithm."""
    rows = np.exp(np.diag(scores) - _log_sums(scores))
    columns = np.exp(np.diag(scores) - _log_sums(scores.T))
    return -math.log(np.concatenate([rows, columns]).mean())


def _others(scores: np.ndarray) -> float:
    """Loss whose sum leaves the partner out."""
    away = np.where(np.eye(len(scores)), -np.inf, scores)
    with np.errstate(divide="ignore"):
        return float(((_log_sums(away) + _log_sums(away.T)) / 2 - np.diag(scores)).mean())


contrastive = Step(
    right=_contrastive,
    cases=[
        ([[0.9, 0.1], [0.3, 0.6]], 2.0),
        ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], 5.0),
        ([[1.0, 0.2, -0.5], [0.4, 0.1, 0.7], [-0.3, 0.6, 0.8]], 3.0),
        ([[0.4]], 10.0),
        ([[0.0, 1.0], [1.0, 0.0]], 4.0),
    ],
    rule="for every row and every column: log of the sum of exp(scale · similarity), less scale · the "
    "partner's on the diagonal; then the mean of all",
    mistakes=[
        (_scored(_rows), "only rows are asked to find their partner; the columns are asked too"),
        (_scored(lambda s: _rows(s.T)), "only columns are asked to find their partner; the rows are asked too"),
        (
            lambda similarities, scale: _both(np.array(similarities, float)),
            "the scale is missing (or added, which changes nothing): numbers in [−1, 1] hardly differ for softmax",
        ),
        (
            lambda similarities, scale: _both(np.array(similarities, float) / scale),
            "you divide by the scale: it is 1 / temperature, so multiply",
        ),
        (
            lambda similarities, scale: _both(np.array(similarities, float) // scale),
            "multiply by the scale: it makes the differences between similarities larger",
        ),
        (_scored(lambda s: -_both(s)), "the sign is wrong: the loss is minus the logarithm of a probability"),
        (_scored(lambda s: 2 * _both(s)), "this is twice the loss: the mean over rows and columns, not their sum"),
        (_scored(lambda s: len(s) * _both(s)), "this is the sum over the moments: take the mean"),
        (
            _scored(lambda s: 2 * len(s) * _both(s)),
            "this is the sum over all rows and columns: take the mean",
        ),
        (
            _scored(lambda s: 2 * len(s) * 2 * len(s) * _both(s)),
            "divide the sum by the number of rows and columns; you multiply",
        ),
        (
            _scored(lambda s: 2 * len(s) * _both(s) // (2 * len(s))),
            "a mean is a fraction: /, not //",
        ),
        (
            _scored(lambda s: math.log(np.exp(s).sum()) - math.log(np.exp(np.diag(s)).sum())),
            "this is one softmax over the whole table: every row and every column has its own",
        ),
        (_scored(_logged), "take the logarithm of each probability first, and the mean after that"),
        (
            _scored(_others),
            "the sum leaves the partner out: softmax runs over all of a row, the partner too",
        ),
        (
            _scored(lambda s: (_log_sums(s) + _log_sums(s.T)).mean() / 2),
            "the partner's score is missing: take it away from the logarithm of the sum",
        ),
        (
            _scored(lambda s: (_log_sums(s) + _log_sums(s.T)).mean() / 2 + np.diag(s).mean()),
            "take the partner's score away from the logarithm of the sum; you add it",
        ),
        (
            _scored(lambda s: -np.diag(s).mean()),
            "this only pulls partners together; that all others are pushed apart, the sum in softmax does",
        ),
        (
            lambda similarities, scale: float(
                (_log_sums(scale * np.array(similarities)) + _log_sums(scale * np.array(similarities).T)).mean() / 2
                - np.diag(similarities).mean()
            ),
            "the partner's similarity has to be multiplied by the scale as well",
        ),
        (
            _scored(lambda s: ((np.exp(s).sum(1) + np.exp(s).sum(0)) / 2 - np.diag(s)).mean()),
            "the logarithm of the sum is missing",
        ),
        (
            _scored(lambda s: 1 - (np.exp(np.diag(s) - _log_sums(s)) + np.exp(np.diag(s) - _log_sums(s.T))).mean() / 2),
            "this is how often a draw would be wrong; the loss is minus the logarithm of the probability",
        ),
    ],
    inputs=_similarities,
    shows="where nothing is told apart, n moments cost ln n",
)  # fmt: skip

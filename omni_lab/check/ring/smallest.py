"""Small exercise of notebook 08: the smallest ring, with one token per rank."""

from __future__ import annotations

import math
import random

from omni_lab.check.stopping import Stopping


def _smallest_ring(query, key, value) -> list[float]:
    """Causal attention with one number per token, by the package."""
    import torch

    from omni_lab.parallel import attend

    rows = (
        torch.tensor(list(row), dtype=torch.float64)[None, None, :, None]
        for row in (query, key, value)
    )
    return attend(*rows, True, None, 1.0)[0].flatten().tolist()


def _ring(
    sees=lambda rank, other: other <= rank,
    weight=math.exp,
    steps=0,
    holds=-1,
    end="mean",
    score=lambda q, k, v: q * k,
    given=lambda q, k, v: v,
):
    """Ring with one thing wrong.

    Parameters
    ----------
    sees : whether a rank may use the key that it believes to have
    weight : of a value, from its score
    steps : more than W, or fewer
    holds : sense in which blocks really go round, −1 as it should be
    end : what becomes of the sums: `mean`, `sum`, or `weight`, the sum of weights alone
    score, given : of a rank's query, and a key and value that it has
    """

    def mistaken(query, key, value):
        ranks = len(query)
        found, total = [0.0] * ranks, [0.0] * ranks
        for step in range(ranks + steps):
            for rank in range(ranks):
                believed, held = (rank - step) % ranks, (rank + holds * step) % ranks
                if sees(rank, believed):
                    share = weight(score(query[rank], key[held], value[held]))
                    found[rank] += share * given(query[held], key[held], value[held])
                    total[rank] += share
        if end == "mean":
            return [a / z if z else 0.0 for a, z in zip(found, total, strict=True)]
        return found if end == "sum" else total

    return mistaken


def _last_alone(query, key, value):
    return list(value)


def _masked_by_zero(query, key, value):
    """Attention in which later keys have the score 0."""
    rows = []
    for rank, own in enumerate(query):
        weights = [math.exp(own * k * (at <= rank)) for at, k in enumerate(key)]
        pairs = zip(weights, value, strict=True)
        rows.append(sum(weight * v for weight, v in pairs) / sum(weights))
    return rows


def _keys_with_keys(query, key, value):
    return _ring()(key, key, value)


def _merged_by(merge):
    """Ring whose merges are wrong: of Z and out so far, and the weight and value that come."""

    def mistaken(query, key, value):
        out, total = [0.0] * len(query), [0.0] * len(query)
        for step in range(len(query)):
            for rank in range(step, len(query)):
                weight = math.exp(query[rank] * key[rank - step])
                out[rank] = merge(total[rank], out[rank], weight, value[rank - step])
                total[rank] += weight
        return out

    return mistaken


def _plain_mean_of_two(query, key, value):
    """Ring whose every merge takes the plain mean of what was there and what comes."""
    out = list(value)
    for step in range(1, len(query)):
        for rank in range(step, len(query)):
            out[rank] = (out[rank] + value[rank - step]) / 2
    return out


def _sum_kept_from_first(query, key, value):
    """Ring that forgets to add the new weight to what it divides by."""
    ranks = len(query)
    out = list(value)
    for step in range(1, ranks):
        for rank in range(step, ranks):
            first = math.exp(query[rank] * key[rank])
            share = math.exp(query[rank] * key[rank - step])
            out[rank] = (first * out[rank] + share * value[rank - step]) / (first + share)
    return out


smallest_ring = Stopping(
    right=_smallest_ring,
    cases=[
        ([0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 80.0]),
        ([1.0, 0.5, -1.0, 2.0], [0.3, -0.7, 1.1, 0.2], [1.0, 5.0, -2.0, 4.0]),
        ([1.0, -1.0, 0.5], [0.5, 1.0, -0.5], [3.0, 6.0, 12.0]),
        ([2.0, 1.0], [1.0, -1.0], [1.0, 9.0]),
        ([0.7], [2.0], [5.0]),
    ],
    rule="rank r has the key of rank (r − step) mod W, uses it if that is not later than r, and "
    "divides Σ exp(score) · value by Σ exp(score)",
    mistakes=[
        (
            _ring(sees=lambda rank, other: True),
            "every rank uses every key: attention is causal, so rank r may use the keys of ranks 0 "
            "to r only",
        ),
        (
            _ring(sees=lambda rank, other: other < rank),
            "a token does not see itself here: rank r may use its own key too, other <= rank",
        ),
        (
            _ring(sees=lambda rank, other: other >= rank),
            "ranks look ahead here: rank r may use the keys of ranks 0 to r, not those behind it",
        ),
        (
            _ring(sees=lambda rank, other: other > rank),
            "ranks look ahead here: rank r may use the keys of ranks 0 to r, not those behind it",
        ),
        (
            _ring(holds=1),
            "the blocks go round one way, and your `other` the other way: rank r takes what rank "
            "r − 1 had, so in step s it has the block of rank r − s",
        ),
        (
            _ring(steps=-1),
            "one step is missing: W blocks take W steps (and W − 1 hops between them)",
        ),
        (_ring(steps=1), "one step too many: after W steps a rank has its own block again"),
        (
            _ring(weight=lambda score: 1.0),
            "every key weighs the same: its weight is exp(query · key)",
        ),
        (
            _ring(weight=lambda score: score),
            "the weights are the scores themselves: a softmax takes exp of them",
        ),
        (
            _ring(weight=lambda score: math.exp(-score)),
            "the sign of the scores is wrong: a large score is a large weight",
        ),
        (
            _ring(end="sum"),
            "the sum is not divided: Σ exp(score) · value has to be divided by Σ exp(score)",
        ),
        (_ring(end="weight"), "this is the sum of the weights, Z, not the attention"),
        (
            _ring(score=lambda q, k, v: q / k),
            "a score is the *product* of query and key, not their quotient",
        ),
        (
            _ring(score=lambda q, k, v: q + k),
            "a score is the product of query and key, not their sum",
        ),
        (
            _ring(score=lambda q, k, v: q * v),
            "the query is multiplied by the value: a score is query · key",
        ),
        (
            _ring(given=lambda q, k, v: k),
            "this takes the mean of the keys: keys give the weights, and the *values* are weighted",
        ),
        (
            _ring(given=lambda q, k, v: q),
            "this takes the mean of the queries: take that of the values",
        ),
        (
            _ring(given=lambda q, k, v: -v),
            "the values are subtracted: add them up, each with its weight",
        ),
        (
            _ring(given=lambda q, k, v: 1 / v),
            "the weights are divided by the values: each value is multiplied by its weight",
        ),
        (
            _masked_by_zero,
            "a later key has the score 0 here, and so the weight exp(0) = 1: leave it out, or give "
            "it the score −∞",
        ),
        (
            _keys_with_keys,
            "keys meet keys here: a score is the *query* of the rank times the key that it has",
        ),
        (
            _merged_by(
                lambda total, out, weight, value: (total * out + weight * value) // (total + weight)
            ),
            "// drops what is left over: divide with /",
        ),
        (
            _merged_by(
                lambda total, out, weight, value: (total * out + weight * value) * (total + weight)
            ),
            "out is multiplied by the new Z: it has to be divided by it",
        ),
        (
            _last_alone,
            "every rank has only its own value: in step s, merge in the key and value of rank "
            "(r − s) mod W",
        ),
        (
            _plain_mean_of_two,
            "each merge takes the plain mean of what was there and what comes: weigh both by "
            "their Z, or the last block counts half",
        ),
        (
            _sum_kept_from_first,
            "Z is never brought up to date: after a merge it is the sum of both, or the next block "
            "weighs too much",
        ),
    ],
    inputs=lambda source: _random_row(source),
    stops={
        "ZeroDivisionError": "some rank has seen no key, so it divides by 0: in step 0 every rank "
        "uses its own key, other <= rank",
        "OverflowError": "the weights overflow: is each one the exp of a single "
        "score, query · key?",
    },
    shows="a ring of W ranks is causal attention, one block at a time",
)


def _random_row(source: random.Random) -> tuple:
    ranks = source.randrange(1, 6)
    return tuple([source.uniform(-2, 2) for _ in range(ranks)] for _ in range(3))

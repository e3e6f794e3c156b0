"""Right answers to the small exercises of notebook 08; the first of each is mutated."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
import torch


def two_merged(out_a, Z_a, out_b, Z_b):
    Z = Z_a + Z_b
    if Z == 0:
        return 0.0, 0.0
    return (Z_a * out_a + Z_b * out_b) / Z, Z


def two_merged_by_shares(out_a: float, Z_a: float, out_b: float, Z_b: float) -> list[float]:
    share = Z_b / (Z_a + Z_b) if Z_a + Z_b else 0
    return [out_a + share * (out_b - out_a), Z_a + Z_b]


def two_merged_in_numpy(out_a: float, Z_a: float, out_b: float, Z_b: float) -> np.ndarray:
    outs, sums = np.array([out_a, out_b]), np.array([Z_a, Z_b])
    return np.array([outs @ sums / max(sums.sum(), 1e-300), sums.sum()])


def two_merged_in_torch(out_a: float, Z_a: float, out_b: float, Z_b: float) -> tuple:
    sums = torch.tensor([Z_a, Z_b], dtype=torch.float64)
    weights = (sums / sums.sum()).nan_to_num(0.0)
    return (weights * torch.tensor([out_a, out_b], dtype=torch.float64)).sum(), sums.sum()


def log_sum_exp(scores):
    if not scores:
        return -math.inf
    top = max(scores)
    total = 0.0
    for score in scores:
        total += math.exp(score - top)
    return top + math.log(total)


def log_sum_exp_in_one_line(scores: list[float]) -> float:
    top = max(scores, default=-math.inf)
    return top + math.log(sum(math.exp(s - top) for s in scores)) if scores else top


def log_sum_exp_one_by_one(scores: list[float]) -> np.float64:
    lse = np.float64(-np.inf)
    for score in scores:
        lse = np.logaddexp(lse, score)
    return lse


def log_sum_exp_in_torch(scores: list[float]) -> torch.Tensor:
    return torch.logsumexp(torch.tensor(scores, dtype=torch.float64), 0)


def zigzag_holders(ranks):
    holders = []
    for chunk in range(2 * ranks):
        holders.append(min(chunk, 2 * ranks - 1 - chunk))
    return holders


def zigzag_holders_there_and_back(ranks: int) -> list[int]:
    there = list(range(ranks))
    return there + there[::-1]


def zigzag_holders_in_numpy(ranks: int) -> np.ndarray:
    return np.r_[:ranks, ranks - 1 : -1 : -1] if ranks > 1 else np.zeros(2, int)


def zigzag_holders_yielded(ranks: int) -> Iterator[int]:
    yield from range(ranks)
    yield from reversed(range(ranks))


def zigzag_holders_by_rank(ranks: int) -> list[int]:
    holders = [0] * (2 * ranks)
    for rank in range(ranks):
        holders[rank] = holders[2 * ranks - 1 - rank] = rank
    return holders


def pairs_of(places, edges):
    pairs = 0
    for place in places:
        start = max(edge for edge in edges if edge <= place)
        pairs += place - start + 1
    return pairs


def pairs_of_by_bisection(places: Sequence[int], edges: Sequence[int]) -> int:
    return sum(place - edges[bisect_right(edges, place) - 1] + 1 for place in places)


def pairs_of_in_numpy(places: Sequence[int], edges: Sequence[int]) -> np.int64:
    at, limits = np.array(places, int), np.array(edges)
    return (at - limits[np.searchsorted(limits, at, side="right") - 1] + 1).sum()


def pairs_of_by_mask(places: Sequence[int], edges: Sequence[int]) -> torch.Tensor:
    place = torch.arange(edges[-1])
    document = torch.bucketize(place, torch.tensor(edges), right=True)
    seen = (place[:, None] >= place) & (document[:, None] == document)
    return seen[list(places)].sum()


def pairs_of_counted_one_by_one(places: Sequence[int], edges: Sequence[int]) -> int:
    pairs = 0
    for query in places:
        for key in range(query + 1):
            pairs += not any(key < edge <= query for edge in edges)
    return pairs


def smallest_ring(query, key, value):
    ranks = len(query)
    out, Z = [0.0] * ranks, [0.0] * ranks
    for step in range(ranks):
        for rank in range(ranks):
            other = (rank - step) % ranks
            if other <= rank:
                weight = math.exp(query[rank] * key[other])
                out[rank] = (Z[rank] * out[rank] + weight * value[other]) / (Z[rank] + weight)
                Z[rank] += weight
    return out


def smallest_ring_with_a_list_that_turns(query: list, key: list, value: list) -> list[float]:
    held = [(rank, *block) for rank, block in enumerate(zip(key, value, strict=True))]
    found, total = [0.0] * len(held), [0.0] * len(held)
    for _ in range(len(held)):
        for rank, (owner, its_key, its_value) in enumerate(held):
            if owner <= rank:
                weight = math.exp(query[rank] * its_key)
                found[rank] += weight * its_value
                total[rank] += weight
        held = [held[-1], *held[:-1]]
    return [a / z for a, z in zip(found, total, strict=True)]


def smallest_ring_in_numpy(query: list, key: list, value: list) -> np.ndarray:
    rank = np.arange(len(query))
    found, total = np.zeros(len(query)), np.zeros(len(query))
    for step in rank:
        other = (rank - step) % len(query)
        weight = np.where(other <= rank, np.exp(np.array(query) * np.array(key)[other]), 0)
        found, total = found + weight * np.array(value)[other], total + weight
    return found / total


def smallest_ring_all_at_once(query: list, key: list, value: list) -> torch.Tensor:
    q, k, v = (torch.tensor(row, dtype=torch.float64) for row in (query, key, value))
    ahead = torch.ones(len(q), len(q), dtype=torch.bool).triu(1)
    return (q[:, None] * k).masked_fill(ahead, -math.inf).softmax(-1) @ v


def backward_bytes(numbers, ranks):
    if ranks == 1:
        return 0
    keys = 2 * (ranks - 1)
    gradients = 4 * ranks
    return numbers * (keys + gradients)


def backward_bytes_in_one_line(numbers: int, ranks: int) -> int:
    return numbers * (6 * ranks - 2) if ranks > 1 else 0


def backward_bytes_step_by_step(numbers: int, ranks: int) -> int:
    sent = 0
    for step in range(ranks):
        if step < ranks - 1:
            sent += 2 * numbers  # K and V
        if ranks > 1:
            sent += 4 * numbers  # what was added to their gradients
    return sent


def backward_bytes_in_numpy(numbers: int, ranks: int) -> np.int64:
    hops = np.array([ranks - 1, ranks * (ranks > 1)])
    return hops @ np.array([2, 4]) * numbers


def pass_seconds(work_s, travel_s, ranks):
    return (ranks - 1) * max(work_s, travel_s) + work_s


def pass_seconds_step_by_step(work_s: float, travel_s: float, ranks: int) -> float:
    time = 0.0
    for step in range(ranks):
        done = time + work_s
        if step < ranks - 1:
            done = max(done, time + travel_s)
        time = done
    return time


def pass_seconds_by_waits(work_s: float, travel_s: float, ranks: int) -> float:
    return ranks * work_s + (ranks - 1) * max(0, travel_s - work_s)


def pass_seconds_in_numpy(work_s: float, travel_s: float, ranks: int) -> np.float64:
    travel = np.where(np.arange(ranks) < ranks - 1, travel_s, 0)
    return np.maximum(work_s, travel).sum()


ANSWERS = {
    "two_merged": (two_merged, two_merged_by_shares, two_merged_in_numpy, two_merged_in_torch),
    "log_sum_exp": (
        log_sum_exp, log_sum_exp_in_one_line, log_sum_exp_one_by_one, log_sum_exp_in_torch,
    ),
    "zigzag_holders": (
        zigzag_holders, zigzag_holders_there_and_back, zigzag_holders_in_numpy,
        zigzag_holders_yielded, zigzag_holders_by_rank,
    ),
    "pairs_of": (
        pairs_of, pairs_of_by_bisection, pairs_of_in_numpy, pairs_of_by_mask,
        pairs_of_counted_one_by_one,
    ),
    "smallest_ring": (
        smallest_ring, smallest_ring_with_a_list_that_turns, smallest_ring_in_numpy,
        smallest_ring_all_at_once,
    ),
    "backward_bytes": (
        backward_bytes, backward_bytes_in_one_line, backward_bytes_step_by_step,
        backward_bytes_in_numpy,
    ),
    "pass_seconds": (
        pass_seconds, pass_seconds_step_by_step, pass_seconds_by_waits, pass_seconds_in_numpy,
    ),
}  # fmt: skip

"""Right answers to the small exercises of notebook 00; the first of each is mutated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch


def picture_times(seconds, per_second):
    return [round((k + 0.5) / per_second * 16_000) for k in range(seconds * per_second)]


def picture_times_by_steps(seconds: int, per_second: int) -> list[float]:
    step = 16_000 / per_second
    times, at = [], step / 2
    while at < seconds * 16_000:
        times.append(at)
        at += step
    return times


def picture_times_in_numpy(seconds: int, per_second: int) -> np.ndarray:
    return (np.arange(seconds * per_second) + 0.5) / per_second * 16_000


def picture_times_yielded(seconds: int, per_second: int):
    for k in range(seconds * per_second):
        yield (2 * k + 1) * 8_000 // per_second


def one_second(asked, answered):
    tokens = ["<unit>"] + 4 * ["<image>"] + 5 * ["<audio>"] + ["<listen>"]
    if asked:
        tokens += ["<visitor>", *asked]
    if answered:
        tokens += ["<speak>", *answered, "<listen>"]
    return tokens


def one_second_in_one_line(asked: list[str], answered: list[str]) -> list[str]:
    turns = (["<visitor>", *asked] if asked else []) + (
        ["<speak>", *answered, "<listen>"] if answered else []
    )
    return ["<unit>", *["<image>"] * 4, *["<audio>"] * 5, "<listen>", *turns]


def one_second_yielded(asked: list[str], answered: list[str]):
    yield "<unit>"
    yield from itertools.chain(["<image>"] * 4, ["<audio>"] * 5)
    yield "<listen>"
    if len(asked) > 0:
        yield "<visitor>"
        yield from asked
    if len(answered) > 0:
        yield "<speak>"
        yield from answered
        yield "<listen>"


def uniform_loss(size):
    return -math.log(1 / size)


def uniform_loss_of_the_size(size: int) -> float:
    return math.log(size)


def uniform_loss_in_numpy(size: int) -> np.float64:
    probabilities = np.full(size, 1 / size)
    return -np.log(probabilities[0])


def manners_loss(possible, tokens):
    return sum(math.log(n) for n in possible) / tokens


def manners_loss_by_probabilities(possible: list[int], tokens: int) -> float:
    surprise = 0.0
    for n in possible:
        surprise -= math.log(1 / n)
    return surprise / tokens


def manners_loss_in_numpy(possible: list[int], tokens: int) -> np.float64:
    return np.log(possible).sum() / tokens


def manners_loss_in_torch(possible: list[int], tokens: int) -> torch.Tensor:
    return torch.tensor(possible, dtype=torch.float64).log().sum() / tokens


def chance_left(things):
    return sum(1 / n for n in things) / len(things)


def chance_left_in_numpy(things: list[int]) -> np.float64:
    return np.mean(1 / np.array(things))


def chance_left_by_a_loop(things: list[int]) -> float:
    total = 0.0
    for n in things:
        total += 1 / n
    return total / len(things)


def row_rates(counts):
    rates = []
    for row in counts:
        total = sum(row)
        rates.append([count / total for count in row])
    return rates


def row_rates_in_one_line(counts: list[list[int]]) -> list[list[float]]:
    return [[count / sum(row) for count in row] for row in counts]


def row_rates_in_numpy(counts: list[list[int]]) -> np.ndarray:
    counts = np.array(counts)
    return counts / counts.sum(axis=1, keepdims=True)


def row_rates_in_torch(counts: list[list[int]]) -> torch.Tensor:
    counts = torch.tensor(counts, dtype=torch.float64)
    return counts / counts.sum(1, keepdim=True)


ANSWERS = {
    "picture_times": (
        picture_times,
        picture_times_by_steps,
        picture_times_in_numpy,
        picture_times_yielded,
    ),
    "one_second": (one_second, one_second_in_one_line, one_second_yielded),
    "uniform_loss": (uniform_loss, uniform_loss_of_the_size, uniform_loss_in_numpy),
    "manners_loss": (
        manners_loss,
        manners_loss_by_probabilities,
        manners_loss_in_numpy,
        manners_loss_in_torch,
    ),
    "chance_left": (chance_left, chance_left_in_numpy, chance_left_by_a_loop),
    "row_rates": (row_rates, row_rates_in_one_line, row_rates_in_numpy, row_rates_in_torch),
}

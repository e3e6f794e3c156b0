"""Right answers to the small exercises of notebook 07; the first of each is mutated."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch

from omni_lab.evaluation.intervals import wilson
from omni_lab.model.rope import turns


# --- turned
def turned(point, angle):
    x, y = point
    cos, sin = math.cos(angle), math.sin(angle)
    return [x * cos - y * sin, x * sin + y * cos]


def turned_by_a_matrix(point: tuple, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]]) @ point


def turned_as_a_complex_number(point: tuple, angle: float) -> tuple:
    number = complex(*point) * np.exp(1j * angle)
    return number.real, number.imag


def turned_in_polar_coordinates(point: tuple, angle: float):
    radius, start = math.hypot(*point), math.atan2(point[1], point[0])
    yield from (radius * math.cos(start + angle), radius * math.sin(start + angle))


# --- turned_head
def turned_head(vector, position, theta):
    half = len(vector) // 2
    first, second = [], []
    for pair in range(half):
        angle = position * theta ** (-pair / half)
        x, y = vector[pair], vector[pair + half]
        first.append(x * math.cos(angle) - y * math.sin(angle))
        second.append(x * math.sin(angle) + y * math.cos(angle))
    return first + second


def turned_head_in_numpy(vector: np.ndarray, position: int, theta: float) -> np.ndarray:
    x, y = np.split(vector, 2)
    angles = position * theta ** (-2 * np.arange(len(x)) / len(vector))
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([x * cos - y * sin, x * sin + y * cos])


def turned_head_by_complex_numbers(vector: np.ndarray, position: int, theta: float) -> torch.Tensor:
    x, y = torch.tensor(vector).chunk(2)
    angles = torch.tensor(2 * np.pi * turns(len(vector), theta, position))
    out = torch.complex(x, y) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([out.real, out.imag])


# --- new_pairs
def new_pairs(length, head_dim, theta):
    found = []
    for pair in range(head_dim // 2):
        angle = length * theta ** (-2 * pair / head_dim)
        if angle < 2 * math.pi:
            found.append(pair)
    return found


def new_pairs_in_one_line(length: int, head_dim: int, theta: float) -> list[int]:
    return [i for i in range(head_dim // 2) if length < math.tau * theta ** (2 * i / head_dim)]


def new_pairs_in_numpy(length: int, head_dim: int, theta: float) -> np.ndarray:
    angles = length * theta ** -np.linspace(0, 1, head_dim // 2, endpoint=False)
    return np.nonzero(angles < 2 * np.pi)[0]


def new_pairs_by_the_first(length: int, head_dim: int, theta: float):
    turning = int((turns(head_dim, theta, length) >= 1).sum())
    yield from range(turning, head_dim // 2)


# --- looks_back
def looks_back(distance, offset, speeds, factor):
    score = 0
    for speed in speeds:
        score = score + speed * math.cos(speed * (distance / factor - offset))
    return score


def looks_back_in_one_line(distance: int, offset: int, speeds: list, factor: float) -> float:
    return sum(speed * math.cos(speed * (distance / factor - offset)) for speed in speeds)


def looks_back_in_numpy(distance: int, offset: int, speeds: list, factor: float) -> np.float64:
    speeds = np.asarray(speeds)
    return speeds @ np.cos(speeds * (distance - offset * factor) / factor)


def looks_back_in_torch(distance: int, offset: int, speeds: list, factor: float) -> torch.Tensor:
    speeds = torch.tensor(speeds, dtype=torch.float64)
    return (speeds * torch.cos(distance * speeds / factor - offset * speeds)).sum()


# --- half_way
def half_way(pieces):
    said = set()
    for at in range(len(pieces) - 1):
        if pieces[at] == "says":
            said.add(pieces[at + 1])
    return math.log(len(said))


def half_way_by_neighbours(pieces: tuple[str, ...]) -> float:
    return math.log(len({after for here, after in pairwise(pieces) if here == "says"}))


def half_way_in_numpy(pieces: tuple[str, ...]) -> np.float64:
    row = np.array(pieces)
    return np.log(len(np.unique(row[1:][row[:-1] == "says"])))


def half_way_as_cross_entropy(pieces: tuple[str, ...]) -> torch.Tensor:
    words = {pieces[at + 1] for at, piece in enumerate(pieces[:-1]) if piece == "says"}
    return -torch.log_softmax(torch.zeros(len(words), dtype=torch.float64), 0)[0]


# --- plausible
def plausible(rates, right, total):
    found = []
    for rate in rates:
        spread = math.sqrt(rate * (1 - rate) / total)
        if abs(right / total - rate) <= 1.96 * spread:
            found.append(rate)
    return found


def plausible_in_one_line(rates: list, right: int, total: int) -> list:
    return [r for r in rates if (right / total - r) ** 2 <= 1.96**2 * r * (1 - r) / total]


def plausible_in_numpy(rates: list, right: int, total: int) -> np.ndarray:
    rates = np.array(rates)
    return rates[np.abs(right - total * rates) <= 1.96 * np.sqrt(total * rates * (1 - rates))]


def plausible_by_wilson(rates: list, right: int, total: int):
    low, high = wilson(right, total)
    yield from (rate for rate in rates if low <= rate <= high)


# --- student
def student(values, quantile):
    mean, spread = np.mean(values), np.std(values, ddof=1)
    half = quantile * spread / math.sqrt(len(values))
    return [mean - half, mean + half]


def student_by_hand(values: list, quantile: float) -> list:
    n = len(values)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    half = quantile * (variance / n) ** 0.5
    return [mean - half, mean + half]


def student_in_torch(values: list, quantile: float) -> torch.Tensor:
    values = torch.tensor(values, dtype=torch.float64)
    half = quantile * values.std() / len(values) ** 0.5
    return values.mean() + torch.tensor([-1, 1]) * half


def student_yielded(values: list, quantile: float):
    from statistics import fmean, stdev

    for sign in (-1, 1):
        yield fmean(values) + sign * quantile * stdev(values) / math.sqrt(len(values))


ANSWERS: dict[str, tuple[Callable, ...]] = {
    "turned": (
        turned, turned_by_a_matrix, turned_as_a_complex_number, turned_in_polar_coordinates,
    ),
    "turned_head": (turned_head, turned_head_in_numpy, turned_head_by_complex_numbers),
    "new_pairs": (
        new_pairs, new_pairs_in_one_line, new_pairs_in_numpy, new_pairs_by_the_first,
    ),
    "looks_back": (
        looks_back, looks_back_in_one_line, looks_back_in_numpy, looks_back_in_torch,
    ),
    "half_way": (
        half_way, half_way_by_neighbours, half_way_in_numpy, half_way_as_cross_entropy,
    ),
    "plausible": (
        plausible, plausible_in_one_line, plausible_in_numpy, plausible_by_wilson,
    ),
    "student": (student, student_by_hand, student_in_torch, student_yielded),
}  # fmt: skip

"""Right answers to the small exercises of notebook 02; the first of each is mutated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import torch

# --- what a stream costs


def stream_length(seen, heard, turns, image, audio):
    length = 0
    for picture, sound in zip(seen, heard):  # noqa: B905 - as a learner writes it
        length += 2 + image * picture + audio * sound
    for role, words in turns:
        length += words + (2 if role == "guide" else 1)
    return length


def stream_length_in_sums(seen, heard, turns, image, audio) -> int:
    units = 2 * len(seen) + image * sum(seen) + audio * sum(heard)
    return units + sum(words + 1 + (role == "guide") for role, words in turns)


def stream_length_in_numpy(seen, heard, turns, image, audio) -> np.int64:
    words = np.array([count for _, count in turns], int).sum()
    marks = sum({"visitor": 1, "guide": 2}[role] for role, _ in turns)
    return image * np.sum(seen) + audio * np.sum(heard) + 2 * len(seen) + words + marks


# --- a document's line


def album_line(parts, marks, prompt):
    line, number = [], 0
    for part in parts:
        if part != "image":
            line.append(part)
            continue
        number += 1
        if prompt:
            line.append(f"image {number}")
        if marks:
            line.append("<im_start>")
        line.append("image")
        if marks:
            line.append("<im_end>")
    return line


def album_line_by_multiplying(parts: list, marks: bool, prompt: bool) -> list[str]:
    line = []
    for place, part in enumerate(parts):
        if part == "image":
            number = parts[: place + 1].count("image")
            line += (
                [f"image {number}"] * prompt
                + ["<im_start>"] * marks
                + [part]
                + ["<im_end>"] * marks
            )
        else:
            line += [part]
    return line  # fmt: skip


def album_line_yielded(parts: list, marks: bool, prompt: bool) -> Iterator[str]:
    number = 0
    for part in parts:
        if part == "image":
            number += 1
            if prompt:
                yield "image " + str(number)
            yield from ("<im_start>", "image", "<im_end>") if marks else ("image",)
        else:
            yield part


# --- the grid of a picture


def best_grid(width, height, grids, side):
    def worth(grid):
        rows, columns = grid
        scale = min(columns * side / width, rows * side / height, 1)
        return scale, -rows * columns

    return max(grids, key=worth)


def best_grid_in_a_loop(width: int, height: int, grids: list, side: int) -> tuple[int, int]:
    best, most, fewest = None, -1, 0
    for rows, columns in grids:
        scale = min(1, Fraction(columns * side, width), Fraction(rows * side, height))
        if scale > most or (scale == most and rows * columns < fewest):
            best, most, fewest = (rows, columns), scale, rows * columns
    return best


def best_grid_by_sorting(width: int, height: int, grids: list, side: int) -> list[int]:
    rank = lambda g: (-min(g[1] * side / width, g[0] * side / height, 1.0), g[0] * g[1])  # noqa: E731
    return list(sorted(grids, key=rank)[0])


# --- packing


def best_fit(lengths, capacity):
    rows, free = [], []
    for number, length in enumerate(lengths):
        fitting = [row for row in range(len(rows)) if free[row] >= length]
        if fitting:
            row = min(fitting, key=lambda row: free[row])
        else:
            rows.append([])
            free.append(capacity)
            row = len(rows) - 1
        rows[row].append(number)
        free[row] -= length
    return rows


def best_fit_by_filling(lengths: list[int], capacity: int) -> tuple[tuple[int, ...], ...]:
    rows: list[list[int]] = []
    for number, length in enumerate(lengths):
        filled = [sum(lengths[held] for held in row) for row in rows]
        there = [(taken, -at) for at, taken in enumerate(filled) if taken + length <= capacity]
        if there:
            rows[-max(there)[1]].append(number)
        else:
            rows.append([number])
    return tuple(map(tuple, rows))


def best_fit_in_numpy(lengths: list[int], capacity: int) -> list[list[int]]:
    free = np.full(len(lengths) + 1, capacity)
    rows: list[list[int]] = [[] for _ in free]
    for number, length in enumerate(lengths):
        row = int(np.argmin(np.where(free >= length, free, capacity + 1)))
        rows[row].append(number)
        free[row] -= length
    return [row for row in rows if row]


# --- what keeps documents apart


def document_mask(documents):
    places = range(len(documents))
    return [[j <= i and documents[i] == documents[j] for j in places] for i in places]


def document_mask_in_torch(documents: list[int]) -> torch.Tensor:
    numbers = torch.tensor(documents)
    return (numbers[:, None] == numbers[None]).tril()


def document_mask_in_numpy(documents: list[int]) -> np.ndarray:
    numbers, place = np.array(documents), np.arange(len(documents))
    return (numbers[:, None] == numbers) & (place[:, None] >= place)


def document_mask_in_a_loop(documents: list[int]) -> list[list[int]]:
    mask = [[0] * len(documents) for _ in documents]
    for looks, own in enumerate(documents):
        for at in range(looks + 1):
            mask[looks][at] = int(documents[at] == own)
    return mask


def positions(documents):
    found = []
    for place, document in enumerate(documents):
        if place and document == documents[place - 1]:
            found.append(found[-1] + 1)
        else:
            found.append(0)
    return found


def positions_by_counting(documents: list[int]) -> list[int]:
    return [documents[:place].count(document) for place, document in enumerate(documents)]


def positions_in_numpy(documents: list[int]) -> np.ndarray:
    numbers = np.array(documents)
    return np.arange(len(numbers)) - np.searchsorted(numbers, numbers)


def positions_yielded(documents: list[int]) -> Iterator[int]:
    for place, document in enumerate(documents):
        yield place - documents.index(document)


# --- a mask that is turned down


def turned_down(scores, heard, strength):
    powers = []
    for score, sound in zip(scores, heard):  # noqa: B905 - as a learner writes it
        if sound:
            score = score + math.log(strength)
        powers.append(math.exp(score))
    return [power / sum(powers) for power in powers]


def turned_down_by_weights(scores: list, heard: list, strength: float) -> torch.Tensor:
    weights = torch.tensor(scores, dtype=torch.float64).softmax(0)
    weights[torch.tensor(heard)] *= strength
    return weights / weights.sum()


def turned_down_in_numpy(scores: list, heard: list, strength: float) -> np.ndarray:
    powers = np.exp(np.array(scores) + np.where(heard, np.log(strength), 0))
    return powers / powers.sum()


ANSWERS: dict[str, tuple[Callable, ...]] = {
    "stream_length": (stream_length, stream_length_in_sums, stream_length_in_numpy),
    "album_line": (album_line, album_line_by_multiplying, album_line_yielded),
    "best_grid": (best_grid, best_grid_in_a_loop, best_grid_by_sorting),
    "best_fit": (best_fit, best_fit_by_filling, best_fit_in_numpy),
    "document_mask": (
        document_mask, document_mask_in_torch, document_mask_in_numpy, document_mask_in_a_loop,
    ),
    "positions": (positions, positions_by_counting, positions_in_numpy, positions_yielded),
    "turned_down": (turned_down, turned_down_by_weights, turned_down_in_numpy),
}  # fmt: skip

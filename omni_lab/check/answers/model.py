"""Right answers to the exercises of notebook 03; the first of each is mutated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch.nn import functional as F

# --- which token sees a patch


def token_of(patch, side, cells):
    per_cell = side // cells
    row, column = patch // side, patch % side
    return row // per_cell * cells + column // per_cell


def token_of_in_one_line(patch: int, side: int, cells: int) -> int:
    return patch // side * cells // side * cells + patch % side * cells // side


def token_of_in_numpy(patch: int, side: int, cells: int) -> np.int64:
    row, column = np.unravel_index(patch, (side, side))
    size = side // cells
    return np.ravel_multi_index((row // size, column // size), (cells, cells))


def token_of_by_search(patch: int, side: int, cells: int) -> Any:
    size = side // cells
    for token in range(cells**2):
        top, left = token // cells * size, token % cells * size
        if patch in [(top + y) * side + left + x for y in range(size) for x in range(size)]:
            return token
    return None


# --- numbers behind one audio token


def sound_width(frames, tokens, width):
    positions = frames // 2
    return positions // tokens * width


def sound_width_in_one_line(frames: int, tokens: int, width: int) -> float:
    return frames * width / (2 * tokens)


def sound_width_in_numpy(frames: int, tokens: int, width: int) -> np.int64:
    states = np.zeros((frames, width))[::2]
    return np.prod(states.reshape(tokens, -1).shape[1:])


# --- vectors in the places of placeholders


def placed(ids, placeholder, table, vectors):
    rows, at = [], 0
    for one in ids:
        if one == placeholder:
            rows.append(vectors[at])
            at += 1
        else:
            rows.append(table[one])
    return rows


def placed_by_an_iterator(ids: list, placeholder: int, table: list, vectors: list) -> list:
    following = iter(vectors)
    return [next(following) if one == placeholder else table[one] for one in ids]


def placed_in_numpy(ids: list, placeholder: int, table: list, vectors: list) -> np.ndarray:
    rows = np.array(table)[ids]
    if vectors:
        rows[np.array(ids) == placeholder] = vectors
    return rows


def placed_yielded(ids: list, placeholder: int, table: list, vectors: list) -> Any:
    left = list(vectors)
    for one in ids:
        yield left.pop(0) if one == placeholder else table[one]


# --- weights of a connector


def connector_weights(merged, width, tokens):
    norm = 2 * merged
    up = merged * width + width
    down = width * width + width
    place = tokens * width
    return norm + up + down + place


def connector_weights_in_one_line(merged: int, width: int, tokens: int) -> int:
    return merged * (width + 2) + width * (width + tokens + 2)


def connector_weights_in_torch(merged: int, width: int, tokens: int) -> int:
    parts = (
        torch.nn.LayerNorm(merged, device="meta"),
        torch.nn.Linear(merged, width, device="meta"),
        torch.nn.Linear(width, width, device="meta"),
        torch.nn.Embedding(tokens, width, device="meta"),
    )
    return sum(weight.numel() for part in parts for weight in part.parameters())


def connector_weights_in_numpy(merged: int, width: int, tokens: int) -> np.int64:
    shapes = [(2, merged), (merged + 1, width), (width + 1, width), (tokens, width)]
    return np.sum([np.prod(shape) for shape in shapes])


# --- heads that share keys and values


def kv_head(query, heads, kv_heads):
    group = heads // kv_heads
    return query // group


def kv_head_in_one_line(query: int, heads: int, kv_heads: int) -> int:
    return query * kv_heads // heads


def kv_head_in_numpy(query: int, heads: int, kv_heads: int) -> np.int64:
    return np.repeat(np.arange(kv_heads), heads // kv_heads)[query]


# --- weights that see nothing but change


def only_change(weights):
    columns = list(zip(*weights, strict=True))
    means = [sum(column) / len(weights) for column in columns]
    return [[one - mean for one, mean in zip(row, means, strict=True)] for row in weights]


def only_change_in_numpy(weights: list) -> np.ndarray:
    return np.array(weights) - np.mean(weights, axis=0)


def only_change_in_torch(weights: list) -> torch.Tensor:
    own = torch.tensor(weights, dtype=torch.float64)
    return own - own.mean(0, keepdim=True)


def only_change_yielded(weights: list) -> Any:
    for row in weights:
        yield [
            one - sum(other[at] for other in weights) / len(weights) for at, one in enumerate(row)
        ]


# --- alignment loss


def contrastive(similarities, scale):
    losses = []
    for table in (similarities, list(zip(*similarities, strict=True))):
        for moment, row in enumerate(table):
            scores = [scale * one for one in row]
            losses.append(math.log(sum(map(math.exp, scores))) - scores[moment])
    return sum(losses) / len(losses)


def contrastive_in_torch(similarities: list, scale: float) -> torch.Tensor:
    scores = scale * torch.tensor(similarities, dtype=torch.float64)
    right = torch.arange(len(scores))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


def contrastive_in_numpy(similarities: list, scale: float) -> np.float64:
    scores = scale * np.array(similarities)
    rows = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    columns = scores - np.log(np.exp(scores).sum(0, keepdims=True))
    return -(np.diag(rows) + np.diag(columns)).mean() / 2


ANSWERS = {
    "token_of": (token_of, token_of_in_one_line, token_of_in_numpy, token_of_by_search),
    "sound_width": (sound_width, sound_width_in_one_line, sound_width_in_numpy),
    "placed": (placed, placed_by_an_iterator, placed_in_numpy, placed_yielded),
    "connector_weights": (
        connector_weights, connector_weights_in_one_line, connector_weights_in_torch,
        connector_weights_in_numpy,
    ),
    "kv_head": (kv_head, kv_head_in_one_line, kv_head_in_numpy),
    "only_change": (only_change, only_change_in_numpy, only_change_in_torch, only_change_yielded),
    "contrastive": (contrastive, contrastive_in_torch, contrastive_in_numpy),
}  # fmt: skip

# --- the connector (long exercise): a comment `#: word` names what a slip on its line is called


def connected(states, cells, up, down, place):
    frames, patches, _ = states.shape
    side = round(patches**0.5)  #: grid
    size = side // cells  #: grid
    rows = []
    for row in range(cells):  #: cell
        for column in range(cells):  #: cell
            seen = []
            for frame in range(frames):  #: cell
                for y in range(row * size, (row + 1) * size):  #: cell
                    for x in range(column * size, (column + 1) * size):  #: cell
                        seen.append(states[frame, y * side + x])  #: cell
            rows.append(torch.cat(seen))
    merged = torch.stack(rows)  #: cell
    mean = merged.mean(1, keepdim=True)  #: norm
    deviation = merged.std(1, keepdim=True, correction=0)  #: norm
    normed = (merged - mean) / deviation  #: norm
    return F.gelu(normed @ up) @ down + place  #: map


def connected_by_einops(states: Any, cells: int, up: Any, down: Any, place: Any) -> Any:
    side = round(states.shape[1] ** 0.5)
    merged = rearrange(
        states, "f (r h c w) d -> (r c) (f h w d)", r=cells, c=cells, h=side // cells
    )
    return F.gelu(F.layer_norm(merged, merged.shape[1:]) @ up) @ down + place


def connected_by_reshaping(states: Any, cells: int, up: Any, down: Any, place: Any) -> Any:
    frames, patches, width = states.shape
    size = round(patches**0.5) // cells
    grid = states.reshape(frames, cells, size, cells, size, width)
    merged = grid.permute(1, 3, 0, 2, 4, 5).reshape(cells**2, -1)
    normed = torch.nn.LayerNorm(merged.shape[1], elementwise_affine=False)(merged)
    return torch.nn.GELU()(normed @ up).matmul(down).add(place)


def connected_in_numpy(*given: Any) -> np.ndarray:
    states, cells, up, down, place = (np.asarray(one) for one in given)
    frames, patches, width = states.shape
    grid = states.reshape(frames, round(patches**0.5), -1, width)
    size = grid.shape[1] // int(cells)
    merged = np.array([
        grid[:, row : row + size, column : column + size].ravel()
        for row in range(0, grid.shape[1], size)
        for column in range(0, grid.shape[1], size)
    ])  # fmt: skip
    normed = (merged - merged.mean(1, keepdims=True)) / merged.std(1, keepdims=True)
    hidden = F.gelu(torch.from_numpy(normed @ up)).numpy()
    return hidden @ down + place


def connected_as_a_list(states: Any, cells: int, up: Any, down: Any, place: Any) -> list:
    grid = states.unflatten(1, (round(states.shape[1] ** 0.5), -1))
    found = []
    for row in grid.chunk(cells, 1):
        for cell in row.chunk(cells, 2):
            one = F.layer_norm(cell.flatten(), (cell.numel(),))
            found.append(F.gelu(one @ up) @ down + place[len(found)])
    return found

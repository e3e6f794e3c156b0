"""Right answers to the exercises, in several styles; the first of each is the one that is mutated.

A comment `#: word` names what a slip on its line may rightly be called (`Exercise.meant`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from omni_lab.media.subtitles.reader import Cue

# --- loss mask


def loss_mask(tokens, roles):
    learned = []
    for token, role in zip(tokens, roles, strict=True):  #: pairs
        control = token in ("<listen>", "<speak>")  #: control
        words = role == "guide"  #: words
        learned.append(control or words)  #: both
    return learned


def loss_mask_in_one_line(tokens: list, roles: list) -> list:
    return [
        t in {"<listen>", "<speak>"} or r == "guide" for t, r in zip(tokens, roles, strict=True)
    ]


def loss_mask_in_numpy(tokens: list, roles: list) -> np.ndarray:
    own = np.array([role == "guide" for role in roles])
    return own | np.isin(tokens, ["<listen>", "<speak>"])


def loss_mask_in_torch(tokens: list, roles: list) -> torch.Tensor:
    return torch.from_numpy(loss_mask_in_numpy(tokens, roles))


def loss_mask_yielded(tokens: list, roles: list) -> Any:
    for token, role in zip(tokens, roles, strict=True):
        yield role == "guide" or token == "<listen>" or token == "<speak>"


def loss_mask_recursive(tokens: list, roles: list) -> list:
    if not tokens:
        return []
    first = int(tokens[0] in ("<listen>", "<speak>") or roles[0] == "guide")
    return [first, *loss_mask_recursive(tokens[1:], roles[1:])]


# --- rebased subtitles


def rebased(cues, start, end):
    found = []
    for cue in cues:
        inside = [w for w in cue.words if start <= (w.start + w.end) / 2 < end]  #: home
        if len(inside) > 0:  #: home
            begin = max(cue.start, start) - start  #: start
            until = min(cue.end, end) - start  #: end
            moved = [replace(w, start=w.start - start, end=w.end - start) for w in inside]  #: words
            text = " ".join(w.text for w in inside)  #: text
            found.append(
                replace(cue, start=begin, end=until, text=text, words=tuple(moved))
            )  #: cue
    return found


def rebased_as_a_tuple(cues: list[Cue], start: int, end: int) -> tuple:
    def part(cue: Cue) -> Cue:
        own = tuple(word for word in cue.words if start <= (word.start + word.end) // 2 < end)
        text = " ".join(word.text for word in own)
        times = {"start": max(cue.start, start), "end": min(cue.end, end)}
        return replace(cue, **times, text=text, words=own).moved(-start)

    return tuple(part for part in map(part, cues) if part.words)


def rebased_in_numpy(cues: list[Cue], start: int, end: int) -> list:
    found = []
    for cue in cues:
        middles = np.array([word.start + word.end for word in cue.words]) / 2
        first, last = np.searchsorted(middles, [start, end])
        if first < last:
            own = cue.words[first:last]
            times = {
                "start": int(np.maximum(cue.start, start)),
                "end": int(np.minimum(cue.end, end)),
            }
            part = replace(cue, **times, text=" ".join(w.text for w in own), words=own)
            found.append(part.moved(-start))
    return found


def rebased_yielded(cues: list[Cue], start: int, end: int) -> Any:
    yield from rebased_as_a_tuple(cues, start, end)


# --- interleaver


def interleaved(seen, heard, cues):
    stream = []
    for unit in range(len(seen)):  #: units
        stream += ["<unit>"]  #: unit
        if seen[unit]:  #: senses
            stream += ["image"]  #: senses
        if heard[unit]:  #: senses
            stream += ["audio"]  #: senses
        stream += ["<listen>"]  #: listen
        for start, role, text in cues:
            if min(int(start), len(seen) - 1) == unit:  #: home
                if role == "guide":  #: role
                    stream += ["<speak>", text, "<listen>"]  #: own
                else:
                    stream += ["<visitor>", text]  #: visitor
    return stream


def interleaved_by_unit(seen: list, heard: list, cues: list) -> list:
    last = len(seen) - 1
    units: list[list[str]] = [
        ["<unit>", *["image"] * see, *["audio"] * hear, "<listen>"]
        for see, hear in zip(seen, heard, strict=True)
    ]
    for start, role, text in cues:
        own = ["<speak>", text, "<listen>"] if role == "guide" else ["<visitor>", text]
        units[min(math.floor(start), last)].extend(own)
    return [word for unit in units for word in unit]


def interleaved_yielded(seen: list, heard: list, cues: list) -> Any:
    starts = list(range(1, len(seen)))
    for unit in range(len(seen)):
        yield "<unit>"
        yield from ["image"] * seen[unit] + ["audio"] * heard[unit] + ["<listen>"]
        for start, role, text in cues:
            if bisect_right(starts, start) == unit:
                yield {"guide": "<speak>", "visitor": "<visitor>"}[role]
                yield text
                yield from ["<listen>"] * (role == "guide")


def interleaved_as_a_tuple(seen: list, heard: list, cues: list) -> tuple:
    return tuple(interleaved_by_unit(seen, heard, cues))


# --- RoPE base


def raised_base(length, head_dim, theta, trained):
    s = length / trained  #: ratio
    slowest = (head_dim - 2) / head_dim  #: pair
    return theta * s ** (1 / slowest)  #: power


def raised_base_in_one_line(length: int, head_dim: int, theta: float, trained: int) -> float:
    return theta * (length / trained) ** (head_dim / (head_dim - 2))


def raised_base_by_logarithms(length: int, head_dim: int, theta: float, trained: int) -> float:
    grown = head_dim / (head_dim - 2) * (math.log(length) - math.log(trained))
    return math.exp(math.log(theta) + grown)


def raised_base_in_numpy(length: int, head_dim: int, theta: float, trained: int) -> np.ndarray:
    pair = head_dim // 2 - 1
    speed = theta ** (-2 * pair / head_dim) * trained / length
    return np.asarray(speed ** (-head_dim / (2 * pair)))


def raised_base_in_torch(length: int, head_dim: int, theta: float, trained: int) -> torch.Tensor:
    s = torch.tensor(length / trained, dtype=torch.float64)
    return theta * s ** (head_dim / (head_dim - 2))


# --- merge of two blocks


def merged(out_a, lse_a, out_b, lse_b):
    top = torch.maximum(lse_a, lse_b)  #: top
    safe = torch.where(top == -math.inf, 0.0, top)  #: nothing
    sum_a = torch.exp(lse_a - safe)  #: weight
    sum_b = torch.exp(lse_b - safe)  #: weight
    total = sum_a + sum_b  #: total
    some = torch.where(total == 0, 1.0, total)  #: nothing
    weight_a = (sum_a / some)[..., None]  #: weight
    weight_b = (sum_b / some)[..., None]  #: weight
    out = weight_a * out_a + weight_b * out_b  #: out
    lse = safe + torch.log(total)  #: lse
    return out, lse


def merged_by_logaddexp(out_a: Any, lse_a: Any, out_b: Any, lse_b: Any) -> tuple:
    lse = torch.logaddexp(lse_a, lse_b)
    top = lse.masked_fill(lse == -math.inf, 0.0)
    return (lse_a - top).exp()[..., None] * out_a + (lse_b - top).exp()[..., None] * out_b, lse


def merged_in_numpy(*blocks: torch.Tensor) -> tuple:
    out_a, lse_a, out_b, lse_b = (block.numpy() for block in blocks)
    with np.errstate(invalid="ignore"):
        lse = np.logaddexp(lse_a, lse_b)
    top = np.where(np.isfinite(lse), lse, 0).astype(lse.dtype)
    weight_a, weight_b = np.exp(lse_a - top)[..., None], np.exp(lse_b - top)[..., None]
    return weight_a * out_a + weight_b * out_b, lse


def merged_by_stacking(out_a: Any, lse_a: Any, out_b: Any, lse_b: Any) -> list:
    both = torch.stack([lse_a, lse_b])
    lse = both.logsumexp(0)
    weights = (both - lse).exp().nan_to_num(0.0)[..., None]
    return [(weights * torch.stack([out_a, out_b])).sum(0), lse]


def merged_by_sigmoid(out_a: Any, lse_a: Any, out_b: Any, lse_b: Any) -> tuple:
    nothing = (lse_a == -math.inf) & (lse_b == -math.inf)
    part = torch.sigmoid((lse_b - lse_a).masked_fill(nothing, 0.0))[..., None]
    return out_a + part * (out_b - out_a), torch.logaddexp(lse_a, lse_b)

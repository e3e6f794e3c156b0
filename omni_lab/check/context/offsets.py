"""Small exercises of notebook 07 on what a row's length does: angles never met, heads that look back."""

from __future__ import annotations

import math

import numpy as np

from omni_lab.check.step import Step
from omni_lab.model.rope import turns


# --- new_pairs: which pairs have not seen every angle
def _below(length, head_dim, theta, angle=2 * math.pi, first=0, numbers=None, power=2):
    """Numbers of the pairs that turn by less than an angle, after one change."""
    pairs = range(first, first + (numbers or head_dim // 2))
    return [i for i in pairs if length * theta ** (-power * i / head_dim) < angle]


_TURN = "pair i turns by length · θ^(−2i/K) radians over the row, and a full turn is 2π"

new_pairs = Step(
    right=lambda length, head_dim, theta: np.flatnonzero(turns(head_dim, theta, length) < 1),
    cases=[
        (32, 32, 100.0),
        (700, 8, 10_000.0),
        (5, 6, 50.0),
        (7, 6, 50.0),
        (90_000, 8, 10.0),
        (4096, 64, 1e6),
        (20, 12, 3.0),
    ],
    rule=_TURN,
    mistakes=[
        (
            lambda length, head_dim, theta: np.flatnonzero(turns(head_dim, theta, length) > 1),
            "these are the safe pairs, which have shown every angle; the others are asked for",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, 1),
            "you ask which pairs turn by less than 1 radian; a full turn is 2π radians",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, math.pi),
            "you ask which pairs make less than half a turn; a full one is 2π radians",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, 3 * math.pi),
            "you ask which pairs turn by less than 3π; a full turn is 2π radians",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, 360),
            "your angles are in radians: a full turn is 2π, not 360",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, 2 / math.pi),
            "a full turn is 2 · π radians, not 2 / π",
        ),
        (
            lambda length, head_dim, theta: [i + 1 for i in _below(length, head_dim, theta)],
            "your pairs are numbered from 1; the fastest is pair 0",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, first=1),
            "you count pairs from 1 to K/2; they are numbered 0 to K/2 − 1",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, numbers=head_dim),
            "a head of K numbers has K/2 pairs, not K",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, power=1),
            f"your exponent is −i/K, so that pairs slow down half as much as they should: {_TURN}",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, power=3),
            f"your exponent is −3i/K, so that pairs slow down too much: {_TURN}",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, theta, power=-2),
            f"the minus of the exponent is missing, so that late pairs turn fast: {_TURN}",
        ),
        (
            lambda length, head_dim, theta: list(range(head_dim // 2)),
            "you return every pair: the angle from one token to the next is small, but over the "
            f"row it is `length` times that; {_TURN}",
        ),
        (
            lambda length, head_dim, theta: _below(length, head_dim, length),
            f"it is θ that is raised to a power, not the length: {_TURN}",
        ),
        (
            lambda length, head_dim, theta: [
                i for i in range(head_dim // 2) if length * theta ** (-2 * i / theta) < 2 * math.pi
            ],
            f"the exponent is divided by K, the width of the head, not by θ: {_TURN}",
        ),
        (
            lambda length, head_dim, theta: _below(length - 1, head_dim, theta),
            "length − 1 counts the steps between tokens; here, as in the package's `turns`, a pair "
            "turns `length` times over a row of `length` tokens",
        ),
        (
            lambda length, head_dim, theta: [
                i for i in range(head_dim // 2) if length * theta**-2 * i / head_dim < 2 * math.pi
            ],
            f"θ**-2 * i / K is (θ**-2) · i / K: put the whole exponent in brackets; {_TURN}",
        ),
        (
            lambda length, head_dim, theta: np.where(turns(head_dim, theta, length) < 1),
            "np.where gives a tuple, with the list that is asked for inside: take its [0]",
        ),
        (
            lambda length, head_dim, theta: set(_below(length, head_dim, theta)),
            "the right pairs, as a set; return a list, the fastest pair first",
        ),
        (
            lambda length, head_dim, theta: len(_below(length, head_dim, theta)),
            "this is how many pairs they are; return the list of their numbers",
        ),
        (
            lambda length, head_dim, theta: (turns(head_dim, theta, length) < 1).tolist(),
            "this says True or False for every pair; return the numbers of those that are True",
        ),
    ],
    inputs=lambda source: (
        source.randrange(3, 5000),
        2 * source.randrange(2, 40),
        source.uniform(3, 10**5),
    ),
    shows="over 32 tokens with θ = 100, pairs 6 to 15 of 16 have not shown every angle",
)


# --- looks_back: where a head looks whose positions are divided
def _score(distance, offset, speeds, weight=lambda speed: speed, wave=math.cos):
    return sum(weight(speed) * wave(speed * (distance - offset)) for speed in speeds)


_APART = "each pair adds ω·cos(ω·(distance / factor − offset))"

looks_back = Step(
    right=lambda distance, offset, speeds, factor: _score(distance / factor, offset, speeds),
    cases=[
        (3, 2, [1.0, 0.5], 2.0),
        (8, 1, [1.0, 0.3, 0.1], 8.0),
        (5, 1, [0.7], 1.0),
        (0, 3, [1.0, 0.25], 4.0),
        (7, 2, [0.9, 0.6, 0.2], 1.5),
    ],
    rule=_APART,
    mistakes=[
        (
            lambda distance, offset, speeds, factor: _score(
                distance / factor, offset / factor, speeds
            ),
            "you divide the offset too; but it is held in the head's weights, and they stay as "
            "they were trained: only the distance is divided",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance, offset, speeds),
            "the factor is missing: the distance between two tokens is divided by it",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance * factor, offset, speeds),
            "the distance is multiplied by the factor; interpolation divides it, so that a longer "
            "row fits into the trained one",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance / factor, -offset, speeds),
            "the offset is added; it is subtracted, so that the score is largest where the "
            "distance is the offset",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance, offset / factor, speeds),
            "you divide the offset in place of the distance; the offset is held in the weights, "
            "which stay as they were trained",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance, offset * factor, speeds),
            "the offset is multiplied by the factor: that finds the right place, but the pairs "
            "also turn more slowly; divide the distance",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance / factor, 0, speeds),
            "the offset is missing: this head looks at its own token",
        ),
        (
            lambda distance, offset, speeds, factor: _score(
                distance / factor, offset, speeds, lambda speed: 1
            ),
            f"each pair counts alike; a fast one counts more, by its speed ω: {_APART}",
        ),
        (
            lambda distance, offset, speeds, factor: _score(
                distance / factor, offset, speeds, lambda speed: 1 / speed
            ),
            f"each pair is divided by its speed; it is weighted with it: {_APART}",
        ),
        (
            lambda distance, offset, speeds, factor: _score(
                distance / factor, offset, speeds, lambda speed: speed / factor
            ),
            "you divide the weight ω as well; it is held in the head's weights, and they stay",
        ),
        (
            lambda distance, offset, speeds, factor: _score(
                distance / factor, offset, speeds, wave=math.sin
            ),
            "this takes the sine, which is 0 where the distance is the offset; the cosine is "
            "largest there",
        ),
        (
            lambda distance, offset, speeds, factor: sum(
                speed * math.cos((distance / factor - offset) / speed) for speed in speeds
            ),
            f"the angle is ω times the difference, not the difference by ω: {_APART}",
        ),
        (
            lambda distance, offset, speeds, factor: sum(
                speed * math.cos(speed * distance / factor - offset) for speed in speeds
            ),
            f"the speed turns the offset as well: bracket the difference; {_APART}",
        ),
        (
            lambda distance, offset, speeds, factor: [
                speed * math.cos(speed * (distance / factor - offset)) for speed in speeds
            ],
            "this lists what each pair adds; the score is their sum",
        ),
        (
            lambda distance, offset, speeds, factor: sum(
                speed / math.cos(speed * (distance / factor - offset)) for speed in speeds
            ),
            f"the speed is divided by the cosine; it is multiplied: {_APART}",
        ),
        (
            lambda distance, offset, speeds, factor: sum(
                speed * math.cos(distance / factor - offset) for speed in speeds
            ),
            f"the speed is missing in the angle, so that all pairs turn alike: {_APART}",
        ),
        (
            lambda distance, offset, speeds, factor: (
                _score(distance / factor, offset, speeds) / len(speeds)
            ),
            f"this is the mean over the pairs; their scores are summed: {_APART}",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance / factor, offset, speeds[-1:]),
            "this is the score of the last pair alone: add up all of them",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance / factor, offset, speeds[:1]),
            "this is the score of the first pair alone: is `return` inside the loop?",
        ),
        (
            lambda distance, offset, speeds, factor: _score(offset / factor, offset, speeds),
            "the offset stands where the distance belongs",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance / factor, factor, speeds),
            "the factor stands where the offset belongs",
        ),
        (
            lambda distance, offset, speeds, factor: _score(distance // factor, offset, speeds),
            "// drops what is left over: 3 // 2 is 1, and the distance is 1.5",
        ),
    ],
    inputs=lambda source: (
        source.randrange(30),
        source.randrange(1, 5),
        [source.uniform(0.01, 1.5) for _ in range(source.randrange(1, 5))],
        source.choice([1.0, 1.5, 2.0, 4.0, 8.0]),
    ),
    shows="a head set to look 1 token back scores highest 8 tokens back, once positions are divided by 8",
)

"""Small exercises of notebook 07 on rotary positions: points turned, angles never met, heads that look back."""

from __future__ import annotations

import math

import numpy as np
import torch

from omni_lab.check.step import Step
from omni_lab.model.rope import turns


# --- turned: one point of the plane
def _turn(point, angle):
    turning = complex(*point) * complex(math.cos(angle), math.sin(angle))
    return [turning.real, turning.imag]


def _first_x_then_y(point, angle):
    x, y = point
    x = x * math.cos(angle) - y * math.sin(angle)
    return [x, x * math.sin(angle) + y * math.cos(angle)]


def _divided(where):
    """Turn with one of its four products, counted from 0, replaced by a quotient."""

    def wrong(point, angle):
        x, y = point
        cos, sin = math.cos(angle), math.sin(angle)
        a, b, c, d = (
            number / part if at == where else number * part
            for at, (number, part) in enumerate(((x, cos), (y, sin), (x, sin), (y, cos)))
        )
        return [a - b, c + d]

    return wrong


_ROTATION = "x becomes x·cos − y·sin, and y becomes x·sin + y·cos"

turned = Step(
    right=_turn,
    cases=[((1.0, 0.0), 0.5), ((3.0, 4.0), 1.2), ((-2.0, 0.5), -0.7), ((1.5, -2.0), 2.0)],
    rule=_ROTATION,
    mistakes=[
        (
            lambda point, angle: _turn(point, -angle),
            "this turns clockwise: a positive angle turns the other way, so that (1, 0) rises",
        ),
        (
            lambda point, angle: _turn(point, math.radians(angle)),
            "the angle is in radians already, and that is what math.cos and math.sin take",
        ),
        (
            lambda point, angle: _turn(point, math.degrees(angle)),
            "math.cos and math.sin take radians: do not turn the angle into degrees",
        ),
        (
            _first_x_then_y,
            "your new y is made of the new x; it needs the old one, so keep both old numbers first",
        ),
        (
            lambda point, angle: [math.cos(angle), math.sin(angle)],
            "this turns the point (1, 0); the point that you are given has its own x and y",
        ),
        (
            lambda point, angle: [point[0] * math.cos(angle), point[1] * math.sin(angle)],
            f"each new coordinate is made of both old ones: {_ROTATION}",
        ),
        (
            lambda point, angle: [point[0] + angle, point[1] + angle],
            f"this moves the point along; a turn keeps its distance from the middle: {_ROTATION}",
        ),
        (
            lambda point, angle: [point[0] * angle, point[1] * angle],
            f"this stretches the point; a turn keeps its distance from the middle: {_ROTATION}",
        ),
        (
            lambda point, angle: complex(*point) * complex(math.cos(angle), math.sin(angle)),
            "the right point, as one complex number; return its two coordinates, x and y",
        ),
        (
            lambda point, angle: _turn(point, math.pi / 2 - angle),
            f"sine and cosine have changed places: {_ROTATION}",
        ),
        (
            lambda point, angle: [_turn(point, -angle)[0], _turn(point, angle)[1]],
            f"your first coordinate adds where it has to subtract: {_ROTATION}",
        ),
        (
            lambda point, angle: [_turn(point, angle)[0], -_turn(point, -angle)[1]],
            f"your second coordinate subtracts where it has to add: {_ROTATION}",
        ),
        (
            lambda point, angle: [_turn(point, angle)[0], _turn(point, -angle)[1]],
            f"your second coordinate subtracts where it has to add: {_ROTATION}",
        ),
        (
            lambda point, angle: _turn(point, angle)[::-1],
            "the right two numbers, in the wrong order: x first, then y",
        ),
        *(
            (
                _divided(where),
                f"a coordinate is divided by a sine or cosine, not multiplied: {_ROTATION}",
            )
            for where in range(4)
        ),
    ],
    inputs=lambda source: (
        (source.uniform(-3, 3), source.uniform(-3, 3)),
        source.uniform(-6, 6),
    ),
    shows="(1, 0), turned by half a radian, is (0.88, 0.48)",
)


# --- turned_head: all pairs of a head
def _as_qwen_does(vector, position, theta):
    from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

    speeds = 2 * np.pi * turns(len(vector), theta, 1)
    angles = torch.tensor(np.tile(position * speeds, 2))
    rows = torch.tensor(np.asarray(vector, float))[None, None, None]  # batch, head, token, width
    query, _ = apply_rotary_pos_emb(rows, rows, angles.cos()[None, None], angles.sin()[None, None])
    return query[0, 0, 0]


def _head(vector, angles, sign=1):
    """Head with pairs i and i + K/2, turned by given angles."""
    first, second = np.split(np.asarray(vector, float), 2)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cos - sign * second * sin, sign * first * sin + second * cos])


def _at(change):
    """Head turned by other angles, `change(i, K/2, position, theta)`."""

    def wrong(vector, position, theta):
        half = len(vector) // 2
        return _head(vector, change(np.arange(half), half, position, theta))

    return wrong


def _neighbours(vector, position, theta):
    """Head whose pairs are the numbers 2i and 2i + 1."""
    vector, half = np.asarray(vector, float), len(vector) // 2
    apart = np.concatenate([vector[::2], vector[1::2]])
    out = _head(apart, position * theta ** (-np.arange(half) / half))
    return out.reshape(2, -1).T.reshape(-1)


def _right_angles(vector, position, theta):
    half = len(vector) // 2
    return position * theta ** (-np.arange(half) / half)


def _part(signs, divided=None):
    """Head with wrong signs, or with one of its four products replaced by a quotient."""

    def wrong(vector, position, theta):
        x, y = np.split(np.asarray(vector, float), 2)
        angles = _right_angles(vector, position, theta)
        pairs = ((x, np.cos(angles)), (y, np.sin(angles)), (x, np.sin(angles)), (y, np.cos(angles)))
        with np.errstate(all="ignore"):
            a, b, c, d = (
                number / part if at == divided else number * part
                for at, (number, part) in enumerate(pairs)
            )
        return np.concatenate([a - signs[0] * b, signs[1] * c + signs[2] * d])

    return wrong


_SPEED = "pair i turns by position · θ^(−2i/K), with i from 0 to K/2 − 1"

turned_head = Step(
    right=_as_qwen_does,
    cases=[
        (np.array([1.0, 2.0, -1.0, 0.5]), 3, 100.0),
        (np.array([0.3, -0.8, 1.0, 2.0, 0.5, -1.5]), 50, 1000.0),
        (np.array([1.0, 0.0, 2.0, -1.0, 0.5, 0.7, -0.2, 3.0]), 7, 10_000.0),
        (np.array([1.0, 2.0, 3.0, 4.0]), 1, 4.0),
    ],
    rule=f"pair i is made of the numbers i and i + K/2; {_SPEED}",
    mistakes=[
        (
            _neighbours,
            "your pairs are the numbers 2i and 2i + 1; Qwen keeps those of pair i at i and i + K/2",
        ),
        (
            lambda vector, position, theta: np.stack(
                np.split(_head(vector, _right_angles(vector, position, theta)), 2), -1
            ),
            "you return a list of pairs; put them back where they came from, first numbers first",
        ),
        (
            lambda vector, position, theta: (
                np.stack(np.split(_head(vector, _right_angles(vector, position, theta)), 2), -1)
            ).reshape(-1),
            "the turned pairs stand one after the other; put number i + K/2 back where it came from",
        ),
        (
            lambda vector, position, theta: _head(
                vector, _right_angles(vector, position, theta), -1
            ),
            "all pairs turn clockwise: x becomes x·cos − y·sin, and y becomes x·sin + y·cos",
        ),
        (
            _part((-1, 1, 1)),
            "the first number of a pair adds where it has to subtract: x·cos − y·sin",
        ),
        (
            _part((1, -1, 1)),
            "the second number of a pair subtracts where it has to add: x·sin + y·cos",
        ),
        (
            _part((1, 1, -1)),
            "the second number of a pair subtracts where it has to add: x·sin + y·cos",
        ),
        (
            _at(lambda i, half, position, theta: position * theta ** (-i // half).astype(float)),
            "// drops what is left over, so that all pairs but the first turn alike; exponents are "
            "fractions, made with /",
        ),
        *(
            (
                _part((1, 1, 1), where),
                "a number is divided by a sine or cosine, not multiplied: x·cos − y·sin, x·sin + y·cos",
            )
            for where in range(4)
        ),
        (
            _at(lambda i, half, position, theta: position * theta ** (-i / (2 * half))),
            f"your exponent is −i/K, so that pairs slow down half as much as they should: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position * theta ** (-2 * i / half)),
            f"your exponent is −4i/K, so that pairs slow down twice as much as they should: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position * theta ** (i / half)),
            f"the minus of the exponent is missing, so late pairs turn fast: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position * theta ** (-(i + 1) / half)),
            f"you count pairs from 1; pair 0 turns by 1 radian per token: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: (position + 1) * theta ** (-i / half)),
            "you turn as at the next position: positions are counted from 0, and position 0 "
            "turns nothing",
        ),
        (
            _at(lambda i, half, position, theta: np.full(half, float(position))),
            f"all pairs turn alike, by 1 radian per token; {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position / half * theta ** -i.astype(float)),
            f"mind what the exponent holds: −2i/K stands in brackets; {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: theta ** (-i / half)),
            f"the position is missing: the angle grows with it; {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position * theta * -i / half),
            f"speeds are powers of θ, not products: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position * theta ** (-i * float(half))),
            f"the exponent is divided by K/2, not multiplied: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position * theta ** (-i.astype(float))),
            f"the exponent lacks its division by K/2, so pairs slow down far too fast: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: theta * position ** (-i / half)),
            f"θ and the position have changed places: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: position * float(position) ** (-i / half)),
            f"it is θ that is raised to a power, not the position: {_SPEED}",
        ),
        (
            _at(lambda i, half, position, theta: theta * theta ** (-i / half)),
            f"the angle is a multiple of the position, not of θ: {_SPEED}",
        ),
    ],
    inputs=lambda source: (
        np.array([source.uniform(-2, 2) for _ in range(source.choice([4, 6, 8]))]),
        source.randrange(1, 60),
        source.uniform(3, 10_000),
    ),
    shows="this is what Qwen does with every query and every key",
)

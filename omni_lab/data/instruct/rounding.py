"""Controlled rounding: whole samples of every dataset in every part, from exact fractions.

Every count is its ideal share rounded up or down, in each part and in all parts up to each one, and
the parts have their sizes. Seen as a network it always exists: samples flow out of parts into the
running totals of datasets. Where a flow is fractional there is a circle of such flows, around which
something can be moved until one of them is whole (Cox 1987, "A constructive procedure for unbiased
controlled rounding").
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
from jaxtyping import Int64

Node = tuple[str, int, int]  # kind, part, dataset
Edge = tuple[Node, Node]
END: Node = ("end", 0, 0)


def rounded_shares(
    sizes: Sequence[int], fractions: Sequence[Fraction]
) -> Int64[np.ndarray, "parts datasets"]:
    """Samples of every dataset in every part, less than one away from their ideal shares.

    Parameters
    ----------
    sizes : of the parts, samples
    fractions : of the datasets, 1 together

    >>> rounded_shares([3, 3], [Fraction(1, 2), Fraction(1, 2)]).sum(0).tolist()
    [3, 3]
    """
    flow = _ideal(sizes, fractions)
    ways: dict[Node, list[tuple[Edge, int]]] = defaultdict(list)  # edges of a node, and directions
    for edge in flow:
        ways[edge[0]].append((edge, 1))
        ways[edge[1]].append((edge, -1))

    for edge in flow:
        while _fractional(flow[edge]):
            circle = _circle(flow, ways, edge[0])
            room = min(_room(flow[along], sign) for along, sign in circle)
            for along, sign in circle:
                flow[along] += sign * room
    return np.array(
        [
            [int(flow[("part", part, 0), ("total", part, own)]) for own in range(len(fractions))]
            for part in range(len(sizes))
        ],
        np.int64,
    )


def _ideal(sizes: Sequence[int], fractions: Sequence[Fraction]) -> dict[Edge, Fraction]:
    """Fractional flows: from every part to the datasets' totals so far, and from total to total."""
    flow = {}
    for part, (size, so_far) in enumerate(zip(sizes, accumulate(sizes), strict=True)):
        for own, fraction in enumerate(fractions):
            total = ("total", part, own)
            last = part == len(sizes) - 1
            flow[("part", part, 0), total] = size * fraction
            flow[total, END if last else ("total", part + 1, own)] = so_far * fraction
    return flow


def _fractional(value: Fraction) -> bool:
    return value.denominator > 1


def _room(value: Fraction, sign: int) -> Fraction:
    """How far a flow can move in a direction before it is whole."""
    return math.ceil(value) - value if sign > 0 else value - math.floor(value)


def _circle(
    flow: dict[Edge, Fraction], ways: dict[Node, list[tuple[Edge, int]]], node: Node
) -> list[tuple[Edge, int]]:
    """Circle of fractional flows: edges, and whether each is walked along (1) or against (-1).

    What enters a node and what leaves it differ by a whole number, so that no fractional flow of a
    node is its only one, and the walk never ends in a blind alley.
    """
    path: list[tuple[Edge, int]] = []
    seen = {node: 0}
    while True:
        came = path[-1][0] if path else None
        edge, sign = next(way for way in ways[node] if way[0] != came and _fractional(flow[way[0]]))
        path.append((edge, sign))
        node = edge[1] if sign > 0 else edge[0]
        if node in seen:
            return path[seen[node] :]
        seen[node] = len(path)

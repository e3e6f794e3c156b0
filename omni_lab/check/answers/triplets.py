"""Right answers to the small exercises of notebook 01; the first of each is mutated."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

# --- a PTS in ticks


def to_ticks(pts, time_base):
    return round(pts * time_base * 16_000)


def to_ticks_in_floats(pts: int, time_base: Fraction) -> float:
    return np.rint(pts * float(time_base) * 16_000)


def to_ticks_by_whole_numbers(pts: int, time_base: Fraction) -> int:
    whole, rest = divmod(pts * 16_000 * time_base.numerator, time_base.denominator)
    return whole + (2 * rest >= time_base.denominator)


def to_ticks_half_up(pts: int, time_base: Fraction) -> int:
    return math.floor(pts * time_base * 16_000 + Fraction(1, 2))


# --- the picture nearest to a grid time


def nearest_pictures(times, grid):
    return [min(times, key=lambda time: abs(time - point)) for point in grid]


def nearest_pictures_in_numpy(times: list, grid: list) -> np.ndarray:
    times = np.array(times)
    return times[np.abs(times[None] - np.array(grid)[:, None]).argmin(axis=1)]


def nearest_pictures_in_a_loop(times: list, grid: list) -> list:
    found = []
    for point in grid:
        best = times[0]
        for time in times:
            if abs(time - point) < abs(best - point):
                best = time
        found.append(best)
    return found


def nearest_pictures_yielded(times: list, grid: list) -> Iterator[int]:
    for point in grid:
        yield sorted(times, key=lambda time: abs(point - time))[0]


# --- a sample after a late start


def sample_at(tick, audio_start):
    return max(tick - audio_start, 0)


def sample_at_by_asking(tick: int, audio_start: int) -> int:
    if tick < audio_start:
        return 0
    return tick - audio_start


def sample_at_in_numpy(tick: int, audio_start: int) -> np.integer:
    return np.clip(tick - audio_start, 0, None)


# --- the part of a word that falls into another second


def share_astray(start, end, slip):
    seconds = [(ms + slip) // 1000 for ms in range(start, end)]
    return sum(second != 0 for second in seconds) / len(seconds)


def share_astray_in_numpy(start: int, end: int, slip: int) -> np.floating:
    return np.mean((np.arange(start, end) + slip) // 1000 != 0)


def share_astray_by_overlap(start: int, end: int, slip: int) -> float:
    stays = max(0, min(end + slip, 1000) - max(start + slip, 0))
    return 1 - stays / (end - start)


def share_astray_in_a_loop(start: int, end: int, slip: int) -> float:
    wrong = 0
    for ms in range(start, end):
        if not 0 <= ms + slip < 1000:
            wrong += 1
    return wrong / (end - start)


# --- the best way to a place


def best_way(place, best):
    ways = []
    for earlier, (torn, cost) in best.items():
        length = place - earlier
        if 5 <= length <= 15:
            ways.append((torn, cost + ((length - 10) / 10) ** 2, earlier))
    return min(ways)


def best_way_in_one_line(place: int, best: dict) -> tuple:
    return min(
        (torn, cost + (place - t - 10) ** 2 / 100, t)
        for t, (torn, cost) in best.items()
        if 5 <= place - t <= 15
    )


def best_way_by_comparing(place: int, best: dict) -> list:
    found = [math.inf, math.inf, -1]
    for earlier in best:
        if 5 <= place - earlier <= 15:
            torn, cost = best[earlier]
            way = [torn, cost + (((place - earlier) - 10) / 10) ** 2, earlier]
            if way[:2] < found[:2]:
                found = way
    return found


# --- the clip that owns a word


def clip_of(start, end, cuts):
    middle = (start + end) / 2
    return sum(cut <= middle for cut in cuts)


def clip_of_by_bisection(start: int, end: int, cuts: list) -> int:
    return bisect_right(cuts, (start + end) / 2)


def clip_of_in_numpy(start: int, end: int, cuts: list) -> np.integer:
    return np.searchsorted(np.array(cuts), start + (end - start) / 2, side="right")


def clip_of_in_a_loop(start: int, end: int, cuts: list) -> int:
    number = 0
    while number < len(cuts) and 2 * cuts[number] <= start + end:
        number += 1
    return number


# --- bits between two hashes


def bits_apart(one, other):
    return bin(int(one, 16) ^ int(other, 16)).count("1")


def bits_apart_counted(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def bits_apart_in_numpy(one: str, other: str) -> np.integer:
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(one), np.uint8)) for one in (one, other)]
    return (bits[0] != bits[1]).sum()


def bits_apart_place_by_place(one: str, other: str) -> int:
    texts = (f"{int(hash, 16):064b}" for hash in (one, other))
    return sum(a != b for a, b in zip(*texts, strict=True))


ANSWERS = {
    "to_ticks": (
        to_ticks, to_ticks_in_floats, to_ticks_by_whole_numbers, to_ticks_half_up,
    ),
    "nearest_pictures": (
        nearest_pictures, nearest_pictures_in_numpy, nearest_pictures_in_a_loop,
        nearest_pictures_yielded,
    ),
    "sample_at": (sample_at, sample_at_by_asking, sample_at_in_numpy),
    "share_astray": (
        share_astray, share_astray_in_numpy, share_astray_by_overlap, share_astray_in_a_loop,
    ),
    "best_way": (best_way, best_way_in_one_line, best_way_by_comparing),
    "clip_of": (clip_of, clip_of_by_bisection, clip_of_in_numpy, clip_of_in_a_loop),
    "bits_apart": (
        bits_apart, bits_apart_counted, bits_apart_in_numpy, bits_apart_place_by_place,
    ),
}  # fmt: skip

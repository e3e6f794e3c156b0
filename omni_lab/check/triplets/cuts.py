"""Small exercises of notebook 01 on cutting: the best way to a place, a word's clip, two hashes."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping

from omni_lab.check.step import Step
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.triplets.building.fingerprints import distance
from omni_lab.triplets.cutting import by_hand
from omni_lab.triplets.cutting.clips import split

# --- the best way to a place


def _way(
    low: int = 5, high: int = 15, wanted: float = 10, over: float = 10, power: int = 2,
    so_far: float = 1, pick: Callable = min, key: Callable | None = None,
) -> Callable[[int, Mapping], list]:  # fmt: skip
    """Step of the dynamic programme with one thing changed."""

    def chosen(place: int, best: Mapping[int, tuple[int, float]]) -> list:
        ways = [
            (torn, so_far * cost + ((place - earlier - wanted) / over) ** power, earlier)
            for earlier, (torn, cost) in best.items()
            if low <= place - earlier <= high
        ]
        return pick(ways, key=key) if key else pick(ways)

    return chosen


def _film(source: random.Random) -> tuple[int, dict]:
    place = source.randrange(20, 60)
    lengths = [source.choice([5, 15]), *source.sample(range(1, 21), 6), source.randrange(6, 15)]
    best = {place - length: (source.randrange(2), round(source.random(), 2)) for length in lengths}
    return place, best


_LENGTH = "a clip's own cost is ((length − 10) / 10)²"
_REACH = "a clip has 5 to 15 seconds, both of them allowed"
best_way = Step(
    right=lambda place, best: by_hand.best_way(place, best, 5, 15, 10),
    cases=[
        (20, {6: (0, 0.16), 9: (1, 0.01)}),
        (20, {8: (0, 0.04), 10: (0, 0.3), 12: (0, 0.5)}),
        (20, {8: (0, 1.4), 10: (1, 0.0)}),
        (20, {5: (0, 0.0), 9: (0, 0.9)}),  # 15 s are allowed
        (20, {15: (0, 0.0), 9: (0, 0.9)}),  # 5 s are
        (20, {4: (0, 0.0), 6: (0, 0.5)}),
        (20, {3: (0, 0.0), 6: (0, 0.5)}),
        (20, {16: (0, 0.0), 6: (0, 0.5)}),
        (20, {17: (0, 0.0), 6: (0, 0.5)}),
        (10, {0: (0, 0.0)}),
        (12, {0: (0, 0.0), 3: (0, 0.05), 6: (2, 0.0)}),
        (30, {17: (2, 0.1), 19: (1, 0.9), 20: (1, 0.95)}),
        (40, {26: (0, 0.2), 27: (0, 0.3), 34: (0, 0.21)}),
    ],
    rule="among the earlier places 5 to 15 s back the fewest torn, then the least cost so far plus "
    "((length − 10) / 10)², and where you come from",
    mistakes=[
        (_way(key=lambda way: (way[1], way[0])), "harm comes before cost: a cheap way that tears "
         "speech loses against every way that tears less"),
        (_way(key=lambda way: way[0] + way[1]), "torn sentences are no price to be added up: "
         "compare them first, and the cost only between ways that tear equally few"),
        (_way(so_far=0), "the cost of the way so far is missing: a good clip behind an expensive "
         "way is no bargain"),
        (_way(wanted=0, over=1, power=0), _LENGTH + "; yours does not depend on the length"),
        (lambda place, best: min((torn, cost, t) for t, (torn, cost) in best.items()
                                 if 5 <= place - t <= 15),
         "the cost of the new clip is missing: " + _LENGTH),
        (_way(low=-999, high=999), "this allows clips of any length: " + _REACH),
        (_way(low=6), _REACH + "; yours refuses 5"),
        (_way(high=14), _REACH + "; yours refuses 15"),
        (_way(low=4), _REACH + "; yours allows 4"),
        (_way(high=16), _REACH + "; yours allows 16"),
        (_way(low=6, high=14), _REACH + "; yours refuses 5 and 15"),
        (_way(low=-999), _REACH + "; yours allows shorter ones"),
        (_way(high=999), _REACH + "; yours allows longer ones"),
        (_way(wanted=11), _LENGTH + "; yours wishes for 11 seconds"),
        (_way(wanted=9), _LENGTH + "; yours wishes for 9 seconds"),
        (_way(wanted=-10), _LENGTH + "; you add the wanted length instead of taking it away"),
        (_way(over=11), _LENGTH + "; yours divides by 11"),
        (_way(over=9), _LENGTH + "; yours divides by 9"),
        (_way(over=0.1), _LENGTH + "; yours multiplies by 10 instead of dividing"),
        (_way(over=1), _LENGTH + "; yours does not divide by 10"),
        (_way(power=1), _LENGTH + "; without the square a clip that is too short earns money"),
        (_way(power=3), _LENGTH + "; to the power of 3 a clip that is too short earns money"),
        (lambda place, best: min((torn, cost + abs(place - t - 10) / 10, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         _LENGTH + "; without the square, one long clip and two a little long cost the same"),
        (lambda place, best: min((torn, cost + (place - t - 10) / 10 * 2, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         _LENGTH + "; yours doubles where it should square"),
        (lambda place, best: min((torn, cost + ((place - t - 10) // 10) ** 2, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         _LENGTH + "; `//` leaves no fraction of it"),
        (_way(so_far=-1), "the clip's cost is *added* to the cost so far; yours subtracts, so that "
         "expensive ways win"),
        (lambda place, best: min((torn, cost - ((place - t - 10) / 10) ** 2, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "the clip's cost is *added*; yours is subtracted, so that bad lengths win"),
        (_way(pick=max), "this is the worst way: take the least"),
        (_way(key=lambda way: -way[2]), "this takes the latest place in reach: a greedy choice, "
         "which does not ask what the way there has cost"),
        (_way(key=lambda way: way[2]), "this takes the earliest place in reach: a greedy choice, "
         "which does not ask what the way there has cost"),
        (lambda place, best: (*best[near := min(best, key=lambda t: abs(place - t - 10))], near),
         "this takes the place nearest to 10 s back: a greedy choice; ask what every way costs"),
        (lambda place, best: min((torn, cost + (place - t) - 10 / 10, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "mind the brackets: " + _LENGTH),
        (lambda place, best: min((torn, cost + (place - t - 10 / 10) ** 2, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "mind the brackets: " + _LENGTH),
        (lambda place, best: min((torn, cost + ((place - t) - 10 / 10) ** 2, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "mind the brackets: " + _LENGTH),
        (lambda place, best: min((torn, cost + ((t - 10) / 10) ** 2, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "the clip goes from the earlier place to this one: its length is place − earlier"),
        (lambda place, best: min((torn, cost + ((place - 10) / 10) ** 2, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "the clip goes from the earlier place to this one: its length is place − earlier"),
        (lambda place, best: min((cost + ((place - t - 10) / 10) ** 2, torn, t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "Python compares tuples from the left: torn has to stand first, before the cost"),
        (lambda place, best: min((torn, cost + ((place - t - 10) / 10) ** 2, place - t)
                                 for t, (torn, cost) in best.items() if 5 <= place - t <= 15),
         "this ends with the clip's length: return the earlier place"),
        (lambda place, best: _way()(place, best)[::-1],
         "return torn, cost, earlier place, in this order"),
        (lambda place, best: [_way()(place, best)[i] for i in (1, 0, 2)],
         "return torn, cost, earlier place, in this order"),
        (lambda place, best: _way()(place, best)[:2], "where do you come from? Return the earlier "
         "place too, or nobody finds the way back"),
        (lambda place, best: _way()(place, best)[2],
         "this is the earlier place alone: return torn and cost too"),
        (lambda place, best: [*_way()(place, best)[:2], place], "this is the place that is "
         "reached; return the one before it, or nobody finds the way back"),
    ],
    inputs=_film,
    shows="from step to step only the best way is kept, and none of the others is missed",
)  # fmt: skip

# --- the clip that owns a word


def _clip_of(start: int, end: int, cuts: list[int]) -> int:
    word = Word(start, end, "word")
    return next(split(Cue(start, end, "word", words=(word,)), cuts))[0]


def _word(source: random.Random) -> tuple[int, int, list[int]]:
    start = source.randrange(0, 5000, 2)
    end = start + source.randrange(2, 3000, 2)
    middle = (start + end) // 2
    cuts = [*source.sample(range(1, 8000), 4), source.choice([start, end, middle])]
    return start, end, sorted({cut for cut in cuts if cut > 0})


clip_of = Step(
    right=_clip_of,
    cases=[
        (900, 1300, [1000, 5000]), (700, 1100, [1000, 5000]), (800, 1200, [1000, 5000]),
        (1000, 1600, [1000, 5000]), (400, 1000, [1000]), (100, 900, [200, 300, 800]),
        (5000, 5600, [1000, 5000]), (10, 90, []), (2000, 2600, [1000, 2200, 2400, 4000]),
    ],
    rule="the number of cuts up to the word's middle (start + end) / 2; one right at it counts",
    mistakes=[
        (lambda start, end, cuts: bisect_right(cuts, start), "this goes by the word's *beginning*: "
         "a word cut just after its beginning is heard in the next clip"),
        (lambda start, end, cuts: bisect_left(cuts, start), "this goes by the word's *beginning*: "
         "a word cut just after its beginning is heard in the next clip"),
        (lambda start, end, cuts: bisect_right(cuts, end), "this goes by the word's *end*: a word "
         "cut just before its end is heard in the clip before"),
        (lambda start, end, cuts: bisect_left(cuts, end), "this goes by the word's *end*: a word "
         "cut just before its end is heard in the clip before"),
        (lambda start, end, cuts: bisect_left(cuts, (start + end) / 2), "right at the cut the next "
         "clip begins: a middle that is the cut's own tick belongs to the later clip (`<=`)"),
        (lambda start, end, cuts: 1 + bisect_right(cuts, (start + end) / 2),
         "clips count from 0: before the first cut lies clip 0"),
        (lambda start, end, cuts: len(cuts) - bisect_right(cuts, (start + end) / 2),
         "this counts the cuts *after* the word: the number of its clip is that of cuts before"),
        (lambda start, end, cuts: len(cuts) - bisect_left(cuts, (start + end) / 2),
         "this counts the cuts *after* the word: the number of its clip is that of cuts before"),
        (lambda start, end, cuts: bisect_right(cuts, start + end),
         "start + end is twice the middle: halve it"),
        (lambda start, end, cuts: bisect_right(cuts, (start + end) * 2),
         "halve start + end for the middle; yours doubles it"),
        (lambda start, end, cuts: bisect_right(cuts, start + end / 2),
         "mind the brackets: the middle is (start + end) / 2, and / goes before +"),
        (lambda start, end, cuts: bisect_right(cuts, (end - start) / 2),
         "(end − start) / 2 is half the word's *length*: its middle is (start + end) / 2"),
        (lambda start, end, cuts: bisect_right(cuts, (start + end) / 3),
         "the middle of two times is half their sum, not a third"),
        (lambda start, end, cuts: max([cut for cut in cuts if cut <= (start + end) / 2], default=0),
         "this is the *time* at which the clip begins: return the clip's number"),
        (lambda start, end, cuts: 0, "this is always clip 0: every cut up to the middle, "
         "(start + end) / 2, counts one further"),
    ],
    inputs=_word,
    shows="every word has one middle, so it is in one clip: none is lost, none is doubled",
)  # fmt: skip

# --- bits between two hashes

_A, _B = "00000000000000ff", "000000000000000f"


def _hashes(source: random.Random) -> tuple[str, str]:
    one = source.getrandbits(64)
    flips = source.choice([0, 1 << source.randrange(64), source.getrandbits(64)])
    return f"{one:016x}", f"{one ^ flips:016x}"


bits_apart = Step(
    right=distance,
    cases=[
        (_A, _B), (_B, _A), ("8f3a00c1d2e4ff70", "8f3a00c1d2e4ff70"), ("f" * 16, "0" * 16),
        ("1000000000000000", "0000000000000001"), ("8f3a00c1d2e4ff70", "8f3a04c1d2e4fe70"),
        ("7fffffffffffffff", "8000000000000000"),
    ],
    rule="write both as 64 bits and count the places at which they differ (`^` marks them)",
    mistakes=[
        (lambda one, other: sum(a != b for a, b in zip(one, other, strict=True)),
         "these are hexadecimal *digits* that differ; a digit is 4 bits, and 1 to 4 of them differ"),
        (lambda one, other: 4 * sum(a != b for a, b in zip(one, other, strict=True)),
         "not all 4 bits of a digit need to differ: look at the bits one by one"),
        (lambda one, other: abs(int(one, 16) - int(other, 16)), "this is the difference of two "
         "*numbers*; the first bit would weigh more than all others. Count bits that differ"),
        (lambda one, other: int(one, 16) - int(other, 16), "this is the difference of two "
         "*numbers*; the first bit would weigh more than all others. Count bits that differ"),
        (lambda one, other: int(one, 16) ^ int(other, 16),
         "the ones in this number mark the bits that differ: count them"),
        (lambda one, other: bin(int(one, 16) ^ int(other, 16)),
         "the ones in this text mark the bits that differ: count them"),
        (lambda one, other: bin(int(one, 16) ^ int(other, 16)).count("0"),
         "the zeros are the bits that agree (and one belongs to `0b`): count the ones"),
        (lambda one, other: abs(int(one, 16) - int(other, 16)).bit_count(),
         "a subtraction borrows from bit to bit: `^` compares each bit for itself"),
        (lambda one, other: sum(a != b for a, b in zip(f"{int(one, 16):#b}", f"{int(other, 16):#b}",
                                                       strict=False)),
         "`bin` leaves leading zeros out, so your places do not match: fill up to 64 bits, or use `^`"),
        (lambda one, other: int(one, 16).bit_count() - int(other, 16).bit_count(),
         "two hashes can have equally many ones at different places: compare place by place"),
        (lambda one, other: 64 - distance(one, other), "these are the bits that *agree*"),
        (lambda one, other: distance(one, other) / 64,
         "this is the share of bits that differ: their number is asked for"),
        (lambda one, other: (int(one, 16) & int(other, 16)).bit_count(),
         "`&` finds the ones that both have; `^` finds the bits that differ"),
        (lambda one, other: (int(one, 16) | int(other, 16)).bit_count(),
         "`|` finds the ones that either has; `^` finds the bits that differ"),
        (lambda one, other: abs(int(one, 16).bit_count() - int(other, 16).bit_count()),
         "two hashes can have equally many ones at different places: compare place by place"),
        (lambda one, other: int(one != other), "this says only whether they differ: count how many "
         "bits do; a copy may differ in a few"),
        (lambda one, other: 0, "this compares a hash with itself"),
        (lambda one, other: (int(one, 16) ^ int(other, 17)).bit_count(),
         "both are hexadecimal: read them to the base 16"),
        (lambda one, other: (int(one, 17) ^ int(other, 16)).bit_count(),
         "both are hexadecimal: read them to the base 16"),
    ],
    inputs=_hashes,
    shows="a copy differs in a few bits of 64, a stranger in about half of them",
)  # fmt: skip

"""Words of a haystack: the loss of an even choice among what was said (notebook 07)."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from omni_lab.check.step import Step


# --- half_way: a reader that knows what was said, and not by whom
def _said(pieces, step=1, first=0):
    """Pieces that stand `step` behind each "says"."""
    return [
        pieces[at + step]
        for at in range(first, len(pieces))
        if pieces[at] == "says" and 0 <= at + step < len(pieces)
    ]


def _text(words: str) -> tuple:
    return (tuple(words.split()),)


def _row(source: random.Random) -> tuple:
    """Row of a text with visitors and other sentences, without its question."""
    pieces = []
    for _ in range(source.randrange(2, 12)):
        spoken = [
            source.choice(["ada", "mei", "guide"]),
            "says",
            source.choice(["red", "sea", "ink"]),
        ]
        pieces += spoken if source.random() < 0.6 else ["cyan", "cross", "left"]
    return (("ben", "says", "ring", *pieces),)


_CHOICE = "the loss of an even choice among n different words is ln n"

half_way = Step(
    right=lambda pieces: math.log(len(set(_said(pieces)))),
    cases=[
        _text("ada says river sign 4 6 mei says star ben says ring blue cross"),
        _text("ada says river mei says star ben says river red moves left"),
        _text("mei says river red heart ada says star"),
        _text("says ring ada says star cyan mei says moon paul says sun mei says star"),
        _text("ada says ring blue cross"),
    ],
    rule=f"count the different words that stand right after `says`: {_CHOICE}",
    mistakes=[
        (
            lambda pieces: math.log(len(_said(pieces))),
            "a word that is said twice is one word to choose, not two: count different ones",
        ),
        (
            lambda pieces: len(set(_said(pieces))),
            f"this is the number of words to choose from; {_CHOICE}",
        ),
        (
            lambda pieces: -math.log(len(set(_said(pieces)))),
            "a loss is not below 0: each of n words has the probability 1/n, and the loss is "
            "−ln(1/n) = ln n",
        ),
        (
            lambda pieces: 1 / len(set(_said(pieces))),
            f"this is the probability of each word; {_CHOICE}",
        ),
        (
            lambda pieces: math.log2(len(set(_said(pieces)))),
            "this is in bits, by the logarithm to base 2; a loss in nats takes math.log",
        ),
        (
            lambda pieces: math.log10(len(set(_said(pieces)))),
            "this takes the logarithm to base 10; a loss in nats takes the natural one, math.log",
        ),
        (
            lambda pieces: set(_said(pieces)),
            f"these are the right words; now how many are they, and what does choosing lose? {_CHOICE}",
        ),
        (
            lambda pieces: math.log(24) - math.log(len(set(_said(pieces)))),
            "this is what a reader has gained on the even guess; asked is what it still loses",
        ),
        (
            lambda pieces: math.log(len(set(pieces))),
            "you count every word of the row; only the words right after `says` were said, "
            "and the model chooses among these",
        ),
        (
            lambda pieces: math.log(len(pieces)),
            "you count all tokens of the row; only the different words right after `says` count",
        ),
        (
            lambda pieces: math.log(24),
            "this is the even guess among all 24 words; in this row only a few of them are said",
        ),
        (
            lambda pieces: math.log(len(set(_said(pieces, -1)))),
            "these are the words *before* `says`, the names; what is said stands after it",
        ),
        (
            lambda pieces: math.log(
                len({pieces[at - 1] for at, piece in enumerate(pieces) if piece == "says"})
            ),
            "these are the words *before* `says`, the names; what is said stands after it",
        ),
        (
            lambda pieces: math.log(len(set(_said(pieces, 2)))),
            "these are the words two places after `says`; what is said stands right after it",
        ),
        (
            lambda pieces: math.log(len(set(_said(pieces, 0)))),
            "this counts `says` itself, which is always one word; take the word right after it",
        ),
        (
            lambda pieces: math.log(len({*_said(pieces[:-1])})),
            "the last word of the row is left out: a sentence may end there",
        ),
        (
            lambda pieces: math.log(len(set(_said(pieces, first=1)))),
            "the first word of the row is left out: it may be `says`, where a sentence was cut",
        ),
        (
            lambda pieces: math.log(
                len({after for here, after in pairwise(pieces) if here != "says"})
            ),
            "these are the words that do *not* stand after `says`",
        ),
        (
            lambda pieces: math.log(len(set(_said(pieces))) + 1),
            f"one word too many; {_CHOICE}",
        ),
        (
            lambda pieces: math.log(len(set(_said(pieces)))) / len(set(_said(pieces))),
            "this weights one word's surprise by its probability; the right word always "
            "surprises by ln n",
        ),
    ],
    inputs=_row,
    shows="three different words leave ln 3 = 1.10 nats, where the even guess loses ln 24 = 3.18",
)

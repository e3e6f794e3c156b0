"""Plausibility of cue times: which cues cannot be speech as long, or as fast, as they say.

A word takes a third of a second where people speak as usual; a long one as much longer as it has
letters beyond six, and a character of Chinese, Japanese or Korean counts as three letters.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from jaxtyping import Bool

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.clock import stamp
from omni_lab.media.subtitles.reader import Cue

WORD = 6  # letters, at least, whose time a word takes
PACE = 18  # letters per second of usual speech
HURRY = 3  # times the usual pace, and nobody speaks as fast
SPELL = 3 * TICKS_PER_SECOND  # time over which speech can be too fast, ticks
OVER_OTHERS, ALONE = 3, 20  # times as long as its words take to be spoken, and a cue is no speech
LONG = 15 * TICKS_PER_SECOND  # shortest cue that is doubted for its length, ticks


def spoken_time(text: str) -> int:
    """Time (ticks) in which a text is spoken with ease: at the usual pace, and one second.

    >>> spoken_time("To be or not to be") / 16_000
    3.0
    """
    return TICKS_PER_SECOND + _at_usual_pace(text)


def standing(cues: Sequence[Cue]) -> list[bool]:
    """Signs, watermarks and mistyped ends among cues: too long for speech of so few words.

    The limit is lower where another cue lies within the times of a cue: two texts at a time are
    seldom both speech. Cues whose words have times are speech.

    Parameters
    ----------
    cues : of a film, in any order

    >>> standing([Cue(0, 9 * 16_000, "Channel 4"), Cue(16_000, 32_000, "Where?")])
    [True, False]
    """
    covers = [False] * len(cues)  # whether another one begins and ends while this one stands
    soonest = math.inf  # the first end of a cue that begins later
    order = sorted(range(len(cues)), key=lambda i: -cues[i].start)
    for _, together in groupby(order, key=lambda i: cues[i].start):
        here = list(together)
        for i in here:
            covers[i] = soonest <= cues[i].end
        soonest = min(soonest, *(cues[i].end for i in here))

    return [
        not cue.words
        and cue.end - cue.start > (OVER_OTHERS if over else ALONE) * spoken_time(cue.text)
        for cue, over in zip(cues, covers, strict=True)
    ]


def doubts(cues: tuple[Cue, ...], duration: int) -> list[str]:
    """Plausibility check of cue times in a film of `duration` ticks: one line per doubt.

    Parameters
    ----------
    cues : in order of time

    >>> doubts((Cue(0, 9, "In time."), Cue(32_000, 48_000, "Late.")), 16_000)
    ['1 of 2 cues begin after the film ends at 0:01.000']
    """
    late = sum(cue.start > duration for cue in cues)
    found = []
    if late:
        found.append(f"{late} of {len(cues)} cues begin after the film ends at {stamp(duration)}")
    if len(cues) > 2 and cues[0].start == cues[-1].start:
        at = stamp(cues[0].start)
        found.append(f"all {len(cues)} cues begin at {at}: their times are meaningless")
        return found

    if (hurried := _hurried(cues)).any():
        at = stamp(cues[int(hurried.argmax())].start)
        found.append(
            f"{hurried.sum()} of {len(cues)} cues, the first at {at}, would have to be spoken "
            f"{HURRY} times as fast as people speak: their times are meaningless"
        )

    long = [
        cue.start
        for cue, stands in zip(cues, standing(cues), strict=True)
        if stands and min(cue.end, duration) - cue.start > LONG
    ]
    if long:
        found.append(
            f"{len(long)} of {len(cues)} cues, the first at {stamp(long[0])}, last far longer than "
            "their words, as signs and mistyped ends do: each counts where it begins"
        )
    return found


def _at_usual_pace(text: str) -> int:
    """Time (ticks) that a text takes at the usual pace."""
    letters = sum(max(WORD, sum(map(_letters, word))) for word in text.split())
    return letters * TICKS_PER_SECOND // PACE


def _letters(character: str) -> int:
    """Number of letters whose time a character takes."""
    if not character.isalnum():
        return 0
    return 3 if unicodedata.east_asian_width(character) in "WF" else 1


def _hurried(cues: Sequence[Cue]) -> Bool[np.ndarray, " cues"]:
    """Cues that begin within a spell whose text is more than can be spoken in it.

    The text of a cue is spread evenly over its time; a spell begins with each cue.
    """
    if not cues:
        return np.zeros(0, dtype=bool)
    starts = np.array([cue.start for cue in cues], dtype=np.int64)
    ends = np.maximum(starts + 1, [cue.end for cue in cues])
    pace = np.array([_at_usual_pace(cue.text) for cue in cues]) / (ends - starts)

    # text up to a time: its pace changes where a cue begins or ends
    edges, changes = np.concatenate([starts, ends]), np.concatenate([pace, -pace])
    order = np.argsort(edges, kind="stable")
    edges = edges[order]
    passed = np.cumsum(changes[order])[:-1] * np.diff(edges)
    text = np.concatenate([[0.0], np.cumsum(passed)])
    spoken = np.interp(starts + SPELL, edges, text) - np.interp(starts, edges, text)

    spells = starts[spoken > HURRY * SPELL]
    first, last = (np.searchsorted(starts, t, "left") for t in (spells, spells + SPELL))
    marks = np.zeros(len(cues) + 1, dtype=np.int64)
    np.add.at(marks, first, 1)
    np.add.at(marks, last, -1)
    return np.cumsum(marks)[:-1] > 0

"""Roll-up captions: entries that repeat the one before and add a line or a word.

Live captions on television and the automatic captions of video sites come like this: read as they
stand, they repeat everything two or three times. All entries together decide whether a file rolls:
in a film that does not, somebody may well say the same line twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.words import may_part

NEXT = TICKS_PER_SECOND // 10  # longest pause between an entry and the one that continues it
SCREEN = 8  # lines, more than roll
UNREAD = TICKS_PER_SECOND // 20  # an entry displayed for less only serves the rolling

Entry = tuple[int, int, str]  # start and end in ticks, lines of text


def carried(entries: Sequence[Entry]) -> list[int]:
    """Repeated characters at the head of each entry of roll-up captions; all 0 where none roll.

    Captions roll if at least two entries, and at least half of all, take over lines and add to
    them, or repeat them too briefly to be read.

    Parameters
    ----------
    entries : in order of time

    >>> carried([(0, 9, "One."), (9, 18, "One.\\nAnd two."), (18, 27, "And two.\\nThree.")])
    [0, 4, 8]
    >>> carried([(0, 9000, "No."), (9000, 18000, "No."), (18000, 27000, "No.\\nYes.")])
    [0, 0, 0]
    """
    counts = [0] * len(entries[:1]) + [_carried(*pair) for pair in pairwise(entries)]
    adding = sum(
        count > 0 and (count < len(text) or end - start <= UNREAD)
        for count, (start, end, text) in zip(counts, entries, strict=True)
    )
    rolls = adding >= 2 and 2 * adding >= len(entries) - 1
    return counts if rolls else [0] * len(entries)


def _carried(before: Entry, entry: Entry) -> int:
    """Characters at the head of an entry that are the last lines of the one before.

    The last of these lines may have grown; of several matches the one with the most lines counts.
    """
    if not before[0] < entry[0] <= before[1] + NEXT:
        return 0
    old, new = before[2].splitlines(), entry[2].splitlines()
    for count in range(min(len(old), len(new), SCREEN), 0, -1):
        last, now = old[-1], new[count - 1]
        grows = now.startswith(last) and (now == last or may_part(now, len(last)))
        if grows and old[-count:-1] == new[: count - 1]:
            return len("\n".join(old[-count:]))
    return 0

"""Repeated display of one text: highlighted words, fillers and layers as the one entry they are.

Karaoke-like captions display a line again for each word that is highlighted, with fillers between;
styled subtitles draw a line in several layers, or once per frame. What is said or sung again stays:
its entries follow each other in the same style, or the highlight begins anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.forms import Row
from omni_lab.media.subtitles.rolling import NEXT, UNREAD

STYLE = re.compile(
    r"</?(?:[ibus]|ruby|rt|font)(?:\.[^\s<>]*)?(?:\s+[\w-]+=[^<>]*)?\s*>"
    r"|</?(?:c|lang)(?:[.\s][^<>]*)?>"
    r"|\{\\[^{}]*\}",  # SRT files borrow {\an8} from ASS
    re.IGNORECASE,
)
_AROUND = re.compile(r"</?v\b[^<>]*>|\s", re.IGNORECASE)  # beside styles, at a text's ends
PAUSE = TICKS_PER_SECOND  # longest pause between two words of a line whose words are highlighted


@dataclass(slots=True)
class _Display:
    """Display of one text, by one entry or several."""

    number: int  # of the first entry
    start: int  # ticks
    end: int | None  # ticks; None where it is not known
    styles: set[str] = field(default_factory=set)  # in which the text could be read
    highlights: bool = False  # some part was styled otherwise than the rest
    newest: bool = False  # and in the newest entry

    def goes_on(self, row: Row, end: int | None) -> bool:
        """Whether an entry of the same text, starting no earlier, is part of this display."""
        partial = _is_partial(row.text)
        again = row.text in self.styles
        pause = PAUSE if partial and not again else NEXT
        if self.end is not None and row.start > self.end + pause:
            return False

        within = None not in (self.end, end) and end <= self.end
        brief = _is_brief(row.start, end) and not partial
        if row.start == self.start or within or brief or not self.styles:
            return True
        filler = self.newest and not partial
        return (partial or self.highlights) and (filler or not again)

    def add(self, row: Row, end: int | None) -> None:
        """Extend the display by an entry."""
        if end is None:
            self.end = self.end if row.start == self.start else None
        else:
            self.end = end if self.end is None else max(self.end, end)
        partial = _is_partial(row.text)
        if partial or not _is_brief(row.start, end):
            self.newest, self.highlights = partial, self.highlights or partial
            self.styles.add(row.text)


def shown_once(rows: Sequence[Row]) -> dict[int, Row]:
    """Entries without those that only display the text of another one again, by their number.

    An entry lasts as long as its text is displayed. The name of a speaker is part of a text.

    Parameters
    ----------
    rows : in file order, text with markup

    >>> shown_once([Row(0, 8000, "<u>One</u> two"), Row(8000, 16000, "One <u>two</u>")])
    {0: Row(start=0, end=16000, text='<u>One</u> two', name='')}
    """
    kept = dict(enumerate(rows))
    displays: dict[tuple[str, str], _Display] = {}
    for number in sorted(kept, key=lambda number: rows[number].start):
        row = rows[number]
        end = row.end if row.end is not None and row.end > row.start else None
        text = " ".join(STYLE.sub("", row.text).split()), row.name
        same = displays.get(text)

        if same and same.goes_on(row, end):
            del kept[number]
            same.add(row, end)
            kept[same.number] = rows[same.number]._replace(end=same.end)
        else:
            displays[text] = _Display(number, row.start, end)
            displays[text].add(row, end)
    return kept


def _is_brief(start: int, end: int | None) -> bool:
    """Whether an entry is displayed too briefly to be read."""
    return end is not None and end - start <= UNREAD


def _is_partial(text: str) -> bool:
    """Whether a style begins or ends within a text, not only around it."""
    return sum(bool(_AROUND.sub("", part)) for part in STYLE.split(text)) > 1

"""Who speaks, read from marks in the text: `NAME:` before it, or a dash where speakers change.

A name is taken as one when all its letters are capitals, or when it opens several cues of the same film; `3:2`,
`https:` and a single "Remember: …" are text.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from omni_lab.media.subtitles import Cue, divide

# up to four words that begin with a letter or digit, a colon, and a space: no 3:2, no https://
_NAME = re.compile(r"^\s*(?:[-–—]\s*|>>\s*)?(?P<name>[^\W\d_][\w.'’&#-]*(?: [\w.'’&#-]+){0,3}?)\s?:(?=\s+\S)\s*")
_DASH = re.compile(r"^\s*[-–—]+\s*(?=\S)")


def read_roles(cues: tuple[Cue, ...]) -> tuple[Cue, ...]:
    """Move the marks of speakers from the text into the role, splitting cues in which several speak.

    A dash says that the speaker changes but not to whom: its role stays None, with `role_source` "dash". Where a cue
    is split, its time is shared by length of text. A cue whose role the file already names keeps it. Line breaks
    become spaces.

    >>> read_roles((Cue(0, 16000, "VISITOR: Ratio?\\nGUIDE: It is 3:2."),))[1].role
    'guide'
    """
    counts = Counter(m["name"].lower() for cue in cues for line in cue.text.splitlines() if (m := _NAME.match(line)))
    return tuple(piece for cue in cues for piece in _split(cue, counts))


def _split(cue: Cue, counts: Counter) -> list[Cue]:
    """Split one cue at its marks."""
    if cue.role is not None:
        return [replace(cue, text=" ".join(cue.text.split()))]
    pieces: list[Cue] = []
    lines = cue.text.splitlines()
    dashes = sum(bool(_DASH.match(line)) for line in lines)
    for line in lines:
        name, dash = _NAME.match(line), _DASH.match(line)
        if name and (_capital(name["name"]) or counts[name["name"].lower()] > 1):
            pieces.append(replace(cue, text=line[name.end() :], role=name["name"].lower(), role_source="prefix"))
        elif dash and (len(lines) > 1 or dashes > 1):
            pieces.append(replace(cue, text=line[dash.end() :], role_source="dash"))
        elif pieces:
            pieces[-1] = replace(pieces[-1], text=f"{pieces[-1].text} {line}")
        else:
            pieces.append(replace(cue, text=line))
    pieces = [replace(piece, text=" ".join(piece.text.split()), words=()) for piece in pieces]
    if len(pieces) == 1:
        return [replace(pieces[0], words=cue.words)]
    return divide(cue, pieces)


def _capital(name: str) -> bool:
    """Tell whether a name is written in capitals alone."""
    return name.upper() == name and sum(letter.isalpha() for letter in name) > 1

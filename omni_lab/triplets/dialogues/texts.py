"""Texts of a dialogue for other programs: lines kept apart, speakers named, placeholders escaped.

Chat templates and loaders glue neighbouring texts together, know one user only, and look for
placeholders of pictures and special tokens in all text. A film may say anything, so that what it
says is written such that none of the three harms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from omni_lab.triplets.dialogues.roleplay import Dialogue, Part, Turn

# <image>, <|im_end|>, </s>, <<SYS>>; [INST], [IMG], [|user|]; {{content}}
_OPENING = re.compile(
    r"<(?=[^<>\s]{1,64}>)"
    r"|\[(?=\|)"
    r"|\[(?=/?(?:INST|IMG|IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|VIDEO|TOOL_CALLS|TOOL_RESULTS"
    r"|AVAILABLE_TOOLS|SYSTEM_PROMPT|BOS|EOS|CLS|SEP|PAD|UNK|[gs]?MASK)\])"
    r"|\{(?=\{)"
)


def escaped(text: str) -> str:
    """Text without placeholders and special tokens: a space behind the bracket that opens one.

    >>> escaped("An <image>, a <|im_end|> and an {{image}}: 1 < 2 [MUSIC]")
    'An < image>, a < |im_end|> and an { {image}}: 1 < 2 [MUSIC]'
    """
    return _OPENING.sub(r"\g<0> ", text)


def told(spoken: Dialogue, transcript: bool = False) -> Iterator[tuple[Turn, Part, str]]:
    """Parts of a dialogue in order, each with its turn and its text for other programs.

    Lines of one role follow after a space. Another role begins a new line with its name, where it
    has one; the model's answers bear none, since the chat marks them. Frames and audio have no
    text.

    Parameters
    ----------
    transcript : no chat marks the answers: the model's role is named like any other
    """
    before: Turn | None = None  # the turn of the last text; in a chat, of the same message
    for turn in spoken.turns:
        if before and before.speaker != turn.speaker and not transcript:
            before = None
        for part in turn.parts:
            if part.kind != "text":
                yield turn, part, ""
                continue
            named = transcript or turn.speaker == "user"
            yield turn, part, escaped(_lead(before, turn, named) + part.text.strip())
            before = turn


def _lead(before: Turn | None, turn: Turn, named: bool) -> str:
    """What stands before a text: nothing, a space, or a new line and the name of who speaks."""
    if before and before.role == turn.role:
        return " "
    name = " ".join(turn.role.split()) if named and turn.role else ""
    return ("\n" if before else "") + (f"{name}: " if name else "")

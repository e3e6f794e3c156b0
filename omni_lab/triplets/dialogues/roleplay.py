"""Role-play: a clip as a dialogue in which what is seen, heard and said take turns, and one role is the model's.

The rule of a turn: whatever was seen and heard since the last turn comes first, then what is said. Another role's line
comes after the sound that lasts while it is said (its words are the text of that sound); the model's own line comes
before it, so that the model never hears an answer which it is still to give.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from omni_lab.errors import UsageError
from omni_lab.media.clock import ticks
from omni_lab.triplets.record import EncodedClip, cue_from

OWN_SOUND = ("later", "never", "first")


@dataclass(frozen=True)
class Part:
    """One thing that is seen, heard or said, with its time in the clip and where it lies there."""

    kind: str  # image, audio or text
    start: int  # ticks from the clip's start
    end: int  # of sound and text; a picture is an instant, it ends where it starts
    index: int | None = (
        None  # which of the clip's pictures or cues; None for sound: its ticks are its samples
    )
    text: str = ""  # what is said


@dataclass(frozen=True)
class Turn:
    """What one role says, after what was seen and heard since the turn before."""

    role: str | None  # None: nobody speaks, or nobody knows who does
    speaker: str  # assistant where the role is the model's, else user
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Dialogue:
    """A clip as turns. Two turns of the model never meet: something seen, heard or said lies between them."""

    clip_id: str
    model_role: str
    turns: tuple[Turn, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part of every turn, in order."""
        return tuple(part for turn in self.turns for part in turn.parts)

    @property
    def answers(self) -> int:
        """Turns of the model: 0 where its role says nothing in this clip, so that there is nothing to learn to say."""
        return sum(turn.speaker == "assistant" for turn in self.turns)


def dialogue(
    clip: EncodedClip, model_role: str, own_sound: str = "later", pause_s: float = 1.0
) -> Dialogue:
    """Turn a clip into a dialogue: every picture, every sample that the film has and every cue's text once.

    Cues are taken in order of their starts. Neighbouring cues of one role are one turn; the model's role pauses for a
    turn where its cues stand further apart than `pause_s` and there was something to see or hear meanwhile. A clip in
    which nobody has the model's role gives a dialogue without an answer (`answers == 0`). A dialogue may begin with
    the model and may end with another turn; see `trimmed`.

    Parameters
    ----------
    clip : with its record as shards hold it; samples outside its `audio_spans` are padding and come in no part
    model_role : the role that the model plays
    own_sound : when the model is given the sound that lasts while its own line does. In most films that sound is the
        line being spoken. `later` gives it after the line, in the next turn: no answer is heard before it is said, and
        nothing is lost. `never` leaves it out, as a microphone that does not pick up the speaker's own voice would;
        who talks over the model is lost with it. `first` gives it before the line: right only where the model's lines
        are written and never spoken, as in the gallery, whose answers are about the very moment in which they stand
    pause_s : silence of the model's role, in seconds, after which it has ended its turn

    Raises
    ------
    UsageError
        `model_role` is empty or `own_sound` is none of the three

    >>> cues = [
    ...     {"start": 0, "end": 16000, "text": "Colour?", "role": "visitor", "words": []},
    ...     {"start": 16000, "end": 32000, "text": "Red.", "role": "guide", "words": []},
    ... ]
    >>> record = {"cues": cues, "frame_times": [8000], "quality": {"audio_spans": [[0, 32000]]}}
    >>> for turn in dialogue(EncodedClip("film_0_32000", record, (b"",), None), "guide").turns:
    ...     print(turn.speaker, [part.text or (part.kind, part.start, part.end) for part in turn.parts])
    user [('image', 8000, 8000), ('audio', 0, 16000), 'Colour?']
    assistant ['Red.']
    user [('audio', 16000, 32000)]
    """
    model_role = model_role.strip().lower()
    if not model_role:
        raise UsageError(
            "the model's role is empty; name one that speaks in the films, such as guide"
        )
    if own_sound not in OWN_SOUND:
        raise UsageError(
            f"own_sound = {own_sound!r} is impossible: it must be one of {', '.join(OWN_SOUND)}"
        )
    every = [(number, cue_from(cue)) for number, cue in enumerate(clip.record["cues"])]
    cues = sorted(
        ((number, cue) for number, cue in every if cue.text.strip()), key=lambda pair: pair[1].start
    )
    own = [cue for _, cue in cues if cue.role == model_role]
    spans = clip.record["quality"].get("audio_spans", [])
    if own_sound == "never":
        spans = _without(spans, ((cue.start, cue.end) for cue in own))
    waiting = _Waiting(clip.record["frame_times"], spans)
    turns: list[Turn] = []
    silent_from = -math.inf  # where the model's last line ends
    for position, (number, cue) in enumerate(cues):
        said = Part("text", cue.start, cue.end, number, cue.text)
        if cue.role == model_role:
            goes_on = (
                bool(turns)
                and turns[-1].speaker == "assistant"
                and cue.start - silent_from <= ticks(pause_s)
            )
            if not goes_on:
                watch(turns, waiting.until(cue.end if own_sound == "first" else cue.start))
            say(turns, model_role, "assistant", [said])
            silent_from = max(silent_from, cue.end)
        else:
            answers = (later.start for _, later in cues[position:] if later.role == model_role)
            barrier = math.inf if own_sound == "first" else min(answers, default=math.inf)
            say(turns, cue.role or None, "user", [*waiting.until(min(cue.end, barrier)), said])
    watch(turns, waiting.until(math.inf))
    return Dialogue(clip.clip_id, model_role, tuple(turns))


def trimmed(spoken: Dialogue) -> Dialogue:
    """The dialogue from its first turn that is not the model's to the model's last: what strict frameworks accept.

    What follows the last answer teaches nothing; but an answer at the very start is lost, as nothing was asked before.
    A dialogue without an answer has no turns left.
    """
    turns = list(spoken.turns)
    while turns and turns[0].speaker == "assistant":
        turns.pop(0)
    while turns and turns[-1].speaker != "assistant":
        turns.pop()
    return replace(spoken, turns=tuple(turns))


def say(turns: list[Turn], role: str | None, speaker: str, parts: list[Part]) -> None:
    """Add parts as the turn of a role, or to the last turn where that is the same role's."""
    if turns and (turns[-1].role, turns[-1].speaker) == (role, speaker):
        turns[-1] = replace(turns[-1], parts=(*turns[-1].parts, *parts))
    else:
        turns.append(Turn(role, speaker, tuple(parts)))


def watch(turns: list[Turn], parts: list[Part]) -> None:
    """Add what is seen and heard while nobody speaks: to the last turn, or as a turn of nobody's after the model's."""
    if parts:
        role = turns[-1].role if turns and turns[-1].speaker == "user" else None
        say(turns, role, "user", parts)


class _Waiting:
    """What is there to be seen and heard and was not given yet, in order of time."""

    def __init__(self, frame_times: Iterable[int], spans: Iterable[Iterable[int]]):
        self.pictures = deque(
            Part("image", time, time, index) for index, time in enumerate(frame_times)
        )
        self.spans = deque((start, end) for start, end in spans)

    def until(self, tick: float) -> list[Part]:
        """Give, once, the pictures and the sound from before a tick: pictures first, then sound."""
        parts = []
        while self.pictures and self.pictures[0].start < tick:
            parts.append(self.pictures.popleft())
        while self.spans and self.spans[0][0] < tick:
            start, end = self.spans.popleft()
            if end > tick:
                self.spans.appendleft((tick, end))
            parts.append(Part("audio", start, min(end, tick)))
        return parts


def _without(
    spans: Iterable[Iterable[int]], holes: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Take holes out of spans."""
    left = [(start, end) for start, end in spans]
    for first, last in holes:
        pieces = ((start, min(end, first), max(start, last), end) for start, end in left)
        left = (
            [(a, b) for s, e, t, f in pieces for a, b in ((s, e), (t, f)) if a < b]
            if first < last
            else left
        )
    return left

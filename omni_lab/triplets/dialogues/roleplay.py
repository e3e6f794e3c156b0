"""Role-play dialogues: a clip as turns of image, audio and text, one role played by the model.

The rule of a turn: everything seen and heard since the last turn comes first, then the line. The
line of another role comes after the sound at its time (its words are the text of that sound); the
model's line comes before it, so that the model never hears an answer before giving it.
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
    """Part of a turn: a frame, a span of audio or a cue's text, with its time in the clip."""

    kind: str  # image, audio or text
    start: int  # ticks from the clip's start
    end: int  # ticks; a frame is an instant, it ends where it starts
    index: int | None = None  # of the frame or cue in the clip; None for audio, whose ticks suffice
    text: str = ""  # of a cue


@dataclass(frozen=True)
class Turn:
    """Turn of one role: frames and audio since the previous turn, then text."""

    role: str | None  # None: no one speaks, or the speaker is unknown
    speaker: str  # assistant where the role is the model's, else user
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Dialogue:
    """Dialogue of a clip: turns, of which two of the model are never neighbours."""

    clip_id: str
    model_role: str
    turns: tuple[Turn, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts of all turns, in order."""
        return tuple(part for turn in self.turns for part in turn.parts)

    @property
    def answers(self) -> int:
        """Number of the model's turns; 0 leaves nothing to supervise in this clip."""
        return sum(turn.speaker == "assistant" for turn in self.turns)


def dialogue(
    clip: EncodedClip, model_role: str, own_sound: str = "later", pause_s: float = 1.0
) -> Dialogue:
    """Role-play dialogue of a clip: every frame, every real audio sample and every cue's text once.

    Cues are taken in order of their starts. Neighbouring cues of one role are one turn; a turn of
    the model ends where its cues are further apart than `pause_s` and something was to be seen or
    heard meanwhile. A clip without the model's role gives a dialogue without an answer
    (`answers == 0`). A dialogue may begin with the model and may end with another turn; see
    `trimmed`.

    Parameters
    ----------
    clip : with its record as shards store it; samples outside its `audio_spans` are padding and
        appear in no part
    model_role : the role that the model plays
    own_sound : place of the sound that coincides with the model's own line. In most films that
        sound is the line being spoken. `later` puts it after the line, into the next turn: no
        answer is heard before it is given, and all sound is kept. `never` leaves it out, as a
        microphone with echo cancellation would; anyone talking over the model is lost with it.
        `first` puts it before the line: right only where the model's lines are written and never
        spoken, as in the gallery, whose answers are about the very moment of their cue
    pause_s : silence of the model's role, in seconds, that ends its turn

    Raises
    ------
    UsageError
        `model_role` is empty or `own_sound` is none of the three

    >>> cues = [
    ...     {"start": 0, "end": 16000, "text": "Colour?", "role": "visitor", "words": []},
    ...     {"start": 16000, "end": 32000, "text": "Red.", "role": "guide", "words": []},
    ... ]
    >>> record = {"cues": cues, "frame_times": [8000], "quality": {"audio_spans": [[0, 32000]]}}
    >>> clip = EncodedClip("film_0_32000", record, (b"",), None)
    >>> for turn in dialogue(clip, "guide").turns:
    ...     print(turn.speaker, [p.text or (p.kind, p.start, p.end) for p in turn.parts])
    user [('image', 8000, 8000), ('audio', 0, 16000), 'Colour?']
    assistant ['Red.']
    user [('audio', 16000, 32000)]
    """
    model_role = model_role.strip().lower()
    if not model_role:
        raise UsageError(
            "the model's role is empty; give a role that speaks in the films, such as guide"
        )
    if own_sound not in OWN_SOUND:
        raise UsageError(
            f"own_sound = {own_sound!r} does not exist: it must be one of {', '.join(OWN_SOUND)}"
        )

    every = [(number, cue_from(cue)) for number, cue in enumerate(clip.record["cues"])]
    written = ((number, cue) for number, cue in every if cue.text.strip())
    cues = sorted(written, key=lambda pair: pair[1].start)
    own = [cue for _, cue in cues if cue.role == model_role]
    spans = clip.record["quality"].get("audio_spans", [])
    if own_sound == "never":
        spans = _without(spans, ((cue.start, cue.end) for cue in own))
    waiting = _Waiting(clip.record["frame_times"], spans)
    turns: list[Turn] = []
    silent_from = -math.inf  # end of the model's last line, ticks

    for position, (number, cue) in enumerate(cues):
        line = Part("text", cue.start, cue.end, number, cue.text)
        if cue.role == model_role:
            speaking = bool(turns) and turns[-1].speaker == "assistant"
            if not (speaking and cue.start - silent_from <= ticks(pause_s)):
                watch(turns, waiting.until(cue.end if own_sound == "first" else cue.start))
            say(turns, model_role, "assistant", [line])
            silent_from = max(silent_from, cue.end)
        else:
            # an overlapping answer of the model must not be heard before it is given
            answers = (later.start for _, later in cues[position:] if later.role == model_role)
            barrier = math.inf if own_sound == "first" else min(answers, default=math.inf)
            say(turns, cue.role or None, "user", [*waiting.until(min(cue.end, barrier)), line])

    watch(turns, waiting.until(math.inf))
    return Dialogue(clip.clip_id, model_role, tuple(turns))


def trimmed(spoken: Dialogue) -> Dialogue:
    """Dialogue from the user's first turn to the model's last, as strict frameworks demand.

    Turns after the last answer teach nothing; an answer at the very start is lost, since no user
    turn precedes it. A dialogue without an answer has no turns left.
    """
    turns = list(spoken.turns)
    while turns and turns[0].speaker == "assistant":
        turns.pop(0)
    while turns and turns[-1].speaker != "assistant":
        turns.pop()
    return replace(spoken, turns=tuple(turns))


def say(turns: list[Turn], role: str | None, speaker: str, parts: list[Part]) -> None:
    """Append of parts as a turn of a role, or to the last turn if it is the same role's."""
    if turns and (turns[-1].role, turns[-1].speaker) == (role, speaker):
        turns[-1] = replace(turns[-1], parts=(*turns[-1].parts, *parts))
    else:
        turns.append(Turn(role, speaker, tuple(parts)))


def watch(turns: list[Turn], parts: list[Part]) -> None:
    """Append of frames and audio without a speaker: to a user turn, else as a new turn."""
    if parts:
        role = turns[-1].role if turns and turns[-1].speaker == "user" else None
        say(turns, role, "user", parts)


class _Waiting:
    """Queue of frames and audio spans that no turn holds yet, in order of time."""

    def __init__(self, frame_times: Iterable[int], spans: Iterable[Iterable[int]]):
        self.pictures = deque(
            Part("image", time, time, index) for index, time in enumerate(frame_times)
        )
        self.spans = deque((start, end) for start, end in spans)

    def until(self, tick: float) -> list[Part]:
        """Frames, then audio, from before a tick, removed from the queue."""
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
    """Set difference of spans and holes, both as (start, end) in ticks."""
    left = [(start, end) for start, end in spans]
    for first, last in holes:
        pieces = ((start, min(end, first), max(start, last), end) for start, end in left)
        left = (
            [(a, b) for s, e, t, f in pieces for a, b in ((s, e), (t, f)) if a < b]
            if first < last
            else left
        )
    return left

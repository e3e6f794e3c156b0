"""Exercise of rebasing subtitles: the cues of a clip, with times from the clip's start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral

from omni_lab.check.verdict import Verdict, tried
from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.triplets.cutting.clips import assign
from omni_lab.triplets.cutting.cut import Clip


@dataclass(frozen=True)
class _Cutting:
    """Film of the exercise: its cues, its clips, and the right cues of every clip."""

    cues: tuple[Cue, ...]
    clips: tuple[Clip, ...]
    by_clip: tuple[tuple[Cue, ...], ...]  # the package's own answer


def _conversation() -> _Cutting:
    """Conversation in which cuts miss, touch and split cues and words; no word occurs twice."""

    def spoken(start_s: int, role: str, text: str) -> Cue:
        words = [
            Word((start_s + i) * TICKS_PER_SECOND, (start_s + i + 1) * TICKS_PER_SECOND, word)
            for i, word in enumerate(text.split())
        ]
        return Cue(words[0].start, words[-1].end, text, role, "vtt_voice", words=tuple(words))

    cues = (
        spoken(1, "visitor", "Where is it?"),
        spoken(8, "guide", "Look there, beside the sign."),
        spoken(17, "visitor", "Thank you, guide!"),
        spoken(20, "guide", "Please follow me."),
        spoken(23, "guide", "Now we walk on past all these paintings towards our next room."),
    )
    # cuts in the first half of a word, in the second, and in its very middle, before a last word
    edges = [round(edge * TICKS_PER_SECOND) for edge in (0, 10.3, 20, 25.7, 34.5, 40)]
    clips = tuple(Clip(start, end, "cue") for start, end in pairwise(edges))
    return _Cutting(cues, clips, tuple(map(tuple, assign(cues, clips))))


def rebased(attempt: Callable[[list[Cue], int, int], Sequence[Cue]]) -> Verdict:
    """Checker of rebased subtitles: the cues of every clip, with times from the clip's start.

    Parameters
    ----------
    attempt : takes the film's cues (all with the times of their words), and the start and end of
        one clip in ticks, and returns the clip's cues; it is called clip by clip
    """
    film = _conversation()
    answers = []
    for clip in film.clips:
        given = list(film.cues)
        value = tried(attempt, given, clip.start, clip.end)
        if isinstance(value, Verdict):
            return value
        # a list that was emptied on the way would spoil the clips after it
        if given != list(film.cues):
            message = "your function changed the film's list of cues: the next clip needs them all"
            return Verdict(False, message)
        if wrong := _not_cues(value):
            return Verdict(False, wrong)
        answers.append(list(value))  # type: ignore[call-overload]

    if wrong := _wrong_text(answers, film) or _wrong_cues(answers, film):
        return Verdict(False, wrong)
    counts = f"{len(film.cues)} cues in {len(film.clips)} clips"
    return Verdict(True, f"right: {counts}, every word in one clip, and on its clock")


def _not_cues(value: object) -> str | None:
    """Wrong type of an answer, explained, or None."""
    if not isinstance(value, list | tuple):
        return f"return a list of cues; yours is of type {type(value).__name__}"
    strange = next((item for item in value if not isinstance(item, Cue)), None)
    if strange is not None:
        return f"return a list of cues; {strange!r} in yours is of type {type(strange).__name__}"
    for cue in value:
        if not isinstance(cue.text, str):
            return f"a cue's text is a string; {cue.text!r} is of type {type(cue.text).__name__}"
        if not isinstance(cue.words, tuple) or not all(
            isinstance(word, Word) for word in cue.words
        ):
            return f"a cue's words are a tuple of `Word`; {cue.text!r} has {cue.words!r}"
    return None


def _wrong_text(answers: list[list[Cue]], film: _Cutting) -> str | None:
    """First word that is missing, doubled or in the wrong clip, explained, or None."""
    homes = {
        word: clip
        for clip, cues in zip(film.clips, film.by_clip, strict=True)
        for word in _words(cues)
    }
    found: dict[str, list[Clip]] = {word: [] for word in homes}
    for clip, cues in zip(film.clips, answers, strict=True):
        for word in _words(cues):
            if word not in homes:
                alien = f"clip {_named(clip)} contains {word!r}, which is no word of the film"
                return f"{alien}: keep the text as it is"
            found[word].append(clip)

    # in the film's order: the first wrong word shows the mistake best
    for cue in film.cues:
        for word in cue.text.split():
            clips, home = " and ".join(map(_named, found[word])), _named(homes[word])
            rule = _rule(cue, homes)
            if not clips:
                return f"{word!r} is in no clip: {rule}. The model would hear it and never read it"
            if len(found[word]) > 1:
                return f"{word!r} is in clips {clips}: {rule}. In one of them it is not heard"
            if clips != home:
                return f"{word!r} is in clip {clips}, but spoken in {home}: {rule}"
    return None


def _words(cues: Sequence[Cue]) -> list[str]:
    return [word for cue in cues for word in cue.text.split()]


def _named(clip: Clip) -> str:
    return f"{clip.start / TICKS_PER_SECOND:g}–{clip.end / TICKS_PER_SECOND:g} s"


def _rule(cue: Cue, homes: dict[str, Clip]) -> str:
    """Rule for a cue, by how the cuts fall around it."""
    clips = {homes[word].start: homes[word] for word in cue.text.split()}
    if len(clips) > 1:
        cuts = "a cut goes" if len(clips) == 2 else f"{len(clips) - 1} cuts go"
        return f"{cuts} through its cue, so split it there, each word into the clip of its middle"
    (clip,) = clips.values()
    if cue.end == clip.end:
        return "its cue ends where a clip ends, and belongs to that clip alone"
    if cue.start == clip.start:
        return "its cue begins where a clip begins, and belongs to that clip alone"
    return "no cut touches its cue, and it belongs to the clip it lies in"


def _wrong_cues(answers: list[list[Cue]], film: _Cutting) -> str | None:
    """First cue with a wrong time, word or mark, explained, where all text is in its clip."""
    for clip, given, right in zip(film.clips, answers, film.by_clip, strict=True):
        if not all(cue.text.split() for cue in given):
            empty = f"clip {_named(clip)} has a cue without text"
            return f"{empty}: a cue stays out of a clip that has none of its words"
        if sorted(cue.text for cue in given) != sorted(cue.text for cue in right):
            cut = f"clip {_named(clip)}: its {len(right)} cues are split or joined"
            return f"{cut} where no cut is: one cue stays one"
        if [cue.text for cue in given] != [cue.text for cue in right]:
            return f"clip {_named(clip)}: its cues are not in order of time, as a stream needs them"
        for own, true in zip(given, right, strict=True):
            if own != true:
                return f"clip {_named(clip)}, {true.text!r}: {_wrong_cue(own, true, clip)}"
    return None


def _wrong_cue(own: Cue, true: Cue, clip: Clip) -> str:
    """Explanation of one wrong cue, the gravest mistake first."""
    times = (own.start, own.end, *(time for word in own.words for time in (word.start, word.end)))
    odd = next((time for time in times if not isinstance(time, Integral)), None)
    if odd is not None:
        ticks = "times are ticks, so that a time is the index of a sample; seconds drift"
        return f"{odd!r} is no whole number: {ticks}"
    return _wrong_time(own, true, clip) or _wrong_words(own, true)


def _wrong_time(own: Cue, true: Cue, clip: Clip) -> str | None:
    """Wrong start or end of a cue, in ticks, explained, or None."""
    length = clip.end - clip.start
    if true.start == 0 < own.start and own.words and own.start == own.words[0].start:
        return f"starts at {own.start}, not at 0: a part of a split cue starts at the cut"
    if clip.start and own.start >= 0 and max(0, own.start - clip.start) == true.start != own.start:
        subtract = "subtract the clip's start, or every text comes after its sound"
        return f"starts at {own.start}, as in the film: {subtract}"
    if own.start < 0:
        rule = "the second part of a split cue starts with its clip, at 0"
        return f"starts at {own.start}, before its clip: {rule}"
    if own.start != true.start:
        rule = "the later of the cue's start and the clip's, counted from the clip's start"
        return f"starts at {own.start}, not at {true.start}: {rule}"

    if own.end > length:
        late = f"ends at {own.end}, after its clip of {length} ticks: there is no sound there"
        return f"{late}; rebase the end too, and end a split cue where the clip ends"
    if own.end != true.end:
        with_word = true.end == length and own.words and own.end == own.words[-1].end
        rule = "the earlier of the cue's end and the clip's, counted from the clip's start"
        if with_word:
            rule = "a part of a split cue ends at the cut, not with its last word"
        return f"ends at {own.end}, not at {true.end}: {rule}"
    return None


def _wrong_words(own: Cue, true: Cue) -> str:
    """Wrong words or marks of a cue whose times are right, explained."""
    if [word.text for word in own.words] != [word.text for word in true.words]:
        words = " ".join(word.text for word in own.words)
        return f"its words are {words!r}: split `words` where you split the text"
    if own.words != true.words:
        return "its words have other times: move every word with its cue, so that words align too"
    marks = f"({own.role!r}, {own.role_source!r})"
    return f"its role or its marks changed {marks}: replace only times, text and words"

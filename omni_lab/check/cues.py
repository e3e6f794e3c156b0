"""The exercise of rebasing: which cues a clip holds, and when, counted from the clip's own start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral

from omni_lab.check.verdict import Verdict, tried
from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.triplets.cutting.clips import share
from omni_lab.triplets.cutting.cut import Clip


@dataclass(frozen=True)
class _Cutting:
    """A conversation as the exercise of rebasing meets it: a film's cues, its clips, and what belongs into each."""

    cues: tuple[Cue, ...]
    clips: tuple[Clip, ...]
    shared: tuple[tuple[Cue, ...], ...]  # by the package, clip by clip


def _conversation() -> _Cutting:
    """Cues that a cut leaves alone, touches at either end, goes through once and goes through twice; no word twice."""

    def said(start_s: int, role: str, text: str) -> Cue:
        words = [
            Word((start_s + i) * TICKS_PER_SECOND, (start_s + i + 1) * TICKS_PER_SECOND, word)
            for i, word in enumerate(text.split())
        ]
        return Cue(words[0].start, words[-1].end, text, role, "vtt_voice", words=tuple(words))

    cues = (
        said(1, "visitor", "Where is it?"),
        said(8, "guide", "Look there, beside the sign."),
        said(17, "visitor", "Thank you, guide!"),
        said(20, "guide", "Please follow me."),
        said(23, "guide", "Now we walk on past all these paintings towards our next room."),
    )
    edges = [edge * TICKS_PER_SECOND for edge in (0, 10, 20, 25, 31, 40)]
    clips = tuple(Clip(start, end, "cue") for start, end in pairwise(edges))
    return _Cutting(cues, clips, tuple(map(tuple, share(cues, clips))))


def rebased(attempt: Callable[[list[Cue], int, int], Sequence[Cue]]) -> Verdict:
    """Check an attempt at: which cues does a clip hold, and when, counted from the clip's own start?

    Parameters
    ----------
    attempt : takes the film's cues (all with the times of their words), and the first and last tick of one clip, and
        returns the clip's cues; it is asked clip by clip
    """
    film = _conversation()
    answers = []
    for clip in film.clips:
        given = list(film.cues)
        value = tried(attempt, given, clip.start, clip.end)
        if isinstance(value, Verdict):
            return value
        if given != list(film.cues):
            return Verdict(
                False,
                "your function changed the list of the film's cues: the next clip needs them all",
            )
        if wrong := _not_cues(value):
            return Verdict(False, wrong)
        answers.append(list(value))  # type: ignore[call-overload]
    wrong = _wrong_text(answers, film) or _wrong_cues(answers, film)
    if wrong:
        return Verdict(False, wrong)
    shared = f"{len(film.clips)} clips share {len(film.cues)} cues"
    return Verdict(True, f"right: {shared}, every word in one clip, and on its clock")


def _not_cues(value: object) -> str | None:
    """What is wrong with the kind of thing that came back, or None."""
    if not isinstance(value, list | tuple):
        return f"return a list of cues; this is a {type(value).__name__}"
    strange = next((item for item in value if not isinstance(item, Cue)), None)
    if strange is not None:
        return f"return a list of cues; {strange!r} in it is a {type(strange).__name__}"
    for cue in value:
        if not isinstance(cue.text, str):
            return f"a cue's text is a string; {cue.text!r} is a {type(cue.text).__name__}"
        if not isinstance(cue.words, tuple) or not all(
            isinstance(word, Word) for word in cue.words
        ):
            return f"a cue's words are a tuple of `Word`; {cue.text!r} has {cue.words!r}"
    return None


def _wrong_text(answers: list[list[Cue]], film: _Cutting) -> str | None:
    """Whether a word is lost, doubled or in the wrong clip."""
    homes = {
        word: clip
        for clip, cues in zip(film.clips, film.shared, strict=True)
        for word in _words(cues)
    }
    found: dict[str, list[Clip]] = {word: [] for word in homes}
    for clip, cues in zip(film.clips, answers, strict=True):
        for word in _words(cues):
            if word not in homes:
                return f"clip {_named(clip)} says {word!r}, which is no word of the film: keep the text as it is"
            found[word].append(clip)
    for cue in film.cues:
        for word in cue.text.split():
            clips, home, rule = (
                " and ".join(map(_named, found[word])),
                _named(homes[word]),
                _rule(cue, homes),
            )
            if not clips:
                return f"{word!r} is in no clip: {rule}. What is lost is still heard, and nobody will miss it"
            if len(found[word]) > 1:
                return f"{word!r} is in clips {clips}: {rule}. What is doubled is once not heard"
            if clips != home:
                return f"{word!r} is in clip {clips}, but said in {home}: {rule}. Else it is read and not heard"
    return None


def _words(cues: Sequence[Cue]) -> list[str]:
    return [word for cue in cues for word in cue.text.split()]


def _named(clip: Clip) -> str:
    return f"{clip.start // TICKS_PER_SECOND}–{clip.end // TICKS_PER_SECOND} s"


def _rule(cue: Cue, homes: dict[str, Clip]) -> str:
    """How a cue lies to the cuts, and what is to be done with it."""
    clips = {homes[word].start: homes[word] for word in cue.text.split()}
    if len(clips) > 1:
        cuts = "a cut goes" if len(clips) == 2 else f"{len(clips) - 1} cuts go"
        return (
            f"{cuts} through its cue, which is split there, each word into the clip it is said in"
        )
    (clip,) = clips.values()
    if cue.end == clip.end:
        return "its cue ends where a clip ends, and belongs to that clip alone"
    if cue.start == clip.start:
        return "its cue begins where a clip begins, and belongs to that clip alone"
    return "no cut touches its cue, and it belongs to the clip it lies in"


def _wrong_cues(answers: list[list[Cue]], film: _Cutting) -> str | None:
    """What is wrong with the times, the words or the marks of cues whose text is where it belongs."""
    for clip, mine, right in zip(film.clips, answers, film.shared, strict=True):
        if sorted(cue.text for cue in mine) != sorted(cue.text for cue in right):
            return f"clip {_named(clip)}: its {len(right)} cues are cut up or joined otherwise: one cue stays one"
        if [cue.text for cue in mine] != [cue.text for cue in right]:
            return f"clip {_named(clip)}: its cues are not in order of time, in which a stream is written"
        for own, true in zip(mine, right, strict=True):
            if own != true:
                return f"clip {_named(clip)}, {true.text!r}: {_wrong_cue(own, true, clip)}"
    return None


def _wrong_cue(own: Cue, true: Cue, clip: Clip) -> str:
    """Why one cue is not as it should be, the gravest mistake first."""
    times = (own.start, own.end, *(time for word in own.words for time in (word.start, word.end)))
    odd = next((time for time in times if not isinstance(time, Integral)), None)
    if odd is not None:
        return f"{odd!r} is no whole number: times are ticks, so that a time is the index of a sample; seconds drift"
    if clip.start and own.start >= 0 and max(0, own.start - clip.start) == true.start != own.start:
        return f"starts at {own.start}, as in the film: subtract the clip's start, or every text comes after its sound"
    if own.start < 0:
        return f"starts at {own.start}, before its clip: the second part of a split cue starts with its clip, at 0"
    if own.start != true.start:
        return f"starts at {own.start}, not at {true.start}"
    if own.end > clip.end - clip.start:
        return (
            f"ends at {own.end}, after its clip of {clip.end - clip.start} ticks: there is no sound there; "
            "rebase the end too, and end a split cue where the clip ends"
        )
    if own.end != true.end:
        return f"ends at {own.end}, not at {true.end}"
    if [word.text for word in own.words] != [word.text for word in true.words]:
        said = " ".join(word.text for word in own.words)
        return f"its words are {said!r}: split `words` where you split the text"
    if own.words != true.words:
        return "its words have other times: move every word with its cue, or only whole lines are aligned"
    return f"its role or its marks changed ({own.role!r}, {own.role_source!r}): replace only times, text and words"

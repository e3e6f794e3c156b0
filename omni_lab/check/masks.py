"""Exercise of the loss mask: the supervised tokens of an omni stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omni_lab.check.verdict import Verdict, tried
from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.reader import Cue


@dataclass(frozen=True)
class _Example:
    """Omni stream of the exercise: its tokens as words, their roles, and the true loss mask."""

    tokens: tuple[str, ...]
    roles: tuple[str | None, ...]
    supervised: tuple[bool, ...]


def _stream(lines: Sequence[tuple[int, str, str]], seconds: int) -> _Example:
    """Omni stream, by the package itself, of a small made-up clip.

    `lines` are (second, role, text).
    """
    import numpy as np

    from omni_lab.config import tiny
    from omni_lab.sequences.stream import omni_stream
    from omni_lab.sequences.tokens import tokenize
    from omni_lab.triplets.record import Triplet
    from omni_lab.world.vocabulary import WorldVocabulary

    config, vocabulary, length = tiny(), WorldVocabulary(), seconds * TICKS_PER_SECOND
    times = np.arange(2 * seconds, dtype=np.int64) * (TICKS_PER_SECOND // 2)
    cues = tuple(
        Cue(second * TICKS_PER_SECOND + place, second * TICKS_PER_SECOND + place + 100, text, role)
        for place, (second, role, text) in enumerate(lines)
    )
    # what is seen and heard does not matter here, only that it is there
    frames, audio = np.zeros((len(times), 8, 8, 3), np.uint8), np.zeros(length, np.float32)
    has = frozenset({"image", "audio", "text"})
    clip = Triplet("exercise", 0, length, frames, times, audio, cues, has)

    sequence = omni_stream(clip, config.sequence)
    tokens = tokenize(sequence, vocabulary, config.sequence)
    items = [sequence.items[index] for index in tokens.item]
    return _Example(
        tuple(vocabulary.pieces(tokens.ids)),
        tuple(item.role if item.kind == "text" else None for item in items),
        tuple(bool(supervised) for supervised in tokens.loss),
    )


_GIVEN = "it is given to the model, which never has to write it"
# kind of token, the gravest mistake first, and why it is supervised or not
_WHY = {
    "<image>": f"an image token stands for what is seen: {_GIVEN}",
    "<audio>": f"an audio token stands for what is heard: {_GIVEN}",
    "<unit>": "<unit> is the clock's tick: it comes by itself every second, nothing to learn in it",
    "<visitor>": "<visitor> announces that the visitor speaks: that is the visitor's decision, "
    "not the model's",
    "visitor": "these words are the visitor's: a model that learns to write them puts words in "
    "people's mouths",
    "<listen>": "the model has to learn to be silent: where <listen> is not supervised, it never "
    "learns when to stop",
    "<speak>": "the model has to learn when it is its turn: where <speak> is not supervised, it "
    "never begins to talk",
    "guide": "the guide's words are what the model is for: where they are not supervised, it "
    "learns no answer",
}


def loss_mask(attempt: Callable[[list[str], list[str | None]], Sequence[bool]]) -> Verdict:
    """Checker of a loss mask: the supervised tokens, where the guide is the model's own role.

    Parameters
    ----------
    attempt : takes the tokens as words (`<unit>`, `<image>`, …, `colour`) and, beside each, the
        role that says the word (`guide`, `visitor`, or None where it is not said), and returns one
        True or False per token
    """
    short = [(0, "visitor", "Where star?"), (0, "guide", "Top-right.")]
    long = [
        (0, "visitor", "Note red."),
        (1, "visitor", "Note says?"),
        (1, "guide", "Red."),
        (1, "visitor", "Sign says?"),
        (1, "guide", "40."),
    ]
    examples = _stream(short, 1), _stream(long, 3)
    for example in examples:
        value = tried(attempt, list(example.tokens), list(example.roles))
        if isinstance(value, Verdict):
            return value
        wrong = _wrong_mask(value, example)
        if wrong:
            return Verdict(False, wrong)
    learned, tokens = sum(examples[0].supervised), len(examples[0].tokens)
    message = f"of a second with {tokens} tokens, {learned} are learned and the rest is given"
    return Verdict(True, f"right: {message}")


def _wrong_mask(value: object, example: _Example) -> str | None:
    """Explanation of a wrong mask, or None where it is right."""
    try:
        answer = list(value)  # type: ignore[call-overload]
    except TypeError:
        return f"return one True or False per token; yours is of type {type(value).__name__}"
    truth = list(example.supervised)
    if len(answer) != len(truth):
        counts = f"{len(truth)} were given, {len(answer)} came back"
        return f"return one True or False per token: {counts}"

    # booleans of NumPy and PyTorch are fine
    strange = [v for v in answer if getattr(v, "ndim", 0) or v not in (0, 1)]
    if strange:
        return f"return True or False for every token; {strange[0]!r} is neither"
    answer = [bool(v) for v in answer]
    return None if answer == truth else _usual(answer, truth) or _worst(answer, example)


def _usual(answer: list[bool], truth: list[bool]) -> str | None:
    """Usual mistake that concerns the whole mask, or None."""
    if all(answer):
        asked = "the model is then also asked to write what it sees and hears"
        return f"everything is supervised: {asked}, and what people say to it"
    if not any(answer):
        return "nothing is supervised: without a single target there is no loss, and no learning"
    if answer == [not v for v in truth]:
        return "exactly the other way round: True means that the model learns to write this token"
    if answer == [*truth[1:], False]:
        return (
            "one place too early: mark the token that is to be written; "
            "predicting it from the place before is the loss's own business"
        )
    return None


def _worst(answer: list[bool], example: _Example) -> str:
    """First place of the gravest mistake, and the reason why it is one."""
    kinds = [role or token for token, role in zip(example.tokens, example.roles, strict=True)]
    pairs = zip(answer, example.supervised, strict=True)
    off = [place for place, (given, right) in enumerate(pairs) if given != right]
    kind = min((kinds[place] for place in off), key=list(_WHY).index)

    places = [place for place in off if kinds[place] == kind]
    times = kinds.count(kind)
    some = "" if len(places) == times else f" ({len(places)} of {times} times)"
    verdict = "is supervised" if answer[places[0]] else "is not supervised"
    return f"place {places[0]}, {example.tokens[places[0]]!r}, {verdict}{some}, but {_WHY[kind]}"

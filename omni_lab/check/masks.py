"""The exercise of the loss mask: which tokens of an omni stream are supervised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omni_lab.check.verdict import Verdict, tried
from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.reader import Cue


@dataclass(frozen=True)
class _Example:
    """A stream as the exercise shows it: the words of its tokens, whose words they are, and which are supervised."""

    tokens: tuple[str, ...]
    roles: tuple[str | None, ...]
    supervised: tuple[bool, ...]


def _stream(lines: Sequence[tuple[int, str, str]], seconds: int) -> _Example:
    """The package's own stream of a small made-up clip; `lines` are (second, role, text)."""
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
    clip = Triplet(
        "exercise", 0, length, np.zeros((len(times), 8, 8, 3), np.uint8), times, np.zeros(length, np.float32), cues,
        frozenset({"image", "audio", "text"}),
    )  # fmt: skip
    sequence = omni_stream(clip, config.sequence)
    tokens = tokenize(sequence, vocabulary, config)
    items = [sequence.items[index] for index in tokens.item]
    return _Example(
        tuple(vocabulary.pieces(tokens.ids)),
        tuple(item.role if item.kind == "text" else None for item in items),
        tuple(bool(supervised) for supervised in tokens.loss),
    )


# kind of token, the gravest mistake first: why it is not, or is, to be supervised
_WHY = {
    "<image>": "an image token stands for what is seen: it is given to the model, which never has to write it",
    "<audio>": "an audio token stands for what is heard: it is given to the model, which never has to write it",
    "<unit>": "<unit> is the clock's tick: it comes by itself every second, and nobody has to learn to write it",
    "<visitor>": "<visitor> announces that the visitor speaks: when people speak is theirs to decide, not the model's",
    "visitor": "these words are the visitor's: who learns to write them puts words in people's mouths",
    "<listen>": "the model has to learn to be silent: where <listen> is not supervised, it never learns when to stop",
    "<speak>": "the model has to learn when it is its turn: where <speak> is not supervised, it never begins to talk",
    "guide": "the guide's words are what the model is for: where they are not supervised, it learns no answer",
}


def loss_mask(attempt: Callable[[list[str], list[str | None]], Sequence[bool]]) -> Verdict:
    """Check an attempt at: which tokens of an omni stream are supervised, where the guide is the model's role?

    Parameters
    ----------
    attempt : takes the tokens' words (`<unit>`, `<image>`, …, `colour`) and, beside each, the role that says the word
        (`guide`, `visitor`, or None where nobody says it), and returns one True or False for each
    """
    examples = (
        _stream([(0, "visitor", "Where star?"), (0, "guide", "Top-right.")], 1),
        _stream([(0, "visitor", "Note red."), (1, "visitor", "Note says?"), (1, "guide", "Red."),
                 (1, "visitor", "Sign says?"), (1, "guide", "40.")], 3),
    )  # fmt: skip
    for example in examples:
        value = tried(attempt, list(example.tokens), list(example.roles))
        if isinstance(value, Verdict):
            return value
        wrong = _wrong_mask(value, example)
        if wrong:
            return Verdict(False, wrong)
    count = sum(examples[0].supervised), len(examples[0].tokens)
    return Verdict(
        True,
        f"right: of a second with {count[1]} tokens, {count[0]} are learned and the rest is given",
    )


def _wrong_mask(value: object, example: _Example) -> str | None:
    """What is wrong with a mask, or None where it is right."""
    try:
        answer = list(value)  # type: ignore[call-overload]
    except TypeError:
        return f"return one True or False for every token; this is a {type(value).__name__}"
    truth = list(example.supervised)
    if len(answer) != len(truth):
        return f"return one True or False for every token: {len(truth)} were given, {len(answer)} came back"
    strange = [
        v for v in answer if getattr(v, "ndim", 0) or v not in (0, 1)
    ]  # NumPy's, PyTorch's booleans are fine
    if strange:
        return f"return True or False for every token; {strange[0]!r} is neither"
    answer = [bool(v) for v in answer]
    if answer == truth:
        return None
    if all(answer):
        return "everything is supervised: then the model is also asked to write what it sees, hears and is told"
    if not any(answer):
        return "nothing is supervised: without a single target there is no loss, and nothing is learned"
    if answer == [not v for v in truth]:
        return "exactly the other way round: True means that the model learns to write this token"
    if answer == [*truth[1:], False]:
        return (
            "one place too early: mark the token that is to be written; "
            "that it is predicted from the place before it is the loss's own business"
        )
    kinds = [role or token for token, role in zip(example.tokens, example.roles, strict=True)]
    off = [
        place
        for place, (given, right) in enumerate(zip(answer, truth, strict=True))
        if given != right
    ]
    kind = min((kinds[place] for place in off), key=list(_WHY).index)  # the gravest first
    mine = [place for place in off if kinds[place] == kind]
    some = "" if len(mine) == kinds.count(kind) else f" ({len(mine)} of {kinds.count(kind)} times)"
    verdict = "is supervised" if answer[mine[0]] else "is not supervised"
    return f"place {mine[0]}, {example.tokens[mine[0]]!r}, {verdict}{some}, but {_WHY[kind]}"

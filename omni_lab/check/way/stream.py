"""Small exercises of notebook 00 about one clock and one line of tokens."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from omni_lab.check.step import Step
from omni_lab.config import TICKS_PER_SECOND

# --- the times of the pictures that a triplet keeps


def _grid(seconds: int, per_second: int) -> list[int]:
    """Times of the pictures in ticks, by the package's clock."""
    from omni_lab.media.clock import ticks

    return [ticks(Fraction(2 * k + 1, 2 * per_second)) for k in range(seconds * per_second)]


def _times(
    at: Callable[[int, int, int], float],
    count: Callable[[int, int], int] = lambda s, f: s * f,
    tick: float = TICKS_PER_SECOND,
) -> Callable[[int, int], list[float]]:
    """Times `at` (k, seconds, per_second), in seconds, of `count` pictures, in other units."""
    return lambda s, f: [at(k, s, f) * tick for k in range(count(s, f))]


def _middle(k: int, s: int, f: int) -> float:
    return (k + 0.5) / f


_HALF = "it stands for its whole interval, so take the middle: (k + 1/2) / per_second seconds"
_UP = "a second has 16,000 ticks: multiply the seconds by 16,000 instead of dividing"
_COUNT = "count the pictures of the whole film: seconds · per_second"

picture_times = Step(
    right=_grid,
    cases=[(2, 2), (3, 1), (1, 4), (2, 5), (0, 2)],
    rule="there are seconds · per_second pictures, and picture k is at (k + 1/2) / per_second "
    "seconds, times 16,000 ticks",
    mistakes=[
        (_times(_middle, tick=1), "these are seconds; the clock counts ticks, 16,000 a second"),
        (_times(_middle, tick=1000), "these are milliseconds; a tick is 16 times as short"),
        (
            _times(lambda k, s, f: k / f, tick=1),
            f"these are seconds, and the clock counts ticks. Also, picture k is too early: {_HALF}",
        ),
        (_times(lambda k, s, f: k / f), f"picture k is at the beginning of its interval: {_HALF}"),
        (_times(lambda k, s, f: (k + 1) / f), f"picture k is at the end of its interval: {_HALF}"),
        (
            _times(lambda k, s, f: (k - 0.5) / f),
            "add half an interval instead of taking it away: no picture is before the film",
        ),
        (
            _times(lambda k, s, f: k + 0.5 / f),
            "only the half is divided; put (k + 0.5) into brackets",
        ),
        (
            _times(lambda k, s, f: k + 0.5),
            "an interval is 1 / per_second long, not a second: divide (k + 0.5) by per_second",
        ),
        (
            _times(lambda k, s, f: (k + 0.5) * f),
            "more pictures a second lie closer together: divide by per_second, do not multiply",
        ),
        (
            _times(lambda k, s, f: (k + 0.5) // f),
            "// drops the fraction, so that several pictures share a moment; divide with /",
        ),
        (
            _times(lambda k, s, f: (k + 0.5) / s),
            "divide by the pictures in a second, not by the seconds of the film",
        ),
        (
            lambda s, f: [round((k + 0.5) / s * TICKS_PER_SECOND) for k in range(s * f)],
            "divide by the pictures in a second, not by the seconds of the film",
        ),
        (_times(lambda k, s, f: round((k + 0.5) / f / TICKS_PER_SECOND), tick=1), _UP),
        (_times(_middle, tick=1 / TICKS_PER_SECOND), _UP),
        (
            lambda s, f: [round((k + 0.5) / f * (TICKS_PER_SECOND + 1)) for k in range(s * f)],
            "a second has exactly 16,000 ticks; with one more, pictures and sound drift apart",
        ),
        (
            lambda s, f: [round((k + 0.5) / f * (TICKS_PER_SECOND - 1)) for k in range(s * f)],
            "a second has exactly 16,000 ticks; with one less, pictures and sound drift apart",
        ),
        (
            _times(lambda k, s, f: (k + 1.5) / f),
            "the first picture has k = 0: `range(n)` begins with 0",
        ),
        (
            _times(lambda k, s, f: k / f + 0.5),
            "half an interval is added, which is 0.5 / per_second; half a second is too much",
        ),
        (
            _times(lambda k, s, f: k * s / max(1, s * f - 1)),
            f"these are spread from the very beginning to the very end, but picture k has an "
            f"interval of its own: {_HALF}",
        ),
        (_times(_middle, lambda s, f: s), f"there is one picture a second: {_COUNT}"),
        (_times(_middle, lambda s, f: f), f"these are the pictures of one second: {_COUNT}"),
        (_times(_middle, lambda s, f: s * s), f"this is seconds squared: {_COUNT}"),
        (_times(_middle, lambda s, f: f * f), f"this is per_second squared: {_COUNT}"),
        (_times(_middle, lambda s, f: s * f + 1), f"there is a picture too many: {_COUNT}"),
        (
            lambda s, f: _grid(s, f)[:-1],
            "the last picture is missing: `range(n)` already ends with n - 1",
        ),
        (
            lambda s, f: _grid(s, f)[1:],
            "the first picture is missing: count k from 0",
        ),
    ],
    inputs=lambda source: (source.randrange(0, 6), source.choice([1, 2, 4, 5, 8])),
    shows="at two pictures a second they stand at 4,000, 12,000, 20,000 … ticks",
)

# --- one second as a line of tokens


def _second(asked: list[str], answered: list[str]) -> list[str]:
    """Tokens of one second of the omni stream, by the package itself."""
    import numpy as np

    from omni_lab.config import tiny
    from omni_lab.media.subtitles.reader import Cue
    from omni_lab.sequences.stream import omni_stream
    from omni_lab.sequences.tokens import tokenize
    from omni_lab.triplets.record import Triplet
    from omni_lab.world.vocabulary import WorldVocabulary

    config, vocabulary, half = tiny(), WorldVocabulary(), TICKS_PER_SECOND // 2
    lines = ((0, " ".join(asked), "visitor"), (half, " ".join(answered), "guide"))
    cues = tuple(Cue(at, at + half, text, role) for at, text, role in lines if text)
    # what is seen and heard does not matter here, only that it is there
    frames, times = np.zeros((2, 8, 8, 3), np.uint8), np.array([half // 2, half + half // 2])
    audio, has = np.zeros(2 * half, np.float32), frozenset({"image", "audio", "text"})
    clip = Triplet("exercise", 0, 2 * half, frames, times, audio, cues, has)
    sequence = omni_stream(clip, config.sequence, supervised=False)
    return list(vocabulary.pieces(tokenize(sequence, vocabulary, config.sequence).ids))


def _as(
    order: str = "unit image audio listen asked answered", images: int = 4, sounds: int = 5,
    opened: Callable = lambda asked, answered: (asked, answered),
    words: Callable = lambda asked, answered: (asked, answered),
    **marks: str,
) -> Callable:  # fmt: skip
    """Second written in another way.

    Parameters
    ----------
    opened : which turns there are
    words : the words in them
    marks : other tokens at the places `unit`, `image`, `audio`, `listen`, `visitor`, `speak` and
        `again` (the `<listen>` behind an answer); an empty one is left out
    """

    def written(asked: list[str], answered: list[str]) -> list[str]:
        of = {
            name: f"<{name}>" for name in ("unit", "image", "audio", "listen", "visitor", "speak")
        }
        of |= {"again": "<listen>"} | marks
        one, other = words(asked, answered)
        has_one, has_other = opened(asked, answered)
        parts = {
            "unit": [of["unit"]], "image": images * [of["image"]], "audio": sounds * [of["audio"]],
            "listen": [of["listen"]], "asked": [of["visitor"], *one] if has_one else [],
            "answered": [of["speak"], *other, of["again"]] if has_other else [],
        }  # fmt: skip
        return [token for part in order.split() for token in parts[part] if token != ""]

    return written


def _joined(words: list[str]) -> list[str]:
    return [" ".join(words)]


_UNIT = "a second begins with <unit>"
_LISTEN = "after what is seen and heard stands <listen>: the model is silent"
_AGAIN = "after its words the model is silent again, which <listen> says"
_VISITOR = "<visitor> stands before the visitor's words, and says whose they are"
_SPEAK = "<speak> stands before the guide's words: the model begins to write"

one_second = Step(
    right=_second,
    cases=[
        (["where", "star"], ["top-right"]),
        (["sign", "says"], ["4", "0"]),
        ([], []),
        (["where", "star"], []),
        ([], ["red"]),
    ],
    rule="<unit>, four <image>, five <audio>, <listen>; then <visitor> and the visitor's words; "
    "then <speak>, the guide's words, <listen>",
    mistakes=[
        (
            _as(opened=lambda *_: (True, True)),
            "where a role has no words it has no turn: leave its marks out",
        ),
        (
            _as(opened=lambda asked, _: (asked, True)),
            "where the guide has no words it has no turn: leave <speak> and its <listen> out",
        ),
        (
            _as(opened=lambda _, answered: (True, answered)),
            "where the visitor has no words there is no turn: leave <visitor> out",
        ),
        (
            _as(opened=lambda asked, _: (asked, asked)),
            "whether the guide has a turn depends on `answered`, not on `asked`",
        ),
        (
            _as(opened=lambda _, answered: (answered, answered)),
            "whether the visitor has a turn depends on `asked`, not on `answered`",
        ),
        (_as(words=lambda asked, _: (asked, asked)), "both turns hold the visitor's words"),
        (
            _as(words=lambda _, answered: (answered, answered)),
            "both turns hold the guide's words",
        ),
        (lambda asked, answered: _as()(answered, asked), "`asked` and `answered` changed places"),
        (
            _as(words=lambda asked, answered: (_joined(asked), _joined(answered))),
            "several words stand in one token; each word is a token of its own",
        ),
        (
            _as(words=lambda asked, answered: ("".join(asked), "".join(answered))),
            "every letter has become a token; here a token is a whole word",
        ),
        (
            _as(words=lambda asked, answered: ([asked], [answered])),
            "a list stands inside the list; join lists with +, or unpack with *",
        ),
        (
            _as(opened=lambda *_: (True, True), listen="", again=""),
            f"{_LISTEN}. And {_AGAIN}",
        ),
        (_as(opened=lambda *_: (True, True), listen=""), _LISTEN),
        (_as(opened=lambda *_: (True, True), again=""), f"{_AGAIN}; else it never learns to stop"),
        (_as(unit=""), f"{_UNIT}: without it the model does not see the clock move"),
        (_as(listen="", again=""), f"{_LISTEN}. And {_AGAIN}"),
        (_as(listen=""), _LISTEN),
        (_as(again=""), f"{_AGAIN}; else it never learns to stop"),
        (_as(visitor=""), _VISITOR),
        (_as(speak=""), _SPEAK),
        (_as(speak="<guide>"), "the model is the guide: it opens its own turn with <speak>"),
        *((_as(unit=f"<{wrong}>"), _UNIT) for wrong in ("visitor", "listen", "image")),
        *((_as(listen=f"<{wrong}>"), _LISTEN) for wrong in ("speak", "unit", "visitor")),
        *((_as(again=f"<{wrong}>"), _AGAIN) for wrong in ("speak", "unit", "visitor")),
        *((_as(visitor=f"<{wrong}>"), _VISITOR) for wrong in ("audio", "speak", "listen", "unit")),
        *((_as(speak=f"<{wrong}>"), _SPEAK) for wrong in ("visitor", "unit", "listen")),
        *((_as(image=f"<{wrong}>"), "what is seen is four <image>") for wrong in ("audio", "listen")),
        *((_as(audio=f"<{wrong}>"), "what is heard is five <audio>") for wrong in ("image", "listen")),
        (_as(images=1, sounds=1), "one token for each panel and each fifth: four <image>, five <audio>"),
        (_as(images=5, sounds=4), "the counts changed places: four <image>, five <audio>"),
        *((_as(images=wrong), "the wall has four panels: four <image>") for wrong in (1, 3, 5)),
        *((_as(sounds=wrong), "a second has five fifths: five <audio>") for wrong in (1, 4, 6)),
        (
            _as("unit audio image listen asked answered"),
            "within a second the picture comes first, then the sound",
        ),
        (
            _as("unit image audio listen answered asked"),
            "the visitor asks first, and then the guide answers",
        ),
        (
            _as("unit image audio asked listen answered"),
            "<listen> comes before the visitor's words: the model is silent while it reads them",
        ),
        (
            _as("unit asked image audio listen answered"),
            "what is seen and heard comes first in a second, and the text after it",
        ),
    ],
    inputs=lambda source: (
        source.choice([[], ["where", "red"], ["word", "said"], ["note", "says"]]),
        source.choice([[], ["blue"], ["9", "1"], ["nothing"]]),
    ),
    shows="a second in which one word answers two costs 17 tokens",
)  # fmt: skip

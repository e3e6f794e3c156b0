"""Lengths and lines: what a stream costs in tokens, an album in a format (notebook 02)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from omni_lab.check.step import Step
from omni_lab.config import TICKS_PER_SECOND, override, tiny
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.documents import Document, Picture
from omni_lab.sequences.formats import FORMATS, lay_out
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import tokenize
from omni_lab.triplets.record import Triplet
from omni_lab.world.vocabulary import WorldVocabulary

SECOND = TICKS_PER_SECOND


def _streamed(seen: list, heard: list, turns: list, image: int, audio: int) -> int:
    """Tokens of a stream as the package writes it, of a clip with units of 1 s."""
    cues = [Cue(0, 1, " ".join(["red"] * words), role) for role, words in turns]
    contents = {"image": any(seen), "audio": any(heard), "text": cues}
    clip = Triplet(
        source_id="exercise",
        start=0,
        end=len(seen) * SECOND,
        frames=np.zeros((sum(seen), 8, 8, 3), np.uint8),
        frame_times=np.flatnonzero(seen) * SECOND,
        audio=np.zeros(len(heard) * SECOND * any(heard), np.float32),
        cues=tuple(cues),
        has=frozenset(sense for sense, content in contents.items() if content),
        quality={"audio_spans": [[int(u) * SECOND, int(u + 1) * SECOND] for u in np.flatnonzero(heard)]},
    )  # fmt: skip
    settings = replace(tiny().sequence, image_tokens=image, audio_tokens=audio, max_tokens=10**6)
    return len(tokenize(omni_stream(clip, settings, False), WorldVocabulary(), settings).ids)


def _counted(
    seen,
    heard,
    turns,
    image,
    audio,
    unit=2,
    own=2,
    other=1,
    word=1,
    made_up=False,
    senses=1,
    text=1,
):
    """A count of tokens with other rules than the stream's; the defaults are right."""
    units = sum(
        unit + senses * (image * (s or made_up) + audio * (h or made_up))
        for s, h in zip(seen, heard, strict=True)
    )
    said = sum(word * words + (own if role == "guide" else other) for role, words in turns)
    return units + text * said


_UNIT = "every unit has two control tokens, <unit> before its senses and <listen> after them"
_TURN = "a turn of the visitor has one control token, <visitor>; one of the guide has two, <speak> and <listen>"
stream_length = Step(
    right=_streamed,
    cases=[
        ([True, True], [True, False], [("visitor", 3), ("guide", 1)], 4, 5),
        ([True, False, False], [True, True, True], [("guide", 2)], 9, 3),
        ([True], [False], [("visitor", 2), ("visitor", 4), ("guide", 5)], 1, 7),
        ([False, True], [True, True], [], 4, 5),
    ],
    rule=f"{_UNIT}; {_TURN}",
    mistakes=[
        (partial(_counted, unit=0), f"the units lack their control tokens: {_UNIT}"),
        (partial(_counted, unit=1), f"one control token a unit is too few: {_UNIT}"),
        (partial(_counted, unit=3), f"three control tokens a unit are too many: {_UNIT}"),
        (partial(_counted, own=0, other=0), f"a turn costs more than its words: {_TURN}"),
        (partial(_counted, unit=0, own=0, other=0), f"control tokens are tokens too: {_UNIT}; {_TURN}"),
        (partial(_counted, own=1), f"the guide's <listen> is missing, or its <speak>: {_TURN}"),
        (partial(_counted, own=3), f"a turn of the guide has one too many: {_TURN}"),
        (partial(_counted, other=2), f"a turn of the visitor has one too many: {_TURN}"),
        (partial(_counted, other=0), f"the visitor's words have no role before them: {_TURN}"),
        (partial(_counted, own=1, other=2), f"guide and visitor have changed places: {_TURN}"),
        (partial(_counted, word=0), "the words themselves are missing: each is one token here"),
        (partial(_counted, word=-1), f"control tokens come on top of the words: {_TURN}"),
        (lambda s, h, t, i, a: _counted(s, h, t, i, a, own=-2, other=-1),
         f"a role is added to its words, not taken off: {_TURN}"),
        (partial(_counted, made_up=True),
         "this fills in what is missing: a unit without a picture has no image tokens, one without sound "
         "none of sound"),
        (lambda s, h, t, i, a: _counted(s, h, t, a, i),
         "image and audio have changed places: `image` counts for what is seen, `audio` for what is heard"),
        (lambda s, h, t, i, a: _counted(s, h, t, a, a), "pictures are counted with the tokens of sound"),
        (lambda s, h, t, i, a: _counted(s, h, t, i, i), "sound is counted with the tokens of pictures"),
        (lambda s, h, t, i, a: _counted(h, h, t, i, a),
         "whether there is a picture stands in `seen`; this asks `heard` for both"),
        (lambda s, h, t, i, a: _counted(s, s, t, i, a),
         "whether there is sound stands in `heard`; this asks `seen` for both"),
        (lambda s, h, t, i, a: _counted(s, h, t, -i, a), "image tokens are added: they take room as words do"),
        (lambda s, h, t, i, a: _counted(s, h, t, i, -a), "audio tokens are added: they take room as words do"),
        (partial(_counted, senses=0),
         "the tokens of pictures and sounds are missing: they take room as words do"),
        (lambda s, h, t, i, a: _counted(s, h, t, 1, 1),
         "a picture is `image` tokens and a unit's sound `audio`, not one each"),
        (partial(_counted, text=0), "this counts the units alone; what is said comes on top"),
        (lambda s, h, t, i, a: _counted([], [], t, i, a), "this counts the turns alone; the units come on top"),
    ],
    inputs=lambda source: (
        *([source.random() < 0.7 for _ in range(3)] for _ in range(2)),
        [(source.choice(["guide", "visitor"]), source.randrange(1, 5)) for _ in range(source.randrange(4))],
        source.choice([1, 4, 9]),
        source.randrange(2, 8),
    ),
    shows="two seconds with a question and an answer cost 24 tokens, 7 of them control tokens",
)  # fmt: skip


def _written(parts: list, marks: bool, prompt: bool) -> list[str]:
    """Words of a document's line as the package writes it."""
    name = next(n for n, f in FORMATS.items() if f == (marks, prompt, False))
    picture = Picture(np.zeros((8, 8, 3), np.uint8))
    page = Document(
        "exercise", tuple(picture if part == "image" else Cue(0, 0, part) for part in parts)
    )
    items = lay_out(page, override(tiny(), [f"sequence.layout={name}"]), supervised=False).items
    return [item.text or item.kind for item in items]


def _page(
    parts, marks, prompt, order=("prompt", "start", "image", "end"), first=1, step=1, texts=True,
    start="<im_start>", end="<im_end>", name="image", count_all=False,
    image="image",
):  # fmt: skip
    """A line with other rules than the package's; the defaults are right."""
    line, number = [], first - step
    for part in parts:
        number += step * (part == "image" or count_all)
        if part != "image":
            line += [part] * texts
            continue
        words = {"prompt": f"{name} {number}", "start": start, "image": image, "end": end}
        there = {"prompt": prompt, "start": marks, "image": True, "end": marks}
        line += [words[key] for key in order if there[key]]
    return line


def _half_marked(parts: list, opens: bool, closes: bool, prompt: bool) -> list[str]:
    """A line whose opening and closing marks depend on different things."""
    order = ("prompt", *["start"] * opens, "image", *["end"] * closes)
    return _page(parts, True, prompt, order)


def _texts_marked(parts: list, marks: bool, prompt: bool) -> list[str]:
    """A line that takes texts for pictures, and pictures for texts."""
    line, number = [], 0
    for part in parts:
        number += part != "image"
        words = (
            [f"image {number}"] * prompt + ["<im_start>"] * marks + ["image"] + ["<im_end>"] * marks
        )
        line += ["image"] if part == "image" else words
    return line


def _first_start_last_end(parts: list, prompt: bool) -> list[str]:
    """One pair of marks around all pictures."""
    line, last = _page(parts, False, prompt), len(parts)
    if "image" not in parts:
        return line
    opens = 0 if prompt else line.index("image")
    last = len(line) - line[::-1].index("image")
    return [*line[:opens], "<im_start>", *line[opens:last], "<im_end>", *line[last:]]


_ORDER = "prompt, <im_start>, image, <im_end>"
album_line = Step(
    right=_written,
    cases=[
        (["image", "image", "Which one?"], True, True),
        (["image", "Look.", "image", "And this?", "image"], False, True),
        (["image", "Look.", "image", "image"], True, False),
        (["image", "image", "Which one?"], False, False),
        (["No picture here."], True, True),
    ],
    rule=f"of every picture: {_ORDER}, the first if `prompt`, the marks if `marks`; texts stay where they are",
    mistakes=[
        (partial(_page, first=0), "pictures count from 1: a person says image 1 of the first"),
        (partial(_page, first=2), "the first picture is image 1, not image 2"),
        (partial(_page, step=0), "every picture gets the same number: the number grows with each picture"),
        (partial(_page, first=0, step=0), "every picture is image 0: the number grows with each picture"),
        (partial(_page, first=2, step=2), "the number grows by 1 with each picture, not by 2"),
        (partial(_page, first=-1, step=-1), "the number grows by 1 with each picture"),
        (partial(_page, count_all=True), "this counts texts too: only a picture has a number"),
        (lambda p, m, a: _page(p, a, m),
         "marks and prompt have changed places: `marks` asks for <im_start> and <im_end>, `prompt` for the "
         "words"),
        (lambda p, m, a: _page(p, a, a), "the marks depend on `marks`, not on `prompt`"),
        (lambda p, m, a: _page(p, m, m), "the words `image 1` depend on `prompt`, not on `marks`"),
        (lambda p, m, a: _page(p, True, a),
         "there are marks without `marks`: in F0 and F2 nothing stands around a picture"),
        (lambda p, m, a: _page(p, m, True),
         "there are numbers without `prompt`: in F0 and F1 no words stand before a picture"),
        (lambda p, m, a: _page(p, True, True),
         "this writes F3 whatever is asked for; look at `marks` and `prompt`"),
        (lambda p, m, a: _page(p, False, False),
         "this writes F0 whatever is asked for; look at `marks` and `prompt`"),
        (lambda p, m, a: _page(p, not m, a),
         "there are marks where `marks` is False, and none where it is True"),
        (lambda p, m, a: _page(p, m, not a),
         "there are numbers where `prompt` is False, and none where it is True"),
        (partial(_page, order=("start", "prompt", "image", "end")),
         f"the words stand before the marks: {_ORDER}"),
        (partial(_page, order=("start", "image", "end", "prompt")),
         f"the words come before the picture that they name: {_ORDER}"),
        (partial(_page, order=("prompt", "start", "image")),
         "a picture ends with <im_end>: else nothing tells where the next begins"),
        (partial(_page, order=("start", "image", "end")),
         "`prompt` asks for words before a picture: image 1, image 2, …"),
        (partial(_page, order=("prompt", "image")),
         "`marks` asks for <im_start> and <im_end> around a picture"),
        (partial(_page, order=("prompt", "start", "end")), "the picture itself is missing, the piece `image`"),
        (lambda p, m, a: _first_start_last_end(p, a) if m else _page(p, m, a),
         "every picture has marks of its own, not one pair for all of them"),
        (partial(_page, image="<image>"), "the piece is written `image`, without angle brackets"),
        (partial(_page, image="image "), "the piece is written `image`, without a space"),
        (partial(_page, image="<im_start>"), "the picture itself is missing, the piece `image`"),
        (partial(_page, start="image"), "a picture opens with <im_start>, and `image` stands there once"),
        (partial(_page, end="image"), "a picture closes with <im_end>, and `image` stands there once"),
        (lambda p, m, a: _half_marked(p, a, m, a), "the opening mark depends on `marks`, not on `prompt`"),
        (lambda p, m, a: _half_marked(p, m, a, a), "the closing mark depends on `marks`, not on `prompt`"),
        (lambda p, m, a: _half_marked(p, False, m, a),
         "a picture opens with <im_start>, where there are marks"),
        (_texts_marked, "numbers and marks are for pictures; this gives them to the texts"),
        (partial(_page, start="<im_end>"), "a picture opens with <im_start>, and closes with <im_end>"),
        (partial(_page, end="<im_start>"), "a picture closes with <im_end>"),
        (partial(_page, start="<im_end>", end="<im_start>"), "<im_start> and <im_end> have changed places"),
        (partial(_page, end="</im_start>"), "the closing mark is <im_end>"),
        (partial(_page, name="frame"), "F4 says frame, and only of a video; here every picture is an image"),
        (partial(_page, name="Image"), "the prompt is written small: image 1"),
        (lambda p, m, a: [word.replace("image ", "image") for word in _page(p, m, a)],
         "the prompt is two words: image 1, not image1"),
        (partial(_page, texts=False), "the texts are missing: a text stays as it is, where it is"),
        (lambda p, m, a: [x for x in p if x != "image"], "the pictures are missing"),
        (lambda p, m, a: _page(p, m, a)[: 1 + 3 * m],
         "this ends too early: `return` stands after the loop, not in it"),
        (lambda p, m, a: " ".join(_page(p, m, a)),
         "this is one text; return a list with one entry for each piece"),
    ],
    inputs=lambda source: (
        [source.choice(["image", "image", f"text {i}"]) for i in range(source.randrange(2, 6))],
        source.random() < 0.5,
        source.random() < 0.5,
    ),
    shows="F0 to F3 are the same pictures with other words around them",
)  # fmt: skip

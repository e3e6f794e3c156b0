"""Needle-in-a-haystack rows: texts and films of an exact number of tokens, questions at the end.

A film is a run of frames with a time mark before every so many: the hour of a clock in the scene.
A question about a needle has no answer without it: that name occurs nowhere else in the text, no
other frame shows that shape, and marks are independent of the frames after them.
"""

from __future__ import annotations

from typing import NamedTuple, SupportsInt

import numpy as np
from jaxtyping import Float64, Int64

from omni_lab.config import HaystackConfig
from omni_lab.errors import UsageError
from omni_lab.sequences.items import SPEAK, role_token
from omni_lab.sequences.tokens import CONTROL_KIND, IMAGE_KIND, NO_ROLE, TEXT_KIND, Tokens
from omni_lab.sequences.vocabulary import IMAGE, Vocabulary
from omni_lab.world.haystack.bank import MARKS, NAMES, Bank, needle, sentences
from omni_lab.world.script import COLOURS, SHAPES, SPOKEN

# kind of needle: number of possible answers
NEEDLES = {"text": len(SPOKEN), "what": len(COLOURS), "when": len(MARKS)}


class Haystack(NamedTuple):
    """Token row with needles; `shows` is the picture of the bank at each of its frames."""

    tokens: Tokens
    shows: Int64[np.ndarray, " frames"]


def anywhere(slots: int) -> Float64[np.ndarray, " slots"]:
    """Needle depth distribution of training over a row's slots: arcsine law, favouring both ends.

    Under a uniform one, a row of hundreds of slots would hardly ever have a needle at its beginning
    or end.

    >>> anywhere(4).round(2).tolist()
    [0.33, 0.17, 0.17, 0.33]
    """
    return np.diff(np.arcsin(np.sqrt(np.linspace(0, 1, slots + 1)))) * 2 / np.pi


class HaystackWriter:
    """Generator of haystacks from one split's sentences and one bank's pictures.

    Every draw is from the generator passed in: the same state, the same haystack.
    """

    def __init__(
        self,
        settings: HaystackConfig,
        image_tokens: int,
        vocabulary: Vocabulary,
        bank: Bank,
        split: str = "train",
    ) -> None:
        self.settings, self.vocabulary, self.bank = settings, vocabulary, bank
        self._frame = [vocabulary.control(IMAGE)] * image_tokens
        self._marks = [np.array(vocabulary.encode(mark)) for mark in MARKS]
        self._gallery = [np.array(vocabulary.encode(text)) for text in sentences(split)]
        self._book = [
            np.array(vocabulary.encode(needle(name, word))) for name in NAMES for word in SPOKEN
        ]

    def text(
        self,
        rng: np.random.Generator,
        length: int,
        needles: int,
        depth: float | None = None,
        present: bool = True,
    ) -> Haystack:
        """Text haystack of `length` tokens with `needles` visitors and a question about each.

        Filler is sentences about the gallery and of other visitors; the last is cut at full length.

        Parameters
        ----------
        depth : relative position of the needle, 0 the first word and 1 right before the question,
            rounded to an end of a sentence; None draws every needle's position from `anywhere`
        present : False is the control, questions without needles

        Raises
        ------
        UsageError
            needles and questions alone are longer
        """
        names, words = rng.permutation(len(NAMES)), rng.integers(len(SPOKEN), size=needles)
        hidden = [
            self._book[name * len(SPOKEN) + word] for name, word in zip(names, words, strict=False)
        ]
        asked = [
            self._exchange(f"{NAMES[name]} says", SPOKEN[word])
            for name, word in zip(names, words, strict=False)
        ]
        hidden = hidden if present else []
        room = self._room(length, asked, sum(map(len, hidden)))

        filler, edges = self._filler(rng, room, names[needles:])
        if depth is None:
            at = rng.choice(len(edges), needles, p=anywhere(len(edges)))
        else:
            at = [np.abs(edges - depth * room).argmin()]

        # from the end, so that an insertion moves no later place
        placed = sorted(zip(at, hidden, strict=False), key=lambda put: put[0], reverse=True)
        for place, sentence in placed:
            filler.insert(place, sentence)
        return Haystack(self._row(f"text of {length}", filler, asked, rng), np.zeros(0, np.int64))

    def _filler(
        self, rng: np.random.Generator, room: int, others: Int64[np.ndarray, " names"]
    ) -> tuple[list[np.ndarray], Int64[np.ndarray, " edges"]]:
        """Random sentences of `room` tokens, and the token position of every sentence's edge."""
        count = room // min(map(len, self._gallery)) + 1
        name, word = rng.choice(others, count), rng.integers(len(SPOKEN), size=count)
        spoken = rng.random(count) < self.settings.others
        about = rng.integers(len(self._gallery), size=count)
        filler = [
            self._book[entry] if by_visitor else self._gallery[number]
            for entry, by_visitor, number in zip(
                name * len(SPOKEN) + word, spoken, about, strict=True
            )
        ]

        edges = np.minimum(np.cumsum([0, *map(len, filler)]), room)
        filler = filler[: int(np.searchsorted(edges, room))]
        if filler:
            filler[-1] = filler[-1][: room - edges[len(filler) - 1]]
        return filler, edges[: len(filler) + 1]

    def film(
        self,
        rng: np.random.Generator,
        length: int,
        things: int,
        asked: tuple[str, ...] = ("what", "when"),
        depth: float | None = None,
        present: bool = True,
    ) -> Haystack:
        """Film haystack of `length` tokens with `things` needles, one frame each, of unique shape.

        Parameters
        ----------
        asked : kinds of questions about each needle: `what` colour it has, `when` it was there
        depth, present : as in `text`, in frames

        Raises
        ------
        UsageError
            there is no room for so many frames beside the questions
        """
        shapes = rng.permutation(len(SHAPES))[:things]
        others = np.flatnonzero(~np.isin(self.bank.shape, shapes))
        shown = [rng.choice(np.flatnonzero(self.bank.shape == shape)) for shape in shapes]
        start = int(rng.integers(len(MARKS)))

        # as long as the questions will be, which depend on the marks
        stand_in = [self._question(kind, 0, 0, start) for kind in asked] * things
        pieces, marks = self._reel(self._room(length, stand_in, 0), start)
        slots = len(marks)
        if slots < things:
            wrong = f"has {slots} frames beside its questions, {things} needed"
            raise UsageError(
                f"a film of {length} tokens: {wrong}; take more tokens or fewer needles"
            )

        at = (
            [round(depth * (slots - 1))]
            if depth is not None
            else rng.choice(slots, things, False, anywhere(slots))
        )
        shows = rng.choice(others, slots)
        if present:
            shows[at] = shown

        exchanges = [
            self._question(kind, shape, self.bank.colour[which], marks[place])
            for shape, which, place in zip(shapes, shown, at, strict=True)
            for kind in asked
        ]
        return Haystack(self._row(f"film of {length}", pieces, exchanges, rng), shows)

    def shortest(self, kind: str) -> int:
        """Minimal row length in tokens for one needle of a kind and its question.

        Raises
        ------
        UsageError
            the kind is unknown
        """
        if kind not in NEEDLES:
            raise UsageError(f"needle {kind!r}: there are {', '.join(NEEDLES)}")
        if kind == "text":
            return max(map(len, self._book)) + len(self._exchange(f"{NAMES[0]} says", SPOKEN[0])[0])
        return len(self._question(kind, 0, 0, 0)[0]) + len(self._marks[0]) + len(self._frame)

    def _reel(self, room: int, start: int) -> tuple[list[np.ndarray], list[int]]:
        """Marks and frames that fill `room` tokens, and the index of the mark of every frame.

        A rest too short for a mark and a frame stands before the first mark as the word `frame`.
        """
        clock, frame = len(self._marks[0]), len(self._frame)
        every = clock + self.settings.mark * frame
        scenes = [self.settings.mark] * (room // every)
        if (rest := (room % every - clock) // frame) > 0:
            scenes.append(rest)
        left = room - sum(clock + count * frame for count in scenes)
        pieces = [np.array(self.vocabulary.encode("frame " * left)[:left], np.int64)]
        marks: list[int] = []
        for number, count in enumerate(scenes, start):
            pieces += [self._marks[number % len(MARKS)], np.array(self._frame * count)]
            marks += [number % len(MARKS)] * count
        return pieces, marks

    def _question(
        self, kind: str, shape: SupportsInt, colour: SupportsInt, mark: int
    ) -> tuple[list[int], int]:
        """Question about a visual needle, as `_exchange`."""
        if kind == "what":
            return self._exchange(f"colour {SHAPES[shape]}", tuple(COLOURS)[colour])
        return self._exchange(f"when {SHAPES[shape]}", MARKS[mark])

    def _exchange(self, asked: str, answer: str) -> tuple[list[int], int]:
        """Token ids of question and answer, and the number of tokens of the answer."""
        question, reply = self.vocabulary.encode(asked), self.vocabulary.encode(answer)
        visitor, speak = map(self.vocabulary.control, (role_token("visitor"), SPEAK))
        return [visitor, *question, speak, *reply], len(reply)

    def _room(self, length: int, asked: list[tuple[list[int], int]], hidden: int) -> int:
        """Number of tokens left for filler beside needles and questions."""
        needed = hidden + sum(len(ids) for ids, _ in asked)
        if needed > length:
            wrong = f"{len(asked)} questions with what they ask about take {needed} alone"
            raise UsageError(f"{length} tokens: {wrong}; take {needed} or more")
        return length - needed

    def _row(
        self,
        name: str,
        pieces: list[np.ndarray],
        asked: list[tuple[list[int], int]],
        rng: np.random.Generator,
    ) -> Tokens:
        """Token row: the pieces, then the questions in random order; loss on answers only."""
        order = rng.permutation(len(asked))
        parts = [*pieces, *(np.array(asked[number][0]) for number in order)]
        ids, lengths = np.concatenate(parts).astype(np.int64), list(map(len, parts))
        loss = np.zeros(len(ids), bool)
        for number, end in zip(order, np.cumsum(lengths)[len(pieces) :], strict=True):
            loss[end - asked[number][1] : end] = True

        control = [self.vocabulary.control(token) for token in (role_token("visitor"), SPEAK)]
        kind = np.where(ids == self._frame[0], IMAGE_KIND, TEXT_KIND)
        zero = np.zeros_like(ids)

        return Tokens(
            name=name,
            ids=ids,
            kind=np.where(np.isin(ids, control), CONTROL_KIND, kind),
            loss=loss,
            unit=zero,
            time=zero,
            item=np.repeat(np.arange(len(parts)), lengths),
            role=zero + NO_ROLE,
            document=zero,
            roles=(),
            frames=[],
            waves=[],
            vocabulary=len(self.vocabulary),
        )

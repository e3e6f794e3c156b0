"""Long rows with needles in them: texts and films of an exact number of tokens, each with its questions at the end.

A film is a line of frames; before every so many stands a mark, the hour that a clock showed while they were seen.
What is asked about a needle cannot be answered without it: nobody of that name speaks elsewhere in the text, no other
frame shows that shape, and marks tell nothing of what they stand beside.
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

NEEDLES = {
    "text": len(SPOKEN),
    "what": len(COLOURS),
    "when": len(MARKS),
}  # kind: how many answers there could be


class Haystack(NamedTuple):
    """A row of tokens, and which picture of a bank each of its frames shows."""

    tokens: Tokens
    shows: Int64[np.ndarray, " frames"]


def anywhere(slots: int) -> Float64[np.ndarray, " slots"]:
    """How often a needle of training stands in each of a row's slots: the arcsine law, which favours both ends.

    Were all as likely, a row of hundreds of slots would hardly ever show what stands at its beginning or end.

    >>> anywhere(4).round(2).tolist()
    [0.33, 0.17, 0.17, 0.33]
    """
    return np.diff(np.arcsin(np.sqrt(np.linspace(0, 1, slots + 1)))) * 2 / np.pi


class HaystackWriter:
    """Writes haystacks out of one split's sentences and one bank's pictures.

    Every draw is from the generator that is handed in: the same state, the same haystack.
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
        """Write a text of `length` tokens with `needles` visitors to be asked about.

        Filler is sentences about the gallery and of other visitors; the last is cut where the text is full.

        Parameters
        ----------
        depth : where the needle begins, 0 the first word and 1 right before the question, at the nearest end of a
            sentence; None puts every needle anywhere, more of them near both ends (`anywhere`)
        present : False leaves the needles out and asks all the same

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
        count = room // min(map(len, self._gallery)) + 1
        other = rng.choice(names[needles:], count) * len(SPOKEN) + rng.integers(
            len(SPOKEN), size=count
        )
        said = rng.random(count) < self.settings.others
        about = rng.integers(len(self._gallery), size=count)
        filler = [
            self._book[o] if s else self._gallery[a]
            for o, s, a in zip(other, said, about, strict=True)
        ]
        edges = np.minimum(np.cumsum([0, *map(len, filler)]), room)
        filler = filler[: int(np.searchsorted(edges, room))]
        if filler:
            filler[-1] = filler[-1][: room - edges[len(filler) - 1]]
        edges = edges[: len(filler) + 1]
        if depth is None:
            at = rng.choice(len(edges), needles, p=anywhere(len(edges)))
        else:
            at = [np.abs(edges - depth * room).argmin()]
        for place, words in sorted(
            zip(at, hidden, strict=False), key=lambda put: put[0], reverse=True
        ):
            filler.insert(place, words)
        return Haystack(self._row(f"text of {length}", filler, asked, rng), np.zeros(0, np.int64))

    def film(
        self,
        rng: np.random.Generator,
        length: int,
        things: int,
        asked: tuple[str, ...] = ("what", "when"),
        depth: float | None = None,
        present: bool = True,
    ) -> Haystack:
        """Write a film of `length` tokens with `things` to be asked about, each in one frame, of a shape of its own.

        Parameters
        ----------
        asked : kinds of questions about each of them: `what` colour it has, `when` it was there
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
        stand_in = [
            self._question(kind, 0, 0, start) for kind in asked
        ] * things  # as long as the questions will be
        pieces, marks = self._reel(self._room(length, stand_in, 0), start)
        slots = len(marks)
        if slots < things:
            raise UsageError(
                f"a film of {length} tokens: has {slots} frames beside its questions, {things} needed"
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
        """The fewest tokens in which a single needle of that kind can be asked about.

        Raises
        ------
        UsageError
            there is no such kind
        """
        if kind not in NEEDLES:
            raise UsageError(f"needle {kind!r}: there are {', '.join(NEEDLES)}")
        if kind == "text":
            return max(map(len, self._book)) + len(self._exchange(f"{NAMES[0]} says", SPOKEN[0])[0])
        return len(self._question(kind, 0, 0, 0)[0]) + len(self._marks[0]) + len(self._frame)

    def _reel(self, room: int, start: int) -> tuple[list[np.ndarray], list[int]]:
        """Marks and frames that fill so many tokens, and the reading of the clock at every frame.

        What is left over, too little for a mark and a frame, stands before the first mark as the word `frame`.
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
        if kind == "what":
            return self._exchange(f"colour {SHAPES[shape]}", tuple(COLOURS)[colour])
        return self._exchange(f"when {SHAPES[shape]}", MARKS[mark])

    def _exchange(self, asked: str, answer: str) -> tuple[list[int], int]:
        """What the visitor asks and the model says, and how many tokens of it are the answer."""
        said = self.vocabulary.encode(answer)
        control = self.vocabulary.control
        return [
            control(role_token("visitor")),
            *self.vocabulary.encode(asked),
            control(SPEAK),
            *said,
        ], len(said)

    def _room(self, length: int, asked: list[tuple[list[int], int]], hidden: int) -> int:
        """Tokens that are left for filler."""
        needed = hidden + sum(len(ids) for ids, _ in asked)
        if needed > length:
            raise UsageError(
                f"{length} tokens: {len(asked)} questions with what they ask about take {needed} alone"
            )
        return length - needed

    def _row(
        self,
        name: str,
        pieces: list[np.ndarray],
        asked: list[tuple[list[int], int]],
        rng: np.random.Generator,
    ) -> Tokens:
        """The pieces, then the questions in any order; loss is on answers alone."""
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

"""Text-only tasks on the gallery's words, and the wider text that a decoder is pretrained on.

What a language model can do before it sees anything: facts that it knows by heart (lore: which
shape or colour goes with two words), and the n-th word of a list. Text for pretraining has all lore,
longer and shorter lists, and rooms in words with questions about them.
Questions of the splits `train` and `test` are different ones, by a hash of their words.
"""

from __future__ import annotations

import functools
import random
import zlib

from omni_lab.world.captions.pictures import caption_of, draw_room
from omni_lab.world.questions import seen
from omni_lab.world.script import COLOURS, COUNTS, OTHER_WORDS, SHAPES, SPOKEN

Asked = tuple[tuple[str, ...], str]  # words of a question, and the answer
LISTED = 4  # words of a list in questions; pretraining has lists of 3 to 5 words as well


def ask_words(rng: random.Random, split: str) -> Asked:
    """Random question on words alone, of a split: lore, or a place in a list.

    >>> ask_words(random.Random(1), "train")[0][0]
    'note'
    """
    ask = rng.choice((_lore, _nth))
    while True:
        asked, answer = ask(rng, LISTED)
        if (split == "test") == for_tests(asked):
            return asked, answer


def for_tests(asked: tuple[str, ...]) -> bool:
    """Whether a question on words alone is for tests: every second one is, by its hash."""
    return zlib.crc32(" ".join(asked).encode()) % 2 == 0


@functools.cache
def lore() -> dict[tuple[str, str], str]:
    """Facts to be known by heart: of two words, the shape or colour that goes with them.

    Every word of the first kind goes with every answer once, so that neither word alone tells it.
    """
    rng, facts = random.Random("lore"), {}
    for asked, answers in ((tuple(COLOURS), SHAPES), (SHAPES, tuple(COLOURS))):
        rows, columns = (rng.sample(range(len(answers)), len(answers)) for _ in range(2))
        for row, word in zip(rows, OTHER_WORDS, strict=True):
            # a Latin square, its rows and columns shuffled
            for column, other in zip(columns, asked, strict=True):
                facts[word, other] = answers[(row + column) % len(answers)]
    return facts


def _lore(rng: random.Random, length: int) -> Asked:
    words = rng.choice(list(lore()))
    return ("note", *words), lore()[words]


def _nth(rng: random.Random, length: int) -> Asked:
    """The n-th word of a list."""
    words = rng.sample(SPOKEN, length)
    place = rng.randrange(min(length, len(COUNTS)))
    return ("heard", *words, "count", COUNTS[place]), words[place]


def _room(rng: random.Random, length: int) -> Asked:
    """A room told in words, and a question about a thing in it."""
    number = rng.randrange(10**9)
    room = draw_room("text", number)
    told = tuple(word.text for word in caption_of(room, number, 0.0))
    _, asked, answer = rng.choice(list(seen(rng.choice(room.things))))
    return (*told, *asked), answer


def draw_text(seed: int, number: int) -> Asked:
    """Row of the text that a decoder is pretrained on: any question on words, tests' lore as well."""
    rng = random.Random(f"words/{seed}/{number}")
    return rng.choice((_lore, _nth, _room))(rng, rng.randint(LISTED - 1, LISTED + 1))

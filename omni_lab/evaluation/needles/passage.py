"""A needle in plain English, as tokens of any tokenizer: exactly as long as asked, and exactly as deep.

    … The round photograph came to the gallery as a gift. The number that belongs to Lisbon is 4821. Some say the black
    mask is a copy. … In the corner of the

    Question: Which number belongs to Lisbon?
    Answer: The number that belongs to Lisbon is 4821

More filler is written than needed, and cut token by token where the text begins and where it ends before the question:
so the needle stands between whole sentences at its exact depth, and the filler begins and breaks off in mid-sentence
like something copied out of a longer text. Needle and question are tokenized together with the sentences around them,
and which tokens are whose is found by tokenizing beginnings of that text: this holds for every tokenizer, also for one
whose tokens reach across spaces. The question restates the needle, as with the passkey of Mohtashami & Jaggi (2023).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, NamedTuple

from omni_lab.errors import UsageError
from omni_lab.evaluation.needles.interface import Trial
from omni_lab.evaluation.needles.prose import sentences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOWNS = (
    "Lisbon", "Oslo", "Cairo", "Lima", "Hanoi", "Prague", "Dublin", "Athens", "Warsaw", "Vienna", "Bergen", "Porto",
    "Seville", "Naples", "Geneva", "Turin", "Krakow", "Riga", "Tallinn", "Helsinki", "Havana", "Quito", "Bogota",
    "Santiago", "Montreal", "Chicago", "Boston", "Dallas", "Denver", "Seattle", "Nairobi", "Accra", "Tunis", "Dakar",
    "Delhi", "Mumbai", "Osaka", "Kyoto", "Seoul", "Taipei", "Manila", "Jakarta", "Sydney", "Perth", "Auckland",
)  # fmt: skip
NUMBERS = range(1000, 10_000)
LETTERS_PER_TOKEN = 8  # of filler to begin with; more is made where tokens are longer


class Passage(NamedTuple):
    """A trial as the tokens of one model."""

    ids: list[int]
    needle: slice  # where the needle stands in `ids`; empty where there is none
    answer: int  # how many tokens at the end are the answer


def lay_out(trial: Trial, tokenizer: PreTrainedTokenizerBase) -> Passage:
    """Write a trial as tokens.

    Raises
    ------
    UsageError
        its length cannot hold needle, question and answer
    """
    draw = random.Random(trial.seed)
    town, number = draw.choice(TOWNS), draw.choice(NUMBERS)
    start = _start(tokenizer)
    share = trial.depth if trial.present else 0.0
    letters = LETTERS_PER_TOKEN * trial.length
    while True:
        filler = sentences(trial.seed)
        above, below = _take(filler, share * letters), _take(filler, (1 - share) * letters)
        around = " ".join(["", *above[-1:]]), " ".join(["", *below[:1]])
        first, needle, second, question, answer = _parts(
            tokenizer, town, number, trial.present, *around
        )
        first = _encode(" ".join(above[:-1]), tokenizer) + first
        second = second + _encode(" ".join(["", *below[1:]]), tokenizer)
        room = trial.length - len(start) - len(needle) - len(question) - len(answer)
        if room < 0:
            raise UsageError(
                f"length {trial.length}: needle, question and answer take {trial.length - room} tokens"
            )
        before = round(share * room)
        if len(first) >= before and len(second) >= room - before:
            break
        letters *= 2
    head = start + first[len(first) - before :]
    ids = head + needle + second[: room - before] + question + answer
    return Passage(ids, slice(len(head), len(head) + len(needle)), len(answer))


def writes_numbers(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether numbers come back as they were; they do not where digits are unknown, or the vocabulary is missing."""
    said = tokenizer.decode(_encode("is 4821 9037 1265", tokenizer))
    return "482190371265" in said.replace(" ", "")


def shortest(tokenizer: PreTrainedTokenizerBase) -> int:
    """The fewest tokens that hold a needle, its question and its answer at any depth, whatever the town and number."""
    spelled = tokenizer([f"is {number}." for number in NUMBERS], add_special_tokens=False).input_ids
    number = NUMBERS[max(range(len(NUMBERS)), key=lambda index: len(spelled[index]))]
    said = f" {next(sentences(0))}"
    places = [
        (town, above, below) for town in TOWNS for above in ("", said) for below in ("", said)
    ]
    taken = (_parts(tokenizer, town, number, True, above, below) for town, above, below in places)
    return len(_start(tokenizer)) + max(
        len(needle) + len(asks) + len(answer) for _, needle, _, asks, answer in taken
    )


def _take(filler: Iterator[str], letters: float) -> list[str]:
    """Sentences of that many letters at least; none where no letter is wanted."""
    taken, count = [], 0
    while count < letters:
        taken.append(next(filler))
        count += len(taken[-1])
    return taken


def _parts(
    tokenizer: PreTrainedTokenizerBase,
    town: str,
    number: int,
    present: bool,
    above: str,
    below: str,
) -> list[list[int]]:
    """The tokens of the filler above, the needle, the filler below, the question and the answer, tokenized as one text.

    A token with letters of two parts belongs to the later one, but the needle gives none of its own to filler.
    """
    fact = f"The number that belongs to {town} is"
    needle = f"{' ' if above else ''}{fact} {number}." if present else ""
    asks = f"\n\nQuestion: Which number belongs to {town}?\nAnswer: {fact}"
    texts = [above, needle, below, asks, f" {number}"]
    whole = _encode("".join(texts), tokenizer)
    first, question, answer = (
        _common(whole, _encode("".join(texts[:count]), tokenizer)) for count in (1, 3, 4)
    )
    behind = _common(whole[::-1], _encode("".join(texts[2:]), tokenizer)[::-1])
    second = min(len(whole) - behind, question)
    return [
        whole[start:stop]
        for start, stop in pairwise((0, first, second, question, answer, len(whole)))
    ]


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _encode(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False, verbose=False)


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer puts before every text: a beginning mark, or nothing."""
    marked, bare = tokenizer.encode("a"), _encode("a", tokenizer)
    return marked[
        : next(index for index in range(len(marked)) if marked[index : index + len(bare)] == bare)
    ]

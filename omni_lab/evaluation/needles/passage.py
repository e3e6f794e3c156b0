"""Needle-in-a-haystack prompt in plain English, of an exact token length and needle depth.

    … The round photograph came to the gallery as a gift. The number that belongs to Lisbon is
    4821. Some say the black mask is a copy. … In the corner of the

    Question: Which number belongs to Lisbon?
    Answer: The number that belongs to Lisbon is 4821

More filler is written than needed, and cut token by token at the beginning of the text and before
the question: so the needle stands between whole sentences at its exact depth, and the filler begins
and breaks off in mid-sentence, like something copied out of a longer text. Needle and question are
tokenized together with the sentences around them, and tokenized prefixes of that text give the
bounds of each part: this holds for every tokenizer, also for one whose tokens reach across spaces.
The question restates the needle, as with the passkey of Mohtashami & Jaggi (2023).
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
    "Lisbon", "Oslo", "Cairo", "Lima", "Hanoi", "Prague", "Dublin", "Athens", "Warsaw", "Vienna",
    "Bergen", "Porto", "Seville", "Naples", "Geneva", "Turin", "Krakow", "Riga", "Tallinn",
    "Helsinki", "Havana", "Quito", "Bogota", "Santiago", "Montreal", "Chicago", "Boston", "Dallas",
    "Denver", "Seattle", "Nairobi", "Accra", "Tunis", "Dakar", "Delhi", "Mumbai", "Osaka", "Kyoto",
    "Seoul", "Taipei", "Manila", "Jakarta", "Sydney", "Perth", "Auckland",
)  # fmt: skip
NUMBERS = range(1000, 10_000)
_SAMPLE = "Is it 4821, or 9037?\n\nQuestion: Which one?\nAnswer: It is 1265"
LETTERS_PER_TOKEN = 8  # of filler at first; doubled where the tokens are longer


class Passage(NamedTuple):
    """Tokenized trial: text, needle, question and answer in one list of token ids."""

    ids: list[int]
    needle: slice  # of `ids`; empty in a control
    answer: int  # number of tokens, at the end of `ids`


def lay_out(trial: Trial, tokenizer: PreTrainedTokenizerBase) -> Passage:
    """Tokenized trial of exactly `trial.length` tokens.

    Raises
    ------
    UsageError
        the length is too short for needle, question and answer
    """
    draw = random.Random(trial.seed)
    town, number = draw.choice(TOWNS), draw.choice(NUMBERS)
    start = _start(tokenizer)
    depth = trial.depth if trial.present else 0.0
    letters = LETTERS_PER_TOKEN * trial.length

    # how many letters fill the length depends on the tokenizer: try, and double
    while True:
        filler = sentences(trial.seed)
        above, below = _take(filler, depth * letters), _take(filler, (1 - depth) * letters)
        around = " ".join(["", *above[-1:]]), " ".join(["", *below[:1]])
        first, needle, second, question, answer = _parts(
            tokenizer, town, number, trial.present, *around
        )
        first = _encode(" ".join(above[:-1]), tokenizer) + first
        second = second + _encode(" ".join(["", *below[1:]]), tokenizer)

        room = trial.length - len(start) - len(needle) - len(question) - len(answer)
        if room < 0:
            right = f"needle, question and answer take {trial.length - room} tokens"
            raise UsageError(f"length {trial.length}: {right}")
        before = round(depth * room)
        if len(first) >= before and len(second) >= room - before:
            break
        letters *= 2

    head = start + first[len(first) - before :]
    ids = head + needle + second[: room - before] + question + answer
    return Passage(ids, slice(len(head), len(head) + len(needle)), len(answer))


def lost(tokenizer: PreTrainedTokenizerBase) -> str:
    """What a tokenizer loses of a text on the way to tokens and back, in words; empty for nothing.

    Neither case nor a space before the text counts.
    """
    back = tokenizer.decode(_encode(_SAMPLE, tokenizer))
    if back.strip().casefold() == _SAMPLE.casefold():
        return ""
    digits, letters = (
        "".join(filter(kind, _SAMPLE)) == "".join(filter(kind, back))
        for kind in (str.isdigit, str.isalnum)
    )
    if not digits:
        return "cannot write numbers"
    what = "spaces or line breaks" if letters else "letters"
    return f"loses {what}: {_SAMPLE!r} comes back as {back!r}"


def shortest(tokenizer: PreTrainedTokenizerBase) -> int:
    """Minimum length of a trial, tokens: enough for any town and number at any depth."""
    spelled = tokenizer([f"is {number}." for number in NUMBERS], add_special_tokens=False).input_ids
    number = NUMBERS[max(range(len(NUMBERS)), key=lambda index: len(spelled[index]))]
    near = f" {next(sentences(0))}"
    places = [
        (town, above, below) for town in TOWNS for above in ("", near) for below in ("", near)
    ]
    taken = (_parts(tokenizer, town, number, True, above, below) for town, above, below in places)
    return len(_start(tokenizer)) + max(
        len(needle) + len(asks) + len(answer) for _, needle, _, asks, answer in taken
    )


def _take(filler: Iterator[str], letters: float) -> list[str]:
    """Sentences of at least that many letters; none for 0 letters."""
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
    """Tokens of filler above, needle, filler below, question and answer, tokenized as one text.

    A token with letters of two parts belongs to the later part, but the needle keeps all of its
    tokens.
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
    """Length of the common prefix, tokens."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _encode(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False, verbose=False)


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that the tokenizer puts before every text: a beginning-of-text mark, or none."""
    marked, bare = tokenizer.encode("a"), _encode("a", tokenizer)
    return marked[
        : next(index for index in range(len(marked)) if marked[index : index + len(bare)] == bare)
    ]

"""Retrieval ceiling: how often a reader who knows the gallery's rules finds the right moment.

Two modalities of a moment can only be matched by what they share. Of a room the picture shows all
things; the sound of a second is beeps, or a word, which in three of four cases names something in
the room. A caption or an answer tells a part of either. So even who sees, hears and reads without an
error, and knows how rooms are drawn, must guess among the moments that fit equally well: the ratio
of p(one, other) to p(one) · p(other) ranks candidates best. Between picture and sound it is exact.
Where text is one of the two, its sentences are taken as independent, and the figure is a little
below what is possible.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.config import Config
from omni_lab.evaluation.gallery.exam import FIRST_SEED
from omni_lab.evaluation.retrieval import SENSES, described, ranks_of
from omni_lab.world.drawing import NAMED, write_script
from omni_lab.world.questions import FACTS, true_answer
from omni_lab.world.script import COLOURS, SHAPES, SPOKEN, Question, Room, Script, Sound

_NEVER = -30.0  # log ratio of what cannot be
_NAMES = 6  # colours and shapes of things in a room, in the mean


class Moment(NamedTuple):
    """Some seconds of a film: its rooms, its sounds, and what its text asks and answers."""

    script: Script
    seconds: range

    @property
    def sounds(self) -> list[tuple[Room, Sound]]:
        """Room and sound of every second."""
        size = self.script.room_s
        rooms = [self.script.rooms[second // size] for second in self.seconds]
        return [(room, room.sounds[s % size]) for room, s in zip(rooms, self.seconds, strict=True)]

    @property
    def questions(self) -> list[Question]:
        """Questions of its text."""
        return [q for q in self.script.questions if q.second in self.seconds]


Fit = Callable[[Moment, Moment], float]


def gallery_moments(config: Config, count: int, units: int) -> list[Moment]:
    """Moments of unseen films, those that retrieval is measured on, of `units` seconds each."""
    seconds, found = config.training.stage("omni").seconds, []
    for seed in itertools.count(FIRST_SEED):
        script = write_script(seed, seconds, config.world, "test")
        for first in range(0, seconds - units + 1, units):
            found.append(Moment(script, range(first, first + units)))
            if len(found) == count:
                return found
    raise AssertionError


def retrieval_ceiling(config: Config, count: int, units: int) -> dict[str, dict[str, float]]:
    """Recall and median rank in all six directions of a reader who knows the gallery's rules.

    Parameters
    ----------
    count : moments, all of which are candidates
    units : seconds of a moment
    """
    moments = gallery_moments(config, count, units)
    scores = {
        ("image", "audio"): _scores(moments, image_with_audio),
        ("text", "image"): _scores(moments, text_with_image),
        ("text", "audio"): _scores(moments, text_with_audio),
    }
    scores |= {(b, a): matrix.T for (a, b), matrix in scores.items()}
    return {
        f"{a}_to_{b}": described(ranks_of(scores[a, b]))
        for a, b in itertools.permutations(SENSES, 2)
    }


def _scores(moments: list[Moment], fit: Fit) -> Float[Tensor, "moments moments"]:
    """Fit of every moment's first sense with every moment's second; ties fall at random."""
    fits = torch.tensor([[fit(one, other) for other in moments] for one in moments]).double()
    chance = torch.rand(fits.shape, generator=torch.Generator().manual_seed(0))
    return fits + 1e-6 * chance


def image_with_audio(seen: Moment, heard: Moment) -> float:
    """Log ratio of hearing one moment's words in another's rooms to hearing them anywhere."""
    ratio = 0.0
    for (room, _), (_, sound) in zip(seen.sounds, heard.sounds, strict=True):
        if sound.word is not None and (names := names_in(room)):
            likely = NAMED * (sound.word in names) / len(names) + (1 - NAMED) / len(SPOKEN)
            ratio += math.log(likely * len(SPOKEN))
    return ratio


def text_with_image(read: Moment, seen: Moment) -> float:
    """Log ratio of one moment's answers about pictures in another's rooms to those anywhere."""
    ratio = 0.0
    for question in read.questions:
        there = _moved(question, read, seen)
        if FACTS[question.fact][0] == ("image",):
            ratio += _answered(there, seen, question)
        elif question.fact in ("shape_to_colour", "colour_to_shape"):
            # the answer is borne by something in the room
            has = question.answer[0] in names_in(seen.sounds[question.second - read.seconds[0]][0])
            ratio += math.log(8 / 3) if has else _NEVER
    return ratio


def text_with_audio(read: Moment, heard: Moment) -> float:
    """Log ratio of one moment's answers about sounds in another's seconds to those anywhere."""
    ratio, told = 0.0, set()
    written = {w for q in read.questions for w in (*q.asked, *q.answer) if w in (*COLOURS, *SHAPES)}
    for question in read.questions:
        second = question.second - read.seconds[0]
        sound = heard.sounds[second][1]
        if FACTS[question.fact][0] == ("audio",):
            ratio += _answered(_moved(question, read, heard), heard, question)
            told |= {second} if question.fact == "word" else set()
        elif question.fact in ("shape_to_colour", "colour_to_shape"):
            kind = SHAPES if question.fact == "shape_to_colour" else COLOURS
            ratio += math.log(len(SPOKEN) / len(kind)) if sound.word in kind else _NEVER
    for second, (_, sound) in enumerate(heard.sounds):
        if sound.word is not None and second not in told and written:
            ratio += math.log(_likely(sound.word, written) * len(SPOKEN))
    return ratio


def _likely(word: str, written: set[str]) -> float:
    """Probability of a spoken word, given some names of its room."""
    names = max(_NAMES, len(written))
    if word in written:
        return NAMED / names + (1 - NAMED) / len(SPOKEN)
    others = NAMED * (1 - len(written) / names) / (len(SPOKEN) - len(written))
    return others + (1 - NAMED) / len(SPOKEN)


def names_in(room: Room) -> set[str]:
    """Colours and shapes of a room's things that have both, which words may name."""
    return {name for t in room.things if t.colour and t.shape for name in (t.colour, t.shape)}


def _moved(question: Question, own: Moment, other: Moment) -> Question:
    """The question, asked in another moment's second."""
    second = question.second - own.seconds[0] + other.seconds[0]
    return Question(question.fact, second, question.asked, question.answer, question.carriers)


def _answered(there: Question, moment: Moment, question: Question) -> float:
    """Log ratio of an answer: as many as could have been given where it is right, else never."""
    true = true_answer(moment.script, there)
    if true is None or true.answer != question.answer:
        return _NEVER
    return math.log(len(FACTS[question.fact][1]))

"""The modality confusion matrix: when the senses disagree, which one does the answer follow?

Every clip shows one colour, says another and writes a third. A question asks for one of them: what is seen
(`colour CELL`), what was said (`word said`) or what was noted (`note says`). Rows are the sense that was asked, columns
the sense whose content the answer followed, `none` where it followed no sense. There is no published definition; this
one is ours.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from omni_lab.config import Config
from omni_lab.evaluation.answers import make_eval_set, predict
from omni_lab.evaluation.intervals import bootstrap
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.vocabulary import Vocabulary
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import FACTS
from omni_lab.world.script import CELLS, COLOURS, Question, Script, Sound, Thing

SENSES = ("image", "audio", "text")
COLUMNS = (*SENSES, "none")


def conflicting(seed: int, config: Config) -> tuple[Script, dict[str, str]]:
    """A script of one room whose three senses name three different colours, and what each of them says."""
    rng = random.Random(f"conflict/{seed}")
    script = write_script(seed, config.world.room_s, config.world, "test")
    room = script.rooms[0]
    seen, said, noted = rng.sample(tuple(COLOURS), 3)
    first, others = (
        room.things[0],
        [t for t in room.things[1:] if t.colour not in (seen, said, noted)],
    )
    thing = Thing(first.cell, seen, first.shape, COLOURS[seen], first.corners)
    voice = rng.choice(("guide", "visitor"))
    sounds = (*room.sounds[:-1], Sound(0.1, said, voice, 160, 50))
    room = replace(room, things=(thing, *others), sounds=sounds, note=noted)
    last = len(room.sounds) - 1
    asked = {
        "image": ("colour", ("colour", CELLS[thing.cell]), seen),
        "audio": ("word", ("word", "said"), said),
        "text": ("note", ("note", "says"), noted),
    }
    questions = tuple(
        Question(fact, last, words, (answer,), FACTS[fact][0])
        for fact, words, answer in asked.values()
    )
    return replace(script, rooms=(room,), questions=questions), {
        "image": seen,
        "audio": said,
        "text": noted,
    }


def _ask_one(script: Script, index: int, config: Config):
    """The clip with one of its questions only: no other answer stands in the text before."""
    alone = replace(script, questions=(script.questions[index],))
    return from_script(
        alone, config.model.image.size, config.world, config.triplets.frames_per_second
    )


def reliance(model: OmniModel, config: Config, vocabulary: Vocabulary) -> dict:
    """Measure the matrix on `config.evaluation.reliance_clips` clips, with 95 % bootstrap intervals over clips."""
    count = config.evaluation.reliance_clips
    followed = np.zeros((count, len(SENSES), len(COLUMNS)))
    scripts = [conflicting(seed, config) for seed in range(count)]
    for row in range(len(SENSES)):
        exam = make_eval_set(
            [_ask_one(script, row, config) for script, _ in scripts], config, vocabulary
        )
        for first in range(0, count, 32):
            predicted = predict(
                model,
                exam.batch(first, 32),
            )
            for asked in exam.asked:
                if first <= asked.row < first + 32:
                    word = vocabulary.decode([predicted[asked.row - first, asked.answer[0]]])
                    message = scripts[asked.row][1]
                    column = next(
                        (i for i, sense in enumerate(SENSES) if message[sense] == word), len(SENSES)
                    )
                    followed[asked.row, row, column] = 1
    low, high = bootstrap(followed, lambda drawn: drawn.mean(0), config.evaluation.bootstrap)
    return {
        "rows": list(SENSES), "columns": list(COLUMNS), "rates": followed.mean(0).tolist(),
        "low": low.tolist(), "high": high.tolist(), "n": count,
    }  # fmt: skip

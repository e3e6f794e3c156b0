"""Modality confusion matrix (reliance): which modality does an answer follow when they conflict?

Every clip shows one colour, speaks another and writes a third. A question asks for one of them: the
thing seen (`colour CELL`), the word heard (`word said`) or the note written (`note says`). Rows are
the modality asked about, columns the modality whose content the answer follows, `none` where it
follows none. There is no published definition; this one is omni_lab's.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from omni_lab.analysis.confusion.matrix import NONE, confusion_matrix
from omni_lab.config import Config
from omni_lab.evaluation.answers import make_eval_set, predict
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.vocabulary import Vocabulary
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import FACTS
from omni_lab.world.script import CELLS, COLOURS, Question, Script, Sound, Thing

SENSES = ("image", "audio", "text")
COLUMNS = (*SENSES, NONE)
BATCH = 32  # rows


def conflicting(seed: int, config: Config) -> tuple[Script, dict[str, str]]:
    """Conflict script: one room whose three modalities carry three different colours.

    Returns
    -------
    script, colours : the script with one question per modality, and the colour by modality
    """
    rng = random.Random(f"conflict/{seed}")
    script = write_script(seed, config.world.room_s, config.world, "test")
    room = script.rooms[0]
    seen, heard, noted = rng.sample(tuple(COLOURS), 3)

    # no other thing of the room has one of the three colours
    first = room.things[0]
    others = [t for t in room.things[1:] if t.colour not in (seen, heard, noted)]
    thing = Thing(first.cell, seen, first.shape, COLOURS[seen], first.corners)
    voice = rng.choice(("guide", "visitor"))
    sounds = (*room.sounds[:-1], Sound(0.1, heard, voice, 160, 50))
    room = replace(room, things=(thing, *others), sounds=sounds, note=noted)

    last = len(room.sounds) - 1
    asked = (
        ("colour", ("colour", CELLS[thing.cell]), seen),
        ("word", ("word", "said"), heard),
        ("note", ("note", "says"), noted),
    )
    questions = tuple(
        Question(fact, last, words, (answer,), FACTS[fact][0]) for fact, words, answer in asked
    )
    colours = dict(zip(SENSES, (seen, heard, noted), strict=True))
    return replace(script, rooms=(room,), questions=questions), colours


def _ask_one(script: Script, index: int, config: Config):
    """Clip with one question of its script, so that the text before holds no other answer."""
    alone = replace(script, questions=(script.questions[index],))
    return from_script(
        alone, config.model.image.size, config.world, config.triplets.frames_per_second
    )


def measure_reliance(model: OmniModel, config: Config, vocabulary: Vocabulary) -> dict:
    """Modality confusion matrix on conflict clips, with 95 % bootstrap intervals over clips.

    Returns
    -------
    reliance : `rows` (modality asked about), `columns` (modality followed), `rates` with the bounds
        `low` and `high` [rows][columns] in [0, 1], and `n` (clips,
        `config.evaluation.reliance_clips`)
    """
    count = config.evaluation.reliance_clips
    followed: list[tuple[int, int, int]] = []  # clip, row, column
    scripts = [conflicting(seed, config) for seed in range(count)]
    for row in range(len(SENSES)):
        clips = [_ask_one(script, row, config) for script, _ in scripts]
        exam = make_eval_set(clips, config, vocabulary)

        for first in range(0, count, BATCH):
            predicted = predict(model, exam.batch(first, BATCH))
            for asked in exam.asked:
                if first <= asked.row < first + BATCH:
                    word = vocabulary.decode([predicted[asked.row - first, asked.answer[0]]])
                    colours = scripts[asked.row][1]
                    column = next(
                        (i for i, s in enumerate(SENSES) if colours[s] == word), len(SENSES)
                    )
                    followed.append((asked.row, row, column))

    clip, row, column = np.array(followed).T
    draws = config.evaluation.bootstrap
    found = confusion_matrix(row, column, SENSES, COLUMNS, clip, draws).to_dict()
    kept = ("rows", "columns", "rates", "low", "high")
    return {**{name: found[name] for name in kept}, "n": count}

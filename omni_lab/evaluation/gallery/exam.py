"""Evaluation on unseen gallery scenes: facts, controls, conflicts, retrieval, attention mass."""

from __future__ import annotations

from typing import Any

import numpy as np

from omni_lab.analysis.attention.modalities import modality_mass
from omni_lab.config import TICKS_PER_SECOND, Config
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.evaluation.answers import (
    CONTROLS,
    EvalSet,
    answer_losses,
    by_fact,
    grade,
    make_eval_set,
    predict,
    swapped,
)
from omni_lab.evaluation.gallery.reliance import measure_reliance
from omni_lab.evaluation.retrieval import moments, retrieval_scores
from omni_lab.model.omni import OmniModel
from omni_lab.triplets.record import Triplet
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import CHANCE

FIRST_SEED = 1_000_000  # of evaluation clips, which also have another split than training
ROWS = 16  # batch size


def world_clips(
    config: Config,
    split: str,
    count: int,
    seconds: int | None = None,
    senses: tuple[str, ...] = ("image", "audio", "text"),
) -> list[Triplet]:
    """Evaluation clips: scripts of a split that training does not draw from.

    Parameters
    ----------
    split : "test" for unseen scenes, "held_out" for unseen pairs of colour and shape
    seconds : length of a clip, s; None is that of the omni stage's clips
    senses : modalities of the clips; questions that need another one are left out
    """
    size, rate = config.model.image.size, config.triplets.frames_per_second
    seconds = seconds or config.training.stage("omni").seconds
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    scripts = (write_script(seed, seconds, config.world, split, senses=senses) for seed in seeds)
    return [from_script(script, size, config.world, rate, senses=senses) for script in scripts]


def evaluate(model: OmniModel, config: Config, films: list[Triplet]) -> dict[str, Any]:
    """Scores of a model on the gallery: facts, held-out pairs, controls, reliance, retrieval, mass.

    Parameters
    ----------
    films : clips cut from film files; scored too (`films`) where their ground truth is known
    """
    vocabulary, settings = build_vocabulary(config), config.evaluation
    held = fact_scores(model, config, "held_out")  # its clips are let go before the others come
    large = _fact_set(config, "test")
    right, exam = grade(model, large), large.first(settings.clips)
    unswapped = by_fact(exam, right[: len(exam.asked)], CHANCE)
    scores: dict[str, Any] = {
        "facts": by_fact(large, right, CHANCE),
        "held_out_pairs": held,
        "controls": {
            control: by_fact(exam, grade(model, swapped(exam, control)), CHANCE)
            for control in CONTROLS
        },
        "reliance": measure_reliance(model, config, vocabulary),
    }
    for control in scores["controls"].values():
        control.pop("absent", None)  # no modality carries its answer, so no swap takes it away
        for fact, score in control.items():
            score["unswapped"] = unswapped[fact]["accuracy"]  # on the same clips

    if any(clip.facts for clip in films):
        shown = make_eval_set(films, config, vocabulary)
        scores["films"] = by_fact(shown, grade(model, shown), CHANCE)

    batches = [exam.batch(first, ROWS) for first in range(0, len(exam.rows), ROWS)]
    vectors = moments(model, batches, config.training.align_units)
    scores["retrieval"] = retrieval_scores(vectors, settings.retrieval_rooms)
    scores["attention"] = modality_mass(model, batches[:4])
    return scores


def fact_scores(
    model: OmniModel, config: Config, split: str, with_losses: bool = False
) -> dict[str, dict]:
    """Accuracy per fact on the clips of a split; of `held_out`, on its unseen pairs alone.

    Parameters
    ----------
    with_losses : add the mean `loss` of every fact's answers, nats per token
    """
    exam = _fact_set(config, split)
    scores = by_fact(exam, grade(model, exam), CHANCE, held_out=split == "held_out")
    if with_losses:
        losses = answer_losses(model, exam)
        facts = np.asarray([asked.fact["fact"] for asked in exam.asked])
        for fact, score in scores.items():
            score["loss"] = float(losses[facts == fact].mean())
    return scores


def _fact_set(config: Config, split: str) -> EvalSet:
    """Clips for accuracy per fact: the first ones are those of the controls."""
    count = max(config.evaluation.clips, config.evaluation.fact_clips)
    return make_eval_set(world_clips(config, split, count), config, build_vocabulary(config))


def answered(model: OmniModel, clip: Triplet, config: Config) -> list[dict[str, Any]]:
    """Predicted and true answer of every question of one clip, under teacher forcing.

    Returns
    -------
    answers : per question `time_s` (s), `fact`, `asked`, `answer` (true), `predicted`, `right`, and
        `places` (positions of the answer's tokens)
    """
    vocabulary = build_vocabulary(config)
    exam = make_eval_set([clip], config, vocabulary)
    predicted = predict(model, exam.batch(0, 1))[0]

    answers = []
    for asked in exam.asked:
        own, true = predicted[list(asked.answer)], exam.rows[0].ids[list(asked.answer)]
        answers.append(
            {
                "time_s": asked.fact["start"] / TICKS_PER_SECOND,
                "fact": asked.fact["fact"],
                "asked": asked.fact["asked"],
                "answer": vocabulary.decode(true),
                "predicted": vocabulary.decode(own),
                "right": bool((own == true).all()),
                "places": list(map(int, asked.answer)),
            }
        )
    return answers

"""Answers per kind of fact, on clips the model has never seen, with controls that take their carrier away.

Every answer is read with the true text before it (teacher forcing): what is asked is whether this answer is right,
whatever was answered earlier. An answer of several tokens is right when all of them are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64

from omni_lab.config import Config
from omni_lab.errors import UsageError
from omni_lab.evaluation.intervals import wilson
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch, collate
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import Tokens, tokenize
from omni_lab.sequences.vocabulary import Vocabulary
from omni_lab.triplets.record import Triplet

CONTROLS = ("swap_image", "swap_audio", "swap_question")


@dataclass(frozen=True)
class EvalQuestion:
    """One question of an exam: the row it stands in, the places of its own words and of its answer's tokens."""

    row: int
    fact: dict
    question: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass
class EvalSet:
    """Clips as token rows, and every question in them."""

    rows: list[Tokens]
    asked: list[EvalQuestion]
    config: Config

    def batch(self, first: int, rows: int) -> Batch:
        """Batch of so many rows from row `first` on."""
        config = self.config
        return collate(self.rows[first : first + rows], config.sequence, config.model.image.size)


def make_eval_set(clips: list[Triplet], config: Config, vocabulary: Vocabulary) -> EvalSet:
    """Lay the clips out and find the tokens of every fact's question and answer."""
    rows, asked = [], []
    for row, clip in enumerate(clips):
        sequence = omni_stream(clip, config.sequence, supervised=False)
        tokens = tokenize(sequence, vocabulary, config.sequence)
        rows.append(tokens)
        spoken = {
            item.start: index
            for index, item in enumerate(sequence.items)
            if item.kind == "text" and item.loss
        }
        for fact in clip.facts:
            index = spoken.get(fact["start"])
            if index is None:
                continue
            answer = np.flatnonzero(tokens.item == index)
            line = max(
                (i for i in range(index) if sequence.items[i].kind == "text"), default=-1
            )  # the visitor's
            question = np.flatnonzero(tokens.item == line)
            asked.append(EvalQuestion(row, fact, tuple(question.tolist()), tuple(answer.tolist())))
    if not asked:
        raise UsageError(
            "no clip has a question with a known answer: make clips from the world, or give a truth.json"
        )
    return EvalSet(rows, asked, config)


def swapped(exam: EvalSet, control: str) -> EvalSet:
    """The exam with every clip's picture, sound or questions taken from the next clip of the same length."""
    if control not in CONTROLS:
        raise UsageError(f"control {control!r}: use one of {', '.join(CONTROLS)}")
    rows = exam.rows
    lengths = [(len(row.frames), len(row.waves)) for row in rows]
    partner = np.arange(len(rows))
    for length in set(lengths):
        same = np.flatnonzero([other == length for other in lengths])
        if len(same) < 2:
            raise UsageError(
                f"control {control!r}: row {same[0]} has no other clip of its length to swap with"
            )
        partner[same] = np.roll(same, -1)
    if control == "swap_image":
        new = [replace(row, frames=rows[p].frames) for row, p in zip(rows, partner, strict=True)]
    elif control == "swap_audio":
        new = [replace(row, waves=rows[p].waves) for row, p in zip(rows, partner, strict=True)]
    else:
        new = [replace(row, ids=row.ids.copy()) for row in rows]
        of_row: dict[int, list[EvalQuestion]] = {}
        for asked in exam.asked:
            of_row.setdefault(asked.row, []).append(asked)
        for row, mine in of_row.items():
            others = of_row.get(int(partner[row]), mine)
            for index, asked in enumerate(mine):
                other = others[index % len(others)]
                new[row].ids[list(asked.question)] = rows[other.row].ids[list(other.question)]
    return EvalSet(new, exam.asked, exam.config)


@torch.no_grad()
def predict(
    model: OmniModel, batch: Batch, strength: Float32[torch.Tensor, "M M"] | None = None
) -> Int64[np.ndarray, "B T"]:
    """The likeliest token at every supervised place of a batch, -1 elsewhere.

    `strength` is how strongly modalities interact (`sequences.masking.strengths`).
    """
    logits = forward_batch(model, batch.to(model.device), strength=strength).logits
    out = torch.full(batch.input_ids.shape, -1)
    out[:, 1:][batch.loss_mask[:, 1:]] = logits.argmax(-1).cpu()
    return out.numpy()


def grade(
    model: OmniModel,
    exam: EvalSet,
    batch_size: int = 16,
    strength: Float32[torch.Tensor, "M M"] | None = None,
) -> Bool[np.ndarray, " questions"]:
    """Which questions of the exam the model answers right, with modalities that interact as `strength` says."""
    right = np.zeros(len(exam.asked), bool)
    for first in range(0, len(exam.rows), batch_size):
        predicted = predict(
            model,
            collate(
                exam.rows[first : first + batch_size],
                exam.config.sequence,
                exam.config.model.image.size,
            ),
            strength,
        )
        for index, asked in enumerate(exam.asked):
            if first <= asked.row < first + batch_size:
                places = list(asked.answer)
                right[index] = (
                    predicted[asked.row - first, places] == exam.rows[asked.row].ids[places]
                ).all()
    return right


def by_fact(
    exam: EvalSet,
    right: Bool[np.ndarray, " questions"],
    chance: Mapping[str, float],
    held_out: bool = False,
) -> dict[str, dict]:
    """Accuracy, chance level, count and 95 % interval per fact, with the modalities that carry it.

    Parameters
    ----------
    chance : accuracy of an even guess, by fact: the question set that the exam was made of, in the order of its scores
    held_out : keep questions about pairs that training has never shown only
    """
    kinds = np.asarray([asked.fact["fact"] for asked in exam.asked])
    keep = np.asarray([asked.fact["held_out"] or not held_out for asked in exam.asked])
    carriers = {asked.fact["fact"]: list(asked.fact["carriers"]) for asked in exam.asked}

    scores = {}
    for fact, guessed in chance.items():
        answers = right[keep & (kinds == fact)]
        if len(answers):
            scores[fact] = {**score(answers, guessed), "carriers": carriers[fact]}
    return scores


def score(right: Bool[np.ndarray, " questions"], guessed: float) -> dict[str, float]:
    """Accuracy of some answers with its 95 % interval, beside the chance level of guessing them."""
    low, high = wilson(int(right.sum()), len(right))
    return {
        "accuracy": float(right.mean()),
        "chance": guessed,
        "n": len(right),
        "low": low,
        "high": high,
    }

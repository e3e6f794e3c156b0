"""Accuracy per fact on unseen clips under teacher forcing, with controls that swap a modality.

The true text precedes every answer, so that an earlier wrong answer does not count twice. An answer
of several tokens is right when every token is the likeliest.

Glossary: B batch · T tokens · M modalities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """Question of an evaluation set: its row, and the token positions of question and answer."""

    row: int
    fact: dict
    question: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass
class EvalSet:
    """Evaluation set: clips as rows of tokens, and every question in them."""

    rows: list[Tokens]
    asked: list[EvalQuestion]
    config: Config

    def first(self, rows: int) -> EvalSet:
        """Evaluation set of the first `rows` clips."""
        asked = [asked for asked in self.asked if asked.row < rows]
        return EvalSet(self.rows[:rows], asked, self.config)

    def batch(self, first: int, rows: int) -> Batch:
        """Batch of up to `rows` rows, from row `first` on."""
        config = self.config
        return collate(self.rows[first : first + rows], config.sequence, config.model.image.size)


def make_eval_set(clips: list[Triplet], config: Config, vocabulary: Vocabulary) -> EvalSet:
    """Evaluation set of clips: omni streams, with the tokens of each fact's question and answer.

    Raises
    ------
    UsageError
        no clip has a question whose answer is known
    """
    rows, asked = [], []
    for row, clip in enumerate(clips):
        sequence = omni_stream(clip, config.sequence, supervised=False)
        tokens = tokenize(sequence, vocabulary, config.sequence)
        rows.append(tokens)

        # a fact's answer is the supervised text that starts at the fact's tick
        answers = {
            item.start: index
            for index, item in enumerate(sequence.items)
            if item.kind == "text" and item.loss
        }
        for fact in clip.facts:
            index = answers.get(fact["start"])
            if index is None:
                continue
            answer = np.flatnonzero(tokens.item == index)

            # the visitor's line, the last text before the answer
            line = max((i for i in range(index) if sequence.items[i].kind == "text"), default=-1)
            question = np.flatnonzero(tokens.item == line)
            asked.append(EvalQuestion(row, fact, tuple(question.tolist()), tuple(answer.tolist())))

    if not asked:
        right = "evaluate clips of the world, or films with a truth.json beside them"
        raise UsageError(f"no question with a known answer in {len(clips)} clips: {right}")
    return EvalSet(rows, asked, config)


def swapped(exam: EvalSet, control: str) -> EvalSet:
    """Control: one modality of every clip, or its questions, from another clip of the same length.

    A fact that still scores above chance is not read from what was swapped.

    Raises
    ------
    UsageError
        the control is unknown, or a clip has no other clip of its length
    """
    if control not in CONTROLS:
        raise UsageError(f"control {control!r}: use one of {', '.join(CONTROLS)}")
    rows = exam.rows
    lengths = [(len(row.frames), len(row.waves)) for row in rows]
    partner = np.arange(len(rows))

    # only clips of one length keep their layout when they swap
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
        new = _swapped_questions(exam, partner)
    return EvalSet(new, exam.asked, exam.config)


def _swapped_questions(exam: EvalSet, partner: np.ndarray) -> list[Tokens]:
    """Rows whose questions have the words of their partner's questions, one by one."""
    rows = exam.rows
    new = [replace(row, ids=row.ids.copy()) for row in rows]
    of_row: dict[int, list[EvalQuestion]] = {}
    for asked in exam.asked:
        of_row.setdefault(asked.row, []).append(asked)

    for row, own in of_row.items():
        others = of_row.get(int(partner[row]), own)
        for index, asked in enumerate(own):
            other = others[index % len(others)]
            new[row].ids[list(asked.question)] = rows[other.row].ids[list(other.question)]
    return new


@torch.no_grad()
def predict(
    model: OmniModel, batch: Batch, strength: Float32[torch.Tensor, "M M"] | None = None
) -> Int64[np.ndarray, "B T"]:
    """Greedy next-token prediction at every supervised position of a batch, -1 elsewhere.

    Parameters
    ----------
    strength : modality strengths of attention (`sequences.masking.strengths`); None is all 1
    """
    states = forward_batch(model, batch.to(model.device), strength=strength).states
    out = torch.full(batch.input_ids.shape, -1)
    out[:, 1:][batch.loss_mask[:, 1:]] = model.logits(states).argmax(-1).cpu()
    return out.numpy()


def _by_batch(
    exam: EvalSet, batch_size: int
) -> Iterator[tuple[int, Batch, list[tuple[int, EvalQuestion]]]]:
    """First row of every batch, the batch, and its questions with their numbers in the whole set."""
    for first in range(0, len(exam.rows), batch_size):
        rows = range(first, first + batch_size)
        inside = [(index, asked) for index, asked in enumerate(exam.asked) if asked.row in rows]
        yield first, exam.batch(first, batch_size), inside


def grade(
    model: OmniModel,
    exam: EvalSet,
    batch_size: int = 16,
    strength: Float32[torch.Tensor, "M M"] | None = None,
) -> Bool[np.ndarray, " questions"]:
    """Correctness of every answer of an evaluation set, under teacher forcing.

    Parameters
    ----------
    batch_size : rows per forward pass
    strength : modality strengths of attention (`sequences.masking.strengths`); None is all 1
    """
    right = np.zeros(len(exam.asked), bool)
    for first, batch, inside in _by_batch(exam, batch_size):
        predicted = predict(model, batch, strength)
        for index, asked in inside:
            places = list(asked.answer)
            true = exam.rows[asked.row].ids[places]
            right[index] = (predicted[asked.row - first, places] == true).all()
    return right


@torch.no_grad()
def answer_losses(
    model: OmniModel, exam: EvalSet, batch_size: int = 16
) -> Float32[np.ndarray, " questions"]:
    """Cross-entropy of every answer of an evaluation set, nats per token, under teacher forcing."""
    losses = np.zeros(len(exam.asked), np.float32)
    for first, batch, inside in _by_batch(exam, batch_size):
        per_token = torch.zeros(batch.input_ids.shape)
        supervised = batch.loss_mask[:, 1:]
        per_token[:, 1:][supervised] = forward_batch(model, batch.to(model.device)).losses.cpu()
        for index, asked in inside:
            losses[index] = per_token[asked.row - first, list(asked.answer)].mean()
    return losses


def by_fact(
    exam: EvalSet,
    right: Bool[np.ndarray, " questions"],
    chance: Mapping[str, float],
    held_out: bool = False,
) -> dict[str, dict]:
    """Accuracy, chance level, count and 95 % interval per fact, with the modalities that carry it.

    Parameters
    ----------
    chance : accuracy of a uniform guess, by fact; scores come in its order
    held_out : only questions about held-out pairs, which no training clip shows
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
    """Accuracy with its 95 % interval (Wilson's); `guessed` is the accuracy of a uniform guess."""
    low, high = wilson(int(right.sum()), len(right))
    return {
        "accuracy": float(right.mean()),
        "chance": guessed,
        "n": len(right),
        "low": low,
        "high": high,
    }

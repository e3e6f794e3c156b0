"""Accuracy on multi-image albums and videos of the test split, per kind of question.

The true text precedes every answer (teacher forcing), as in `evaluation.answers`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from omni_lab.config import AlbumConfig, Config, WorldConfig
from omni_lab.evaluation.answers import EvalQuestion, EvalSet, score
from omni_lab.sequences.formats import lay_out
from omni_lab.sequences.tokens import tokenize
from omni_lab.sequences.vocabulary import Vocabulary
from omni_lab.world.albums.album import KINDS, Album, write_album
from omni_lab.world.albums.documents import as_album_document

# the same for every model, whatever it was trained on: one picture, several, a video
EXAM = (
    AlbumConfig(fewest=1, most=1, videos=0.0, questions=1),
    AlbumConfig(fewest=2, most=5, videos=0.0, questions=3),
    AlbumConfig(videos=1.0, questions=3),
)


def eval_albums(count: int, world: WorldConfig) -> list[Album]:
    """Test-split albums, `count` of each sort, the same for every training seed and format."""
    return [write_album(seed, sort, world, "test") for sort in EXAM for seed in range(count)]


def make_album_eval_set(albums: list[Album], config: Config, vocabulary: Vocabulary) -> EvalSet:
    """Evaluation set of albums in the format of `config`, one row of tokens per album."""
    rows, asked = [], []
    for row, album in enumerate(albums):
        document = as_album_document(album, config.model.image.size, config.world.image_noise)
        sequence = lay_out(document, config, supervised=False)
        tokens = tokenize(sequence, vocabulary, config.sequence)
        rows.append(tokens)

        # texts with a role alternate: a question, then its answer
        lines = [
            index
            for index, item in enumerate(sequence.items)
            if item.kind == "text" and item.role is not None
        ]
        for question, (asks, answers) in zip(
            album.questions, zip(lines[::2], lines[1::2], strict=True), strict=True
        ):
            fact = {"fact": question.kind, "choices": question.choices}
            places = (
                tuple(np.flatnonzero(tokens.item == index).tolist()) for index in (asks, answers)
            )
            asked.append(EvalQuestion(row, fact, *places))
    return EvalSet(rows, asked, config)


def by_kind(exam: EvalSet, right: Bool[np.ndarray, " questions"]) -> dict[str, dict]:
    """Accuracy, chance level, count and 95 % interval per kind of question.

    Chance is the accuracy of a uniform guess among each question's choices.
    """
    kinds = np.asarray([asked.fact["fact"] for asked in exam.asked])
    guess = np.asarray([1 / len(asked.fact["choices"]) for asked in exam.asked])
    scores = {}
    for kind in KINDS:
        same = kinds == kind
        if same.any():
            scores[kind] = score(right[same], float(guess[same].mean()))
    return scores

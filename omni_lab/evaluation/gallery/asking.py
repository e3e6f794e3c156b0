"""One question about one moment: the likeliest answers, with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from omni_lab.config import TICKS_PER_SECOND, Config
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import UsageError
from omni_lab.media.subtitles.reader import Cue
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import collate
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import tokenize
from omni_lab.sequences.vocabulary import UNKNOWN
from omni_lab.triplets.record import Triplet


@torch.no_grad()
def likeliest(
    model: OmniModel,
    scene: Triplet,
    question: str,
    config: Config,
    notes: Sequence[Cue] = (),
    best: int = 5,
) -> dict[str, Any]:
    """Likeliest first words of the answer to a question in the last second of a scene.

    The scene's own lines are left out, so that no earlier answer can be copied.

    Parameters
    ----------
    question : as the visitor writes it, such as `Colour heard?`
    notes : lines that stay
    best : number of answers

    Returns
    -------
    asked : `question`, `seen` (the picture that the model gets in that second, [side, side, 3]),
        and `answers` (word → probability, the likeliest first)

    Raises
    ------
    UsageError
        the question has a word that is not in the vocabulary
    """
    vocabulary = build_vocabulary(config)
    if UNKNOWN in vocabulary.decode(vocabulary.encode(question)):
        right = "it is asked like 'Colour top-left?'"
        raise UsageError(f"{question!r}: the model never learned one of these words; {right}")

    half = TICKS_PER_SECOND // 2
    asked, answered, end = scene.duration - 2 * half, scene.duration - half, scene.duration
    own = config.sequence.model_role
    # the last line keeps the answer's place; what it says comes after the prediction
    cues = (*notes, Cue(asked, answered, question, "visitor"), Cue(answered, end, "nothing", own))
    sequence = omni_stream(replace(scene, cues=cues, facts=()), config.sequence)
    tokens = tokenize(sequence, vocabulary, config.sequence)
    batch = collate([tokens], config.sequence, config.model.image.size)

    # among what is predicted, the first word
    place = np.flatnonzero(tokens.kind[tokens.loss] == KINDS.index("text"))[0]
    logits = model.logits(forward_batch(model, batch.to(model.device)).states[place])
    shares, ids = logits.softmax(-1).topk(best)
    words = vocabulary.pieces(ids.tolist())
    answers = dict(zip(words, shares.tolist(), strict=True))
    return {"question": question, "seen": batch.frames[-1, 0].cpu().numpy(), "answers": answers}

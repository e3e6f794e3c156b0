"""Contents of the demo's report: its figures by name, and one clip with stream and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omni_lab.config import Config
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.plots.data.timeline import draw_triplet
from omni_lab.plots.data.tokens import draw_stream
from omni_lab.plots.evaluation.confusion import draw_reliance
from omni_lab.plots.evaluation.facts import draw_controls, draw_facts
from omni_lab.plots.evaluation.heatmaps import draw_attention, draw_retrieval
from omni_lab.plots.style import Picture
from omni_lab.plots.training.curves import draw_losses
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import tokenize
from omni_lab.triplets.record import Triplet


def draw_run(
    summary: dict[str, Any], metrics: list[dict], clip: Triplet, config: Config
) -> dict[str, Picture]:
    """Figures of a run, by name.

    Parameters
    ----------
    clip : drawn as it is, and as the stream that the model reads
    """
    vocabulary = build_vocabulary(config)
    sequence = omni_stream(clip, config.sequence, supervised=False)
    tokens = tokenize(sequence, vocabulary, config.sequence)
    return {
        "stream": draw_stream(clip, tokens, vocabulary.pieces(tokens.ids)),
        "triplet": draw_triplet(clip),
        "losses": draw_losses(metrics),
        "facts": draw_facts(summary),
        "controls": draw_controls(summary),
        "reliance": draw_reliance(summary["reliance"]),
        "retrieval": draw_retrieval(summary["retrieval"]),
        "attention": draw_attention(summary["attention"]),
    }


def played_clip(
    clip: Triplet, questions: list[dict[str, Any]], video: Path | None, config: Config
) -> dict[str, Any]:
    """One clip as the report plays it: its film, its stream unit by unit, every answer.

    Parameters
    ----------
    questions : of the clip, with the model's answers and the places of their tokens
    """
    vocabulary, unit_s = build_vocabulary(config), config.sequence.unit_s
    sequence = omni_stream(clip, config.sequence, supervised=False)
    tokens = tokenize(sequence, vocabulary, config.sequence)
    verdict = {place: question for question in questions for place in question["places"]}
    units: list[dict[str, Any]] = [
        {"start_s": unit * unit_s, "end_s": (unit + 1) * unit_s, "chips": []}
        for unit in range(int(tokens.unit.max()) + 1)
    ]

    words = vocabulary.pieces(tokens.ids)
    for place, (kind, item) in enumerate(zip(tokens.kind, tokens.item, strict=True)):
        question = verdict.get(place)
        units[tokens.unit[place]]["chips"].append(
            {
                "kind": KINDS[kind],
                "text": words[place],
                "loss": bool(tokens.loss[place]),
                "role": sequence.items[item].role,
                "right": question and question["right"],
                "predicted": question and question["predicted"],
            }
        )
    title = video.stem if video else clip.clip_id
    return {"video": video, "title": title, "units": units, "questions": questions}

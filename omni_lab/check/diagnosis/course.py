"""Exercises of the course, for the measure of diagnostic power: checkers, right answers, inputs."""

from __future__ import annotations

import math
import random

import torch

from omni_lab import check
from omni_lab.check.answers import (
    context,
    exercises,
    mixture,
    model,
    phases,
    ring,
    selection,
    sequences,
    stages,
    triplets,
    way,
)
from omni_lab.check.connectors import case_of
from omni_lab.check.diagnosis.power import Exercise
from omni_lab.media.subtitles.reader import Cue, Word


def _tokens(source: random.Random) -> tuple:
    words = ["<unit>", "<image>", "<audio>", "<listen>", "<visitor>", "<speak>", "red", "where"]
    tokens = source.choices(words, k=12)
    roles = [None if t.startswith("<") else source.choice(["guide", "visitor"]) for t in tokens]
    return tokens, roles


def _cues(source: random.Random) -> tuple:
    """Cues of a film with the times of their words, and a clip that may cut through them."""
    cues, time, number = [], 0, 0
    for _ in range(4):
        time += source.choice([0, source.randrange(30_000)])
        words = []
        for _ in range(source.randrange(1, 5)):
            length = source.randrange(2, 20_000)
            words.append(Word(time, time + length, f"w{number}"))
            time, number = time + length, number + 1
        text = " ".join(word.text for word in words)
        cues.append(Cue(words[0].start, words[-1].end, text, "guide", words=tuple(words)))

    # cuts like to fall where something begins, ends or has its middle
    places = [
        t for cue in cues for w in cue.words for t in (w.start, w.end, (w.start + w.end) // 2)
    ]
    start, end = sorted(source.sample([*sorted(set(places)), time + 9, time + 10_000], 2))
    return cues, source.choice([0, start]), end


def _seconds(source: random.Random) -> tuple:
    count = source.randrange(1, 5)
    seen, heard = ([source.random() < 0.7 for _ in range(count)] for _ in range(2))
    starts = sorted(source.choice([0.0, 0.5, 0.99]) + source.randrange(count + 2) for _ in range(5))
    return (
        seen,
        heard,
        [(t, source.choice(["guide", "visitor"]), f"text {i}") for i, t in enumerate(starts)],
    )


def _lengths(source: random.Random) -> tuple:
    trained = source.randrange(16, 4096)
    length = trained + source.randrange(1, 100_000)
    return length, 2 * source.randrange(3, 64), float(source.randrange(10, 10**6)), trained


def _connections(source: random.Random) -> tuple:
    side, cells = source.choice([(6, 2), (4, 2), (4, 4), (3, 1), (9, 3), (8, 2), (6, 3)])
    return tuple(case_of(source.randrange(1, 4), side, cells, source.randrange(10**6)))


def _blocks(source: random.Random) -> tuple:
    generator = torch.Generator().manual_seed(source.randrange(10**6))
    # as many queries as numbers a head, so that a wrong axis is no error of shapes
    size = (1, 2, 3, 3)
    out_a, out_b = (torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(2))
    lse_a, lse_b = (
        torch.randn(size[:-1], generator=generator, dtype=torch.float64) for _ in range(2)
    )
    near = source.choice([0.0, 3.0, 1000.0, -1000.0])
    lse_a, lse_b = lse_a + near, lse_b + near
    for out, lse in ((out_a, lse_a), (out_b, lse_b)):
        if source.random() < 0.3:
            lse[0, 0, 0], out[0, 0, 0] = -math.inf, 0.0
    return out_a, lse_a, out_b, lse_b


# --- the exercises of the course

_PLACE = ("is in clip", "is in no clip")
EXERCISES = {
    "loss mask (00)": Exercise(
        check.loss_mask,
        (
            exercises.loss_mask, exercises.loss_mask_in_one_line, exercises.loss_mask_in_numpy,
            exercises.loss_mask_in_torch, exercises.loss_mask_yielded, exercises.loss_mask_recursive,
        ),
        _tokens,
        {
            "pairs": ("nothing is supervised", "learn to be silent", "learns no answer"),
            "control": ("learn to be silent", "when it is its turn", "an image token", "everything"),
            "words": ("the visitor's", "learns no answer", "an image token"),
            "both": ("nothing is supervised", "learn to be silent", "learns no answer"),
        },
    ),
    "rebased subtitles (01)": Exercise(
        check.rebased,
        (
            exercises.rebased, exercises.rebased_as_a_tuple, exercises.rebased_in_numpy,
            exercises.rebased_yielded,
        ),
        _cues,
        {
            "home": (*_PLACE, "a cue without text"),
            "start": ("subtract the clip's start", "before its clip", "starts at the cut", "the later of"),
            "end": ("after its clip", "ends at the cut", "rebase the end", "the earlier of"),
            "words": ("other times",),
            "text": ("keep the text",),
            "cue": ("subtract the clip's start", "after its clip", "its words are", "keep the text"),
        },
    ),
    "interleaver (02)": Exercise(
        check.interleaved,
        (
            exercises.interleaved, exercises.interleaved_by_unit, exercises.interleaved_yielded,
            exercises.interleaved_as_a_tuple,
        ),
        _seconds,
        {
            "units": ("times <unit>", "lack their"),
            "unit": ("times <unit>", "is no piece", "stream begins with"),
            "senses": ("a unit without", "lack their", "is no piece", "its second lacks"),
            "listen": ("times <listen>", "is no piece"),
            "home": ("is missing", "stands there", "belongs to unit"),
            "role": ("opens with its role", "every text of the model's own"),
            "own": ("opens with its role", "times <listen>", "times <unit>", "is missing"),
            "visitor": ("opens with its role", "times <listen>", "is missing"),
        },
    ),
    "connector (03)": Exercise(
        check.connected,
        (
            model.connected, model.connected_by_einops, model.connected_by_reshaping,
            model.connected_in_numpy, model.connected_as_a_list,
        ),
        _connections,
        {
            "grid": ("belongs to token", "a strip of the picture", "your tokens have shape", "use the sizes"),
            "cell": (
                "belongs to token", "your tokens have shape", "go down the columns", "merge frame by frame",
                "use the sizes", "return a tensor",
            ),
            "norm": ("the norm",),
            "map": ("the place", "the GELU", "the norm", "your tokens have shape"),
        },
    ),
    "RoPE base (07)": Exercise(
        check.raised_base,
        (
            exercises.raised_base, exercises.raised_base_in_one_line, exercises.raised_base_by_logarithms,
            exercises.raised_base_in_numpy, exercises.raised_base_in_torch,
        ),
        _lengths,
        {
            "ratio": ("changed places", "drops what is left over", "stays as it was", "length · trained"),
            "pair": ("off by one", "upside down", "holds for one K", "your θ grows by s^"),
            "power": (
                "upside down", "θ is divided", "θ · s, with s", "stays as it was", "is an exponent",
                "grows from `trained`", "s is squared",
            ),
        },
    ),
    "merge of two blocks (08)": Exercise(
        check.merged,
        (
            exercises.merged, exercises.merged_by_logaddexp, exercises.merged_in_numpy,
            exercises.merged_by_stacking, exercises.merged_by_sigmoid,
        ),
        _blocks,
        {
            "top": ("subtract the larger lse", "largest lse of its own", "sees nothing", "has shape"),
            "nothing": ("sees nothing", "exp(−∞)", "subtract the larger lse", "add up to"),
            "weight": ("weight", "subtract the larger lse", "one number per query"),
            "total": ("weights must add up", "add up to", "the sum", "lse is"),
            "out": ("weight", "out is", "the plain sum"),
            "lse": ("lse is", "logarithm"),
        },
    ),
}  # fmt: skip
SMALL = {"00": (check.way, way), "01": (check.triplets, triplets),
         "02": (check.sequences, sequences), "03": (check.model, model),
         "04": (check.stages, stages), "05": (check.phases, phases),
         "06": (check.selection, selection),
         "07": (check.context, context), "08": (check.ring, ring), "11": (check.mixture, mixture)}  # fmt: skip
for _notebook, (_steps, _right) in SMALL.items():
    for _name, _answers in _right.ANSWERS.items():
        _step = getattr(_steps, _name)
        EXERCISES[f"{_name} ({_notebook})"] = Exercise(_step, _answers, _step.inputs, {})

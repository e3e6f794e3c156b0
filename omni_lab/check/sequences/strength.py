"""Small exercise of notebook 02 about attention: how strongly words look at sound, turned down."""

from __future__ import annotations

import math
from functools import partial

import torch

from omni_lab.check.step import Step
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.masking import Strength, modality_bias, strengths


def _turned(scores: list[float], heard: list[bool], strength: float) -> list[float]:
    """Attention weights of a word whose look at sound has a strength, with the package's bias."""
    names = ["audio" if sound else "image" for sound in heard]
    matrix = strengths([Strength.read(f"text>audio={strength}")])
    given = torch.tensor(scores, dtype=torch.float64)
    if matrix is None:
        return given.softmax(0).tolist()
    keys = torch.tensor([[KINDS.index(name) for name in names]])
    queries = torch.tensor([[KINDS.index("text")]])
    bias = modality_bias(matrix, queries, keys, torch.zeros(1, len(scores), dtype=torch.bool))
    return (given + bias[0, 0].double()).softmax(0).tolist()


def _shared(scores, heard, strength, change=lambda score, sound, strength: score, whole=True):
    """Weights after `change` of every score: e to it, shared out if `whole`."""
    powers = [math.exp(change(s, h, strength)) for s, h in zip(scores, heard, strict=True)]
    return [power / sum(powers) for power in powers] if whole else powers


def _after(scores, heard, strength, change, again=False):
    """Weights that are changed after the softmax, and shared out `again`."""
    weights = [
        change(w, h, strength) for w, h in zip(_shared(scores, heard, 1), heard, strict=True)
    ]
    return [w / sum(weights) for w in weights] if again else weights


def _log_on_sound(score, sound, strength):
    return score + math.log(strength) * sound


def _powers(scores, heard, strength):
    """e to every score after the strength, before they are shared out."""
    return _shared(scores, heard, strength, _log_on_sound, whole=False)


_SHARE = "weights are shared out anew, so that they add up to 1"
_LOG = "the logarithm of the strength is added to the score of each sound, then comes the softmax"
turned_down = Step(
    right=_turned,
    cases=[
        ([0.0, 0.0], [True, False], 0.25),
        ([1.0, -0.5, 2.0], [False, True, True], 0.5),
        ([0.3, 0.1], [False, False], 0.2),
        ([0.3, 0.1, -1.0], [True, False, True], 1),
        ([2.0, 1.0, 0.0], [True, True, True], 0.1),
    ],
    rule=f"{_LOG}; or multiply the weight of each sound by the strength, and share out anew",
    mistakes=[
        (partial(_after, change=lambda w, h, s: w * s if h else w), f"these do not add up to 1: {_SHARE}"),
        (partial(_after, change=lambda w, h, s: w + math.log(s) * h),
         f"add the logarithm to the scores, before the softmax: {_LOG}"),
        (_shared,
         "the strength changes nothing here: add its logarithm to the sounds alone, not to every score"),
        (partial(_shared, change=lambda x, h, s: x * s if h else x),
         f"a score times the strength is another rule, and turns negative scores up: {_LOG}"),
        (partial(_shared, change=lambda x, h, s: x + s * h),
         f"this adds the strength, which turns sound up: {_LOG}"),
        (partial(_shared, change=lambda x, h, s: x - s * h), f"this takes off the strength itself: {_LOG}"),
        (partial(_shared, change=lambda x, h, s: x - math.log(s) * h),
         "this turns sound up, beside the rest: add the logarithm, which is negative, and to the scores of "
         "sounds"),
        (partial(_shared, change=lambda x, h, s: math.log(s) * h - x),
         "the scores have the wrong sign: a high score is a strong look"),
        (partial(_shared, change=lambda x, h, s: x + math.log10(s) * h),
         "e to the score takes the natural logarithm, not that to base 10"),
        (partial(_shared, change=lambda x, h, s: x + math.log2(s) * h),
         "e to the score takes the natural logarithm, not that to base 2"),
        (partial(_shared, change=lambda x, h, s: x + math.log(s) * h * x),
         "the logarithm is added to the score, not multiplied by it"),
        (partial(_shared, change=lambda x, h, s: x * math.log(s) if h else x),
         "the logarithm is added to the score, not multiplied by it"),
        (lambda x, h, s: _shared(h, x, s, lambda a, b, s: a + math.log(s) if b else a),
         "scores and flags have changed places: a score is a number, `heard` says where a sound is"),
        (lambda x, h, s: _shared(h, h, s, _log_on_sound),
         "this takes True and False for scores; the scores are not used"),
        (lambda x, h, s: _shared(x, x, s, lambda a, b, s: a + math.log(s) if b else a),
         "this asks the scores where a sound is; `heard` says it"),
        (partial(_shared, change=_log_on_sound, whole=False),
         f"these are e to the scores: divide by their sum, so that {_SHARE}"),
        (lambda x, h, s: [_log_on_sound(a, b, s) for a, b in zip(x, h, strict=True)],
         f"these are scores; weights come from the softmax: {_SHARE}"),
        (lambda x, h, s: [w * sum(_powers(x, h, s)) for w in _powers(x, h, s)],
         "divide by the sum of all, not times it"),
        (lambda x, h, s: [w // sum(_powers(x, h, s)) for w in _powers(x, h, s)],
         "`//` leaves whole numbers; weights are shares: divide with `/`"),
        (lambda x, h, s: [w / max(_powers(x, h, s)) for w in _powers(x, h, s)],
         f"divide by the sum, not by the largest: {_SHARE}"),
        (lambda x, h, s: sum(w for w, b in zip(_shared(x, h, s, _log_on_sound), h, strict=True) if b),
         "this is the weight on all sounds; return the weight of every token"),
    ],
    inputs=lambda source: (
        [source.uniform(-3, 3) for _ in range(4)],
        [source.random() < 0.5 for _ in range(4)],
        source.choice([0.05, 0.2, 0.5, 0.9]),
    ),
    shows="at strength 0.25 two equal looks, one of them at sound, become 0.2 and 0.8",
)  # fmt: skip

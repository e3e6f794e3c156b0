"""Small exercises of notebook 00: the whole way from a film to an answer."""

from __future__ import annotations

import math

from omni_lab.check.steps.step import Step

uniform_loss = Step(
    right=math.log,
    cases=[(2,), (100,), (151_936,)],
    rule="each word has the probability 1 / size, and the loss is minus its natural logarithm",
    mistakes=[
        (
            lambda size: 1 / size,
            "this is the probability of each word; the loss is minus its natural logarithm",
        ),
        (
            lambda size: -math.log(size),
            "a loss is never below 0: the probability 1 / size is below 1, so its logarithm is "
            "negative, and minus that is positive",
        ),
        (
            lambda size: math.log2(size),
            "this is in bits, by the logarithm to base 2; a loss in nats takes the natural one",
        ),
        (
            lambda size: math.log10(size),
            "this takes the logarithm to base 10; a loss in nats takes the natural one, math.log",
        ),
        (lambda size: size, "this is the number of words, not the logarithm of it"),
        (
            lambda size: math.log(size - 1),
            "all words share the probability, the right one included: 1 / size each",
        ),
        (lambda size: math.log(size + 1), "one word too many: the probability is 1 / size each"),
        (
            lambda size: math.log(size) / size,
            "this weights one word's surprise by its probability; but it is always the right word "
            "that surprises, so the loss is its surprise alone",
        ),
    ],
    inputs=lambda source: (source.randrange(2, 10**6),),
    shows="a model that gives each of 100 words the same probability has the loss ln 100 = 4.61",
)

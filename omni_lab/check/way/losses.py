"""Losses without looking: an even guess over all words, and perfect manners with eyes shut (notebook 00)."""

from __future__ import annotations

import math
from statistics import fmean

from omni_lab.check.step import Step

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

manners_loss = Step(
    right=lambda possible, tokens: math.fsum(map(math.log, possible)) / tokens,
    cases=[([8], 4), ([8, 2], 9), ([100, 4, 8], 14), ([2], 4), ([4, 4], 8)],
    rule="each question costs the logarithm of its number of possible answers; add these up, and "
    "divide by all supervised tokens",
    mistakes=[
        (
            lambda possible, tokens: sum(map(math.log, possible)),
            "this is the surprise of all questions together; the loss is per supervised token, so "
            "divide by `tokens`",
        ),
        (
            lambda possible, tokens: fmean(map(math.log, possible)),
            "this is the surprise per question; the manners count too: divide by all supervised "
            "tokens, not by the questions",
        ),
        (
            lambda possible, tokens: sum(map(math.log, possible)) // tokens,
            "// drops the fraction, and nothing is left of the loss; divide with /",
        ),
        (
            lambda possible, tokens: sum(map(math.log, possible)) * tokens,
            "a loss per token divides by the tokens, it does not multiply",
        ),
        (
            lambda possible, tokens: tokens / math.fsum(map(math.log, possible)),
            "the fraction is upside down: surprise divided by tokens",
        ),
        (
            lambda possible, tokens: -sum(map(math.log, possible)) / tokens,
            "a loss is never below 0: minus the logarithm of 1 / n is plus the logarithm of n",
        ),
        (
            lambda possible, tokens: math.log(sum(possible)) / tokens,
            "take the logarithm of each question's n first, and add up then: surprises add, "
            "possibilities do not",
        ),
        (
            lambda possible, tokens: math.log(fmean(possible)) / tokens,
            "take the logarithm of each question's n: the mean of logarithms is not the logarithm "
            "of the mean",
        ),
        (
            lambda possible, tokens: sum(map(math.log2, possible)) / tokens,
            "this is in bits, by the logarithm to base 2; a loss in nats takes the natural one",
        ),
        (
            lambda possible, tokens: sum(map(math.log10, possible)) / tokens,
            "this takes the logarithm to base 10; a loss in nats takes the natural one, math.log",
        ),
        (
            lambda possible, tokens: sum(1 / n for n in possible) / tokens,
            "1 / n is the chance to guess a question right; what it costs is minus its logarithm",
        ),
        (
            lambda possible, tokens: sum(possible) / tokens,
            "n is the number of possible answers; what guessing among them costs is its logarithm",
        ),
        (
            lambda possible, tokens: math.log(tokens),
            "this guesses among all tokens; but manners are known, and only answers are guessed, each "
            "among its own possibilities",
        ),
        (
            lambda possible, tokens: len(possible) * math.log(76) / tokens,
            "this guesses among all 76 words; manners include that “Colour …?” wants a colour: "
            "each question has its own number of possible answers",
        ),
        (
            lambda possible, tokens: math.log(8) / 4,
            "this is the answer to the example; use what your function is given",
        ),
        (
            lambda possible, tokens: fmean(map(math.log, possible)) / tokens,
            "this averages over the questions first and then over the tokens: add the questions "
            "up, and divide once",
        ),
        (
            lambda possible, tokens: sum(map(math.log, possible)) / (tokens - len(possible)),
            "the answers are supervised, too: divide by all `tokens`",
        ),
        (
            lambda possible, tokens: math.log(possible[0]) / tokens,
            "this counts the first question only; add up all of them",
        ),
        (
            lambda possible, tokens: math.log(possible[-1]) / tokens,
            "this counts the last question only; add up all of them",
        ),
        (
            lambda possible, tokens: sum(map(math.log, possible)) / (tokens + len(possible)),
            "the answers are among the supervised tokens already: divide by `tokens` alone",
        ),
    ],
    inputs=lambda source: (
        [source.choice([2, 4, 8, 24, 100]) for _ in range(source.randrange(1, 5))],
        source.randrange(10, 50),
    ),
    shows="one question with 8 possible answers in 4 supervised tokens costs ln 8 / 4 = 0.52",
)

"""Small exercises of notebook 05 on mixtures: the total of a mixture, and when a fact is learned there."""

from __future__ import annotations

import math
import random
from functools import partial

from omni_lab.check.stopping import Stopping

_FACTS = ("colour", "word", "beeps", "sign", "position")


def _total(tokens, losses) -> float:
    """Total of a mixture, by the package's forecast without any practice."""
    import numpy as np

    from omni_lab.analysis.forecast import forecast
    from omni_lab.analysis.logs import Curve

    skills = {
        name: Curve(name, np.array([0.0, 1.0]), np.array([loss, loss]))
        for name, loss in losses.items()
        if tokens.get(name)
    }
    shares = {name: tokens[name] / sum(tokens.values()) for name in skills}
    return float(forecast(skills, shares, shares, np.array([0.0]), 0.0)["total"][0])


def _wrong(tokens, losses, up=lambda n, loss: n * loss, down=lambda t, l: sum(t.values())):  # noqa: E741
    """Total with one thing wrong: what is added up, or what it is divided by."""
    return sum(up(tokens[name], losses[name]) for name in tokens) / down(tokens, losses)


_SHARE = "a fact counts as often as its tokens occur: Σ tokens · loss / Σ tokens"
total_loss = Stopping(
    right=_total,
    cases=[
        ({"colour": 10, "word": 10}, {"colour": 2.0, "word": 3.0}),
        ({"colour": 30, "word": 10}, {"colour": 2.0, "word": 3.0}),
        ({"colour": 1, "sign": 2, "beeps": 5}, {"beeps": 1.4, "colour": 2.1, "sign": 2.3}),
        ({"colour": 30}, {"colour": 2.0, "word": 3.0}),
        ({"colour": 30, "word": 0}, {"colour": 0.5, "word": 3.0}),
    ],
    rule=_SHARE,
    mistakes=[
        (
            lambda tokens, losses: sum(losses.values()) / len(losses),
            f"a plain mean over facts, of which some are asked three times as often: {_SHARE}",
        ),
        (
            partial(_wrong, up=lambda n, loss: loss, down=lambda t, l: len(t)),  # noqa: E741
            f"a plain mean over facts, of which some are asked three times as often: {_SHARE}",
        ),
        (
            partial(_wrong, down=lambda t, l: 1),  # noqa: E741
            "nothing is divided: the total is a mean over all tokens, so divide by their number",
        ),
        (
            partial(_wrong, down=lambda t, l: 1 / sum(t.values())),  # noqa: E741
            "multiplied by the number of tokens: divide by it",
        ),
        (
            partial(_wrong, down=lambda t, l: len(t)),  # noqa: E741
            "divided by the number of facts: the mean is over tokens",
        ),
        (
            partial(_wrong, down=lambda t, l: sum(l.values())),  # noqa: E741
            "divided by the sum of the losses: the mean is over tokens, so divide by their number",
        ),
        (
            partial(_wrong, up=lambda n, loss: n / loss),
            "tokens are divided by losses: multiply each loss by the tokens that have it",
        ),
        (
            partial(_wrong, up=lambda n, loss: loss / n if n else math.inf),
            "losses are divided by tokens: multiply each loss by the tokens that have it",
        ),
        (
            partial(_wrong, up=lambda n, loss: n * n),
            "tokens are multiplied by themselves: take the fact's loss, `losses[fact]`",
        ),
        (
            partial(_wrong, up=lambda n, loss: loss * loss),
            "losses are multiplied by themselves: weigh each by the fact's tokens",
        ),
        (
            lambda tokens, losses: sum(tokens[n] * losses[n] for n in tokens) // sum(tokens.values()),
            "// drops what is left over: divide with /",
        ),
        (
            partial(_wrong, up=lambda n, loss: n),
            "these are the tokens alone: multiply each number by the fact's loss",
        ),
        (
            partial(_wrong, up=lambda n, loss: n + loss),
            "tokens and losses are added: multiply each loss by the tokens that have it",
        ),
    ],
    inputs=lambda source: _random_mixture(source),
    stops={
        "KeyError": "a fact that is not asked has no tokens: go over the facts in `tokens`, not over "
        "those in `losses`",
        "'dict' object is not callable": "a dict is read with brackets: losses[fact]",
    },
    shows="the same losses make another total, as soon as other things are asked",
)  # fmt: skip


def _random_mixture(source: random.Random) -> tuple:
    asked = source.sample(_FACTS, source.randrange(1, 5))
    return (
        {name: source.randrange(1, 50) for name in asked},
        {name: source.uniform(0.1, 4) for name in _FACTS},
    )


def _foretold(learned_at, here, there, gamma, ratio=lambda here, there: here / there) -> float:
    """Step at which a fact is learned elsewhere, where practice counts with exponent γ."""
    return learned_at * ratio(here, there) ** gamma if there else math.inf


def _unless_never(formula):
    """Mistake that is right about what is never asked."""

    def mistaken(learned_at, here, there, gamma):
        return formula(learned_at, here, there, gamma) if there else math.inf

    return mistaken


_UPSIDE = "upside down: what is asked *less* often there is learned *later*, so the factor is (here / there)"
foretold_step = Stopping(
    right=_foretold,
    cases=[
        (200.0, 0.1, 0.05, 1.0),
        (200.0, 0.1, 0.05, 0.0),
        (200.0, 0.1, 0.2, 1.0),
        (300.0, 0.02, 0.08, 0.5),
        (500.0, 0.04, 0.04, 0.8),
        (500.0, 0.04, 0.0, 0.8),
        (500.0, 0.04, 0.0, 0.0),
    ],
    rule="learned_at · (here / there) ^ γ; what is never asked there is never learned: math.inf",
    mistakes=[
        (_unless_never(lambda s, h, t, g: s * (t / h) ** g), _UPSIDE),
        (
            _unless_never(lambda s, h, t, g: s * h / t),
            "this takes γ = 1, where only practice counts: the ratio has the exponent γ",
        ),
        (
            _unless_never(lambda s, h, t, g: s * h / t * g),
            "γ is an exponent here, not a factor: (here / there) ** gamma",
        ),
        (
            _unless_never(lambda s, h, t, g: (s * h / t) ** g),
            "the exponent is on the ratio alone, not on the step",
        ),
        (
            _unless_never(lambda s, h, t, g: s / (h / t) ** g),
            _UPSIDE,
        ),
        (
            _unless_never(lambda s, h, t, g: s * (h * t) ** g),
            "the shares are multiplied: what counts is their ratio, here / there",
        ),
        (
            _unless_never(lambda s, h, t, g: s * (h // t) ** g),
            "// drops what is left over: divide with /",
        ),
        (
            _unless_never(lambda s, h, t, g: s * (h - t) ** g),
            "the shares are subtracted: what counts is their ratio, here / there",
        ),
        (
            _unless_never(lambda s, h, t, g: s + (h / t) ** g),
            "the factor is added: the step is multiplied by it",
        ),
        (
            _unless_never(lambda s, h, t, g: h * (h / t) ** g),
            "the step is missing: `learned_at` is multiplied by the ratio of the shares",
        ),
        (
            _unless_never(lambda s, h, t, g: s * (h / t) ** s),
            "the exponent is γ, not the step",
        ),
        (lambda s, h, t, g: s, "the same step again: more or less practice moves it by (here / there) ^ γ"),
        (_unless_never(lambda s, h, t, g: s), "the same step again: practice moves it by (here / there) ^ γ"),
        (
            lambda s, h, t, g: _foretold(s, h, t, g) if t else 0.0,
            "what is never asked is not learned at step 0: it is never learned, math.inf",
        ),
        (
            lambda s, h, t, g: _foretold(s, h, t, g) if t else (math.inf if g else s),
            "what is never asked is never learned, whatever γ is: math.inf",
        ),
        (
            lambda s, h, t, g: _foretold(s, h, t, g) if t else -math.inf,
            "the sign of infinity is wrong: never is +∞, math.inf",
        ),
        (
            lambda s, h, t, g: math.inf,
            "this says never of everything: only what has no share there is never learned",
        ),
    ],
    inputs=lambda source: (
        float(source.randrange(20, 900)), source.choice([0.01, 0.04, 0.09]),
        source.choice([0.0, 0.02, 0.04, 0.1]), source.choice([0.0, 0.3, 1.0, 1.4]),
    ),
    stops={
        "ZeroDivisionError": "a fact without a share there is never asked, and never learned: "
        "return math.inf before you divide",
        "0.0 cannot be raised to a negative power": "a fact without a share there is never asked: "
        "return math.inf before you divide",
    },
    shows="γ = 0: only the step counts; γ = 1: only how often it was practised",
)  # fmt: skip

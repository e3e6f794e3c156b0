"""Learning rate over a stage: warmup, then WSD, a cosine or a constant (notebook 04)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from omni_lab.check.step import Step


def _rate(step: int, steps: int, schedule: str, warmup: int, decay: float) -> float:
    """Factor of the learning rate, by the package's own schedule."""
    from omni_lab.config import StageConfig
    from omni_lab.training.rules.schedules import learning_rate_factor

    stage = StageConfig(steps=steps, schedule=schedule, decay_fraction=decay)
    return learning_rate_factor(step, stage, warmup)


def _scheduled(
    up: Callable = lambda s, n, w, d: (s + 1) / w,
    wsd: Callable = lambda s, n, w, d: (n - s) / (n * d),
    cosine: Callable = lambda s, n, w, d: (1 + math.cos(math.pi * s / n)) / 2,
    constant: Callable = lambda s, n, w, d: 1.0,
    joined: Callable = lambda up, down: min(1.0, up, max(0.02, down)),
) -> Callable:
    """Mistake in one line of the schedules."""

    def rate(step, steps, schedule, warmup, decay):
        own = {"wsd": wsd, "cosine": cosine, "constant": constant}[schedule]
        given = step, steps, warmup, decay
        return joined(up(*given), own(*given))

    return rate


def _steps(source: random.Random) -> tuple:
    steps, schedule = source.randrange(20, 200), source.choice(["wsd", "cosine", "constant"])
    step, decay = source.randrange(steps), source.choice([0.2, 0.35, 0.5, 0.8, 1.0])
    return step, steps, schedule, source.randrange(1, 30), decay


def _dips(step: int, steps: int, warmup: int, decay: float) -> float:
    return math.cos(math.pi * step / steps / 2)


rate = Step(
    right=_rate,
    cases=[
        (0, 100, "wsd", 10, 0.5), (9, 100, "wsd", 10, 0.5), (60, 100, "wsd", 10, 0.5),
        (99, 100, "wsd", 10, 0.5), (4, 100, "cosine", 8, 0.5), (50, 100, "cosine", 8, 0.5),
        (99, 100, "cosine", 8, 0.5), (70, 200, "cosine", 8, 0.25), (50, 100, "constant", 8, 0.5),
        (99, 100, "constant", 8, 0.5), (2, 50, "constant", 20, 1.0), (30, 40, "wsd", 1, 0.35),
        (10, 80, "wsd", 20, 1.0), (179, 200, "wsd", 5, 0.2), (30, 100, "wsd", 10, 0.5),
        (0, 200, "cosine", 100, 0.5),
    ],
    rule="up: (step + 1) / warmup; down: 1, or (steps − step) / (steps · decay), or half a cosine "
    "from 1 to 0; the smallest of 1, up, and down with its floor of 0.02",
    mistakes=[
        (
            _scheduled(joined=lambda up, down: min(1.0, max(0.02, down))),
            "the warmup is missing, or over at once: up is (step + 1) / warmup, so that the "
            "rate rises from nearly 0",
        ),
        (
            _scheduled(up=lambda s, n, w, d: s / w),
            "the first step would move nothing: (step + 1) / warmup",
        ),
        (
            _scheduled(up=lambda s, n, w, d: (s - 1) / w),
            "the first step would go uphill: (step + 1) / warmup",
        ),
        (
            _scheduled(up=lambda s, n, w, d: (s + 2) / w),
            "the warmup is one step ahead: (step + 1) / warmup",
        ),
        (_scheduled(up=lambda s, n, w, d: (s + 1) // w), "the rise is a fraction: /, not //"),
        (
            _scheduled(wsd=lambda s, n, w, d: (n - s) / n),
            "this falls all the time: WSD stays first, and falls over the last steps · decay",
        ),
        (
            _scheduled(wsd=lambda s, n, w, d: 1 - s / n),
            "this falls all the time: WSD stays first, and falls over the last steps · decay",
        ),
        (
            _scheduled(wsd=lambda s, n, w, d: 1.0),
            "WSD never falls: the steps that are left are steps − step, divided by (steps · "
            "decay)",
        ),
        (
            _scheduled(wsd=lambda s, n, w, d: s / (n * d)),
            "WSD falls at the end, as the steps that are *left* do: steps − step",
        ),
        (
            _scheduled(wsd=lambda s, n, w, d: (s - s) / (n * d)),
            "the steps that are left are steps − step",
        ),
        (_scheduled(wsd=lambda s, n, w, d: 0.0), "the steps that are left are steps − step"),
        (
            _scheduled(wsd=lambda s, n, w, d: (n - s) / n * d),
            "the fall takes steps · decay steps: divide by (steps · decay), in brackets",
        ),
        (
            _scheduled(wsd=lambda s, n, w, d: (n - s) // (n * d)),
            "the fall is a straight line: /, not //",
        ),
        (
            _scheduled(wsd=lambda s, n, w, d: (n - s) / (s * d) if s else 9.0),
            "the fall takes steps · decay steps: of *all* steps",
        ),
        (
            _scheduled(cosine=_dips),
            "this is a quarter of a cosine wave; half a wave, from 1 to −1, is moved up and "
            "halved",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: math.cos(math.pi * s / n)),
            "a cosine falls to −1: (1 + cos) / 2 falls from 1 to 0",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: 1 + math.cos(math.pi * s / n)),
            "this begins above 1 and falls too late: (1 + cos) / 2 falls from 1 to 0",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (1 - math.cos(math.pi * s / n)) / 2),
            "the cosine rises: 1 + cos, not 1 − cos",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (1 + math.cos(2 * math.pi * s / n)) / 2),
            "a whole wave comes up again: π over the stage, not 2π",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (2 + math.cos(math.pi * s / n)) / 2),
            "(1 + cos) / 2 falls from 1 to 0: you begin higher",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (0 + math.cos(math.pi * s / n)) / 2),
            "(1 + cos) / 2 falls from 1 to 0: you begin lower",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (1 + math.cos(math.pi * s / n)) / 3),
            "half of 1 + cos, not a third",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (1 + math.cos(math.pi * s / n)) // 2),
            "the rate is at its floor at once: (1 + cos) / 2, with step / steps in the cosine, "
            "and no //",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (1 + math.cos(math.pi * (s // n))) / 2),
            "the cosine never falls: π times the fraction of the stage, step / steps",
        ),
        (
            _scheduled(cosine=lambda s, n, *_: (1 + math.cos(math.pi * s // n)) / 2),
            "the wave goes with the fraction of the stage: /, not //",
        ),
        (
            _scheduled(cosine=lambda s, n, w, d: (1 + math.cos(math.pi * s / w)) / 2),
            "the cosine falls over all of the stage: step / steps",
        ),
        (
            _scheduled(constant=lambda s, n, w, d: (1 + math.cos(math.pi * s / n)) / 2),
            "`constant` stays where the warmup left it",
        ),
        (
            _scheduled(constant=lambda s, n, w, d: (n - s) / (n * d)),
            "`constant` stays where the warmup left it",
        ),
        (_scheduled(constant=lambda *_: 0.0), "`constant` stays at 1, not at 0"),
        (
            _scheduled(
                wsd=lambda s, n, w, d: (1 + math.cos(math.pi * s / n)) / 2,
                cosine=lambda s, n, w, d: (n - s) / (n * d),
            ),
            "WSD and cosine have changed places",
        ),
        (
            _scheduled(
                constant=lambda s, n, w, d: (n - s) / (n * d),
                wsd=lambda s, n, *_: (1 + math.cos(math.pi * s / n)) / 2,
                cosine=lambda *_: 1.0,
            ),
            "the schedules have changed places: look at the name again",
        ),
        (
            _scheduled(
                constant=lambda s, n, w, d: (n - s) / (n * d),
                wsd=lambda *_: 1.0,
                cosine=lambda s, n, w, d: (n - s) / (n * d),
            ),
            "WSD and cosine have the wrong lines: look at the tests of the name",
        ),
        (
            _scheduled(wsd=lambda *_: 1.0, cosine=lambda s, n, w, d: (n - s) / (n * d)),
            "the line of WSD is run for the cosine: compare with the other name",
        ),
        (
            _scheduled(
                wsd=lambda *_: 1.0, cosine=lambda *_: 1.0,
                constant=lambda s, n, *_: (1 + math.cos(math.pi * s / n)) / 2,
            ),
            "nothing is compared with the name of the schedule",
        ),
        (
            _scheduled(
                cosine=lambda *_: 1.0,
                constant=lambda s, n, *_: (1 + math.cos(math.pi * s / n)) / 2,
            ),
            "the test for the cosine is the wrong way round",
        ),
        (
            _scheduled(
                wsd=lambda s, n, *_: (1 + math.cos(math.pi * s / n)) / 2,
                cosine=lambda *_: 1.0,
            ),
            "the line of the cosine is run for WSD: compare with the other name",
        ),
        (
            _scheduled(joined=lambda up, down: min(1.0, up, down)),
            "the floor is missing: the rate never falls below 0.02",
        ),
        (
            _scheduled(joined=lambda up, down: min(1.0, up, min(0.02, down))),
            "max keeps the rate from falling below its floor",
        ),
        (
            _scheduled(joined=lambda up, down: max(1.0, up, max(0.02, down))),
            "the *smallest* of the three: while the rise is on, it decides",
        ),
        (
            _scheduled(joined=lambda up, down: min(2.0, up, max(0.02, down))),
            "the factor is 1 at most",
        ),
        (
            _scheduled(joined=lambda up, down: min(0.0, up, max(0.02, down))),
            "the factor is 1 at most, and not 0",
        ),
        (
            _scheduled(joined=lambda up, down: up * max(0.02, min(1.0, down)) if up < 1 else max(0.02, min(1.0, down))),
            "rise and fall are not multiplied: the smaller of the two counts",
        ),
        (
            _scheduled(joined=lambda up, down: max(0.02, min(1.0, up, down))),
            "the floor is that of the fall; the rise begins below it",
        ),
    ],
    inputs=_steps,
    shows="16 steps of three schedules",
)  # fmt: skip

"""Curriculum: when a phase of a stage ends, by competence or at its cap (notebook 04)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.step import Step

_STEPS = 1024  # a power of two, so that a cap as a fraction of it is exact


def _phase_ends(losses: list, below: float, cap: int) -> int:
    """Step after which the package's own curriculum leaves its first phase."""
    from omni_lab.config import PhaseConfig, StageConfig
    from omni_lab.training.rules.curriculum import Curriculum

    first = PhaseConfig("first", until="loss", below=below, cap=cap / _STEPS)
    curriculum = Curriculum(StageConfig(steps=_STEPS, phases=(first, PhaseConfig("second"))))
    for step, loss in enumerate(losses):
        figures = {} if loss is None else {"loss": float(loss)}
        if "ended" in curriculum.observe(figures, step)["phase"]:
            return step
    raise AssertionError("the cap lies within the losses")


def _ends(
    few: int = 10,
    keep: float = 0.9,
    late: int = 0,
    seen_by: str = "values",
    low: Callable[[float, float], bool] = lambda mean, below: mean < below,
    begin: float | None = None,
    mixed: Callable[[float, float], float] | None = None,
    capped: bool = True,
    competent: bool = True,
    both: bool = False,
) -> Callable:
    """Mistake that ends a phase by another rule."""

    def plain(mean, loss):
        return keep * mean + (1 - keep) * loss

    def phase_ends(losses, below, cap):
        mean, seen = begin, 0
        for step, loss in enumerate(losses):
            if loss is not None:
                mean = loss if mean is None else (mixed or plain)(mean, loss)
            seen += 1 if loss is not None or seen_by == "steps" else 0
            fallen = competent and mean is not None and seen >= few and low(mean, below)
            over = capped and step + 1 >= cap + late
            if (fallen and over) if both else (fallen or over):
                return step
        return len(losses)

    return phase_ends


def _single(few: int) -> Callable:
    """Mistake that asks single losses instead of their running mean."""

    def phase_ends(losses, below, cap):
        for step, loss in enumerate(losses):
            if (loss is not None and step >= few - 1 and loss < below) or step + 1 >= cap:
                return step
        return len(losses)

    return phase_ends


def _falling(source: random.Random) -> tuple:
    count = source.randrange(20, 60)
    factor, first = source.uniform(0.85, 1.0), source.uniform(1.0, 4.0)
    losses = [
        None if source.random() < 0.2 else round(first * factor**step * source.uniform(0.8, 1.2), 3)
        for step in range(count)
    ]
    return losses, round(source.uniform(0.3, 2.5), 2), source.randrange(5, count)


_NOISY = [3.0, 2.4, 2.0, 0.6, 1.9, 1.4, 1.3, 0.5, 1.1, 1.0, 0.4, 1.2, 1.1, 0.9, 1.0, 0.8, 1.0, 0.9]
phase_ends = Step(
    right=_phase_ends,
    cases=[
        ([*_NOISY, *[0.8] * 20], 1.2, 36),
        ([0.2] * 30, 1.0, 25),
        ([3.0] * 30, 1.0, 21),
        ([0.5 if at % 3 == 0 else None for at in range(60)], 1.0, 55),
        ([3.0 - 0.1 * at for at in range(30)], 1.5, 30),
        ([2.0] * 3 + [0.1] * 30, 0.35, 30),
        ([0.2] * 30, 1.0, 7),
        ([None] * 12 + [0.5] * 30, 0.5, 34),
        ([*[1.0] * 10, *[0.0] * 30], 0.9, 39),
    ],
    rule="running mean 0.9 · before + 0.1 · loss; the phase ends where at least 10 values were seen "
    "and the mean is below, or at the cap at the latest",
    mistakes=[
        (_single(10), "one good step is no competence: ask the running mean, not the loss itself"),
        (_single(1), "one good step is no competence: ask the running mean, not the loss itself"),
        (_ends(few=0), "a few values are not enough: wait until 10 were seen"),
        (_ends(few=1), "a few values are not enough: wait until 10 were seen"),
        (_ends(few=11), "`seen >= 10`: ten values are enough, you wait for one more"),
        (_ends(few=9), "wait until 10 values were seen: you stop after nine"),
        (_ends(few=5), "wait until 10 values were seen: you count each one twice"),
        (
            lambda losses, below, cap: 0,
            "the phase ends at once: it ends at the *latest* when cap steps are done",
        ),
        (
            _ends(mixed=lambda mean, loss: 0.9 * mean - 0.1 * loss),
            "the new loss is added to the mean, not taken away",
        ),
        (
            _ends(mixed=lambda mean, loss: 0.9 / mean + 0.1 * loss if mean else 0.1 * loss),
            "0.9 *times* the mean before",
        ),
        (
            _ends(mixed=lambda mean, loss: 0.9 * mean + 0.1 / loss if loss else mean),
            "0.1 *times* the new loss",
        ),
        (_ends(seen_by="steps"), "a step without a value is no evidence: count values, not steps"),
        (_ends(capped=False), "a skill may never come: the phase ends at its cap at the latest"),
        (
            _ends(competent=False),
            "the phase ends sooner where the skill is there: look at the running mean",
        ),
        (
            _ends(both=True),
            "competence *or* the cap, not both: the cap is for the skill that never comes",
        ),
        (
            _ends(late=1),
            "the cap counts steps, and steps are numbered from 0: after step cap − 1 there "
            "were cap",
        ),
        (
            _ends(late=-1),
            "you stop one step before the cap: after step cap − 1 there were cap steps",
        ),
        (
            _ends(late=2),
            "you stop after the cap: after step cap − 1 there were cap steps, so `step + 1 >= "
            "cap`",
        ),
        (
            _ends(keep=0.1),
            "old and new have changed places: 0.9 of the mean before, 0.1 of the new loss",
        ),
        (
            _ends(begin=0.0),
            "the mean begins at 0, as if the skill were there: begin with the first value",
        ),
        (_ends(begin=1.0), "the mean begins at 1: begin with the first value"),
        (
            _ends(low=lambda mean, below: mean > below),
            "a loss is good where it is *low*: the phase ends below the bar",
        ),
        (
            _ends(low=lambda mean, below: True),
            "ten values alone end nothing: the mean has to be below the bar",
        ),
        (
            lambda losses, below, cap: _phase_ends(losses, below, cap) + 1,
            "this is the step at which the next phase begins; asked is the last step of this one",
        ),
    ],
    inputs=_falling,
    shows="a skill that comes ends the phase, and one that never comes does not hold it up",
)  # fmt: skip

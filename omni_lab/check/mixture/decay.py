"""Learning rate of a decay branch, which leaves a trunk of constant rate (notebook 11)."""

from __future__ import annotations

import random

from omni_lab.check.stopping import Stopping


def _rate(step, left, extra) -> float:
    """The package's own schedule of a branch."""
    from omni_lab.config import StageConfig
    from omni_lab.training.rules.schedules import learning_rate_factor

    stage = StageConfig(
        steps=left + extra, schedule="wsd", decay_steps=extra, decay_shape="linear", decay_floor=0.0
    )
    return learning_rate_factor(step, stage, 1)


def _as(formula, before=1.0):
    """Mistake in the part after the trunk, or before it."""
    return lambda step, left, extra: before if step < left else formula(step, left, extra)


def _drawn(source: random.Random) -> tuple:
    left, extra = source.randrange(5, 60), source.randrange(2, 30)
    return source.randrange(left + extra), left, extra


_RULE = "1 up to the step where the trunk is left, then (left + extra − step) / extra"
branch_rate = Stopping(
    right=_rate,
    cases=[
        (0, 10, 5), (9, 10, 5), (10, 10, 5), (12, 10, 5), (14, 10, 5), (40, 40, 4), (43, 40, 4),
        (30, 20, 40), (5, 3, 10),
    ],
    rule=_RULE,
    mistakes=[
        (
            lambda step, left, extra: (left + extra - step) / extra,
            "before the trunk is left the rate is 1: at most 1",
        ),
        (
            lambda step, left, extra: (left + extra - step) / (left + extra),
            "the rate falls from the first step on: in the trunk it stays at 1",
        ),
        (
            _as(lambda step, left, extra: (left + extra - step) / (left + extra)),
            "the fall is over the `extra` steps of the branch, not over all of them",
        ),
        (
            _as(lambda step, left, extra: (left + extra - step) / left),
            "the fall is over the `extra` steps of the branch, not over those of the trunk",
        ),
        (
            _as(lambda step, left, extra: (step - left) / extra),
            "upside down: this rises from 0; it falls from 1",
        ),
        (
            _as(lambda step, left, extra: (left + extra - step - 1) / extra),
            "off by one: the branch's first step still has the full rate",
        ),
        (
            _as(lambda step, left, extra: (left + extra - step + 1) / extra),
            "off by one: the branch's first step has the full rate, and no more",
        ),
        (_as(lambda step, left, extra: 1.0), "the rate never falls: from `left` on it does"),
        (_as(lambda step, left, extra: 0.0), "the rate is 0 at once: it falls over `extra` steps"),
        (_as(lambda step, left, extra: left + extra - step), "not divided: the rate is a factor from 1 to 0"),
        (
            _as(lambda step, left, extra: (left + extra - step) // extra),
            "// drops what is left over: divide with /",
        ),
        (
            _as(lambda step, left, extra: (left + extra - step) * extra),
            "multiplied by `extra`: divide by it",
        ),
        (
            _as(lambda step, left, extra: (extra - step) / extra),
            "`step` counts from the trunk's beginning: left + extra − step are still to come",
        ),
        (
            _as(lambda step, left, extra: (left - step) / extra),
            "left + extra − step are still to come: `extra` is missing",
        ),
        (
            _as(lambda step, left, extra: (left - extra - step) / extra),
            "a sign: left *plus* extra − step are still to come",
        ),
        (
            _as(lambda step, left, extra: (left + extra + step) / extra),
            "a sign: left + extra *minus* step are still to come",
        ),
        (
            lambda step, left, extra: 1.0 if step <= left + extra else 0.0,
            "the rate never falls: from `left` on it does",
        ),
        (
            _as(lambda step, left, extra: (left + extra - step) / extra, before=0.0),
            "in the trunk the rate is 1, not 0",
        ),
        (
            lambda step, left, extra: 1.0 if step > left else (left + extra - step) / extra,
            "trunk and branch have changed places: the rate is 1 *before* `left`",
        ),
        (
            lambda step, left, extra: 1.0 if step >= left else (left + extra - step) / extra,
            "trunk and branch have changed places: the rate is 1 *before* `left`",
        ),
        (
            lambda step, left, extra: 1.0 if step < extra else (left + extra - step) / extra,
            "the trunk is left at step `left`, not at `extra`",
        ),
        (
            lambda step, left, extra: 1.0 if left < step else (left + extra - step) / extra,
            "trunk and branch have changed places: the rate is 1 *before* `left`",
        ),
        *(
            (_as(lambda step, left, extra, off=off: off(step, left, extra) / extra), f"a mix-up: {_RULE}")
            for off in (
                lambda s, a, b: a + a - s, lambda s, a, b: b + b - s, lambda s, a, b: a + s - s,
                lambda s, a, b: a * b - s,
            )
        ),
        *(
            (lambda step, left, extra, off=off: min(1.0, off(step, left, extra) / extra), f"a mix-up: {_RULE}")
            for off in (
                lambda s, a, b: a - b - s, lambda s, a, b: b + b - s, lambda s, a, b: a + a - s,
                lambda s, a, b: a + s - s,
                lambda s, a, b: a - s, lambda s, a, b: b - s,
            )
        ),
        *(
            (lambda step, left, extra, one=one: min(one, (left + extra - step) / extra), "the trunk's rate is 1")
            for one in (0.0, 2.0, -1.0, 0.5)
        ),
        *(
            (_as(lambda step, left, extra: (left + extra - step) / extra, before=one), "the trunk's rate is 1")
            for one in (2.0, -1.0)
        ),
    ],
    inputs=_drawn,
    stops={"division by zero": "divide by `extra`, the number of the branch's steps"},
    shows="the trunk does not know that branches leave it",
)  # fmt: skip

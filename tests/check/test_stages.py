"""Exercises of notebook 04: the mistakes that the round is about are told apart by name."""

import math

import pytest

from omni_lab import check
from omni_lab.check.answers import stages


def of_all_parts(steps, limit, every, factor):
    """Clipping with one norm over the whole model."""
    out = []
    for step in steps:
        norm = math.hypot(*(one for gradient in step.values() for one in gradient))
        scale = min(1, limit / norm)
        out.append({part: [one * scale for one in own] for part, own in step.items()})
    return out


def by_single_losses(losses, below, cap):
    for step, loss in enumerate(losses):
        if (loss is not None and loss < below) or step + 1 >= cap:
            return step
    return None


@pytest.mark.parametrize(
    ("step", "attempt", "part"),
    [
        ("moving", lambda names, train, rates: names, "every weight moves"),
        ("by_fact", lambda processes: {}, "right is"),
        ("factors", lambda first, now, strength, most: dict.fromkeys(now, 1.0), "comes out as 1"),
        ("adamw", lambda gradients, lr: [-lr * g for g in gradients], "plain gradient descent"),
        ("adamw", lambda gradients, lr: [-lr] * len(gradients), "right is"),
        ("rate", lambda step, steps, *_: 1 - step / steps, "right is"),
        ("clipped", lambda steps, *_: steps, "nothing is clipped"),
        ("clipped", of_all_parts, "shrinks the sound"),
        ("phase_ends", by_single_losses, "no competence"),
    ],
)
def test_a_wrong_idea_is_refused_and_told_what_is_right(step, attempt, part):
    verdict = getattr(check.stages, step)(attempt)
    assert verdict.right is False and part in verdict.message


def test_a_spike_that_shrinks_the_other_parts_is_named():
    def together(steps, limit, every, factor):
        whole = [{"all": [one for own in step.values() for one in own]} for step in steps]
        done = stages.clipped(whole, limit, every, factor)
        found = []
        for step, own in zip(steps, done, strict=True):
            left = iter(own["all"])
            found.append({part: [next(left) for _ in one] for part, one in step.items()})
        return found

    assert "a spike in the picture then shrinks the sound" in check.stages.clipped(together).message


def test_an_attempt_may_not_change_the_gradients_it_is_given():
    def in_place(steps, limit, every, factor):
        for step in steps:
            for gradient in step.values():
                gradient[0] = 0.0
        return steps

    assert "changes what it is given" in check.stages.clipped(in_place).message

"""Diagnostic power of every checker, on mistakes that a machine makes, and on right answers in other styles."""

import pytest

from omni_lab import check
from omni_lab.check.diagnosis import EXERCISES, Exercise, power
from omni_lab.check.diagnosis.course import SMALL
from omni_lab.check.diagnosis.mutants import mutants
from omni_lab.check.step import Step


@pytest.mark.parametrize("name", EXERCISES)
def test_no_mistake_passes_most_are_named_and_no_right_answer_is_refused(name):
    found = power(EXERCISES[name])
    assert found.wrong >= (3 if isinstance(EXERCISES[name].checker, Step) else 10)
    assert not found.passed
    assert not found.refused
    assert found.named >= 0.9, found.misnamed


def test_every_checker_is_measured():
    measured = {exercise.checker for exercise in EXERCISES.values()}
    public = [getattr(check, name) for name in check.__all__]
    small = [step for steps, _ in SMALL.values() for step in vars(steps).values()]
    assert measured == {
        *(one for one in public if (one.__doc__ or "").startswith("Checker of")),
        *(step for step in small if isinstance(step, Step)),
    }


def double(numbers):
    return [2 * number for number in numbers]  #: factor


def test_a_checker_that_passes_or_misnames_a_mistake_is_found_out():
    def kind(attempt):
        return check.Verdict(True, "right: whatever it is")

    def vague(attempt):
        same = attempt([1, 2]) == [2, 4]
        return check.Verdict(same, "right" if same else "something is wrong")

    def strict(attempt):
        return check.Verdict(False, "the factor is wrong")

    def measured(checker):
        inputs = lambda source: ([source.random() for _ in range(3)],)  # noqa: E731
        return power(Exercise(checker, (double,), inputs, {"factor": ("the factor",)}))

    assert len(measured(kind).passed) == measured(kind).wrong == 4
    assert measured(vague).named == 0
    assert measured(strict).named == 1
    assert measured(strict).refused == ["double: the factor is wrong"]


def test_mutants_change_one_thing_each():
    source = "def f(low, high):\n    return max(low, 0) if low < high and not high == 1 else -high"
    changes = [mutant.change for mutant in mutants(source)]
    for change in (
        "max(low, 0) → max(0, low)", "max → min", "low < high → low <= high", "0 → 1", "low → high",
        "low < high and (not high == 1) → low < high or not high == 1", "-high → high",
        "not high == 1 → high == 1",
    ):  # fmt: skip
        assert change in changes
    assert len({mutant.source for mutant in mutants(source)}) == len(changes)

"""Small exercises: what an attempt computes decides, and every catalogued mistake is named."""

import math
import random

import numpy as np
import pytest
import torch

from omni_lab import check
from omni_lab.check.diagnosis.course import SMALL
from omni_lab.check.guess import guess
from omni_lab.check.step import Step, in_common, plain

STEPS = {
    f"{notebook} {name}": step
    for notebook, (steps, _) in SMALL.items()
    for name, step in vars(steps).items()
    if isinstance(step, Step)
}
double = Step(
    right=lambda numbers: [2 * number for number in numbers],
    cases=[([1, 2, 3],), ([0.5],), ([],)],
    rule="twice each number",
    mistakes=[(lambda numbers: numbers, "this is what was given")],
    inputs=lambda source: ([source.random() for _ in range(3)],),
    shows="three numbers doubled",
)


@pytest.mark.parametrize("name", STEPS)
def test_every_catalogued_mistake_is_refused_with_its_own_reason(name):
    step = STEPS[name]
    assert step(step.right).right
    for mistake, why in step.mistakes:
        verdict = step(mistake)
        assert verdict.right is False
        assert verdict.message == why


@pytest.mark.parametrize("name", STEPS)
def test_random_inputs_of_an_exercise_suit_its_right_answer(name):
    inputs = [STEPS[name].inputs(random.Random(seed)) for seed in range(10)]
    answers = {repr(plain(STEPS[name].right(*given))) for given in inputs}
    assert len(answers) > 1, "one answer for all would tell no mistake from it"


def test_every_small_exercise_has_right_answers_in_three_styles():
    for notebook, (steps, answers) in SMALL.items():
        names = {name for name, step in vars(steps).items() if isinstance(step, Step)}
        assert names == answers.ANSWERS.keys(), notebook
        assert all(len(set(found)) >= 3 for found in answers.ANSWERS.values())


@pytest.mark.parametrize(
    "attempt",
    [
        lambda numbers: [2 * n for n in numbers],
        lambda numbers: tuple(n + n for n in numbers),
        lambda numbers: 2 * np.array(numbers),
        lambda numbers: 2 * torch.tensor(numbers, dtype=torch.float64),
        lambda numbers: (2 * n for n in numbers),
        lambda numbers: map(float.__add__, map(float, numbers), map(float, numbers)),
    ],
)
def test_a_right_answer_may_come_in_any_type(attempt):
    assert repr(double(attempt)) == "✓ right: three numbers doubled"


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda numbers: numbers, "this is what was given"),
        (
            lambda numbers: [2 * n for n in numbers][::-1],
            "every list is in the reverse order: twice",
        ),
        (lambda numbers: [2 * n for n in numbers] + [0], "lists come out too long: twice"),
        (lambda numbers: sum(numbers), "it returns a number, where a list is asked for"),
        (
            lambda numbers: [n**2 for n in numbers],
            "for ([1, 2, 3]) it gives [1, 4, 9], and right is",
        ),
        (lambda numbers: numbers.append(1) or numbers, "your function changes what it is given"),
        (lambda numbers: numbers[7], "your function stopped with IndexError"),
        (lambda numbers: None, "your function returns None"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(attempt, message):
    verdict = double(attempt)
    assert verdict.right is False
    assert verdict.message.startswith(message)


def test_the_place_that_differs_is_named_where_long_lists_look_alike():
    long = [list(range(20))]
    step = Step(lambda given: given, [tuple(long)], "as given", [], lambda source: tuple(long))
    verdict = step(lambda given: [*given[:-1], 0])
    assert "…], and right is [0, 1," in verdict.message
    assert verdict.message.endswith("…]; place 19 differs first: as given")


def test_what_is_not_filled_in_is_not_attempted():
    def unfilled(numbers):
        raise NotImplementedError

    assert double(unfilled) is double(lambda numbers: ...) is check.NOT_YET


def test_what_wrong_answers_have_in_common_has_a_name_only_where_it_is_true_of_all():
    assert in_common([3, 6], [1, 2]) == "every answer is 3 times the right one"
    assert in_common([-1, -2.5], [1, 2.5]) == "every answer has the wrong sign"
    assert in_common([0.5, 1.5], [1, 2]) == "every answer is 0.5 too small"
    assert in_common([3, 5], [1, 2]) is None
    assert in_common([[True, False]], [[False, True]]) == "every list is in the reverse order"
    assert in_common([[True, True, False]], [[False, False, True]]).startswith("every True is")
    assert in_common([["b", "a", "c"]], [["a", "b", "c"]]) == "the right things, in the wrong order"
    assert in_common([float("nan"), 1], [1, 2]) is None
    assert in_common([0.0, 1.0], [-math.inf, 2.0]) is None


@pytest.mark.parametrize(
    ("mine", "true", "more", "shown"),
    [
        (None, 24, {}, "○ no guess: it is 24"),
        (24, 24.0, {"unit": "pictures"}, "✓ you guessed 24: it is 24 pictures"),
        (288, 24, {"why": {288: "all of them"}}, "✗ you guessed 288, it is 24: all of them"),
        (20, 24, {"why": {288: "all of them"}}, "✗ you guessed 20, it is 24"),
        (0.97, 1.0, {"within": 0.05}, "✓ you guessed 0.97: it is 1"),
        ("Blue ", "blue", {}, "✓ you guessed Blue : it is blue"),
        ((1, "red"), (1, "blue"), {"why": {(1, "red"): "no"}}, "✗ you guessed 1, red, it is 1, blue: no"),
        ("many", 3, {}, "✗ you guessed many, it is 3"),
        ([1, 2], 3, {}, "✗ you guessed 1, 2, it is 3"),
        ([], 3, {}, "✗ you guessed nothing at all, it is 3"),
        (True, False, {}, "✗ you guessed True, it is False"),
        (1234567, 1234567, {}, "✓ you guessed 1,234,567: it is 1,234,567"),
    ],
)  # fmt: skip
def test_a_guess_is_answered_with_the_truth_and_a_usual_wrong_one_with_its_reason(
    mine, true, more, shown
):
    assert repr(guess(mine, true, **more)) == shown

"""The checkers of the exercises: the right answer passes, and every usual mistake is named for what it is."""

import numpy as np
import pytest

from omni_lab import check
from omni_lab.check import NOT_YET


def solution(tokens, roles):
    return [token in ("<listen>", "<speak>") or role == "guide" for token, role in zip(tokens, roles, strict=True)]


def but(*changed, value):
    """The solution, with tokens of these words or roles marked `value` instead."""

    def attempt(tokens, roles):
        rows = zip(tokens, roles, solution(tokens, roles), strict=True)
        return [value if token in changed or role in changed else right for token, role, right in rows]

    return attempt


def forgets_the_second_listen(tokens, roles):
    mask = solution(tokens, roles)
    return [right and not (t == "<listen>" and i and roles[i - 1]) for i, (t, right) in enumerate(zip(tokens, mask))]  # noqa: B905


def test_the_right_mask_passes_in_whatever_kind_of_list_it_comes():
    for attempt in (solution, lambda *given: tuple(solution(*given)), lambda *given: np.array(solution(*given))):
        verdict = check.loss_mask(attempt)
        assert verdict.right is True
        assert repr(verdict).startswith("✓ right: of a second with 17 tokens, 4 are learned")


def unfilled(tokens, roles):
    raise NotImplementedError


@pytest.mark.parametrize("attempt", [unfilled, lambda *given: None, lambda *given: ...])
def test_what_nobody_has_filled_in_is_not_attempted_and_not_wrong(attempt):
    assert check.loss_mask(attempt) == NOT_YET
    assert repr(NOT_YET).startswith("○ not attempted yet")


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (lambda tokens, roles: [True] * len(tokens), "everything is supervised"),
        (lambda tokens, roles: [False] * len(tokens), "nothing is supervised"),
        (lambda *given: [not v for v in solution(*given)], "the other way round"),
        (lambda *given: [*solution(*given)[1:], False], "one place too early"),
        (but("visitor", value=True), "place 12, 'where', is supervised, but these words are the visitor's"),
        (but("<visitor>", value=True), "announces that the visitor speaks"),
        (but("<image>", value=True), "an image token stands for what is seen"),
        (but("<audio>", value=True), "an audio token stands for what is heard"),
        (but("<unit>", value=True), "the clock's tick"),
        (but("<listen>", value=False), "'<listen>', is not supervised, but the model has to learn to be silent"),
        (forgets_the_second_listen, "is not supervised (1 of 2 times), but the model has to learn to be silent"),
        (but("<speak>", value=False), "when it is its turn"),
        (but("guide", value=False), "it learns no answer"),
        (lambda *given: solution(*given)[1:], "17 were given, 16 came back"),
        (lambda *given: True, "this is a bool"),
        (lambda *given: ["yes"] * len(given[0]), "'yes' is neither"),
        (lambda tokens, roles: roles["guide"], "stopped with TypeError"),
    ],
)
def test_a_usual_mistake_is_named_with_its_reason(attempt, says):
    verdict = check.loss_mask(attempt)
    assert verdict.right is False
    assert says in repr(verdict)


def test_the_gravest_mistake_is_told_first():
    verdict = check.loss_mask(but("<image>", "visitor", value=True))
    assert "an image token" in verdict.says


def test_a_mask_that_is_right_for_one_second_only_is_seen_through():
    verdict = check.loss_mask(lambda tokens, roles: [i in (10, 14, 15, 16) for i in range(len(tokens))])
    assert verdict.right is False

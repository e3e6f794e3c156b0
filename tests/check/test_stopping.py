"""A small exercise whose usual mistakes stop says why they stopped; other errors stay as they are."""

import math

from omni_lab import check
from omni_lab.check.stopping import Stopping

halves = Stopping(
    right=lambda number: number / 2,
    cases=[(4.0,), (0.0,)],
    rule="half of it",
    mistakes=[],
    inputs=lambda source: (source.random(),),
    stops={"ZeroDivisionError": "zero has no reciprocal"},
)


def test_an_error_that_is_known_is_explained_and_another_is_shown():
    assert halves(lambda number: 1 / (2 / number)).message == "zero has no reciprocal"
    assert halves(lambda number: [][1]).message.startswith("your function stopped with IndexError")
    assert halves(lambda number: number / 2).right


def test_the_sum_of_a_softmax_is_told_why_it_overflows_and_what_nothing_is():
    def plain(scores):
        return math.log(sum(math.exp(score) for score in scores))

    def of_some(scores):
        top = max(scores)
        return top + math.log(sum(math.exp(score - top) for score in scores))

    assert "exp(1000) is too large" in check.ring.log_sum_exp(plain).message
    assert "no largest score" in check.ring.log_sum_exp(of_some).message


def test_two_blocks_without_any_key_are_told_what_to_return():
    def merged(out_a, Z_a, out_b, Z_b):
        return (Z_a * out_a + Z_b * out_b) / (Z_a + Z_b), Z_a + Z_b

    assert "0 / 0 is no number" in check.ring.two_merged(merged).message

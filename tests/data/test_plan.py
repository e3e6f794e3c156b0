"""Data plan: every document once an epoch, ratios exact, resumable at any step on any number of ranks."""

from collections import Counter
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.data.documents import seed_of
from omni_lab.data.plan import PATIENCE, Plan
from omni_lab.triplets.shards.order import windowed_shuffle

ROW = 40


class Numbered:
    """A source of documents of given lengths."""

    def __init__(self, lengths, seed=0):
        self._lengths, self.seed = np.array(lengths, np.int64), seed

    def lengths(self):
        return self._lengths

    def order(self, epoch):
        return windowed_shuffle(np.arange(len(self._lengths)) // 3, self.seed, epoch)


def plan_of(sources, ratio=None, unit="clips", batch_size=4, packed=False):
    ratio = ratio or dict.fromkeys(sources, 1)
    return Plan(sources, ratio, unit, batch_size, ROW, packed)


def drawn(plan, steps):
    return [draw for step in range(steps) for row in plan.rows(step) for draw in row]


def test_every_epoch_is_read_in_its_own_order():
    source = Numbered([1] * 16)
    numbers = [draw.number for draw in drawn(plan_of({"a": source}), 12)]
    assert numbers == [int(number) for epoch in range(3) for number in source.order(epoch)]
    assert numbers[:16] != numbers[16:32]


lengths = st.lists(st.integers(1, ROW), min_size=1, max_size=30)
small = settings(max_examples=25)


@small
@given(lengths, st.integers(0, 9), st.booleans())
def test_every_document_comes_once_an_epoch(sizes, seed, packed):
    plan = plan_of({"a": Numbered(sizes, seed)}, packed=packed)
    draws = [*drawn(plan, 12), *plan.waiting()]
    per_epoch = Counter((draw.epoch, draw.number) for draw in draws)
    assert set(per_epoch.values()) == {1}
    epochs = Counter(draw.epoch for draw in draws)
    last = max(epochs)
    assert all(epochs[epoch] == len(sizes) for epoch in range(last))
    assert epochs[last] == (plan.drawn["a"] - 1) % len(sizes) + 1


@small
@given(lengths, lengths, st.integers(0, 10), st.booleans(), st.sampled_from(["clips", "tokens"]))
def test_resuming_at_any_step_equals_never_having_stopped(one, two, stop, packed, unit):
    sources = {"a": Numbered(one), "b": Numbered(two, 1)}
    how = {"ratio": {"a": 3, "b": 1}, "unit": unit, "packed": packed}
    whole = plan_of(sources, **how)
    expected = [whole.rows(step) for step in range(12)]
    resumed = plan_of(sources, **how)
    assert [resumed.rows(step) for step in range(stop, 12)] == expected[stop:]
    assert resumed.rows(stop) == expected[stop], "a step asked for again is the same"


@small
@given(lengths, st.booleans())
def test_ranks_read_disjoint_rows_and_together_all_of_them_also_when_their_number_changes(
    sizes, packed
):
    """Two ranks for three steps, then one, then four: the rows of an uninterrupted run."""
    expected = [plan_of({"a": Numbered(sizes)}, packed=packed).rows(step) for step in range(9)]
    read = []
    for steps, ranks in ((range(3), 2), (range(3, 6), 1), (range(6, 9), 4)):
        plans = [plan_of({"a": Numbered(sizes)}, packed=packed) for _ in range(ranks)]
        for step in steps:
            parts = [plan.rows(step)[rank::ranks] for rank, plan in enumerate(plans)]
            assert {len(part) for part in parts} == {4 // ranks}
            read.append([row for rows in zip(*parts, strict=True) for row in rows])
    assert read == expected


@small
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(1, 30))
def test_ratios_in_clips_are_exact_over_every_whole_turn(weights, steps):
    ratio = {str(place): weight for place, weight in enumerate(weights)}
    sources = {name: Numbered([1] * 5) for name in ratio}
    counts = Counter(draw.source for draw in drawn(plan_of(sources, ratio), steps))
    for name, weight in ratio.items():
        assert abs(counts[name] - 4 * steps * weight / sum(weights)) <= 1


@small
@given(lengths, lengths, st.integers(1, 5), st.integers(1, 5))
def test_ratios_in_tokens_are_exact_within_one_document(one, two, first, second):
    sources, ratio = {"a": Numbered(one), "b": Numbered(two)}, {"a": first, "b": second}
    plan = plan_of(sources, ratio, "tokens")
    drawn(plan, 30)
    total = sum(plan.taken.values())
    for name, weight in ratio.items():
        assert abs(plan.taken[name] - total * weight / (first + second)) <= ROW


@small
@given(lengths)
def test_packed_rows_are_never_longer_than_a_row_and_unpacked_rows_hold_one_document(sizes):
    packed = plan_of({"a": Numbered(sizes)}, packed=True)
    rows = [row for step in range(6) for row in packed.rows(step)]
    assert all(row and sum(draw.length for draw in row) <= ROW for row in rows)
    plain = plan_of({"a": Numbered(sizes)})
    assert {len(row) for step in range(6) for row in plain.rows(step)} == {1}


def test_short_documents_fill_rows():
    plan = plan_of({"a": Numbered(np.random.default_rng(0).integers(2, 20, 500))}, packed=True)
    rows = [row for step in range(60) for row in plan.rows(step)]
    assert np.mean([sum(draw.length for draw in row) for row in rows]) > 0.97 * ROW


def test_a_document_beside_which_nothing_fits_does_not_wait_for_ever():
    """One short document among full rows: its row is never the fullest, and goes by its age."""
    plan = plan_of({"a": Numbered([1, *[ROW] * 200])}, packed=True, batch_size=1)
    at = [step for step in range(800) for draw in plan.rows(step)[0] if draw.number == 0]
    draws = [draw.number for step in range(800) for draw in plan.rows(step)[0]]
    assert len(at) >= 2
    latest = max(step - place for step, place in zip(at, _due(plan, draws), strict=False))
    assert latest <= PATIENCE + 2


def _due(plan, draws):
    """Draws before document 0 in each epoch."""
    places = [int(np.flatnonzero(plan.sources["a"].order(epoch) == 0)[0]) for epoch in range(5)]
    starts = accumulate([0, *[len(plan.sources["a"].lengths())] * 4])
    return [start + place for start, place in zip(starts, places, strict=True)]


def test_orders_differ_by_epoch_and_mix_a_few_files_at_a_time():
    files = np.repeat(np.arange(10), 6)
    first, second = windowed_shuffle(files, 3, 0, window=2), windowed_shuffle(files, 3, 1, window=2)
    assert sorted(first) == sorted(second) == list(range(60))
    assert (first != second).any()
    for start in range(0, 60, 12):
        assert len(set(files[first[start : start + 12]])) == 2
    assert len(windowed_shuffle(files[:0], 0, 0)) == 0


@pytest.mark.parametrize("other", [(1, "omni"), (0, "vision"), (0, "omni", "text")])
def test_seeds_of_stages_differ(other):
    assert seed_of(0, "omni") != seed_of(*other)
    assert seed_of(0, "omni") == seed_of(0, "omni") >= 0

"""Packing and blending: every document once, no row too long, no leak, exact resuming."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from omni_lab.config import tiny
from omni_lab.errors import UsageError
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import PAD_KIND, collate
from omni_lab.sequences.blend import Blend
from omni_lab.sequences.items import SequenceError
from omni_lab.sequences.packing import (
    Packer,
    attention_work,
    balanced,
    best_fit,
    concatenated,
    join,
)
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import NO_ROLE, TEXT_KIND, tokenize
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

CONFIG, VOCABULARY = tiny(), WorldVocabulary()
EVERY = ("image", "audio", "text")


def document(seed, seconds=2, senses=EVERY):
    clip = from_script(write_script(seed, seconds, senses=senses), 48, senses=senses)
    return tokenize(
        omni_stream(clip, CONFIG.sequence, supervised=False), VOCABULARY, CONFIG.sequence
    )


@pytest.fixture(scope="module")
def documents():
    return [
        document(0),
        document(2, 4, ("audio", "text")),
        document(1, 2, ("text",)),
        document(3, 6),
    ]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY)).eval()


lengths = st.lists(st.integers(1, 50), max_size=60)


@given(lengths, st.integers(50, 120), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_every_document_is_in_one_row_and_no_row_is_too_long(sizes, capacity, open_rows):
    rows = list(best_fit(sizes, capacity, open_rows))
    assert sorted(number for row in rows for number in row) == list(range(len(sizes)))
    assert all(row and sum(sizes[i] for i in row) <= capacity for row in rows)


@given(lengths, st.integers(1, 60))
def test_the_plain_way_loses_no_token_and_fills_every_row_but_the_last(sizes, capacity):
    rows = list(concatenated(sizes, capacity))
    tokens = [
        (number, place) for row in rows for number, start, end in row for place in range(start, end)
    ]
    assert tokens == [(number, place) for number, size in enumerate(sizes) for place in range(size)]
    filled = [sum(end - start for _, start, end in row) for row in rows]
    assert all(size == capacity for size in filled[:-1]) and all(
        0 < size <= capacity for size in filled
    )


def test_best_fit_takes_the_fullest_row_that_has_room():
    # rows after two documents: [6], [7]; a 3 goes beside the 7, a 4 beside the 6
    assert list(best_fit([6, 7, 3, 4], 10)) == [[1, 2], [0, 3]] or list(
        best_fit([6, 7, 3, 4], 10)
    ) == [[0, 3], [1, 2]]
    assert list(best_fit([6, 7, 4], 10, open_rows=1)) == [[0], [1], [2]]


def test_many_short_documents_leave_almost_no_room():
    sizes = np.random.default_rng(0).integers(20, 260, 4000).tolist()
    rows = list(best_fit(sizes, 4096))
    assert sum(sizes) / (len(rows) * 4096) > 0.98


def test_a_document_longer_than_a_row_is_refused_with_both_lengths(documents):
    with pytest.raises(UsageError, match="document 1 has 11 tokens, a row 10"):
        list(best_fit([5, 11], 10))
    with pytest.raises(
        SequenceError, match=rf"{documents[3].name}: {len(documents[3].ids)} tokens, .* 100"
    ):
        list(Packer(Blend({"all": documents}), 100))


def test_a_row_keeps_every_token_and_counts_documents_units_and_items_on(documents):
    row = join(documents)
    assert row.ids.tolist() == [i for d in documents for i in d.ids]
    assert np.bincount(row.document).tolist() == [len(d.ids) for d in documents]
    for field in ("unit", "item"):
        values, own = getattr(row, field), [getattr(d, field) for d in documents]
        assert (np.diff(values) >= 0).all()
        assert len(np.unique(values)) == sum(len(np.unique(v)) for v in own), (
            "no unit or item in two documents"
        )
    assert len(row.frames) == sum(len(d.frames) for d in documents)
    assert len(row.waves) == sum(len(d.waves) for d in documents)
    names = [None if r == NO_ROLE else row.roles[r] for r in row.role]
    assert names == [None if r == NO_ROLE else d.roles[r] for d in documents for r in d.role]


def test_the_first_token_of_a_document_is_no_label_and_positions_begin_again(documents):
    row = join([replace(d, loss=np.ones_like(d.loss)) for d in documents])
    first = np.cumsum([0, *(len(d.ids) for d in documents)])
    assert np.flatnonzero(~row.loss).tolist() == first[:-1].tolist()
    batch = collate([row, document(9)], CONFIG.sequence, CONFIG.model.image.size)
    edges = [*first.tolist(), int(first[-1]) + len(document(9).ids)]
    assert batch.cu_seqlens.tolist() == edges and batch.cu_seqlens.dtype == torch.int32
    real = batch.kind[0] != PAD_KIND
    assert batch.position[0][real].tolist() == [i for d in documents for i in range(len(d.ids))]


def test_a_packed_row_gives_the_losses_of_its_documents_alone(model, documents):
    with torch.no_grad():
        packed = forward_batch(
            model, collate([join(documents)], CONFIG.sequence, CONFIG.model.image.size)
        ).losses
        alone = torch.cat(
            [
                forward_batch(model, collate([d], CONFIG.sequence, CONFIG.model.image.size)).losses
                for d in documents
            ]
        )
    torch.testing.assert_close(packed, alone, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("changed", [0, 1, 2, 3])
def test_nothing_leaks_from_one_document_into_another(model, documents, changed):
    """Words, pixels and samples of one document change; outputs of all others stay bit for bit."""
    other = documents[changed]
    spoilt = replace(
        other,
        ids=np.where(other.kind == TEXT_KIND, (other.ids + 7) % len(VOCABULARY), other.ids),
        frames=[255 - unit for unit in other.frames],
        waves=[wave[::-1] * 0.5 for wave in other.waves],
    )
    rows = [[spoilt if i == changed else d for i, d in enumerate(documents)], documents]

    hidden = []
    for row in rows:
        batch = collate([join(row)], CONFIG.sequence, CONFIG.model.image.size)
        every = replace(batch, loss_mask=torch.ones_like(batch.loss_mask))
        with torch.no_grad():
            hidden.append(forward_batch(model, every).states)

    same = (hidden[0] == hidden[1]).all(1)
    of = torch.as_tensor(join(documents).document)[:-1]  # of the tokens that predict
    assert same[of != changed].all(), "bit for bit"
    assert not same[of == changed].all()


def test_rows_of_different_vocabularies_are_not_packed_together(documents):
    with pytest.raises(SequenceError, match="vocabulary"):
        join([documents[0], replace(documents[1], vocabulary=7)])


class Numbered:
    """Documents of given lengths, with unique names."""

    whole = document(0, senses=("text",))

    def __init__(self, seed, low, high):
        self.sizes = np.random.default_rng(seed).integers(low, high, 5000).tolist()
        self.read = 0

    def __getitem__(self, number):
        self.read += 1
        size = self.sizes[number]
        fields = ("ids", "kind", "loss", "unit", "time", "item", "role", "document")
        cut = {f: np.resize(getattr(self.whole, f), size) for f in fields}
        return replace(self.whole, name=f"d{number}", **cut)


@given(st.integers(0, 25), st.sampled_from(["clips", "tokens"]))
@settings(max_examples=12, deadline=None)
def test_packing_goes_on_after_any_row_as_if_it_had_never_stopped(stop, unit):
    def packer():
        streams = {
            "image": Numbered(0, 20, 90),
            "text": Numbered(1, 5, 30),
            "audio": Numbered(2, 10, 40),
        }
        return Packer(Blend(streams, {"image": 8, "text": 1, "audio": 1}, unit), 300, open_rows=5)

    whole = [row.name for row in islice(packer(), stop + 10)]
    first = packer()
    before = [row.name for row in islice(first, stop)]
    state = json.loads(json.dumps(first.state_dict()))
    second = packer()
    second.load_state_dict(state)
    after = [row.name for row in islice(second, 10)]
    assert before + after == whole


def test_no_more_documents_are_held_than_open_rows_take(documents):
    stream = Numbered(0, 20, 90)
    packer = Packer(Blend({"one": stream}), 300, open_rows=4)
    for number, _ in enumerate(islice(packer, 50), 1):
        held = sum(len(row) for row in packer.state_dict()["open"])
        assert held <= 4 * 300 // 20 and stream.read <= number * 300 // 20 + held + 1


@pytest.mark.parametrize("wrong", [{"capacity": 301}, {"open": [[], [], [], []]}])
def test_a_state_of_other_rows_is_refused(wrong):
    packer = Packer(Blend({"one": Numbered(0, 20, 90)}), 300, open_rows=3)
    with pytest.raises(UsageError, match="the state has"):
        packer.load_state_dict({**packer.state_dict(), **wrong})


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 60))
def test_a_ratio_in_clips_is_exact_over_every_window(weights, start):
    ratio = {f"s{i}": weight for i, weight in enumerate(weights)}
    total = sum(weights)
    blend = Blend({name: Numbered(0, 1, 2) for name in ratio}, ratio)
    window = [name for (name, _), _ in islice(blend, start, start + total)]
    assert {name: window.count(name) for name in ratio} == ratio


def test_eight_to_one_to_one_in_clips_is_spread_evenly():
    ratio = {"image": 8, "text": 1, "audio": 1}
    blend = Blend({name: Numbered(0, 1, 2) for name in ratio}, ratio)
    assert "".join(name[0] for (name, _), _ in islice(blend, 20)) == 2 * "iiiitaiiii"


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(12, 90)), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
@example([(8, 89), (1, 29), (1, 39)])
def test_in_tokens_no_stream_is_ahead_of_its_due_by_more_than_one_of_its_documents(streams):
    ratio = {f"s{number}": weight for number, (weight, _) in enumerate(streams)}
    longest = {f"s{number}": most for number, (_, most) in enumerate(streams)}
    blend = Blend(
        {name: Numbered(i, 10, most + 1) for i, (name, most) in enumerate(longest.items())},
        ratio,
        "tokens",
    )
    taken = dict.fromkeys(ratio, 0)
    for (name, _), tokens in islice(blend, 200):
        taken[name] += len(tokens.ids)
        due = {n: ratio[n] * sum(taken.values()) / sum(ratio.values()) for n in ratio}
        assert all(taken[n] - due[n] <= longest[n] for n in ratio)


@pytest.mark.parametrize(
    ("ratio", "unit"),
    [
        ({"a": 1}, "clips"),
        ({"a": 1, "b": 0}, "clips"),
        ({"a": 1, "b": 1}, "seconds"),
        ({"a": 1, "b": 1.5}, "clips"),
    ],
)
def test_an_invalid_ratio_is_refused(ratio, unit):
    with pytest.raises(UsageError, match="ratio"):
        Blend({"a": [], "b": []}, ratio, unit)


def test_a_blend_ends_with_the_stream_that_ends_first(documents):
    drawn = [
        address for address, _ in Blend({"a": documents, "b": documents[:2]}, {"a": 1, "b": 1})
    ]
    assert drawn == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.integers(1, 4))
@settings(max_examples=200)
def test_ranks_get_equally_many_rows_and_nearly_equal_work(costs, ranks):
    costs = costs * ranks
    shards = balanced(costs, ranks)
    assert sorted(i for shard in shards for i in shard) == list(range(len(costs)))
    assert {len(shard) for shard in shards} == {len(costs) // ranks}
    work = [sum(costs[i] for i in shard) for shard in shards]
    assert max(work) - min(work) <= max(costs), (
        "no rank has more than the costliest row above another"
    )


def test_every_rank_takes_its_rows_of_the_same_batches():
    def packer():
        return Packer(Blend({"one": Numbered(0, 20, 90)}), 300)

    together = [row.name for row in islice(packer(), 24)]
    shards = [list(islice(packer().shares(8, rank, 2), 3)) for rank in (0, 1)]
    for batch in range(3):
        names = [row.name for shard in shards for row in shard[batch]]
        assert sorted(names) == sorted(together[8 * batch : 8 * batch + 8])
        work = [sum(map(attention_work, shard[batch])) for shard in shards]
        assert max(work) / min(work) < 1.1
    with pytest.raises(UsageError, match="9 rows over 2 ranks"):
        next(packer().shares(9, 0, 2))


class Few(Numbered):
    """A stream that ends after `count` documents."""

    def __init__(self, seed, low, high, count):
        super().__init__(seed, low, high)
        self.count = count

    def __getitem__(self, number):
        if number >= self.count:
            raise IndexError
        return super().__getitem__(number)


@pytest.mark.parametrize("unit", ["clips", "tokens"])
def test_a_stream_that_ends_goes_on_at_every_row_to_the_last_open_one(unit):
    """Documents of one token and of a whole row; one stream ends before the other."""

    def packer():
        streams = {"long": Few(0, 1, 301, 14), "short": Few(1, 1, 30, 20)}
        return Packer(Blend(streams, {"long": 4, "short": 1}, unit), 300, open_rows=4)

    whole = [row.name for row in packer()]
    for stop in range(len(whole) + 1):
        first = packer()
        before = [row.name for row in islice(first, stop)]
        again = packer()
        again.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert before + [row.name for row in again] == whole, stop


def test_a_state_of_other_documents_is_refused_and_changes_nothing():
    packer = Packer(Blend({"one": Numbered(0, 20, 90)}), 300, open_rows=3)
    rows = list(islice(packer, 5))
    state = packer.state_dict()
    (stream, number, name), *_ = state["open"][0]
    assert name == f"d{number}"
    fresh = Packer(Blend({"one": Numbered(0, 20, 90)}), 300, open_rows=3)
    other = {**state, "open": [[[stream, number, "another"]]]}
    with pytest.raises(
        UsageError,
        match=f"other documents: document {number} of 'one' was another, and now is {name}",
    ):
        fresh.load_state_dict(other)
    assert [row.name for row in islice(fresh, 5)] == [row.name for row in rows], (
        "it begins at its beginning still"
    )


def test_rows_without_room_are_refused_by_either_way():
    for way in (best_fit, concatenated):
        with pytest.raises(UsageError, match="rows of 0 tokens"):
            list(way([3], 0))

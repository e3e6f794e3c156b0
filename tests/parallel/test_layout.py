"""Sharding layouts, their rectangles of pairs, and the engines: what they refuse and choose."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from omni_lab.errors import UsageError
from omni_lab.parallel import blocks
from omni_lab.parallel.collectives import Collectives
from omni_lab.parallel.cost import block_pairs
from omni_lab.parallel.engines import choose, context_parallel_attention, refuses
from omni_lab.parallel.layout import Layout, pieces
from omni_lab.parallel.sharded_row import ShardedRow

LAYOUTS = st.builds(
    Layout, st.integers(1, 70), st.integers(1, 5), st.sampled_from(["zigzag", "contiguous"])
)


class Ranks(Collectives):
    """Collectives of several ranks without processes: only their number."""

    def __init__(self, ranks: int) -> None:
        super().__init__(alone=True)
        self.ranks = ranks


@given(LAYOUTS, st.data(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_pieces_are_the_pairs_that_documents_allow_each_once(layout, data, causal):
    edges = sorted({0, *data.draw(st.lists(st.integers(0, layout.tokens), max_size=6))})
    counted = np.zeros((layout.tokens, layout.tokens), int)
    work = np.zeros((layout.ranks, layout.ranks), int)
    places = [layout.places(rank).numpy() for rank in range(layout.ranks)]

    for rank in range(layout.ranks):
        for other in range(layout.ranks):
            for piece in pieces(layout, rank, other, edges, causal):
                queries, keys = places[rank][piece.queries], places[other][piece.keys]
                seen = np.ones((len(queries), len(keys)), int)
                if piece.causal:
                    assert (queries == keys).all()
                    seen = np.tril(seen)
                assert seen.sum() == piece.pairs > 0
                counted[np.ix_(queries, keys)] += seen
                work[rank, other] += piece.pairs

    # the same pairs from a dense mask, one by one
    document = np.searchsorted(edges, np.arange(layout.tokens), side="right")
    allowed = (document[:, None] == document) & (np.arange(layout.tokens) < edges[-1])
    assert (counted == (np.tril(allowed) if causal else allowed)).all()
    if causal:
        assert (work == block_pairs(layout.tokens, layout.ranks, layout.kind, edges)).all()


@given(LAYOUTS)
@settings(max_examples=60, deadline=None)
def test_shards_joined_are_the_row(layout):
    row = torch.arange(layout.tokens * 6).reshape(2, layout.tokens, 3)
    shards = [layout.shard(row, rank, dim=1, fill=-7) for rank in range(layout.ranks)]
    assert torch.equal(layout.join(shards, dim=1), row)
    assert all(shard.shape == (2, layout.per_rank, 3) for shard in shards)
    padding = layout.per_rank * layout.ranks - layout.tokens
    assert sum(int((shard == -7).sum()) for shard in shards) == padding * 6


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_zigzag_is_even_where_contiguous_gives_the_last_rank_twice_the_mean(ranks):
    tokens = 2 * ranks * 64
    balance = {
        kind: ShardedRow(Layout(tokens, ranks, kind), Ranks(ranks)).balance
        for kind in ("zigzag", "contiguous")
    }
    assert balance["zigzag"] == 1.0
    assert balance["contiguous"] == pytest.approx(2 - 1 / ranks, rel=0.01)


def heads(query: int, key: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty(1, query, tokens, 8), torch.empty(1, key, tokens, 8)


def test_engines_refuse_what_they_cannot_express():
    row = ShardedRow(Layout(4096, 4), Ranks(4))
    assert "6 query" in refuses("ulysses", *heads(6, 2, 1024), row)
    assert "3 key heads" in refuses("ulysses", *heads(12, 3, 1024), row)
    assert not refuses(
        "ulysses", *heads(8, 2, 1024), row
    )  # two key heads, each repeated for two ranks
    assert refuses("torch", *heads(4, 4, 1024), row) == "attention on cpu"
    on_cuda = [torch.empty(1, 4, 1024, 8, device="meta") for _ in range(2)]
    assert refuses("torch", *on_cuda, row) == "attention on meta"
    assert not refuses("ring", *heads(7, 7, 1024), row)


@pytest.mark.parametrize(
    ("changes", "cannot"),
    [
        ({}, ""),
        ({"cu_seqlens": (0, 5, 4096)}, "documents side by side"),
        ({"layout": Layout(4095, 4)}, "padding"),
        ({"layout": Layout(4096, 4, "contiguous")}, "over a zigzag"),
        ({"causal": False}, "anything but causal"),
        (
            {"kinds": torch.zeros(1, 4096, dtype=torch.int64), "strength": torch.ones(5, 5)},
            "strengths",
        ),
        ({"dtype": torch.float32}, "in torch.float32"),
        ({"width": 12}, "width 12"),
    ],
)
def test_torchs_ring_on_cuda_refuses_every_mask_but_plain_causality(changes, cannot):
    fields = {"layout": Layout(4096, 4), "collectives": Ranks(4)} | changes
    dtype, width = fields.pop("dtype", torch.bfloat16), fields.pop("width", 64)
    with FakeTensorMode():
        query = torch.empty(1, 4, 1024, width, device="cuda", dtype=dtype)
    found = refuses("torch", query, query, ShardedRow(**fields))
    assert cannot in found
    assert bool(cannot) == bool(found)
    assert (choose(query, query, ShardedRow(**fields))[0] == "torch") == (not cannot)


def test_strengths_come_to_the_device_of_the_tokens():
    kinds = torch.zeros(1, 8, dtype=torch.int64, device="meta")
    row = ShardedRow(Layout(8), kinds=kinds, strength=torch.ones(5, 5))
    assert {bias.device.type for _, bias in row.pieces(0)} == {"meta"}


@pytest.mark.parametrize("engine", ["ring", "allgather", "ulysses"])
def test_a_gradient_of_gradients_is_refused_since_what_is_sent_has_none(engine, monkeypatch):
    monkeypatch.setattr(blocks, "FUSED", ())  # a fused kernel refuses by itself
    parts = [torch.randn(1, 2, 8, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    out = context_parallel_attention(
        *parts, ShardedRow(Layout(8), cu_seqlens=(0, 3, 8)), engine=engine
    )
    (first,) = torch.autograd.grad(out.square().sum(), parts[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


@pytest.mark.parametrize("engine", ["ring", "allgather", "ulysses"])
@pytest.mark.parametrize("fused", [("cpu",), ()])
def test_under_autocast_it_takes_what_torchs_attention_takes_and_keeps_its_sums(
    engine, fused, monkeypatch
):
    monkeypatch.setattr(blocks, "FUSED", fused)
    row = ShardedRow(Layout(40), cu_seqlens=(0, 13, 40))
    parts = [
        torch.randn(1, 2, 40, 16, generator=torch.Generator().manual_seed(n)) for n in range(3)
    ]
    halves = [part.bfloat16().requires_grad_() for part in parts]
    leaves = [part.clone().requires_grad_() for part in parts]
    right = context_parallel_attention(*halves, row, engine=engine)
    with torch.autocast("cpu", torch.bfloat16):
        out = context_parallel_attention(
            leaves[0], leaves[1], leaves[2].bfloat16(), row, engine=engine
        )
    assert torch.equal(out, right)
    for result in (right, out):
        result.float().square().sum().backward()
    assert all(torch.equal(a.grad.bfloat16(), b.grad) for a, b in zip(leaves, halves, strict=True))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 4, 8, 4), (1, 2, 8, 4), (1, 2, 8, 6)), "keys and values of one shape"),
        (((2, 4, 8, 4), (1, 2, 8, 4), (1, 2, 8, 4)), "batch, head width and type must be equal"),
        (((1, 4, 8, 4), (1, 3, 8, 4), (1, 3, 8, 4)), "4 query heads do not divide over 3"),
        (((1, 4, 7, 4), (1, 2, 7, 4), (1, 2, 7, 4)), "every rank holds 8 of the row's 8"),
    ],
)
def test_tensors_that_do_not_fit_together_are_refused_even_where_all_ranks_have_the_same(
    shapes, message
):
    with pytest.raises(UsageError, match=message):
        ShardedRow(Layout(8)).agree(*(torch.zeros(shape) for shape in shapes), 1.0, "ring")


@pytest.mark.parametrize(
    ("tokens", "ranks", "shape", "edges", "engine"),
    [
        (4096, 1, (4, 4), None, "ring"),
        (1024, 4, (4, 4), None, "allgather"),  # too short to be worth several messages
        (8192, 2, (28, 4), None, "ring"),  # few key heads are cheap to pass on
        (65536, 16, (16, 16), None, "ulysses"),  # round many ranks they are not
        (8192, 4, (7, 1), None, "ring"),  # seven heads do not divide
        (
            8192,
            4,
            (8, 4),
            (0, 4097, *range(4160, 8193, 64)),
            "ulysses",
        ),  # one long document: two ranks have the work
    ],
)
def test_auto_chooses_by_heads_mask_and_length_with_a_reason(tokens, ranks, shape, edges, engine):
    row = ShardedRow(Layout(tokens, ranks), Ranks(ranks), edges)
    chosen, reason = choose(*heads(*shape, row.layout.per_rank), row)
    assert chosen == engine
    assert reason


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="there are contiguous, zigzag"):
        Layout(8, 2, "striped")
    with pytest.raises(UsageError, match="both must be 1 or more"):
        Layout(0, 2)
    with pytest.raises(UsageError, match="rise from 0 to at most the row's 8"):
        ShardedRow(Layout(8), Collectives(), (0, 5, 4))
    with pytest.raises(UsageError, match="for 2 ranks on 1"):
        ShardedRow(Layout(8, 2), Collectives())
    with pytest.raises(UsageError, match="kind of each of the row's 8"):
        ShardedRow(Layout(8), Collectives(), strength=torch.ones(5, 5))
    with pytest.raises(UsageError, match="9 places along dim -1, for a row of 8"):
        Layout(8).shard(torch.ones(9), 0)

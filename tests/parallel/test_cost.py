"""Cost of context-parallel attention: every formula against a count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_lab.config import full_7b
from omni_lab.config.types import CHUNKS
from omni_lab.errors import UsageError
from omni_lab.parallel.cost import (
    BF16,
    FLOAT32,
    all_gather_traffic,
    attended_pairs,
    balance,
    block_pairs,
    ring_traffic,
    shard,
    ulysses_heads,
    ulysses_traffic,
)

SEVEN = full_7b().model.decoder


def owners(tokens, ranks, layout):
    """Rank of every token, assigned one by one."""
    size = -(-tokens // (CHUNKS[layout] * ranks))
    chunk = [token // size for token in range(tokens)]
    return [c if layout == "contiguous" or c < ranks else 2 * ranks - 1 - c for c in chunk]


@st.composite
def packed(draw):
    """Layout, ranks, and documents that together have tokens enough."""
    ranks = draw(st.integers(1, 5))
    documents = draw(st.lists(st.integers(0, 17), min_size=1, max_size=5))
    documents.append(2 * ranks)
    return draw(st.sampled_from(sorted(CHUNKS))), ranks, documents


@given(packed())
def test_pairs_are_those_counted_one_by_one(case):
    layout, ranks, documents = case
    tokens = sum(documents)
    document = np.repeat(np.arange(len(documents)), documents)
    owner = owners(tokens, ranks, layout)
    met = np.zeros((ranks, ranks), np.int64)
    for query in range(tokens):
        for key in range(query + 1):
            met[owner[query], owner[key]] += document[query] == document[key]
    edges = np.cumsum([0, *documents]).tolist()
    np.testing.assert_array_equal(block_pairs(tokens, ranks, layout, edges), met)
    np.testing.assert_array_equal(attended_pairs(tokens, ranks, layout, edges), met.sum(1))
    assert max(np.bincount(owner)) <= shard(tokens, ranks, layout)


@pytest.mark.parametrize("ranks", [1, 2, 8, 512])
def test_zigzag_is_balanced_and_contiguous_tends_to_its_limit(ranks):
    tokens = 4096 * ranks
    assert balance(attended_pairs(tokens, ranks, "zigzag")) == 1.0
    assert balance(attended_pairs(tokens, ranks, "contiguous")) == pytest.approx(
        2 - 1 / ranks, rel=1e-3
    )


def test_many_tokens_are_counted_exactly():
    tokens = 1 << 31
    assert int(block_pairs(tokens, 8).sum()) == tokens * (tokens + 1) // 2
    with pytest.raises(UsageError, match="64 bits"):
        shard(tokens + 1, 8, "zigzag")


@pytest.mark.parametrize(("tokens", "ranks"), [(0, 4), (8, 0)])
def test_too_few_tokens_or_ranks_are_refused(tokens, ranks):
    with pytest.raises(UsageError, match=f"{tokens} tokens over {ranks} ranks"):
        block_pairs(tokens, ranks)


def test_unknown_layouts_and_documents_outside_the_sequence_are_refused():
    with pytest.raises(UsageError, match="there are contiguous, zigzag"):
        shard(8, 2, "striped")
    for edges in ([1, 8], [0, 9], [0, 5, 4], []):
        with pytest.raises(UsageError, match="rise from 0 to at most the 8 tokens"):
            attended_pairs(8, 2, "zigzag", edges)


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_the_rings_bytes_are_those_of_its_hops(ranks):
    """Shards are sent on until every rank has met all and every gradient is back."""
    tokens, kv_heads, head_dim = 10, 2, 8
    shard_bytes = 2 * tokens * kv_heads * head_dim

    def hops(home):
        held, sent = list(range(ranks)), 0
        met = [{r} for r in range(ranks)]
        while any(len(seen) < ranks for seen in met) or (
            home and ranks > 1 and held != list(range(ranks))
        ):
            held, sent = held[-1:] + held[:-1], sent + 1
            met = [seen | {number} for seen, number in zip(met, held, strict=True)]
        return sent

    forward = hops(home=False) * shard_bytes * BF16
    backward = forward + hops(home=True) * shard_bytes * FLOAT32
    assert ring_traffic(tokens, ranks, kv_heads, head_dim) == (forward, backward)


@pytest.mark.parametrize(
    ("ranks", "heads", "kv_heads"), [(1, 4, 2), (2, 4, 2), (4, 4, 2), (4, 8, 8), (8, 8, 2)]
)
def test_ulysses_bytes_are_those_of_the_elements_that_leave(ranks, heads, kv_heads):
    tokens, head_dim = 6 * ranks, 4
    left = 0
    for token in range(tokens):
        for head in range(heads):  # a query goes to its head's rank, and its output comes back
            left += 2 * (token // 6 != head * ranks // heads)
        for target in range(ranks):  # who has a K/V head's queries gets it
            needed = {
                head * kv_heads // heads for head in range(heads) if head * ranks // heads == target
            }
            left += 2 * len(needed) * (token // 6 != target)
    each = left * head_dim * BF16 // ranks
    assert ulysses_traffic(6, ranks, heads, kv_heads, head_dim) == (each, each)


def test_ulysses_refuses_what_its_heads_do_not_allow():
    for ranks in (3, 7, 8, 56):
        with pytest.raises(
            UsageError, match="divide over 1, 2, 4, 28 ranks; beyond that take ring or allgather"
        ):
            ulysses_heads(ranks, SEVEN.heads, SEVEN.kv_heads)


def test_gathering_sends_what_the_ring_does_but_the_last_hop():
    ring, gather = (traffic(64, 8, 4, 16) for traffic in (ring_traffic, all_gather_traffic))
    assert gather.forward == ring.forward
    assert ring.backward - gather.backward == 2 * 64 * 4 * 16 * FLOAT32

"""Small exercises of notebook 08 on layouts: who holds which chunk, and computes which pairs."""

from __future__ import annotations

import random
from functools import partial
from itertools import pairwise

from omni_lab.check.step import Step
from omni_lab.check.stopping import Stopping


def _holders(ranks: int) -> list[int]:
    """Holder of every chunk of a zigzag row, by the package's layout of one token per chunk."""
    from omni_lab.parallel import Layout

    layout = Layout(2 * ranks, ranks, "zigzag")
    of = {chunk.start: rank for rank in range(ranks) for chunk in layout.chunks(rank)}
    return [of[chunk] for chunk in range(2 * ranks)]


def _mirrored(ranks, to):
    """Holders where the mirror of chunk 0 is wrong."""
    return [min(chunk, to(ranks) - chunk) for chunk in range(2 * ranks)]


_MIRRORS = (
    lambda w: 2 * w + 1, lambda w: 3 * w - 1, lambda w: w - 1, lambda w: w, lambda w: 2 / w - 1,
    lambda w: w // 2,
)  # fmt: skip
zigzag_holders = Step(
    right=_holders,
    cases=[(4,), (2,), (3,), (1,), (8,)],
    rule="forwards over the ranks, then backwards: rank r has the chunks r and 2W − 1 − r",
    mistakes=[
        (
            lambda ranks: [*range(ranks), *range(ranks)],
            "this deals the chunks out in turns: rank W − 1 then has the later chunk of every "
            "round; go back over the ranks in the second half",
        ),
        (
            lambda ranks: [chunk // 2 for chunk in range(2 * ranks)],
            "this is the contiguous layout: neighbours lie together, and the last rank has the "
            "longest lines",
        ),
        (
            lambda ranks: [*range(ranks)],
            "these are W chunks: a zigzag row has 2W, two for each rank",
        ),
        (
            lambda ranks: [*range(ranks), *range(ranks - 2, -1, -1)],
            "the last rank has only one chunk: it gets the chunks W − 1 and W, side by side",
        ),
        (
            lambda ranks: [*range(1, ranks + 1), *range(ranks, 0, -1)],
            "ranks are counted from 0: yours begin at 1",
        ),
        (
            lambda ranks: [*range(ranks - 1, -1, -1), *range(ranks)],
            "balanced too, but rank 0 should hold the first chunk and the last",
        ),
        (
            lambda ranks: [(r, 2 * ranks - 1 - r) for r in range(ranks)],
            "these are the right chunks of every rank, but the other direction is wanted: the rank "
            "of every chunk",
        ),
        (
            lambda ranks: [c for r in range(ranks) for c in (r, 2 * ranks - 1 - r)],
            "these are the numbers of chunks, in the order of the ranks; return the rank of every "
            "chunk",
        ),
        (
            lambda ranks: [*range(ranks), *range(ranks, 0, -1)],
            "the way back begins at rank W, which does not exist: chunk c has its mirror at 2W − 1 − c",
        ),
        (
            lambda ranks: [*range(ranks), *range(ranks - 1, 0, -1)],
            "the last chunk is missing: it belongs to rank 0",
        ),
        (
            lambda ranks: [min(chunk, 2 * ranks - 2 - chunk) for chunk in range(2 * ranks)],
            "mirror chunk c to 2W − 1 − c: yours is one too small, and the last chunk gets −1",
        ),
        (
            lambda ranks: [max(chunk, 2 * ranks - 1 - chunk) for chunk in range(2 * ranks)],
            "these numbers go beyond W − 1: take the smaller of c and its mirror 2W − 1 − c",
        ),
        (
            lambda ranks: [*range(2 * ranks)],
            "these are the chunks themselves: there are only W ranks, so from chunk W on, go back over "
            "them",
        ),
        *(
            (
                partial(_mirrored, to=to),
                "the way back begins in the wrong place: chunk c has its "
                "mirror at 2W − 1 − c, so that chunk W is rank W − 1's",
            )
            for to in _MIRRORS
        ),
    ],
    inputs=lambda source: (source.randrange(1, 20),),
    shows="0, 1, 2, 3, then 3, 2, 1, 0: an early chunk and a late one for everybody",
)


def _pairs(places, edges) -> int:
    """Pairs of some queries, by the package's count with one token per rank."""
    from omni_lab.parallel import attended_pairs

    each = attended_pairs(edges[-1], edges[-1], "contiguous", edges)
    return int(each[list(places)].sum())


def _each(count, found=sum):
    """Mistaken count of each token, from its place and the limits of its document."""

    def mistaken(places, edges):
        counts = []
        for place in places:
            start, end = next((a, b) for a, b in pairwise(edges) if a <= place < b)
            counts.append(count(place, start, end, places))
        return found(counts)

    return mistaken


_START = "a token is the first of its document where its place *equals* an edge"
pairs_of = Stopping(
    right=_pairs,
    cases=[
        ([0, 1, 2, 3], [0, 4]),
        ([0, 1, 6, 7], [0, 8]),
        ([0, 1, 6, 7], [0, 3, 8]),
        ([3], [0, 3, 8]),
        ([2, 3, 4], [0, 3, 4, 9]),
        ([5, 6, 8], [0, 3, 9, 12]),
        ([], [0, 4]),
    ],
    rule="token t sees the tokens from the start of its own document up to itself: t − start + 1",
    mistakes=[
        (
            _each(lambda t, a, b, s: t - a),
            "a token looks at itself too: t − start + 1 tokens, not t − start",
        ),
        (
            _each(lambda t, a, b, s: t + 1),
            "this looks back to the start of the row, across documents: a token sees only its own "
            "document",
        ),
        (
            _each(lambda t, a, b, s: t),
            "this looks back to the start of the row: count from the start of the token's own "
            "document, and the token itself too",
        ),
        (
            _each(lambda t, a, b, s: b - a),
            "every token sees its whole document here: attention is causal, so nothing after it",
        ),
        (
            _each(lambda t, a, b, s: b - t),
            "this counts what comes *after* a token in its document: it sees what comes before it",
        ),
        (
            _each(lambda t, a, b, s: b - t - 1),
            "this counts what comes *after* a token in its document: it sees what comes before it",
        ),
        (
            _each(lambda t, a, b, s: t - a + 2),
            "one too many for each token: from start to t, both included, are t − start + 1",
        ),
        (
            _each(lambda t, a, b, s: sum(a <= k <= t for k in s)),
            "this counts only keys that the rank holds itself: its queries see those of all ranks, "
            "for the keys come round",
        ),
        (
            lambda places, edges: len(places) * (len(places) + 1) // 2,
            "this is a triangle over the rank's own tokens: its queries see the keys of all ranks",
        ),
        (
            lambda places, edges: len(places) ** 2,
            "this is a square over the rank's own tokens: its queries see the keys of all ranks, "
            "as far as these come before them",
        ),
        (
            lambda places, edges: sum((b - a) * (b - a + 1) // 2 for a, b in pairwise(edges)),
            "these are all pairs of the row: count only those of the queries at `places`",
        ),
        (lambda places, edges: len(places), "this is the number of tokens, not of pairs"),
        (
            _each(lambda t, a, b, s: t - a + 1, found=list),
            "these are the right counts, token by token; the rank's work is their sum",
        ),
        (
            lambda places, edges: sum(
                t - max((a for a in edges if a < t), default=0) + 1 for t in places
            ),
            f"{_START}: it sees itself alone there",
        ),
        (
            _each(lambda t, a, b, s: t + a + 1),
            "the start is added: the tokens from start to t, both included, are t − start + 1",
        ),
        (
            _each(lambda t, a, b, s: t - a - 1),
            "two too few for each token: from start to t, both included, are t − start + 1",
        ),
        (
            lambda places, edges: _pairs([t for t in edges if t < edges[-1]], edges),
            "this adds up over the edges: the rank's queries stand at `places`",
        ),
        (
            lambda places, edges: sum(t - max(a for a in edges if a <= t) + 1 for t in edges),
            "this adds up over the edges: the rank's queries stand at `places`",
        ),
        (
            lambda places, edges: sum(t - max(edges) + 1 for t in places),
            "the last edge is the end of the row: take the last edge that is not behind the token",
        ),
        (
            lambda places, edges: sum(t - min([a for a in edges if a >= t] or [0]) + 1 for t in places),
            "this takes an edge behind the token: its document starts at the last edge up to t",
        ),
        (
            lambda places, edges: sum(t - min([a for a in edges if a > t] or [0]) + 1 for t in places),
            "this takes the end of the document: it starts at the last edge up to t",
        ),
    ],
    inputs=lambda source: _random_places(source),
    stops={
        "arg is an empty sequence": "a token finds no edge before it: its document starts at the "
        "last edge that is <= its place (and mind the order of the arguments: places, edges)",
    },
    shows="a rank's work follows from its places and the documents alone, by no mask at all",
)  # fmt: skip


def _random_places(source: random.Random) -> tuple:
    tokens = source.randrange(1, 30)
    inner = sorted({source.randrange(1, tokens + 1) for _ in range(3)} - {tokens})
    return sorted(source.sample(range(tokens), source.randrange(tokens + 1))), [0, *inner, tokens]

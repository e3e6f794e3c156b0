"""Small exercises of notebook 03, second part: vectors for placeholders, weights of a connector."""

from __future__ import annotations

import random
from types import SimpleNamespace

from omni_lab.check.step import Step

# --- vectors in the places of placeholders


def _placed(ids: list, placeholder: int, table: list, vectors: list) -> list:
    """Rows that enter the decoder, by the package's own `OmniModel.embed`."""
    import torch

    from omni_lab.model.omni import OmniModel

    words = torch.nn.Embedding.from_pretrained(torch.tensor(table, dtype=torch.float64))
    bare = SimpleNamespace(decoder=SimpleNamespace(embed_tokens=words))
    row = torch.tensor([ids])
    tokens = torch.tensor(vectors, dtype=torch.float64).reshape(-1, len(table[0]))
    return OmniModel.embed(bare, row, row == placeholder, tokens)[0].tolist()


def _places(source: random.Random) -> tuple:
    table = [[source.random(), source.random()] for _ in range(6)]
    placeholder = source.randrange(6)
    ids = [source.choice([placeholder, source.randrange(6)]) for _ in range(source.randrange(1, 9))]
    vectors = [[source.random(), source.random()] for one in ids if one == placeholder]
    return ids, placeholder, table, vectors


_TABLE = [[0.0, 0.5], [1.0, 1.5], [2.0, 2.5], [3.0, 3.5]]
placed = Step(
    right=_placed,
    cases=[
        ([0, 1, 1, 2], 1, _TABLE, [[7.0, 7.5], [8.0, 8.5]]),
        ([3, 2, 2, 3, 2], 2, _TABLE, [[7.0, 7.5], [8.0, 8.5], [9.0, 9.5]]),
        ([0, 3], 1, _TABLE, []),
        ([2], 2, _TABLE, [[6.0, 6.5]]),
    ],
    rule="a placeholder gets the next vector, every other token its own row of the table",
    mistakes=[
        (
            lambda ids, p, table, v: [ids[ids[:at].count(p)] if one == p else table[one] for at, one in enumerate(ids)],
            "the placeholders got numbers of tokens: take from `vectors`",
        ),
        (
            lambda ids, p, table, v: [table[one] for one in ids],
            "the placeholders kept their own embedding: the model would know of a picture, not what it shows",
        ),
        (
            lambda ids, p, table, v: [v if one == p else table[one] for one in ids],
            "each placeholder got the whole list: one placeholder, one vector",
        ),
        (
            lambda ids, p, table, v: [v[-1] if one == p else table[one] for one in ids],
            "every placeholder gets the last vector: the first gets the first, then the next",
        ),
        (
            lambda ids, p, table, v: [v[0] if one == p else table[one] for one in ids],
            "every placeholder gets the first vector: take the next one each time",
        ),
        (
            lambda ids, p, table, v: [
                (v[::-1])[ids[:at].count(p)] if one == p else table[one] for at, one in enumerate(ids)
            ],
            "the vectors come in the reverse order: the first placeholder gets the first vector",
        ),
        (
            lambda ids, p, table, v: [
                [a + b for a, b in zip(table[p], v[ids[:at].count(p)], strict=True)] if one == p
                else table[one] for at, one in enumerate(ids)
            ],
            "the vector is added to the placeholder's embedding: it takes its place",
        ),
        (
            lambda ids, p, table, v: v,
            "only the vectors are left: the other tokens keep their rows of the table",
        ),
        (
            lambda ids, p, table, v: [table[one] for one in ids if one != p],
            "the placeholders are left out: each gives its place to a vector",
        ),
        (
            lambda ids, p, table, v: [table[one] for one in ids if one != p] + v,
            "the vectors stand at the end: each belongs where its placeholder stood",
        ),
        (
            lambda ids, p, table, v: v + [table[one] for one in ids if one != p],
            "the vectors stand at the beginning: each belongs where its placeholder stood",
        ),
        (
            lambda ids, p, table, v: [table[p] if one == p else [0.0, 0.0] for one in ids],
            "the other tokens lost their rows of the table",
        ),
        (
            lambda ids, p, table, v: [
                v[ids[:at].count(p)] if one == p else table[p] for at, one in enumerate(ids)
            ],
            "the other tokens got the placeholder's row: each looks up its own",
        ),
        (
            lambda ids, p, table, v: [
                v[ids[:at].count(p)] if one == p else one for at, one in enumerate(ids)
            ],
            "the other tokens are still numbers: look each up in the table",
        ),
    ],
    inputs=_places,
    shows="every vector stands where its placeholder stood, and words keep their own",
)  # fmt: skip

# --- weights of a connector


def _connector_weights(merged: int, width: int, tokens: int) -> int:
    """Weights of the package's own connector."""
    import torch

    from omni_lab.model.connector import Connector

    with torch.device("meta"):
        connector = Connector(merged, width, tokens)
    return sum(weight.numel() for weight in connector.parameters())


_RIGHT = {
    "norm": lambda m, w, t: 2 * m,
    "up": lambda m, w, t: m * w + w,
    "down": lambda m, w, t: w * w + w,
    "place": lambda m, w, t: t * w,
}
_SAYS = {
    "norm": "the norm has two weights for each number that comes in, a scale and a shift: 2 · merged",
    "up": "the first map has merged · width weights, and one bias for each number that comes out",
    "down": "the second map goes from width to width: width · width weights and width biases",
    "place": "the place is a table: one vector of `width` numbers for each token",
}
_WRONG = {
    "norm": (
        lambda m, w, t: m, lambda m, w, t: 3 * m, lambda m, w, t: 2 * w, lambda m, w, t: 2 / m,
        lambda m, w, t: -2 * m, lambda m, w, t: 2 * m * m, lambda m, w, t: 2 * m * t,
    ),
    "up": (
        lambda m, w, t: m / w + w, lambda m, w, t: m // w + w,
        lambda m, w, t: w * w + w, lambda m, w, t: m * t + w,
        lambda m, w, t: m * w + m, lambda m, w, t: -m * w - w, lambda m, w, t: m + w + w,
        lambda m, w, t: (m * w + w) * t,
    ),
    "down": (
        lambda m, w, t: 1 + w, lambda m, w, t: t * w + w,
        lambda m, w, t: -w * w - w, lambda m, w, t: m * w + w,
        lambda m, w, t: 3 * w,
    ),
    "place": (
        lambda m, w, t: w, lambda m, w, t: t, lambda m, w, t: t / w,
        lambda m, w, t: m * w, lambda m, w, t: t * t, lambda m, w, t: t * m, lambda m, w, t: -t * w,
        lambda m, w, t: t + w,
    ),
}  # fmt: skip


def _sum_with(*changes):
    """Sum of the parts, with some parts counted otherwise."""
    other = dict(changes)
    return lambda m, w, t: sum(other.get(part, right)(m, w, t) for part, right in _RIGHT.items())


def _nothing(m: int, w: int, t: int) -> int:
    return 0


connector_weights = Step(
    right=_connector_weights,
    cases=[(1152, 96, 4), (640, 96, 5), (20_736, 3584, 81), (30, 7, 1), (5, 11, 3)],
    rule="add norm, first map, second map and place, each map with its biases",
    mistakes=[
        (
            _sum_with(("up", lambda m, w, t: m * w), ("down", lambda m, w, t: w * w)),
            "both linear maps have biases too: one for each number that comes out",
        ),
        (
            _sum_with(("up", lambda m, w, t: m * w)),
            "one bias is missing: each of the two linear maps has one for each number that comes out",
        ),
        (
            _sum_with(("up", lambda m, w, t: m * w + 1)),
            "a linear map has a bias for each number that comes out, not one for all",
        ),
        (
            _sum_with(("up", lambda m, w, t: m * w + t)),
            "a linear map has `width` biases, one for each number that comes out; tokens share them",
        ),
        (
            lambda m, w, t: m * w + w * w,
            "these are the two matrices alone: biases, the norm and the place of a token have weights too",
        ),
        (
            lambda m, w, t: t * (m * w + w + w * w + w),
            "all tokens go through the same maps, one after the other: only the place is a token's own",
        ),
        (
            lambda m, w, t: 2 * w + w * m + m + m * m + m + t * m,
            "`merged` and `width` have changed places: what comes in is `merged` wide",
        ),
        (
            _sum_with(("norm", _nothing), ("place", _nothing)),
            "these are the two linear maps: the norm and the place of a token have weights too",
        ),
        (
            lambda m, w, t: t * (2 * m + m * w + w + w * w + w),
            "all tokens go through the same maps, one after the other: only the place is a token's own",
        ),
        (
            lambda m, w, t: t * (2 * m + m * w + w + w * w + w + w),
            "all tokens go through the same maps, one after the other: only the place is a token's own",
        ),
        *((_sum_with((part, _nothing)), f"the {name} is missing: {_SAYS[part]}") for part, name in (
            ("norm", "norm"), ("up", "first map"), ("down", "second map"), ("place", "place"),
        )),
        *((_sum_with((part, wrong)), _SAYS[part]) for part, wrongs in _WRONG.items() for wrong in wrongs),
    ],
    inputs=lambda source: tuple(source.sample(range(2, 3000), 3)),
    shows="the image connector of tiny() has 122,688 weights, more than its whole image encoder",
)  # fmt: skip

"""Cases of ring attention, and the dense attention on one device that it is compared with.

Glossary: B batch · H query heads · G key/value heads · T tokens · K head width.
"""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import asdict, dataclass

import torch
from torch.nn import functional as F

from omni_lab.parallel.layout import Layout
from omni_lab.sequences.masking import modality_bias

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
ROWS = {  # tokens, and where documents begin and end
    "one token": (1, (0, 1)),
    "fewer tokens than ranks": (3, (0, 3)),
    "one document, nothing divides it": (101, (0, 101)),
    "one document, everything divides it": (96, (0, 96)),
    "documents of length 1": (37, (0, 1, 2, 3, 20, 21, 37)),
    "documents shorter than a chunk": (90, (0, 5, 9, 11, 18, 30, 33, 47, 51, 66, 90)),
    "boundaries on shards": (96, (0, 12, 24, 48, 72, 96)),
    "padding behind the last document": (80, (0, 33, 60)),
    "empty documents": (40, (0, 0, 13, 13, 40)),
}
STRENGTHS = {"none": None, "weak": 0.3, "cut": 0.0}  # of the second modality for the first


@dataclass(frozen=True)
class Case:
    """Case: engine, ranks, type, row, heads, and masks."""

    engine: str = "ring"
    ranks: int = 2
    dtype: str = "float64"
    row: str = "one document, nothing divides it"
    heads: tuple[int, int] = (4, 2)
    causal: bool = True
    strength: str = "none"
    layout: str = "zigzag"

    @property
    def name(self) -> str:
        return "/".join(str(value) for value in asdict(self).values())


def cases() -> list[Case]:
    """All rows on all numbers of ranks, causal and full; heads, types, masks, engines on some."""
    # every row, on every number of ranks
    found = [
        Case(ranks=r, row=row, causal=c)
        for r, row, c in itertools.product((1, 2, 3, 4), ROWS, (True, False))
    ]
    some = (
        "one document, nothing divides it",
        "documents shorter than a chunk",
        "padding behind the last document",
    )
    found += [
        Case(ranks=r, row=row, layout="contiguous") for r, row in itertools.product((2, 3, 4), some)
    ]

    # heads and types
    shapes = (
        ((4, 4), "float32"),
        ((14, 7), "float32"),
        ((7, 1), "bfloat16"),
        ((4, 4), "bfloat16"),
        ((7, 1), "float64"),
    )
    found += [
        Case(ranks=r, row=row, heads=h, dtype=d)
        for r, row, (h, d) in itertools.product((2, 4), some, shapes)
    ]

    # strengths between modalities
    masks = (
        ("weak", True, "float32"),
        ("cut", True, "float64"),
        ("cut", False, "float32"),
        ("cut", True, "bfloat16"),
    )
    tried = itertools.product((1, 2, 4), some, masks)
    found += [Case(ranks=r, row=row, strength=s, causal=c, dtype=d) for r, row, (s, c, d) in tried]

    # other engines
    others = (((4, 4), "none", True), ((8, 2), "cut", True), ((4, 4), "cut", False))
    tried = itertools.product(("allgather", "ulysses"), (2, 4), some, others)
    return found + [
        Case(e, r, row=row, heads=h, strength=s, causal=c) for e, r, row, (h, s, c) in tried
    ]


def drawn(
    case: Case,
) -> tuple[Layout, tuple[int, ...], dict[str, torch.Tensor], torch.Tensor, torch.Tensor | None]:
    """Layout, document edges, q, k, v and upstream gradient B H T K, modalities, strengths."""
    tokens, edges = ROWS[case.row]
    random = torch.Generator().manual_seed(zlib.crc32(case.name.encode()))
    shapes = {
        "query": case.heads[0],
        "key": case.heads[1],
        "value": case.heads[1],
        "grad": case.heads[0],
    }
    # drawn in float64 and rounded, so that all types see the same row
    row = {
        name: torch.randn(2, heads, tokens, 16, generator=random, dtype=torch.float64).to(
            DTYPES[case.dtype]
        )
        for name, heads in shapes.items()
    }

    kinds = torch.randint(0, 2, (2, tokens), generator=random)
    kinds[0] = torch.arange(tokens) < tokens // 2  # whole blocks that others may not see
    matrix = None
    if (strength := STRENGTHS[case.strength]) is not None:
        matrix = torch.ones(5, 5)
        matrix[0, 1] = strength
    return Layout(tokens, case.ranks, case.layout), edges, row, kinds, matrix


def mask(case: Case, kinds: torch.Tensor, matrix: torch.Tensor | None) -> torch.Tensor:
    """Dense additive bias of a row, B 1 T T: all its masks; padding attends to itself."""
    tokens, edges = ROWS[case.row]
    place = torch.arange(tokens)
    document = torch.bucketize(place, torch.tensor(edges), right=True)
    seen = (document[:, None] == document) & (place < edges[-1])
    if case.causal:
        seen &= place[:, None] >= place
    bias = torch.zeros(2, tokens, tokens)
    if matrix is not None:
        bias = modality_bias(matrix, kinds, kinds, place[:, None] == place)
    return bias.masked_fill(~(seen | torch.diag(place >= edges[-1])), -math.inf)[:, None]


def dense(row: dict[str, torch.Tensor], case: Case, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output and gradients of torch's dense attention over the whole row, in the row's type."""
    leaves = {name: row[name].clone().requires_grad_() for name in ("query", "key", "value")}
    out = F.scaled_dot_product_attention(
        *leaves.values(), attn_mask=bias.to(row["query"].dtype), enable_gqa=True
    )
    out = out * (torch.arange(out.shape[2]) < ROWS[case.row][1][-1])[:, None]
    out.backward(row["grad"])
    return {"out": out.detach(), **{name: leaf.grad for name, leaf in leaves.items()}}

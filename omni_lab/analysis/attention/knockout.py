"""Attention knock-out: edges from some tokens to others are cut, and the answer is watched.

A cut adds one width to the heads: queries that are cut have −c there, keys that are cut have c, so
that the score of every cut pair falls by c² · scale, and no other changes. It is an exact mask of
rank one that fused kernels take as it is: nothing of size T × T is made, and keys in a cache stay as
they are (Geva et al. 2023 cut with a mask).

Glossary: B batch · T tokens · V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from omni_lab.analysis.attention.call import AttentionCall
from omni_lab.analysis.attention.capture import capture_attention
from omni_lab.analysis.attention.weights import carried
from omni_lab.errors import UsageError

FALL = 1e4  # of the score of a cut pair
LEAST = 1e-6  # mass that may be left on a cut edge


@dataclass(frozen=True, eq=False)
class Cut:
    """Edges from some tokens to others that are cut in some layers.

    Parameters
    ----------
    queries : tokens that look; to those beyond its end, which are generated, `beyond` applies
    keys : tokens that they do not see
    layers : numbers of the layers; None is all
    heads : numbers of the query heads; None is all
    beyond : whether generated tokens are cut too
    """

    queries: Bool[Tensor, "B T"]
    keys: Bool[Tensor, "B T"]
    layers: Sequence[int] | None = None
    heads: Sequence[int] | None = None
    beyond: bool = True

    def at_random(self, pool: Bool[Tensor, "B T"], seed: int) -> Cut:
        """Control: as many keys, drawn at random from a pool of other tokens.

        Raises
        ------
        UsageError
            the pool has fewer tokens than the cut has keys
        """
        chance = torch.rand(pool.shape, generator=torch.Generator().manual_seed(seed))
        free = pool.cpu() & ~self.keys.cpu()
        count = self.keys.sum(1).cpu()
        if (free.sum(1) < count).any():
            row = int((free.sum(1) < count).nonzero()[0, 0])
            has = f"row {row} has {int(free[row].sum())} other tokens in the pool"
            raise UsageError(f"{has} for a control of {int(count[row])} keys: take a larger pool")
        rank = chance.masked_fill(~free, 2.0).argsort(1).argsort(1)
        return replace(self, keys=(rank < count[:, None]).to(self.keys.device))


@contextmanager
def knock_out(part: nn.Module, *cuts: Cut) -> Iterator[None]:
    """Cut edges of a part's attention, for the length of a `with` block; with a cache as well.

    After every cut it is looked whether less than `LEAST` of any query's mass is left on cut edges.

    Raises
    ------
    UsageError
        a query has no key left: softmax cannot give its mass to nothing; or scores are soft-capped
    """

    def hook(call: AttentionCall) -> None:
        for cut in cuts:
            if cut.layers is None or call.layer in cut.layers:
                _cut(call, cut)

    with capture_attention(part, hook, alters=True):
        yield


def _cut(call: AttentionCall, cut: Cut) -> None:
    """One more width of the heads, in which pairs that are cut lose `FALL`, and a look at what is left."""
    if call.softcap is not None:
        raise UsageError(f"layer {call.layer}: soft-capped scores cannot fall far enough for a cut")
    queries = call.at_queries(cut.queries.long(), int(cut.beyond)) == 1
    keys = call.at_keys(cut.keys.long(), 0) == 1
    call.output = None  # of fewer cuts
    heads = call.query.new_zeros(call.query.shape[1])
    heads[slice(None) if cut.heads is None else list(cut.heads)] = (FALL / call.scale) ** 0.5
    add = -heads[None, :, None] * queries[:, None]
    call.query = torch.cat([call.query, add[..., None].to(call.query.dtype)], -1)
    height = keys[:, None, :, None] * (FALL / call.scale) ** 0.5
    height = height.expand(-1, call.key.shape[1], -1, -1).to(call.key.dtype)
    call.key = torch.cat([call.key, height], -1)
    call.cuts += 1

    cut_heads = heads > 0
    for some, mass in carried(call, keys[:, None, :, None].to(call.key.dtype)):
        left = mass[:, cut_heads[some]] * queries[:, None, :, None]
        if left.numel() and not float(left.max()) < LEAST:
            row, _, at, _ = (left == left.max()).nonzero()[0].tolist()
            which = f"query {(call.first_query or 0) + at} of row {row} has no other key left"
            raise UsageError(f"layer {call.layer}: {which}; leave it at least its own token")


@dataclass(frozen=True)
class Effect:
    """Drop of an answer's probability by a cut, and by as many random edges."""

    name: str
    before: float
    after: float
    controls: tuple[float, ...]  # probability after each random cut

    @property
    def drop(self) -> float:
        """Probability that the cut takes away."""
        return self.before - self.after

    @property
    def beyond_chance(self) -> float:
        """Drop less the mean drop of the controls; NaN without them."""
        if not self.controls:
            return float("nan")
        return sum(self.controls) / len(self.controls) - self.after


def knockout_effects(
    part: nn.Module,
    probability: Callable[[], float],
    cuts: Mapping[str, Cut],
    pool: Bool[Tensor, "B T"] | None = None,
    controls: int = 0,
) -> list[Effect]:
    """Drop of an answer's probability by every cut, beside random cuts of as many edges.

    Parameters
    ----------
    probability : runs the model, and gives the probability of the answer
    cuts : by name
    pool : tokens that controls are drawn from; None is all
    controls : random cuts for each
    """
    with torch.no_grad():
        before, found = probability(), []
        for name, cut in cuts.items():
            others = torch.ones_like(cut.keys) if pool is None else pool
            each = [cut, *(cut.at_random(others, seed) for seed in range(controls))]
            after = []
            for one in each:
                with knock_out(part, one):
                    after.append(probability())
            found.append(Effect(name, before, after[0], tuple(after[1:])))
    return found


def answer_probability(logits: Float[Tensor, "B V"], answers: Sequence[int]) -> float:
    """Mean probability of every row's answer."""
    chosen = F.softmax(logits.float(), -1)[torch.arange(len(answers)), list(answers)]
    return float(chosen.mean())

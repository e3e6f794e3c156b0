"""Attention weights applied to any values, exactly and in bounded memory.

The T × T weights A are never formed: A · X is attention whose values are X. With X one-hot over
labels it is each query's mass per label; with X the items that every token stands for so far, it is
a layer of rollout. The layer's own values ride along in the same pass of the fused kernel. Where X
is wide, the weights are formed a tile at a time from the log-sum-exp of every query's scores.

Glossary: B batch · H query heads · G key/value heads · Q queries · J keys
· wide: width of the carried values · h heads of a part · q, k queries and keys of a tile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from omni_lab.analysis.attention.call import AttentionCall
from omni_lab.parallel.blocks import accumulated, attend
from omni_lab.parallel.engines import context_parallel_attention

WIDTH = 1024  # keys of a tile


def carried(
    call: AttentionCall, values: Float[Tensor, "B _ J wide"]
) -> Iterator[tuple[slice, Float[Tensor, "B h Q wide"]]]:
    """Attention weights of a call applied to other values, as many heads at a time as fit.

    The values get no gradient. Where the layer's output needs none either, it comes out of the same
    pass: at the end it is in `call.output`.
    """
    values = values.to(call.value.dtype)
    ride = not torch.is_grad_enabled() and call.row is None and call.output is None
    own = call.value.shape[-1]
    out = call.query.new_empty(*call.query.shape[:3], own) if ride else None

    for heads, groups, part in call.in_parts(values.shape[-1] + own * ride):
        some = values if values.shape[1] == 1 else values[:, groups]
        with torch.no_grad():
            if ride:
                both = [part.value, some.expand(-1, part.value.shape[1], -1, -1)]
                found = weighted(part, torch.cat(both, -1))
                out[:, heads] = found[..., :own]
                found = found[..., own:]
            else:
                found = weighted(part, some)
        yield heads, found
    call.output = out if ride else call.output


def weighted(
    call: AttentionCall, values: Float[Tensor, "B _ J wide"]
) -> Float[Tensor, "B H Q wide"]:
    """Attention weights of a call applied to other values, in a pass of their own."""
    values = values.expand(-1, call.key.shape[1], -1, -1)
    if call.row is not None:
        return _over_ranks(call, values)
    if call.softcap is not None:
        return _by_tiles(call, values)
    out, lse = _fused(call, values)
    if call.sinks is not None:
        out = out * torch.sigmoid(lse - call.sinks[:, None])[..., None].to(out.dtype)
    return out


def log_sums(call: AttentionCall) -> Float[Tensor, "B H Q"]:
    """Log-sum-exp of every query's scores, learned sinks included."""
    if call.softcap is None:
        lse = _fused(call, call.value[..., :1])[1]
    else:
        dtype = accumulated(call.query.dtype)
        lse = call.query.new_full(call.query.shape[:3], -math.inf, dtype=dtype)
        for rows, _, scores in _scores(call):
            own = scores.flatten(1, 2).logsumexp(-1)
            lse[:, :, rows] = torch.logaddexp(lse[:, :, rows], own)
    return lse if call.sinks is None else torch.logaddexp(lse, call.sinks[:, None].to(lse.dtype))


@torch.no_grad()
def tiles(
    call: AttentionCall, sums: Float[Tensor, "B H Q"]
) -> Iterator[tuple[slice, slice, Float[Tensor, "B H q k"]]]:
    """Attention weights of all queries and keys, a tile at a time; columns begin at multiples of `WIDTH`.

    Parameters
    ----------
    sums : log-sum-exp of every query's scores (`log_sums`)
    """
    finite = sums.masked_fill(sums == -math.inf, 0.0)
    for rows, columns, scores in _scores(call, finite):
        yield rows, columns, scores.exp_().flatten(1, 2)


def _fused(call: AttentionCall, values: Tensor) -> tuple[Tensor, Tensor]:
    """Fused attention and its log-sum-exp, learned sinks aside.

    The kernel wants values as wide as the heads: the narrower of the two is padded with zeros.
    """
    width, own = max(call.query.shape[-1], values.shape[-1]), values.shape[-1]
    query, key, value = (
        x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))
        for x in (call.query, call.key, values)
    )
    if call.mask is None:
        out, lse = attend(query, key, value, call.causal, None, call.scale)
        return out[..., :own], lse

    out = query.new_zeros(*query.shape[:3], own)
    lse = query.new_full(query.shape[:3], -math.inf, dtype=accumulated(query.dtype))
    for rows, columns in call.blocks():
        if columns.start == columns.stop:
            continue
        bias = call.bias(rows, columns)
        if bias is not None:
            bias = bias.expand(len(query), -1, -1, -1)
        some = query[:, :, rows], key[:, :, columns], value[:, :, columns]
        part, lse[:, :, rows] = attend(*some, False, bias, call.scale)
        out[:, :, rows] = part[..., :own]
    return out, lse


def _scores(
    call: AttentionCall, less: Tensor | None = None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Scores B G H/G q k, less a number for every query, a tile at a time."""
    groups, dtype = call.key.shape[1], accumulated(call.query.dtype)
    query = (call.query.to(dtype) * call.scale).unflatten(1, (groups, -1))
    key = call.key.to(dtype)
    own = None if less is None else less.unflatten(1, (groups, -1))[..., None]
    if own is not None and call.softcap is None:  # the subtraction is one more product
        query, own = torch.cat([query, -own], -1), None
        key = torch.cat([key, torch.ones_like(key[..., :1])], -1)

    for rows, reach in call.blocks():
        some = query[:, :, :, rows].flatten(2, 3)
        for first in range(reach.start - reach.start % WIDTH, reach.stop, WIDTH):
            columns = slice(max(first, reach.start), min(first + WIDTH, reach.stop))
            scores = (some @ key[:, :, columns].mT).unflatten(2, (-1, rows.stop - rows.start))
            if call.softcap is not None:
                scores = call.softcap * torch.tanh(scores / call.softcap)
                scores = scores if own is None else scores - own[:, :, :, rows]
            if (bias := call.bias(rows, columns)) is not None:
                per_head = bias.shape[1] > 1
                scores += bias.unflatten(1, (groups, -1)) if per_head else bias[:, :, None]
            yield rows, columns, scores


def _by_tiles(call: AttentionCall, values: Tensor) -> Tensor:
    """Attention by its formula, a tile at a time, where no fused kernel knows the scores."""
    dtype, groups = accumulated(values.dtype), call.key.shape[1]
    out = values.new_zeros(*call.query.shape[:3], values.shape[-1], dtype=dtype)
    for rows, columns, part in tiles(call, log_sums(call)):
        by_group = part.unflatten(1, (groups, -1))
        more = by_group @ values[:, :, None, columns].to(dtype)
        out[:, :, rows] += more.flatten(1, 2)
    return out.to(values.dtype)


def _over_ranks(call: AttentionCall, values: Tensor) -> Tensor:
    """Attention over all ranks' keys; all ranks call it together."""
    width = call.query.shape[-1]
    parts = []
    for part in values.split(width, -1):
        padded = F.pad(part, (0, width - part.shape[-1])).contiguous()
        out = context_parallel_attention(
            call.query, call.key, padded, call.row, call.scale, call.engine
        )
        parts.append(out[..., : part.shape[-1]])
    return torch.cat(parts, -1)

"""Losses by group: nats per token of every fact, and of every sense that carries it.

The total hides which skill is being learned; these do not (Michaud et al. 2023, quanta of skill).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omni_lab.data.batch import TrainingBatch
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.sequences.targets import NO_GROUP, SENSES
from omni_lab.training.selection.selection import PLACE, TYPE, TYPES

Sums = dict[str, Sequence[float]]  # of a group: sum of its losses (nats), number of tokens


def sums_by_group(
    batch: TrainingBatch,
    losses: Iterable[Float[Tensor, " _"]],
    kept: Iterable[Bool[Tensor, " _"] | None] = (),
) -> Sums:
    """Sums of losses and tokens of every group in this process: `facts.colour`, `senses.image`.

    Where tokens were selected, also how many were: of all text (`kept.text`), and by what the
    data know of them (`kept.type_3`).

    Parameters
    ----------
    losses : of every supervised token of streams, then of captions
    kept : whether each was selected
    """
    sums: Sums = {}
    for rows, chosen in zip((batch.streams, batch.captions), kept, strict=False):
        if chosen is not None:
            _add_kept(sums, rows, chosen)
    for rows, values in zip((batch.streams, batch.captions), losses, strict=False):
        wanted = rows.labels != IGNORED
        for kind, of_label, names in (
            ("facts", rows.targets.fact, rows.targets.facts),
            ("senses", rows.targets.sense, SENSES),
        ):
            _add(sums, kind, names, of_label[wanted], values)
    return sums


def _add(sums: Sums, kind: str, names: tuple[str, ...], group: Tensor, losses: Tensor) -> None:
    """Add the losses of some tokens to the sums of their groups."""
    known = group != NO_GROUP
    counts = torch.bincount(group[known], minlength=len(names)).tolist()
    totals = torch.bincount(group[known], losses[known].double(), len(names)).tolist()
    for name, total, count in zip(names, totals, counts, strict=True):
        if count:
            before = sums.get(f"{kind}.{name}", (0.0, 0.0))
            sums[f"{kind}.{name}"] = before[0] + total, before[1] + count


def _add_kept(sums: Sums, rows: Batch, chosen: Bool[Tensor, " _"]) -> None:
    """Add which text tokens were selected, in all and by their type where it is known."""
    known = rows.targets.known
    wanted = rows.labels != IGNORED
    text = known[PLACE][wanted].isfinite()
    _add(sums, "kept", ("text",), torch.where(text, 0, NO_GROUP), chosen)
    if TYPE in known:
        of_type = torch.where(text, known[TYPE][wanted], 0).nan_to_num(0).long()
        names = tuple(f"type_{number}" for number in TYPES)  # from 1
        _add(sums, "kept", names, torch.where(of_type > 0, of_type - 1, NO_GROUP), chosen)


def means_by_group(sums: Iterable[Sums]) -> dict[str, dict[str, float]]:
    """Mean of every group over processes: `{"facts": {…}, "senses": {…}}`, nats per token.

    >>> means_by_group([{"facts.colour": (2.0, 1.0)}, {"facts.colour": (4.0, 2.0)}])
    {'facts': {'colour': 2.0}}
    """
    together: Sums = {}
    for one in sums:
        for name, (total, count) in one.items():
            before = together.get(name, (0.0, 0.0))
            together[name] = before[0] + total, before[1] + count

    means: dict[str, dict[str, float]] = {}
    for name, (total, count) in sorted(together.items()):
        kind, _, group = name.partition(".")
        means.setdefault(kind, {})[group] = total / count
    return means


def token_weights(rows: Batch, by_sense: Float[Tensor, " senses"]) -> Float[Tensor, " N"]:
    """Weight of every supervised token by the sense that carries it; 1 for those of none."""
    sense = rows.targets.sense[rows.labels != IGNORED]
    weights = torch.cat([by_sense, by_sense.new_ones(1)])  # the last is that of NO_GROUP, -1
    return weights.to(sense.device)[sense]

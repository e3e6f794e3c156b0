"""Cross-modal retrieval: recall@k between image, audio and text of the same moment.

Given what one sense carried in a moment, find the same moment in another sense.

Glossary: D decoder width · moments: groups of units that have all modalities.
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from omni_lab.errors import UsageError
from omni_lab.evaluation.intervals import wilson
from omni_lab.model.inputs import embed_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.storage import atomic_write
from omni_lab.training.losses.contrastive import pooled

SENSES = ("image", "audio", "text")


@torch.no_grad()
def moments(
    model: OmniModel, batches: list[Batch], units: int
) -> dict[str, Float[Tensor, "moments D"]]:
    """Contrastive (alignment) vectors per modality, of every moment that has all three modalities.

    Parameters
    ----------
    units : units of the omni stream in one moment
    """
    found: dict[str, list[Tensor]] = {sense: [] for sense in SENSES}
    for batch in batches:
        batch = batch.to(model.device)
        for sense, states in pooled(model, embed_batch(model, batch), batch, units)[0].items():
            found[sense].append(states)
    return {sense: torch.cat(states) for sense, states in found.items()}


def ranks(
    query: Float[Tensor, "moments D"], candidates: Float[Tensor, "moments D"]
) -> Int64[Tensor, " moments"]:
    """Rank of every query's own moment among the candidates, from 1; a tie counts against it.

    Row i of `query` belongs to row i of `candidates`.
    """
    return ranks_of(query @ candidates.T)


def ranks_of(scores: Float[Tensor, "moments moments"]) -> Int64[Tensor, " moments"]:
    """Rank of the diagonal in every row of scores, from 1; a tie counts against it."""
    own = scores.diagonal()[:, None]
    # ties count against, else a collapsed model, whose vectors are all alike, looks perfect
    return (scores >= own).sum(1)


def recall(
    query: Float[Tensor, "moments D"], candidates: Float[Tensor, "moments D"], k: int
) -> Float[Tensor, " moments"]:
    """Recall@k of every query: 1 where its own moment is among its k nearest candidates, else 0."""
    return (ranks(query, candidates) <= k).float()


def described(found: Int64[Tensor, " moments"]) -> dict[str, float]:
    """Recall@1, 5 and 10 and median rank of one direction, with chance and an interval.

    Returns
    -------
    scores : `r1`, `r5`, `r10`, `median_rank` (from 1), `chance` (of `r1`), `n` (candidates), and
        the 95 % interval `low`, `high` of `r1`
    """
    low, high = wilson(int((found <= 1).sum()), len(found))
    shares = {f"r{k}": float((found <= k).float().mean()) for k in (1, 5, 10)}
    median = float(found.double().quantile(0.5))
    return {
        **shares, "median_rank": median, "chance": 1 / len(found), "n": len(found),
        "low": low, "high": high,
    }  # fmt: skip


def retrieval_scores(
    vectors: dict[str, Float[Tensor, "moments D"]], limit: int | None = None
) -> dict[str, dict[str, float]]:
    """Recall@1, 5 and 10 and median rank in all six directions, with chance.

    Parameters
    ----------
    limit : only the first moments are candidates; None is all, the full gallery

    Returns
    -------
    scores : `<from>_to_<to>` → scores as `described` names them
    """
    return {
        f"{a}_to_{b}": described(ranks(vectors[a][:limit], vectors[b][:limit]))
        for a, b in itertools.permutations(vectors, 2)
    }


def save_embeddings(vectors: dict[str, Float[Tensor, "moments D"]], path: Path | str) -> Path:
    """Embeddings written to a file: `.npz` with an array per modality, or `.parquet` with a column.

    Row i is the same moment everywhere.

    Raises
    ------
    UsageError
        the file's name ends in neither
    """
    path = Path(path)
    arrays = {name: states.float().cpu().numpy() for name, states in vectors.items()}
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez(buffer, **arrays)
    elif path.suffix == ".parquet":
        columns = {name: list(rows) for name, rows in arrays.items()}
        pq.write_table(pa.table(columns), buffer)
    else:
        raise UsageError(f"{path.name}: embeddings are written to .npz or .parquet")
    atomic_write(path, buffer.getvalue())
    return path

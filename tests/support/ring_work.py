"""Jobs of several processes: `python ring_work.py JOBS RANKS FOLDER AWAITED …`, what each rank found as JSON there.

The ranks are forked from one process that has imported everything once; four more words are other
jobs, whose ranks come after those before.
"""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from ring_cases import Case, cases, dense, drawn, mask

from omni_lab.errors import OmniLabError
from omni_lab.parallel import blocks
from omni_lab.parallel.collectives import Collectives
from omni_lab.parallel.engines import context_parallel_attention
from omni_lab.parallel.layout import Layout
from omni_lab.parallel.sharded_row import ShardedRow
from omni_lab.parallel.torch_ring import torch_attention
from omni_lab.training.selection import separability, top_fraction


def errors(case: Case, collectives: Collectives, attention: Callable | None = None) -> dict:
    """How far this rank's part is from dense attention: the largest error of the output and of every gradient.

    In bfloat16 it is divided by the error that one device makes with dense attention in bfloat16.
    """
    layout, edges, row, kinds, matrix = drawn(case)
    rank = collectives.rank
    shared = ShardedRow(
        layout, collectives, edges, case.causal, None if matrix is None else kinds, matrix
    )
    mine = {name: layout.shard(row[name], rank, dim=2) for name in row}
    leaves = [mine[name].requires_grad_() for name in ("query", "key", "value")]
    before = collectives.sent
    scale = leaves[0].shape[-1] ** -0.5
    out = (
        attention(*leaves, shared, scale)
        if attention
        else context_parallel_attention(*leaves, shared, engine=case.engine)
    )
    forward = collectives.sent - before
    out.backward(mine["grad"])
    found = dict(
        zip(
            ("out", "query", "key", "value"), (out.detach(), *(x.grad for x in leaves)), strict=True
        )
    )
    bias = mask(case, kinds, matrix)
    true = dense({name: x.double() for name, x in row.items()}, case, bias)
    far = {name: _largest(found[name], layout.shard(true[name], rank, dim=2)) for name in found}
    if case.dtype == "bfloat16":
        own = dense(row, case, bias)
        far = {name: far[name] / _largest(own[name], true[name]) for name in far}
    return {**far, "sent": [forward, collectives.sent - before - forward]}


def _largest(found: torch.Tensor, true: torch.Tensor) -> float:
    far = (found.double() - true).abs().max()
    return float("inf") if far.isnan() else float(far)


def matrix(exchanges: dict[int, Collectives]) -> dict:
    """Every case that this rank takes part in."""
    return {
        case.name: errors(case, exchanges[case.ranks])
        for case in cases()
        if case.ranks in exchanges
    }


def written_out(exchanges: dict[int, Collectives]) -> dict:
    """The same without the fused kernel, as on devices that have none; a few queries at a time."""
    before, blocks.FUSED, blocks.ROWS = (blocks.FUSED, blocks.ROWS), (), 7
    of_ring = (case for case in cases() if (case.ranks, case.engine) == (2, "ring"))
    masked = [case for case in of_ring if (case.strength, case.dtype) != ("none", "float64")]
    chosen = masked if 2 in exchanges else []
    try:
        return {case.name: errors(case, exchanges[2]) for case in chosen}
    finally:
        blocks.FUSED, blocks.ROWS = before


def torch_ring(exchanges: dict[int, Collectives]) -> dict:
    """Torch's own ring, which the engine takes on CUDA only: its order of tokens is that of a zigzag."""
    found = {}
    for ranks, heads in itertools.product(exchanges, ((4, 4), (14, 7))):
        case = Case("torch", ranks, "float32", "one document, everything divides it", heads)
        found[case.name] = errors(case, exchanges[ranks], torch_attention)
    return found


def stale(exchanges: dict[int, Collectives]) -> dict:
    """A mutation: in backward each rank takes its own keys and values for those that pass."""
    right = Collectives.round

    def wrong(self, tensor):
        for held in right(self, tensor):
            yield tensor if torch._C._current_autograd_node() is not None else held

    Collectives.round = wrong
    try:
        return errors(Case(), exchanges[2]) if 2 in exchanges else {}
    finally:
        Collectives.round = right


def empty_rows(exchanges: dict[int, Collectives]) -> dict:
    """A mutation: a query that sees nothing of a block has the `lse` that the kernel gives it, 0."""
    from omni_lab.parallel import ring

    right = ring.attend

    def wrong(*block):
        out, lse = right(*block)
        return out, lse.masked_fill(lse == -torch.inf, 0.0)

    ring.attend = wrong
    try:
        return errors(Case(strength="cut"), exchanges[2]) if 2 in exchanges else {}
    finally:
        ring.attend = right


def disagree(exchanges: dict[int, Collectives]) -> dict:
    """Ranks that differ in one thing: what each of them says, before anything is sent."""
    collectives, said = exchanges[4], {}
    layout, edges, row, kinds, _ = drawn(Case(ranks=4))
    odd = collectives.rank == 2
    parts = [layout.shard(row[name], collectives.rank, dim=2) for name in ("query", "key", "value")]
    tries = {
        "dtype": (
            [x.float() for x in parts] if odd else parts,
            ShardedRow(layout, collectives, edges),
        ),
        "shape": (
            [x[:, :, :-1] for x in parts] if odd else parts,
            ShardedRow(layout, collectives, edges),
        ),
        "layout": (
            parts,
            ShardedRow(
                type(layout)(layout.tokens, 4, "contiguous" if odd else "zigzag"),
                collectives,
                edges,
            ),
        ),
        "cu_seqlens": (parts, ShardedRow(layout, collectives, (0, 40, 101) if odd else edges)),
        "causal": (parts, ShardedRow(layout, collectives, edges, causal=not odd)),
        "strength": (
            parts,
            ShardedRow(
                layout, collectives, edges, True, kinds, torch.ones(5, 5) * (0.5 if odd else 1.0)
            ),
        ),
    }
    same = ShardedRow(layout, collectives, edges)
    tries |= {
        "shape of values": ([*parts[:2], parts[2][..., :8]] if odd else parts, same),
        "dtype of values": ([*parts[:2], parts[2].float()] if odd else parts, same),
        "gradient": ([parts[0].clone().requires_grad_(), *parts[1:]] if odd else parts, same),
        "engine": (parts, same),
    }
    for name, (tensors, shared) in tries.items():
        before = collectives.sent
        try:
            context_parallel_attention(
                *tensors, shared, engine="allgather" if odd and name == "engine" else "ring"
            )
            said[name] = "nothing"
        except OmniLabError as fault:
            said[name] = f"{type(fault).__name__}: {fault}"
        assert collectives.sent == before
    return said


def perturbed(exchanges: dict[int, Collectives]) -> dict:
    """Whether anything of the other documents changes, by a single bit, when one document does."""
    found = {}
    for ranks, collectives in exchanges.items():
        layout, edges, row, _, _ = drawn(
            Case(ranks=ranks, row="documents shorter than a chunk", dtype="float32")
        )
        inside = torch.zeros(layout.tokens, dtype=torch.bool)
        inside[edges[3] : edges[6]] = (
            True  # three documents in the middle, over chunks of several ranks
        )
        results = []
        for change in (0.0, 1.0):
            changed = {name: x + change * inside[:, None] for name, x in row.items()}
            parts = {name: layout.shard(x, collectives.rank, dim=2) for name, x in changed.items()}
            leaves = [parts[name].requires_grad_() for name in ("query", "key", "value")]
            out = context_parallel_attention(
                *leaves, ShardedRow(layout, collectives, edges), engine="ring"
            )
            out.backward(parts["grad"])
            results.append([out.detach(), *(leaf.grad for leaf in leaves)])
        mine = layout.shard(inside, collectives.rank, fill=False)
        same = [torch.equal(a[:, :, ~mine], b[:, :, ~mine]) for a, b in zip(*results, strict=True)]
        moved = [
            bool((a[:, :, mine] != b[:, :, mine]).any()) for a, b in zip(*results, strict=True)
        ]
        found[ranks] = {"others": all(same), "itself": all(moved) or not bool(mine.any())}
    return found


@functools.cache
def lesson_batches() -> tuple:
    """Lessons of a small omni model, and three shared rows of them.

    Labels stand at the row's beginning only: some ranks have most of them, some none.
    """
    from stage_data import lessons_of

    from omni_lab.config import override, tiny

    changes = [
        "model.decoder.layers=2",
        "model.decoder.kv_heads=2",
        "training.stages.omni.batch_size=3",
        "training.stages.omni.seconds=2",
    ]
    mixture = lessons_of(override(tiny(), changes), "omni")
    batches = [mixture.batch(step).streams for step in range(3)]
    for batch in batches:
        batch.loss_mask[1:] = False
    return mixture, batches


def trained(exchanges: dict[int, Collectives], local_means: bool = False) -> dict:
    """Three steps of a two-layer omni model on a shared row, against the same steps in this process alone."""
    from omni_lab.model.inputs import forward_batch
    from omni_lab.model.omni import OmniModel
    from omni_lab.parallel.batch import shard_batch
    from omni_lab.parallel.decoder_hook import register_context_parallel
    from omni_lab.sequences.batch import IGNORED
    from omni_lab.sequences.masking import Strength, strengths

    mixture, batches = lesson_batches()
    strength, found = strengths([Strength.read("text>audio=0.5")]), {}

    def steps(collectives: Collectives | None) -> tuple[list[float], list[torch.Tensor]]:
        torch.manual_seed(0)
        model = OmniModel.build(
            mixture.config.model, mixture.config.sequence, len(mixture.vocabulary)
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-4, weight_decay=0.0)
        if collectives:
            register_context_parallel(model.decoder)
        losses = []
        for batch in batches:
            part = shard_batch(batch, collectives, strength) if collectives else batch
            labels = int(((part if local_means else batch).labels != IGNORED).sum())
            loss = forward_batch(model, part, strength=strength).losses.sum() / max(1, labels)
            loss.backward()
            total = loss.detach().clone()
            if collectives:
                for parameter in model.parameters():
                    if parameter.grad is None:  # nothing of it is used by this rank's tokens
                        parameter.grad = torch.zeros_like(parameter)
                for values in [total, *(parameter.grad for parameter in model.parameters())]:
                    dist.all_reduce(
                        values.div_(collectives.ranks if local_means else 1),
                        group=collectives.group,
                    )
            losses.append(float(total))
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
        return losses, [p.detach().clone() for p in model.parameters()]

    alone = steps(None)
    for ranks, collectives in exchanges.items():
        shared = steps(collectives)
        found[ranks] = {
            "loss": max(abs(a - b) for a, b in zip(alone[0], shared[0], strict=True)),
            "parameters": max(
                _largest(a, b.double()) for a, b in zip(alone[1], shared[1], strict=True)
            ),
        }
    return found


def captured(exchanges: dict[int, Collectives]) -> dict:
    """Attention mass of every layer on a shared row, against eager attention in this process alone."""
    from stage_data import lessons_of

    from omni_lab.analysis import Labels, MassMatrix, capture_attention
    from omni_lab.config import override, tiny
    from omni_lab.model.inputs import forward_batch
    from omni_lab.model.omni import OmniModel
    from omni_lab.parallel.batch import shard_batch
    from omni_lab.parallel.decoder_hook import register_context_parallel
    from omni_lab.sequences.items import KINDS
    from omni_lab.sequences.masking import Strength, strengths

    changes = ["model.decoder.layers=2", "training.stages.omni.batch_size=3"]
    mixture = lessons_of(override(tiny(), [*changes, "training.stages.omni.seconds=2"]), "omni")
    strength = strengths([Strength.read("text>audio=0.5")])
    batch = mixture.batch(0).streams
    torch.manual_seed(0)
    model = OmniModel.build(mixture.config.model, mixture.config.sequence, len(mixture.vocabulary))

    def mass(part, labels) -> torch.Tensor:
        matrix = MassMatrix(Labels(labels, KINDS))
        with torch.no_grad(), capture_attention(model.decoder, matrix):
            forward_batch(model, part, strength=strength)
        return torch.stack([matrix._sums[layer] for layer in matrix.layers])

    alone, found = mass(batch, batch.kind), {}
    tokens = torch.bincount(batch.kind[batch.kind >= 0], minlength=len(KINDS))[:, None].clamp_min(1)
    for engine in ("ring", "allgather"):
        register_context_parallel(model.decoder, engine)
        for ranks, collectives in exchanges.items():
            part = shard_batch(batch, collectives, strength)
            together = mass(part, part.row.kinds)
            dist.all_reduce(together, group=collectives.group)
            found[f"{engine}/{ranks}"] = _largest(together / tokens, alone / tokens)
    return found


def local_means(exchanges: dict[int, Collectives]) -> dict:
    """A mutation: each rank takes the mean over its own tokens, and ranks are averaged."""
    return trained({2: exchanges[2]}, local_means=True) if 2 in exchanges else {}


def selected(exchanges: dict[int, Collectives]) -> dict:
    """The highest share of scores on a shared row, with many ties, against the same in this process alone.

    In `local` every rank takes the highest share of its own: a mutation.
    """
    found = {}
    for (ranks, collectives), tokens, share in itertools.product(
        exchanges.items(), (3, 101), (0.0, 0.37, 1.0)
    ):
        layout = Layout(tokens, ranks)
        scores = torch.randint(
            0, 9, (tokens,), generator=torch.Generator().manual_seed(tokens)
        ).float()
        places = layout.places(collectives.rank)
        places = places[places < tokens]  # some ranks have fewer, or none
        true = top_fraction(scores, share, Collectives(alone=True))
        mine = top_fraction(scores[places], share, collectives, places)
        local = top_fraction(scores[places], share, Collectives(alone=True))
        found[f"{ranks}/{tokens}/{share}"] = {
            "right": torch.equal(mine, true[places]),
            "local": torch.equal(local, true[places]),
            "kept": int(true.sum()),
            "unplaced": int(top_fraction(scores[places], share, collectives).sum()),
            "separability": separability(scores[places], collectives),
            "of all": separability(scores),
        }
    scores = torch.full((4,), float("nan") if exchanges[4].rank == 2 else 1.0)
    try:
        top_fraction(scores, 0.5, exchanges[4])
    except OmniLabError as fault:
        found["says"] = f"{type(fault).__name__}: {fault}"
    return found


def negatives(exchanges: dict[int, Collectives]) -> dict:
    """Moments of four processes, one of which has none, against the same in this process alone.

    In `local` every rank takes the loss of its own: a mutation.
    """
    from omni_lab.training.losses.contrastive import of_all_processes

    counts, rank = (3, 0, 2, 1), exchanges[4].rank
    drawn = torch.randn(2, sum(counts), 8, generator=torch.Generator().manual_seed(0))
    ranks = drawn.split(counts, dim=1)

    def gradient(vectors: torch.Tensor, gather: Callable) -> tuple[float, torch.Tensor]:
        leaf = vectors.clone().requires_grad_()
        a, b = gather(leaf)
        loss = torch.logsumexp(a @ b.T, dim=1).sum() - (a * b).sum()
        loss.backward()
        return float(loss), leaf.grad

    true, slopes = gradient(drawn, lambda vectors: vectors)
    own = slopes.split(counts, dim=1)[rank]
    (loss, mine), (_, local) = (
        gradient(ranks[rank], gather) for gather in (of_all_processes, lambda vectors: vectors)
    )
    close = {"rtol": 1e-5, "atol": 1e-5}
    averaged = mine / len(counts)  # as data-parallel training does
    return {
        "loss": loss - true,
        "right": torch.allclose(averaged, own, **close),
        "local": torch.allclose(local, own, **close),
    }


def lost(exchanges: dict[int, Collectives], how: int, who: int = 1) -> dict:
    """A rank is lost in the second step: what the others say of it, and after how many seconds."""
    # with the timeout of its own that the trainer gives it: else a rank that has ended does not exit
    collectives = Collectives(dist.new_group(timeout=timedelta(seconds=4)), timeout_s=4.0)
    layout, edges, row, _, _ = drawn(Case(ranks=3))
    leaves = [
        layout.shard(row[name], collectives.rank, dim=2) for name in ("query", "key", "value")
    ]
    shared = ShardedRow(layout, collectives, edges)
    context_parallel_attention(*leaves, shared, engine="ring")
    started = time.monotonic()
    if collectives.rank == who:
        os.kill(os.getpid(), how)
    try:
        while True:
            context_parallel_attention(*leaves, shared, engine="ring")
    except OmniLabError as fault:
        says = f"{type(fault).__name__}: {fault}"
    del shared, collectives
    dist.destroy_process_group()  # as at exit: it waits for what the lost rank has left unfinished
    return {"says": says, "seconds": time.monotonic() - started}


def keeper_stalled(exchanges: dict[int, Collectives]) -> dict:
    """Rank 0 stands still, and with it the board by which the others would find out who does."""
    return lost(exchanges, signal.SIGSTOP, who=0)


def keeper_dead(exchanges: dict[int, Collectives]) -> dict:
    """Rank 0 dies, and with it the board."""
    return lost(exchanges, signal.SIGKILL, who=0)


def dead(exchanges: dict[int, Collectives]) -> dict:
    """Rank 1 dies."""
    return lost(exchanges, signal.SIGKILL)


def stalled(exchanges: dict[int, Collectives]) -> dict:
    """Rank 1 stands still."""
    return lost(exchanges, signal.SIGSTOP)


def kept_by_the_first(folder: Path, rank: int) -> dist.TCPStore:
    """The store that rank 0 keeps for all, as under `env://` without an agent; its port is told by a file."""
    port = folder / "port"
    if rank == 0:
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        port.with_suffix(".half").write_text(str(store.port))
        port.with_suffix(".half").rename(port)
        return store
    while not port.exists():
        time.sleep(0.02)
    return dist.TCPStore("127.0.0.1", int(port.read_text()))


def work(jobs: list[str], rank: int, ranks: int, folder: Path) -> None:
    """Do some jobs, one after the other, as one rank; what is printed goes to a file of its own."""
    with (folder / f"{rank}.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    torch.set_num_threads(1)
    kept = any("keeper" in job for job in jobs)
    where = {"store": kept_by_the_first(folder, rank)} if kept else {}
    dist.init_process_group(
        "gloo",
        **where or {"init_method": f"file://{folder / 'meeting'}"},
        rank=rank,
        world_size=ranks,
    )
    groups = {size: dist.new_group(list(range(size))) for size in range(1, ranks + 1)}
    exchanges = {
        size: Collectives(group, timeout_s=60) for size, group in groups.items() if rank < size
    }
    found = {job: globals()[job](exchanges) for job in jobs}
    (folder / f"{rank}.json").write_text(json.dumps(found))


def main() -> None:
    """Do all jobs until a rank that is to end does not end well, as the exit code says."""
    calls = [sys.argv[first : first + 4] for first in range(1, len(sys.argv), 4)]
    sys.exit(any(failed(*call) for call in calls))


def failed(jobs: str, ranks: str, folder: str, awaited: str) -> bool:
    """Start all ranks, wait for those that are to end, stop the others."""
    names, count = jobs.split(","), int(ranks)
    if "trained" in names:
        import omni_lab.training.losses.contrastive  # noqa: F401  # the model, which takes seconds, once

        lesson_batches()  # the same rows for every rank

    fork = multiprocessing.get_context("fork")
    started = [
        fork.Process(target=work, args=(names, rank, count, Path(folder))) for rank in range(count)
    ]
    for process in started:
        process.start()
    ends = [started[int(rank)] for rank in awaited.split(",")]
    for process in ends:
        process.join()
    for process in started:
        process.kill()
    return any(process.exitcode for process in ends)


if __name__ == "__main__":
    main()

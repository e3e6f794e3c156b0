"""Plan of one long-context training step of a decoder: time, memory and communication on paper.

Closed formulas and the simulated ring give one layer, multiplied by the layers. What the plan
assumes, and where it is too kind:

- Matrix products and the attention kernel reach a fixed fraction of the peak at any size. Others
  measured on 8 × H800 (64K tokens, Llama-3.1-8B's heads; github.com/zhuzilin/ring-flash-attention):
  a contiguous ring reaches 54 % of one GPU's flash attention and zigzag 90 %, forward alone 52 %
  and 85 %. The simulation gives 53 % and 99 %, forward alone 53 % and 100 %. The imbalance, which
  decides contiguous, is all in it. Not in it: partial results are merged in float32, small blocks
  run below the kernel's best, and communication takes some of the GPU's cores. The plan is an
  upper bound.
- The gather of weights and the scatter of their gradients hide in all the time that the links are
  free, in the first and last layer too. They use all of a node's network cards at once; a ring
  crosses from node to node over one card.
- Gathering keys and values, and Ulysses' exchanges, come before and after attention: nothing hides
  them.
- Weights, gradients and optimizer states are sharded over all GPUs, and layers are recomputed unless
  `recompute` is off. This package's own trainer does neither yet: every GPU holds the whole model
  and keeps all activations. Logits are counted as it makes them: a piece at a time, and once
  more in backward.
- The optimizer's step, data loading, and the image and audio encoders cost nothing here.

Glossary: T tokens · W ranks, the context-parallel size · t tokens per rank · D width
· V vocabulary · L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omni_lab.config import DecoderConfig
from omni_lab.config.types import PLANNED_ENGINES
from omni_lab.errors import UsageError
from omni_lab.parallel.cost import (
    BACKWARD_FLOPS,
    BF16,
    FLOAT32,
    MOST_TOKENS,
    Traffic,
    all_gather_traffic,
    attended_pairs,
    attention_flops,
    balance,
    ring_traffic,
    shard,
    ulysses_heads,
    ulysses_traffic,
)
from omni_lab.planner.machine import Machine
from omni_lab.planner.memory import layer_matrices, memory_per_gpu, parameters
from omni_lab.planner.simulate import Pass, hides_from, ring_passes, simulated_hides_from


@dataclass(frozen=True)
class Task:
    """Training task: a decoder, its sequence length, and its sharding over GPUs.

    Raises
    ------
    UsageError
        no such engine or layout, or the numbers do not fit together
    """

    decoder: DecoderConfig
    vocabulary: int  # V, entries of the embedding
    tokens: int  # T, of one sequence
    gpus: int  # in all; every group of `ranks` trains another sequence
    ranks: int  # W, the context-parallel size: GPUs that hold one sequence
    engine: str = "ring"  # ring, ulysses or allgather
    layout: str = "zigzag"  # contiguous or zigzag
    recompute: bool = True  # activation checkpointing: layers run forward again before backward
    supervised: float = 1.0  # fraction of tokens with a loss: only these meet the output layer

    def __post_init__(self) -> None:
        if self.engine not in PLANNED_ENGINES:
            raise UsageError(f"engine {self.engine!r}: there are {', '.join(PLANNED_ENGINES)}")
        if min(self.gpus, self.ranks) < 1 or self.gpus % self.ranks:
            message = f"{self.gpus} GPUs do not divide into groups of {self.ranks} ranks"
            raise UsageError(f"{message}: take a context-parallel size that divides {self.gpus}")
        least = shard(1, self.ranks, self.layout) * self.ranks
        if self.tokens < least:
            message = f"{self.tokens} tokens over {self.ranks} ranks: {self.layout} needs"
            raise UsageError(f"{message} {least} tokens or more")
        if not 0 <= self.supervised <= 1:
            raise UsageError(
                f"supervised = {self.supervised:g} is impossible: it must be between 0 and 1"
            )
        if self.vocabulary < 1:
            raise UsageError(f"vocabulary = {self.vocabulary} is impossible: it must be 1 or more")
        if self.engine == "ulysses":
            ulysses_heads(self.ranks, self.decoder.heads, self.decoder.kv_heads)


def plan_step(task: Task, machine: Machine) -> dict[str, Any]:
    """Plan of one training step, as a record in seconds, bytes and tokens.

    Returns `work_s`, `waiting_s` (for busier ranks), `exposed_attention_s`, `exposed_weights_s` and
    their sum `step_s`; `memory` of one GPU by purpose, what of it is `working` memory, the `total` at
    the peak, and whether it `fits`; `sent` by one GPU in
    one layer's attention; `hides`, whether that communication is hidden except for its last hop;
    `tokens_per_s` of one GPU; and `mfu`, the model FLOPs utilization: the model's operations,
    without masked pairs and without recomputing, over what the peak allows in that time (Chowdhery
    et al. 2022, who count the masked pairs too).

    Raises
    ------
    UsageError
        the tokens are too few for the layout, or sequences would lie across nodes unevenly
    """
    _check_groups(task, machine)
    decoder, held = task.decoder, shard(task.tokens, task.ranks, task.layout)
    rate = machine.peak_flops * machine.matmul_use
    layer_s = 2 * layer_matrices(decoder) * held / rate
    head_flops = 2 * task.vocabulary * decoder.width * task.supervised  # per token, on average
    forward, backward = attention_passes(task, machine)
    repeats = 2 if task.recompute else 1
    passes = [forward] * repeats + [backward]

    # weights and their gradients travel while attention leaves the links free
    free = layer_s + forward.total_s - forward.sending_s
    free_again = (repeats - 1) * free + 2 * layer_s + backward.total_s - backward.sending_s
    weights = parameters(decoder, task.vocabulary) / decoder.layers
    gather, scatter = (collective_s(weights * size, task.gpus, machine) for size in (BF16, FLOAT32))
    exposed_weights = max(0.0, gather - free) + max(0.0, gather + scatter - free_again)

    times = {
        "work_s": decoder.layers * ((repeats + 2) * layer_s + sum(p.work_s for p in passes))
        + 4 * head_flops * held / rate,  # logits are made twice
        "waiting_s": decoder.layers * sum(p.waiting_s for p in passes),
        "exposed_attention_s": decoder.layers * sum(p.exposed_s for p in passes),
        "exposed_weights_s": decoder.layers * exposed_weights,
    }
    step_s = sum(times.values())

    split = task.gpus, task.ranks, task.engine, task.recompute
    memory = memory_per_gpu(decoder, task.vocabulary, held, *split, task.supervised)
    pairs = task.tokens * (task.tokens + 1) // 2
    pair_flops = attention_flops(pairs, decoder.heads, decoder.head_dim)
    token_flops = 2 * decoder.layers * layer_matrices(decoder) + head_flops
    flops = 3 * (token_flops * task.tokens + decoder.layers * pair_flops) / task.ranks

    return {
        "tokens": task.tokens,
        "gpus": task.gpus,
        "ranks": task.ranks,
        "tokens_per_gpu": held,
        "step_s": step_s,
        **times,
        "memory": {**memory._asdict(), "working": memory.working, "total": memory.total},
        "fits": memory.total + machine.reserve <= machine.memory,
        "sent": sent_in_a_layer(task)._asdict(),
        "hides": forward.hides and backward.hides,
        "tokens_per_s": task.tokens / task.ranks / step_s,
        "mfu": flops / (step_s * machine.peak_flops),
    }


def attention_passes(task: Task, machine: Machine) -> tuple[Pass, Pass]:
    """Passes of one layer's attention, forward and backward: ring simulated, others by formula."""
    decoder, ranks = task.decoder, task.ranks
    if task.engine == "ring":
        return ring_passes(decoder, task.tokens, ranks, task.layout, machine)

    pairs = attended_pairs(task.tokens, ranks, task.layout)
    # Ulysses' ranks hold all tokens of their heads: their work is even
    uneven = balance(pairs) - 1 if task.engine == "allgather" else 0.0
    flops = attention_flops(int(pairs.sum()), decoder.heads, decoder.head_dim) / ranks
    work_s = flops / (machine.peak_flops * machine.attention_use)

    if task.engine == "ulysses":
        sending = [exchange_s(sent, ranks, machine) for sent in sent_in_a_layer(task)]
    else:
        padded = ranks * shard(task.tokens, ranks, task.layout)
        elements = 2 * padded * decoder.kv_heads * decoder.head_dim
        sizes = (elements * size for size in (BF16, FLOAT32))
        gather, scatter = (collective_s(size, ranks, machine) for size in sizes)
        sending = [gather, gather + scatter]

    forward, backward = (
        Pass(
            times * work_s, times * work_s * uneven, exposed_s=sent_s, sending_s=sent_s, tail_s=0.0
        )
        for times, sent_s in zip((1, BACKWARD_FLOPS), sending, strict=True)
    )
    return forward, backward


def sent_in_a_layer(task: Task) -> Traffic:
    """Communication volume of one layer's attention, in bytes per GPU, without weights."""
    decoder, held = task.decoder, shard(task.tokens, task.ranks, task.layout)
    if task.engine == "ulysses":
        return ulysses_traffic(held, task.ranks, decoder.heads, decoder.kv_heads, decoder.head_dim)
    traffic = ring_traffic if task.engine == "ring" else all_gather_traffic
    return traffic(held, task.ranks, decoder.kv_heads, decoder.head_dim)


def collective_s(size: float, gpus: int, machine: Machine) -> float:
    """All-gather or reduce-scatter time, in seconds, of `size` bytes in all on every GPU.

    All network cards of a node work at once, and NVLink beside them: the slower of the two decides.
    """
    inside, nodes = min(gpus, machine.node), -(-gpus // machine.node)
    network = size * (nodes - 1) / nodes / (inside * machine.network)
    nvlink = size * (gpus - 1) / gpus / machine.nvlink if inside > 1 else 0.0
    return max(network, nvlink) + (nodes - 1 + inside - 1) * machine.latency_s


def exchange_s(sent: float, ranks: int, machine: Machine) -> float:
    """All-to-all time, in seconds: every rank sends `sent` bytes to all others in two exchanges."""
    if ranks == 1:
        return 0.0
    inside = min(ranks, machine.node)
    nvlink, network = sent * (inside - 1) / (ranks - 1), sent * (ranks - inside) / (ranks - 1)
    return max(nvlink / machine.nvlink, network / machine.network) + 2 * machine.latency_s


def crossings(
    decoder: DecoderConfig, layout: str, machine: Machine
) -> dict[str, dict[str, float | None]]:
    """Crossing points: tokens per GPU from which a ring hides its communication, by link.

    `formula` is the closed form, for zigzag; `simulated` the result of the simulation, None where
    it hides at no length.
    """
    found = {}
    for link, ranks in (("nvlink", machine.node), ("network", max(4, 2 * machine.node))):
        if ranks < 3:  # too few steps for the closed form
            continue

        def passes(shard_tokens: int, ranks: int = ranks) -> tuple[Pass, Pass]:
            return ring_passes(decoder, shard_tokens * ranks, ranks, layout, machine)

        formula = (
            {"formula": hides_from(decoder, getattr(machine, link), machine)}
            if layout == "zigzag"
            else {}
        )
        found[link] = {**formula, "simulated": simulated_hides_from(passes, MOST_TOKENS // ranks)}
    return found


def most_ranks(tokens: int, found: dict[str, dict[str, float | None]], machine: Machine) -> int:
    """Largest context-parallel size whose ring hides its communication, by `crossings`."""
    least = {
        link: crossing["simulated"] for link, crossing in found.items() if crossing["simulated"]
    }
    wide, inside = (
        int(tokens // least[link]) if link in least else 1 for link in ("network", "nvlink")
    )
    return wide if wide > machine.node else max(1, min(inside, machine.node))


def _check_groups(task: Task, machine: Machine) -> None:
    """Placement of sequences on nodes: whole nodes, or several sequences per node."""
    even = machine.node % task.ranks == 0 or task.ranks % machine.node == 0
    if task.gpus > task.ranks and not even:
        message = (
            f"sequences of {task.ranks} ranks lie across nodes of {machine.node} GPUs unevenly"
        )
        raise UsageError(f"{message}; take divisors or multiples of {machine.node}")

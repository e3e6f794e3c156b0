"""How long a ring takes: a simulation of one layer's pass over W ranks, and where communication stops hiding.

At every step a rank attends to the keys and values it has while the next ones are under way; it goes on when its own
work is done and what it sends and receives has arrived. So ranks wait for their neighbours, and one slow link holds up
the whole ring. Where all ranks and links are equal, a step takes max(compute, communication).

Glossary: W ranks · S steps · H query heads · H2 key and value heads · K head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from omni_lab.config import DecoderConfig
from omni_lab.parallel.cost import (
    BACKWARD_FLOPS,
    BF16,
    FLOAT32,
    attention_flops,
    block_pairs,
    shard,
)
from omni_lab.planner.machine import Machine

TINY = 1e-9  # of a pass: what sums of times may differ by


@dataclass(frozen=True)
class Pass:
    """Seconds of one pass of one layer: work, the wait for busier ranks, and communication that nothing hides."""

    work_s: float  # computing, mean over ranks
    waiting_s: (
        float  # what more it would take if communication cost nothing: ranks have unequal work
    )
    exposed_s: float  # what more it takes since communication does cost
    sending_s: float  # how long the slowest link is busy, hidden or not
    tail_s: float  # the part of what is exposed that comes after all work, and that no length of context hides
    step_s: tuple[
        float, ...
    ] = ()  # from when the last rank began a step to when the last one ended it

    @property
    def total_s(self) -> float:
        """Seconds from the first rank's start to the last one's end."""
        return self.work_s + self.waiting_s + self.exposed_s

    @property
    def efficiency(self) -> float:
        """Work over time: 1 where no rank ever waits."""
        return self.work_s / self.total_s

    @property
    def hides(self) -> bool:
        """Whether communication hides behind the work, but for what comes after it."""
        return self.exposed_s <= self.tail_s + TINY * self.total_s


def simulate_ring(
    work_s: Float[np.ndarray, "W S"],
    sent: Int64[np.ndarray, " S"],
    bandwidth: Float[np.ndarray, " W"],
    latency_s: float,
) -> Pass:
    """Run a ring of ranks in lock-step with their neighbours, each event as early as what it waits for allows.

    Parameters
    ----------
    work_s : seconds that every rank computes in every step
    sent : bytes that every rank sends to the next one while it computes that step; 0 sends nothing
    bandwidth : bytes per second from every rank to the next, the last one's to the first
    latency_s : seconds before a message's first byte is there

    >>> even = simulate_ring(np.full((4, 4), 2.0), np.array([3, 3, 3, 0]), np.ones(4), latency_s=0.5)
    >>> even.total_s, even.exposed_s, even.step_s
    (12.5, 4.5, (3.5, 3.5, 3.5, 2.0))
    """
    transfer_s = np.where(sent > 0, sent / bandwidth[:, None] + latency_s, 0.0)  # W S
    ends = _ends(work_s, transfer_s, sent > 0)
    free = _ends(work_s, np.zeros_like(transfer_s), sent > 0)
    work = float(work_s.sum(1).mean())
    after = work_s.any(0).nonzero()[0].max(initial=-1) + 1  # the first step without any work
    return Pass(
        work_s=work,
        waiting_s=max(0.0, float(free[-1]) - work),
        exposed_s=float(ends[-1] - free[-1]),
        sending_s=float(transfer_s.max(0).sum()),
        tail_s=float(transfer_s[:, after:].max(0).sum()),
        step_s=tuple(np.diff(ends, prepend=0.0).tolist()),
    )


def _ends(
    work_s: Float[np.ndarray, "W S"], transfer_s: Float[np.ndarray, "W S"], sends: np.ndarray
) -> Float[np.ndarray, " S"]:
    """When the last rank is done with every step."""
    start = np.zeros(len(work_s))
    ends = []
    for step in range(work_s.shape[1]):
        done = start + work_s[:, step]
        if sends[
            step
        ]:  # a transfer begins when both sides are there; sender and receiver wait for its end
            arrived = np.maximum(start, np.roll(start, -1)) + transfer_s[:, step]
            done = np.maximum(done, np.maximum(arrived, np.roll(arrived, 1)))
        start = done
        ends.append(start.max())
    return np.array(ends)


def ring_bandwidth(ranks: int, machine: Machine) -> Float[np.ndarray, " W"]:
    """Bytes per second from every rank to the next, nodes filled in turn: a hop to another node takes the network."""
    rank = np.arange(ranks)
    inside = rank // machine.node == (rank + 1) % ranks // machine.node
    return np.where(inside, float(machine.nvlink), float(machine.network))


def by_step(pairs: Int64[np.ndarray, "W W"]) -> Int64[np.ndarray, "W S"]:
    """Order every rank's blocks as they come to it: its own keys first, then those of the rank before it, and so on.

    >>> by_step(block_pairs(6, 3, "contiguous")).tolist()
    [[3, 0, 0], [3, 4, 0], [3, 4, 4]]
    """
    rank, step = np.ogrid[: len(pairs), : len(pairs)]
    return pairs[rank, (rank - step) % len(pairs)]


def ring_passes(
    decoder: DecoderConfig, tokens: int, ranks: int, layout: str, machine: Machine
) -> tuple[Pass, Pass]:
    """Simulate ring attention in one layer, forward and backward, with the messages that `ring_traffic` counts.

    Forward, K and V go on in all steps but the last. Backward, the gradients of a step travel during the next one, K
    and V beside them; the last hop brings them home when no work is left to hide it.
    """
    flops = attention_flops(1, decoder.heads, decoder.head_dim) / (
        machine.peak_flops * machine.attention_use
    )
    seconds = flops * by_step(block_pairs(tokens, ranks, layout))  # W S
    elements = 2 * shard(tokens, ranks, layout) * decoder.kv_heads * decoder.head_dim
    moves = np.arange(ranks + 1) < ranks - 1
    keys = BF16 * elements * moves.astype(np.int64)
    gradients = FLOAT32 * elements * (np.arange(ranks + 1) >= 1).astype(np.int64) * (ranks > 1)
    bandwidth = ring_bandwidth(ranks, machine)
    backward_s = np.hstack([BACKWARD_FLOPS * seconds, np.zeros((ranks, 1))])
    return (
        simulate_ring(seconds, keys[:-1], bandwidth, machine.latency_s),
        simulate_ring(backward_s, keys + gradients, bandwidth, machine.latency_s),
    )


def hides_from(decoder: DecoderConfig, bandwidth: float, machine: Machine) -> float:
    """Tokens per GPU from which a zigzag ring of three ranks or more hides its communication, in closed form.

    A step computes t² / 2 pairs and sends t tokens' K and V; backward, 2.5 times the work stands against them and their
    gradients. So work catches up as t grows: a t² = b t + λ, which Ring Attention (Liu et al. 2023) gives without
    the latency λ. The answer is the larger of forward's and backward's, and does not depend on W.

    Parameters
    ----------
    bandwidth : of the slowest link, bytes per second
    """
    rate = machine.peak_flops * machine.attention_use
    found = []
    for flops, element in ((1, BF16), (BACKWARD_FLOPS, BF16 + FLOAT32)):
        a = flops * attention_flops(1, decoder.heads, decoder.head_dim) / (2 * rate)
        b = 2 * decoder.kv_heads * decoder.head_dim * element / bandwidth
        found.append((b + (b * b + 4 * a * machine.latency_s) ** 0.5) / (2 * a))
    return max(found)


def simulated_hides_from(
    passes: Callable[[int], tuple[Pass, Pass]], most: int = 1 << 24
) -> int | None:
    """Search the fewest tokens per GPU, an even number, at which both simulated passes hide their communication.

    Parameters
    ----------
    passes : simulates forward and backward at so many tokens per GPU
    most : tokens per GPU that are tried at most; None where communication does not hide even there
    """
    short, long = 0, most // 2
    if not all(found.hides for found in passes(2 * long)):
        return None
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (
            (short, middle) if all(found.hides for found in passes(2 * middle)) else (middle, long)
        )
    return 2 * long

"""Simulation of ring attention in one layer: compute, communication, and when one hides the other.

At every step a rank attends to the keys and values that it holds while the next ones are being
received; it goes on when its own work is done and its transfers are complete. Ranks therefore wait
for their neighbours, and one slow link holds up the whole ring. Where all ranks and links are
equal, a step takes max(compute, communication).

Glossary: W ranks · T tokens · t tokens per rank · H query heads · G key/value heads · K head width.
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

TINY = 1e-9  # fraction of a pass: rounding error of its sums of times


@dataclass(frozen=True)
class Pass:
    """Time of one pass of one layer, in seconds: work, waiting, and exposed communication."""

    work_s: float  # computing, mean over ranks
    waiting_s: float  # waiting for busier ranks, as if communication took no time
    exposed_s: float  # added by communication that no work hides
    sending_s: float  # the slowest link is busy, hidden or not
    tail_s: float  # exposed after all work is done, which no length of context hides
    # of every step, from the last rank's start to the last rank's end
    step_s: tuple[float, ...] = ()

    @property
    def total_s(self) -> float:
        """Total time, in seconds from the first rank's start to the last one's end."""
        return self.work_s + self.waiting_s + self.exposed_s

    @property
    def efficiency(self) -> float:
        """Efficiency: work over total time, 1 where no rank ever waits."""
        return self.work_s / self.total_s

    @property
    def hides(self) -> bool:
        """Overlap: whether communication hides behind the work, except in the tail after it."""
        return self.exposed_s <= self.tail_s + TINY * self.total_s


def simulate_ring(
    work_s: Float[np.ndarray, "W steps"],
    sent: Int64[np.ndarray, " steps"],
    bandwidth: Float[np.ndarray, " W"],
    latency_s: float,
) -> Pass:
    """Discrete-event simulation of a ring whose ranks wait for both neighbours in every step.

    Parameters
    ----------
    work_s : seconds that every rank computes in every step
    sent : bytes that every rank sends to the next one during that step; 0 sends nothing
    bandwidth : bytes per second from every rank to the next, the last one's to the first
    latency_s : seconds until a message's first byte arrives

    >>> work_s, sent = np.full((4, 4), 2.0), np.array([3, 3, 3, 0])
    >>> even = simulate_ring(work_s, sent, np.ones(4), latency_s=0.5)
    >>> even.total_s, even.exposed_s, even.step_s
    (12.5, 4.5, (3.5, 3.5, 3.5, 2.0))
    """
    transfer_s = np.where(sent > 0, sent / bandwidth[:, None] + latency_s, 0.0)  # W steps
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
    work_s: Float[np.ndarray, "W steps"],
    transfer_s: Float[np.ndarray, "W steps"],
    sends: np.ndarray,
) -> Float[np.ndarray, " steps"]:
    """End of every step at the last rank, in seconds from the start."""
    start = np.zeros(len(work_s))
    ends = []
    for step in range(work_s.shape[1]):
        done = start + work_s[:, step]
        if sends[step]:
            # a transfer begins when both sides are ready; sender and receiver wait for its end
            arrived = np.maximum(start, np.roll(start, -1)) + transfer_s[:, step]
            done = np.maximum(done, np.maximum(arrived, np.roll(arrived, 1)))
        start = done
        ends.append(start.max())
    return np.array(ends)


def ring_bandwidth(ranks: int, machine: Machine) -> Float[np.ndarray, " W"]:
    """Bandwidth from every rank to the next, in bytes per second, nodes filled in turn.

    NVLink inside a node, the network from node to node.
    """
    rank = np.arange(ranks)
    inside = rank // machine.node == (rank + 1) % ranks // machine.node
    return np.where(inside, float(machine.nvlink), float(machine.network))


def by_step(pairs: Int64[np.ndarray, "W W"]) -> Int64[np.ndarray, "W steps"]:
    """Pairs by step of the ring: a rank's own keys first, then those of the rank before it.

    >>> by_step(block_pairs(6, 3, "contiguous")).tolist()
    [[3, 0, 0], [3, 4, 0], [3, 4, 4]]
    """
    rank, step = np.ogrid[: len(pairs), : len(pairs)]
    return pairs[rank, (rank - step) % len(pairs)]


def ring_passes(
    decoder: DecoderConfig, tokens: int, ranks: int, layout: str, machine: Machine
) -> tuple[Pass, Pass]:
    """Simulated ring attention of one layer, forward and backward, with `ring_traffic`'s messages.

    Forward, K and V go on in all steps but the last. Backward, the gradients of a step travel
    during the next one, K and V beside them; the last hop returns them to their own rank when no
    work is left to hide it.
    """
    flops = attention_flops(1, decoder.heads, decoder.head_dim) / (
        machine.peak_flops * machine.attention_use
    )
    seconds = flops * by_step(block_pairs(tokens, ranks, layout))  # W steps
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
    """Tokens per GPU above which a zigzag ring of W ≥ 3 hides its communication, in closed form.

    A step computes t² / 2 pairs and sends t tokens' K and V; backward, 2.5 times the work stands
    against them and their gradients. Work catches up as t grows: a t² = b t + λ, which Ring
    Attention (Liu et al. 2023) gives without the latency λ. The result is the larger of forward's
    and backward's, and does not depend on W.

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
    """Fewest tokens per GPU, an even number, at which both simulated passes hide communication.

    Found by bisection; None where communication does not hide even at `most`.

    Parameters
    ----------
    passes : simulates forward and backward at a number of tokens per GPU
    most : tokens per GPU that are tried at most
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

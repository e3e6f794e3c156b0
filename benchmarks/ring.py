"""What ring attention costs: two processes of one thread against one process of two, and what travels and is held.

    python benchmarks/ring.py [--quick]

The floor is torch's own causal attention over the whole row in one process with two threads, forward and backward with
a random gradient, float32; the ring does the same work in two processes with one thread each. Both are run in turn, on
an otherwise idle machine; the value is the floor's time over the ring's, median over rounds: 1 would be communication
and bookkeeping for nothing. Beside it, from the same run: the balance of layouts, a row of short documents with and
without looking at what is masked, bytes that left a rank against theory, and the memory of a rank as ranks are added.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from omni_lab.parallel.collectives import Collectives

# omni_lab comes before torch, whose threads then sleep while they wait
# isort: split
import psutil
import torch
import torch.distributed as dist
from torch.nn import functional as F

from omni_lab.parallel.cost import attended_pairs, balance, ring_traffic
from omni_lab.parallel.layout import Layout
from omni_lab.parallel.ring import ring_attention
from omni_lab.parallel.sharded_row import ShardedRow

GOAL = 0.90
HEADS, KEY_HEADS, WIDTH = 8, 2, 64
MEMORY_HEADS, MEMORY_KEY_HEADS, MEMORY_WIDTH = (
    32,
    4,
    128,
)  # much to hold beside what there is to compute


def drawn(heads: tuple[int, int], tokens: int, width: int) -> list[torch.Tensor]:
    """Query, key, value and the gradient that comes from above."""
    return [
        torch.randn(1, count, tokens, width) for count in (heads[0], heads[1], heads[1], heads[0])
    ]


def both_ways(attention, query, key, value, grad) -> None:
    """Forward and backward."""
    leaves = [x.detach().requires_grad_() for x in (query, key, value)]
    attention(*leaves).backward(grad)


class Peak:
    """The most memory that this process holds while the block runs, beyond what it held before, in bytes."""

    def __enter__(self) -> Peak:
        self.process, self.done = psutil.Process(), threading.Event()
        self.before = self.most = self.process.memory_info().rss
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        """Look every other millisecond."""
        while not self.done.wait(0.002):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(self, *_) -> None:
        self.done.set()
        self.thread.join()
        self.held = self.most - self.before


class Ranks:
    """Processes of one thread each, which do what they are told at the same time, once for every line they read."""

    def __init__(self, ranks: int, job: str, tokens: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        calls = [
            [sys.executable, __file__, "--rank", str(rank), str(ranks), job, str(tokens)]
            for rank in range(ranks)
        ]
        self.processes = [
            subprocess.Popen(
                [*call, self.folder.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for call in calls
        ]

    def go(self) -> list[dict]:
        """Let all of them do their work once; what each has measured."""
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process in self.processes]

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes:
            process.stdin.close()
            process.wait(60)
        self.folder.cleanup()


def be_rank(rank: int, ranks: int, job: str, tokens: int, folder: str) -> None:
    """Be one of them: measure a pass of the ring for every line on standard input."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks
    )
    collectives = Collectives()
    layout = Layout(tokens, ranks)
    heads, width = (
        ((HEADS, KEY_HEADS), WIDTH)
        if job == "time"
        else ((MEMORY_HEADS, MEMORY_KEY_HEADS), MEMORY_WIDTH)
    )
    row = ShardedRow(layout, collectives)
    warm = ShardedRow(Layout(64 * ranks, ranks), collectives)
    *few, grad = drawn(heads, warm.layout.per_rank, width)
    both_ways(lambda *x: ring_attention(*x, warm), *few, grad)
    for _ in sys.stdin:
        sent = collectives.sent
        with Peak() as peak:
            *parts, grad = drawn(heads, layout.per_rank, width)
            dist.barrier()
            started = time.perf_counter()
            both_ways(lambda *x: ring_attention(*x, row), *parts, grad)
            seconds = time.perf_counter() - started
        print(
            json.dumps({"seconds": seconds, "sent": collectives.sent - sent, "held": peak.held}),
            flush=True,
        )
    dist.destroy_process_group()


def seconds_of(attention, *tensors) -> float:
    """Wall time of one pass, both ways."""
    started = time.perf_counter()
    both_ways(attention, *tensors)
    return time.perf_counter() - started


def against_one_process(tokens: int, rounds: int) -> list[float]:
    """The floor's time over the ring's, once per round."""
    ratios = []
    whole = drawn((HEADS, KEY_HEADS), tokens, WIDTH)
    with Ranks(2, "time", tokens) as two:
        two.go()
        for number in range(rounds):
            one = seconds_of(
                lambda *x: F.scaled_dot_product_attention(*x, is_causal=True, enable_gqa=True),
                *whole,
            )
            found = two.go()
            ring = max(rank["seconds"] for rank in found)
            ratios.append(one / ring)
            print(
                f"round {number + 1}: one process {one:.2f} s, two {ring:.2f} s: {one / ring:.3f}"
            )
    theory = ring_traffic(tokens // 2, 2, KEY_HEADS, WIDTH, element=4)
    print(f"{found[0]['sent'] / 1e6:.1f} MB left a rank, {sum(theory) / 1e6:.1f} MB by the formula")
    assert found[0]["sent"] == sum(theory)
    return ratios


def documents(tokens: int) -> None:
    """Print what it saves to know documents, against a mask over all pairs."""
    edges = list(range(0, tokens + 1, tokens // 16))
    tensors = drawn((HEADS, KEY_HEADS), tokens, WIDTH)
    row = ShardedRow(Layout(tokens), Collectives(alone=True), edges)
    number = torch.arange(tokens) // (tokens // 16)
    mask = (number[:, None] == number).tril()
    dense = seconds_of(
        lambda *x: F.scaled_dot_product_attention(*x, attn_mask=mask, enable_gqa=True), *tensors
    )
    aware = seconds_of(lambda *x: ring_attention(*x, row), *tensors)
    pairs = attended_pairs(tokens, 1, cu_seqlens=edges).sum()
    message = f"{tokens} tokens in 16 documents: {dense:.2f} s with a mask over all pairs, {aware:.2f} s by documents"
    print(
        f"{message}: {dense / aware:.1f} times as fast; 1 pair in {tokens**2 / pairs:.0f} is attention's"
    )


def memory(tokens: int) -> None:
    """Print what a rank holds at its peak, beyond an idle one, as ranks are added."""
    held = {}
    for ranks in (1, 2, 4):
        with Ranks(ranks, "memory", tokens) as processes:
            held[ranks] = max(rank["held"] for rank in processes.go())
        share = held[ranks] / held[1]
        print(
            f"{ranks} ranks, {tokens} tokens: {held[ranks] / 1e6:.0f} MB per rank at the peak, {share:.2f} of one's"
        )


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    if sys.argv[1:2] == ["--rank"]:
        rank, ranks, job, tokens, folder = sys.argv[2:]
        be_rank(int(rank), int(ranks), job, int(tokens), folder)
        return
    parser = argparse.ArgumentParser(
        description="Two processes of one thread against one process of two."
    )
    parser.add_argument(
        "--quick", action="store_true", help="4,096 tokens and 3 rounds, instead of 8,192 and 7"
    )
    quick = parser.parse_args().quick
    tokens, rounds = (4096, 3) if quick else (8192, 7)
    torch.set_num_threads(2)
    ratios = against_one_process(tokens, rounds)
    for ranks in (2, 4, 8):
        even, not_even = (
            balance(attended_pairs(tokens, ranks, kind)) for kind in ("zigzag", "contiguous")
        )
        theory = f"2 − 1/{ranks} = {2 - 1 / ranks:.3f}"
        print(
            f"{ranks} ranks: the dearest does {even:.3f} of the mean in zigzag, {not_even:.3f} contiguous ({theory})"
        )
    documents(tokens)
    memory(tokens)
    value = statistics.median(ratios)
    print(
        f"two processes of one thread do {value:.3f} of what one process of two does (goal {GOAL})"
    )
    result = {"name": "ring", "value": round(value, 3), "unit": "of one process", "goal": GOAL}
    spread = round(max(ratios) - min(ratios), 3)
    print(json.dumps({**result, "holds": value >= GOAL, "spread": spread, "n": rounds}))


if __name__ == "__main__":
    main()

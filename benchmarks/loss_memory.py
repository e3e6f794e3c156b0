"""Peak memory of the chunked loss of tokens relative to that of full logits, forward and backward.

    python benchmarks/loss_memory.py [--quick]

2,048 tokens of width 256, in pieces and with all logits at once, for a vocabulary of 32,000 words and one of 150,000.
Memory is that of the loss alone, at its peak beyond what was held before, in a fresh process each. The value is the
fraction for the larger vocabulary, median over rounds; `holds` is about both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from omni_lab.model.loss import token_losses

# omni_lab comes before torch, whose threads then sleep while they wait
# isort: split
import torch
from ring import Peak
from torch.nn import functional as F

FEW, MANY = 32_000, 150_000
MOST = {FEW: 1 / 5, MANY: 1 / 8}  # of the memory that all logits take, by vocabulary
TOKENS, WIDTH = 2048, 256


def held(way: str, vocabulary: int) -> int:
    """Peak memory, in bytes, of forward and backward of the loss."""
    torch.manual_seed(0)
    states = torch.randn(TOKENS, WIDTH, requires_grad=True)
    weight = (torch.randn(vocabulary, WIDTH) / 16).requires_grad_()
    targets = torch.randint(vocabulary, (TOKENS,))

    def whole(states, weight, targets):
        return F.cross_entropy(states @ weight.T, targets, reduction="none")

    loss = token_losses if way == "pieces" else whole
    loss(states[:8], weight, targets[:8]).sum().backward()  # gradients are there already
    with Peak() as peak:
        loss(states, weight, targets).sum().backward()
    return peak.held


def share(vocabulary: int) -> float:
    """Peak memory of the chunked loss as a fraction of full logits, one process per measurement."""
    found = {}
    for way in ("pieces", "whole"):
        call = [sys.executable, __file__, "--held", way, str(vocabulary)]
        found[way] = int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    print(
        f"{vocabulary:,} words: {found['pieces'] / 2**20:.0f} MiB in pieces, "
        f"{found['whole'] / 2**20:.0f} MiB with all logits"
    )
    return found["pieces"] / found["whole"]


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    if sys.argv[1:2] == ["--held"]:
        print(held(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description="Memory of the loss of tokens.")
    parser.add_argument("--quick", action="store_true", help="one round, not three")
    rounds = 1 if parser.parse_args().quick else 3

    shares = {words: [share(words) for _ in range(rounds)] for words in MOST}
    medians = {words: statistics.median(found) for words, found in shares.items()}
    for words, median in medians.items():
        print(f"{words:,} words: {median:.3f} of all logits, goal at most {MOST[words]:.3f}")
    result = {
        "name": "loss_memory",
        "value": round(medians[MANY], 3),
        "unit": "of all logits",
        "goal": MOST[MANY],
        "holds": all(medians[words] <= most for words, most in MOST.items()),
        "spread": round(max(shares[MANY]) - min(shares[MANY]), 3),
        "n": rounds,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

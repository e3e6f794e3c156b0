"""Training throughput beside a busy process, as a fraction of its throughput on a quiet machine.

    python benchmarks/busy_machine.py [--quick]

A laptop always has other work. With two threads on two cores and one busy process, a fair share is .75 at most (1.5 of
2 cores), less what is lost where one thread waits for the other. Quiet and busy in turn; median over rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from training import loop, result

from omni_lab.config import tiny

GOAL = 0.45


@contextmanager
def busy_process() -> Iterator[None]:
    """A process that never rests, for as long as the context lasts."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Measure in turn, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Training throughput beside a busy process.")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    quick = parser.parse_args().quick
    rounds, steps = (2, 10) if quick else (5, 20)
    ratios = []
    for number in range(rounds):
        quiet = loop(tiny(), steps)
        with busy_process():
            busy = loop(tiny(), steps)
        ratios.append(busy / quiet)
        print(
            f"round {number + 1}: quiet {quiet:,.0f}, busy {busy:,.0f} tokens/s, ratio {ratios[-1]:.2f}"
        )
    print(json.dumps(result("busy machine", ratios, GOAL)))


if __name__ == "__main__":
    main()

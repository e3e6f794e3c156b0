"""Reading a training log of a million lines, CPU time and memory: CSV, flat JSONL, and JSONL as our runs write it.

    python benchmarks/logs.py [--quick]

Each reading is a fresh interpreter, measured by its CPU seconds and its peak memory; beside it stands the CPU time of
walking over the same lines and doing nothing. The value is the slowest format's CPU time for a million lines (with
`--quick` scaled up from a fifth, what starting takes counted once).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

GOAL_S, GOAL_MB = 12.0, 500.0  # CPU seconds; 10⁶ bytes
LINES = 1_000_000
READ = """
import json, resource, sys
from omni_lab.analysis.logs import read_log
log = read_log(sys.argv[1])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3, len(log.curves[log.main].steps)]))
"""
START = """
import json, resource
import omni_lab.analysis.logs.reader, pyarrow.json
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3, 0]))
"""
WALK = """
import json, resource, sys
count = sum(1 for _ in open(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3, count]))
"""


def csv_line(step: int) -> str:
    """A line of seven columns, as a logger writes it."""
    loss = 9 / (1 + step) ** 0.3 + step % 7 / 50
    return f"{step},{step // 100_000},{loss:.6f},{1e-3 * (1 - step / LINES):.6g},{loss / 3:.5f},{step * 4096},"


def flat_line(step: int) -> str:
    """An object of four numbers."""
    loss = 9 / (1 + step) ** 0.3 + step % 7 / 50
    return json.dumps({"step": step, "loss": loss, "lr": 1e-3, "grad_norm": loss / 3})


def own_line(step: int) -> str:
    """A line of our own run folder: stage, parts of the loss, norms, facts and senses."""
    loss = 9 / (1 + step) ** 0.3 + step % 7 / 50
    row = {
        "stage": "omni", "step": step, "loss": loss, "stream": loss / 2, "caption": loss / 2, "lr": 1e-3,
        "tokens": 1800 + step % 7, "seconds": 0.4 + step % 9 / 100,
        "grad_norm": {"image": loss, "decoder": loss * 3, "connector": loss * 2},
        "facts": {"colour": loss / 3, **({"word": loss / 2} if step % 3 else {})},
        "senses": {"image": loss / 3, "audio": loss / 2},
    }  # fmt: skip
    return json.dumps(row)


FORMATS = {
    "log.csv": ("step,epoch,train_loss,lr,grad_norm,tokens,val_loss", csv_line),
    "flat.jsonl": (None, flat_line),
    "metrics.jsonl": (None, own_line),
}


def written(path: Path, lines: int) -> Path:
    """A log of so many lines."""
    header, line = FORMATS[path.name]
    with path.open("w") as file:
        if header:
            file.write(header + "\n")
        for step in range(lines):
            file.write(line(step) + "\n")
    return path


def measured(code: str, path: Path | str = "") -> tuple[float, float, int]:
    """CPU seconds, peak memory in MB, and rows found, of a fresh interpreter."""
    call = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(
        description="CPU time and memory of reading a log of a million lines."
    )
    parser.add_argument("--quick", action="store_true", help="200,000 lines, once each")
    quick = parser.parse_args().quick
    lines, repeats = (LINES // 5, 1) if quick else (LINES, 3)
    times, peaks, start = {}, {}, measured(START)[0]
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            path = written(Path(folder) / name, lines)
            found = [measured(READ, path) for _ in range(repeats)]
            if {rows for _, _, rows in found} != {lines}:
                raise SystemExit(f"{name}: {found[0][2]} rows read of {lines}")
            times[name] = sorted(
                start + (seconds - start) * LINES / lines for seconds, _, _ in found
            )
            peaks[name] = max(peak for _, peak, _ in found)
            bare = measured(WALK, path)[0] * LINES / lines
            size = path.stat().st_size / 1e6
            middle = statistics.median(times[name])
            print(
                f"{name:<14}{lines:>10,} lines, {size:>5.0f} MB: {middle:5.1f} s CPU for a million "
                f"(walking over the lines {bare:.1f} s), peak {peaks[name]:.0f} MB"
            )
            path.unlink()
    slowest = max(times, key=lambda name: statistics.median(times[name]))
    value, peak = statistics.median(times[slowest]), max(peaks.values())
    print(
        f"slowest {slowest}: {value:.1f} s (goal {GOAL_S:g}); peak {peak:.0f} MB (goal {GOAL_MB:g})"
    )
    result = {
        "name": "logs",
        "value": round(value, 2),
        "unit": "CPU s for a million lines of the slowest format",
        "goal": GOAL_S,
        "holds": value <= GOAL_S and peak <= GOAL_MB,
    }
    spread = times[slowest][-1] - times[slowest][0]
    print(json.dumps({**result, "spread": round(spread, 2), "n": repeats}))


if __name__ == "__main__":
    main()

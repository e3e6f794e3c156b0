"""How soon the package and its command answer: CPU time of `import omni_lab` and of `omni-lab --help`.

    python benchmarks/import_time.py [--quick]

Each is a fresh interpreter, measured by the CPU seconds (user and system) of that process, so that other work on the
machine counts little; a bare `python -c pass` stands beside them. The value is the share of its goal that the slower of
the two takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys

GOALS = {"import omni_lab": 0.3, "omni-lab --help": 0.6}  # CPU seconds
CODE = {
    "python -c pass": "pass",
    "import omni_lab": "import omni_lab",
    "omni-lab --help": "import sys; from omni_lab.cli.main import main; sys.exit(main(['--help']))",
}


def cpu_seconds(code: str) -> float:
    """CPU time of one fresh interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="CPU time of import omni_lab and omni-lab --help.")
    parser.add_argument("--quick", action="store_true", help="5 runs of each instead of 21")
    runs = 5 if parser.parse_args().quick else 21
    medians, worst_spread = {}, 0.0
    for name, code in CODE.items():
        cpu_seconds(code)  # the first run compiles and warms the file cache
        times = sorted(cpu_seconds(code) for _ in range(runs))
        medians[name] = statistics.median(times)
        goal = f"   goal {GOALS[name]:.1f} s" if name in GOALS else ""
        print(
            f"{name:<18}{medians[name]:.3f} s CPU (median of {runs}, {times[0]:.3f} to {times[-1]:.3f}){goal}"
        )
        if name in GOALS:
            worst_spread = max(worst_spread, (times[-1] - times[0]) / GOALS[name])
    value = max(medians[name] / goal for name, goal in GOALS.items())
    result = {
        "name": "import_time",
        "value": round(value, 3),
        "unit": "share of the allowed CPU time",
        "goal": 1.0,
    }
    print(
        json.dumps({**result, "holds": value <= 1.0, "spread": round(worst_spread, 3), "n": runs})
    )


if __name__ == "__main__":
    main()

"""Run every benchmark of this folder and print one table: `python benchmarks [--quick]`, or `make bench`.

Each file is a program whose last line is one JSON object; `holds` in the table says whether its goal was met in this
run. A goal that is missed is shown and decides nothing; only a benchmark that breaks ends this with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

FIELDS = ("name", "value", "unit", "goal", "holds", "spread", "n")


def result_of(output: str) -> dict:
    """The JSON object in the last line of a benchmark's output."""
    result = json.loads(output.strip().splitlines()[-1])
    missing = [field for field in FIELDS if field not in result]
    if missing:
        raise ValueError(f"the last line lacks {', '.join(missing)}")
    return result


def run(path: Path, options: list[str]) -> str:
    """Run one benchmark, showing what it prints while it prints it."""
    with subprocess.Popen(
        [sys.executable, str(path), *options], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, path.name)
    return "".join(lines)


def main() -> int:
    """Run all, print the table, and return 1 where a benchmark broke."""
    parser = argparse.ArgumentParser(description="Run every benchmark and print one table.")
    parser.add_argument("--quick", action="store_true", help="each benchmark ends within a minute")
    options = ["--quick"] if parser.parse_args().quick else []
    results, broken = [], []
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        print(f"\n== {path.stem}", flush=True)
        try:
            results.append(result_of(run(path, options)))
        except (subprocess.CalledProcessError, ValueError, IndexError) as error:
            broken.append(f"{path.stem}: {error}")
    print(f"\n{'benchmark':<18}{'value':>9}  {'goal':>7}  {'holds':<6}{'spread':>8}{'n':>5}  unit")
    for result in results:
        holds = "yes" if result["holds"] else "NO"
        numbers = f"{result['value']:>9.3g}  {result['goal']:>7.3g}  {holds:<6}{result['spread']:>8.2g}{result['n']:>5}"
        print(f"{result['name']:<18}{numbers}  {result['unit']}")
    for line in broken:
        print(f"broken: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

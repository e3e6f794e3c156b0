"""Record of an experiment, `results/<id>/record.json`: environment, seeds, metrics, verdict.

The criteria are written down before the experiment runs; the record judges each of them.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.config import Config, config_hash
from omni_lab.errors import InputError
from omni_lab.storage import in_project, write_json
from omni_lab.training.run import environment

if TYPE_CHECKING:
    from omni_lab.plots.style import Picture

# two-sided 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)

VERDICTS = ("not reproduced", "undecided", "reproduced")  # the worst of several decides


@dataclass(frozen=True)
class Criterion:
    """Preregistered criterion: a bound that `metric` must reach, or must not exceed."""

    metric: str
    bound: float
    at_least: bool = True
    by_interval: bool = False  # judged by the 95 % interval over seeds, else by every single seed
    tolerated: float = 0.0  # fraction of the seeds, rounded down, that may miss the bound
    claim: str = ""  # of the experiment, where it has several

    def ends(self, values: Sequence[float]) -> tuple[float, float]:
        """Worst and best value that count: bounds of the interval, or extremes of the seeds."""
        if self.by_interval:
            over = interval(values)
            low, high = over["low"], over["high"]
            return (low, high) if self.at_least else (high, low)
        ordered = sorted(values, reverse=not self.at_least)
        return ordered[int(self.tolerated * len(values))], ordered[-1]

    def verdict(self, values: Sequence[float]) -> str:
        """Verdict on a metric's values over seeds, one of `VERDICTS`.

        An interval that contains the bound, or an interval of one seed, decides nothing.
        """
        worst, best = (
            (end >= self.bound) if self.at_least else (end <= self.bound)
            for end in self.ends(values)
        )
        if self.by_interval and (worst != best or len(values) < 2):
            return "undecided"
        return "reproduced" if worst else "not reproduced"


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean over seeds with its 95 % interval (Student's t), and the extremes `min` and `max`."""
    mean = statistics.fmean(values)
    half = 0.0
    if len(values) > 1:
        quantile = _T[min(len(values) - 2, len(_T) - 1)]
        half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "min": min(values),
        "max": max(values),
    }


def kept_row(path: Path, config: Config, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Results of one run, kept in a file: what is there with the same settings is not run again.

    An experiment of many runs goes on where it was stopped, on the same machine or another.

    Parameters
    ----------
    measure : the run, which gives plain JSON
    """
    key = config_hash(config)
    if path.is_file():
        row = json.loads(path.read_text(encoding="utf-8"))
        if row["config_hash"] == key:
            return row

    row = {"config_hash": key, "environment": environment(), **measure()}
    row["load"] = os.getloadavg()[0]  # of the machine, as the run ended
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, row)
    return row


def write_record(
    folder: Path,
    claim: str,
    command: str,
    seeds: Sequence[int],
    metrics: Mapping[str, Sequence[float]],
    criteria: Sequence[Criterion],
    details: Mapping[str, Any] | None = None,
) -> dict:
    """Record of an experiment, written into `folder`; `reproduced` where all criteria hold.

    Where criteria belong to several claims, each claim has a verdict.

    Parameters
    ----------
    folder : of the record; its name is the experiment's id
    metrics : name → one value per seed
    details : what figures and readers need beside the metrics
    """
    verdicts = [c.verdict(metrics[c.metric]) for c in criteria]
    judged = [
        {
            "metric": c.metric,
            "must_be": f"{'>=' if c.at_least else '<='} {c.bound}",
            "worst": c.ends(metrics[c.metric])[0],
            "holds": verdict == "reproduced",
            **({"claim": c.claim, "verdict": verdict} if c.claim else {}),
        }
        for c, verdict in zip(criteria, verdicts, strict=True)
    ]

    # the worst criterion decides, for a claim and for the whole
    claims: dict[str, str] = {}
    for c, verdict in zip(criteria, verdicts, strict=True):
        claims[c.claim] = min(claims.get(c.claim, verdict), verdict, key=VERDICTS.index)

    record = {
        "id": folder.name,
        "claim": claim,
        "command": command,
        "environment": environment(),
        "seeds": list(seeds),
        "metrics": {
            name: {**interval(values), "seeds": list(values)} for name, values in metrics.items()
        },
        "criteria": judged,
        **({"claims": claims} if any(claims) else {}),
        **({"details": dict(details)} if details else {}),
        "verdict": min(verdicts, key=VERDICTS.index),
    }

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "record.json", record)
    return record


def conclude(
    folder: Path,
    claim: str,
    seeds: int,
    metrics: Mapping[str, Sequence[float]],
    criteria: Sequence[Criterion],
    details: Mapping[str, Any],
    draw: Callable[[dict], Picture],
) -> dict:
    """Record of an experiment whose seeds are 0, 1, …, and its picture, of the same name.

    Parameters
    ----------
    folder : of the record, `results/<id>`, or `results/<id>-quick` for the quick form
    draw : picture of the record
    """
    name, quick = folder.name.removesuffix("-quick"), folder.name.endswith("-quick")
    call = f"omni-lab reproduce {name} --seeds {seeds}{' --quick' if quick else ''}"
    record = write_record(folder, claim, call, range(seeds), metrics, criteria, details)

    keep_figure(folder.parent, folder.name, draw(record).png)
    return record


def keep_figure(results: Path, name: str, png: bytes) -> None:
    """Write an experiment's figure into the folder `figures` beside its results."""
    figures = results.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    (figures / f"{name}.png").write_bytes(png)


def read_record(name: str) -> dict:
    """Record of an experiment: from `results/` in the working folder, else from the project's.

    Raises
    ------
    InputError
        there is no record yet; the message has the command that writes it
    """
    for path in in_project("results", name, "record.json"):
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    right = f"`omni-lab reproduce {name} --seeds 3` writes it"
    raise InputError(f"results/{name}/record.json: no such record; {right}")

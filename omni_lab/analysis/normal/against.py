"""Comparison of a run with recorded ones: where each curve leaves the band, by how much, and likely causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from omni_lab.analysis.logs.curve import Curve, Log
from omni_lab.analysis.normal.band import LEAST, Compared, compared
from omni_lab.analysis.normal.causes import Cause, causes
from omni_lab.errors import UsageError

ALPHA = 0.05  # false alarms among runs that are like the references, over all curves together


@dataclass(frozen=True)
class Comparison:
    """A run against references: curve by curve, with causes and what should be known about the comparison."""

    name: str
    references: tuple[str, ...]
    main: str
    curves: Mapping[str, Compared]  # the total first
    causes: tuple[Cause, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One of "normal", "outside" (a curve leaves its band) and "no band" (fewer than three references)."""
        if len(self.references) < LEAST:
            return "no band"
        return "outside" if any(c.outside.any() for c in self.curves.values()) else "normal"

    def to_dict(self) -> dict[str, Any]:
        """Plain record for JSON."""
        return {
            "run": self.name,
            "references": list(self.references),
            "verdict": self.verdict,
            "curves": {name: _record(curve) for name, curve in self.curves.items()},
            "causes": [asdict(cause) for cause in self.causes],
            "notes": list(self.notes),
        }

    def in_words(self) -> list[str]:
        """Lines for people."""
        head = {
            "normal": "inside the band of its references in every curve",
            "outside": "outside the band of its references",
            "no band": f"compared by ratio: a band takes {LEAST} references",
        }[self.verdict]
        lines = [f"{self.name} against {len(self.references)}: {head}"]
        lines += [f"  {_line(curve)}" for curve in self.curves.values() if self._told(curve)]
        lines += [f"  likely cause ({cause.curve}): {cause.sentence}" for cause in self.causes]
        return [*lines, *(f"  note: {note}" for note in self.notes)]

    def _told(self, curve: Compared) -> bool:
        return curve.half is None or curve.name == self.main or bool(curve.outside.any())


def compare(log: Log, references: Sequence[Log], alpha: float = ALPHA) -> Comparison:
    """A run against recorded runs of the same recipe.

    Parameters
    ----------
    references : at least one; with three or more there is a band, below only ratios are told
    alpha : false-alarm rate over all curves together

    Raises
    ------
    UsageError
        there are no references, or the total losses share no steps with theirs
    """
    if not references:
        raise UsageError("no references: name at least one recorded run (three make a band)")
    pairs = _shared(log, references)
    found = {name: compared(name, *pair, alpha / len(pairs)) for name, pair in pairs.items()}
    curves = {name: curve for name, curve in found.items() if curve is not None}
    if log.main not in curves:
        raise UsageError(
            f"{log.name}: its steps and those of {references[0].name} have too little in common; "
            "the same column must be the step of both"
        )
    return Comparison(
        log.name,
        tuple(reference.name for reference in references),
        log.main,
        curves,
        tuple(causes(log, references, curves)),
        tuple(_notes(log, references, curves)),
    )


def _shared(log: Log, references: Sequence[Log]) -> dict[str, tuple[Curve, list[Curve]]]:
    """Curves that the run and all references have; the total under whatever name each gives it."""
    pairs = {log.main: (log.curves[log.main], [r.curves[r.main] for r in references])}
    for name, curve in log.curves.items():
        if name != log.main and all(name in r.curves for r in references):
            pairs[name] = (curve, [r.curves[name] for r in references])
    return pairs


def _notes(log: Log, references: Sequence[Log], curves: Mapping[str, Compared]) -> list[str]:
    """What should be known: runs that are longer, curves that only some have, few references."""
    notes = []
    total = curves[log.main]
    end = float(log.curves[log.main].steps[-1])
    if end > total.ends[-1] * 1.02:
        notes.append(f"references end at step {total.ends[-1]:g}, the run at {end:g}")
    missing = [name for name in log.curves if name not in curves]
    if missing:
        notes.append(f"not in all references, or too few rows: {', '.join(missing[:8])}")
    runs = len(references)
    if LEAST <= runs < 10:
        notes.append(f"{runs} references make a wide band; it can miss what ten would show")
    if not total.logs:
        notes.append("a loss of 0 or below: compared as it is, not in logarithms")
    return notes


def _record(curve: Compared) -> dict[str, Any]:
    """Plain record of a curve's comparison."""
    return {
        "outside": float(curve.outside.mean()) if curve.half is not None else None,
        "leaves": curve.leaves,
        "worst": curve.worst,
        "final": curve.final,
        "scale": "log" if curve.logs else "linear",
        "steps": curve.starts.tolist(),
        "ends": curve.ends.tolist(),
        "run": curve.run.tolist(),
        "mean": curve.mean.tolist(),
        "half": None if curve.half is None else curve.half.tolist(),
    }


def _line(curve: Compared) -> str:
    """One curve in words."""
    by = (lambda x: f"{x:.3f} times") if curve.logs else (lambda x: f"{x:+.3g} beside")
    end = f"at the end {by(curve.final)} the mean"
    if curve.leaves is None:
        inside = "" if curve.half is None else "inside, "
        return f"{curve.name}: {inside}{end}"
    first, last = curve.leaves
    side = "above" if (curve.run - curve.mean)[curve.outside][0] > 0 else "below"
    where = f"{side} the band from step {first:g} to {last:g}, {curve.outside.mean():.0%} of all windows"
    return f"{curve.name}: {where}, at most {by(curve.worst)} the mean, {end}"


def false_alarms(references: Sequence[Log]) -> dict[str, int]:
    """Count of recorded runs that leave the band of the others, or are given a cause: one left out at a time.

    Raises
    ------
    UsageError
        there are fewer than four, so that no band is left without one
    """
    if len(references) <= LEAST:
        raise UsageError(f"{len(references)} runs: leaving one out takes {LEAST + 1}")
    done = [compare(log, [other for other in references if other is not log]) for log in references]
    return {
        "runs": len(done),
        "outside": sum(c.verdict == "outside" for c in done),
        "with_cause": sum(bool(c.causes) for c in done),
    }

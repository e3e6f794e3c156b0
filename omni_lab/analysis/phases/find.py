"""Phases of training losses: verdict with reason, breaks and slopes with intervals, over one run or several.

What comes out is plain JSON, the same for the same seed whatever the number of threads.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from omni_lab.analysis.logs.curve import Curve, Log
from omni_lab.analysis.phases.causes import (
    Cause,
    Stretch,
    cause_of,
    causes_in,
    full_rate_until,
    stretches,
)
from omni_lab.analysis.phases.drops import drop_of
from omni_lab.analysis.phases.rule import NONE, OPEN, RULE, THREE, TWO, as_json, judge
from omni_lab.analysis.phases.segmentation import DRAWS, Segments, refusal, segment
from omni_lab.errors import InputError, UsageError

PARTS = ("facts.", "senses.")  # prefixes of curves whose single drops are looked for


def find_phases(
    logs: Sequence[Log],
    most: int = 4,
    seed: int = 0,
    curve: str | None = None,
    draws: int = DRAWS,
    parts: bool = True,
) -> dict[str, Any]:
    """Phases of the training loss of one run, or of several runs that differ by their seed.

    Every stage of a run is judged by itself. Its verdict is made on the steps before the learning rate decays; breaks
    after that are found and drawn, but do not count, and neither do breaks near a logged switch.

    Parameters
    ----------
    most : breaks, 1 to 4
    curve : name of the curve; None is each log's training loss
    parts : whether the drops of facts and senses are looked for too

    Returns
    -------
    found : `curve`; `rule`, its margins; `over_runs`, how many show three phases, and the spread
        of breaks; `runs`, each with `verdict`, `reason`, and `stretches`, one per stage: `breaks`
        and `slopes` with intervals (steps as logged), `tests`, `excluded` causes, `noise`,
        `plateau` (its first and last segment), `fit` (curves to draw), `drops`

    Raises
    ------
    UsageError
        no log was given, or `most` is out of range
    InputError
        a log has no such curve
    """
    if not logs:
        raise UsageError("phases: no log was given; one or more are needed")
    if not 1 <= most <= 4:
        raise UsageError(f"most: {most} breaks; 1 to 4 can be searched")
    runs = [_run(log, most, seed, curve, draws, parts) for log in logs]
    rule = {**RULE.as_json(), "most": most, "draws": draws, "seed": seed}
    return {"curve": curve or logs[0].main, "rule": rule, "runs": runs, "over_runs": over(runs)}


def _run(
    log: Log, most: int, seed: int, name: str | None, draws: int, parts: bool
) -> dict[str, Any]:
    """Verdict of one run: that of the stage that shows most."""
    chosen = named(log, name or log.main)
    cut = stretches(log, chosen)
    found = [_stretch(log, stretch, chosen, most, seed, draws) for stretch in cut]
    if parts:
        for stretch, row in zip(cut, found, strict=True):
            row["drops"] = {
                key: drop_of(stretch.of(part), seed, min(draws, 99), stretch.start)
                for key, part in log.curves.items()
                if key.startswith(PARTS)
            }
    order = (THREE, OPEN, TWO, NONE)
    best = min(found, key=lambda row: order.index(row["verdict"]))
    where = f"{best['stage']}: " if len(found) > 1 else ""
    return {
        "name": log.name,
        "verdict": best["verdict"],
        "reason": where + best["reason"],
        "stretches": found,
        "notes": list(log.notes),
    }


def named(log: Log, name: str) -> Curve:
    """Curve of a log by its name, of training or held out.

    Raises
    ------
    InputError
        there is none; the message lists those that exist
    """
    both = {**log.held_out, **log.curves}
    if name not in both:
        raise InputError(f"{log.name}: no curve {name!r}; there are {', '.join(both) or 'none'}")
    return both[name]


def _stretch(
    log: Log, stretch: Stretch, whole: Curve, most: int, seed: int, draws: int
) -> dict[str, Any]:
    """Verdict of one stretch, with everything that a picture of it needs."""
    curve = stretch.of(whole)
    until, decay = full_rate_until(log, stretch)
    causes = causes_in(log, stretch)
    about: dict[str, Any] = {
        "stage": stretch.name, "from": stretch.start, "to": float(np.ceil(stretch.end)),
        "points": int(curve.steps.size),
        "axis": f"log(step {1 - stretch.start:+.0f})",
        "excluded": [
            {"from": c.start, "to": c.end, "what": c.what}
            for c in [*causes, *([Cause(until, stretch.end, decay)] if decay else [])]
        ],
        "breaks": [], "slopes": [], "tests": [],
    }  # fmt: skip

    steady = replace(stretch, end=min(stretch.end, float(np.nextafter(until, -np.inf))))
    if why := refusal(steady.of(curve)):
        where = f" before the {decay}" if decay else ""
        return about | {"verdict": OPEN, "reason": why + where}

    fit = segment(steady.of(curve), most, seed, draws, stretch.start)
    verdict, reason, plateau = verdict_of(fit, causes)
    about |= told(fit, causes)
    if decay and not refusal(curve):
        more = segment(curve, most, seed, draws, stretch.start)
        late = [row | {"counts": False, "cause": decay} for row in told(more, causes)["breaks"]]
        about["breaks"] += [
            row
            for row in late
            if row["step"] - stretch.start + 1 >= (until - stretch.start + 1) / RULE.near
        ]
        about["whole"] = _drawn(more)
        imitated, _, _ = judged(more, causes)
        if verdict in (TWO, NONE) and imitated == THREE:
            verdict, reason = OPEN, f"a second drop that may be caused by the {decay}"
    return about | {"verdict": verdict, "reason": reason, "plateau": plateau and list(plateau)}


def verdict_of(fit: Segments, causes: Sequence[Cause]) -> tuple[str, str, tuple[int, int] | None]:
    """Verdict on a broken line: by the rule, unless the curve is too noisy or smooth decay explains it."""
    if fit.independent < RULE.independent:
        few = f"{fit.independent:.0f} independent points, of {RULE.independent:.0f} needed"
        return (
            OPEN,
            f"too noisy: noise is correlated over {fit.correlation_time:.0f} points, {few}",
            None,
        )
    verdict = judged(fit, causes) if not fit.smooth else (
        NONE, f"smooth decay explains the curve (p = {fit.tests[0][1]:.3f})", None,
    )  # fmt: skip
    if verdict[0] != THREE and fit.slope_error > RULE.slope_error:
        wide = f"slopes are known to ± {fit.slope_error:.2f}, ± {RULE.slope_error} is needed"
        return OPEN, f"too noisy: {wide}", None
    return verdict


def judged(fit: Segments, causes: Sequence[Cause]) -> tuple[str, str, tuple[int, int] | None]:
    """Verdict by the rule alone; its words count steps from the beginning of the stage."""
    own = [
        replace(part, start=part.start - fit.first, end=part.end - fit.first)
        for part in fit.segments
    ]
    return judge(own, _words(fit, causes))


def _words(fit: Segments, causes: Sequence[Cause]) -> list[str]:
    """Logged cause of each break, empty where there is none."""
    return [cause_of(low, high, causes, fit.first) for _, low, high in fit.breaks]


def told(fit: Segments, causes: Sequence[Cause]) -> dict[str, Any]:
    """Broken line as plain JSON: breaks, slopes, tests, noise, and the curves that a picture shows."""
    words = _words(fit, causes)
    return {
        "breaks": [
            {**_rounded(step=at, low=low, high=high), "counts": not word, "cause": word}
            for (at, low, high), word in zip(fit.breaks, words, strict=True)
        ],
        "slopes": [as_json(part) for part in fit.segments],
        "tests": [{"breaks": count, "p": p} for count, p in fit.tests],
        "smooth": fit.smooth,
        "noise": _rounded(
            sigma=fit.sigma, correlation_time=fit.correlation_time,
            independent=fit.independent, slope_error=fit.slope_error,
        ),
        "fit": _drawn(fit),
    }  # fmt: skip


def _drawn(fit: Segments) -> dict[str, list[float]]:
    """Curves of a picture: losses in bins of log steps, and the fitted ones."""
    curves = {
        "steps": fit.steps,
        "observed": fit.observed,
        "fitted": fit.fitted,
        "decay": fit.decay,
    }
    return {name: [float(f"{v:.6g}") for v in values] for name, values in curves.items()}


def _rounded(**values: float) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in values.items()}


def plateau_span(stretch: dict[str, Any]) -> tuple[float, float] | None:
    """First and last step of a stretch's plateau, where `find_phases` found one."""
    if not stretch.get("plateau"):
        return None
    first, last = stretch["plateau"]
    return stretch["slopes"][first]["start"], stretch["slopes"][last]["end"]


def over(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many runs show three phases, and how far apart their breaks are, in steps of their stage."""
    counts = Counter(run["verdict"] for run in runs)
    shown = [
        [step - row["from"] for step in plateau_span(row)]
        for run in runs
        for row in run["stretches"]
        if row["verdict"] == THREE
    ]
    spread = {
        what: {"median": statistics.median(at), "min": min(at), "max": max(at)}
        for what, at in zip(
            ("plateau_from", "second_drop_from"), zip(*shown, strict=True), strict=False
        )
    }
    words = f"{counts[THREE]} of {len(runs)} show three phases"
    return {"n": len(runs), "verdicts": dict(counts), "in_words": words, "breaks": spread}

"""SVLM map: which rule of selection wins, by strength of the trainee and by share of wrong words?

Rho-1 keeps the tokens with the highest excess loss, ssToken the lowest difference to an earlier
self, and both report gains. Here the reference is weak, middling or strong (30, 150 or 1,200 clean
captions), the trainee new or already trained on all tokens for 200 steps, and 10 %, 30 % or 50 % of
the words of 2,000 captions are wrong. Strength is measured, not set: the loss of the reference on
clean captions of unseen pictures over that of a trainee of all tokens, at its end.

Command: `omni-lab reproduce svlm_map --seeds 3 --jobs 2`. Hardware: 2 CPU cores, no GPU; 243 runs of
10 to 20 seconds on one core, and 4 minutes for the beginning of every seed.
Expected, written down before any run: where the trainee is weakest beside its reference, the highest
excess beats the lowest; where it is strongest, the lowest beats the highest; the switch is within .01
of the best rule in every cell.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from omni_lab.config import Config
from omni_lab.reproduce.experiments.svlm import RULES, STANDARD, SWITCH, Study, shortened
from omni_lab.reproduce.record import Criterion
from omni_lab.reproduce.runs.svlm import CLEAN_FIRST, STEPS, Trainee

CLAIM = "Which end of the excess loss is worth learning from turns with the strength of the trainee"
PICTURES = 2000
WRONG = (0.1, 0.3, 0.5)
REFERENCES = {"weak": (30, 60), "middling": (150, 100), "strong": (1200, 300)}
BEGINNINGS = {"new": 0, "trained": STEPS}  # steps in which every token counts
STRENGTHS = (("new", "strong"), ("new", "middling"), ("trained", "middling"), ("trained", "weak"))
REFERRING = ("excess", "lowest excess", "lowest reference loss", "excess, λ = 2", SWITCH)
OTHERS = (STANDARD, "random", "history")
ENDS = ("excess", "lowest excess")
CRITERIA = (
    Criterion(
        "weakest", 0.0, by_interval=True,
        claim="the highest excess beats the lowest where the trainee is weakest",
    ),
    Criterion(
        "strongest", 0.0, by_interval=True,
        claim="the lowest excess beats the highest where the trainee is strongest",
    ),
    *(
        Criterion(
            f"switch_behind.{begins} beside {reference}, {wrong:.0%} wrong", 0.01,
            at_least=False, by_interval=True,
            claim="the switch is within .01 of the best rule in every cell",
        )
        for wrong in WRONG for begins, reference in STRENGTHS
    ),
)  # fmt: skip


def trainees(seeds: range, quick: bool = False) -> list[Trainee]:
    """All runs, seed by seed."""
    out = []
    for seed in seeds:
        for wrong in WRONG:
            for begins, first in BEGINNINGS.items():
                for rule in OTHERS:
                    out.append(_trainee(f"{rule}|{begins}|{wrong:.0%}", seed, wrong, rule, first))
            for begins, reference in STRENGTHS:
                for rule in REFERRING:
                    name, first = cell(begins, reference, wrong), BEGINNINGS[begins]
                    own = _trainee(f"{rule}|{name}", seed, wrong, rule, first)
                    out.append(replace(own, clean=REFERENCES[reference]))
        for name, (pictures, steps) in REFERENCES.items():
            out.append(Trainee(name, seed, pictures, 0.0, steps, first=CLEAN_FIRST))
    return [shortened(one) for one in out] if quick else out


def cell(begins: str, reference: str, wrong: float) -> str:
    """Name of a cell of the map."""
    return f"{begins} beside {reference}, {wrong:.0%} wrong"


def _trainee(arm: str, seed: int, wrong: float, rule: str, first: int) -> Trainee:
    """Run of a rule, after `first` steps on all tokens."""
    selection = (*RULES[rule], f"first={first}") if RULES[rule] else ()
    needs = REFERENCES["middling"] if rule == "history" else None
    return Trainee(arm, seed, PICTURES, wrong, first + STEPS, selection, needs)


def numbers(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Metrics of one seed, flat: accuracy and strength by cell, and what is claimed."""
    found = {row["arm"]: row for row in rows}
    out, gaps = {}, {}
    for wrong in WRONG:
        for begins, reference in STRENGTHS:
            name = cell(begins, reference, wrong)
            arms = {r: f"{r}|{begins}|{wrong:.0%}" for r in OTHERS}
            arms |= {r: f"{r}|{name}" for r in REFERRING}
            scores = {rule: found[arm]["accuracy"] for rule, arm in arms.items()}
            for rule, score in scores.items():
                out[f"accuracy.{rule}.{name}"] = score
                out[f"gain.{rule}.{name}"] = score - scores[STANDARD]
            strength = found[reference]["loss"] / found[arms[STANDARD]]["loss"]
            out[f"strength.{name}"] = strength
            gaps[strength] = scores[ENDS[0]] - scores[ENDS[1]]
    return out | {"weakest": gaps[min(gaps)], "strongest": -gaps[max(gaps)]}


def details(by_seed: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """What the picture needs beside metrics: rules, and cells by share of wrong words."""
    cells = {f"{wrong:.0%}": [cell(*own, wrong) for own in STRENGTHS] for wrong in WRONG}
    return {"rules": [*OTHERS, *REFERRING], "cells": cells}


CELLS = tuple(cell(*own, wrong) for wrong in WRONG for own in STRENGTHS)
STUDY = Study("svlm_map", CLAIM, CRITERIA, trainees, numbers, CELLS, details)


def reproduce(
    config: Config, seeds: int, results: Path, runs: Path, quick: bool = False, jobs: int = 1
) -> dict:
    """Every rule in every cell of the map, once per seed, with its record and its picture."""
    from omni_lab.plots.selection.map import draw_selection_map

    return STUDY.reproduce(draw_selection_map, config, seeds, results, runs, quick, jobs)

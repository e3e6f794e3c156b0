"""Training log as curves and events: what every reader makes, and what every analysis takes.

A `Log` is the neutral form between files of other people (CSV, JSONL, TensorBoard …) and what is asked of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True)
class Curve:
    """Loss curve: one value per step, both finite, steps strictly increasing."""

    name: str  # column: "loss", "stream", "facts.colour", "senses.image", "eval_loss"
    steps: Float64[np.ndarray, " points"]
    values: Float64[np.ndarray, " points"]  # nats per token where known


@dataclass(frozen=True)
class Event:
    """What a log says happened at a step: rate, stage, data, restart, gap, fault (NaN/Inf)."""

    step: float
    kind: str  # "rate" (warm-up, jump, decay) | "stage" | "data" | "restart" | "gap" | "fault"
    what: str  # in words, for people
    end: float | None = None  # for what lasts (a decay, a warm-up, a gap)


@dataclass(frozen=True)
class Log:
    """Training log of one run: its curves, its switches, and what had to be mended while reading."""

    name: str  # run folder or file, short
    main: str  # name of the curve that is the training loss
    curves: dict[str, Curve]  # training curves by name (total first), facts and senses included
    held_out: dict[str, Curve]  # evaluation rows
    rates: Curve | None  # learning rate
    events: tuple[Event, ...]
    notes: tuple[str, ...]  # one line each: "3 rows with NaN loss left out (steps 120 to 122)"

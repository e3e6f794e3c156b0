"""Simulated training logs: a power law with seeds' own wander and noise, and one thing gone wrong where asked."""

from __future__ import annotations

import numpy as np

from omni_lab.analysis.logs.curve import Curve, Event, Log

STEPS = np.arange(0.0, 2000.0, 2)
PARTS = {"loss_image": (0.5, 3.0), "loss_audio": (0.3, 4.0), "facts.eos": (0.05, 5.0)}  # end, start
SHARES = {"loss_image": 0.6, "loss_audio": 0.35, "facts.eos": 0.05}


def law(steps, end, start, scale=60.0, power=0.8):
    """Loss that falls from `start` to `end` by a power of the step."""
    return end + (start - end) * (1 + steps / scale) ** -power


def wander(rng, size, height=0.015):
    """Smooth deviation of a seed, in logarithms."""
    phase = rng.uniform(0, 2 * np.pi, 3)
    time = np.linspace(0, 1, size)
    waves = [rng.normal(0, height) * np.sin(np.pi * (k + 1) * time + phase[k]) for k in range(3)]
    return np.sum(waves, axis=0)


def simulated(seed: int, wrong: str = "", noise: float = 0.05) -> Log:
    """Log of one run.

    Parameters
    ----------
    wrong : "spikes", "diverges", "slow", "eos", "modality", "factor", "leak", "overfits", "stairs", "offset" or nothing
    """
    rng = np.random.default_rng(seed)
    time = STEPS / 4 if wrong == "slow" else STEPS
    parts = {
        name: law(time, *ends) * np.exp(wander(rng, len(STEPS))) for name, ends in PARTS.items()
    }
    if wrong == "eos":
        parts["facts.eos"] = np.full(len(STEPS), PARTS["facts.eos"][1])
    if wrong == "modality":
        parts["loss_audio"] = np.full(len(STEPS), PARTS["loss_audio"][1])
    total = sum(SHARES[name] * part for name, part in parts.items())
    if wrong == "offset":
        total = total + 0.6 * (1 - np.exp(-STEPS / 40))
    values = total * np.exp(rng.normal(0, noise, len(STEPS)))
    if wrong == "factor":
        values = values * 4
    if wrong == "leak":
        values = values * np.where(STEPS > 100, 0.2, 1)
    if wrong == "spikes":
        values[[200, 350, 500, 650, 800]] *= 3
    if wrong == "diverges":
        values = values * np.exp(np.clip((STEPS - 1200) / 800, 0, 1))
    if wrong == "stairs":
        values = values * 0.8 ** np.floor(STEPS / 500)
    rates = Curve("lr", STEPS, np.full(len(STEPS), 1e-3))
    held = law(STEPS[::50], 1.0, 4.0)
    if wrong == "overfits":
        held = held * np.exp(np.clip((STEPS[::50] - 800) / 2000, 0, 1))
    begins = [500.0, 1000.0, 1500.0]
    events = tuple(
        Event(at, "data", "the next pass over the data begins (epoch 1)") for at in begins
    )
    curves = {"loss": Curve("loss", STEPS, values)}
    curves |= {
        name: Curve(name, STEPS, part * np.exp(rng.normal(0, noise, len(STEPS))))
        for name, part in parts.items()
    }
    return Log(f"seed{seed}", "loss", curves, {"eval_loss": Curve("eval_loss", STEPS[::50], held)},
               rates, events if wrong in ("stairs", "") else (), ())  # fmt: skip


def total_only(log: Log) -> Log:
    """The same log with its total alone, as most logs are."""
    return Log(log.name, log.main, {log.main: log.curves[log.main]}, {}, log.rates, log.events, ())

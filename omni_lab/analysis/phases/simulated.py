"""Simulated training losses whose phases are known: smooth decays and their like, and three phases.

Each family is a loss without noise, drawn at random within its kind; noise is drawn for log loss: of a scale per step,
white or red, with spikes or without. What imitates three phases is among them: decay of the learning rate, a steep
start, a logged switch of the data, many small drops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from omni_lab.analysis.logs.curve import Curve, Event, Log
from omni_lab.errors import UsageError

COLOURS = ("white", "ar .5", "ar .9", "red")
SIGMAS = (0.02, 0.05, 0.1, 0.2)
LENGTHS = (300, 1000, 3000, 20_000)


@dataclass(frozen=True)
class Conditions:
    """Noise and length of a simulated loss."""

    steps: int = 1000
    sigma: float = 0.05  # standard deviation of log loss, per step
    colour: str = "white"  # of `COLOURS`
    spikes: bool = False


@dataclass(frozen=True)
class Shape:
    """Loss without noise: its logarithm per step, the learning rate, and what is true of it."""

    log_loss: Float[np.ndarray, " steps"]
    rates: Float[np.ndarray, " steps"]
    breaks: tuple[float, ...] = ()  # steps at which phases begin, where they are sharp
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Simulated:
    """Simulated log, and whether its loss truly has three phases."""

    family: str
    log: Log
    three_phases: bool
    breaks: tuple[float, ...]


def simulate(family: str, conditions: Conditions, seed: int) -> Simulated:
    """Simulated loss of a family, as a log with its learning rate.

    Raises
    ------
    UsageError
        there is no such family, or no such colour of noise
    """
    if family not in FAMILIES:
        raise UsageError(f"family {family!r}: there are {', '.join(FAMILIES)}")
    rng = np.random.default_rng([seed, list(FAMILIES).index(family)])
    shape = FAMILIES[family](conditions.steps, rng)
    steps = np.arange(conditions.steps, dtype=np.float64)
    loss = np.exp(shape.log_loss + noise(conditions, rng))
    log = Log(
        f"{family}-{seed}", "loss", {"loss": Curve("loss", steps, loss)}, {},
        Curve("lr", steps, shape.rates), shape.events, (),
    )  # fmt: skip
    return Simulated(family, log, family in THREE_PHASES, shape.breaks)


def noise(conditions: Conditions, rng: np.random.Generator) -> Float[np.ndarray, " steps"]:
    """Noise of log loss, of the scale and colour asked for; spikes come on top.

    `red` is half white noise, half AR(1) of .98 by variance. A spike is up to e² of the loss and fades within some
    steps, one in about 300 steps.
    """
    from scipy.signal import lfilter

    def auto(correlation: float) -> np.ndarray:
        fresh = rng.normal(size=conditions.steps) * np.sqrt(1 - correlation**2)
        fresh[0] = rng.normal()
        return lfilter([1.0], [1.0, -correlation], fresh)

    kinds: dict[str, Callable[[], np.ndarray]] = {
        "white": lambda: auto(0.0),
        "ar .5": lambda: auto(0.5),
        "ar .9": lambda: auto(0.9),
        "red": lambda: np.sqrt(0.5) * (auto(0.0) + auto(0.98)),
    }
    if conditions.colour not in kinds:
        raise UsageError(f"colour {conditions.colour!r}: there are {', '.join(kinds)}")
    drawn = conditions.sigma * kinds[conditions.colour]()
    if conditions.spikes:
        begun = rng.random(conditions.steps) < 1 / 300
        drawn += lfilter([1.0], [1.0, -0.7], begun * rng.uniform(0.5, 2.0, conditions.steps))
    return drawn


def log_steps(steps: int) -> Float[np.ndarray, " steps"]:
    """Logarithm of step + 1."""
    return np.log(np.arange(1.0, steps + 1))


def broken(
    x: Float[np.ndarray, " steps"], breaks: list[float], slopes: list[float], width: float = 0.0
) -> Float[np.ndarray, " steps"]:
    """Broken power law in log loss: a slope before the first break and after each; `width` smooths the bends.

    The smoothly broken form of Caballero et al. (2022): each bend is a softplus of that width in log step.
    """
    y = np.log(8.0) + slopes[0] * x
    for at, before, after in zip(breaks, slopes, slopes[1:], strict=False):
        off = x - at
        bend = np.maximum(0, off) if width == 0 else width * np.logaddexp(0, off / width)
        y = y + (after - before) * bend
    return y


def _constant(steps: int) -> np.ndarray:
    return np.full(steps, 1e-3)


def _offset_power(steps: int, rng: np.random.Generator, offset: bool = True) -> np.ndarray:
    """Log loss of a power law, with an offset that is up to nine tenths of the last loss."""
    c, shift = rng.uniform(0.15, 0.9), np.exp(rng.uniform(0, 3))
    falling = 8.0 * ((np.arange(steps) + shift) / shift) ** -c
    floor = falling[-1] * rng.uniform(0.1, 9.0) if offset else 0.0
    return np.log(falling + floor)


def _power(steps: int, rng: np.random.Generator) -> Shape:
    return Shape(_offset_power(steps, rng, offset=False), _constant(steps))


def _offset(steps: int, rng: np.random.Generator) -> Shape:
    return Shape(_offset_power(steps, rng), _constant(steps))


def _transient(steps: int, rng: np.random.Generator) -> Shape:
    """A power law after a steep start that is over in some steps."""
    early = rng.uniform(0.5, 1.5) * np.exp(-np.arange(steps) / rng.uniform(2, 12))
    return Shape(_offset_power(steps, rng) + early, _constant(steps))


def _skills(steps: int, rng: np.random.Generator) -> Shape:
    """Hundreds of single drops, rarer ones later and smaller: together a smooth decay (Michaud et al. 2023)."""
    x = log_steps(steps)
    onsets = (np.arange(300) + rng.random(300)) / 300 * (x[-1] + 2)
    sizes = np.exp(-rng.uniform(0.2, 0.6) * onsets)
    widths = rng.uniform(0.1, 0.3, 300)
    loss = np.full(steps, sizes.sum() * rng.uniform(0.02, 0.2))
    for onset, size, width in zip(onsets, sizes, widths, strict=True):
        loss += size / (1 + np.exp(np.clip((x - onset) / width, -50, 50)))
    return Shape(np.log(loss), _constant(steps))


def _two(steps: int, rng: np.random.Generator) -> Shape:
    """A drop and then a plateau, or a slower fall, that lasts to the end; sharp or smooth."""
    x = log_steps(steps)
    at = x[-1] * rng.uniform(0.45, 0.75)
    slopes = [-rng.uniform(0.3, 0.8), -rng.uniform(0.0, 0.15)]
    width = rng.choice([0.0, 0.3])
    return Shape(broken(x, [at], slopes, width), _constant(steps))


def _with_rates(log_loss: np.ndarray, factor: np.ndarray, gain: float, event: Event) -> Shape:
    """A loss that falls with the learning rate, by `gain` of its logarithm when that is zero."""
    return Shape(log_loss - gain * (1 - factor), 1e-3 * factor, (), (event,))


def _cosine(steps: int, rng: np.random.Generator) -> Shape:
    factor = 0.01 + 0.99 * (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2
    event = Event(0.0, "rate", "cosine decay", float(steps - 1))
    return _with_rates(_offset_power(steps, rng), factor, rng.uniform(0.2, 1.0), event)


def _wsd_factor(steps: int, rng: np.random.Generator) -> tuple[np.ndarray, Event]:
    begins = int(steps * rng.uniform(0.6, 0.85))
    factor = np.clip((steps - np.arange(steps)) / (steps - begins), 0.02, 1.0)
    return factor, Event(float(begins), "rate", "linear decay", float(steps - 1))


def _wsd(steps: int, rng: np.random.Generator) -> Shape:
    factor, event = _wsd_factor(steps, rng)
    return _with_rates(_offset_power(steps, rng), factor, rng.uniform(0.2, 1.2), event)


def _switch(steps: int, rng: np.random.Generator) -> Shape:
    """A drop and a plateau, then new data, from which the loss falls again."""
    x = log_steps(steps)
    first, second = x[-1] + np.log([rng.uniform(0.05, 0.12), rng.uniform(0.3, 0.5)])
    slopes = [-rng.uniform(0.3, 0.7), -rng.uniform(0.0, 0.1), -rng.uniform(0.6, 1.2)]
    event = Event(float(np.round(np.exp(second) - 1)), "data", "new data")
    return Shape(broken(x, [first, second], slopes), _constant(steps), (), (event,))


def _three_breaks(x: np.ndarray, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Breaks (log steps) and slopes of three phases: the plateau is at most a fifth as steep as the drops."""
    breaks = x[-1] + np.log([rng.uniform(0.05, 0.12), rng.uniform(0.3, 0.5)])
    first, second = rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.2)
    return breaks.tolist(), [-first, -rng.uniform(0.0, 0.2) * min(first, second), -second]


def _three(steps: int, rng: np.random.Generator, width: float = 0.0) -> Shape:
    x = log_steps(steps)
    breaks, slopes = _three_breaks(x, rng)
    return Shape(
        broken(x, breaks, slopes, width), _constant(steps), tuple((np.exp(breaks) - 1).tolist())
    )


def _three_smooth(steps: int, rng: np.random.Generator) -> Shape:
    return _three(steps, rng, width=0.12)


def _three_transient(steps: int, rng: np.random.Generator) -> Shape:
    shape = _three(steps, rng)
    early = rng.uniform(0.5, 1.5) * np.exp(-np.arange(steps) / rng.uniform(2, 6))
    return Shape(shape.log_loss + early, shape.rates, shape.breaks)


def _three_wsd(steps: int, rng: np.random.Generator) -> Shape:
    """Three phases, and a decay of the learning rate over the last 15 to 25 % of the steps."""
    shape = _three(steps, rng)
    begins = int(steps * rng.uniform(0.75, 0.85))
    factor = np.clip((steps - np.arange(steps)) / (steps - begins), 0.02, 1.0)
    event = Event(float(begins), "rate", "linear decay", float(steps - 1))
    decayed = _with_rates(shape.log_loss, factor, rng.uniform(0.1, 0.5), event)
    return Shape(decayed.log_loss, decayed.rates, shape.breaks, decayed.events)


def _three_skills(steps: int, rng: np.random.Generator) -> Shape:
    """Two groups of single drops, one early and one late: the total's plateau lies between them."""
    x = log_steps(steps)
    loss = np.full(steps, rng.uniform(0.2, 0.5))
    for centre, count in ((x[-1] - rng.uniform(3.4, 4.0), 4), (x[-1] - rng.uniform(0.4, 0.7), 4)):
        for onset in centre + rng.uniform(-0.35, 0.35, count):
            loss += 1.0 / (1 + np.exp(np.clip((x - onset) / 0.12, -50, 50)))
    return Shape(np.log(loss), _constant(steps))


FAMILIES: dict[str, Callable[[int, np.random.Generator], Shape]] = {
    "power": _power,
    "offset": _offset,
    "transient": _transient,
    "skills": _skills,
    "two": _two,
    "cosine": _cosine,
    "wsd": _wsd,
    "switch": _switch,
    "three": _three,
    "three smooth": _three_smooth,
    "three transient": _three_transient,
    "three wsd": _three_wsd,
    "three skills": _three_skills,
}
THREE_PHASES = tuple(name for name in FAMILIES if name.startswith("three"))

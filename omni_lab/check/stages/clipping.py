"""Gradient clipping by part, with thresholds from running norms (notebook 04, the long exercise)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from omni_lab.check.step import Step


def _clipped(steps: list, limit: float, every: int, factor: float) -> list:
    """Gradients of every step after the package's own clipping, by its rule `running`."""
    import torch

    from omni_lab.config import ClipConfig
    from omni_lab.training.rules.clipping import Clipping

    clipping, found = Clipping(ClipConfig("running", every=every, factor=factor), limit, 0), []
    for number, gradients in enumerate(steps):
        model = torch.nn.Module()
        for part, gradient in gradients.items():
            own = torch.tensor(gradient, dtype=torch.float64)
            weight = torch.nn.Parameter(torch.zeros_like(own))
            weight.grad = own
            model.register_parameter(part, weight)
        clipping.clip(model, number)
        found.append({part: weight.grad.tolist() for part, weight in model.named_parameters()})
    return found


def _norm(gradient: list) -> float:
    return math.sqrt(sum(one * one for one in gradient))


def _slipped(
    norm: Callable[[list], float] = _norm,
    scale: Callable[[float, float], float] = lambda most, norm: min(1.0, most / norm),
    apply: Callable[[float, float], float] = lambda one, scale: one * scale,
    renewed: Callable = lambda total, every, factor: factor * total / every,
    kept: Callable[[float, float], float] = lambda norm, most: norm,
    together: bool = False,
    shared: bool = False,
    always: bool = False,
    never: bool = False,
    late: int = 0,
    forgets: bool = True,
    begin: float = 0.0,
    sign: int = 1,
    unknown: Callable = lambda limit, factor: limit,
    last: bool = False,
    due: Callable[[int, int, float], bool] | None = None,
) -> Callable:
    """Mistake in one line of the rule."""

    def clipped(steps, limit, every, factor):
        limits: dict = {}
        sums: dict = {}
        out = []
        for number, gradients in enumerate(steps, 1):
            norms = {part: norm(gradient) for part, gradient in gradients.items()}
            if together:
                norms = dict.fromkeys(norms, math.sqrt(sum(one**2 for one in norms.values())))
            done = {}
            for part, gradient in gradients.items():
                most = limits.get(part, unknown(limit, factor))
                most = min([most, *limits.values()]) if shared else most
                done[part] = [apply(one, scale(most, norms[part])) for one in gradient]
                seen = kept(norms[part], most)
                sums[part] = seen if last else sums.get(part, begin) + sign * seen
            out.append(done)
            usual = always or (number - late) % every == 0
            if not never and (due(number, every, factor) if due else usual):
                limits = {part: renewed(total, every, factor) for part, total in sums.items()}
                sums = {} if forgets else sums
        return out

    return clipped


def _gradient(source: random.Random, size: float) -> list:
    own = [source.uniform(-1, 1) for _ in range(3)]
    return [round(size * one / _norm(own), 4) for one in own]


def _training(source: random.Random) -> tuple:
    steps = []
    usual = {part: source.uniform(5, 50) for part in ("image", "audio", "decoder")}
    for _ in range(9):
        spike = source.choice(["", "", *usual])
        steps.append({
            part: _gradient(source, size * source.uniform(0.7, 1.3) * (12 if part == spike else 1))
            for part, size in usual.items()
        })  # fmt: skip
    return steps, source.uniform(5, 60), source.choice([2, 3, 4]), source.choice([1.2, 1.5, 2.0])


def _case(*sizes: tuple[float, float]) -> list:
    """Steps of two parts, whose gradients have these norms."""
    return [
        {"image": [0.6 * a, -0.8 * a], "audio": [0.28 * b, 0.96 * b, 0.0]} for a, b in sizes
    ]  # fmt: skip


clipped = Step(
    right=_clipped,
    cases=[
        (_case((30, 8), (30, 8), (30, 8)), 20.0, 10, 1.5),
        (_case((30, 8), (40, 12), (300, 9), (35, 100), (30, 8)), 50.0, 2, 1.5),
        (_case((30, 80), (90, 10), (31, 9), (200, 9), (28, 70), (33, 9), (100, 60)), 60.0, 3, 1.2),
        (_case((10, 200), (300, 6), (12, 7), (11, 8)), 40.0, 1, 2.0),
        (_case((10, 20)), 15.0, 2, 1.1),
    ],
    rule="of each part: its norm, its threshold (the first limit until `every` steps have passed, "
    "then factor · mean norm of the last `every` steps), and its numbers times min(1, threshold / norm)",
    mistakes=[
        (lambda steps, limit, every, factor: steps, "nothing is clipped"),
        (
            _slipped(never=True),
            "the thresholds are never renewed: after every `every` steps they follow the norms",
        ),
        (
            _slipped(together=True),
            "you take one norm over all parts: a spike in the picture then shrinks the sound too",
        ),
        (
            _slipped(together=True, never=True),
            "you take one norm over all parts: a spike in the picture then shrinks the sound too",
        ),
        (_slipped(shared=True), "every part has a threshold of its own"),
        (
            _slipped(always=True),
            "the thresholds are renewed after each step: only after every `every` of them",
        ),
        (_slipped(late=1), "you renew one step too late: after `every` steps, count from 1"),
        (
            _slipped(due=lambda n, every, factor: n % every == 1),
            "you renew one step too late: `number % every == 0`, counted from 1",
        ),
        (
            _slipped(due=lambda n, every, factor: n % every != 0),
            "the other way round: the thresholds are renewed where `every` divides the number "
            "of steps",
        ),
        (
            _slipped(due=lambda n, every, factor: n % factor == 0),
            "thresholds are renewed after `every` steps; `factor` is about their size",
        ),
        (
            _slipped(late=-1),
            "you renew one step too early: after `every` steps, not before the last of them",
        ),
        (
            _slipped(forgets=False),
            "the sums are never emptied: the mean is over the *last* `every` steps",
        ),
        (_slipped(begin=1.0), "the sums of norms begin at 0, not at 1"),
        (_slipped(begin=-1.0), "the sums of norms begin at 0, not at −1"),
        (_slipped(sign=-1), "norms are added up, not taken away"),
        (_slipped(last=True), "only the last norm is left: add up the norms of `every` steps"),
        (_slipped(kept=min), "count the norms *before* clipping, else a threshold can only fall"),
        (
            _slipped(renewed=lambda total, every, factor: total / every),
            "the factor is missing: leave room above the usual norm",
        ),
        (
            _slipped(renewed=lambda total, every, factor: factor * total),
            "the mean divides the sum by the number of steps",
        ),
        (
            _slipped(renewed=lambda total, every, factor: factor * total * every),
            "the mean divides by the number of steps: you multiply",
        ),
        (
            _slipped(renewed=lambda total, every, factor: factor * total // every),
            "a threshold is a fraction: /, not //",
        ),
        (
            _slipped(renewed=lambda total, every, factor: factor / total / every),
            "factor *times* the mean norm",
        ),
        (
            _slipped(renewed=lambda total, every, factor: total / every / factor),
            "factor *times* the mean norm: you divide",
        ),
        (
            _slipped(renewed=lambda total, every, factor: total / every + factor),
            "factor *times* the mean norm: you add",
        ),
        (
            _slipped(renewed=lambda total, every, factor: factor),
            "the factor alone is no threshold: times the mean norm",
        ),
        (
            _slipped(renewed=lambda total, every, factor: every * total / every),
            "this is the sum of the norms: factor times the sum, divided by the number of steps",
        ),
        (
            _slipped(renewed=lambda total, every, factor: factor // total / every),
            "factor *times* the mean norm",
        ),
        (
            _slipped(scale=lambda most, norm: most / norm),
            "a small gradient is blown up: min(1, threshold / norm) leaves it as it is",
        ),
        (
            _slipped(scale=lambda most, norm: max(1.0, most / norm)),
            "min, not max: what is too long is shortened, nothing is stretched",
        ),
        (_slipped(scale=lambda most, norm: min(1.0, norm / most)), "upside down: threshold / norm"),
        (
            _slipped(scale=lambda most, norm: min(1, most // norm)),
            "what is too long is thrown away: it is shortened; a scale is a fraction, /, not //",
        ),
        (
            _slipped(scale=lambda most, norm: min(2.0, most / norm)),
            "a small gradient is blown up, to twice its length at most: the largest scale is 1",
        ),
        (_slipped(scale=lambda most, norm: 0.0), "everything becomes 0: the largest scale is 1"),
        (_slipped(apply=lambda one, scale: one / scale), "numbers *times* the scale: you divide"),
        (_slipped(apply=lambda one, scale: one // scale), "numbers times the scale"),
        (
            lambda steps, limit, every, factor: [
                {part: [max(-limit, min(limit, one)) for one in own] for part, own in step.items()} for step in steps
            ],
            "this cuts each number by itself, and turns the gradient: shorten all of a part alike",
        ),
        (
            _slipped(norm=lambda gradient: sum(map(abs, gradient))),
            "a length is the root of the sum of squares, not the sum of sizes",
        ),
        (
            _slipped(norm=lambda gradient: max(map(abs, gradient))),
            "a length is the root of the sum of squares, not the largest number",
        ),
        (
            _slipped(norm=lambda gradient: sum(one * one for one in gradient)),
            "the root is missing: a length is the root of the sum of squares",
        ),
        (
            _slipped(norm=lambda gradient: math.sqrt(sum(one * one for one in gradient) / len(gradient))),
            "this is the root of the *mean* square; a length has the sum",
        ),
        (
            _slipped(norm=lambda gradient: math.sqrt(sum(abs(one) ** 3 for one in gradient))),
            "a square is ** 2, not ** 3",
        ),
        (
            _slipped(unknown=lambda limit, factor: math.inf),
            "until there are running thresholds, `limit` is the one of all parts",
        ),
        (
            _slipped(unknown=lambda limit, factor: factor),
            "the first threshold is `limit`; the factor comes with the running ones",
        ),
        (
            _slipped(unknown=lambda limit, factor: factor * limit),
            "the first threshold is `limit` itself",
        ),
        (
            lambda steps, limit, every, factor: _slipped()(steps, every, every, factor),
            "the first threshold is `limit`, not `every`",
        ),
        (
            lambda steps, limit, every, factor: _slipped()(steps, limit, max(1, round(factor)), factor),
            "thresholds are renewed after `every` steps, not after `factor`",
        ),
    ],
    inputs=_training,
    shows="a spike in one part is clipped, and leaves the others alone",
)  # fmt: skip

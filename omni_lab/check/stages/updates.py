"""How large an update is: AdamW's step for one weight (notebook 04)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.step import Step

# --- AdamW, one weight


def _adamw(gradients: list, lr: float) -> list:
    """Changes of a weight under torch's own AdamW, with the settings of the package."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr, betas=(0.9, 0.98), weight_decay=0.0)
    changes, before = [], 0.0
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        changes.append(float(weight.detach()) - before)
        before = float(weight.detach())
    return changes


def _slipped(
    first: Callable = lambda m, g: 0.9 * m + 0.1 * g,
    second: Callable = lambda v, g: 0.98 * v + 0.02 * g**2,
    mend_first: Callable = lambda m, t: m / (1 - 0.9**t),
    mend_second: Callable = lambda v, t: v / (1 - 0.98**t),
    update: Callable = lambda lr, mean, size: -lr * mean / size,
    root: Callable = lambda v: v**0.5,
    begin: tuple = (0.0, 0.0),
    count: int = 1,
) -> Callable:
    """Mistake in one line of AdamW."""

    def adamw(gradients, lr):
        (m, v), changes = begin, []
        for t, gradient in enumerate(gradients, count):
            m, v = first(m, gradient), second(v, gradient)
            changes.append(update(lr, mend_first(m, t), root(mend_second(v, t))))
        return changes

    return adamw


def _gradients(source: random.Random) -> tuple:
    scale = 10 ** source.uniform(-0.5, 2)
    own = [source.choice([-1, 1]) * scale * source.uniform(0.2, 1) for _ in range(4)]
    return own, 10 ** source.uniform(-4, -1)


adamw = Step(
    right=_adamw,
    cases=[
        ([2.0, 2.0, 2.0], 0.003),
        ([20.0, 20.0, 20.0], 0.003),
        ([1.0, -3.0, 0.5, 7.0], 0.01),
        ([-4.0], 0.1),
        ([0.5, 40.0, 0.5, -0.7, 0.6], 0.02),
    ],
    rule="m and v are running means of the gradient and of its square; each divided by 1 − β to the "
    "power t, with t from 1; the change is −lr · m / √v",
    mistakes=[
        (
            _slipped(update=lambda lr, m, s: lr * m / s),
            "the sign is wrong: go *against* the gradient",
        ),
        (
            lambda gradients, lr: [-lr * g for g in gradients],
            "this is plain gradient descent: divide by the size that gradients usually have",
        ),
        (
            _slipped(update=lambda lr, m, s: -lr * m),
            "divide by √v: that is what makes AdamW blind to the size",
        ),
        (_slipped(update=lambda lr, m, s: -lr * m * s), "divide by √v: you multiply"),
        (_slipped(update=lambda lr, m, s: -lr * m // s), "an update is a fraction: /, not //"),
        (
            _slipped(update=lambda lr, m, s: -lr / m / s),
            "the update is lr *times* the mean: you divide",
        ),
        (_slipped(update=lambda lr, m, s: -lr // m / s), "the update is lr times the mean"),
        (_slipped(update=lambda lr, m, s: -m / s), "the learning rate is missing"),
        (
            _slipped(update=lambda lr, m, s: -lr / s),
            "the mean gradient is missing: it says which way",
        ),
        (_slipped(update=lambda lr, m, s: -lr * m / (s - 1)), "divide by √v alone"),
        (_slipped(root=lambda v: v), "divide by the *root* of v: v is a mean of squares"),
        (_slipped(root=lambda v: v * 0.5), "a root is ** 0.5, not * 0.5"),
        (_slipped(root=lambda v: v**2), "a root is ** 0.5, not ** 2"),
        (
            _slipped(mend_first=lambda m, t: m),
            "m begins at 0 and is too small at first: divide by 1 − 0.9ᵗ",
        ),
        (
            _slipped(mend_second=lambda v, t: v),
            "v begins at 0 and is too small at first: divide by 1 − 0.98ᵗ",
        ),
        (
            _slipped(mend_first=lambda m, t: m, mend_second=lambda v, t: v),
            "both means begin at 0 and are too small at first: divide by 1 − βᵗ",
        ),
        (_slipped(mend_first=lambda m, t: m / (1 - 0.9 * t)), "1 − 0.9 to the power t: **, not *"),
        (
            _slipped(mend_second=lambda v, t: v / (1 - 0.98 * t)),
            "1 − 0.98 to the power t: **, not *",
        ),
        (_slipped(mend_first=lambda m, t: m / (1 + 0.9**t)), "divide by 1 − 0.9ᵗ: you add"),
        (_slipped(mend_second=lambda v, t: v / (1 + 0.98**t)), "divide by 1 − 0.98ᵗ: you add"),
        (
            _slipped(mend_first=lambda m, t: m * (1 - 0.9**t)),
            "m is too small at first: divide by 1 − 0.9ᵗ, you multiply",
        ),
        (
            _slipped(mend_second=lambda v, t: v * (1 - 0.98**t)),
            "v is too small at first: divide by 1 − 0.98ᵗ, you multiply",
        ),
        (_slipped(mend_first=lambda m, t: m // (1 - 0.9**t)), "an update is a fraction: /, not //"),
        (
            _slipped(mend_second=lambda v, t: v // (1 - 0.98**t) or float("inf")),
            "v is a fraction: /, not //",
        ),
        (_slipped(mend_first=lambda m, t: m / (2 - 0.9**t)), "divide by 1 − 0.9ᵗ, not by 2 − 0.9ᵗ"),
        (
            _slipped(mend_second=lambda v, t: v / (2 - 0.98**t)),
            "divide by 1 − 0.98ᵗ, not by 2 − 0.98ᵗ",
        ),
        (_slipped(mend_first=lambda m, t: m / (0 - 0.9**t)), "divide by 1 − 0.9ᵗ, not by −0.9ᵗ"),
        (
            _slipped(mend_second=lambda v, t: v / (0 - 0.98**t)),
            "divide by 1 − 0.98ᵗ, not by −0.98ᵗ",
        ),
        (_slipped(begin=(0.0, -1.0)), "v begins at 0, not at −1"),
        (_slipped(count=2), "t counts steps from 1: yours begins at 2"),
        (
            _slipped(second=lambda v, g: 0.98 * v + 0.02 * abs(g)),
            "v is the mean of the gradient's *square*",
        ),
        (
            _slipped(second=lambda v, g: 0.98 * v + 0.02 * g * g * g * g),
            "v is the mean of the gradient's square, ** 2",
        ),
        (_slipped(second=lambda v, g: 0.98 * v + 0.02 * g**3), "a square is ** 2, not ** 3"),
        (
            _slipped(second=lambda v, g: 0.98 * v + 0.02 * g),
            "a square is ** 2: this is the gradient itself",
        ),
        (_slipped(second=lambda v, g: 0.98 * v + 0.02 * (g * 2)), "a square is ** 2, not * 2"),
        (
            _slipped(second=lambda v, g: 0.98 * v - 0.02 * g**2),
            "the new square is added to the mean",
        ),
        (
            _slipped(second=lambda v, g: 0.98 / v + 0.02 * g * g if v else 0.02 * g * g),
            "0.98 *times* v",
        ),
        (
            _slipped(second=lambda v, g: 0.98 * v + 0.02 / g**2),
            "0.02 *times* the square: you divide",
        ),
        (
            _slipped(second=lambda v, g: 0.02 * g * g),
            "v forgets the steps before: 0.98 · v + 0.02 · g²",
        ),
        (_slipped(second=lambda v, g: 0.98 * v + g * g), "the new square counts 0.02"),
        (
            _slipped(second=lambda v, g: 0.999 * v + 0.001 * g * g, mend_second=lambda v, t: v / (1 - 0.999**t)),
            "here β₂ is 0.98, as the package has it, not 0.999",
        ),
        (
            _slipped(second=lambda v, g: 0.9 * v + 0.1 * g * g, mend_second=lambda v, t: v / (1 - 0.9**t)),
            "v has a β of its own, 0.98",
        ),
        (_slipped(first=lambda m, g: 0.9 / m + 0.1 * g if m else 0.1 * g), "0.9 *times* m"),
        (_slipped(first=lambda m, g: 0.9 * m + 0.1 / g), "0.1 *times* the gradient: you divide"),
        (_slipped(first=lambda m, g: 0.9 // m + 0.1 * g if m else 0.1 * g), "0.9 times m"),
        (_slipped(first=lambda m, g: 0.1 * g), "m forgets the steps before: 0.9 · m + 0.1 · g"),
        (
            _slipped(first=lambda m, g: g, mend_first=lambda m, t: m),
            "the momentum is missing: m is a running mean of the gradient",
        ),
        (_slipped(begin=(1.0, 0.0)), "m begins at 0"),
        (_slipped(begin=(0.0, 1.0)), "v begins at 0"),
        (_slipped(begin=(1.0, 1.0)), "both means begin at 0"),
        (_slipped(begin=(-1.0, 0.0)), "m begins at 0, not at −1"),
    ],
    inputs=_gradients,
    shows="ten times the gradient, the same step",
)  # fmt: skip

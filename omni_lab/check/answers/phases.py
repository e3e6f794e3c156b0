"""Right answers to the small exercises of notebook 05; the first of each is mutated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch


def slope(step_a, loss_a, step_b, loss_b):
    fall = math.log(loss_b) - math.log(loss_a)
    return fall / (math.log(step_b) - math.log(step_a))


def slope_by_ratios(step_a: float, loss_a: float, step_b: float, loss_b: float) -> float:
    return math.log10(loss_b / loss_a) / math.log10(step_b / step_a)


def slope_by_polyfit(step_a: float, loss_a: float, step_b: float, loss_b: float) -> np.float64:
    return np.polyfit(np.log([step_a, step_b]), np.log([loss_a, loss_b]), 1)[0]


def slope_in_torch(step_a: float, loss_a: float, step_b: float, loss_b: float) -> torch.Tensor:
    x, y = torch.tensor([[step_a, step_b], [loss_a, loss_b]], dtype=torch.float64).log2()
    return y.diff()[0] / x.diff()[0]


def broken_line(x, y, at):
    x, y = np.array(x), np.array(y)
    columns = np.column_stack([np.ones(len(x)), x, np.maximum(0, x - at)])
    found = np.linalg.lstsq(columns, y, rcond=None)[0]
    off = y - columns @ found
    return [found[1], found[1] + found[2], (off**2).sum()]


def broken_line_from_the_break(x: list, y: list, at: float) -> tuple:
    left = np.minimum(np.array(x) - at, 0)
    right = np.maximum(np.array(x) - at, 0)
    columns = np.stack([left, right, np.ones(len(x))], 1)
    (before, after, _), error, *_ = np.linalg.lstsq(columns, np.array(y), rcond=None)
    return before, after, error.sum() if len(error) else 0.0


def broken_line_by_normal_equations(x: list, y: list, at: float) -> np.ndarray:
    columns = np.array([[1.0, value, max(0.0, value - at)] for value in x])
    found = np.linalg.solve(columns.T @ columns, columns.T @ np.array(y))
    error = sum((a - b) ** 2 for a, b in zip(y, columns @ found, strict=True))
    return np.array([found[1], found[1] + found[2], error])


def broken_line_in_torch(x: list, y: list, at: float) -> torch.Tensor:
    place, value = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    columns = torch.stack([torch.ones_like(place), place, (place - at).clamp(min=0)], 1)
    found = torch.linalg.lstsq(columns, value[:, None]).solution[:, 0]
    return torch.stack([found[1], found[1] + found[2], (value - columns @ found).square().sum()])


def conditions(steps, slopes):
    start, flat, again, end = steps
    first, plateau, second = slopes
    level = abs(plateau)
    return [
        -first * math.log((flat + 1) / (start + 1)) >= 0.1,
        level <= 0.5 * -first,
        again + 1 >= 1.5 * (flat + 1),
        -second >= 2 * level,
        -second * math.log((end + 1) / (again + 1)) >= 0.1,
    ]


def conditions_with_names(steps: Sequence[float], slopes: Sequence[float]) -> list[bool]:
    logs = [math.log1p(step) for step in steps]
    falls = [-s * (b - a) for s, a, b in zip(slopes, logs, logs[1:], strict=False)]
    steep = [max(0.0, -s) for s in slopes]
    level = abs(slopes[1])
    deep_first, deep_second = falls[0] >= 0.1, falls[2] >= 0.1
    is_level, is_steep = 2 * level <= steep[0], steep[2] >= 2 * level
    return [deep_first, is_level, logs[2] - logs[1] >= math.log(1.5), is_steep, deep_second]


def conditions_in_numpy(steps: Sequence[float], slopes: Sequence[float]) -> np.ndarray:
    one, steep = np.array(steps) + 1, -np.array(slopes)
    falls, level = steep * np.diff(np.log(one)), abs(steep[1])
    return np.array([
        falls[0] >= 0.1, level / 0.5 <= steep[0], one[2] / one[1] >= 1.5,
        steep[2] >= 2 * level, falls[2] >= 0.1,
    ])  # fmt: skip


def p_value(seen, under_null):
    as_large = sum(gain >= seen for gain in under_null)
    return (1 + as_large) / (1 + len(under_null))


def p_value_in_numpy(seen: float, under_null: list[float]) -> np.float64:
    return (np.array([*under_null, seen]) >= seen).mean()


def p_value_with_itself_among_them(seen: float, under_null: list[float]) -> float:
    everything = [seen, *under_null]
    return len([gain for gain in everything if not gain < seen]) / len(everything)


def p_value_in_torch(seen: float, under_null: list[float]) -> torch.Tensor:
    gains = torch.tensor(under_null, dtype=torch.float64)
    return (gains.ge(seen).sum() + 1).double() / (gains.numel() + 1)


def guess_level(counts, tokens):
    level = 0.0
    for count in counts:
        if count > 0:
            p = count / sum(counts)
            level = level - p * math.log(p)
    return level / tokens


def guess_level_in_one_line(counts: list[int], tokens: int) -> float:
    whole = sum(counts)
    return sum(c / whole * math.log(whole / c) for c in counts if c) / tokens


def guess_level_in_numpy(counts: list[int], tokens: int) -> np.float64:
    p = np.array(counts) / np.sum(counts)
    return -(p * np.log(np.where(p > 0, p, 1))).sum() / tokens


def guess_level_by_cross_entropy(counts: list[int], tokens: int) -> torch.Tensor:
    p = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return torch.special.entr(p).sum() / tokens


def total_loss(tokens, losses):
    whole = 0.0
    for fact in tokens:
        whole = whole + tokens[fact] * losses[fact]
    return whole / sum(tokens.values())


def total_loss_by_shares(tokens: Mapping[str, int], losses: Mapping[str, float]) -> float:
    count = sum(tokens.values())
    return sum(number / count * losses[fact] for fact, number in tokens.items())


def total_loss_by_average(tokens: Mapping[str, int], losses: Mapping[str, float]) -> np.float64:
    return np.average([losses[fact] for fact in tokens], weights=list(tokens.values()))


def total_loss_token_by_token(tokens: Mapping[str, int], losses: Mapping[str, float]) -> float:
    every = [losses[fact] for fact, number in tokens.items() for _ in range(number)]
    return sum(every) / len(every)


def foretold_step(learned_at, here, there, gamma):
    if there == 0:
        return math.inf
    return learned_at * (here / there) ** gamma


def foretold_step_by_logarithms(
    learned_at: float, here: float, there: float, gamma: float
) -> float:
    if not there:
        return float("inf")
    return math.exp(math.log(learned_at) - gamma * (math.log(there) - math.log(here)))


def foretold_step_by_practice(learned_at: float, here: float, there: float, gamma: float) -> float:
    practice = (there / here) ** gamma if there > 0 else 0.0
    return learned_at / practice if practice else math.inf


def foretold_step_in_numpy(
    learned_at: float, here: float, there: float, gamma: float
) -> np.float64:
    return np.float64(learned_at) * np.power(here / there, gamma) if there else np.float64(np.inf)


ANSWERS = {
    "slope": (slope, slope_by_ratios, slope_by_polyfit, slope_in_torch),
    "broken_line": (
        broken_line, broken_line_from_the_break, broken_line_by_normal_equations,
        broken_line_in_torch,
    ),
    "conditions": (conditions, conditions_with_names, conditions_in_numpy),
    "p_value": (
        p_value, p_value_in_numpy, p_value_with_itself_among_them, p_value_in_torch,
    ),
    "guess_level": (
        guess_level, guess_level_in_one_line, guess_level_in_numpy, guess_level_by_cross_entropy,
    ),
    "total_loss": (
        total_loss, total_loss_by_shares, total_loss_by_average, total_loss_token_by_token,
    ),
    "foretold_step": (
        foretold_step, foretold_step_by_logarithms, foretold_step_by_practice,
        foretold_step_in_numpy,
    ),
}  # fmt: skip

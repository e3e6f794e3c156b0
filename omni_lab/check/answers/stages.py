"""Right answers to the exercises of notebook 04; the first of each is mutated."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from omni_lab.training.optimizers import belongs, rate_of

# --- which weights a stage moves


def moving(names, train, rates):
    found = []
    for name in names:
        trained = [part for part in train if f"{name}.".startswith(f"{part}.")]
        rated = [part for part in rates if f"{name}.".startswith(f"{part}.")]
        rate = rates[max(rated, key=len)] if rated else 1
        if trained and rate > 0:
            found.append(name)
    return found


def moving_by_the_package(names: list, train: list, rates: dict) -> list:
    trained = (name for name in names if any(belongs(name, part) for part in train))
    return [name for name in trained if rate_of(name, rates) > 0]


def moving_by_prefixes(names: list, train: list, rates: dict) -> Any:
    for name in names:
        pieces = name.split(".")
        prefixes = [".".join(pieces[:length]) for length in range(len(pieces), 0, -1)]
        rate = next((rates[prefix] for prefix in prefixes if prefix in rates), 1.0)
        if rate and set(prefixes) & set(train):
            yield name


# --- loss by fact


def by_fact(processes):
    sums, counts = {}, {}
    for tokens in processes:
        for fact, loss in tokens:
            if fact is not None:
                sums[fact] = sums.get(fact, 0) + loss
                counts[fact] = counts.get(fact, 0) + 1
    return {fact: sums[fact] / counts[fact] for fact in sums}


def by_fact_in_lists(processes: list) -> dict:
    losses = defaultdict(list)
    for fact, loss in (pair for tokens in processes for pair in tokens):
        if fact:
            losses[fact].append(loss)
    return {fact: np.mean(own) for fact, own in losses.items()}


def by_fact_in_torch(processes: list) -> dict:
    pairs = [pair for tokens in processes for pair in tokens if pair[0] is not None]
    names = sorted({fact for fact, _ in pairs})
    groups = torch.tensor([names.index(fact) for fact, _ in pairs])
    losses = torch.tensor([loss for _, loss in pairs], dtype=torch.float64)
    means = torch.bincount(groups, losses) / torch.bincount(groups)
    return dict(zip(names, means, strict=True))


# --- when a phase ends


def phase_ends(losses, below, cap):
    mean, seen = None, 0
    for step, loss in enumerate(losses):
        if loss is not None:
            mean = loss if mean is None else 0.9 * mean + 0.1 * loss
            seen = seen + 1
        if (seen >= 10 and mean < below) or step + 1 >= cap:
            return step
    return len(losses)


def phase_ends_with_while(losses: list, below: float, cap: int) -> int:
    seen: list[float] = []
    step = 0
    while True:
        if losses[step] is not None:
            seen.append(losses[step] if not seen else seen[-1] + (losses[step] - seen[-1]) / 10)
        if step == cap - 1 or (len(seen) > 9 and seen[-1] < below):
            return step
        step += 1


def phase_ends_in_numpy(losses: list, below: float, cap: int) -> np.int64:
    means, counts = np.full(len(losses), np.inf), np.cumsum([one is not None for one in losses])
    mean = None
    for step, loss in enumerate(losses):
        if loss is not None:
            mean = loss if mean is None else np.average([mean, loss], weights=[9, 1])
        means[step] = np.inf if mean is None else mean
    ended = ((counts >= 10) & (means < below)) | (np.arange(1, len(losses) + 1) >= cap)
    return np.flatnonzero(ended)[0]


# --- balance


def factors(first, now, strength, most):
    left = {name: now[name] / first[name] for name in now}
    mean = sum(left.values()) / len(left)
    found = {}
    for name, rest in left.items():
        factor = (rest / mean) ** strength
        found[name] = min(most, max(1 / most, factor))
    return found


def factors_in_numpy(first: dict, now: dict, strength: float, most: float) -> dict:
    left = np.array([now[name] / first[name] for name in now])
    bounded = np.clip((left / left.mean()) ** strength, 1 / most, most)
    return dict(zip(now, bounded, strict=True))


def factors_by_logarithms(first: dict, now: dict, strength: float, most: float) -> dict:
    left = {name: torch.tensor(loss / first[name]).double() for name, loss in now.items()}
    middle = torch.stack([*left.values()]).mean().log()
    high = math.log(most)
    return {
        name: (strength * (rest.log() - middle)).clamp(-high, high).exp()
        for name, rest in left.items()
    }


# --- AdamW


def adamw(gradients, lr):
    m, v = 0, 0
    changes = []
    for t, gradient in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * gradient
        v = 0.98 * v + 0.02 * gradient**2
        mean = m / (1 - 0.9**t)
        size = (v / (1 - 0.98**t)) ** 0.5
        changes.append(-lr * mean / size)
    return changes


def adamw_by_sums(gradients: list, lr: float) -> list:
    changes = []
    for count in range(1, len(gradients) + 1):
        ages = np.arange(count)[::-1]
        own = np.array(gradients[:count])
        mean = np.average(own, weights=0.9**ages)
        changes.append(-lr * mean / np.sqrt(np.average(own**2, weights=0.98**ages)))
    return changes


def adamw_in_torch(gradients: list, lr: float) -> torch.Tensor:
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr, betas=(0.9, 0.98))
    path = [torch.zeros(1, dtype=torch.float64)]
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        path.append(weight.detach().clone())
    return torch.cat(path).diff()


# --- the learning rate over a stage


def rate(step, steps, schedule, warmup, decay):
    up = (step + 1) / warmup
    down = 1
    if schedule == "wsd":
        down = (steps - step) / (steps * decay)
    elif schedule == "cosine":
        down = (1 + math.cos(math.pi * step / steps)) / 2
    return min(1, up, max(0.02, down))


def rate_in_numpy(step: int, steps: int, schedule: str, warmup: int, decay: float) -> np.float64:
    done = step / steps
    falls = {"wsd": (1 - done) / decay, "cosine": np.cos(np.pi * done / 2) ** 2, "constant": 1.0}
    return np.minimum(np.clip(falls[schedule], 0.02, 1), (step + 1) / warmup)


def rate_by_interpolation(step: int, steps: int, schedule: str, warmup: int, decay: float) -> float:
    fall = [1.0, 1.0, 0.0] if schedule == "wsd" else [1.0, 1.0, 1.0]
    down = float(np.interp(step, [0, steps * (1 - decay), steps], fall))
    if schedule == "cosine":
        down = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return min(max(down, 0.02), (step + 1) / warmup)


# --- clipping by part (long exercise)


def clipped(steps, limit, every, factor):
    limits, sums, out = {}, {}, []
    for number, gradients in enumerate(steps, 1):
        done = {}
        for part, gradient in gradients.items():
            norm = math.sqrt(sum(one * one for one in gradient))
            scale = min(1, limits.get(part, limit) / norm)
            done[part] = [one * scale for one in gradient]
            sums[part] = sums.get(part, 0) + norm
        out.append(done)
        if number % every == 0:
            limits = {part: factor * total / every for part, total in sums.items()}
            sums = {}
    return out


def clipped_in_numpy(steps: list, limit: float, every: int, factor: float) -> list:
    norms = {part: [np.linalg.norm(step[part]) for step in steps] for part in steps[0]}
    out = []
    for number, step in enumerate(steps):
        last = number // every * every
        most = {part: factor * np.mean(own[last - every : last]) if last else limit
                for part, own in norms.items()}  # fmt: skip
        out.append({
            part: np.array(own) * min(1.0, most[part] / norms[part][number])
            for part, own in step.items()
        })  # fmt: skip
    return out


def clipped_in_torch(steps: list, limit: float, every: int, factor: float) -> Any:
    seen: dict[str, list[float]] = {part: [] for part in steps[0]}
    limits = dict.fromkeys(seen, limit)
    for step in steps:
        done = {}
        for part, gradient in step.items():
            own = torch.tensor(gradient, dtype=torch.float64)
            seen[part].append(float(own.norm()))
            done[part] = torch.renorm(own[None], 2, 0, limits[part])[0]
        yield done
        if len(seen[part]) == every:
            limits = {part: factor * sum(norms) / every for part, norms in seen.items()}
            seen = {part: [] for part in seen}


ANSWERS = {
    "moving": (moving, moving_by_the_package, moving_by_prefixes),
    "by_fact": (by_fact, by_fact_in_lists, by_fact_in_torch),
    "phase_ends": (phase_ends, phase_ends_with_while, phase_ends_in_numpy),
    "factors": (factors, factors_in_numpy, factors_by_logarithms),
    "adamw": (adamw, adamw_by_sums, adamw_in_torch),
    "rate": (rate, rate_in_numpy, rate_by_interpolation),
    "clipped": (clipped, clipped_in_numpy, clipped_in_torch),
}

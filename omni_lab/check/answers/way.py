"""Right answers to the small exercises of notebook 00; the first of each is mutated."""

from __future__ import annotations

import math

import numpy as np


def uniform_loss(size):
    return -math.log(1 / size)


def uniform_loss_of_the_size(size: int) -> float:
    return math.log(size)


def uniform_loss_in_numpy(size: int) -> np.float64:
    probabilities = np.full(size, 1 / size)
    return -np.log(probabilities[0])


ANSWERS = {"uniform_loss": (uniform_loss, uniform_loss_of_the_size, uniform_loss_in_numpy)}

"""Small exercises of notebook 00: the whole way from a film to an answer."""

from omni_lab.check.way.losses import manners_loss, uniform_loss
from omni_lab.check.way.rates import chance_left, row_rates
from omni_lab.check.way.stream import one_second, picture_times

__all__ = [
    "chance_left",
    "manners_loss",
    "one_second",
    "picture_times",
    "row_rates",
    "uniform_loss",
]

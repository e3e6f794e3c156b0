"""Forecast of a loss on another mixture: where its curve bends."""

import numpy as np
import pytest

from omni_lab.reproduce.experiments.forecast import FROM, breaks_of


@pytest.mark.parametrize("places", [(48.0, 213.0), (100.0, 700.0)])
def test_the_two_bends_of_a_curve_without_noise_are_found_where_they_are(places):
    steps = np.exp(np.linspace(np.log(FROM), np.log(1199), 160))
    x, (first, second) = np.log(steps), np.log(places)
    slopes = -0.8 * x + 0.75 * np.maximum(0, x - first) - 0.6 * np.maximum(0, x - second)
    assert breaks_of(steps, np.exp(slopes)) == pytest.approx(places, rel=0.02)

"""The registry of experiments: every id has its function."""

import pytest

from omni_lab.errors import UsageError
from omni_lab.reproduce.registry import EXPERIMENTS, experiment


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_that_is_listed_can_be_run(name):
    assert callable(experiment(name))


def test_an_unknown_experiment_is_refused_with_those_that_exist():
    with pytest.raises(UsageError, match="demo, from_films, context, formats, O5"):
        experiment("dmeo")

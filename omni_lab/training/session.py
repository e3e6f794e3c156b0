"""Training session: data of every stage, model and vocabulary of one configuration, from a run or new."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from omni_lab.config import Config
from omni_lab.config.differences import Difference, differences, one_line
from omni_lab.data.sources import training_data
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.training.models import new_model, trained
from omni_lab.training.run import RunFolder, read_config
from omni_lab.training.trainer import Trainer


class Session:
    """What `omni-lab train` runs: stages with their data, and the model they begin with.

    Parameters
    ----------
    init : run folder whose furthest weights training begins with; None begins with new ones

    Raises
    ------
    UsageError, InputError
        a stage's data or the weights to begin with cannot be had, or do not fit
    """

    def __init__(self, config: Config, init: Path | None = None) -> None:
        self.settings = config.training
        self.stages = [training_data(config, stage) for stage in config.training.stages]
        self.model = new_model(config) if init is None else begun_from(init, config)

    @property
    def main(self) -> bool:
        """Whether this is the process that speaks for all."""
        return int(os.environ.get("RANK", "0")) == 0

    def fit(
        self,
        run: RunFolder,
        progress: bool = True,
        watch: Callable[[str, int], None] | None = None,
    ) -> OmniModel:
        """Train every stage, going on where the run folder stands.

        Parameters
        ----------
        watch : called with the stage's name and the number of steps done, after each step
        """
        return Trainer(self.settings, self.model, run, progress, watch).fit(self.stages)


def other_sizes(there: Config, here: Config) -> list[Difference]:
    """Differences in settings that decide the sizes of a model's weights."""
    return [
        found
        for found in differences(there, here)
        if found.key.startswith(("model.", "sequence.")) and found.key != "sequence.max_tokens"
    ]


def begun_from(run: Path, config: Config) -> OmniModel:
    """Model of another run, where its sizes are those of `config`.

    Raises
    ------
    InputError
        the folder is no run, or its model is of other sizes; the message has the differences
    """
    if found := other_sizes(read_config(run), config):
        raise InputError(f"{run}: its model is of other settings: {one_line(found)}")
    model = trained(run)
    vocabulary = len(build_vocabulary(config))
    if model.config.vocabulary != vocabulary:
        message = f"vocabulary: {model.config.vocabulary} tokens there, {vocabulary} here"
        raise InputError(f"{run}: {message}; give it the same tokenizer")
    return model

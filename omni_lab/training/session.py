"""Training session: data of every stage, model and vocabulary of one configuration, from a run or new."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omni_lab.config import Config
from omni_lab.config.overrides import leaves
from omni_lab.data.sources import training_data
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.training.run import RunFolder, read_config
from omni_lab.training.trainer import Trainer, new_model, trained


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


def sizes(config: Config) -> Iterator[tuple[str, Any]]:
    """Settings that decide the sizes of a model's weights, by dotted key."""
    for key, _, value in leaves(config):
        if key.startswith(("model.", "sequence.")) and key != "sequence.max_tokens":
            yield key, value


def begun_from(run: Path, config: Config) -> OmniModel:
    """Model of another run, where its sizes are those of `config`.

    Raises
    ------
    InputError
        the folder is no run, or its model is of other sizes; the message names the first difference
    """
    model, other = trained(run), read_config(run)
    own, there = (dict(sizes(settings)) for settings in (config, other))
    for key, value in own.items():
        if value != there[key]:
            raise InputError(f"{run}: {key} is {there[key]} there, and {value} here")
    vocabulary = len(build_vocabulary(config))
    if model.config.vocabulary != vocabulary:
        message = f"a vocabulary of {model.config.vocabulary} tokens there, and {vocabulary} here"
        raise InputError(f"{run}: {message}; give it the same tokenizer")
    return model

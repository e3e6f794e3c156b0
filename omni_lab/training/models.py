"""Models that training begins with, and those that it has left in a run folder."""

from __future__ import annotations

from pathlib import Path

import torch

from omni_lab.config import Config
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.training import checkpoint
from omni_lab.training.run import read_config


def new_model(config: Config) -> OmniModel:
    """Model that training begins with: its weights depend on `config.seed`."""
    torch.manual_seed(config.seed)
    return OmniModel.build(config.model, config.sequence, len(build_vocabulary(config)))


def trained(folder: Path | str) -> OmniModel:
    """Model of a run folder's furthest checkpoint.

    Raises
    ------
    InputError
        the folder is no run, or has no checkpoint yet
    """
    return OmniModel.load(furthest(folder))


def furthest(folder: Path | str) -> Path:
    """Furthest checkpoint of a run folder.

    Raises
    ------
    InputError
        the folder is no run, or has no checkpoint yet
    """
    config = read_config(folder)
    found = checkpoint.latest(Path(folder) / "checkpoints", tuple(config.every_stage()))
    if not found:
        raise InputError(f"{folder}: no checkpoint in it yet; train one with `omni-lab demo`")
    return found[0]

"""A training run whose power goes right after a checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from omni_lab.training import checkpoint


def stop_after(stage: str, step: int, run: Callable[[], object]) -> None:
    """Let `run` train until the checkpoint of that stage and step is written, and no further."""
    save = checkpoint.save

    def save_then_die(folder, place, *rest):
        save(folder, place, *rest)
        if (place.stage, place.step) == (stage, step):
            raise RuntimeError("the power went")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(RuntimeError, match="the power went"):
            run()

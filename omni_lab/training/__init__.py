"""Stages, one trainer, objectives, run folders that resume."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "contrastive": "contrastive_loss",
        "objective": "Objective supervised",
        "optimizers": "build_optimizers choose_trained",
        "run": "Place RunFolder read_config",
        "selection": "top_fraction",
        "trainer": "Trainer train train_stages trained",
    },
)

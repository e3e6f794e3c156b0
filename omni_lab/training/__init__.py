"""Stages, one trainer, objectives, run folders that resume."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "branches.branch": "branch",
        "branches.curve": "Branching explore",
        "branches.merging": "merge",
        "faults.replay": "replay",
        "faults.watch": "NonFiniteError",
        "losses.contrastive": "contrastive_loss",
        "losses.objective": "Objective supervised",
        "muon": "Muon",
        "optimizers": "build_optimizers choose_trained modality_of part_of",
        "rules.balance": "Balance",
        "rules.clipping": "Clipping clip_per_part",
        "rules.controls": "Controls",
        "rules.curriculum": "Curriculum",
        "rules.schedules": "contrastive_weight learning_rate_factor",
        "run": "Place RunFolder read_config",
        "selection": "score separability top_fraction",
        "models": "new_model trained",
        "trainer": "Trainer train train_stages",
    },
)

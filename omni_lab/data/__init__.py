"""Training batches, their loader, the tokenizer registry, data sources by name."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "batch": "StageData TrainingBatch",
        "documents": "Documents",
        "loader": "prefetch",
        "mixed": "SourceData",
        "plan": "Plan",
        "sources": "training_data",
        "vocabulary": "build_vocabulary",
    },
)

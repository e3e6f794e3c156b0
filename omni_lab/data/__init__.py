"""Training batches, their loader, the tokenizer registry, data sources by name."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "batch": "StageData TrainingBatch",
        "documents": "Documents",
        "instruct.indices": "load_mixture save_mixture",
        "instruct.lessons": "MixtureData open_datasets steps_at_ends",
        "instruct.mixture": "Mixture combination_size mix",
        "instruct.seen": "seen_of seen_table",
        "loader": "prefetch",
        "mixed": "SourceData",
        "plan": "Plan",
        "sources": "training_data",
        "vocabulary": "build_vocabulary",
    },
)

"""Instruction mixture: parts of equal mix by percentages, saved sample by sample, trained on."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "indices": "load_mixture save_mixture",
        "lessons": "MixtureData open_datasets steps_at_ends",
        "mixture": "Mixture combination_size mix",
        "seen": "seen_of seen_table",
    },
)

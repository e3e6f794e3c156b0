"""Experiments: criteria written down first, records with intervals."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "record": "VERDICTS Criterion read_record",
        "registry": "EXPERIMENTS experiment",
    },
)

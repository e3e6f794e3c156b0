"""Reproduction experiments: preregistered criteria, records over seeds with 95 % intervals."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "record": "VERDICTS Criterion read_record",
        "registry": "EXPERIMENTS experiment",
    },
)

"""Is my loss normal? A run's curves against recorded seeds: prediction bands, and causes that a log alone can show."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__, {"band": "Compared", "causes": "Cause", "against": "Comparison compare false_alarms"}
)

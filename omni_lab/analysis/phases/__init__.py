"""Phases of a training loss: change points of log loss over log steps, tested against smooth decay."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "drops": "drop_of",
        "find": "find_phases plateau_span",
        "lines": "broken_line refined solved",
        "noise": "at_points",
        "rule": "RULE THREE Rule",
        "segmentation": "segment Segments",
        "simulated": "Conditions simulate",
        "smooth": "curve_of first_fit fit_smooth",
    },
)

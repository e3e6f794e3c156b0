"""Instruction data of the gallery: six tasks as finite datasets, for mixtures by percentages."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "datasets": "SIZES InstructSet instruct_sets",
        "examples": "TASKS draw_example",
        "lessons": "InstructLessons WordLessons",
    },
)

"""Registry of experiments: id, question and claims, as `omni-lab reproduce --list` shows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from omni_lab.errors import UsageError

# id: its question, and the claims of the source documents that it bears on
EXPERIMENTS: dict[str, tuple[str, str]] = {
    "demo": (
        "does the whole pipeline give a model that sees, hears, reads and combines?",
        "O1 O4 O8 O19 O20",
    ),
    "from_films": (
        "do films alone, from mp4 to shards to training, teach what the generator of their scenes does?",
        "O1 O4",
    ),
    "context": (
        "is a context that grows in stages, with θ, read at every depth, unlike those of controls?",
        "C3 C4 C5 C11 C12",
    ),
    "formats": (
        "which multi-image format separates images best, and do many images teach more than one?",
        "C13 C14",
    ),
    "O5": ("does it help to train all parameters in the omni stage?", "O5"),
    "O6": ("does a mask help that opens between modalities during the stage?", "O6"),
    "O7": ("does balancing how fast modalities converge beat a tuned plain recipe?", "O7"),
    "O8": ("which parts should the unimodal stages train?", "O8"),
    "O9": ("does it help to begin with the unimodal stages?", "O9"),
    "O10": ("how long should the omni stage be, beside the unimodal ones?", "O10"),
    "O11": ("does alignment first, generation later, beat other orders?", "O11"),
    "O12": ("does the loss of the omni stage fall in three phases, and why?", "O12"),
    "forecast": ("can the loss curve of another mixture of questions be told beforehand?", "O12"),
    "O16": ("which fraction of the unimodal learning rate is best?", "O16"),
    "O17": ("does clipping by modality, renewed now and then, beat other clipping?", "O17"),
    "O18": (
        "is 8 : 1 : 1 the best ratio of images, texts and sounds, in clips or in tokens?",
        "O18",
    ),
    "svlm": (
        "which text tokens are worth learning from, where some words are wrong?",
        "C7 C8",
    ),
    "svlm_map": ("which rule of selection wins, by strength of the trainee?", "C7"),
    "mixture": (
        "does instruction help and then harm, and how well are its mixtures chosen by few runs?",
        "C9 C10",
    ),
    "checkers": (
        "do the exercises' checkers refuse every mistake, and say which one it is?",
        "none: it is about the course",
    ),
    "phases": (
        "are three phases of a loss found where they are, and not where they are not?",
        "none: it is about the instrument, not about a claim",
    ),
}


# experiments that one file holds, as entries of a table of choices
CHOICES = ("O5", "O6", "O8", "O9", "O10", "O11", "O16", "O17", "O18")
PARALLEL = (
    *CHOICES,
    "O7",
    "O12",
    "forecast",
    "svlm",
    "svlm_map",
    "mixture",
)  # their runs can go side by side
_FILES = {"O7": "balance", "O12": "loss_phases"}


def experiment(name: str) -> Callable:
    """Entry point of an experiment, its `reproduce` function.

    Raises
    ------
    UsageError
        there is no such experiment; the message lists those that exist
    """
    if name not in EXPERIMENTS:
        raise UsageError(f"experiment {name!r}: there are {', '.join(EXPERIMENTS)}")
    if name in CHOICES:
        from omni_lab.reproduce.experiments import choices, comparison

        return partial(comparison.reproduce, name, choices.CHOICES[name])
    file = _FILES.get(name, name)
    return import_module(f"omni_lab.reproduce.experiments.{file}").reproduce

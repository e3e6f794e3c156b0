"""Names of columns: which one is the step, the training loss, the learning rate, and which are held out.

Every logger has its own spelling (`train/loss`, `lm loss`, `train_loss_step`), so names are compared as lists of words.
What cannot be told is refused with the candidates by name, never guessed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from omni_lab.analysis.logs.table import Table
from omni_lab.errors import InputError, UsageError

STEPS = (
    "global step", "trainer global step", "step", "steps", "iteration", "iter", "iterations",
    "iters", "num updates", "update", "updates", "it", "optimizer step", "train step",
    "training step", "train global step", "train iter", "n iter", "batch idx",
)  # fmt: skip
# axes that are taken only when asked for by name
OTHER_AXES = {"tokens", "token", "epoch", "samples", "examples", "num", "consumed", "time", "wall"}
_PREFIXES = {"train", "training", "metrics", "metric", "log", "logs", "trainer", "scalars", "stats"}
_HELD_OUT = {
    "eval", "evaluation", "val", "valid", "validation", "test", "dev", "heldout", "holdout",
    "validating",
}  # fmt: skip
_LOSS = {"loss", "nll", "ce", "losses", "xent", "crossentropy"}
_NO_LOSS = {
    "scale", "scaling", "scaler", "weight", "weights", "coef", "coefficient", "min", "max", "std",
    "count", "num", "fn", "ppl", "perplexity", "grad", "norm", "time", "seconds", "lr", "clip",
    "balance", "best", "delta", "window", "share",
}  # fmt: skip
_TIERS = (
    {"loss"},
    {"loss step", "loss mean", "loss avg", "avg loss", "mean loss", "average loss", "loss average"},
    {"lm loss", "total loss", "loss total", "ce loss", "nll loss", "nll", "cross entropy",
     "cross entropy loss", "loss ce", "loss lm", "xent", "crossentropy", "model loss", "batch loss"},
    {"loss epoch"},
)  # fmt: skip
_PARTS_OF_OURS = {"stream", "caption", "align"}  # our own run folder's, beside `loss`
_FAMILIES = ("facts.", "senses.")
NUMBERS = "column of numbers"
STAGE = {"stage", "phase", "curriculum", "train stage", "training stage"}
_SPLIT = {"split", "mode", "subset", "partition", "set", "kind", "type", "phase"}
_DATA = {
    "data", "dataset", "datasets", "data source", "source", "corpus", "mixture", "mix", "seq len",
    "sequence length", "seqlen", "seq length", "context length", "context", "length", "batch size",
    "global batch size", "bs", "train batch size",
}  # fmt: skip


@functools.lru_cache(maxsize=100_000)
def words(name: str) -> tuple[str, ...]:
    """Words of a column's name, in small letters.

    >>> words("train/lossVision_0"), words("run-3 - Train Loss")
    (('train', 'loss', 'vision', '0'), ('run', '3', 'train', 'loss'))
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(word for word in re.split(r"[\W_]+", parted.lower()) if word)


def plain(name: str) -> str:
    """Name without the words that only say that it is of training.

    >>> plain("train/loss"), plain("_step"), plain("loss_train")
    ('loss', 'step', 'loss')
    """
    kept = list(words(name))
    while len(kept) > 1 and kept[0] in _PREFIXES:
        kept = kept[1:]
    while len(kept) > 1 and kept[-1] in ("train", "training"):
        kept = kept[:-1]
    return " ".join(kept)


def is_step(name: str) -> bool:
    """Whether a name says steps of the optimizer."""
    return " ".join(words(name)) in STEPS or plain(name) in STEPS


def is_held_out(name: str) -> bool:
    """Whether a name says a loss on data that are not trained on."""
    found = set(words(name))
    return bool(found & _HELD_OUT or {"held", "out"} <= found) and is_loss(name)


def is_loss(name: str) -> bool:
    """Whether a name says a loss, of training or held out, in whole or in part.

    >>> [is_loss(name) for name in ("train/loss_vision", "loss_scale", "lm loss", "glossary")]
    [True, False, True, False]
    """
    found = set(words(name))
    named = bool(found & _LOSS) or {"cross", "entropy"} <= found
    return named and not found & _NO_LOSS and "__M" not in name


def is_part(name: str) -> bool:
    """Whether a name is one of our own log's parts of the loss: per fact, per sense, per stream."""
    return name in _PARTS_OF_OURS or name.startswith(_FAMILIES)


def is_rate(name: str) -> bool:
    """Whether a name says the learning rate."""
    found = words(name)
    return "lr" in found or ("learning" in found and "rate" in found) or "learningrate" in found


def is_stage(name: str) -> bool:
    """Whether a column tells the stage of training."""
    return " ".join(words(name)) in STAGE


def is_data(name: str) -> bool:
    """Whether a column tells which data, or how long and how many sequences, a step was given."""
    return " ".join(words(name)) in _DATA or plain(name) in _DATA


def is_split(name: str) -> bool:
    """Whether a column may tell training rows from evaluation rows."""
    return " ".join(words(name)) in _SPLIT


def is_epoch(name: str) -> bool:
    """Whether a column counts passes over the data."""
    return plain(name) == "epoch"


def says_held_out(word: str) -> bool:
    """Whether a cell of a split column says evaluation."""
    return bool(set(words(word)) & _HELD_OUT)


def matters(name: str) -> bool:
    """Whether any analysis may ask for a column of this name."""
    known = (is_step, is_loss, is_part, is_rate, is_stage, is_data, is_split, is_epoch)
    return any(ask(name) for ask in known)


def step_column(table: Table, asked: str | None) -> str | None:
    """Column of steps: the one asked for, or the first that is named like one; None numbers the rows.

    Raises
    ------
    UsageError
        there is no column of the name asked for, with numbers in it
    """
    there = table.numeric()
    if asked is not None:
        return column_named(asked, there, "--step ", NUMBERS)
    # of two, such as `_step` and `global_step`, the optimizer's own is first in the list
    found = sorted((name for name in there if is_step(name)), key=_place)
    return found[0] if found else None


def _place(name: str) -> int:
    """Place of a step's name in the order of preference."""
    whole = " ".join(words(name))
    return STEPS.index(whole) if whole in STEPS else STEPS.index(plain(name))


def loss_column(table: Table, asked: str | None, where: str) -> str:
    """Column of the training loss: the one asked for, or the one that the name tells.

    Raises
    ------
    InputError
        no column, or more than one, may be the loss; the message lists them
    UsageError
        there is no column of the name asked for
    """
    there = table.numeric()
    if asked is not None:
        return column_named(asked, there, "--loss ", NUMBERS)
    if not there:
        raise InputError(f"{where}: no column holds numbers; a log has steps and losses")
    losses = [name for name in there if is_loss(name) and not is_held_out(name)]
    for tier in _TIERS:
        found = [name for name in losses if plain(name) in tier]
        if found:
            return _longest(table, found, where)
    if len(losses) == 1:
        return losses[0]
    if losses:
        raise InputError(f"{where}: which column is the loss? {listed(losses)}; --loss NAME says")
    raise InputError(
        f"{where}: no column is named like a loss; there are {listed(there)}; --loss NAME says"
    )


def _longest(table: Table, found: list[str], where: str) -> str:
    """Of columns that are as good by name, the one with clearly more rows."""
    if len(found) == 1:
        return found[0]
    by_size = sorted(found, key=lambda name: -len(table.kept(name).values))
    first, second = (table.kept(name) for name in by_size[:2])
    if len(first.values) >= 2 * len(second.values) or first.values == second.values:
        return by_size[0]
    raise InputError(f"{where}: which column is the loss? {listed(found)}; --loss NAME says")


def column_named(asked: str, there: Iterable[str], option: str, kind: str = "column") -> str:
    """Column of the name asked for, also in other letters or separators where that is one only.

    Raises
    ------
    UsageError
        there is none; the message begins with `option`, and `kind` says what was looked for
    """
    there = list(there)
    if asked in there:
        return asked
    alike = [name for name in there if words(name) == words(asked)]
    if len(alike) == 1:
        return alike[0]
    raise UsageError(f"{option}{asked}: no such {kind}; there are {listed(there)}")


def listed(names: list[str], most: int = 12) -> str:
    """Names in a row, in quotes, each and all of them shortened."""
    shown = ", ".join(repr(name[:60]) for name in names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown

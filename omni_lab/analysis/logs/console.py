"""Console logs: what a training program printed, line by line, with other lines in between.

One pattern finds name–number pairs in a line: `step 100 | loss 2.34 | lr 3e-4` (nanoGPT, nanochat, torchtitan),
`iteration 100/ 5000 | lm loss: 2.3E+00 |` (Megatron), `{'loss': 2.3, 'learning_rate': 1e-4}` (Hugging Face's Trainer).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from omni_lab.analysis.logs.names import is_loss, is_step
from omni_lab.analysis.logs.source import Source
from omni_lab.analysis.logs.table import Table, number
from omni_lab.errors import InputError

LONGEST = 4_000  # letters of a line that are looked at
# possessive (*+): a line of a thousand digits takes no longer than one of words
_VALUE = r"[-+]?(?:\d[\d_,]*+(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?+|[-+]?(?:nan|inf|infinity)\b"
_PAIR = re.compile(
    rf"""(?<![\w./-])(?P<name>[A-Za-z_][\w./-]*+(?:[ ][A-Za-z_][\w./-]*+){{0,3}})  # up to four words
    ['"]?\s*[:=]?\s*['"\[(#]?                               # loss: 2 · 'loss': '2' · Step [2/9] · loss 2
    (?P<value>{_VALUE})(?![\w:]*:\d|-\d)""",
    re.X | re.I,
)
_BAR = re.compile(
    r"(?<!\d)(?P<step>\d++)/\d++ \[\d++:\d"
)  # tqdm: 50/1000 [00:12<03:40, 4.3it/s, loss=2.31]
_WORDS = {
    "train", "training", "val", "valid", "validation", "eval", "evaluation", "test", "dev", "lm", "total",
    "learning", "rate", "global", "batch", "size", "consumed", "loss", "step", "iter", "iteration",
    "avg", "mean", "cross", "entropy", "nll", "ce", "lr", "sequence", "length", "held", "out", "num",
    "updates", "update", "audio", "image", "text", "speech", "vision", "video", "scale", "grad", "norm",
    "tokens", "samples", "optimizer", "aux", "mtp", "z", "moe", "talker", "stop", "end",
}  # fmt: skip


def pairs(line: str) -> dict[str, Any]:
    """Names and numbers of a line; of a name of several words, those at its end that logs use.

    >>> pairs("iter 100: loss 2.3456, time 123.45ms, mfu 1.30%")
    {'iter': 100.0, 'loss': 2.3456, 'time': 123.45, 'mfu': 1.3}
    >>> pairs("12:01 INFO saw step=1,200/5000 train loss: 2.5e-1 | {'learning_rate': '1e-05'}")
    {'step': 1200.0, 'train loss': 0.25, 'learning_rate': 1e-05}
    """
    found: dict[str, Any] = {}
    line = line[:LONGEST]
    for match in _PAIR.finditer(line):
        value = number(match["value"].rstrip(","))
        if value is not None:
            found.setdefault(_name(match["name"]), value)
    if (bar := _BAR.search(line)) and not any(is_step(name) for name in found):
        found["step"] = float(bar["step"])
    return found


def _name(phrase: str) -> str:
    """The words at a phrase's end that logs use, or its last word."""
    kept = phrase.split(" ")
    first = len(kept) - 1
    while first and kept[first - 1].lower() in _WORDS and kept[first].lower() in _WORDS:
        first -= 1
    return " ".join(kept[first:])


def read_console(source: Source, wanted: Callable[[str], bool]) -> Table:
    """Table of the lines that name a loss; a step on a line of its own belongs to the next such line.

    Raises
    ------
    InputError
        no line names a loss with a number
    """
    table, step = Table(wanted), {}
    for line in source.lines():
        if not any(letter.isdigit() for letter in line) and "nan" not in line and "inf" not in line:
            continue
        row = pairs(line)
        steps = {name: value for name, value in row.items() if is_step(name)}
        if any(is_loss(name) or _asked(name, wanted) for name in row):
            table.add({**({} if steps else step), **row})
            step = {}
        elif steps:
            step = steps
    if not table.count:
        example = "`step 100 loss 2.34`"
        raise InputError(
            f"{source.path}: no log: not CSV, JSON or JSONL, and no line like {example}"
        )
    return table


def _asked(name: str, wanted: Callable[[str], bool]) -> bool:
    """Whether a name is wanted for no reason but that the caller named it."""
    from omni_lab.analysis.logs.names import matters

    return wanted(name) and not matters(name)

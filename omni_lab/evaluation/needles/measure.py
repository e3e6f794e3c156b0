"""Needles: how deep in how long a text can a model still find one thing, and say it?

A needle is one sentence, or one picture, that stands at a known depth in a text or a film about other things. At the
end a question asks for it. Accuracy over depth × length shows where a model stops to see (Kamradt 2023; as a passkey
Mohtashami & Jaggi 2023). An answer is right when each of its tokens is the likeliest, given the true ones before it.
The control asks the same questions with the needle taken out: what is answered right there was not read.

A cell (one kind, length and depth) is measured at once and written as one line of `cells.jsonl`; a measurement that was
stopped goes on with the cells that are missing. Trials are named by what they test, so that every model meets the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omni_lab.errors import InputError, UsageError
from omni_lab.evaluation.intervals import wilson
from omni_lab.evaluation.needles.interface import NeedleModel, Trial
from omni_lab.progress import tracked
from omni_lab.storage import write_json

CELLS = "cells.jsonl"
SETTINGS = "needles.json"


@dataclass(frozen=True)
class Cell:
    """How many of some trials of one kind, length and depth were answered right."""

    kind: str
    length: int  # tokens of the whole sequence, answer included
    depth: float | None  # None for the control, which has no needle and so no depth
    present: bool  # False for the control
    right: int
    total: int
    chance: float  # accuracy of an even guess

    @property
    def accuracy(self) -> float:
        """Share of the trials that were answered right."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy.

        >>> low, high = Cell("text", 1024, 0.5, True, 20, 20, 0.0).interval
        >>> round(low, 2), high
        (0.84, 1.0)
        """
        return wilson(self.right, self.total)

    def to_dict(self) -> dict:
        """The cell as a plain record, its accuracy and interval (`low`, `high`) included."""
        low, high = self.interval
        return {**asdict(self), "accuracy": self.accuracy, "low": low, "high": high}


def measure(
    reader: NeedleModel,
    kinds: Sequence[str],
    lengths: Sequence[int],
    depths: Sequence[float],
    trials: int,
    out: Path | None = None,
    progress: bool = True,
) -> list[Cell]:
    """Measure a reader on every kind × length × depth, and once per kind and length without the needle.

    Parameters
    ----------
    reader : the model
    kinds : of needles, each one of the reader's
    lengths : tokens of whole sequences, answer included
    depths : of the needle, 0 (the very beginning) to 1 (right before the question)
    trials : per cell
    out : folder for the cells that are done; with the same call again, only the others are measured
    progress : draw a bar, one step per cell

    Returns
    -------
    cells : by kind, then length: first the control, then the depths in the order of `depths`

    Raises
    ------
    UsageError
        the reader has no such kind, a length cannot hold needle, question and answer, a depth is not within 0 and 1,
        or `out` cannot be written
    InputError
        `out` holds the cells of another model or of another number of trials, or a line that is no cell
    """

    plan = list(_plan(reader, kinds, lengths, depths, trials))
    done = {} if out is None else _open(out, reader, trials)
    for kind, length, depth in tracked(plan, "needles", "cell", len(plan), progress):
        if (kind, length, depth) not in done:
            cell = _cell(reader, kind, length, depth, trials)
            done[kind, length, depth] = cell
            if out is not None:
                with (out / CELLS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(cell.to_dict()) + "\n")
    return [done[place] for place in plan]


def read_cells(out: Path) -> list[Cell]:
    """The cells that a folder of `measure` holds; a last line that was cut off is none.

    Raises
    ------
    InputError
        another line is no cell
    """
    file = out / CELLS
    *lines, _ = (
        file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else [""]
    )
    cells = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            cells.append(Cell(**{name: record[name] for name in Cell.__dataclass_fields__}))
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{file}:{number}: not a cell of needles; delete the line to measure it again"
            ) from None
    return cells


def trial_seed(kind: str, length: int, depth: float | None, number: int) -> int:
    """The seed of a cell's trial, the same in every run and for every model.

    >>> trial_seed("text", 1024, 0.5, 0)
    31266196127613
    """
    name = f"{kind}/{length}/{'control' if depth is None else float(depth)}/{number}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])


def _plan(
    reader: NeedleModel,
    kinds: Sequence[str],
    lengths: Sequence[int],
    depths: Sequence[float],
    trials: int,
) -> Iterator[tuple[str, int, float | None]]:
    """The cells to measure: kind, length and depth of each, None for the depth of a control."""
    if trials < 1 or not (kinds and lengths and depths):
        raise UsageError("needles need a kind, a length, a depth and a trial at least")
    if wrong := next((depth for depth in depths if not 0 <= depth <= 1), None):
        raise UsageError(
            f"depth {wrong}: from 0 (the very beginning) to 1 (right before the question)"
        )
    for kind in dict.fromkeys(kinds):
        if kind not in reader.kinds:
            raise UsageError(
                f"needle {kind!r}: {reader.name} can be asked about {', '.join(reader.kinds)}"
            )
        if min(lengths) < (least := reader.shortest(kind)):
            raise UsageError(
                f"length {min(lengths)}: a {kind} needle, its question and answer take {least} tokens"
            )
        for length in dict.fromkeys(lengths):
            yield from (
                (kind, length, depth) for depth in (None, *dict.fromkeys(map(float, depths)))
            )


def _cell(reader: NeedleModel, kind: str, length: int, depth: float | None, trials: int) -> Cell:
    present = depth is not None
    asked = [
        Trial(
            kind,
            length,
            depth if present else 0.0,
            trial_seed(kind, length, depth, number),
            present,
        )
        for number in range(trials)
    ]
    right = sum(answered for _, answered in zip(asked, reader.read(asked), strict=True))
    return Cell(kind, length, depth, present, right, trials, reader.chance(kind))


def _open(out: Path, reader: NeedleModel, trials: int) -> dict[tuple[str, int, float | None], Cell]:
    """The cells that are done in the folder, which is made or, where it is another measurement's, refused."""
    mine = {"model": reader.name, "trained": reader.trained, "trials": trials}
    settings = out / SETTINGS
    if settings.exists():
        try:
            theirs = json.loads(settings.read_text(encoding="utf-8"))
            differs = next(
                (
                    f"{key} {theirs[key]!r}, not {mine[key]!r}"
                    for key in mine
                    if theirs[key] != mine[key]
                ),
                "",
            )
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{settings}: not the settings of a measurement of needles") from None
        if differs:
            raise InputError(f"{out}: holds needles of {differs}; choose another --out")
    else:
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_json(settings, mine)
        except OSError as error:
            raise UsageError(f"{out}: cannot be written ({error.strerror})") from None
    with (out / CELLS).open("ab+") as file:
        file.seek(0)
        file.truncate(
            file.read().rfind(b"\n") + 1
        )  # a line that was cut off would swallow the next
    return {(cell.kind, cell.length, cell.depth): cell for cell in read_cells(out)}

"""Needle-in-a-haystack accuracy over depth × length, with a control and chance.

A needle is one sentence, or one picture, at a known depth in a text or a film about other things;
at the end a question asks for it. Accuracy over depth × length shows where a model stops finding it
(Kamradt 2023; as a passkey Mohtashami & Jaggi 2023). An answer is right when each of its tokens is
the likeliest, given the true ones before it. The control asks the same questions without the
needle: an answer that is right there was guessed, not read.

A cell (one kind, length and depth) is written as one line of `cells.jsonl` once all its trials are
answered; an interrupted measurement resumes with the missing cells, if the model is still the same
in content. Trials are seeded by what they test, so that every model answers the same ones. Before
the first cell the reader checks its premises (`NeedleModel.vet`): a table of zeros from a model that
computes nothing would look like a result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
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
    """Cell of the depth × length grid: right answers out of the trials of one kind of needle."""

    kind: str
    length: int  # tokens of the whole sequence, answer included
    depth: float | None  # None for the control, which has no needle and so no depth
    present: bool  # False for the control
    right: int
    total: int
    chance: float  # accuracy of a uniform guess

    @property
    def accuracy(self) -> float:
        """Fraction of the trials that were answered right."""
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
        """Plain record of the cell, with its accuracy and interval (`low`, `high`)."""
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
    """Accuracy of a needle reader per kind × length × depth, and of its control per kind × length.

    Parameters
    ----------
    reader : the model
    kinds : of needles, each one of the reader's
    lengths : of whole sequences, tokens, answer included
    depths : of the needle, 0 (the very beginning) to 1 (right before the question)
    trials : per cell
    out : folder of finished cells; the same call again measures only the missing ones
    progress : progress bar, one step per cell

    Returns
    -------
    cells : by kind, then length: first the control, then the depths in the order of `depths`

    Raises
    ------
    UsageError
        the reader has no such kind, a length is too short for needle, question and answer, a depth
        is outside 0 to 1, or `out` is not writable
    InputError
        `out` holds cells of another model, other weights under its name, or another number of
        trials, or a line that is no cell
    OmniLabError
        the reader fails its premises
    """
    plan = list(_plan(reader, kinds, lengths, depths, trials))
    own = {} if out is None else _settings(reader, trials)
    done = {} if out is None else _finished(out, own)
    longest = {kind: length for kind, length, _ in sorted(set(plan) - set(done), key=itemgetter(1))}
    if longest:
        reader.vet([_trial(kind, length, 0.5, 0) for kind, length in longest.items()])
    if out is not None:
        _open(out, own)

    for kind, length, depth in tracked(plan, "needles", "cell", len(plan), progress):
        if (kind, length, depth) not in done:
            cell = _cell(reader, kind, length, depth, trials)
            done[kind, length, depth] = cell
            if out is not None:
                with (out / CELLS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(cell.to_dict()) + "\n")
    return [done[place] for place in plan]


def read_cells(out: Path) -> list[Cell]:
    """Finished cells of a `measure` folder; an incomplete last line is skipped.

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
            wrong = "not a cell of needles; delete the line to measure it again"
            raise InputError(f"{file}:{number}: {wrong}") from None
    return cells


def trial_seed(kind: str, length: int, depth: float | None, number: int) -> int:
    """Seed of a cell's trial, the same in every run and for every model.

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
    """Kind, length and depth of every cell to measure; the depth of a control is None."""
    if trials < 1 or not (kinds and lengths and depths):
        raise UsageError("needles need a kind, a length, a depth and a trial at least")
    if wrong := next((depth for depth in depths if not 0 <= depth <= 1), None):
        right = "from 0 (the very beginning) to 1 (right before the question)"
        raise UsageError(f"depth {wrong}: {right}")

    for kind in dict.fromkeys(kinds):
        if kind not in reader.kinds:
            right = f"{reader.name} can be asked about {', '.join(reader.kinds)}"
            raise UsageError(f"needle {kind!r}: {right}")
        if min(lengths) < (least := reader.shortest(kind)):
            right = f"a {kind} needle, its question and answer take {least} tokens"
            raise UsageError(f"length {min(lengths)}: {right}")
        for length in dict.fromkeys(lengths):
            every = (None, *dict.fromkeys(map(float, depths)))
            yield from ((kind, length, depth) for depth in every)


def _cell(reader: NeedleModel, kind: str, length: int, depth: float | None, trials: int) -> Cell:
    asked = [_trial(kind, length, depth, number) for number in range(trials)]
    right = sum(answered for _, answered in zip(asked, reader.read(asked), strict=True))
    return Cell(kind, length, depth, depth is not None, right, trials, reader.chance(kind))


def _trial(kind: str, length: int, depth: float | None, number: int) -> Trial:
    seed = trial_seed(kind, length, depth, number)
    return Trial(kind, length, 0.0 if depth is None else depth, seed, depth is not None)


def _settings(reader: NeedleModel, trials: int) -> dict:
    """What all cells of a folder have in common."""
    own = {"model": reader.name, "trained": reader.trained, "trials": trials}
    return own | reader.contents()


def _finished(out: Path, own: dict) -> dict[tuple[str, int, float | None], Cell]:
    """Finished cells of the folder `out`, which is refused if another measurement's."""
    settings = out / SETTINGS
    if settings.exists() and (differs := _difference(settings, own)):
        raise InputError(f"{out}: holds needles of {differs}; choose another --out")
    return {(cell.kind, cell.length, cell.depth): cell for cell in read_cells(out)}


def _open(out: Path, own: dict) -> None:
    """Folder of cells, ready for the next one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / SETTINGS).exists():
            write_json(out / SETTINGS, own)
        with (out / CELLS).open("ab+") as file:
            file.seek(0)
            # the next cell would be appended to an incomplete line
            file.truncate(file.read().rfind(b"\n") + 1)
    except OSError as error:
        right = "choose a writable --out"
        raise UsageError(f"{out}: not writable ({error.strerror}); {right}") from None


def _difference(settings: Path, own: dict) -> str:
    """First difference between the settings of a folder and those of this measurement, if any."""
    try:
        there = json.loads(settings.read_text(encoding="utf-8"))
    except ValueError:
        there = None
    if not isinstance(there, dict) or "model" not in there:
        wrong = "not the settings of a measurement of needles; choose another --out"
        raise InputError(f"{settings}: {wrong}")
    # earlier versions noted no contents
    differing = ((key, there.get(key, "unknown"), value) for key, value in own.items())
    return next((f"{key} {old!r}, not {new!r}" for key, old, new in differing if old != new), "")

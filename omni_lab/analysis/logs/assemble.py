"""From a table to a log: which rows are training, which axis they lie on, and the curves of every part of the loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from omni_lab.analysis.logs import names
from omni_lab.analysis.logs.curve import Curve, Event, Log
from omni_lab.analysis.logs.mend import Mended, mended, told, told_gaps
from omni_lab.analysis.logs.switches import epoch_events, rate_events, word_events
from omni_lab.analysis.logs.table import Table
from omni_lab.errors import InputError, UsageError

_LEAST = 2  # rows of a curve


@dataclass(frozen=True)
class Asked:
    """Names that the caller gives: columns of step and loss, value of the stage column."""

    step: str | None = None
    loss: str | None = None
    stage: str | None = None


@dataclass
class _Rows:
    """Axis of a table: the step of every row, and which rows count."""

    steps: Float64[np.ndarray, " rows"]
    held_out: np.ndarray  # rows that a split column calls evaluation
    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def charted_runs(table: Table) -> dict[str, dict[str, str]]:
    """Runs of an exported chart: column `RUN - METRIC` with `…__MIN` and `…__MAX` beside it → METRIC."""
    there = set(table.columns)
    charted = [name for name in there if f"{name}__MIN" in there or f"{name}__MAX" in there]
    runs: dict[str, dict[str, str]] = {}
    for name in (name for name in table.columns if name in charted):
        run, _, metric = name.rpartition(" - ")
        if not names.is_step(metric or name):
            runs.setdefault(run or name, {})[name] = metric or name
    return runs


def assembled(table: Table, name: str, where: str, asked: Asked, renamed: dict[str, str]) -> Log:
    """Log of a table.

    Parameters
    ----------
    where : place of the table, for messages
    renamed : of a chart with several runs, the columns of one: column → metric; empty for all columns as they are

    Raises
    ------
    InputError
        the loss cannot be told, or has fewer than two finite rows
    UsageError
        a column or stage that was asked for is not there
    """
    step, loss = _chosen(table, asked, where, renamed)
    rows = _rows(table, step, loss, asked, where)
    done = _mended(table, loss, rows, training=True)
    if len(done.steps) < _LEAST:
        raise InputError(f"{where}: {_too_few(done, loss)}; a curve needs two rows")

    events, notes = told(loss, done)
    more, said = told_gaps(done.steps)
    anew = [e.step for e in (*rows.events, *events) if e.kind in ("stage", "restart")]
    rates, schedule = _rates(table, rows, anew, loss)
    curves, held_out = _curves(table, loss, rows, done, renamed, step)
    every = sorted([*table.events, *rows.events, *events, *more, *schedule], key=lambda e: e.step)
    return Log(
        name=name,
        main=renamed.get(loss, loss),
        curves=curves,
        held_out=held_out,
        rates=rates,
        events=tuple(every),
        notes=(*table.notes, *rows.notes, *notes, *said),
    )


def _chosen(
    table: Table, asked: Asked, where: str, renamed: dict[str, str]
) -> tuple[str | None, str]:
    """Columns of step and loss."""
    there = table.numeric()
    if table.headless and asked.step is None and asked.loss is None:
        if len(there) == 1:
            return None, there[0]
        if len(there) == 2 and _counts_up(table, there[0]):
            return there[0], there[1]
    step = names.step_column(table, asked.step)
    if renamed and asked.loss is None:
        (charted,) = [name for name in renamed if names.is_loss(renamed[name])] or [None]
        if charted is None:
            listed = ", ".join(renamed.values())
            raise InputError(
                f"{where}: no column is named like a loss; there are {listed}; --loss NAME says"
            )
        return step, charted
    return step, names.loss_column(table, asked.loss, where)


def _counts_up(table: Table, name: str) -> bool:
    """Whether a column without a name is steps: whole numbers that rise."""
    _, values = table.kept(name).numbers
    return bool(len(values) > 1 and np.all(np.diff(values) > 0) and np.all(values % 1 == 0))


def _rows(table: Table, step: str | None, loss: str, asked: Asked, where: str) -> _Rows:
    """Axis of the rows, with stages one behind the other."""
    if step is None:
        rows = _Rows(_numbered(table, loss), np.zeros(table.count, bool))
        rows.notes.append(_no_step(table))
    else:
        rows = _Rows(table.kept(step).spread(table.count), np.zeros(table.count, bool))
        if table.headless and asked.step is None:
            rows.notes.append(
                "no header: the first column is taken as the step, the second as the loss"
            )
        lost = int((~np.isfinite(rows.steps[table.kept(loss).numbers[0]])).sum())
        if lost:
            rows.notes.append(f"{lost:,} rows with a loss but without a step left out")

    _stages(table, rows, asked.stage, where, loss)
    _data(table, rows, (step, loss))
    _split(table, rows)
    return rows


def _numbered(table: Table, loss: str) -> Float64[np.ndarray, " rows"]:
    """Numbers of the rows, counted over those with a loss; others have that of the next."""
    has = np.zeros(table.count, bool)
    has[table.kept(loss).numbers[0]] = True
    return (np.cumsum(has) - has).astype(np.float64)


def _no_step(table: Table) -> str:
    """Note that rows are numbered, with what else may be the axis."""
    axes = [n for n in table.numeric() if set(names.words(n)) & names.OTHER_AXES]
    asks = f" (--step {axes[0]} takes that column)" if axes else ""
    return f"no column of steps: rows are numbered from 0{asks}"


def _stages(table: Table, rows: _Rows, asked: str | None, where: str, loss: str) -> None:
    """Rows of one stage, or all stages one behind the other, with an event at each switch."""
    column = next(
        (n for n, c in table.columns.items() if c is not None and names.is_stage(n)), None
    )
    if column is None:
        if asked is not None:
            raise UsageError(f"--stage {asked}: {where} has no column of stages")
        return
    codes, words = table.kept(column).spoken(table.count)
    if asked is not None:
        if asked not in words:
            raise UsageError(f"--stage {asked}: {where} has the stages {', '.join(words[:12])}")
        rows.steps[codes != words.index(asked)] = np.nan
        return
    if _begin_anew(rows.steps, codes):
        rows.steps = _behind_each_other(rows.steps, codes)
        rows.notes.append(
            f"steps begin anew in each {column}: the stages stand one behind the other"
        )
    found, note = word_events(rows.steps, codes, words, column, "stage")
    rows.events += found
    rows.notes += [note] if note else []


def _in_order(codes: np.ndarray) -> list[int]:
    """Codes in order of appearance."""
    seen, first = np.unique(codes[codes >= 0], return_index=True)
    return [int(code) for code in seen[np.argsort(first)]]


def _begin_anew(steps: Float64[np.ndarray, " rows"], codes: np.ndarray) -> bool:
    """Whether each stage counts its own steps: its first one is no later than the last of the stage before."""
    there = np.isfinite(steps)
    parts = [steps[there & (codes == code)] for code in _in_order(codes[there])]
    pairs = list(pairwise(parts))
    return bool(pairs) and len(parts) <= 50 and all(b[0] <= a[-1] for a, b in pairs)


def _behind_each_other(
    steps: Float64[np.ndarray, " rows"], codes: np.ndarray
) -> Float64[np.ndarray, " rows"]:
    """One axis for stages that each count from their own beginning."""
    axis, end = np.full(len(steps), np.nan), None
    there = np.isfinite(steps)
    for code in _in_order(codes[there]):
        own = there & (codes == code)
        wide = np.diff(np.unique(steps[own]))
        usual = float(np.median(wide)) if len(wide) else 1.0
        shift = 0.0 if end is None else end + usual - float(steps[own].min())
        axis[own] = steps[own] + shift
        end = float(axis[own].max())
    return axis


def _data(table: Table, rows: _Rows, used: tuple[str | None, str]) -> None:
    """Events at switches of data, lengths and batch sizes, and where a pass over the data ends."""
    for name, column in table.columns.items():
        if column is None or name in used:
            continue
        if names.is_data(name):
            found, note = word_events(rows.steps, *column.spoken(table.count), name, "data")
            rows.events += found
            rows.notes += [note] if note else []
        elif names.is_epoch(name):
            rows.events += epoch_events(rows.steps, column.spread(table.count))


def _split(table: Table, rows: _Rows) -> None:
    """Rows that a column of words calls evaluation, where it calls others training."""
    for name, column in table.columns.items():
        if column is None or not names.is_split(name) or not column.words:
            continue
        codes, words = column.spoken(table.count)
        outs = [code for code, word in enumerate(words) if names.says_held_out(word)]
        if outs and len(outs) < len(words):
            rows.held_out |= np.isin(codes, outs)


def _mended(table: Table, name: str, rows: _Rows, training: bool) -> Mended:
    at, values = table.kept(name).numbers
    chosen = rows.held_out[at] != training
    return mended(rows.steps[at[chosen]], values[chosen])


def _too_few(done: Mended, loss: str) -> str:
    """Why there is no curve."""
    if len(done.faults):
        return f"all but {len(done.steps)} values of {loss!r} are NaN or infinite"
    return f"only one row with {loss!r}" if len(done.steps) else f"no row with {loss!r} and a step"


def _rates(
    table: Table, rows: _Rows, breaks: list[float], loss: str
) -> tuple[Curve | None, list[Event]]:
    """Learning-rate curve and its events; of several parameter groups the first."""
    there = [
        n for n, c in table.columns.items()
        if c is not None and len(c.values) and names.is_rate(n) and n != loss
    ]  # fmt: skip
    there.sort(key=lambda n: names.plain(n) not in ("lr", "learning rate"))
    if not there:
        return None, []
    done = _mended(table, there[0], rows, training=True)
    if len(done.steps) < _LEAST:
        return None, []
    curve = done.curve(there[0])
    return curve, rate_events(curve, breaks)


def _curves(
    table: Table, loss: str, rows: _Rows, main: Mended, renamed: dict[str, str], step: str | None
) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Curves of training, the total first, and of evaluation."""
    total = renamed.get(loss, loss)
    curves, held_out = {total: main.curve(total)}, {}
    for name, column in table.columns.items():
        if column is None or name == step or (renamed and name not in renamed):
            continue
        short = renamed.get(name, name)
        known = names.is_loss(name) or names.is_part(name) or name == loss
        if not known or len(column.values) < _LEAST:
            continue
        if not names.is_held_out(name) and name != loss:
            _keep(curves, short, _mended(table, name, rows, training=True), main)
        if names.is_held_out(name):
            _keep(held_out, short, _mended(table, name, rows, training=True))
        elif rows.held_out.any():
            _keep(held_out, short, _mended(table, name, rows, training=False))
    return curves, held_out


def _keep(curves: dict[str, Curve], name: str, done: Mended, main: Mended | None = None) -> None:
    """Add a curve that has rows enough; where its steps are the main one's, they are kept once."""
    if len(done.steps) < _LEAST:
        return
    alike = main is not None and np.array_equal(done.steps, main.steps)
    curves[name] = Curve(name, main.steps, done.values) if alike else done.curve(name)

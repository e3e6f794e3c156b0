"""Files that are no logs, damaged ones and random ones: one typed line, never a traceback; any rows, one curve."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from omni_lab.analysis.logs import read_log
from omni_lab.analysis.logs.chunks import add_chunk
from omni_lab.analysis.logs.console import pairs
from omni_lab.analysis.logs.mend import mended
from omni_lab.analysis.logs.names import matters
from omni_lab.analysis.logs.table import Column, Table, number
from omni_lab.errors import InputError, OmniLabError

STRANGE = {
    "empty.csv": b"",
    "blank.csv": b" \n\n\t\n",
    "bom.csv": b"\xef\xbb\xbf",
    "binary.bin": bytes(range(256)) * 9,
    "packed.csv.gz": b"\x1f\x8b\x08\0rest",
    "table.parquet": b"PAR1\x15\x04",
    "half.json": b'{"log_history": [{"loss": 2.0, "step": 1}, {"lo',
    "other.json": b'{"name": "omni", "layers": 3}',
    "array.json": b"[1, 2, 3]",
    "nothing.json": b"{}",
    "deep.json": b"[" * 100_000,
    "deep.jsonl": b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b'\n{"loss": 1, "step": 1}\n',
    "prose.txt": b"It was a dark and stormy night.\nNothing was logged.\n",
    "words.csv": b"name,city\nann,rome\nbob,oslo\n",
    "one_row.csv": b"step,loss\n1,2.5\n",
    "header.csv": b"step,loss\n",
    "nans.csv": b"step,loss\n1,nan\n2,nan\n3,inf\n",
    "no_steps.jsonl": b'{"loss": 2.0, "step": null}\n{"loss": 1.0, "step": null}\n{"step": 1}\n',
    "huge.jsonl": b'{"step": ' + b"9" * 400 + b', "loss": 1}\n' * 3,
    "digits.jsonl": b'{"step": ' + b"9" * 5_000 + b', "loss": 1}\n',
    "lists.jsonl": b"[1, 2]\n[3, 4]\n",
    "strings.jsonl": b'"loss"\n"step"\n',
    "quote.csv": b'step,loss\n1,"2.0\n2,3\n',
    "field.csv": b"step,loss\n1," + b"9" * 200_000 + b"\n2,3\n",
    "nul.csv": b"step,loss\n1,2\0\n" * 99,
    "truncated16.csv": b"\xff\xfes\0t\0e\0p\0,\0l",
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_log_is_one_line_about_the_file(name, own_folder):
    (own_folder / name).write_bytes(STRANGE[name])
    with pytest.raises(InputError) as told:
        read_log(name)
    message = str(told.value)
    assert "\n" not in message and name in message
    assert "not readable as a log" not in message, "foreseen, not caught"


def test_paths_that_are_no_files_are_one_line(own_folder):
    (own_folder / "empty").mkdir()
    for path, what in (
        ("gone.csv", "no such file"),
        ("empty", "no log in this"),
        ("a\0b", "no such"),
    ):
        with pytest.raises(InputError, match=what):
            read_log(path)
    os.mkfifo("pipe")
    with pytest.raises(InputError, match="not a file"):
        read_log("pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_one_line(own_folder):
    (own_folder / "log.csv").write_text("step,loss\n1,2\n2,1\n")
    (own_folder / "log.csv").chmod(0)
    with pytest.raises(InputError, match=r"log\.csv: not readable \(Permission denied\)"):
        read_log("log.csv")


def test_a_file_that_the_system_will_not_open_is_one_line(own_folder, monkeypatch):
    (own_folder / "log.csv").write_text("step,loss\n1,2\n2,1\n")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(InputError, match=r"log\.csv: not readable \(Permission denied\)"):
        read_log("log.csv")


def told(data: bytes, name: str) -> None:
    """Read bytes as a log: a log with sound curves, or a typed line that was foreseen."""
    Path(name).write_bytes(data)
    try:
        log = read_log(name)
    except OmniLabError as error:
        refused = str(error)
    else:
        refused = None
        _is_sound(log)
    assert refused is None or ("\n" not in refused and "not readable as a log" not in refused)


def _is_sound(log) -> None:
    """Check what a curve promises."""
    for curve in (*log.curves.values(), *log.held_out.values()):
        assert np.all(np.diff(curve.steps) > 0) and np.all(np.isfinite(curve.steps))
        assert np.all(np.isfinite(curve.values))
    assert log.main in log.curves and len(log.curves[log.main].steps) >= 2


in_one_folder = settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ALPHABET = st.sampled_from(["step", "loss", "1", "2.5", ",", "\n", "\t", ";", "{", "}", '"', ":", "nan", "[", "]",
                            "=", " ", "-", "e5", "#", "é", "\0", "\r", "eval_", "lr"])  # fmt: skip


@in_one_folder
@given(st.binary(max_size=300) | st.lists(ALPHABET, max_size=60).map("".join).map(str.encode))
def test_random_bytes_are_read_or_refused_in_one_line(data):
    told(data, "log.txt")


@in_one_folder
@given(st.data())
def test_a_log_that_is_cut_or_damaged_anywhere_is_read_or_refused_in_one_line(data):
    whole = data.draw(st.sampled_from([
        "".join(f'{{"step": {s}, "loss": {9 / s}, "facts": {{"a": {s}}}}}\n' for s in range(1, 9)),
        "step,loss,lr\n" + "".join(f"{s},{9 / s},1e-3\n" for s in range(1, 9)),
        json.dumps({"log_history": [{"step": s, "loss": 9 / s} for s in range(1, 9)]}),
        "".join(f"step {s} | loss {9 / s:.3f} | lr 1e-3\n" for s in range(1, 9)),
    ])).encode()  # fmt: skip
    at = data.draw(st.integers(0, len(whole)))
    put = data.draw(st.binary(max_size=3))
    told(whole[:at] + put + (b"" if data.draw(st.booleans()) else whole[at:]), "log.txt")


CELLS = st.one_of(
    st.floats(), st.integers(-(10**25), 10**25), st.integers(-9, 9), st.none(), st.booleans(),
    st.sampled_from(["train", "3.5", "nan", "", "2026-11-30"]), st.lists(st.integers(), max_size=2),
)  # fmt: skip
JSON_ROWS = st.dictionaries(
    st.sampled_from(["step", "loss", "stage", "lr", "other"]),
    CELLS | st.dictionaries(st.sampled_from(["loss", "x"]), CELLS, max_size=2),
    max_size=4,
)


@settings(max_examples=60)
@example([{"stage": "2026-11-30"}, {"loss": 1.5}])
@example([{"loss": "3.5"}, {"loss": "2.5"}, {"loss": "3.5"}])
@given(st.lists(JSON_ROWS, min_size=2, max_size=6))
def test_chunks_by_arrow_give_what_lines_give_or_are_refused(rows):
    fast, slow = Table(matters), Table(matters)
    for part in (rows[:1], rows[1:]):
        data = "".join(json.dumps(row) + "\n" for row in part).encode()
        before = fast.count
        if not add_chunk(fast, data):
            assert fast.count == before
            for row in part:
                fast.add(row)
        for row in part:
            slow.add(row)
    assert fast.count == slow.count
    for name in {*fast.columns, *slow.columns}:
        one, other = (cells(table, name) for table in (fast, slow))
        assert np.array_equal(one[0], other[0], equal_nan=True), name
        assert one[1] == other[1], name


def test_a_large_file_is_read_in_chunks_as_it_is_line_by_line(own_folder, monkeypatch):
    lines = [json.dumps({"stage": "ab"[s // 2000], "step": s % 2000, "loss": 9 / (s + 1), "n": {"x": s}})
             for s in range(3000)]  # fmt: skip
    lines[700] = lines[700].replace('"loss": ', '"loss": NaN, "l": ')
    text = "\n".join(lines)
    Path("whole.jsonl").write_text(text[:-9])
    monkeypatch.setattr("omni_lab.analysis.logs.chunks.CHUNK", 20_000)
    refused = []

    def counted(table, data):
        done = add_chunk(table, data)
        refused.append(not done)
        return done

    monkeypatch.setattr("omni_lab.analysis.logs.objects.add_chunk", counted)
    log = read_log("whole.jsonl")
    assert sum(refused) == 1 and len(refused) > 8, "the half line; all else at once"
    curve = log.curves["loss"]
    assert curve.steps.tolist() == [s for s in range(2999) if s != 700]
    assert curve.values.tolist() == [9 / (s + 1) for s in range(2999) if s != 700]
    assert [(e.step, e.kind) for e in log.events] == [(0, "stage"), (700, "fault"), (2000, "stage")]
    assert "the last line is cut off and left out" in log.notes


def cells(table, name):
    """Rows with their numbers, and rows with their words, of a column that may not be there."""
    column = table.columns.get(name) or Column()
    words = zip(column.word_rows, column.codes, strict=True)
    return np.stack(column.numbers), sorted((row, list(column.words)[code]) for row, code in words)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(width=32)), max_size=40))
def test_a_mended_curve_rises_in_steps_and_takes_every_value_from_the_log(rows):
    steps, values = (np.array([row[i] for row in rows], float) for i in (0, 1))
    done = mended(steps, values)
    assert np.all(np.diff(done.steps) > 0) and np.isfinite(done.values).all()
    assert set(done.steps) <= {s for s, v in rows if math.isfinite(v)}
    if not done.repeated:
        assert set(zip(done.steps, done.values, strict=True)) <= {(s, v) for s, v in rows}


@given(st.floats(allow_nan=False))
def test_a_number_is_read_as_python_writes_it(value):
    assert number(repr(value)) == value
    if math.isfinite(value):
        assert number(repr(value).replace(".", ","), comma=True) == value
        assert pairs(f"step 3 | loss {abs(value)!r} | lr 1")["loss"] == abs(value)

"""Integrity check: `verify` finds every changed byte of a folder of shards and names it."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import write_film

from omni_lab.cli.main import main
from omni_lab.config import TripletConfig
from omni_lab.errors import InputError
from omni_lab.triplets.building.build import build
from omni_lab.triplets.shards.index import Index, ShardError, table_of
from omni_lab.triplets.shards.verify import verify

CONFIG = TripletConfig(image_size=32, clips_per_shard=2, jpeg_quality=60, near_duplicate_bits=-1)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Shards of three films, one silent; a failed file; a film with another's content."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "films").mkdir()
    for number in range(3):
        sound = "aac" if number else None
        write_film(
            folder / "films" / f"film{number}.mp4",
            seconds=2 + number,
            fps=5,
            rate=16_000,
            sound=sound,
        )
    (folder / "films" / "twin.mp4").write_bytes((folder / "films" / "film1.mp4").read_bytes())
    (folder / "films" / "empty.mp4").write_bytes(b"")
    report = build([folder / "films"], folder / "out", CONFIG, progress=False)
    assert (report.clips, len(report.failures), len(report.skipped)) == (3, 1, 1)
    return folder / "out"


@pytest.fixture
def out(built, tmp_path):
    """A copy of the shards, to damage."""
    return Path(shutil.copytree(built, tmp_path / "out"))


def lines_of(folder) -> list[str]:
    """Every damage as its line of text."""
    return [str(damage) for damage in verify(folder)]


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_what_a_build_wrote_is_whole(built):
    assert lines_of(built) == []


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_flipped_bit_is_found_wherever_it_is(built, data):
    names = [
        "index.parquet",
        "report.json",
        "failures.jsonl",
        "shard-000000.tar",
        "shard-000001.tar",
    ]
    path = built / data.draw(st.sampled_from(names))
    whole = path.read_bytes()
    flip(path, data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7)))
    try:
        assert any(path.name in damage.file for damage in verify(built))
    finally:
        path.write_bytes(whole)


def test_a_flipped_byte_is_named_with_shard_member_and_place(out):
    path = out / "shard-000000.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    for member in members:
        place = f"shard-000000.tar: {member.name}: byte"
        flip(path, member.offset + 99)  # in the header
        (line,) = lines_of(out)
        assert line == f"{place} {member.offset + 99}: its header differs from the one written"
        path.write_bytes(whole)

        flip(path, member.offset_data + member.size // 2)
        (line,) = lines_of(out)
        wrong = f"its {member.size} bytes differ from those written"
        assert line == f"{place} {member.offset_data}: {wrong}"
        path.write_bytes(whole)

        if member.size % 512:
            flip(path, member.offset_data + member.size)
            (line,) = lines_of(out)
            end = member.offset_data + member.size
            assert line == f"{place} {end}: its padding is not zeros"
            path.write_bytes(whole)


def test_members_and_files_that_are_missing_or_too_many_are_named(out):
    path = out / "shard-000000.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        names = [member.name for member in tar.getmembers()]
        second = tar.getmembers()[1]
        third = tar.getmembers()[2]

    path.write_bytes(whole[: second.offset] + whole[third.offset :])
    missing = f"is missing (found {names[2]} in its place)"
    assert f"shard-000000.tar: {names[1]}: byte {second.offset}: {missing}" in lines_of(out)
    path.write_bytes(whole[: second.offset_data + 10])
    assert any(f"{names[1]}" in line and "is cut off" in line for line in lines_of(out))
    path.write_bytes(whole + bytes(512))
    assert (
        lines_of(out)[0]
        == f"shard-000000.tar: has {len(whole) + 512} bytes, not the {len(whole)} written"
    )

    path.unlink()
    assert lines_of(out) == ["shard-000000.tar: is missing, but index.parquet names it"]
    path.write_bytes(whole)

    (out / "shard-000007.tar").write_bytes(whole)
    (out / "shard-000008.tar.tmp").write_bytes(b"half")
    (out / "index.parquet.4711.tmp").write_bytes(b"half")
    (out / "notes.tmp").write_bytes(b"of another program")
    left_over = "is left over from an interrupted build; the same build again clears it away"
    assert lines_of(out) == [
        f"index.parquet.4711.tmp: {left_over}",
        f"shard-000008.tar.tmp: {left_over}",
        "shard-000007.tar: is not named in index.parquet",
    ]


def test_an_index_that_disagrees_is_found(out):
    index = Index.load(out)
    rows = list(index.rows())
    path = out / "index.parquet"

    def written(changed: list[dict]) -> list[str]:
        replace(index, table=table_of(changed)).write(out)
        return lines_of(out)

    assert written(rows) == []
    assert any(
        "the rows of shard-000000.tar differ from those written" in line
        for line in written(rows[1:])
    )
    twice = written([*rows, rows[0]])
    assert any(f"names {rows[0]['clip_id']} 2 times" in line for line in twice)
    moved = written([{**rows[0], "start": 160}, *rows[1:]])
    assert any(
        ".json" in line and "has start = 0, but index.parquet has 160" in line for line in moved
    )

    path.write_bytes(b"PAR1 and nothing else PAR1")
    assert lines_of(out)[0].startswith("index.parquet: unreadable as a Parquet index (")
    path.unlink()
    assert lines_of(out) == ["index.parquet: is missing"]
    pyarrow.parquet.write_table(pyarrow.table({"clip_id": ["a"]}), path)
    with pytest.raises(ShardError, match="an earlier version wrote it"):
        Index.load(out)


def test_a_report_that_disagrees_is_found(out):
    (out / "failures.jsonl").write_bytes(b"")
    assert lines_of(out) == ["failures.jsonl: byte 0: does not agree with report.json"]
    (out / "report.json").unlink()
    assert lines_of(out) == ["report.json: is missing: the build did not finish; run it again"]


def test_reading_and_writing_an_index_starts_no_thread(built, tmp_path):
    """A thread that is still starting when its process ends aborts it; also without a clip."""
    build(tmp_path / "none.mp4", tmp_path / "bare", CONFIG, progress=False)
    for folder in (built, tmp_path / "bare"):
        code = (
            "import psutil, pyarrow.parquet; from omni_lab.triplets.shards.index import Index; "
            "threads = psutil.Process().num_threads; before = threads(); "
            f"index = Index.load({str(folder)!r}); read = threads(); index.to_bytes(); "
            "print(before, read, threads())"
        )
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        printed = subprocess.check_output([sys.executable, "-c", code], text=True, env=env)
        assert len(set(printed.split())) == 1, printed


def test_the_command_prints_one_line_each_and_ends_with_1(out, capsys):
    assert main(["triplets", "verify", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: whole\n"
    flip(out / "shard-000001.tar", 600)
    assert main(["triplets", "verify", str(out), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["whole"]
    assert [damage["file"] for damage in found["damages"]] == ["shard-000001.tar"]
    assert main(["triplets", "verify", str(out)]) == 1
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(InputError):
        list(verify(out / "nowhere"))

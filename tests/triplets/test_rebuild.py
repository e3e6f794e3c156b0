"""Rebuilds: a mended text and a film replaced under its name take the place of the old clips."""

import contextlib
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from media_files import write_film

from omni_lab.cli.main import main
from omni_lab.config import TripletConfig
from omni_lab.triplets.building.build import build
from omni_lab.triplets.shards.tars import read_shards
from omni_lab.triplets.shards.verify import verify

CONFIG = TripletConfig(image_size=48, clips_per_shard=2)
SRT = "1\n00:00:00,500 --> 00:00:01,500\n{}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four films that are not alike, in a folder: a, b, c, d; b has text."""
    folder = tmp_path_factory.mktemp("made") / "films"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in "abcd":
        frames = np.repeat(noise.integers(0, 255, (2, 48, 64, 3), dtype=np.uint8), 5, axis=0)
        samples = noise.normal(0, 0.1, 2 * 44_100).astype(np.float32)
        write_film(folder / f"{name}.mp4", seconds=2, fps=5, frames=frames, samples=samples)
    (folder / "b.srt").write_text(SRT.format("Old."))
    return folder


@pytest.fixture(scope="module")
def built(made):
    """Folder with the films a, b and c and what is built of them; d lies beside them."""
    folder = made.parent
    (made / "d.mp4").rename(folder / "d.mp4")
    with contextlib.chdir(folder):
        build("films", "out", CONFIG, progress=False)
    return folder


@pytest.fixture(scope="module")
def rebuilt(built, tmp_path_factory):
    """A copy after a change of text and film: built again, and never stopped."""
    folder = Path(shutil.copytree(built, tmp_path_factory.mktemp("rebuilt") / "copy"))
    with contextlib.chdir(folder):
        changed(folder)
        build("films", "out", CONFIG, progress=False)
    return folder


def changed(folder):
    """Mend the text of b, and put d in the place of a."""
    (folder / "films" / "b.srt").write_text(SRT.format("New."))
    (folder / "d.mp4").rename(folder / "films" / "a.mp4")


@pytest.fixture
def films(built, tmp_path):
    """A copy of the films a, b and c, built; d waits beside the folder."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path / "films"


def texts(out="out") -> dict[str, list[str]]:
    """Text of the clips by the film's content and times, none of them twice."""
    clips = list(read_shards(out))
    assert len({clip.clip_id for clip in clips}) == len(clips)
    assert list(verify(out)) == []
    return {clip.clip_id: [cue.text for cue in clip.cues] for clip in clips}


def tars(out="out") -> list[str]:
    """Clips that a reader of the tars alone sees, which no index guides."""
    found = []
    for path in sorted(Path(out).glob("*.tar")):
        with tarfile.open(path) as tar:
            found += [name.partition(".")[0] for name in tar.getnames() if name.endswith("json")]
    return found


def test_a_mended_text_is_built_again_and_takes_the_place_of_the_old(films):
    before = texts()
    (films / "b.srt").write_text(SRT.format("New."))
    report = build("films", "out", CONFIG, progress=False)
    assert (report.films, report.clips, len(report.skipped)) == (1, 1, 2)
    assert report.replaced == (
        ("films/b.mp4", "built again, since the text beside it has changed"),
    )
    after = texts()
    assert after.keys() == before.keys()
    assert sorted(after.values()) == [[], [], ["New."]]
    assert sorted(tars()) == sorted(after)
    again = build("films", "out", CONFIG, progress=False)
    assert (again.films, len(again.skipped), again.replaced) == (0, 3, ())


@pytest.mark.parametrize("change", ["added", "deleted", "renamed", "truth"])
def test_text_that_comes_or_goes_is_noticed(films, change):
    if change == "added":
        (films / "a.vtt").write_text("WEBVTT\n\n00:00.500 --> 00:01.500\nCame.\n")
    elif change == "deleted":
        (films / "b.srt").unlink()
    elif change == "renamed":
        (films / "b.srt").rename(films / "a.srt")
    else:
        facts = {"facts": [{"start": 0, "end": 1600, "answer": "red"}]}
        (films / "c.truth.json").write_text(json.dumps(facts))
    report = build("films", "out", CONFIG, progress=False)
    wanted = {"added": ["a"], "deleted": ["b"], "renamed": ["a", "b"], "truth": ["c"]}
    assert [Path(uri).stem for uri, _ in report.replaced] == wanted[change]
    said = {"added": ["Came.", "Old."], "renamed": ["Old."], "truth": ["Old."], "deleted": []}
    assert sorted(text for found in texts().values() for text in found) == said[change]
    assert sum(len(clip.facts) for clip in read_shards("out")) == (change == "truth")
    assert build("films", "out", CONFIG, progress=False).films == 0


def test_a_film_replaced_under_its_name_leaves_no_old_clip(films, tmp_path):
    before = texts()
    (tmp_path / "d.mp4").rename(films / "a.mp4")
    report = build("films", "out", CONFIG, progress=False)
    ((uri, why),) = report.replaced
    assert uri == "films/a.mp4"
    assert why == "built anew, since its content has changed; 1 clips of before are gone"
    after = texts()
    assert len(after) == 3
    assert len(before.keys() & after.keys()) == 2
    assert sorted(tars()) == sorted(after)
    assert [path.name for path in sorted((tmp_path / "out").glob("*.tar"))] == [
        "shard-000001.tar", "shard-000002.tar", "shard-000003.tar",
    ]  # fmt: skip


def test_an_edited_film_is_no_copy_of_what_it_was(films, tmp_path):
    """The same film in another encoding under its name: its old clips go, its new ones stay."""
    a = (films / "a.mp4").read_bytes()
    (films / "a.mp4").write_bytes(a + bytes([0, 0, 0, 8]) + b"free")
    report = build("films", "out", CONFIG, progress=False)
    assert (report.clips, report.dropped, len(report.replaced)) == (1, (), 1)
    assert len(texts()) == 3


@pytest.mark.parametrize("known", [True, False])
def test_a_copy_of_what_is_gone_gets_its_clips_back(films, tmp_path, known):
    """Its clips were dropped as near-duplicates; in this build, or in the next one that has it."""
    copy = films / "a_copy.mp4"
    copy.write_bytes((films / "a.mp4").read_bytes() + bytes([0, 0, 0, 8]) + b"free")
    assert len(build("films", "out", CONFIG, progress=False).dropped) == 1
    (tmp_path / "d.mp4").rename(films / "a.mp4")

    if not known:
        assert (
            build(films.relative_to(tmp_path) / "a.mp4", "out", CONFIG, progress=False).clips == 1
        )
    report = build("films", "out", CONFIG, progress=False)
    why = "built again, since clips that its clips were copies of are gone"
    assert ("films/a_copy.mp4", why) in report.replaced
    assert report.clips == 1 + known
    assert len(texts()) == 4
    assert build("films", "out", CONFIG, progress=False).films == 0


def test_films_that_change_places_are_kept(films, tmp_path):
    """Swapped names, and a name that another film takes over, lose nothing."""
    before = texts()
    (films / "a.mp4").rename(tmp_path / "x.mp4")
    (films / "c.mp4").rename(films / "a.mp4")
    (tmp_path / "x.mp4").rename(films / "c.mp4")
    report = build("films", "out", CONFIG, progress=False)
    assert (report.films, report.replaced) == (0, ())
    assert texts() == before

    (films / "a.mp4").rename(films / "e.mp4")
    (tmp_path / "d.mp4").rename(films / "a.mp4")
    report = build("films", "out", CONFIG, progress=False)
    assert (report.films, report.replaced) == (1, ())
    assert before.items() <= texts().items()


def test_a_film_that_moved_brings_its_mended_text(films):
    """A twin beside it keeps the text that it has, and that is said."""
    (films / "b.mp4").rename(films / "moved.mp4")
    (films / "b.srt").rename(films / "moved.srt")
    assert build("films", "out", CONFIG, progress=False).films == 0
    (films / "moved.srt").write_text(SRT.format("New."))
    assert build("films", "out", CONFIG, progress=False).films == 1
    shutil.copy(films / "moved.mp4", films / "twin.mp4")
    ((*_, (uri, why)), films_built) = (
        (report := build("films", "out", CONFIG, progress=False)).skipped,
        report.films,
    )
    assert (films_built, Path(uri).name) == (0, "twin.mp4")
    assert why == "same content as films/moved.mp4, and the text beside it is left out"
    assert sorted(texts().values()) == [[], [], ["New."]]


def test_a_new_film_that_fails_leaves_the_old_clips(films):
    before = texts()
    (films / "a.mp4").write_bytes(b"no film")
    report = build("films", "out", CONFIG, progress=False)
    assert (len(report.failures), report.replaced) == (1, ())
    assert texts() == before


def test_a_replaced_film_without_a_clip_leaves_none(films):
    black = np.zeros((10, 48, 64, 3), np.uint8)
    write_film(films / "a.mp4", seconds=2, fps=5, frames=black, sound=None)
    report = build("films", "out", CONFIG, progress=False)
    assert (report.clips, len(report.dropped), len(report.replaced)) == (0, 1, 1)
    assert len(texts()) == len(tars()) == 2


@pytest.mark.parametrize("stop_at", range(1, 12))
def test_stopped_in_a_rebuild_and_run_again_equals_never_stopped(
    rebuilt, films, tmp_path, monkeypatch, stop_at
):
    """At no moment are old and new clips side by side in the index, or neither of them."""
    changed(tmp_path)
    steps = 0
    renamed, unlinked = os.replace, Path.unlink

    def step(do):
        def stopping(*args, **more):
            nonlocal steps
            steps += 1
            if steps == stop_at:
                raise KeyboardInterrupt
            return do(*args, **more)

        return stopping

    monkeypatch.setattr("os.replace", step(renamed))
    monkeypatch.setattr("pathlib.Path.unlink", step(unlinked))
    try:
        build("films", "out", CONFIG, progress=False)
    except KeyboardInterrupt:
        monkeypatch.setattr("os.replace", renamed)
        monkeypatch.setattr("pathlib.Path.unlink", unlinked)
        clips = list(read_shards("out"))
        assert len({clip.clip_id for clip in clips}) == len(clips) in (3, 4)
    monkeypatch.setattr("os.replace", renamed)
    monkeypatch.setattr("pathlib.Path.unlink", unlinked)
    build("films", "out", CONFIG, progress=False)
    assert contents("out") == contents(rebuilt / "out")


@pytest.mark.parametrize("name", ["index.parquet", "failures.jsonl", "report.json"])
def test_a_file_that_a_killed_process_had_begun_is_cleared_away(films, name):
    Path("out", f"{name}.4711.tmp").write_bytes(b"half")
    assert build("films", "out", CONFIG, progress=False).films == 0
    assert not list(Path("out").glob("*.tmp"))


def contents(folder) -> dict[str, bytes]:
    """Every file of a folder of shards, but for the lock."""
    return {
        path.name: path.read_bytes()
        for path in sorted(Path(folder).iterdir())
        if path.name != ".lock"
    }


def test_the_command_says_what_it_replaces(films, capsys):
    (films / "b.srt").write_text(SRT.format("New."))
    sizes = ["triplets.image_size=48", "triplets.clips_per_shard=2"]
    command = ["triplets", "build", "films", "--out", "out", "--workers", "1", "--set", *sizes]
    assert main(command) == 0
    assert "films/b.mp4: built again, since the text beside it has changed\n" in (
        capsys.readouterr().out
    )
    (films / "b.srt").unlink()
    assert main([*command, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["replaced"]) == ["films/b.mp4"]

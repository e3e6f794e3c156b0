"""Dataset build and readback: nothing lost or doubled, one line of reason per failed file."""

import contextlib
import errno
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media_files import found_clicks, write_film
from webdataset import tariterators

from omni_lab.config import TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.decoding import decode
from omni_lab.media.errors import MediaError
from omni_lab.triplets.building.build import build
from omni_lab.triplets.building.report import read_failures
from omni_lab.triplets.cutting.clips import clips_of, read_truth
from omni_lab.triplets.shards.tars import ShardError, read_clips, read_index, read_shards
from omni_lab.triplets.shards.verify import verify
from omni_lab.triplets.table import clip_table

# the films are alike: none is dropped for that
CONFIG = TripletConfig(image_size=48, clips_per_shard=2, near_duplicate_bits=-1)
SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\nVISITOR: Colour?\n\n"
    "2\n00:00:08,000 --> 00:00:09,000\nGUIDE: Red.\n"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of four films of one clip each, and one of two clips, in a folder below."""
    folder = tmp_path_factory.mktemp("made") / "films"
    (folder / "more").mkdir(parents=True)
    for number in range(4):
        write_film(folder / f"film{number}.mp4", seconds=2 + number / 2, fps=10)
    write_film(folder / "more" / "long.mp4", seconds=20, fps=5)
    (folder / "more" / "long.srt").write_text(SRT)
    (folder / "readme.txt").write_text("not a film")
    return folder


@pytest.fixture
def films(made, tmp_path):
    """A copy of the films for one test."""
    return Path(shutil.copytree(made, tmp_path / "films"))


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """Output of an uninterrupted build of `films`: bytes by file name."""
    out = tmp_path_factory.mktemp("whole")
    with contextlib.chdir(made.parent):
        build(["films"], out, CONFIG, progress=False)
    return contents(out)


def contents(folder) -> dict[str, bytes]:
    """Every file of a folder of shards, but for the lock."""
    return {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"
    }


def test_films_become_clips_in_shards(films, tmp_path):
    report = build([films], tmp_path / "out", CONFIG, progress=False)
    assert (report.films, report.clips, report.failures, report.exit_code) == (5, 6, (), 0)
    assert sorted(contents(tmp_path / "out")) == [
        "failures.jsonl", "index.parquet", "report.json",
        "shard-000000.tar", "shard-000001.tar", "shard-000002.tar",
    ]  # fmt: skip

    triplets = list(read_shards(tmp_path / "out"))
    assert [t.clip_id for t in triplets] == [row["clip_id"] for row in read_index(tmp_path / "out")]

    short, long = triplets[0], triplets[4:]
    assert short.frames.shape == (4, 48, 64, 3)
    assert (short.frame_times / 16_000).tolist() == pytest.approx([0.2, 0.7, 1.2, 1.7])
    assert short.has == {"image", "audio"}
    assert short.clip_id == f"{short.source_id}_0_32000"
    assert short.audio.size == short.duration == 32_000
    clicks = found_clicks((short.audio * 32767).astype(np.int16))
    assert clicks == pytest.approx([8000, 24_000], abs=1)

    assert [t.end for t in long] == [long[1].start, 320_000]
    assert [(c.start + t.start, c.role, c.text) for t in long for c in t.cues] == [
        (16_000, "visitor", "Colour?"), (128_000, "guide", "Red."),
    ]  # fmt: skip
    for triplet in long:  # clips keep the alignment of the film
        clicks = np.array(found_clicks((triplet.audio * 32767).astype(np.int16)))
        np.testing.assert_allclose((clicks + triplet.start) % 16_000, 8000, atol=1)


def test_reading_back_gives_what_was_written(films, tmp_path):
    """Sound is exact, pictures are the very JPEG bytes, text and numbers are equal."""
    path = films / "more" / "long.mp4"
    build([path], tmp_path / "out", CONFIG, progress=False)
    made = list(clips_of(decode(path, CONFIG), CONFIG))
    for clip, read in zip(made, read_clips(tmp_path / "out"), strict=True):
        assert read.jpegs == clip.jpegs
        np.testing.assert_array_equal(read.audio, clip.audio)
        assert read.record == json.loads(json.dumps(clip.record))


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 6, 8, 9])
def test_stopped_and_run_again_equals_never_stopped(films, whole, tmp_path, monkeypatch, stop_at):
    """Interrupted anywhere, also between a tar's rename and the index: the same final bytes."""
    count = 0

    def stopping(*args):
        nonlocal count
        count += 1
        if count == stop_at:
            raise KeyboardInterrupt
        return publish(*args)

    publish = os.replace
    monkeypatch.setattr("os.replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        build(["films"], "out", CONFIG, progress=False)
    (tmp_path / "out" / "shard-000009.tar.tmp").write_bytes(b"what kill -9 leaves")
    monkeypatch.setattr("os.replace", publish)
    build(["films"], "out", CONFIG, progress=False)
    assert contents(tmp_path / "out") == whole


def test_a_build_that_is_done_changes_nothing(films, whole, tmp_path):
    build(["films"], "out", CONFIG, progress=False)
    again = build(["films"], "out", CONFIG, progress=False)
    assert (again.clips, len(again.skipped)) == (0, 5)
    assert contents(tmp_path / "out") == whole


def test_what_is_dropped_is_named_and_stays_dropped(films, tmp_path, monkeypatch):
    """A black film is done without a kept clip; a resumed run knows the near-duplicates too."""
    dark = np.zeros((10, 48, 64, 3), np.uint8)
    write_film(films / "a_black.mp4", seconds=2, fps=5, frames=dark, sound=None)
    write_film(films / "film1_smaller.mp4", seconds=2.5, fps=10, size=(48, 36))
    config = replace(CONFIG, near_duplicate_bits=3)
    report = build(["films"], "whole", config, progress=False)
    summary = json.loads((tmp_path / "whole" / "report.json").read_text())
    assert dict(report.dropped) == summary["dropped"]
    assert summary["dropped_by_reason"]["black picture"] == 1
    assert summary["dropped_by_reason"]["near-duplicate"] >= 1
    assert (summary["films"], summary["clips"]) == (7, report.clips)

    publish = os.replace

    def stopping(source, final):
        if Path(final).name == "shard-000001.tar":
            raise KeyboardInterrupt
        return publish(source, final)

    monkeypatch.setattr("os.replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        build(["films"], "out", config, progress=False)
    monkeypatch.setattr("os.replace", publish)
    again = build(["films"], "out", config, progress=False)
    assert (str(Path("films/a_black.mp4")), "already built") in again.skipped
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_bad_files_are_one_line_each_and_the_others_go_on(films, tmp_path):
    (films / "empty.mp4").write_bytes(b"")
    (films / "text.mkv").write_text("this is no film\n" * 20)
    (films / "a_twin.mp4").write_bytes((films / "film0.mp4").read_bytes())
    (films / "film1.truth.json").write_text("{}")
    (tmp_path / "nothing").mkdir()

    out = tmp_path / "out"
    paths = [films, tmp_path / "none.mp4", tmp_path / "nothing"]
    report = build(paths, out, CONFIG, progress=False)
    assert report.exit_code == 1
    assert [(f.uri.split("/")[-1], f.fault) for f in report.failures] == [
        ("empty.mp4", "EmptyFileError"), ("film1.mp4", "MediaError"), ("text.mkv", "NotMediaError"),
        ("none.mp4", "MissingFileError"), ("nothing", "MissingFileError"),
    ]  # fmt: skip
    assert [(uri.split("/")[-1], why.split("/")[-1]) for uri, why in report.skipped] == [
        ("film0.mp4", "a_twin.mp4")
    ]
    lines = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert [line["uri"] for line in lines] == [failure.uri for failure in report.failures]
    assert report.films == 4

    (films / "film1.truth.json").unlink()  # repaired: the next run takes it and forgets the failure
    report = build([films / "film1.mp4"], out, CONFIG, progress=False)
    assert report.films == 1
    assert len((out / "failures.jsonl").read_text().splitlines()) == 4


def test_what_a_film_lacks_is_marked_and_not_made_up(tmp_path):
    write_film(tmp_path / "a_silent.mp4", seconds=6, fps=5, sound=None)
    write_film(tmp_path / "b_blind.flac", seconds=6, picture=None, sound="flac")
    write_film(tmp_path / "c_late.mkv", seconds=16, fps=5, sound="flac", sound_at=10.0)
    build([tmp_path], tmp_path / "out", CONFIG, progress=False)
    silent, blind, *late = read_shards(tmp_path / "out")
    assert (silent.has, silent.audio.size) == ({"image"}, 0)
    assert (blind.has, blind.frames.shape) == ({"audio"}, (0, 0, 0, 3))
    with_sound = [t for t in late if "audio" in t.has]
    for triplet in with_sound:
        ((start, _),) = triplet.quality["audio_spans"]
        assert start == max(0, 160_000 - triplet.start)
        assert triplet.audio.size == triplet.duration
        assert not triplet.audio[:start].any()
    assert all(t.audio.size == 0 for t in late if t.end <= 160_000)
    assert with_sound


def test_a_standing_picture_is_seen_in_every_clip(tmp_path):
    write_film(tmp_path / "slides.mkv", times=[0.0, 30.0], seconds=31, sound="flac")
    build([tmp_path], tmp_path / "out", CONFIG, progress=False)
    triplets = list(read_shards(tmp_path / "out"))
    assert len(triplets) >= 3
    assert all(t.frame_times[0] == 0 and "image" in t.has for t in triplets)


def test_known_facts_go_with_their_clip(tmp_path):
    write_film(tmp_path / "a.mp4", seconds=20, fps=5)
    fact = {"fact": "colour", "asked": "colour", "answer": "red"}
    times = [{"start": at * 16_000, "end": (at + 1) * 16_000} for at in (0, 5, 18)]
    facts = [{**fact, **time} for time in times]
    (tmp_path / "a.truth.json").write_text(json.dumps({"facts": facts}))
    build([tmp_path / "a.mp4"], tmp_path / "out", CONFIG, progress=False)
    found = [
        (t.start + f["start"], f["end"] - f["start"])
        for t in read_shards(tmp_path / "out")
        for f in t.facts
    ]
    assert found == [(0, 16_000), (80_000, 16_000), (288_000, 16_000)]


def test_facts_may_hold_any_keys_but_their_times_are_checked(tmp_path):
    """Only the times have a meaning here: the table shows other keys as far as they are present."""
    write_film(tmp_path / "a.mp4", seconds=1, fps=5)
    truth = tmp_path / "a.truth.json"
    truth.write_text('{"facts": [{"start": 0, "end": 1600, "answer": ["red", 3]}]}')
    build(tmp_path / "a.mp4", tmp_path / "out", CONFIG, progress=False)
    (clip,) = read_shards(tmp_path / "out")
    assert clip_table(clip).splitlines()[-1].split() == ["0.00", "0.10", "-", "-", "['red',", "3]"]
    truth.write_text('{"facts": [{"start": 0, "end": Infinity}]}')
    with pytest.raises(MediaError, match="no truth file"):
        read_truth(str(tmp_path / "a.mp4"))


def test_quality_measures_black_static_and_loud(tmp_path):
    frames = np.zeros((50, 48, 64, 3), np.uint8)
    frames[25:] = np.random.default_rng(0).integers(0, 255, (25, 48, 64, 3))
    write_film(tmp_path / "a.mp4", seconds=2, frames=frames)
    (clip,) = clips_of(decode(tmp_path / "a.mp4", CONFIG), CONFIG)
    quality = clip.record["quality"]
    fractions = [quality[f"{name}_share"] for name in ("black", "static", "speech")]
    assert fractions == [0.5, 0.25, 0.0]
    assert quality["audio_peak"] == pytest.approx(0.8, abs=0.1)
    assert 0 < quality["audio_rms"] < 0.1


def test_shards_are_plain_webdataset(films, tmp_path):
    build([films], tmp_path / "out", CONFIG, progress=False)
    path = tmp_path / "out" / "shard-000000.tar"
    with open(path, "rb") as tar:
        (sample, *_) = tariterators.group_by_keys(
            tariterators.tar_file_expander([{"url": str(path), "stream": tar}])
        )
    assert {"json", "flac", "000.jpg"} <= set(sample)
    assert sample["__key__"] == json.loads(sample["json"])["clip_id"]


def test_broken_shards_name_tar_and_member(films, tmp_path):
    out = tmp_path / "out"
    build([films / "film0.mp4", films / "film1.mp4"], out, CONFIG, progress=False)
    path = out / "shard-000000.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        members = {member.name.split(".", 1)[1]: member for member in tar.getmembers()[:6]}

    for suffix in ("json", "000.jpg", "flac"):
        data = bytearray(whole)
        data[members[suffix].offset_data : members[suffix].offset_data + 40] = bytes(40)
        path.write_bytes(data)
        name = members[suffix].name.split(".", 1)[0]
        with pytest.raises(ShardError, match=rf"shard-000000\.tar: {name}"):
            list(read_shards(out))

    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShardError, match=r"shard-000000\.tar"):
        list(read_shards(out))
    path.unlink()
    with pytest.raises(ShardError, match="is missing"):
        list(read_shards(out))
    with pytest.raises(ShardError, match=r"no index\.parquet"):
        list(read_shards(films))


def test_settings_do_not_mix(films, tmp_path):
    build([films / "film0.mp4"], tmp_path / "out", CONFIG, progress=False)
    with pytest.raises(UsageError, match="other settings"):
        build([films / "film1.mp4"], tmp_path / "out", TripletConfig(image_size=32), progress=False)
    with pytest.raises(UsageError, match="is a file"):
        build([films / "film1.mp4"], films / "film0.mp4", CONFIG, progress=False)
    impossible = TripletConfig(min_s=10.0, max_s=12.0)
    with pytest.raises(UsageError, match="max_s = 12.0: less than twice .* raise max_s to 20.0"):
        build([films / "film1.mp4"], tmp_path / "new", impossible, progress=False)
    assert not (tmp_path / "new").exists()


def test_a_folder_of_another_program_is_left_alone(films, tmp_path):
    """Tars of another program may have the very names of shards."""
    for name in ("shard-000000.tar", "notes.tmp"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"foreign")
    with pytest.raises(UsageError, match="holds tars, but no index"):
        build(films / "film0.mp4", tmp_path / "out", CONFIG, progress=False)
    (tmp_path / "out" / "shard-000000.tar").rename(tmp_path / "moved.tar")
    build(films / "film0.mp4", tmp_path / "out", CONFIG, progress=False)
    for path in (tmp_path / "out" / "notes.tmp", tmp_path / "moved.tar"):
        assert path.read_bytes() == b"foreign"


def test_a_folder_without_a_film_takes_other_settings(films, tmp_path):
    assert build(tmp_path / "none.mp4", tmp_path / "out", CONFIG, progress=False).exit_code == 1
    assert list(verify(tmp_path / "out")) == []
    other = TripletConfig(image_size=32)
    assert build(films / "film0.mp4", tmp_path / "out", other, progress=False).clips == 1


def test_names_that_are_hard_to_write_down_cost_nothing_else(films, tmp_path):
    """Bytes that are not UTF-8, a link to itself, and a Unicode line separator."""
    (films / "film0.mp4").rename(os.fsdecode(bytes(films / "film") + b"\xff.mp4"))
    (films / "loop.mp4").symlink_to("loop.mp4")
    (films / "a\u2028b.mp4").write_bytes(b"")
    paths = [films, films / "loop.mp4"]
    for _ in range(2):
        report = build(paths, tmp_path / "out", CONFIG, progress=False)
        names = [Path(failure.uri).name for failure in report.failures]
        assert names == ["film\\udcff.mp4", "a\u2028b.mp4", "loop.mp4"]
        assert read_failures(tmp_path / "out") == list(report.failures)
    assert len(read_index(tmp_path / "out")) == 5
    assert list(verify(tmp_path / "out")) == []


def test_an_unwritable_folder_is_one_line_and_nothing_is_lost(films, whole, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"film0\.mp4/out: Not a directory"):
        build("films", films / "film0.mp4" / "out", CONFIG, progress=False)

    def full(source, final):
        if Path(final).name == "shard-000001.tar":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return publish(source, final)

    publish = os.replace
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UsageError, match="No space left on device; mend that and build again"):
        build("films", "out", CONFIG, progress=False)
    monkeypatch.setattr("os.replace", publish)
    (tmp_path / "out" / "failures.jsonl").write_text('{"uri": "film')
    with pytest.raises(ShardError, match=r"failures\.jsonl: is broken"):
        build("films", "out", CONFIG, progress=False)
    (tmp_path / "out" / "failures.jsonl").unlink()
    build("films", "out", CONFIG, progress=False)
    assert contents(tmp_path / "out") == whole


def test_a_window_of_a_clip_is_a_clip(films, tmp_path):
    """Times count from the window's start; a modality with nothing inside is absent."""
    (films / "film2.srt").write_text(
        "1\n00:00:00,500 --> 00:00:01,000\nA.\n\n2\n00:00:01,500 --> 00:00:02,000\nB.\n"
    )
    build([films / "film2.mp4"], tmp_path / "out", CONFIG, progress=False)
    (whole,) = read_shards(tmp_path / "out")
    part = whole.window(16_000, 32_000)
    assert (part.start, part.end, part.duration) == (16_000, 32_000, 16_000)
    assert (part.frame_times + 16_000).tolist() == [
        t for t in whole.frame_times.tolist() if 16_000 <= t < 32_000
    ]
    np.testing.assert_array_equal(part.audio, whole.audio[16_000:32_000])
    assert [(c.start, c.end, c.text) for c in part.cues] == [(8000, 16_000, "B.")]
    assert whole.window(0, 1000).has == {"audio"}

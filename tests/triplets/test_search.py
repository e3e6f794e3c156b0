"""File search of a build: every film in a folder, once, and a count of what else lies there."""

import json
import os

import pytest
from media_files import write_film
from PIL import Image

from omni_lab.cli.main import main
from omni_lab.config import TripletConfig
from omni_lab.sequences.documents import as_document
from omni_lab.triplets.building.build import build
from omni_lab.triplets.building.search import find, passed_over
from omni_lab.triplets.shards.verify import verify

CONFIG = TripletConfig(image_size=32)
# In the order of their public names: containers, raw streams, and what phones and recorders write
RARER = """.gif .m4b .qt .m2t .mp2 .ac3 .eac3 .dts .mk3d .y4m .swf .3gpp .weba .ogx .mpe .m1v .au
           .ape .tta .spx .nut .ivf .h264 .265 .mjpeg .m4r .awb .w64 .tod .trp .mpv .gxf .wtv .mlp"""


def test_a_file_is_found_once(tmp_path):
    names = ["film0.mp4", "film1.mp4", "film2.mp4", "more/long.mp4"]
    (tmp_path / "more").mkdir()
    for name in names:
        (tmp_path / name).touch()
    film = tmp_path / "film2.mp4"
    assert find(str(film)) == find(film) == [film]
    found = find([film, tmp_path, tmp_path / "more"])
    assert [path.name for path in found] == ["film2.mp4", "film0.mp4", "film1.mp4", "long.mp4"]


def test_folders_hold_films_of_every_age(tmp_path):
    """Old and rare containers are found like new ones; files beside a film are not."""
    films = ["a.3g2", "a.AMR", "a.aiff", "a.asf", "a.dv", "a.mp4", "a.rm", "a.webm"]
    films += [f"a{suffix}" for suffix in RARER.split()]
    for name in (*films, "a.jpg", "a.srt", "a.truth.json", "a.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find([tmp_path])] == sorted(films)


@pytest.mark.parametrize(
    ("name", "picture", "sound"),
    [
        ("a.y4m", "wrapped_avframe", None), ("a.qt", "libx264", "aac"), ("a.m4b", None, "aac"),
        ("a.m2t", "mpeg2video", "mp2"), ("a.ac3", None, "ac3"), ("a.eac3", None, "eac3"),
        ("a.mp2", None, "mp2"), ("a.mk3d", "libx264", "aac"), ("a.gif", "gif", None),
    ],
)  # fmt: skip
def test_a_film_of_a_rarer_kind_in_a_folder_becomes_a_clip(tmp_path, name, picture, sound):
    kinds = {".qt": "mov", ".m4b": "m4a", ".m2t": "ts", ".mk3d": "mkv"}
    (tmp_path / "films").mkdir()
    path = tmp_path / f"made{kinds.get(f'.{name[2:]}', name[1:])}".replace("made", "made.")
    pixels = {"gif": "rgb8"}.get(picture, "yuv420p")
    write_film(path, seconds=1, fps=25, picture=picture, sound=sound, pixels=pixels)
    path.rename(tmp_path / "films" / name)
    report = build(tmp_path / "films", tmp_path / "out", CONFIG, progress=False)
    assert (report.clips, report.failures) == (1, ())


def test_what_a_search_passes_over_is_counted_by_kind(tmp_path, capsys):
    """Text and truth of a film go with it; hidden files and the shards themselves do not count."""
    (tmp_path / "films" / "deep").mkdir(parents=True)
    write_film(tmp_path / "films" / "talk.one.mp4", seconds=1, fps=5)
    beside = ["talk.one.en.srt", "talk.one.truth.json.bak", ".DS_Store"]
    others = ["talk.srt", "deep/a.TIF", "deep/b.tif", "notes", "deep/talk.one.txt"]
    for name in (*beside, *others):
        (tmp_path / "films" / name).touch()
    (tmp_path / "films" / os.fsdecode(b"odd.\xff")).touch()
    paths = [tmp_path / "films", tmp_path / "films" / "deep"]
    counted = {"": 1, ".\\udcff": 1, ".srt": 1, ".tif": 2, ".txt": 1}

    for _ in range(2):
        out = tmp_path / "films" / "out"
        report = build(paths, out, CONFIG, progress=False)
        assert dict(report.passed_over) == counted
        assert json.loads((out / "report.json").read_text())["passed_over"] == counted
        assert list(verify(out)) == []
    main(
        ["triplets", "build", str(tmp_path / "films" / "deep" / ".."), "--out", str(tmp_path / "b")]
    )
    assert "passed over in folders: 1 without extension, " in capsys.readouterr().out


def test_nothing_is_said_where_nothing_is_passed_over(tmp_path):
    write_film(tmp_path / "a.mp4", seconds=1, fps=5)
    assert passed_over(tmp_path / "a.mp4", [tmp_path / "a.mp4"], tmp_path / "out") == {}
    build(tmp_path / "a.mp4", tmp_path / "out", CONFIG, progress=False)
    assert "passed_over" not in json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.parametrize("name", ["a.webp", "a.avif", "a.tiff", "a.png", "a.gif"])
def test_a_document_says_what_pages_and_frames_it_leaves_out(tmp_path, name):
    """A GIF that moves is a film: its frames are there."""
    colours = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    path = tmp_path / name
    colours[0].save(path)
    assert [(part.frame, as_document(path).missing) for part in as_document(path).parts] == [
        (False, ())
    ]
    colours[0].save(path, save_all=True, append_images=colours[1:], duration=1000)
    document = as_document([path, "Three."])
    if name == "a.gif":
        assert sum(getattr(part, "frame", False) for part in document.parts) >= 3
        return
    assert document.missing == (
        f"2 more pages or frames of {name}, of which a document holds the first; "
        "give each as a picture of its own",
    )
    with Image.open(path) as image:
        (said,) = as_document(image).missing
        assert said.startswith("2 more pages or frames of the given ")

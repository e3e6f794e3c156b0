"""Command line: help with examples that parse, exit codes, one-line errors, quick start-up."""

import json
import os
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

from omni_lab.cli.main import build_parser, main
from omni_lab.config import from_dict, override, small, tiny
from omni_lab.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "av",
    "numpy",
    "matplotlib",
    "transformers",
    "PIL",
    "pyarrow",
    "librosa",
    "webdataset",
    "tqdm",
)


def commands(parser=None, path=()):
    """Every command as a path, such as ("triplets", "build"), with its parser."""
    for action in (parser or build_parser())._actions:
        for name, inner in (action.choices or {}).items() if hasattr(action, "add_parser") else ():
            yield (*path, name), inner
            yield from commands(inner, (*path, name))


@pytest.mark.parametrize(
    ("path", "parser"), list(commands()), ids=[" ".join(path) for path, _ in commands()]
)
def test_every_command_has_help_with_an_example_that_parses(path, parser, capsys):
    assert main_exit([*path, "--help"]) == 0
    assert "example:\n" in capsys.readouterr().out
    example = parser.epilog.splitlines()[1].strip()
    assert example.startswith(f"omni-lab {' '.join(path)}")
    build_parser().parse_args(shlex.split(example)[1:])


@pytest.mark.parametrize(
    "arguments", [[], ["world"], ["triplets"], ["nothing"], ["world", "film"], ["doctor", "--loud"]]
)
def test_an_error_in_the_call_ends_with_2(arguments, capsys):
    assert main_exit(arguments) == 2
    printed = capsys.readouterr()
    assert "usage: omni-lab" in printed.out + printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--set", "training.stages.omni.stps=5"], "training.stages.omni.steps"),
        (["config", "--set", "training.stages.omni.steps=-5"], "training.stages.omni.steps = -5"),
        (["config", "--preset", "huge"], "tiny, small, full_7b"),
    ],
)
def test_a_wrong_setting_is_one_line_and_2(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("omni-lab: ") and message in error and error.count("\n") == 1


def test_an_error_in_the_input_is_one_line_and_1(capsys):
    assert main(["triplets", "show", "nowhere"]) == 1
    assert capsys.readouterr().err == "omni-lab: nowhere: there is no such folder of shards\n"


def test_config_lists_settings_as_text_and_as_json(capsys):
    changes = ["seed=3", "training.stages.omni.steps=7"]
    assert main(["config", "--preset", "small", "--set", *changes, "--json"]) == 0
    read = from_dict(json.loads(capsys.readouterr().out))
    assert read == override(small(), changes)
    assert main(["config"]) == 0
    steps = tiny().training.stage("omni").steps
    assert f"training.stages.omni.steps = {steps}" in capsys.readouterr().out


def test_settings_of_several_set_options_add_up(capsys):
    assert main(["config", "--json", "--set", "seed=3", "--set", "world.signs=1"]) == 0
    assert from_dict(json.loads(capsys.readouterr().out)) == override(
        tiny(), ["seed=3", "world.signs=1"]
    )


@pytest.fixture
def demo(monkeypatch):
    """Demo that only records its calls."""
    calls = []

    def run_demo(config, out, films, quick):
        calls.append((config, out, films, quick))
        print("what people read")
        out.mkdir(parents=True, exist_ok=True)
        (out / "summary.json").write_text('{"seconds": 1}')
        return out / "report.html"

    monkeypatch.setitem(sys.modules, "omni_lab.demo", types.SimpleNamespace(run_demo=run_demo))
    return calls


def test_demo_gets_the_options_of_the_call(demo, capsys):
    change = "training.stages.omni.steps=2"
    assert main(["demo", "--out", "here", "--seed", "4", "--quick", "--set", change]) == 0
    assert demo == [(override(tiny(), ["seed=4", change]), Path("here"), None, True)]
    assert str(Path("here/report.html")) in capsys.readouterr().out
    assert main(["demo", "--out", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"seconds": 1}


def test_fresh_deletes_a_run_folder_and_nothing_else(demo, own_folder, capsys):
    run, other = own_folder / "run", own_folder / "other"
    for folder in (run, other):
        folder.mkdir()
        (folder / "kept.txt").touch()
    (run / "config.json").write_text("{}")
    assert main(["demo", "--fresh", "--out", str(run)]) == 0
    assert not (run / "kept.txt").exists()
    assert main(["demo", "--fresh", "--out", str(other)]) == 2
    assert (other / "kept.txt").exists()
    assert "has no config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "omni-lab: stopped; the same command again goes on"),
        (InputError("film.mp4: no sound"), 1, "omni-lab: film.mp4: no sound"),
        (
            ModuleNotFoundError("No module named 'av'", name="av"),
            1,
            "av is not installed; `omni-lab doctor`",
        ),
    ],
)
def test_what_stops_a_command_becomes_a_line_and_a_code(raised, code, message, monkeypatch, capsys):
    def run_demo(*_):
        raise raised

    monkeypatch.setitem(sys.modules, "omni_lab.demo", types.SimpleNamespace(run_demo=run_demo))
    assert main(["demo"]) == code
    assert message in capsys.readouterr().err


class Panic(BaseException):
    """What a library written in Rust raises: no Exception."""


FOREIGN = [
    (ModuleNotFoundError("No module named 'omni_lab.lost'", name="omni_lab.lost"), "omni_lab.lost"),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory\nframe 1\nframe 2"),
        "can't allocate",
    ),
    (KeyError("rope_theta"), "KeyError: 'rope_theta'"),
    (OSError(28, "No space left on device", "runs/x/cells.jsonl"), "runs/x/cells.jsonl: No space"),
    (MemoryError(), "omni-lab: MemoryError"),
    (AssertionError(), "omni-lab: AssertionError"),
    (Panic("index out of range"), "Panic: index out of range"),
]


@pytest.mark.parametrize(
    "path", [path for path, parser in commands() if parser.get_default("handler")], ids=" ".join
)
def test_no_foreign_exception_leaves_a_command_and_debug_shows_where_it_was(
    path, monkeypatch, capsys
):
    parser = build_parser()
    inner = dict(commands(parser))[path]
    monkeypatch.setattr("omni_lab.cli.main.build_parser", lambda: parser)
    called = shlex.split(inner.epilog.splitlines()[1])[1:]
    for raised, message in FOREIGN:

        def foreign(_, raised=raised):
            raise raised

        inner.set_defaults(handler=foreign)
        assert main(called) == 1
        error = capsys.readouterr().err
        assert message in error and error.startswith("omni-lab: ") and error.count("\n") == 1
        for debugged in (["--debug", *called], [*called, "--debug"]):
            assert main(debugged) == 1
            *trace, last = capsys.readouterr().err.splitlines()
            assert f"{last}\n" == error and trace[0].startswith("Traceback")
            assert any("in foreign" in line for line in trace)


def test_debug_shows_what_an_error_of_ours_was_raised_from(demo, monkeypatch, capsys):
    def run_demo(*_):
        try:
            raise KeyError("inside")
        except KeyError:
            raise InputError("film.mp4: no sound") from None

    monkeypatch.setitem(sys.modules, "omni_lab.demo", types.SimpleNamespace(run_demo=run_demo))
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "omni-lab: film.mp4: no sound\n"
    assert main(["demo", "--debug"]) == 1
    error = capsys.readouterr().err
    assert "KeyError: 'inside'" in error and error.endswith("omni-lab: film.mp4: no sound\n")


def test_a_full_disk_behind_stdout_is_one_line():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    call = "import sys; from omni_lab.cli.main import main; sys.exit(main(['config']))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-c", call], stdout=full, stderr=subprocess.PIPE, env=environment
        )
    assert process.returncode == 1
    assert process.stderr.startswith(b"omni-lab: No space left on device")
    assert process.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "code",
    ["import omni_lab", "from omni_lab.cli.main import build_parser; build_parser().format_help()"],
)
def test_nothing_heavy_is_imported_before_a_command_needs_it(code):
    look = f"{code}; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.strip() == "[]"


def test_a_film_of_the_world_becomes_clips_and_a_picture(own_folder, capsys):
    film = ["--seed", "5", "--seconds", "6", "--size", "96"]
    assert main(["world", "film", *film, "--out", "films", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    names = {Path(path).name for path in written["files"]}
    assert names >= {"gallery_5.mp4", "gallery_5.srt", "gallery_5.vtt"}

    assert main(["triplets", "build", "films", "--out", "shards", "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert main(["triplets", "show", "shards", "--png", "clip.png"]) == 0
    table = capsys.readouterr().out
    assert "6.00 s" in table and "visitor" in table
    assert (own_folder / "clip.png").stat().st_size > 1000
    assert main(["triplets", "show", "shards", "--clip", "99"]) == 2

    export = ["triplets", "export", "shards", "--out", "chat"]
    assert main([*export, "--own-sound", "first", "--strict", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (line,) = Path(report["path"]).read_text(encoding="utf-8").splitlines()
    first, *_, last = json.loads(line)["messages"]
    assert (first["role"], last["role"]) == ("user", "assistant")
    assert main([*export, "--role", "pilot"]) == 2
    assert "guide, visitor" in capsys.readouterr().err

    assert main(["triplets", "verify", "shards"]) == 0
    (own_folder / "shards" / "shard-000000.tar").write_bytes(b"")
    assert main(["triplets", "verify", "shards"]) == 1


def test_a_file_that_is_no_film_is_named_and_the_others_are_built(own_folder, capsys):
    main(["world", "film", "--seed", "5", "--seconds", "6", "--size", "96", "--out", "films"])
    (own_folder / "films" / "broken.mp4").write_bytes(b"no film at all")
    assert main(["triplets", "build", "films", "--out", "shards", "--json"]) == 1
    assert "broken.mp4" in capsys.readouterr().err
    assert main(["triplets", "show", "shards", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["has"] == ["image", "audio", "text"]


def test_a_closed_pipe_is_no_error():
    call = "import sys; from omni_lab.cli.main import main; sys.exit(main(['config']))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-c", call], stdout=writing, stderr=subprocess.PIPE, env=environment
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, b"")


def main_exit(arguments):
    """Exit code, whether `main` returns it or argparse exits with it."""
    try:
        return main(arguments)
    except SystemExit as left:
        return left.code


def test_a_build_names_some_dropped_clips_and_says_where_all_of_them_are(
    tmp_path, monkeypatch, capsys
):
    from media_files import write_film

    monkeypatch.chdir(tmp_path)
    write_film(Path("grey.mp4"), seconds=12, sound=None)
    short = [
        "triplets.min_s=.2",
        "triplets.max_s=.5",
        "triplets.target_s=.4",
        "triplets.max_static_fraction=0",
    ]
    assert main(["triplets", "build", "grey.mp4", "--out", "shards", "--set", *short]) == 0
    *lines, more, last = capsys.readouterr().out.splitlines()
    dropped = json.loads(Path("shards/report.json").read_text(encoding="utf-8"))["dropped"]
    assert len(dropped) > 20 and sum(": dropped, " in line for line in lines) == 20
    assert more == f"and {len(dropped) - 20} more clips dropped: shards/report.json names them all"
    assert "clips of" in last

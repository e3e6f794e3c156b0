"""The house rules that a machine can check: imports, sizes, names in documents, dependencies, committed notebooks."""

import ast
import contextlib
import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from omni_lab.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted((ROOT / "omni_lab").rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Data flows down this list; an import points up it.
ORDER = (
    "faces", "", "errors", "progress", "storage", "config", "media", "triplets", "sequences", "parallel", "planner",
    "data", "world", "model", "training", "adapters", "analysis", "evaluation", "plots", "report", "check",
    "doctor", "demo", "reproduce", "cli",
)  # fmt: skip
RANK = {group: rank for rank, group in enumerate(ORDER)}
# `plots` draws arrays and records; the core is given its data and does not know the gallery
NEVER = {"plots": {"model", "training", "world"}, "report": {"model", "training", "world"}}
KNOWS_THE_GALLERY = (
    "world/", "evaluation/gallery/", "reproduce/experiments/", "reproduce/runs/", "check/", "cli/", "demo.py",
)  # fmt: skip
WRITES = re.compile(r"\bos\.(?:replace|rename)\(|\.(?:rename|replace)\(\w+\)|os\.fsync")

IMPORT_NAMES = {
    "pillow": "PIL",
    "espeakng-loader": "espeakng_loader",
    "liger-kernel": "liger_kernel",
    "silero-vad": "silero_vad",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "scenedetect-headless": "scenedetect",
}
PROGRAMS = {
    "jupyterlab": "jupyter lab",
    "nbconvert": "jupyter nbconvert",
    "nbmake": "--nbmake",
    "pytest-xdist": "-n 2",
    "ruff": "ruff check",
}
ELSEWHERE = re.compile(
    r"runs/|my_notebooks/|\.venv|utils\.py$|.*\.mp4$"
)  # made by the commands, must not be, a reader's own
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:home|root|work|tmp|Users|mnt|private|opt|var)/[\w.]")


def imported(path):
    """Every dotted module name that a file imports, at its top or inside a function, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"{path}:{node.lineno}: a relative import; write it out from omni_lab"
            )
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def group_of(module):
    """The group a module of omni_lab belongs to: `omni_lab.media.clock.ticks` is in media."""
    first = module.removesuffix(".__init__").partition("omni_lab")[2].strip(".").split(".")[0]
    return (
        first
        if (ROOT / "omni_lab" / first).is_dir() or (ROOT / "omni_lab" / f"{first}.py").is_file()
        else ""
    )


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = group_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert own in RANK, f"{path.relative_to(ROOT)}: place the group {own!r} in ORDER above"
    for module, line in imported(path):
        if module.split(".")[0] == "omni_lab":
            group = group_of(module)
            allowed = RANK[group] <= RANK[own] and group not in NEVER.get(own, set())
            assert allowed, f"{path.relative_to(ROOT)}:{line}: {own} may not import from {group}"


def test_the_core_does_not_know_the_gallery():
    knowing = {
        str(path.relative_to(ROOT / "omni_lab"))
        for path in PACKAGE
        if any(module.startswith("omni_lab.world.") for module, _ in imported(path))
    }
    uninvited = {name for name in knowing if not name.startswith(KNOWS_THE_GALLERY)}
    assert not uninvited, f"may not import omni_lab.world: {sorted(uninvited)}"


def test_no_modules_import_each_other_in_a_circle():
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE
    }
    arrows = {
        name: {known(module, names) for module, _ in imported(path)} - {None, name, *parents(name)}
        for name, path in names.items()
    }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"a circle: {' → '.join((*trail[trail.index(name) :], name))}"
        if name not in done:
            for other in arrows[name]:
                walk(other, (*trail, name))
            done.add(name)

    for name in names:
        walk(name, ())


def known(module, names):
    """The module of ours that an imported name stands for: the file itself, or the one that defines it."""
    return (
        module
        if module in names
        else module.rpartition(".")[0]
        if module.rpartition(".")[0] in names
        else None
    )


def parents(name):
    """The rooms that a module stands in: their faces may name it."""
    parts = name.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def test_no_module_is_ignored_by_git():
    """A rule for run folders once hid a new module: commits passed here and failed elsewhere."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    files = "\n".join(str(path.relative_to(ROOT)) for path in PACKAGE)
    call = ["git", "-C", str(ROOT), "check-ignore", "--no-index", "--stdin"]
    said = subprocess.run(call, input=files, capture_output=True, text=True, check=False)
    assert not said.stdout, f"ignored: {said.stdout.split()}"


def test_no_lazy_name_is_hidden_by_a_module_of_the_same_name():
    """Importing a module sets it as an attribute of its room, and the room's `__getattr__` is then not asked."""
    hidden = []
    for path in PACKAGE:
        if path.name == "__init__.py" and "omni_lab.faces" in path.read_text():
            room = ".".join(path.relative_to(ROOT).parent.parts)
            inside = {part.stem for part in path.parent.iterdir()}
            hidden += [f"{room}.{name}" for name in import_module(room).__all__ if name in inside]
    assert not hidden, f"rename the modules: {hidden}"


def test_one_module_writes_files_into_place():
    writers = {
        str(path.relative_to(ROOT))
        for path in PACKAGE
        if path.name != "storage.py" and WRITES.search(path.read_text())
    }
    assert not writers, f"use omni_lab.storage: {sorted(writers)}"


def test_folders_are_at_most_two_deep_and_hold_at_most_sixteen_files():
    deep = [
        str(path.relative_to(ROOT))
        for path in PACKAGE
        if len(path.relative_to(ROOT / "omni_lab").parts) > 3
    ]
    assert not deep, f"more than two folders deep: {deep}"
    folders = {path.parent for path in PACKAGE}
    full = {
        str(f.relative_to(ROOT)): count
        for f in folders
        if (count := len([*f.glob("*.py")]) - 1) > 16
    }
    assert not full, f"more than sixteen files: {full}"


def test_tests_stand_in_rooms_like_the_package():
    rooms = {path.name for path in (ROOT / "omni_lab").iterdir()} | {"house", "support"}
    here = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    lost = [str(path.relative_to(ROOT)) for path in here if path.parent.name not in rooms]
    assert not lost, f"no room of that name in omni_lab: {lost}"


def test_no_file_is_a_drawer_for_everything():
    named = {path.name for path in PACKAGE}
    assert not named & {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}


def test_every_file_can_be_read_in_one_sitting():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PACKAGE}
    long = {name: count for name, count in lines.items() if count > 400}
    assert not long, f"over 400 lines, split by idea: {long}"


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text())), (
        f"{path.relative_to(ROOT)} has no docstring"
    )


def code_in(document):
    """The code spans and the lines of code fences of a Markdown file."""
    text = document.read_text(encoding="utf-8")
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [line for fence in fences for line in fence.splitlines()] + [
        " ".join(span.split()) for span in spans
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_every_path_named_in_a_document_exists(document):
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    relative = [link for link in links if not re.match(r"[a-z]+:", link)]
    paths = [
        word
        for code in code_in(document)
        for word in code.split()
        if re.fullmatch(r"(?!/)[\w.-]+(/[\w.-]*)+|[\w-]+\.(md|py|toml|yml|txt|ipynb)", word)
    ]
    lost = [
        name
        for name in relative + paths
        if not ELSEWHERE.match(name) and not (ROOT / name).exists()
    ]
    assert not lost, f"{document.name} names what does not exist: {lost}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_named_in_a_document_exists(document):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        target
        for code in code_in(document)
        for target in re.findall(r"(?:^|\s)make ([a-z][\w-]*)", code)
    }
    assert named, f"{document.name} names no make target"
    assert named <= targets, f"{document.name}: the Makefile has no {sorted(named - targets)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_call_of_omni_lab_in_a_document_parses(document):
    for code in code_in(document):
        call = re.search(r"(?:^|/|\s)omni-lab( [^#]*|$)", code)
        if call and not re.search(r"COMMAND|…", code):
            assert understood(shlex.split(call.group(1))), (
                f"{document.name}: omni-lab does not understand: {code}"
            )


def understood(arguments):
    """Whether the parser takes these arguments (or answers them with help)."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            build_parser().parse_args(arguments)
        except SystemExit as left:
            return left.code == 0
    return True


def declared():
    """Each declared dependency with the extra that asks for it, or "core"."""
    groups = {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    return {
        re.match(r"[\w-]+", line).group(): group
        for group, lines in groups.items()
        for line in lines
    }


def third_party():
    """Top-level names that code and notebooks import from outside the standard library and this house, with a place."""
    beside = [
        path
        for folder in ("tests", "benchmarks", "notebooks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    places = {
        module.split(".")[0]: path for path in [*PACKAGE, *beside] for module, _ in imported(path)
    }
    for path in NOTEBOOKS:
        cells = [
            "".join(cell["source"])
            for cell in json.loads(path.read_text())["cells"]
            if cell["cell_type"] == "code"
        ]
        places |= {
            name: path
            for cell in cells
            for name in re.findall(r"^\s*(?:import|from) (\w+)", cell, re.M)
        }
    own = {"omni_lab", *(path.stem for path in beside), *sys.stdlib_module_names}
    return {name: path for name, path in places.items() if name not in own}


def test_everything_that_is_imported_is_declared():
    known = {IMPORT_NAMES.get(name, name) for name in declared()}
    undeclared = {
        name: str(path.relative_to(ROOT))
        for name, path in third_party().items()
        if name not in known
    }
    assert not undeclared, f"imported but not declared in pyproject.toml: {undeclared}"


def test_everything_that_is_declared_is_used():
    used, makefile = third_party(), (ROOT / "Makefile").read_text()
    ours = [name for name, group in declared().items() if group in ("core", "dev")]
    called = {name for name, call in PROGRAMS.items() if call in makefile}
    idle = [
        name for name in ours if IMPORT_NAMES.get(name, name) not in used and name not in called
    ]
    assert not idle, f"declared in pyproject.toml but used nowhere: {idle}"


def test_every_dependency_has_its_line_in_contributing():
    rows = re.findall(
        r"^\| `([\w-]{2,})` \| \S.* \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M
    )
    assert sorted(rows) == sorted(declared())


def test_the_constraints_pin_every_core_and_dev_dependency_exactly():
    lines = [
        line
        for line in (ROOT / "constraints-cpu.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    broken = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)]
    assert not broken, f"not of the form name==version: {broken}"
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    assert {name for name, group in declared().items() if group in ("core", "dev")} <= pinned


def test_no_document_and_no_code_names_a_path_of_one_machine():
    files = [
        *PACKAGE,
        *DOCUMENTS,
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "benchmarks").glob("*.py"),
    ]
    files += [
        ROOT / name
        for name in ("Makefile", "pyproject.toml", "environment.yml", "constraints-cpu.txt")
    ]
    hits = {str(path.relative_to(ROOT)): MACHINE_PATH.search(path.read_text()) for path in files}
    found = {name: hit.group() for name, hit in hits.items() if hit}
    assert not found, f"paths of one machine: {found}"


def test_the_samples_stay_small():
    size = sum(path.stat().st_size for path in (ROOT / "data_samples").rglob("*") if path.is_file())
    assert size <= 8_000_000, f"data_samples holds {size / 1e6:.1f} MB, more than 8"


def tidy():
    """`notebooks/tidy.py`, which knows how a committed notebook looks."""
    spec = importlib.util.spec_from_file_location("tidy", ROOT / "notebooks" / "tidy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TORCH_COMES_FIRST = (
    "torch comes first: its threads spin while they wait, and lose all speed beside other work"
)


def first_import(source: str) -> str | None:
    """Which of omni_lab and torch a program imports first."""
    found = re.search(r"^(?:import|from) (omni_lab|torch)\b", source, re.M)
    return found and found[1]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_a_benchmark_loads_torch_after_omni_lab(path):
    assert first_import(path.read_text(encoding="utf-8")) != "torch", TORCH_COMES_FIRST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_committed_as_make_notebooks_leaves_it(path):
    import nbformat

    assert re.match(r"\d\d_\w+\.ipynb", path.name), (
        "notebooks are numbered in the order of the course"
    )
    text = path.read_text(encoding="utf-8")
    assert "application/vnd.jupyter.widget" not in text, "widget state is saved; run make notebooks"
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert not re.search(r"import.*\b(interact\w*|Output)\b", text), (
        "an Output widget stalls a run without a browser: omni_lab.plots.explore"
    )
    assert tidy().tidied(notebook) == notebook, "run make notebooks"
    sources = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert first_import(sources) == "omni_lab", TORCH_COMES_FIRST

    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code), (
        "some cells were never executed; run make notebooks"
    )
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs, "no outputs are committed; run make notebooks"
    assert not [output for output in outputs if output.output_type == "error"], (
        "an error is committed"
    )
    readable = [text for output in outputs for text in tidy().texts(output)] + [
        cell.source for cell in notebook.cells
    ]
    found = [hit.group() for text in readable if (hit := MACHINE_PATH.search(text))]
    assert not found, f"absolute paths: {found}"
    data = [bundle for output in outputs for bundle in output.get("data", {}).items()]
    pictures = [value for kind, value in data if kind.startswith("image/")]
    assert all(len(picture) * 3 / 4 <= 300_000 for picture in pictures), (
        "a picture is larger than 300 kB"
    )


def test_tidying_removes_what_a_reader_does_not_need_and_nothing_else():
    module = tidy()
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "HBox()"}
    outputs = [
        {"output_type": "display_data", "data": widget, "metadata": {}},
        {"output_type": "stream", "name": "stderr", "text": [" 0%\r 50%\r", "100%\n"]},
        {"output_type": "stream", "name": "stdout", "text": f"{ROOT}/runs/a and {Path.home()}/b\n"},
        {"output_type": "stream", "name": "stdout", "text": "printed after a pause\n"},
        {"output_type": "display_data", "data": {"image/png": "iVBO"}, "metadata": {}},
    ]
    cell = {
        "cell_type": "code",
        "metadata": {"execution": {"iopub.execute_input": "now"}, "tags": ["keep"]},
    }
    notebook = {
        "cells": [{**cell, "outputs": outputs, "source": "1"}],
        "metadata": {"widgets": {}},
        "nbformat": 4,
    }
    once = module.tidied(notebook)
    (left,) = once["cells"]
    assert left["metadata"] == {"tags": ["keep"]}
    assert [output.get("text") for output in left["outputs"]] == [
        ["100%\n"],
        "runs/a and ~/b\nprinted after a pause\n",
        None,
    ]
    assert "widgets" not in once["metadata"]
    assert module.tidied(once) == once
    assert json.dumps(notebook).count("execution") == 1, "the input is left as it was"

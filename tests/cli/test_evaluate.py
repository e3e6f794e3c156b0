"""`omni-lab evaluate needles`: table, record, refusals; and its figure of depth × length."""

import json
import re
import sys
import types

import pytest
from PIL import Image
from small_models import small_model, trained

from figures import words
from omni_lab.cli.main import main
from omni_lab.evaluation.needles.measure import CELLS, SETTINGS, Cell
from omni_lab.plots.evaluation.needles import draw_needles

GRID = ("--lengths", "100", "200", "--depths", "0", "1", "--trials", "3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A causal model that was trained to 128 tokens, as Hugging Face keeps it."""
    made = tmp_path_factory.mktemp("model")
    small_model("llama", 700).save_pretrained(made)
    trained("byte").save_pretrained(made)
    return made


def needles(capsys, *arguments):
    """Exit code, stdout, and the last line of stderr."""
    code = main(["evaluate", "needles", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, (printed.err.splitlines() or [""])[-1]


def test_a_table_has_depth_down_and_length_across_with_control_and_chance(folder, capsys):
    code, out, _ = needles(capsys, folder, *GRID)
    assert code == 0
    first, head, *rows = out.splitlines()
    assert first == (
        "text: accuracy and 95 % interval of 3 trials a cell; trained to 128 tokens"
        "   (*: longer than trained)"
    )
    assert head.split() == ["depth", "100", "200*"]
    assert [re.split(r"  +", row.strip()) for row in rows] == [
        [name, *["0.00 (0.00 to 0.56)"] * 2] for name in ("0.00", "1.00", "no needle")
    ] + [["chance", "0.00011", "0.00011"]]


def test_a_record_holds_every_cell_and_the_picture_lies_beside_it(folder, capsys, own_folder):
    code, out, _ = needles(capsys, folder, *GRID, "--out", "found", "--json")
    record = json.loads(out)
    assert code == 0 and record["model"] == str(folder) and record["trained"] == 128
    assert [(cell["length"], cell["depth"]) for cell in record["cells"]] == [
        (length, depth) for length in (100, 200) for depth in (None, 0.0, 1.0)
    ]
    lines = (own_folder / "found" / CELLS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == record["cells"]
    assert json.loads((own_folder / "found" / SETTINGS).read_text())["trials"] == 3
    with Image.open(own_folder / record["picture"]) as picture:
        assert min(picture.size) > 200


def test_a_stopped_call_goes_on_and_another_model_needs_another_folder(folder, capsys, own_folder):
    needles(capsys, folder, *GRID, "--out", "found", "--json")
    whole = (own_folder / "found" / CELLS).read_text()
    (own_folder / "found" / CELLS).write_text(whole[: len(whole) // 2])
    needles(capsys, folder, *GRID, "--out", "found", "--json")
    assert (own_folder / "found" / CELLS).read_text() == whole
    code, _, err = needles(capsys, folder, *GRID, "--out", "found", "--rope-theta", "1e6")
    assert code == 1 and err.endswith(f"not '{folder}, θ 1e+06'; choose another --out")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--kinds", "what"), 2, "needle 'what': "),
        (("--lengths", "20"), 2, "length 20: a text needle, its question and answer take "),
        (("--depths", "2"), 2, "depth 2.0: from 0"),
        (("--rope-factor", "0.5"), 2, "factor=0.5"),
        (("--device", "nowhere"), 2, "device nowhere: "),
    ],
)
def test_an_error_in_the_call_is_one_line(folder, capsys, arguments, code, message):
    found, out, err = needles(capsys, folder, *arguments)
    assert (found, out) == (code, "") and err.startswith("omni-lab: ") and message in err


def test_a_table_of_positions_is_refused_before_anything_is_measured(capsys, own_folder):
    small_model("gpt2", 700).save_pretrained("gpt2")
    trained("byte").save_pretrained("gpt2")
    code, _, err = needles(capsys, "gpt2", *GRID, "--out", "found")
    assert code == 2
    assert err == "omni-lab: length 200: gpt2 has a table of 128 positions, and none beyond"
    assert not (own_folder / "found").exists()


def test_what_is_no_model_is_one_line(capsys, own_folder):
    code, _, err = needles(capsys, "nowhere")
    assert code == 1 and err.startswith("omni-lab: nowhere: failed to load (")
    (own_folder / "run" / "checkpoints").mkdir(parents=True)
    code, _, err = needles(capsys, "run", "--dtype", "float16", "--rope-theta", "9")
    assert code == 2 and err.startswith(
        "omni-lab: --dtype, --rope-theta: for models of Hugging Face; run is a run"
    )


def test_a_run_folder_is_asked_about_all_its_kinds(capsys, own_folder, monkeypatch):
    class OmniNeedleModel:
        kinds, trained = ("text", "what"), 64
        chance, shortest = (
            staticmethod({"text": 0.125, "what": 0.25}.get),
            staticmethod(lambda kind: 10),
        )

        @classmethod
        def load(cls, folder):
            reader = cls()
            reader.name = folder
            return reader

        def contents(self):
            return {}

        def vet(self, trials):
            pass

        def read(self, trials):
            return [trial.present and trial.kind == "what" for trial in trials]

    monkeypatch.setitem(
        sys.modules,
        "omni_lab.evaluation.gallery.needles",
        types.SimpleNamespace(OmniNeedleModel=OmniNeedleModel),
    )
    (own_folder / "run" / "checkpoints").mkdir(parents=True)
    code, out, _ = needles(capsys, "run", "--lengths", "64", "--depths", ".5", "0")
    text, what = (table.splitlines() for table in out.split("\n\n"))
    assert (
        code == 0
        and text[0] == "text: accuracy and 95 % interval of 20 trials a cell; trained to 64 tokens"
    )
    assert [line.split()[:2] for line in what[2:4]] == [["0.00", "1.00"], ["0.50", "1.00"]], (
        "shallow comes first"
    )
    assert [table[-2].split()[2] for table in (text, what)] == ["0.00", "0.00"]
    assert [table[-1].split() for table in (text, what)] == [["chance", "0.12"], ["chance", "0.25"]]
    code, out, _ = needles(capsys, "run", "--lengths", "64", "--kinds", "what", "--json")
    assert {cell["kind"] for cell in json.loads(out)["cells"]} == {"what"}


def cells(kind="text", lengths=(64, 128), depths=(0.0, 1.0), right=3):
    return [
        Cell(kind, length, depth, depth is not None, right if depth else 0, 4, 1 / 64).to_dict()
        for length in lengths
        for depth in (None, *depths)
    ]


def test_a_picture_says_accuracy_interval_control_chance_and_the_trained_length():
    picture = draw_needles([{"model": "small", "trained": 64, "cells": cells()}])
    drawn = words(picture)
    times = [drawn.count(text) for text in (".75\n.30–.95", ".00\n.00–.49", ".016")]
    assert times == [2, 4, 2]
    labels = {"small: text", "trained to 64", "no needle", "chance", "depth", "64", "128"}
    assert labels <= set(drawn)
    assert any("n = 4 a cell" in line for line in drawn)
    assert picture.alt.endswith(
        "small, text: within the trained length 0.00 to 0.75, beyond it 0.00 to 0.75."
    )


@pytest.mark.parametrize(
    ("trained_to", "place"), [(10, 0), (64, 1), (100, 1), (128, 2), (10**6, 2), (None, None)]
)
def test_the_line_stands_behind_the_last_length_that_was_trained(trained_to, place):
    picture = draw_needles([{"model": "small", "trained": trained_to, "cells": cells()}])
    lines = [line.get_xdata()[0] for ax in picture.axes for line in ax.lines]
    assert lines == ([] if place is None else [place, place])


def test_models_and_kinds_stand_side_by_side_on_the_same_axes():
    one = {"model": "one", "trained": 64, "cells": cells() + cells("what")}
    other = {
        "model": "…" + "x" * 60,
        "trained": None,
        "cells": cells(lengths=(256,), depths=(0.5,)),
    }
    picture = draw_needles([one, other])
    drawn = words(picture)
    assert {"one: text", "one: what", "64", "128", "256"} <= set(drawn)
    assert any(line.endswith("x: text") and len(line) < 50 for line in drawn)
    assert len(picture.axes) == 8 and len({ax.get_xlim() for ax in picture.axes}) == 1
    shown = [line for line in drawn if re.fullmatch(r"\S+\n\S+–\S+", line)]
    assert len(shown) == len(one["cells"]) + len(other["cells"]), (
        "what was not measured is left empty"
    )


@pytest.mark.parametrize("records", [[], [{"model": "small", "trained": 1, "cells": []}]])
def test_nothing_measured_is_said(records):
    assert words(draw_needles(records)) == ["No needles were looked for in this run."]

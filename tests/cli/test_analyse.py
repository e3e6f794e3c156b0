"""`omni-lab analyse phases`: text, record, picture and page; comparison with recorded runs; refusals in one line."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from loss_curves import simulated
from PIL import Image

from figures import words
from omni_lab.cli.main import main
from omni_lab.plots.training.against import draw_against


def analysed(capsys, *arguments):
    """Exit code, stdout, and the last line of stderr."""
    code = main(["analyse", "phases", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, (printed.err.splitlines() or [""])[-1]


def written(log, name, every=1):
    """A simulated log as a CSV file, every so many rows of it."""
    curves = [
        replace(curve, steps=curve.steps[::every], values=curve.values[::every])
        for curve in log.curves.values()
    ]
    header = ",".join(["step", *log.curves])
    rows = [",".join(f"{c.values[i]:.6g}" for c in curves) for i in range(len(curves[0].steps))]
    lines = [f"{step:g},{row}" for step, row in zip(curves[0].steps, rows, strict=True)]
    with open(name, "w") as file:
        file.write("\n".join([header, *lines]) + "\n")
    return name


@pytest.fixture
def logs(own_folder):
    """A run with a sense that is not learned, and four recorded ones in a folder."""
    (own_folder / "seeds").mkdir()
    for seed in range(4):
        written(simulated(seed), f"seeds/seed{seed}.csv", every=2)
    return written(simulated(100, "modality"), "mine.csv", every=2)


class Page(HTMLParser):
    """What a page loads from elsewhere, and its images without words."""

    def __init__(self, html):
        super().__init__()
        self.foreign, self.silent, self.links, self.places = [], [], [], set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.foreign += [
            v for k, v in attributes if k in ("src", "href") and not v.startswith(("data:", "#"))
        ]
        self.silent += [tag] if tag == "img" and len(given.get("alt", "")) < 20 else []
        self.links += [given["href"][1:]] if tag == "a" else []
        self.places |= {given["id"]} if "id" in given else set()


def test_a_log_against_recorded_runs_gives_record_picture_and_page(logs, capsys, own_folder):
    code, out, err = analysed(capsys, logs, "--against", "seeds", "--out", "found", "--json")
    assert code == 0, err
    record = json.loads(out)
    (against,) = record["against"]
    assert [cause["kind"] for cause in against["causes"]] == ["modality_flat"]
    assert record["logs"][0]["rows"] == 500 and record["phases"]["runs"][0]["name"] == "mine"
    text = words(draw_against(against))
    assert "loss_audio" in text and "mine against 4 recorded runs · loss" in text
    with Image.open(own_folder / "found" / "phases.png") as picture:
        assert min(picture.size) > 200

    html = (own_folder / "found" / "phases.html").read_text()
    page = Page(html)
    assert not page.foreign and not page.silent and set(page.links) <= page.places and page.links
    assert "Likely cause" in html and html.count('tabindex="0"') >= 3, (
        "what scrolls takes the focus"
    )


def test_people_are_told_what_was_read_what_was_found_and_why(logs, capsys):
    written(simulated(100, "modality"), "short.csv", every=40)
    code, out, err = analysed(capsys, "short.csv", "--against", "seeds")
    assert code == 0, err
    assert out.startswith(
        "short: 25 rows of 'loss', steps 0 to 1920\n  beside it: loss_image, loss"
    )
    assert "short: cannot be decided (" in out and "note: one row in 80 steps" in out
    assert "short against 4: outside the band of its references" in out
    assert "likely cause (loss_audio): loss_audio stays at " in out


def test_a_run_is_not_compared_with_itself(logs, capsys):
    written(simulated(0), "seeds/seed0.csv", every=40)
    code, out, err = analysed(capsys, "seeds/seed0.csv", "--against", "seeds", "--json")
    assert code == 0, err
    assert json.loads(out)["against"][0]["references"] == ["seed1", "seed2", "seed3"]
    code, _, err = analysed(capsys, "mine.csv", "--against", "mine.csv")
    assert (
        code == 2 and err == "omni-lab: --against: mine is the only run there; name recorded ones"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("gone.csv",), 1, "gone.csv: no such file or folder"),
        (("empty.csv",), 1, "empty.csv: empty; a log has a row for every step"),
        (("mine.csv", "--loss", "x"), 2, "--loss x: no such column of numbers; there are 'step', 'loss'"),
        (("mine.csv", "--stage", "omni"), 2, "--stage omni: mine.csv has no column of stages"),
        (("two.csv",), 1, "two.csv: which column is the loss? 'a_loss', 'b_loss'; --loss NAME says"),
    ],
)  # fmt: skip
def test_what_cannot_be_analysed_is_one_line(arguments, code, message, logs, capsys, own_folder):
    (own_folder / "empty.csv").write_text("")
    (own_folder / "two.csv").write_text("step,a_loss,b_loss\n1,2,3\n2,1,2\n")
    found = analysed(capsys, *arguments)
    assert found[0] == code and found[2].startswith(f"omni-lab: {message}") and not found[1]


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["analyse", "phases", "--help"])
    assert re.search(
        r"example:\n  omni-lab analyse phases runs/demo --out", capsys.readouterr().out
    )


def test_a_curve_without_a_band_is_drawn_without_one():
    curve = {"outside": None, "leaves": None, "worst": 1.1, "final": 1.1, "scale": "log", "half": None,
             "steps": [0, 1, 2, 3], "ends": [1, 2, 3, 4], "run": [1, 0, 0, -1], "mean": [1, 0.5, 0, -1]}  # fmt: skip
    picture = draw_against({"run": "a", "references": ["b"], "curves": {"loss": curve}})
    assert "95 %" not in words(picture) and "loss is 1.10 times the mean at the end" in picture.alt
    linear = {**curve, "scale": "linear", "run": np.linspace(-1, 1, 4).tolist()}
    assert draw_against({"run": "a", "references": [], "curves": {"loss": linear}}).png

"""`omni-lab analyse confusion`: text, record and pictures of a planted answerer; refusals in one line."""

import itertools
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from omni_lab.cli.main import main

SENSES = ("image", "audio", "text")
CONDITIONS = ["original"] + [
    "swap_" + "_".join(some) for size in (1, 2, 3) for some in itertools.combinations(SENSES, size)
]


def analysed(capsys, *arguments):
    """Exit code, stdout, and stderr."""
    code = main(["analyse", "confusion", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def planted(name, items=60, steps=(20, 1000), conditions=CONDITIONS):
    """Answers that follow audio in seven of ten cases, else the sense asked for."""
    rng, rows = np.random.default_rng(0), []
    for step, item, condition in itertools.product(steps, range(items), conditions):
        contents = [f"{sense} {condition if sense in condition else ''}" for sense in SENSES]
        asked = item % 3
        follows = 1 if rng.random() < 0.7 else asked
        right = SENSES[asked]
        rows.append(
            [step, item, condition, SENSES[asked], f"The {contents[follows]}!", *contents, right]
        )
    header = "step,pair_id,condition,asked,response,visual,sound,caption,label"
    with open(name, "w") as file:
        file.write("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return name


def test_a_table_gives_matrices_shares_pictures_and_a_record(capsys, own_folder):
    code, out, err = analysed(capsys, planted("answers.csv"), "--out", "found", "--json")
    assert code == 0 and not err
    record = json.loads(out)
    assert [one["name"] for one in record["matrices"]] == ["step 20", "step 1000"]
    for matrix in record["matrices"]:
        assert matrix["rates"][0][1] == pytest.approx(0.7, abs=0.1) and matrix["units"] == 60
        assert matrix["low"][0][1] < 0.7 < matrix["high"][0][1]
    assert len(record["shares"][0]["permutation"]) == 7
    (game,) = record["shares"][0]["shapley"]
    assert sum(game["shares"]) == pytest.approx(game["all"] - game["nothing"])
    assert record["columns"]["answer"] == "response" and record["questions"] == 960

    written = sorted(path.name for path in (own_folder / "found").iterdir())
    assert written == [
        "confusion.json",
        "confusion.png",
        "confusion.svg",
        "shares.png",
        "shares.svg",
    ]
    kept = json.loads((own_folder / "found" / "confusion.json").read_text())
    assert kept == {name: value for name, value in record.items() if name != "pictures"}
    for name in ("confusion", "shares"):
        with Image.open(own_folder / "found" / f"{name}.png") as picture:
            assert min(picture.size) > 200
        ElementTree.parse(own_folder / "found" / f"{name}.svg")


def test_people_are_told_what_was_read_and_what_was_found(capsys):
    path = planted("answers.csv", steps=(1,), conditions=["original", "swap_audio"])
    code, out, err = analysed(capsys, path)
    assert code == 0 and not err
    assert out.startswith("answers.csv: 120 questions; asked = 'asked', answer = 'response', image")
    assert re.search(r"\n  asked +image +audio +text +none +n\n  image +0\.\d{3} \(", out)
    assert re.search(
        r"\n  swap_audio +-?\d\.\d{3} \(-?\d\.\d+ to \d\.\d+\) +\d\.\d+ → \d\.\d+, n =", out
    )
    assert "Shapley" not in out and "-0.000" not in out


def test_columns_and_groups_can_be_named(capsys, own_folder):
    rows = "kind,say,eye,ear,who\nimage,a,a,b,x1\naudio,a,a,b,y2\n"
    (own_folder / "mine.csv").write_text(rows)
    named = ["--column", "asked=kind", "answer=say", "--column", "image=eye", "audio=ear"]
    code, out, _ = analysed(capsys, "mine.csv", *named, "--by", "who", "--json")
    record = json.loads(out)
    assert code == 0 and [one["name"] for one in record["matrices"]] == ["who x1", "who y2"]
    assert record["matrices"][0]["rows"] == ["image", "audio"]
    assert record["matrices"][0]["counts"] == [[1, 0, 0], [0, 0, 0]]


def test_a_table_without_conflicts_still_gives_reliance(capsys, own_folder):
    rows = "item,asked,condition,answer,image,audio,label\n" + "".join(
        f"{item},image,{name},{'a' if name == 'original' else 'b'},{content},a,a\n"
        for item in range(3)
        for name, content in (("original", "a"), ("drop_image", ""))
    )
    (own_folder / "mine.csv").write_text(rows)
    code, out, _ = analysed(capsys, "mine.csv", "--out", "found")
    assert code == 0 and "note: mine.csv: no question tells what was followed" in out
    assert "drop_image             1.000 (1.000 to 1.000)    1.000 → 0.000, n = 3" in out
    assert sorted(p.name for p in (own_folder / "found").glob("*.png")) == ["shares.png"]


def test_what_a_table_lacks_for_shares_is_a_note(capsys, own_folder):
    rows = "asked,condition,answer,image,audio\nimage,original,a,a,b\n"
    (own_folder / "mine.csv").write_text(rows)
    code, out, _ = analysed(capsys, "mine.csv")
    assert code == 0 and "note: mine.csv: no column says which questions belong together" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("gone.csv",), 1, "gone.csv: not readable (No such file or directory)"),
        ((".",), 1, ".: not a file (a folder, a pipe or a device); a table of answers is CSV"),
        (("mine.csv", "--column", "answer"), 2, "--column answer: write ROLE=NAME, such as"),
        (("mine.csv", "--column", "answer=say", "answer=x"), 2, "--column answer=x: answer is 'say'"),
        (("mine.csv", "--column", "answer=x"), 2, "--column answer=x: no such column; there are"),
        (("mine.csv", "--by", "x"), 2, "--by x: no such column; there are 'asked', 'answer'"),
        (("same.csv",), 1, "same.csv: no question tells what was followed (image and audio say the "),
        (("odd.csv",), 1, "odd.csv:3: asked: 'smell' is no modality; use image, audio or text"),
    ],
)  # fmt: skip
def test_what_cannot_be_analysed_is_one_line(arguments, code, message, capsys, own_folder):
    (own_folder / "mine.csv").write_text("asked,answer,image,audio\nimage,a,a,b\n")
    (own_folder / "same.csv").write_text("asked,answer,image,audio\nimage,a,a,a\n")
    (own_folder / "odd.csv").write_text("asked,answer,image,audio\nimage,a,a,b\nsmell,a,a,b\n")
    found = analysed(capsys, *arguments)
    assert found[0] == code and not found[1]
    assert found[2].startswith(f"omni-lab: {message}") and found[2].count("\n") == 1


def test_names_from_a_file_do_not_steer_the_terminal(capsys, own_folder):
    (own_folder / "mine.csv").write_text(
        "asked,answer,image,audio,model\nimage,a,a,b,\x1b[31mred\n"
    )
    _, out, _ = analysed(capsys, "mine.csv")
    assert "\x1b" not in out and "\\x1b[31mred" in out


def test_help_says_the_columns_with_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["analyse", "confusion", "--help"])
    out = capsys.readouterr().out
    assert "omni-lab analyse confusion answers.csv --out" in out
    assert all(f"  {role}" in out for role in ("asked", "answer", "followed", "item", "condition"))

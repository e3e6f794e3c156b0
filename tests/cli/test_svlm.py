"""`omni-lab svlm score`: files, summary, resumption, and one line for every fault."""

import io
import json
import tarfile

import pytest
from clip_shards import picture
from small_models import small_model, trained
from vision_language import llava, qwen

from omni_lab.cli.main import main

TEXTS = ["A red cat sat.", "Two blue birds </script>", "the dog 🐈"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two models with tokenizers of their own, one that sees nothing, and a tar of pairs."""
    folder = tmp_path_factory.mktemp("svlm")
    for name, make in (("qwen", qwen), ("llava", llava)):
        (folder / name).mkdir()
        make(folder / name)
    small_model("llama", 600).save_pretrained(folder / "text")
    trained("byte").save_pretrained(folder / "text")
    members = [(f"{n}.txt", text.encode()) for n, text in enumerate(TEXTS)]
    members += [(f"{n}.jpg", picture(60 * n, (40 + n, 30))) for n in range(len(TEXTS))]
    members += [("9.jpg", b"no picture"), ("9.txt", b"lost")]
    with tarfile.open(folder / "pairs.tar", "w") as tar:
        for name, data in sorted(members):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return folder


def svlm(capsys, *arguments):
    """Exit code, stdout, and the lines of stderr."""
    code = main(["svlm", "score", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def test_rows_page_and_summary_of_two_models_with_other_tokenizers(place, capsys, own_folder):
    models = ("--reference", place / "qwen", "--trainee", place / "llava")
    code, out, _ = svlm(capsys, place / "pairs.tar", *models, "--keep", "0.5", "--json")
    record = json.loads(out)
    assert code == 0 and record["captions"] == 3 and record["resumed"] == 0
    assert record["tokenizers"] == "different"
    assert record["skipped"] == {"with a picture that is missing or broken": 1}
    assert "9.jpg" in record["skipped_first"][0]
    assert record["keep"]["dropped"] == 5 and record["words"] == 11
    means = record["mean"]
    assert means["excess"] == pytest.approx(means["trainee"] - means["reference"], abs=1e-3)
    rows = [json.loads(line) for line in (own_folder / record["rows"]).read_text().splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    strongest = record["striking"][0]
    assert strongest["excess"] == max(value for row in rows for value in row["excess"])
    page = (own_folder / record["page"]).read_text()
    assert page.count("data:image/jpeg") == 1 and '"pictures":{"0":' in page

    code, out, _ = svlm(capsys, place / "pairs.tar", *models, "--keep", "0.5", "--json")
    assert json.loads(out) == record | {"resumed": 3}


def test_a_reference_alone_ranks_by_its_own_loss(place, capsys, own_folder):
    arguments = (place / "pairs.tar", "--reference", place / "llava", "--out", "found")
    code, out, _ = svlm(capsys, *arguments)
    assert code == 0 and "captions   3 scored" in out and "excess" not in out
    assert "skipped    1 with a picture that is missing or broken" in out
    assert "page: found/svlm.html" in out
    assert "3 of them earlier" in svlm(capsys, *arguments)[1]
    row = json.loads((own_folder / "found" / "svlm.jsonl").read_text().splitlines()[0])
    assert "trainee" not in row and "excess" not in row


@pytest.mark.parametrize(
    ("data", "more", "code", "message"),
    [
        ("pairs.tar", ("--keep", "0"), 2, "keep ratio 0: a fraction of the words"),
        ("pairs.tar", ("--keep", "1.5"), 2, "keep ratio 1.5: "),
        ("pairs.tar", ("--keep", "nan"), 2, "keep ratio nan: "),
        ("pairs.tar", ("--device", "abacus"), 2, "device abacus: "),
        ("nowhere", (), 1, "nowhere: there is no such file or folder"),
        ("text", (), 1, "text: holds no pairs in a known form"),
        ("pairs.tar", ("--reference", "nowhere"), 1, "nowhere: failed to load"),
        ("pairs.tar", ("--reference", "{}/text"), 1, "text: a llama model, which does not read"),
        ("pairs.tar", ("--trainee", "{}/text"), 1, "text: a llama model, which does not read"),
    ],
)
def test_every_fault_is_one_line(data, more, code, message, place, capsys, own_folder):
    more = [word.format(place) for word in more]
    found, out, err = svlm(capsys, place / data, "--reference", place / "llava", *more)
    assert (found, out) == (code, "") and len(err) == 1
    assert err[0].startswith("omni-lab: ") and message in err[0]
    assert not (own_folder / "runs").exists()


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["svlm", "score", "--help"])
    assert "omni-lab svlm score pairs/ --reference" in capsys.readouterr().out

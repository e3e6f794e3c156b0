"""`omni-lab sequences show`: targets, sequence formats, notes, figure; and the token table."""

import json
import re
import shutil
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import write_film
from PIL import Image

from omni_lab.cli.main import main
from omni_lab.config import tiny
from omni_lab.sequences.items import LISTEN, SPEAK, UNIT, Item, Sequence
from omni_lab.sequences.table import columns, facts_of, table
from omni_lab.sequences.tokens import tokenize
from omni_lab.sequences.vocabulary import UNKNOWN
from omni_lab.triplets.table import harmless
from omni_lab.world.vocabulary import WorldVocabulary

SAMPLE = Path(__file__).resolve().parents[2] / "data_samples" / "test" / "gallery-102.mp4"
WORDS = st.text(max_size=30) | st.sampled_from(
    ["where star", "red", "the cat sat on 3 mats", "猫が好き", "[laughs]"]
)


def show(capsys, *arguments):
    """Exit code, stdout, stderr."""
    try:
        code = main(["sequences", "show", *map(str, arguments)])
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def pictures(own_folder):
    Image.new("RGB", (96, 48), "red").save("a.png")
    Image.new("RGB", (48, 48), "blue").save("b.jpg")
    return own_folder / "a.png", own_folder / "b.jpg"


def test_a_film_is_cut_and_shown_with_its_subtitles(capsys):
    code, out, _ = show(capsys, SAMPLE)
    assert code == 0
    assert "tokens  173 in 10 units: 40 image, 50 audio, 32 text, 51 control" in out
    unit = "   0     0.00      17  <unit> image×4 audio×5"
    assert f'{unit} ⟦<listen>⟧ <visitor> "motion top-left" ⟦<speak>' in out
    assert "roles   guide 40, visitor 33" in out
    assert "\x1b" not in out and "unknown" not in out


def test_shards_are_shown_as_the_film_they_came_from(capsys):
    assert (
        main(["triplets", "build", str(SAMPLE), "--out", "shards", "--workers", "1", "--json"]) == 0
    )
    capsys.readouterr()
    _, film, _ = show(capsys, SAMPLE, "--json")
    _, shards, _ = show(capsys, "shards", "--json")
    assert json.loads(shards) == json.loads(film)
    clip_id = json.loads(film)["name"]
    assert show(capsys, "shards", "--clip", clip_id, "--json")[1] == shards
    for target in ("shards", SAMPLE):
        code, _, err = show(capsys, target, "--clip", "9")
        assert code == 2 and err == f"omni-lab: --clip 9: {target} has 1 clips, counted from 0\n"


def test_a_clip_in_a_format_says_what_the_format_has_no_place_for(capsys):
    code, out, _ = show(capsys, SAMPLE, "--format", "F4")
    assert code == 0 and '"frame 1" <im_start> image×4 <im_end>' in out
    assert "lacks   10.00 s of sound, for which a document has no place" in out


def test_pictures_and_text_are_a_document(pictures, capsys):
    call = (*pictures, "--text", "Where star?", "--set")
    code, out, _ = show(capsys, *call, "sequence.tiles=2", "--json")
    read = json.loads(out)
    assert code == 0 and read["layout"] == "F4"
    assert read["modalities"] == {"image": 16, "text": 6, "control": 4}
    assert [item["reads"] for item in read["items"] if item["loss"]] == ["where star"]

    out = show(capsys, *call, "sequence.layout=F1", "--png", "page.png")[1]
    assert "   0       6  <im_start> image×4 <im_end>" in out and '⟦"where star"⟧' in out
    assert out.endswith("picture: page.png\n")
    with Image.open("page.png") as image:
        assert image.width == 1320 and image.height > 200


def test_words_that_became_unknown_or_nothing_are_counted(pictures, capsys):
    texts = ("The president said nothing", "猫が好き", "♪ ♪")
    options = [word for text in texts for word in ("--text", text)]
    _, out, _ = show(capsys, *pictures, *options)
    assert '⟦"<unknown>×2 said nothing"⟧' in out
    assert "unknown: 3 of 9 text tokens are <unknown>: preset tiny has" in out
    assert "wordless: 1 texts left no token at all" in out


def test_a_sequence_longer_than_the_context_is_shown_and_said_to_be(pictures, capsys):
    call = (*pictures, "--text", "where star " * 60)
    _, out, _ = show(capsys, *call, "--set", "sequence.max_tokens=100")
    assert "length: 136 tokens are more than sequence.max_tokens = 100; shown all the same" in out
    assert "length:" not in show(capsys, *call)[1]


def test_a_clip_without_text_is_named_and_shown_on_request(own_folder, capsys):
    film = write_film(own_folder / "silent.mp4", seconds=2.0, sound=None)
    code, out, err = show(capsys, film)
    assert (
        code == 1
        and out == ""
        and re.fullmatch(r"omni-lab: clip \w+_0_\d+: no text in it.*\n", err)
    )
    code, out, _ = show(capsys, film, "--unsupervised", "--png", "silent.pdf")
    assert code == 0 and "lacks   no audio in this clip\nlacks   no text in this clip" in out
    assert Path("silent.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["a.png", "--text", "x", "--format", "F9"],
            2,
            "choose from 'stream', 'F0', 'F1', 'F2', 'F3', 'F4'",
        ),
        (["a.png", "--text", "x", "--format", "stream"], 2, "the omni stream needs a clip"),
        (["a.png", "--text", "x", "--clip", "1"], 2, "pictures have no clips"),
        (["a.png"], 1, "clip a.png: no text in it"),
        (["a.png", SAMPLE], 2, "one folder of shards, one film, or some pictures"),
        ([SAMPLE, "a.png"], 2, "one folder of shards, one film, or some pictures"),
        ([SAMPLE, "--text", "x"], 2, "--text goes with pictures"),
        (["a.png", "--text", "x", "--png", "x.mp3"], 2, "x.mp3: pictures are written as"),
        (["."], 1, "holds no index.parquet"),
        ([SAMPLE, "--clip", ""], 2, "has 1 clips, counted from 0"),
        (["lost.png"], 1, "lost.png: no such file"),
        (["lost.mp4"], 1, "lost.mp4: no such file"),
        ([SAMPLE, "--set", "sequence.tils=2"], 2, "sequence.tiles"),
    ],
)
def test_an_error_in_the_call_or_the_target_is_one_line(arguments, code, message, pictures, capsys):
    found, out, err = show(capsys, *arguments)
    assert (found, out) == (code, "") and message in err
    assert err.splitlines()[-1].startswith("omni-lab") and "Traceback" not in err


def test_control_characters_of_a_subtitle_never_reach_the_terminal(own_folder, capsys):
    shutil.copy(SAMPLE, "film.mp4")
    steering = "<v \x1b[31mann\x9b>\x1b]0;title\x07 where \x9b2J <speak> star\u202e"
    Path("film.vtt").write_text(
        f"WEBVTT\n\n00:00.000 --> 00:01.000\n{steering}\n", encoding="utf-8"
    )
    for more in ([], ["--json"], ["--format", "F4"]):
        code, out, _ = show(capsys, "film.mp4", *more)
        assert code == 0 and not [
            c for c in out if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")
        ]
    assert (
        main(["triplets", "build", "film.mp4", "--out", "shards", "--workers", "1", "--json"]) == 0
    )
    capsys.readouterr()
    assert main(["triplets", "show", "shards"]) == 0
    assert not [c for c in capsys.readouterr().out if c != "\n" and unicodedata.category(c) == "Cc"]


@given(st.text())
def test_harmless_text_holds_nothing_but_what_is_seen(text):
    shown = harmless(text)
    assert all(c.isprintable() or c in "\u200c\u200d" for c in shown)
    if text.isprintable():
        assert shown == text


def sequence_of(turns):
    """Omni stream of one unit from turns (text, whether it is the model's)."""
    items = [Item("control", 0, 0, UNIT)]
    for text, own in turns:
        role = "guide" if own else "ann"
        items.append(Item("control", 0, 0, SPEAK if own else "<ann>", role, own))
        items.append(Item("text", 0, 0, text, role, own))
        items += [Item("control", 0, 0, LISTEN, role, True)] if own else []
    return Sequence("clip", tuple(items))


def tabled(turns, **options):
    config, vocabulary = tiny(), WorldVocabulary()
    config = replace(config, sequence=replace(config.sequence, max_tokens=1 << 20))
    sequence = sequence_of(turns)
    tokens = tokenize(sequence, vocabulary, config.sequence)
    return (
        tokens,
        vocabulary,
        table(sequence, tokens, vocabulary, **options),
        facts_of(sequence, tokens, vocabulary),
    )


def spelled_out(text):
    """Words with every `<unknown>×n` written out n times, without quotes."""
    text = re.sub(rf"{UNKNOWN}×(\d+)", lambda found: " ".join([UNKNOWN] * int(found[1])), text)
    return text.replace('"', " ").split()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=5), st.integers(20, 120))
def test_the_table_holds_every_token_in_order_and_brackets_what_is_supervised(turns, width):
    tokens, vocabulary, text, _ = tabled(turns, width=width)
    body = text.split("tokens\n")[-1]
    rows = [
        row[23 if row.startswith(" " * 23) or "0.00" in row[:16] else 14 :]
        for row in body.splitlines()
    ]
    assert all(columns(row) <= max(width, 14 + 24) for row in body.splitlines())
    shown = " ".join(rows).replace("<someone>(ann)", "<someone>")
    assert spelled_out(shown.replace("⟦", "").replace("⟧", "")) == vocabulary.pieces(tokens.ids)
    inside = [piece for part in re.findall("⟦(.*?)⟧", shown) for piece in spelled_out(part)]
    assert inside == vocabulary.pieces(tokens.ids[tokens.loss])


def test_a_role_without_its_own_token_is_named():
    _, _, text, facts = tabled([("where star", False), ("red", True)])
    assert '<someone>(ann) "where star" ⟦<speak> "red" <listen>⟧' in text
    assert facts["roles"] == {"ann": 3, "guide": 3}


def test_colour_comes_on_top_and_bold_is_what_is_supervised():
    _, _, plain, _ = tabled([("where star", False), ("red", True)])
    _, _, dyed, _ = tabled([("where star", False), ("red", True)], colour=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", dyed) == plain
    assert "\x1b[1;32m" in dyed and '\x1b[32m"where\x1b[0m' in dyed


def test_colour_is_for_terminals_only(pictures, monkeypatch, capsys):
    call = (*pictures, "--text", "Where star?")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in show(capsys, *call)[1]
    assert "\x1b[" not in show(capsys, *call, "--json")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in show(capsys, *call)[1]


def test_letters_of_two_columns_are_parted_where_the_terminal_ends():
    class Letters:
        """Vocabulary of one token per text."""

        def __len__(self):
            return 1

        def encode(self, text):
            return (0,)

        def decode(self, ids):
            return "猫" * 40

        def pieces(self, ids):
            return ["猫" * 40 for _ in ids]

        def control(self, token):
            return 0

    sequence = Sequence("clip", (Item("text", 0, 0, "猫" * 40, loss=True),))
    tokens = tokenize(sequence, Letters(), tiny().sequence)
    rows = table(sequence, tokens, Letters(), width=50).splitlines()
    assert all(columns(row) <= 50 for row in rows[6:]) and "".join(rows).count("猫") == 40
    assert np.ptp([columns(row) for row in rows[-3:-1]]) <= 1


def test_text_is_text_though_a_file_has_that_name(pictures, capsys):
    code, out, _ = show(capsys, "a.png", "--text", "b.jpg", "--json")
    assert code == 0 and json.loads(out)["items"][-1]["text"] == "b.jpg"

"""Plain text as a source: cut into pieces of at most a row, all of it, without holding it in memory."""

import json

import pytest
from clip_shards import config_with, stage
from hypothesis import given
from hypothesis import strategies as st
from tokenizers_like import byte_level

from omni_lab.config import override
from omni_lab.data import text as text_source
from omni_lab.data.sources import training_data
from omni_lab.data.text import TextDocuments, cut
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import writing_of
from omni_lab.errors import InputError


def opened(path, row=16):
    config = config_with(text=path)
    chosen = stage(sources=("text",), train=("decoder",), max_tokens=row, seconds=1)
    return TextDocuments(path, writing_of(config, chosen, build_vocabulary(config)))


def texts(documents):
    return [documents[number].items[0].text for number in range(len(documents))]


def pairs(text):
    """Tokens of a tokenizer that joins pairs of letters: cutting changes the count."""
    return sum((len(word) + 1) // 2 for word in text.split(" ")) + text.count(" ")


@given(st.text("ab \n", max_size=300), st.integers(1, 40))
def test_pieces_are_the_text_and_none_is_longer_than_a_row(text, most):
    found = list(cut(text, most, pairs))
    assert "".join(text[start:end] for start, end, _ in found) == text
    for start, end, length in found:
        assert pairs(text[start:end]) == length <= most


def test_words_and_lines_stay_whole_where_they_fit():
    text = "one two three\nfour five six\nseven eight nine\n" * 20
    found = [text[a:b] for a, b, _ in cut(text, 20, len)]
    assert all(piece[-1] in " \n" for piece in found)
    assert sum(piece[-1] == "\n" for piece in found) > len(found) / 3


@pytest.mark.parametrize("form", ["txt", "jsonl", "folder"])
def test_text_of_every_form_is_measured_and_supervised(tmp_path, form):
    lines = [f"red {number} blue green yellow" for number in range(30)]
    if form == "txt":
        path = tmp_path / "a.txt"
        path.write_text("\n".join(lines))
    else:
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(json.dumps({"text": line}) for line in lines))
    documents = opened(tmp_path if form == "folder" else path)
    assert documents.modalities == {"text"}
    assert all(item.loss for n in range(len(documents)) for item in documents[n].items)
    lengths = [len(documents.writing.tokens(documents[n]).ids) for n in range(len(documents))]
    assert documents.lengths().tolist() == lengths
    assert max(lengths) <= 16
    words = " ".join(texts(documents)).split()
    assert words == " ".join(lines).split()
    assert sorted(documents.order(0)) == list(range(len(documents)))


def test_a_file_larger_than_a_block_is_read_whole_and_letters_are_never_split(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(text_source, "BLOCK", 64)
    whole = "".join(f"é{number}ü " if number % 9 else f"{number}\n" for number in range(400))
    (tmp_path / "a.txt").write_text(whole, encoding="utf-8")
    documents = opened(tmp_path / "a.txt")
    assert "".join(texts(documents)) == whole
    one_line = "ab" * 40 + "é" * 200
    (tmp_path / "b.txt").write_text(one_line, encoding="utf-8")
    blocks = [text for _, text in text_source._blocks(tmp_path / "b.txt")]
    assert "".join(blocks) == one_line and len(blocks) > 2


@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_only_the_last_piece_of_a_document_has_an_end_to_learn(tmp_path, monkeypatch, form):
    """With a byte-level tokenizer, whose learned text is the file's, to the last space."""
    monkeypatch.setattr(text_source, "BLOCK", 64)
    lines = [f"The cat sat on mat {number}.  It was red and\n" for number in range(9)]
    for name in "ab":
        lines_of = (
            [json.dumps({"text": line}) + "\n" for line in lines] if form == "jsonl" else lines
        )
        (tmp_path / f"{name}.{form}").write_text("".join(lines_of))
    byte_level().save_pretrained(tmp_path / "words")
    config = override(config_with(text=tmp_path), [f"data.tokenizer={tmp_path / 'words'}"])
    chosen = stage(sources=("text",), train=("decoder",), max_tokens=24, seconds=1)
    vocabulary = build_vocabulary(config)
    documents = TextDocuments(tmp_path, writing_of(config, chosen, vocabulary))

    rows = [documents.writing.tokens(documents[number]) for number in range(len(documents))]
    assert documents.lengths().tolist() == [len(row.ids) for row in rows]
    assert (
        max(documents.lengths()) <= 24 and len(rows) == 18 and all(row.loss.all() for row in rows)
    )
    learned = vocabulary.decode([token for row in rows for token in row.ids])
    whole = [lines, lines] if form == "jsonl" else [["".join(lines)]] * 2
    ends = "".join(f"{text}<|endoftext|>" for file in whole for text in file)
    assert learned == ends


def test_a_vocabulary_without_an_end_keeps_its_tables(tmp_path):
    """The gallery's words are measured and hashed as ever; an end is part of the hash."""
    config = config_with(text=tmp_path)
    chosen = stage(sources=("text",), train=("decoder",))
    byte_level().save_pretrained(tmp_path / "words")
    hub = build_vocabulary(override(config, [f"data.tokenizer={tmp_path / 'words'}"]))
    first = writing_of(config, chosen, hub).fingerprint()
    hub.controls["<end>"] = hub.control("<pad>")
    assert writing_of(config, chosen, hub).fingerprint() != first


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", "no text that stage omni can learn from"),
        ("a.txt", b" \n ", "no text that stage omni can learn from"),
        ("a.txt", b"red \xff", r"a.txt: byte 0 is no text .*text is UTF-8"),
        ("a.jsonl", b'{"text": "red blue"}\n{"title": 1}', r"byte 21 is no text \(KeyError"),
        ("a.jsonl", b'{"text": 3}', "byte 0 is no text"),
        ("a.jsonl", b"[1]", "byte 0 is no text"),
        ("a.csv", b"red", "data.text='.*a.csv': no file of text; give a .txt or .jsonl file"),
    ],
)
def test_text_that_cannot_be_is_refused_in_one_line(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        opened(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_path_without_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such file or folder"):
        opened(tmp_path / "gone.txt")
    with pytest.raises(InputError, match="a folder without text"):
        opened(tmp_path)


def test_a_file_that_changed_since_it_was_measured_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("red blue green")
    documents = opened(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("red")
    with pytest.raises(InputError, match="1 tokens, but 3 were planned: the file changed"):
        documents[0]


def test_text_packs_into_rows_and_a_stage_that_looks_refuses_it(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "red blue green"}\n' * 40)
    config = config_with(text=tmp_path)
    how = {"sources": ("text",), "max_tokens": 32, "seconds": 1, "packed": True}
    data = training_data(config, stage(train=("decoder",), **how))
    streams = data.batch(0).streams
    assert streams.input_ids.shape == (4, 30)
    with pytest.raises(InputError, match="it trains part image, but no picture is in its sources"):
        training_data(config, stage(train=("image", "decoder"), **how))

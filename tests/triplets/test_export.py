"""Exports of dialogues: chat messages and OBELICS-style rows read back as they were written."""

import io
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from talks import HOSTILE, TALK, clip, drawn, shards_of

from omni_lab.errors import UsageError
from omni_lab.triplets.dialogues import obelics
from omni_lab.triplets.dialogues.export import (
    ExportError,
    export,
    media_bytes,
    media_path,
    read_chat,
)
from omni_lab.triplets.dialogues.roleplay import dialogue, trimmed
from omni_lab.triplets.record import EncodedClip

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part %}[image]"
    "{% elif part['type'] == 'audio' or 'audio' in part %}[audio]"
    "{% elif 'text' in part %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{{ '\n' }}{% endfor %}"
)


@settings(deadline=None, max_examples=20)
@given(st.lists(drawn(), min_size=1, max_size=3), st.booleans())
def test_a_chat_reads_back_as_the_dialogues_that_were_written(drawn, strict):
    """Through shards, files and JSON, with any text and names; paths hold only the clip's id."""
    named = [clip(*each, source=f"film{number}") for number, each in enumerate(drawn)]
    spoken = [
        trimmed(dialogue(each, "guide")) if strict else dialogue(each, "guide") for each in named
    ]
    with tempfile.TemporaryDirectory() as folder:
        shards, out = shards_of(named, Path(folder) / "shards"), Path(folder) / "out"

        wanted = [each for each in spoken if each.answers]
        if not wanted:
            with pytest.raises(UsageError, match="in none of its"):
                export(shards, out, "chat", "guide", strict=strict, progress=False)
            return
        done = export(shards, out, "chat", "guide", strict=strict, progress=False)
        assert (done.rows, done.left_out) == (len(wanted), len(named) - len(wanted))
        assert list(read_chat(done.path)) == wanted

        for each, kept in zip(named, spoken, strict=True):
            for part in kept.parts if kept.answers else ():
                if part.kind == "text":
                    continue
                path = out / media_path(part, each.clip_id)
                if part.kind == "image":
                    assert path.read_bytes() == each.jpegs[part.index]
                else:
                    samples, rate = soundfile.read(path, dtype="int16")
                    assert (rate, samples.tolist()) == (16_000, list(range(part.start, part.end)))

        files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
        allowed = r"chat\.jsonl|images/film\d_0_\d+/\d{3}\.jpg|audio/film\d_0_\d+/\d+_\d+\.flac"
        assert all(re.fullmatch(allowed, name) for name in files)


def clip_named(made: EncodedClip, source: str) -> EncodedClip:
    """The same clip of another film."""
    clip_id = f"{source}_0_{made.record['end']}"
    record = {**made.record, "clip_id": clip_id, "source": {**made.record["source"], "id": source}}
    return replace(made, clip_id=clip_id, record=record)


@settings(deadline=None, max_examples=50)
@given(st.one_of(st.sampled_from(HOSTILE), st.text("./\\a\0-_:\n", max_size=8)))
def test_a_path_is_made_of_a_plain_id_or_not_at_all(clip_id):
    """An id from a foreign shard never leads outside the folder."""
    part = dialogue(TALK, "guide").parts[0]
    try:
        path = media_path(part, clip_id)
    except ExportError:
        assert not re.fullmatch(r"a[a._-]*", clip_id)
        return
    assert (Path.cwd() / path).resolve().parent.parent == Path.cwd() / "images"
    assert "\n" not in path


def test_a_chat_loads_with_datasets_and_keeps_its_order_through_a_template(tmp_path):
    """Every part has every key, so that none is filled in: `'image' in part` holds for none."""
    datasets = pytest.importorskip("datasets")
    from transformers import ByT5Tokenizer

    silent = clip(
        [(0, 5, None, "<script>"), (5, 9, "curator", "../x\0"), (9, 12, "guide", "Yes.")],
        source="silent",
    )
    shards = shards_of([TALK, silent], tmp_path / "shards")
    done = export(shards, tmp_path / "out", "chat", "guide", progress=False)
    loaded = datasets.load_dataset(
        "json", data_files=done.path, split="train", cache_dir=str(tmp_path / "cache")
    )
    lines = [json.loads(line) for line in Path(done.path).read_text(encoding="utf-8").splitlines()]
    assert [row["messages"] for row in loaded] == [line["messages"] for line in lines]

    tokenizer = ByT5Tokenizer()  # its vocabulary is the bytes: no file is needed
    shown = [
        tokenizer.apply_chat_template(row["messages"], chat_template=TEMPLATE, tokenize=False)
        for row in loaded
    ]
    assert shown[0].splitlines() == [
        "<user>[image][audio]visitor: Colour?", "<assistant>Red.",
        "<user>[image][image][audio][audio]visitor: Word?[audio]",
        "<assistant>Music. Louder now.", "<user>[image][image][audio]",
    ]  # fmt: skip
    assert shown[1].splitlines() == ["<user>< script>", "curator: ../x\0", "<assistant>Yes."]


def test_obelics_rows_load_with_datasets_and_their_pictures_and_sounds_decode(tmp_path):
    datasets = pytest.importorskip("datasets")
    blind = clip([(0, 5, None, "No one knows.")], spans=[(0, 100)], source="blind")
    shards = shards_of([TALK, blind, clip(source="empty")], tmp_path / "shards")
    done = export(shards, tmp_path / "out", "obelics", "guide", progress=False)
    assert (done.rows, done.left_out) == (2, 1)
    loaded = datasets.load_dataset(
        "parquet", data_files=done.path, split="train", cache_dir=str(tmp_path / "cache")
    )
    loaded = loaded.cast_column("images", datasets.List(datasets.Image()))

    for row, made in zip(loaded, (TALK, blind), strict=True):
        parts = dialogue(made, "guide").parts
        about = json.loads(row["metadata"])
        columns = [row[name] for name in ("images", "audios", "texts")]
        assert {len(cells) for cells in (*columns, about)} == {len(parts)}

        for part, where, picture, sound, text in zip(parts, about, *columns, strict=True):
            held = {"image": picture, "audio": sound, "text": text}
            assert {kind for kind, cell in held.items() if cell is not None} == {part.kind}
            assert (where["start"], where["end"]) == (part.start, part.end)
            if part.kind == "image":
                assert (picture.size, picture.getpixel((0, 0))) == ((8, 6), (10 * part.index,) * 3)
            elif part.kind == "audio":
                samples, _ = soundfile.read(io.BytesIO(sound["bytes"]), dtype="int16")
                assert samples.tolist() == list(range(part.start, part.end))
                assert sound["path"] == media_path(part, made.clip_id)
            else:
                assert text.endswith(part.text)
        general = {"clip_id": made.clip_id, "model_role": "guide"}
        assert json.loads(row["general_metadata"]) == general

    assert [(x["role"], x["speaker"]) for x in json.loads(loaded[0]["metadata"])][2:4] == [
        ("visitor", "user"), ("guide", "assistant"),
    ]  # fmt: skip
    sounds = datasets.List(datasets.Audio(decode=False))
    assert loaded.cast_column("audios", sounds)[0]["audios"][1]["bytes"]


def test_obelics_rows_are_written_in_groups(tmp_path, monkeypatch):
    """Bounded memory: a row group is written as soon as it is full."""
    shards = shards_of(
        [clip_named(TALK, f"film{number}") for number in range(5)], tmp_path / "shards"
    )
    parts = [part for part in dialogue(TALK, "guide", "never").parts if part.kind != "text"]
    row = sum(len(media_bytes(part, TALK)) for part in parts)
    for limit, groups in ((1, 5), (2 * row, 3), (1 << 30, 1)):
        monkeypatch.setattr(obelics, "ROW_GROUP_BYTES", limit)
        done = export(shards, tmp_path / "out", "obelics", "guide", "never", progress=False)
        assert pyarrow.parquet.ParquetFile(done.path).num_row_groups == groups


@pytest.mark.parametrize("form", ["chat", "obelics"])
def test_an_export_that_fails_leaves_the_one_before_as_it_was(tmp_path, form):
    good = shards_of([TALK], tmp_path / "good")
    done = export(good, tmp_path / "out", form, "guide", progress=False)
    before = Path(done.path).read_bytes()
    broken = clip_named(TALK, "film2")
    broken.record["cues"] = [{"start": 0}]
    bad = shards_of([clip_named(TALK, "film1"), broken], tmp_path / "bad")
    with pytest.raises(ExportError, match="film2_0_200: its record is broken"):
        export(bad, tmp_path / "out", form, "guide", progress=False)
    assert Path(done.path).read_bytes() == before
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_wrong_calls_and_broken_files_are_named(tmp_path):
    shards = shards_of([TALK, clip([(0, 5, None, "Hm.")], source="other")], tmp_path / "shards")
    message = "none of its 2 clips does 'guid' answer; the roles there are guide, visitor"
    with pytest.raises(UsageError, match=message):
        export(shards, tmp_path / "out", "chat", "guid", progress=False)
    assert not (tmp_path / "out" / "chat.jsonl").exists()
    assert export(shards, tmp_path / "out", "chat", "guide", progress=False).left_out == 1

    with pytest.raises(UsageError, match="one of chat, llamafactory, obelics"):
        export(shards, tmp_path / "out", "csv", "guide", progress=False)
    with pytest.raises(UsageError, match="is a file"):
        export(shards, shards / "index.parquet", "chat", "guide", progress=False)

    chat = tmp_path / "chat.jsonl"
    no_messages = '{"clip_id": "a", "model_role": "b"}'
    unknown_type = '{"messages": [{"content": [{"type": "x"}]}]}'
    for line in ("no json", "[]", no_messages, unknown_type):
        chat.write_text(line + "\n")
        with pytest.raises(ExportError, match="line 1 holds no dialogue"):
            list(read_chat(chat))
    chat.write_bytes(b"\xff\n")
    with pytest.raises(ExportError, match=r"chat\.jsonl: unreadable as a UTF-8 text file"):
        list(read_chat(chat))
    with pytest.raises(ExportError, match=r"none\.jsonl: unreadable .*No such file"):
        list(read_chat(tmp_path / "none.jsonl"))

"""Dialogues lose nothing, double nothing and never hear an answer before it is given; exports read back the same."""

import io
import json
import re
import tempfile
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omni_lab.errors import UsageError
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.dialogues import export as exporting
from omni_lab.triplets.dialogues.export import (
    ExportError,
    export,
    media_bytes,
    media_path,
    messages,
    read_chat,
)
from omni_lab.triplets.dialogues.roleplay import OWN_SOUND, dialogue, trimmed
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.index import FilmEntry
from omni_lab.triplets.shards.members import members_of
from omni_lab.triplets.shards.tars import ShardWriter

HOSTILE = (
    "../../up",
    "/etc/x",
    "C:\\x",
    "a\0b",
    "<script>alert(1)</script>",
    "\u2028\r\n",
    "{{ 7 * 7 }}",
    '"},{',
)
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part %}[image]{% elif part['type'] == 'audio' or 'audio' in part %}"
    "[audio]{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{{ '\n' }}{% endfor %}"
)


def jpeg(number: int) -> bytes:
    """A small picture in one grey, which tells its number."""
    data = io.BytesIO()
    Image.new("RGB", (8, 6), (10 * number,) * 3).save(data, "jpeg", quality=95)
    return data.getvalue()


def clip(cues=(), frame_times=(), spans=(), duration=200, jpegs=None, source="film") -> EncodedClip:
    """A clip whose sample i is i: cues are (start, end, role, text)."""
    audio = np.zeros(duration, np.int16) if spans else None
    for start, end in spans:
        audio[start:end] = np.arange(start, end)
    said = [asdict(Cue(start, end, text, role)) for start, end, role, text in cues]
    has = [
        sense for sense, held in (("image", frame_times), ("audio", spans), ("text", said)) if held
    ]
    record = {
        "clip_id": f"{source}_0_{duration}",
        "source": {"id": source, "uri": "films/../<b>.mp4", "errors": []},
        "start": 0,
        "end": duration,
        "frame_times": list(frame_times),
        "cues": said,
        "has": has,
        "quality": {"audio_spans": [list(span) for span in spans]} if spans else {},
        "facts": [],
        "config_hash": "x",
    }
    pictures = (
        tuple(b"%d" % number for number in range(len(frame_times)))
        if jpegs is None
        else tuple(jpegs)
    )
    return EncodedClip(record["clip_id"], record, pictures, audio)


def shards_of(clips, folder) -> Path:
    with ShardWriter(folder, "x") as writer:
        for each in clips:
            writer.add(each, [data for _, data in members_of(each)])
            source = each.record["source"]
            writer.end_film(
                FilmEntry(source["id"], source["uri"], clips=1, ticks=each.record["end"])
            )
        writer.close()
    return Path(folder)


TALK = clip(
    cues=[(20, 40, "visitor", "Colour?"), (40, 60, "guide", "Red."), (100, 120, "visitor", "Word?"),
          (130, 150, "guide", "Music."), (155, 170, "guide", "Louder now.")],
    frame_times=[10, 50, 90, 140, 190],
    spans=[(5, 80), (85, 200)],
    jpegs=[jpeg(number) for number in range(5)],
)  # fmt: skip


@st.composite
def drawn(draw):
    """What `clip` takes, up to 200 ticks: any senses, cues that overlap, run past the end, are unsorted or blank."""
    duration = draw(st.integers(1, 200))
    edges = sorted(draw(st.sets(st.integers(0, duration), max_size=8)))
    times = sorted(draw(st.sets(st.integers(0, duration - 1), max_size=6)))
    roles = st.sampled_from(["guide", "visitor", "curator", None, *HOSTILE])
    texts = st.one_of(st.sampled_from(["Red.", "", " ", *HOSTILE]), st.text(max_size=8))
    starts, lengths = st.integers(0, duration), st.integers(0, 60)
    cues = draw(st.lists(st.tuples(starts, lengths, roles, texts), max_size=8))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    return (
        [(at, at + length, role, text) for at, length, role, text in cues],
        times,
        spans,
        duration,
    )


PAUSES = st.sampled_from([0.0, 10 / 16_000, 1.0])
ANY = given(drawn(), st.sampled_from(OWN_SOUND), PAUSES)


def heard(parts, duration) -> np.ndarray:
    """How often each sample is given."""
    count = np.zeros(duration, int)
    for part in parts:
        if part.kind == "audio":
            count[part.start : part.end] += 1
    return count


def own_cues(of: EncodedClip) -> list[dict]:
    return [cue for cue in of.record["cues"] if cue["role"] == "guide" and cue["text"].strip()]


@settings(deadline=None, max_examples=80)
@ANY
def test_everything_is_given_once_and_in_order(drawn, own_sound, pause_s):
    """Every picture, every sample that the film has and every cue's text; no sample that is only padding."""
    made = clip(*drawn)
    parts = dialogue(made, "guide", own_sound, pause_s).parts
    assert [part.index for part in parts if part.kind == "image"] == list(range(len(made.jpegs)))
    assert [part.start for part in parts if part.kind == "image"] == made.record["frame_times"]

    cues = made.record["cues"]
    said = [part for part in parts if part.kind == "text"]
    assert sorted(part.index for part in said) == [
        i for i, cue in enumerate(cues) if cue["text"].strip()
    ]
    assert all(
        (part.start, part.end, part.text) == tuple(cues[part.index].values())[:3] for part in said
    )
    assert [part.start for part in said] == sorted(part.start for part in said)

    duration = made.record["end"]
    film = np.zeros(duration, int)
    for start, end in made.record["quality"].get("audio_spans", []):
        film[start:end] = 1
    if own_sound == "never":
        for cue in own_cues(made):
            film[cue["start"] : cue["end"]] = 0
    np.testing.assert_array_equal(heard(parts, duration), film)
    sounds = [part for part in parts if part.kind == "audio"]
    assert all(part.start < part.end for part in sounds)
    assert all(a.end <= b.start for a, b in pairwise(sounds))


@settings(deadline=None, max_examples=80)
@ANY
def test_no_answer_is_seen_or_heard_before_it_is_given(drawn, own_sound, pause_s):
    """Before a line of the model stands nothing that begins with it or after it, however other cues overlap it."""
    made = clip(*drawn)
    latest = 0
    for part in dialogue(made, "guide", own_sound, pause_s).parts:
        role = made.record["cues"][part.index]["role"] if part.kind == "text" else None
        if part.kind == "text" and role == "guide" and own_sound != "first":
            assert latest <= part.start
        if part.kind != "text":
            latest = max(latest, part.end, part.start + 1)


@settings(deadline=None, max_examples=80)
@ANY
def test_what_was_there_before_a_turn_comes_before_it(drawn, own_sound, pause_s):
    """Whatever of the film lies before the start of a turn's first line stands before that line."""
    made = clip(*drawn)
    spoken = dialogue(made, "guide", own_sound, pause_s)
    before: list = []
    for turn in spoken.turns:
        first = next((part for part in turn.parts if part.kind == "text"), None)
        for part in turn.parts:
            if part is first:
                rest = [
                    other for other in spoken.parts if other.kind != "text" and other not in before
                ]
                assert all(other.start >= first.start for other in rest)
            before.append(part)


@settings(deadline=None, max_examples=80)
@ANY
def test_turns_change_hands(drawn, own_sound, pause_s):
    """Neighbours never have the same role, the model only speaks, and messages alternate strictly."""
    made = clip(*drawn)
    spoken = dialogue(made, "guide", own_sound, pause_s)
    assert all((a.role, a.speaker) != (b.role, b.speaker) for a, b in pairwise(spoken.turns))
    for turn in spoken.turns:
        assert turn.parts
        assert (turn.speaker == "assistant") == (turn.role == "guide")
        if turn.speaker == "assistant":
            assert {part.kind for part in turn.parts} == {"text"}
    assert all(a["role"] != b["role"] for a, b in pairwise(messages(spoken)))
    cut = trimmed(spoken)
    assert cut.answers == spoken.answers - (
        spoken.turns[:1] != () and spoken.turns[0].speaker == "assistant"
    )
    if cut.turns:
        assert (cut.turns[0].speaker, cut.turns[-1].speaker) == ("user", "assistant")


def outline(spoken) -> list[str]:
    """A line per turn: role, then i for a picture, start-end for sound, the words of what is said."""
    shown = {
        "image": lambda p: f"i{p.index}",
        "audio": lambda p: f"{p.start}-{p.end}",
        "text": lambda p: p.text,
    }
    return [
        f"{turn.role}: {' '.join(shown[part.kind](part) for part in turn.parts)}"
        for turn in spoken.turns
    ]


def test_the_models_own_sound_comes_later_never_or_first():
    assert outline(dialogue(TALK, "guide")) == [
        "visitor: i0 5-40 Colour?", "guide: Red.", "visitor: i1 i2 40-80 85-120 Word? 120-130",
        "guide: Music. Louder now.", "None: i3 i4 130-200",
    ]  # fmt: skip
    assert outline(dialogue(TALK, "guide", "never")) == [
        "visitor: i0 5-40 Colour?", "guide: Red.", "visitor: i1 i2 60-80 85-120 Word? 120-130",
        "guide: Music. Louder now.", "None: i3 i4 150-155 170-200",
    ]  # fmt: skip
    assert outline(dialogue(TALK, "guide", "first")) == [
        "visitor: i0 5-40 Colour? i1 40-60", "guide: Red.", "visitor: i2 60-80 85-120 Word? i3 120-150",
        "guide: Music. Louder now.", "None: i4 150-200",
    ]  # fmt: skip


def test_the_model_looks_again_after_a_pause():
    """One role alone: lines close together are a turn, and what was seen and heard in a pause is a turn of nobody's."""
    talk = clip(
        [(0, 40, "guide", "A."), (45, 60, "guide", "b."), (90, 99, "guide", "C.")],
        [20, 70],
        [(0, 100)],
    )
    assert outline(dialogue(talk, "guide", pause_s=10 / 16_000)) == [
        "guide: A. b.", "None: i0 i1 0-90", "guide: C.", "None: 90-100",
    ]  # fmt: skip
    assert outline(dialogue(talk, "Guide ")) == ["guide: A. b. C.", "None: i0 i1 0-100"]
    text_only = clip([(0, 40, "guide", "A."), (90, 99, "guide", "C.")])
    assert outline(dialogue(text_only, "guide", pause_s=0.0)) == ["guide: A. C."]


def test_a_role_that_is_absent_gives_no_answers_and_a_wrong_call_is_refused():
    spoken = dialogue(TALK, "curator")
    assert (spoken.answers, trimmed(spoken).turns) == (0, ())
    assert {turn.speaker for turn in spoken.turns} == {"user"}
    assert dialogue(clip(), "guide").turns == ()
    with pytest.raises(UsageError, match="role is empty"):
        dialogue(TALK, " ")
    with pytest.raises(UsageError, match="one of later, never, first"):
        dialogue(TALK, "guide", "sometimes")


@settings(deadline=None, max_examples=20)
@given(st.lists(drawn(), min_size=1, max_size=3), st.booleans())
def test_a_chat_reads_back_as_the_dialogues_that_were_written(drawn, strict):
    """Through shards, files and JSON, with text and names of any kind; paths are made of the clip's id alone."""
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
                if part.kind == "image":
                    assert (out / media_path(part, each.clip_id)).read_bytes() == each.jpegs[
                        part.index
                    ]
                elif part.kind == "audio":
                    samples, rate = soundfile.read(
                        out / media_path(part, each.clip_id), dtype="int16"
                    )
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
    """An id from a foreign shard leads nowhere else."""
    part = dialogue(TALK, "guide").parts[0]
    try:
        path = media_path(part, clip_id)
    except ExportError:
        assert not re.fullmatch(r"a[a._-]*", clip_id)
        return
    assert (Path.cwd() / path).resolve().parent.parent == Path.cwd() / "images"
    assert "\n" not in path


def test_a_chat_loads_with_datasets_and_keeps_its_order_through_a_template(tmp_path):
    """Parts come back with their own keys and no others: a template that asks `'image' in part` sees what is there."""
    datasets = pytest.importorskip("datasets")
    from transformers import ByT5Tokenizer

    silent = clip(
        [(0, 5, None, "<script>"), (5, 9, "curator", "../x\0"), (9, 12, "guide", "Yes.")],
        source="silent",
    )
    done = export(
        shards_of([TALK, silent], tmp_path / "shards"),
        tmp_path / "out",
        "chat",
        "guide",
        progress=False,
    )
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
        "<user>[image][audio]Colour?", "<assistant>Red.", "<user>[image][image][audio][audio]Word?[audio]",
        "<assistant>Music.Louder now.", "<user>[image][image][audio]",
    ]  # fmt: skip
    assert shown[1].splitlines() == ["<user><script>../x\0", "<assistant>Yes."]


def test_obelics_rows_load_with_datasets_and_their_pictures_and_sounds_decode(tmp_path):
    datasets = pytest.importorskip("datasets")
    blind = clip([(0, 5, None, "Nobody knows.")], spans=[(0, 100)], source="blind")
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
                assert text == part.text
        assert json.loads(row["general_metadata"]) == {
            "clip_id": made.clip_id,
            "model_role": "guide",
        }
    assert [(x["role"], x["speaker"]) for x in json.loads(loaded[0]["metadata"])][2:4] == [
        ("visitor", "user"), ("guide", "assistant"),
    ]  # fmt: skip
    sounds = datasets.List(datasets.Audio(decode=False))
    assert loaded.cast_column("audios", sounds)[0]["audios"][1]["bytes"]


def test_obelics_rows_are_written_in_groups(tmp_path, monkeypatch):
    """What is held in memory is bounded: a row group is written as soon as it is full."""
    shards = shards_of(
        [clip_named(TALK, f"film{number}") for number in range(5)], tmp_path / "shards"
    )
    parts = [part for part in dialogue(TALK, "guide", "never").parts if part.kind != "text"]
    row = sum(len(media_bytes(part, TALK)) for part in parts)
    for limit, groups in ((1, 5), (2 * row, 3), (1 << 30, 1)):
        monkeypatch.setattr(exporting, "ROW_GROUP_BYTES", limit)
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
    with pytest.raises(
        UsageError,
        match="none of its 2 clips does 'guid' answer; the roles there are guide, visitor",
    ):
        export(shards, tmp_path / "out", "chat", "guid", progress=False)
    assert not (tmp_path / "out" / "chat.jsonl").exists()
    assert export(shards, tmp_path / "out", "chat", "guide", progress=False).left_out == 1
    with pytest.raises(UsageError, match="one of chat, obelics"):
        export(shards, tmp_path / "out", "csv", "guide", progress=False)
    with pytest.raises(UsageError, match="is a file"):
        export(shards, shards / "index.parquet", "chat", "guide", progress=False)
    chat = tmp_path / "chat.jsonl"
    for line in (
        "no json",
        "[]",
        '{"clip_id": "a", "model_role": "b"}',
        '{"messages": [{"content": [{"type": "x"}]}]}',
    ):
        chat.write_text(line + "\n")
        with pytest.raises(ExportError, match="line 1 holds no dialogue"):
            list(read_chat(chat))
    chat.write_bytes(b"\xff\n")
    with pytest.raises(ExportError, match="cannot be read"):
        list(read_chat(chat))
    with pytest.raises(ExportError, match="cannot be read"):
        list(read_chat(tmp_path / "none.jsonl"))

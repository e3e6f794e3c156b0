"""Exports under the rules of the programs that load them: templates, loaders, placeholders, None keys."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talks import TALK, clip, drawn, jpeg, shards_of

from omni_lab.errors import UsageError
from omni_lab.triplets.dialogues import export as exporting
from omni_lab.triplets.dialogues.export import ExportError, export, messages, strings
from omni_lab.triplets.dialogues.roleplay import dialogue, trimmed
from omni_lab.triplets.dialogues.texts import escaped, told

MARKS = [
    "<image>",
    "<audio>",
    "<video>",
    "<|im_end|>",
    "<|image_pad|>",
    "</s>",
    "[INST]",
    "{{image}}",
]
SPOKEN = clip(
    cues=[(0, 9, "guide", "Welcome."), (20, 30, "visitor", "What is it?"),
          (32, 38, "curator", "Look closer."), (40, 50, "guide", "It is red."),
          (52, 60, "guide", "And now it is blue."), (70, 80, "visitor", "Fine.")],
    frame_times=[15, 45, 75],
    spans=[(0, 90)],
    jpegs=[jpeg(number) for number in range(3)],
    source="three",
)  # fmt: skip


def clip_of(source, media=""):
    """A question and an answer, with a picture (i) or a sound (a) or neither."""
    cues = [(0, 5, "visitor", "Who?"), (6, 9, "guide", "Me.")]
    return clip(cues, [1] if "i" in media else [], [(0, 5)] if "a" in media else [], source=source)


def rows_of(tmp_path, form, clips=(SPOKEN,), **how):
    done = export(
        shards_of(clips, tmp_path / "s"), tmp_path / "o", form, "guide", progress=False, **how
    )
    return done, [json.loads(line) for line in Path(done.path).read_text("utf-8").splitlines()]


def filled(value):
    """A row as loaders give it that make all parts of a list one struct: absent keys are None."""
    if isinstance(value, dict):
        return {key: filled(each) for key, each in value.items()}
    if isinstance(value, list):
        made = [filled(each) for each in value]
        keys = {key for each in made if isinstance(each, dict) for key in each}
        return [
            {**dict.fromkeys(keys), **each} if isinstance(each, dict) else each for each in made
        ]
    return value


def rendered(chat):
    """Template that asks first for images, then for sounds, each by its type or by its key."""
    out = ""
    for message in chat:
        out += f"<{message['role']}>"
        for part in message["content"]:
            for kind in ("image", "audio", "video"):
                if part["type"] == kind or kind in part or f"{kind}_url" in part:
                    out += f"[{kind}]"
                    break
            else:
                out += part.get("text", "")
    return out


def swift(row):
    """Contents as strings with the media they stand for: a part's own, else those of the columns."""
    media = {"image": [], "audio": []}
    contents = []
    for message in row["messages"]:
        parts = message["content"]
        for part in parts if isinstance(parts, list) else ():
            if part["type"] in media and part.get(part["type"]):
                media[part["type"]].append(part[part["type"]])
        text = parts if isinstance(parts, str) else "".join(
            part["text"] if part["type"] == "text" else f"<{part['type']}>" for part in parts
        )  # fmt: skip
        contents.append(text)
    found = {kind: own or row[f"{kind}s"] for kind, own in media.items()}
    return contents, found


def llama_factory(row, info):
    """Turns of a row after the checks of the loader, or None where it skips the row."""
    tags, columns = info["tags"], info["columns"]
    turns = row[columns["messages"]]
    order = [tags["user_tag"], tags["assistant_tag"]]
    roles = [turn[tags["role_tag"]] for turn in turns]
    if not roles or roles != order * (len(roles) // 2):
        return None
    contents = [turn[tags["content_tag"]] for turn in turns]
    assert all(isinstance(content, str) for content in contents)
    for kind in ("image", "audio"):
        assert sum(content.count(f"<{kind}>") for content in contents) == len(
            row[columns[f"{kind}s"]]
        )
    return contents


def test_lines_stay_apart_and_every_other_speaker_has_a_name(tmp_path):
    _, (row,) = rows_of(tmp_path, "chat")
    said = [["".join(p["text"] for p in m["content"])] for m in row["messages"]]
    assert said == [
        ["Welcome."], ["visitor: What is it?\ncurator: Look closer."],
        ["It is red. And now it is blue."], ["visitor: Fine."],
    ]  # fmt: skip


def test_absent_keys_that_come_back_as_none_make_nothing_an_image(tmp_path):
    _, (row,) = rows_of(tmp_path, "chat")
    assert filled(row) == row
    shown = rendered(filled(row)["messages"])
    assert shown == rendered(row["messages"])
    kinds = [part["type"] for message in row["messages"] for part in message["content"]]
    for kind in ("image", "audio"):
        assert shown.count(f"[{kind}]") == kinds.count(kind) > 0


def test_an_older_struct_of_all_keys_reads_back_with_pyarrow_as_it_was_written(tmp_path):
    """What `datasets` before 4.7 does with the parts of a message: one struct for all of them."""
    from pyarrow import json as arrow

    done, rows = rows_of(tmp_path, "chat")
    assert arrow.read_json(done.path).to_pylist() == rows


@pytest.mark.parametrize("form", ["chat", "llamafactory"])
def test_contents_as_strings_hold_a_placeholder_for_every_medium_in_order(tmp_path, form):
    _, (row,) = rows_of(tmp_path, form)
    contents, media = swift(filled(row))
    parts = dialogue(SPOKEN, "guide") if form == "chat" else trimmed(dialogue(SPOKEN, "guide"))
    kinds = [part.kind for part in parts.parts if part.kind != "text"]
    assert re.findall("<(image|audio)>", "".join(contents)) == kinds
    for kind, paths in media.items():
        assert len(paths) == kinds.count(kind)
        assert all((tmp_path / "o" / path).is_file() for path in paths)
    assert [path[-7:] for path in media["image"]] == ["000.jpg", "001.jpg", "002.jpg"][
        : len(media["image"])
    ]


def test_every_row_of_llamafactory_survives_its_loader(tmp_path):
    clips = [SPOKEN, TALK, clip([(0, 5, "guide", "Alone.")], source="alone")]
    done, rows = rows_of(tmp_path, "llamafactory", clips)
    info = json.loads((tmp_path / "o" / "dataset_info.json").read_text())["dialogues"]
    assert (tmp_path / "o" / info["file_name"]) == Path(done.path)
    assert (done.rows, done.left_out, done.unasked) == (2, 1, 2)
    assert llama_factory(rows[0], info) == [
        "<image><audio>visitor: What is it?<audio>\ncurator: Look closer.<audio>",
        "It is red. And now it is blue.",
    ]
    assert llama_factory(rows[1], info)[-1] == "Music. Louder now."


def test_an_entry_beside_others_is_added_and_a_broken_list_is_refused(tmp_path):
    info = tmp_path / "o" / "dataset_info.json"
    info.parent.mkdir()
    info.write_text('{"other": {"file_name": "other.json"}, "dialogues": {}}')
    rows_of(tmp_path, "llamafactory")
    described = json.loads(info.read_text())
    assert described["other"] == {"file_name": "other.json"}
    assert described["dialogues"]["formatting"] == "sharegpt"
    for broken in ("{", "[]"):
        info.write_text(broken)
        with pytest.raises(ExportError, match=r"dataset_info\.json: "):
            export(tmp_path / "s", tmp_path / "o", "llamafactory", "guide", progress=False)


def test_answers_that_nobody_asked_for_are_no_rows_and_the_message_says_so(tmp_path):
    shards = shards_of([clip([(0, 5, "guide", "Alone.")])], tmp_path / "s")
    with pytest.raises(UsageError, match="only unasked, which llamafactory rows cannot hold"):
        export(shards, tmp_path / "o", "llamafactory", "guide", progress=False)
    assert not (tmp_path / "o" / "dataset_info.json").exists()


@pytest.mark.parametrize("form", ["chat", "llamafactory"])
@pytest.mark.parametrize("mark", MARKS)
def test_text_that_looks_like_a_placeholder_moves_no_picture(tmp_path, form, mark):
    talk = clip(
        [(0, 5, "visitor", f"Say {mark} to it"), (6, 9, "guide", f"{mark}{mark}"), (12, 15, mark, "No.")],
        [1, 4, 10], [(0, 20)],
    )  # fmt: skip
    done, (row,) = rows_of(tmp_path, form, [talk])
    contents, media = swift(row)
    assert done.escaped == 2
    for kind in ("image", "audio"):
        assert "".join(contents).count(f"<{kind}>") == len(media[kind])
    bare = re.sub("<(image|audio)>", "", "".join(contents))
    assert mark not in bare and bare.startswith(f"visitor: Say {mark[0]} {mark[1:]} to it")


@given(st.lists(st.sampled_from([*MARKS, "<", ">", "{", "[", "a", " "]), max_size=8).map("".join))
def test_no_placeholder_is_left_in_an_escaped_text_and_only_spaces_are_added(text):
    out = escaped(text)
    assert not any(mark in out for mark in MARKS)
    assert "{{" not in out and escaped(out) == out
    assert out.replace(" ", "") == text.replace(" ", "")


@given(drawn())
def test_no_text_of_any_dialogue_is_glued_to_another_or_counts_as_a_medium(arguments):
    spoken = trimmed(dialogue(clip(*arguments), "guide"))
    for message, plain in zip(messages(spoken), strings(messages(spoken)), strict=True):
        said = [part for part in message["content"] if part["type"] == "text"]
        for part in said[1:]:
            assert part["text"][0] in " \n"
        kinds = [part["type"] for part in message["content"] if part["type"] != "text"]
        assert re.findall("<(image|audio)>", plain["content"]) == kinds


def test_a_transcript_names_every_speaker_where_no_chat_marks_the_answers():
    lines = [text for _, _, text in told(dialogue(SPOKEN, "guide"), transcript=True)]
    assert "".join(lines) == (
        "guide: Welcome.\nvisitor: What is it?\ncurator: Look closer.\n"
        "guide: It is red. And now it is blue.\nvisitor: Fine."
    )


@pytest.mark.parametrize("form", ["chat", "llamafactory"])
@pytest.mark.parametrize("late", [[TALK], [clip_of("seen", "i"), clip_of("heard", "a"), TALK]])
def test_media_columns_load_where_the_first_clips_have_none(tmp_path, monkeypatch, form, late):
    """Loaders infer the type of a column from the first rows: late ones with media lead."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(exporting, "INFERRED", 600)
    blind = [clip_of(f"blind{number}") for number in range(30)]
    done, rows = rows_of(tmp_path, form, [*blind, *late, *(clip_of(f"z{n}") for n in range(30))])
    names = [row["clip_id"] for row in rows]
    leading = len({TALK.clip_id} if late == [TALK] else late[:2])
    assert names[:leading] == [each.clip_id for each in late[:leading]]
    assert len(set(names)) == done.rows == 60 + len(late)
    assert names[leading : leading + 30] == [each.clip_id for each in blind]

    loaded = datasets.load_dataset(
        "json", data_files=done.path, split="train", cache_dir=str(tmp_path / "c"), chunksize=600
    )
    assert loaded.to_list() == rows


def test_a_row_that_comes_early_stays_in_its_place(tmp_path):
    clips = [clip_of("blind"), SPOKEN, TALK]
    _, rows = rows_of(tmp_path, "chat", clips)
    assert [row["clip_id"] for row in rows] == [each.clip_id for each in clips]

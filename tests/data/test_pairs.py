"""Pairs of a picture or a sound and its text, in every form: found, measured, written, left out."""

import io
import json
import tarfile

import numpy as np
import pytest
import soundfile
from clip_shards import clip, config_with, picture, stage, write_shards
from PIL import Image

from omni_lab.config import override
from omni_lab.data.pairs.parts import Media, samples
from omni_lab.data.pairs.source import PairDocuments
from omni_lab.data.sources import training_data
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import writing_of
from omni_lab.errors import InputError
from omni_lab.media.errors import MediaError
from omni_lab.triplets.dialogues.export import export

PARTS = {"image_text": ("image", "connector"), "audio_text": ("audio", "connector")}


def sound(seconds=2.5, rate=16_000, form="WAV", value=0.25, channels=1):
    data = io.BytesIO()
    wave = np.full((round(seconds * rate), channels), value, np.float32)
    soundfile.write(data, wave, rate, format=form)
    return data.getvalue()


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            data = data.encode() if isinstance(data, str) else data
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def opened(path, name, settings=(), **stage_settings):
    config = override(config_with(**{name: path}), list(settings))
    chosen = stage(**{"sources": (name,), "train": PARTS[name], **stage_settings})
    return PairDocuments(path, name, writing_of(config, chosen, build_vocabulary(config)))


def image_tars(folder):
    folder.mkdir()
    for number in range(3):
        members = []
        for at in range(4):
            key = f"some/{number}.{at}x".replace(".", "_")
            members += [(f"{key}.jpg", picture(60 * at)), (f"{key}.txt", f"red {at}")]
        tar_of(folder / f"{number}.tar", members)
    return folder


def audio_tars(folder):
    folder.mkdir()
    forms = (("wav", "WAV"), ("flac", "FLAC"), ("mp3", "MP3"))
    members = []
    for at, (suffix, form) in enumerate(forms):
        members += [
            (f"{at}.{suffix}", sound(form=form, rate=(16_000, 44_100, 22_050)[at], channels=2)),
            (f"{at}.json", json.dumps({"caption": f"red {at}"})),
        ]
    tar_of(folder / "a.tar", members)
    return folder


def hub_folder(folder, kind):
    from datasets import Audio, Dataset, Image

    data = [
        {"bytes": picture(60 * n) if kind == "image" else sound(), "path": None} for n in range(5)
    ]
    rows = Dataset.from_dict({kind: data, "caption": [f"red {n}" for n in range(5)]})
    feature = Image(decode=False) if kind == "image" else Audio(decode=False)
    rows.cast_column(kind, feature).save_to_disk(str(folder))
    return folder


def chat_file(folder, kind):
    folder.mkdir()
    lines = []
    for n in range(5):
        suffix, data = ("jpg", picture(60 * n)) if kind == "image" else ("flac", sound(form="FLAC"))
        (folder / f"{n}.{suffix}").write_bytes(data)
        asked = [{"type": kind, kind: f"{n}.{suffix}"}, {"type": "text", "text": "Where is red?"}]
        answer = {"role": "assistant", "content": f"red {n}"}
        lines.append({"messages": [{"role": "user", "content": asked}, answer]})
    path = folder / "chat.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    return path


FORMS = {
    ("tars", "image_text"): lambda folder: image_tars(folder),
    ("tars", "audio_text"): lambda folder: audio_tars(folder),
    ("hub", "image_text"): lambda folder: hub_folder(folder, "image"),
    ("hub", "audio_text"): lambda folder: hub_folder(folder, "audio"),
    ("chat", "image_text"): lambda folder: chat_file(folder, "image"),
    ("chat", "audio_text"): lambda folder: chat_file(folder, "audio"),
}


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_pairs_of_every_form_are_measured_and_written_alike(form, tmp_path):
    path = FORMS[form](tmp_path / "data")
    documents = opened(path, form[1])
    sense = "image" if form[1] == "image_text" else "audio"
    assert documents.modalities == {sense, "text"}
    assert documents.left_out == {}
    assert sorted(documents.order(0)) == list(range(len(documents)))
    answers = []
    for number, length in enumerate(documents.lengths()):
        sequence = documents[number]
        assert len(documents.writing.tokens(sequence).ids) == length
        kinds = [item.kind for item in sequence.items]
        assert kinds.count(sense) == (1 if sense == "image" else 3)  # 2.5 s are three units
        (answer,) = [item for item in sequence.items if item.kind == "text" and item.loss]
        assert kinds.index(sense) < sequence.items.index(answer)
        answers.append(answer.text)
    assert answers[:3] == ["red 0", "red 1", "red 2"]


def test_pictures_and_sounds_are_those_of_the_pair(tmp_path):
    images = opened(image_tars(tmp_path / "images"), "image_text")
    for number in range(4):
        assert abs(float(images[number].frames[0].mean()) - 60 * number) < 3
    sounds = opened(audio_tars(tmp_path / "sounds"), "audio_text")
    for number in range(3):
        waves = np.concatenate(sounds[number].waves)
        assert len(waves) == 3 * 16_000
        assert np.allclose(waves[4000:36_000], 0.25, atol=0.02)
        assert not waves[41_000:].any()


@pytest.mark.parametrize("layout", ["F0", "F2"])
def test_large_pictures_are_measured_as_the_tiles_that_they_become(tmp_path, layout):
    """Also one that a camera turned: its header's size is not its shape."""
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (120, 30)).save(turned, "JPEG", exif=exif)
    sizes = [(64, 64), (200, 60), (60, 200)]
    members = [(f"{n}.jpg", picture(9, size)) for n, size in enumerate(sizes)]
    members = [*members, ("3.jpg", turned.getvalue())]
    texts = [(f"{n}.txt", "red") for n in range(4)]
    path = tar_of(tmp_path / "a.tar", sorted([*members, *texts]))
    documents = opened(path, "image_text", ["sequence.tiles=4"], layout=layout)
    lengths = [len(documents.writing.tokens(documents[n]).ids) for n in range(4)]
    assert documents.lengths().tolist() == lengths
    assert len(set(lengths)) > 1


def test_our_own_export_is_read_in_order_and_only_the_assistant_is_learned(tmp_path):
    shards = write_shards(tmp_path / "shards", [clip(n, seconds=2) for n in range(3)])
    export(shards, tmp_path / "out", "chat", "guide", progress=False)
    documents = opened(tmp_path / "out", "image_text", train=("image", "audio", "decoder"))
    assert len(documents) == 3
    assert documents.modalities >= {"image", "text"}
    learned = [i for i in documents[0].items if i.kind == "text" and i.loss]
    assert [item.text for item in learned] == ["red 0", "red 0"]
    only_images = opened(tmp_path / "out", "image_text")
    assert only_images.modalities == {"image", "text"}


@pytest.mark.parametrize("form", ["chat", "llamafactory"])
def test_an_export_in_either_form_gives_the_same_pictures_sounds_and_lines(tmp_path, form):
    """The film's lines stay what they are: without the name and the escapes for other programs."""
    made = clip(0, seconds=2)
    made.record["cues"][0] |= {"text": "<image> red?", "role": "visitor"}
    shards = write_shards(tmp_path / "shards", [made])
    done = export(shards, tmp_path / "out", form, "guide", progress=False)
    documents = opened(done.path, "image_text", train=("image", "audio", "decoder"))
    items = documents[0].items
    texts = [item.text for item in items if item.kind == "text"]
    asked = "<image> red?" if form == "chat" else "visitor: < image> red?"
    assert texts[0] == asked and texts[-1] == "red 0"
    row = json.loads((tmp_path / "out" / f"{form}.jsonl").read_text())
    assert sum(item.kind == "image" for item in items) == len(row["images"])


@pytest.mark.parametrize(
    ("images", "content", "kinds"),
    [
        (["a.png", "a.png"], "<image>red<image>blue", ["image", "text", "image", "text"]),
        (["a.png"], [{"type": "image"}, {"type": "text", "text": "<image>"}], ["image", "text"]),
        (["a.png"], "red <image>", ["text", "image"]),
        (["a.png"], "<image><image>red", "more places for images than `images` has"),
        (["a.png", "a.png"], "red<image>", "fewer places than `images` has"),
    ],
)
def test_strings_with_placeholders_take_the_media_of_the_columns(tmp_path, images, content, kinds):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    answer = {"role": "assistant", "content": "red"}
    row = {"messages": [{"role": "user", "content": content}, answer], "images": images}
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    if isinstance(kinds, str):
        with pytest.raises(InputError, match=f"chat at byte 0 is no chat .*{kinds}"):
            opened(tmp_path / "c.jsonl", "image_text")
        return
    items = opened(tmp_path / "c.jsonl", "image_text")[0].items
    assert [i.kind for i in items if i.kind != "control"] == [*kinds, "text"]


def test_a_question_is_not_supervised_whatever_its_speaker_is_called(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    user = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "red?", "name": "guide"}]
    answer = {"role": "assistant", "content": [{"type": "text", "text": "red"}]}
    row = {"messages": [{"role": "user", "content": user}, answer]}
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    (document,) = [opened(tmp_path / "c.jsonl", "image_text")[0]]
    texts = [(item.text, item.loss) for item in document.items if item.kind == "text"]
    assert texts == [("red?", False), ("red", True)]


def test_what_is_no_pair_is_counted_and_left_out(tmp_path):
    members = [
        ("a.jpg", picture(1)), ("a.txt", "red"), ("b.jpg", picture(1)), ("c.txt", "red"),
        ("d.jpg", picture(1)), ("d.txt", " "), ("e.jpg", picture(1)), ("e.txt", "red " * 400),
        ("f.jpg", picture(1)), ("f.json", '{"title": "red"}'), ("g.cls", "3"),
    ]  # fmt: skip
    documents = opened(tar_of(tmp_path / "a.tar", members), "image_text")
    assert len(documents) == 1
    assert documents.left_out == {
        "without text": 3, "without picture": 1, "longer than a row": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: at / "gone", "data.image_text='.*gone': there is no such file or folder"),
        (lambda at: at, "holds no pairs in a known form; give webdataset tars, a `datasets`"),
        (lambda at: write_shards(at / "s", [clip(0)]), "name it as data.shards"),
        (lambda at: tar_of(at / "empty.tar", []), "no pair that stage omni can use .it is empty"),
        (lambda at: tar_of(at / "x.tar", [("a.txt", "red")]), r"\(1 without picture\)"),
        (lambda at: tar_of(at / "x.tar", [("a.jpg", b"j"), ("a.json", "{")]), "a.json is no JSON"),
        (lambda at: tar_of(at / "x.tar", [("a.jpg", b"j"), ("a.txt", b"\xff")]), "no UTF-8 text"),
    ],
)
def test_a_path_without_pairs_is_refused_in_one_line(tmp_path, make, message):
    with pytest.raises(InputError, match=message) as caught:
        opened(make(tmp_path), "image_text")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [100, 700, 1400])
def test_a_damaged_tar_is_named(tmp_path, size):
    path = tar_of(tmp_path / "a.tar", [("a.jpg", picture(3)), ("a.txt", "red")])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"a.tar: .*(damaged|cut off)"):
        opened(path, "image_text")


def test_a_broken_picture_or_sound_is_named_with_its_tar(tmp_path):
    members = [("a.jpg", picture(3)[:200]), ("a.txt", "red"), ("b.jpg", b"no"), ("b.txt", "red")]
    documents = opened(tar_of(tmp_path / "a.tar", members), "image_text")
    for number, name in enumerate("ab"):
        with pytest.raises(MediaError, match=rf"a.tar: {name}.jpg: is"):
            documents[number]
    tar = tar_of(tmp_path / "b.tar", [("a.wav", b"RIFF no sound"), ("a.txt", "red")])
    with pytest.raises(MediaError, match=r"b.tar: a.wav: is no WAV, FLAC, MP3 or Ogg sound"):
        opened(tar, "audio_text")


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.jpg", "a/../../b.jpg"])
def test_a_chat_reaches_no_file_outside_its_folder(tmp_path, path):
    content = [{"type": "image", "image": path}]
    row = {"messages": [{"role": "user", "content": content}]}
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="chat at byte 0 is no chat .*relative to the file"):
        opened(tmp_path / "c.jsonl", "image_text")


@pytest.mark.parametrize("line", ["{", '{"messages": 3}', '{"text": "red"}', "[]", "7"])
def test_a_line_that_is_no_chat_is_named(tmp_path, line):
    (tmp_path / "c.jsonl").write_text("\n" + line)
    with pytest.raises(InputError, match="c.jsonl: chat at byte 1 is no chat"):
        opened(tmp_path / "c.jsonl", "image_text")


def test_a_data_set_without_the_column_names_those_that_it_has(tmp_path):
    path = hub_folder(tmp_path / "hub", "image")
    with pytest.raises(InputError, match="no column audio; there are image, caption"):
        opened(path, "audio_text")


def test_sources_mix_in_their_ratio_and_a_dry_one_begins_again(tmp_path):
    image = image_tars(tmp_path / "images")
    shards = write_shards(tmp_path / "shards", [clip(n) for n in range(3)])
    config = config_with(image_text=image, shards=shards)
    chosen = stage(sources=("image_text=3", "shards=1"), train=("image",), steps=10)
    data = training_data(config, chosen)
    used = data.consumption()
    assert [used[name].documents for name in used] == [30, 10]
    assert used["shards"].epochs == pytest.approx(10 / 3)
    assert len(data.batch(3).streams.input_ids) == 4


def test_a_sound_whose_channels_cancel_is_not_silent(tmp_path):
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    path = tmp_path / "turned.wav"
    soundfile.write(path, np.stack([wave, -wave], axis=1), 16_000)
    heard = samples(Media(path.name, lambda: path.open("rb")))
    assert np.sqrt((heard**2).mean()) == pytest.approx(0.3 / 2**0.5, rel=0.01)

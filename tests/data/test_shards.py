"""Shards as a source: pieces, lengths without decoding, modalities of a stage, what is left out."""

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from clip_shards import SECOND, clip, config_with, stage, write_shards

from omni_lab.data.shards import ShardDocuments
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import writing_of
from omni_lab.errors import InputError
from omni_lab.triplets.shards.index import Index, ShardEntry, ShardError, digest, read_index
from omni_lab.triplets.shards.stream import ClipStream


def opened(folder, tables=None, changes=None, **settings):
    config = config_with(shards=folder)
    if changes:
        config = replace(config, sequence=replace(config.sequence, **changes))
    chosen = stage(**settings)
    return ShardDocuments(folder, writing_of(config, chosen, build_vocabulary(config)), tables)


def kinds(sequence):
    return Counter(item.kind for item in sequence.items)


VISION = {"name": "vision", "train": ("image", "connector", "decoder")}
AUDIO = {"name": "audio", "train": ("audio", "connector", "decoder")}


@pytest.mark.parametrize("layout", ["stream", "F0", "F2"])
@pytest.mark.parametrize("seconds", [1, 2, 5])
def test_lengths_from_text_records_are_those_of_the_documents(shards, layout, seconds):
    how = {} if layout == "stream" else VISION
    documents = opened(shards, seconds=seconds, layout=layout, **how)
    assert len(documents) == 10 * max(1, 2 // seconds)
    for number, length in enumerate(documents.lengths()):
        assert len(documents.writing.tokens(documents[number]).ids) == length


def test_nothing_is_decoded_to_plan(shards, monkeypatch):
    for name in ("read_clip", "decoded"):
        monkeypatch.setattr(f"omni_lab.data.shards.{name}", None)
    documents = opened(shards)
    assert documents.lengths().sum() > 0
    assert len(documents.order(0)) == 10


def test_a_long_clip_gives_pieces_that_hold_all_of_it_once(tmp_path):
    """7.2 s in pieces of 3 s: 3, 3, and the rest; every cue, frame and sample once."""
    folder = write_shards(tmp_path / "long", [clip(5, seconds=7.2)])
    documents = opened(folder, seconds=3)
    sequences = [documents[number] for number in range(len(documents))]
    assert [kinds(sequence)["audio"] for sequence in sequences] == [3, 3, 1]
    texts = [item.text for s in sequences for item in s.items if item.kind == "text"]
    assert texts == ["red 5"] * 8
    assert [sequence.name for sequence in sequences] == [
        f"film005_{start}_{end}"
        for start, end in ((0, 48_000), (48_000, 96_000), (96_000, 115_200))
    ]
    waves = np.concatenate([wave for sequence in sequences for wave in sequence.waves])
    assert np.allclose(waves, 5 / 32768)


def test_a_cue_that_begins_where_its_film_ends_is_kept(tmp_path):
    late = clip(1, seconds=4)
    late.record["cues"][-1] |= {"start": 4 * SECOND, "end": 4 * SECOND, "text": "goodbye"}
    documents = opened(write_shards(tmp_path / "late", [late]), seconds=2)
    texts = [i.text for n in range(2) for i in documents[n].items if i.kind == "text"]
    assert texts == ["red 1", "red 1", "red 1", "goodbye"]


@pytest.mark.parametrize(
    ("how", "senses"),
    [
        (VISION, {"image"}),
        (AUDIO, {"audio"}),
        ({}, {"image", "audio"}),
        ({"train": ("connector", "decoder")}, {"image", "audio"}),
    ],
)
def test_a_stage_reads_the_modalities_that_it_trains(shards, how, senses):
    documents = opened(shards, **how)
    sequence = documents[0]
    assert set(kinds(sequence)) - {"text", "control"} == senses
    assert documents.modalities == senses | {"text"}
    assert bool(sequence.frames) == ("image" in senses)
    assert bool(sequence.waves) == ("audio" in senses)


def test_frames_are_those_of_the_piece(tmp_path):
    """Each frame has its own grey; only those of the piece are decoded."""
    from clip_shards import picture

    long = replace(clip(0, seconds=4), jpegs=tuple(picture(20 * n) for n in range(8)))
    documents = opened(write_shards(tmp_path / "greys", [long]), seconds=2, **VISION)
    for number, first in ((0, 0), (1, 80)):
        greys = np.array([frames[..., 0].mean((1, 2)) for frames in documents[number].frames])
        assert np.allclose(greys.ravel(), first + np.arange(4) * 20, atol=2)


def test_clips_that_a_stage_cannot_use_are_counted_and_left_out(tmp_path):
    folder = write_shards(
        tmp_path / "mixed",
        [
            clip(0), clip(1, has="image text"), clip(2, has="audio text"), clip(3, has="image audio"),
            clip(4, text="red " * 300), clip(5, has="text"),
        ],
    )  # fmt: skip
    long = "longer than a row"
    assert opened(folder).left_out == {
        "without text": 1, long: 1, "without picture or sound": 1
    }  # fmt: skip
    assert opened(folder, **VISION).left_out == {"without picture": 2, "without text": 1, long: 1}
    audio = opened(folder, **AUDIO)
    assert audio.left_out == {"without sound": 2, "without text": 1, long: 1}
    assert len(audio) == 2
    assert {audio[n].name.split("_")[0] for n in range(2)} == {"film000", "film002"}


def test_an_empty_shard_is_skipped_and_counted(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "copy")
    index = Index.load(folder)
    (folder / "shard-000009.tar").write_bytes(b"\0" * 10_240)
    entry = ShardEntry("shard-000009.tar", 10_240, "0" * 32, digest([]))
    replace(index, shards=(*index.shards, entry)).write(folder)
    documents = opened(folder)
    assert documents.left_out == {"in an empty shard": 1}
    assert len(documents) == 10


def test_the_order_is_that_of_a_clip_stream_where_every_clip_is_one_piece(shards):
    documents = opened(shards)
    stream = ClipStream(shards, seed=documents.seed)
    for epoch in range(3):
        assert documents.order(epoch).tolist() == stream.order(epoch).tolist()


def test_text_without_a_speaker_is_the_models_to_learn(tmp_path):
    folder = write_shards(tmp_path / "nobody", [clip(0, role=None)])
    (sequence,) = [opened(folder)[0]]
    texts = [item for item in sequence.items if item.kind == "text"]
    assert texts and all(item.loss and item.role == "guide" for item in texts)


def test_a_folder_without_text_of_the_models_role_is_refused_with_the_roles_it_has(tmp_path):
    folder = write_shards(tmp_path / "others", [clip(0, role="anna"), clip(1, role="ben")])
    with pytest.raises(InputError, match="no text of role 'guide'.*set .*model_role.*anna, ben"):
        opened(folder)


def test_a_table_of_lengths_is_kept_and_never_used_for_other_settings(
    shards, tmp_path, monkeypatch
):
    tables = tmp_path / "tables"
    first = opened(shards, tables)
    with monkeypatch.context() as patch:
        patch.setattr("omni_lab.data.shards.pieces_of", None)
        again = opened(shards, tables)
        assert again.lengths().tolist() == first.lengths().tolist()
        assert (again.left_out, again.modalities) == (first.left_out, first.modalities)
        for other in ({"seconds": 1}, {"max_tokens": 99}, VISION, {"changes": {"control": "text"}}):
            with pytest.raises(TypeError):
                opened(shards, tables, **other)
    (table,) = tables.iterdir()
    table.write_bytes(table.read_bytes()[:200])
    assert opened(shards, tables).lengths().tolist() == first.lengths().tolist()


def test_a_folder_that_holds_no_usable_clip_is_refused(tmp_path):
    for name, found in (("missing", None), ("bare", [])):
        if found is not None:
            (tmp_path / name).mkdir()
        with pytest.raises(ShardError, match=f"{name}: (there is no such folder|holds no index)"):
            opened(tmp_path / name)
    Index.empty("hash").write(tmp_path / "bare")
    with pytest.raises(InputError, match="bare: a folder of shards without a clip"):
        opened(tmp_path / "bare")
    silent = write_shards(tmp_path / "silent", [clip(n, has="image text") for n in range(3)])
    with pytest.raises(InputError, match="no clip that stage audio can use .3 without sound"):
        opened(silent, **AUDIO)


def test_an_index_of_another_schema_is_refused(tmp_path):
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "other").mkdir()
    table = pyarrow.table({"clip_id": ["a"]})
    pyarrow.parquet.write_table(table, tmp_path / "other" / "index.parquet")
    with pytest.raises(ShardError, match="index.parquet: has no column audio"):
        opened(tmp_path / "other")
    (tmp_path / "other" / "index.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ShardError, match="unreadable as a Parquet index"):
        opened(tmp_path / "other")


def read_all(folder):
    documents = opened(folder)
    return [documents[number] for number in range(len(documents))]


@pytest.mark.parametrize("damage", ["record", "frame", "cut", "missing"])
def test_damage_in_a_tar_is_one_line_with_the_clips_name(shards, tmp_path, damage):
    folder = shutil.copytree(shards, tmp_path / "copy")
    row = read_index(folder)[4]
    tar = folder / row["shard"]
    data = bytearray(tar.read_bytes())
    if damage == "record":
        data[row["offset"] + 512 + 5] ^= 1
    if damage == "frame":
        data[row["offset"] + 512 + 512 * -(-row["sizes"][0] // 512) + 512 + 9] ^= 1
    tar.write_bytes(data[: row["offset"] + 700] if damage == "cut" else data)
    if damage == "missing":
        tar.unlink()
    said = tar.name if damage == "missing" else rf"{tar.name}: {row['clip_id']}\."
    with pytest.raises(ShardError, match=said) as caught:
        read_all(folder)
    assert "\n" not in str(caught.value)

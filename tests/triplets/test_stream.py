"""Data loading from shards: every clip once per epoch over all readers, resumable at any clip."""

import io
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omni_lab.errors import UsageError
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.index import FilmEntry, read_index
from omni_lab.triplets.shards.members import members_of, to_flac
from omni_lab.triplets.shards.stream import ClipStream, clip_rows
from omni_lab.triplets.shards.tars import ShardError, ShardWriter, read_clips, read_shards

FILMS = (1, 3, 2, 2, 4, 1, 1, 5, 2, 3)  # clips of each


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """24 clips in 8 shards."""
    return shards_of(
        tmp_path_factory.mktemp("out"), [f"film{film:02d}" for film in range(len(FILMS))]
    )


def shards_of(folder, films: list[str]):
    """Shards of three clips; clip n lasts (n + 1) · 100 ticks and has one to three frames."""
    picture = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(picture, "JPEG")
    count = 0
    with ShardWriter(folder, "hash", clips_per_shard=3) as writer:
        for film, clips in zip(films, FILMS, strict=True):
            for _ in range(clips):
                clip = made(film, (count + 1) * 100, 1 + count % 3, picture.getvalue())
                writer.add(clip, [data for _, data in members_of(clip)])
                count += 1
            writer.end_film(FilmEntry(film, f"{film}.mp4", clips, 0))
        writer.close()
    return folder


def made(source_id: str, ticks: int, pictures: int, jpeg: bytes) -> EncodedClip:
    record = {
        "clip_id": f"{source_id}_0_{ticks}",
        "source": {"id": source_id, "uri": f"{source_id}.mp4", "errors": []},
        "start": 0, "end": ticks, "frame_times": list(range(pictures)), "cues": [],
        "has": ["image", "audio"], "quality": {}, "facts": [], "config_hash": "hash",
    }  # fmt: skip
    return EncodedClip(record["clip_id"], record, (jpeg,) * pictures, np.zeros(ticks, np.int16))


def ids(stream) -> list[str]:
    return [clip.clip_id for clip in stream]


def test_unshuffled_is_the_order_of_the_index(out):
    expected = [row["clip_id"] for row in read_index(out)]
    assert ids(ClipStream(out, shuffle=False)) == expected == ids(read_shards(out))
    assert len(ClipStream(out)) == len(expected) == sum(FILMS)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 3), st.integers(1, 7), st.integers(1, 9), st.integers(0, 40))
def test_all_readers_together_read_every_clip_once(out, seed, world_size, window, epoch):
    streams = [
        ClipStream(out, seed=seed, rank=rank, world_size=world_size, epoch=epoch, window=window)
        for rank in range(world_size)
    ]
    lengths = [len(stream) for stream in streams]
    read = [ids(stream) for stream in streams]
    assert [len(part) for part in read] == lengths
    assert max(lengths) - min(lengths) <= 1
    assert Counter(clip for part in read for clip in part) == Counter(
        row["clip_id"] for row in read_index(out)
    )


def test_orders_differ_by_seed_and_epoch_and_by_nothing_else(out):
    stream = ClipStream(out, seed=1)
    first, second = ids(stream), ids(stream)
    assert first != second
    assert first == ids(ClipStream(out, seed=1)) != ids(ClipStream(out, seed=2))
    assert second == ids(ClipStream(out, seed=1, epoch=1))
    every_second = [ids(ClipStream(out, seed=1, rank=rank, world_size=2)) for rank in range(2)]
    assert [clip for pair in zip(*every_second, strict=True) for clip in pair] == first


def test_clips_are_mixed_within_a_few_shards(out):
    """A window of two shards: each stretch of the order is of two shards, in mixed order."""
    shards = {row["clip_id"]: row["shard"] for row in read_index(out)}
    read = [shards[clip_id] for clip_id in ids(ClipStream(out, seed=3, window=2))]
    sizes = Counter(read)
    at, mixed = 0, 0
    while at < len(read):
        pair = list(dict.fromkeys(read[at:]))[:2]
        length = sum(sizes[shard] for shard in pair)
        assert set(read[at : at + length]) == set(pair)
        mixed += read[at : at + length] != sorted(read[at : at + length], key=pair.index)
        at += length
    assert mixed


@settings(deadline=None, max_examples=25)
@given(st.integers(0, sum(FILMS)), st.integers(1, 3), st.booleans())
def test_going_on_equals_never_having_stopped(out, stop, world_size, shuffle):
    """At any clip, also the last, and through JSON; the epoch after it is the same too."""
    how = {"seed": 5, "shuffle": shuffle, "rank": world_size - 1, "world_size": world_size}
    whole = ClipStream(out, **how)
    expected = [ids(whole), ids(whole)]
    stream = ClipStream(out, **how)
    reading = iter(stream)
    stop = min(stop, len(expected[0]))
    had = [next(reading).clip_id for _ in range(stop)]
    state = json.loads(json.dumps(stream.state_dict()))
    resumed = ClipStream(out, **how)
    resumed.load_state_dict(state)
    assert len(resumed) == len(expected[0]) - stop
    assert [had + ids(resumed), ids(resumed)] == expected


def test_going_on_with_another_number_of_readers_loses_nothing(out):
    streams = [ClipStream(out, rank=rank, world_size=3) for rank in range(3)]
    readings = [iter(stream) for stream in streams]
    had = [next(reading).clip_id for _ in range(4) for reading in readings]
    rest = []
    for rank in range(2):
        stream = ClipStream(out, rank=rank, world_size=2)
        stream.load_state_dict(streams[0].state_dict())
        rest += ids(stream)
    assert Counter(had + rest) == Counter(row["clip_id"] for row in read_index(out))
    assert had + rest != []


def test_a_state_of_another_order_or_of_other_shards_is_refused(out, tmp_path):
    with pytest.raises(UsageError, match="seed 1, this stream has seed 2"):
        ClipStream(out, seed=2).load_state_dict(ClipStream(out, seed=1).state_dict())
    with pytest.raises(UsageError, match="window 4, this stream has window 1"):
        ClipStream(out, window=1).load_state_dict(ClipStream(out).state_dict())
    with pytest.raises(UsageError, match="shuffle True, this stream has shuffle False"):
        ClipStream(out, shuffle=False).load_state_dict(ClipStream(out).state_dict())
    others = shards_of(tmp_path / "others", [f"other{film}" for film in range(len(FILMS))])
    with pytest.raises(
        UsageError,
        match="the state is of shards .* go on with the stream's own arguments and shards",
    ):
        ClipStream(others).load_state_dict(ClipStream(out).state_dict())
    with pytest.raises(UsageError, match="rank 2 of 2"):
        ClipStream(out, rank=2, world_size=2)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_loader_with_workers_gives_the_same_clips_in_the_same_order(out, rank):
    from torch.utils.data import DataLoader

    expected = ids(ClipStream(out, seed=4, rank=rank, world_size=2))
    stream = ClipStream(out, seed=4, rank=rank, world_size=2)
    loader = DataLoader(stream.for_torch(), batch_size=None, num_workers=2)
    reading = iter(loader)
    had = [next(reading).clip_id for _ in range(5)]
    assert had == expected[:5]
    state = stream.state_dict(consumed=5)  # the workers are further, training is not
    del reading
    stream.load_state_dict(state)
    assert [clip.clip_id for clip in loader] == expected[5:]


def test_a_broken_member_is_named(out, tmp_path):
    import shutil

    copy = shutil.copytree(out, tmp_path / "copy")
    row = read_index(copy)[0]
    path = copy / row["shard"]
    data = bytearray(path.read_bytes())
    data[row["offset"] + 512 + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match=rf"{row['shard']}: {row['clip_id']}\.json is broken"):
        list(ClipStream(copy))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
def test_webdataset_shuffles_and_splits_the_shards_over_ranks(out, monkeypatch):
    """Read as any webdataset: shards over ranks, a shuffle buffer, every clip once."""
    import webdataset

    tars = sorted(map(str, out.glob("*.tar")))
    read = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        data = webdataset.WebDataset(
            tars, shardshuffle=100, seed=1, nodesplitter=webdataset.split_by_node
        )
        part = [sample["__key__"] for sample in data.shuffle(8)]
        assert 0 < len(part) < sum(FILMS)
        read += part
    expected = [row["clip_id"] for row in read_index(out)]
    assert sorted(read) == sorted(expected)
    assert read != expected


def test_datasets_streams_shuffles_and_splits_the_shards(out):
    """Rows from a generator: `load_dataset("webdataset")` needs equal members in all samples."""
    datasets = pytest.importorskip("datasets")
    from datasets.distributed import split_dataset_by_node

    shards = sorted({row["shard"] for row in read_index(out)})
    data = datasets.IterableDataset.from_generator(
        clip_rows, gen_kwargs={"folder": str(out), "shards": shards}
    )
    data = data.shuffle(seed=1, buffer_size=4)
    read = []
    for rank in range(2):
        part = split_dataset_by_node(data, rank=rank, world_size=2)
        read += [row["clip_id"] for row in part]
    expected = [row["clip_id"] for row in read_index(out)]
    assert sorted(read) == sorted(expected)
    assert read != expected


def test_rows_of_equal_columns_hold_every_member_as_it_is_in_the_tar(out):
    rows = list(clip_rows(out))
    assert [row["clip_id"] for row in rows] == [row["clip_id"] for row in read_index(out)]
    for row, clip in zip(rows, read_clips(out), strict=True):
        assert json.loads(row["json"]) == clip.record and tuple(row["jpegs"]) == clip.jpegs
        assert (row["flac"] is None) == (clip.audio is None)
        if clip.audio is not None:
            assert row["flac"] == to_flac(clip.audio)
    first = rows[0]["clip_id"]
    assert next(clip_rows(out, ["shard-000000.tar"]))["clip_id"] == first
    assert not list(clip_rows(out, []))


@pytest.mark.parametrize(("shuffle", "rank", "ranks"), [(True, 0, 1), (True, 1, 3), (False, 2, 3)])
def test_a_clip_by_its_number_is_the_one_that_iteration_gives(out, shuffle, rank, ranks):
    def stream():
        return ClipStream(out, seed=5, shuffle=shuffle, rank=rank, world_size=ranks)

    reader, read = stream(), []
    for _ in range(3):
        read += [clip.clip_id for clip in reader]
    assert [stream().at(number).clip_id for number in range(len(read))] == read


def test_a_rank_without_clips_has_no_first(out):
    with pytest.raises(IndexError):
        ClipStream(out, rank=99, world_size=100).at(0)

"""A stage's data from its sources: the same batches on any number of ranks, resumed or not."""

import re
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from clip_shards import clip, config_with, stage, write_shards

from omni_lab.data.sources import training_data
from omni_lab.errors import InputError, UsageError
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND
from omni_lab.triplets.shards.index import ShardError, read_index


def data_of(folder, **settings):
    return training_data(config_with(shards=folder), stage(**settings))


def films(batch):
    """Numbers of the clips of a batch, as its samples tell them: one for every unit of sound."""
    return [round(float(wave[0]) * 32768) for wave in batch.streams.waves]


def test_a_batch_holds_rows_of_text_pictures_and_sound(shards):
    batch = data_of(shards).batch(0)
    streams = batch.streams
    assert len(streams.input_ids) == 4 and batch.captions is None
    assert streams.frames.shape[0] == streams.waves.shape[0] == 8  # four clips of two units
    assert {IMAGE_KIND, AUDIO_KIND} <= set(streams.kind.flatten().tolist())
    assert int((streams.labels >= 0).sum()) > 0


@pytest.mark.parametrize("packed", [False, True])
def test_ranks_read_disjoint_rows_that_are_together_the_whole_batch(shards, packed):
    for step in (0, 3):
        whole = films(data_of(shards, packed=packed).batch(step))
        for ranks in (2, 4):
            parts = [data_of(shards, packed=packed).batch(step, r, ranks) for r in range(ranks)]
            assert Counter(whole) == sum((Counter(films(part)) for part in parts), Counter())
            rows = [len(part.streams.input_ids) for part in parts]
            assert rows == [4 // ranks] * ranks


def test_every_clip_is_read_once_an_epoch_when_a_run_is_resumed_on_other_ranks(shards):
    """Five steps of four rows are two epochs of ten clips: on 2, then 1, then 4 ranks."""
    read = []
    for steps, ranks in ((range(2), 2), (range(2, 3), 1), (range(3, 5), 4)):
        rank_data = [data_of(shards) for _ in range(ranks)]  # a new process each time
        for step in steps:
            for rank, data in enumerate(rank_data):
                read += films(data.batch(step, rank, ranks))[::2]  # two units a clip
    assert Counter(read) == dict.fromkeys(range(10), 2)
    uninterrupted = [films(data_of(shards).batch(step))[::2] for step in range(5)]
    assert Counter(read[:8]) == Counter(uninterrupted[0] + uninterrupted[1])
    assert Counter(uninterrupted[0] + uninterrupted[1] + uninterrupted[2][:2]) == dict.fromkeys(
        range(10), 1
    )


def test_packed_rows_are_full_and_hold_several_documents(shards):
    data = data_of(shards, packed=True, max_tokens=128)
    streams = data.batch(0).streams
    assert streams.packed
    assert streams.input_ids.shape[1] <= 128
    assert streams.tokens > 0.75 * streams.input_ids.numel()


def test_batches_come_prefetched_and_the_same(shards):
    data = data_of(shards, steps=3)
    for step, batch in enumerate(data.batches(1), 1):
        expected = data_of(shards, steps=3).batch(step)
        for name in ("input_ids", "frames", "waves", "loss_mask"):
            assert torch.equal(getattr(batch.streams, name), getattr(expected.streams, name))
    assert step == 2


@pytest.mark.parametrize("where", ["here", "in the loader's process"])
def test_a_damaged_tar_is_one_typed_line(shards, tmp_path, where):
    folder = shutil.copytree(shards, tmp_path / "copy")
    data = data_of(folder)  # the damage comes after the lengths were counted
    for row in read_index(folder):
        (folder / row["shard"]).write_bytes(b"\0" * 99)
    with pytest.raises(
        ShardError, match=r"shard-\d+.tar: film\d+_0_32000.json is cut off"
    ) as caught:
        next(iter(data.batches(0))) if "loader" in where else data.batch(0)
    assert "\n" not in str(caught.value)


def test_errors_with_constructors_of_their_own_keep_their_type_and_line_across_processes(shards):
    from omni_lab.data.loader import prefetch
    from omni_lab.media.errors import NotPictureError

    def broken(step, rank, ranks):
        raise NotPictureError("a.jpg", "is a broken picture; fetch it again")

    with pytest.raises(NotPictureError, match=r"^a.jpg: is a broken picture; fetch it again$"):
        next(prefetch(broken, range(3), 0, 1))


def test_a_clip_that_changed_since_it_was_measured_is_refused(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "copy")
    data = data_of(folder)
    longer = write_shards(tmp_path / "new", [clip(n, text="red red red red") for n in range(10)])
    for tar in longer.glob("*.tar"):
        shutil.copy(tar, folder / tar.name)
    data.sources["shards"]._clips = data_of(longer).sources["shards"]._clips
    with pytest.raises(ShardError, match="tokens, but .* were planned: the folder changed"):
        data.batch(0)


def test_what_is_left_out_is_said_once_for_every_source(tmp_path, capsys, monkeypatch):
    folder = write_shards(tmp_path / "some", [clip(0), clip(1, has="image audio")])
    data = data_of(folder)
    data.enter(torch.nn.Identity())
    said = capsys.readouterr().err
    assert said == "stage omni, source shards: 1 documents; left out: 1 without text\n"
    monkeypatch.setenv("RANK", "1")
    data.enter(torch.nn.Identity())
    assert not capsys.readouterr().err


def test_a_stage_that_trains_on_sound_refuses_a_source_without(tmp_path):
    folder = write_shards(tmp_path / "silent", [clip(n, has="image text") for n in range(4)])
    with pytest.raises(InputError, match=r"stage omni: it trains part audio, but no sound is in"):
        data_of(folder)


def test_rows_must_divide_over_ranks(shards):
    with pytest.raises(UsageError, match="batch_size=4 does not divide over 3"):
        data_of(shards).batch(0, 0, 3)


def test_what_a_stage_reads_is_known_before_it_starts(shards):
    data = data_of(shards, steps=5)
    (used,) = data.consumption().values()
    assert (used.documents, used.epochs) == (20, 2.0)
    assert used.tokens == 2 * data.sources["shards"].lengths().sum()


def test_a_fingerprint_names_the_data_and_the_settings_that_decide_batches(shards, tmp_path):
    other = write_shards(tmp_path / "other", [clip(n) for n in range(3)])
    prints = [
        data_of(shards).fingerprint, data_of(other).fingerprint,
        data_of(shards, batch_size=2).fingerprint, data_of(shards, seconds=1).fingerprint,
        data_of(shards, packed=True).fingerprint, data_of(shards, name="more").fingerprint,
    ]  # fmt: skip
    assert len(set(prints)) == len(prints)
    assert data_of(shards).fingerprint == prints[0]
    assert data_of(shards, steps=99).fingerprint == prints[0], "a longer stage goes on"


def test_stages_of_other_names_read_in_other_orders(shards):
    first, second = (
        [films(data_of(shards, name=name).batch(step)) for step in range(2)]
        for name in ("omni", "later")
    )
    assert first != second


def test_a_long_film_is_read_second_by_second_in_mixed_order(tmp_path):
    """Pieces of one clip do not all stand in one batch."""
    folder = write_shards(tmp_path / "long", [clip(n, seconds=12) for n in range(4)], per_shard=1)
    data = data_of(folder, seconds=1)
    batches = [set(films(data.batch(step))) for step in range(12)]
    assert np.mean([len(found) for found in batches]) > 2


def test_a_stage_of_packed_pictures_trains(shards, tmp_path):
    """Through the very loop that the gallery uses: the loss falls."""
    from omni_lab.config import override, tiny
    from omni_lab.training.run import RunFolder
    from omni_lab.training.trainer import train

    settings = ["sources=shards", "steps=12", "batch_size=4", "seconds=2", "packed=true"]
    config = override(
        tiny(),
        [f"data.shards={shards}", "training.stages=vision", "training.warmup_steps=2"]
        + [f"training.stages.vision.{one}" for one in settings],
    )
    run = RunFolder(tmp_path / "run", config)
    train(config, run, progress=False)
    losses = [record["loss"] for record in run.metrics()]
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert not re.search("nan", str(losses))

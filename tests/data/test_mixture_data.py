"""A stage's data from a mixture of chats: parts in their order, the same for a longer stage."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from clip_shards import picture
from instruct_data import SPECS, Lessons, format_of, settings_of

from omni_lab.data.instruct.indices import load_mixture, save_mixture
from omni_lab.data.instruct.lessons import MixtureData, open_datasets, steps_at_ends
from omni_lab.data.instruct.mixture import mix
from omni_lab.data.instruct.seen import seen_of
from omni_lab.errors import InputError, UsageError

CONFIG = settings_of()
STAGE = CONFIG.training.stages[-1]


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return Lessons(tmp_path_factory.mktemp("chats"), CONFIG)


def drawn(data, steps):
    return [
        (draw.source, draw.number)
        for step in steps
        for (draw,) in data.plan.rows(step)
    ]  # fmt: skip


def same(one, other):
    return torch.equal(one.streams.input_ids, other.streams.input_ids) and torch.equal(
        one.streams.frames, other.streams.frames
    )


def test_every_part_has_its_mix_and_every_chat_comes_before_any_comes_again(chat):
    assert steps_at_ends(chat.mixture, 4) == (2, 4, 8, 12)
    assert steps_at_ends(chat.mixture, 4, 2) == (2, 4)
    data = chat.of(STAGE, steps=12)
    for first, end in ((0, 2), (2, 4), (4, 8), (8, 12)):
        of = Counter(name for name, _ in drawn(data, range(first, end)))
        assert of["seen"] == 3 * of["told"] == 3 * (end - first)
    read = [number for name, number in drawn(data, range(12)) if name == "seen"]
    assert all(sorted(read[n : n + 5]) == list(range(5)) for n in range(0, 35, 5))
    assert [d.epoch for s in range(12) for (d,) in data.plan.rows(s) if d.source == "told"] == [
        n // 9 for n in range(12)
    ]


def test_a_batch_holds_the_pictures_and_answers_of_its_rows(chat):
    batch = chat.of(STAGE, steps=2).batch(1)
    assert len(batch.streams.input_ids) == len(batch.streams.frames) == 4
    assert int((batch.streams.labels >= 0).sum()) > 4


def test_ranks_read_disjoint_rows_that_are_together_the_whole_batch(chat):
    data = chat(STAGE)
    whole = data.batch(3).streams.waves.shape, data.batch(3).tokens
    parts = [data.batch(3, rank, 2) for rank in range(2)]
    assert sum(part.tokens for part in parts) == whole[1]
    assert [len(part.streams.input_ids) for part in parts] == [2, 2]
    with pytest.raises(UsageError, match="batch_size=4 does not divide over 3"):
        data.batch(3, 0, 3)


def test_a_longer_stage_begins_with_the_batches_of_a_shorter_one_and_is_the_same_data(chat):
    short, long = chat.of(STAGE, steps=4), chat.of(STAGE, steps=12)
    assert all(same(short.batch(step), long.batch(step)) for step in (0, 3))
    assert short.fingerprint == long.fingerprint
    others = [chat.of(STAGE, batch_size=2), chat.of(STAGE, name="more")]
    assert len({short.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_a_stage_may_begin_with_any_part(chat):
    later = MixtureData(STAGE, chat.writing, chat.documents, chat.mixture, first=3)
    assert drawn(later, range(2)) == drawn(chat(STAGE), range(4, 6))
    assert later.fingerprint != chat(STAGE).fingerprint
    with pytest.raises(UsageError, match="no part 5; the mixture has parts 1 to 4"):
        MixtureData(STAGE, chat.writing, chat.documents, chat.mixture, first=5)


def test_the_prefetched_batches_are_the_same(chat):
    data = chat.of(STAGE, steps=2)
    fetched = list(
        MixtureData(data.settings, chat.writing, chat.documents, chat.mixture).batches(1)
    )
    assert len(fetched) == 1 and same(fetched[0], data.batch(1))


def test_what_a_stage_reads_is_told_before_it_starts(chat):
    data = chat.of(STAGE, steps=4)
    lengths = {name: own.lengths() for name, own in chat.documents.items()}
    seen = seen_of(chat.mixture, 16, lengths)
    assert data.summary()["epochs"] == {"seen": 12 / 5, "told": 4 / 9}
    assert data.summary()["tokens"] == sum(own.tokens for own in seen.values())
    assert list(data.fingerprint_parts) == ["source seen", "source told"]


def test_what_a_mixture_cannot_give_is_refused_by_name(chat):
    wrong = "13 steps read 52 samples, parts 1 to 4 hold 48; give the mixture one more part, of 4"
    for settings, words in (
        ({"steps": 13}, wrong),
        ({"packed": True}, "packed=true does not fit a mixture"),
        ({"train": ("audio", "decoder")}, "no sound is in its sources"),
    ):
        with pytest.raises((UsageError, InputError), match=words):
            chat.of(STAGE, **settings)
    with pytest.raises(UsageError, match="part 1 ends after 8 samples, within a batch of 3"):
        steps_at_ends(chat.mixture, 3)
    turned = {"seen": chat.documents["told"], "told": chat.documents["seen"]}
    with pytest.raises(UsageError, match="dataset seen is not the one that the mixture was made"):
        MixtureData(STAGE, chat.writing, turned, chat.mixture)
    with pytest.raises(UsageError, match="unknown source 'films'; on disk there are shards"):
        open_datasets({"seen": ("films", "x")}, chat.writing)


def test_a_saved_mixture_of_chats_goes_on_and_changed_chats_are_refused(chat, tmp_path):
    path = tmp_path / "mixture.json"
    save_mixture(chat.mixture, path)
    found = load_mixture(path, chat.documents)
    data = MixtureData(STAGE, chat.writing, chat.documents, found)
    assert data.fingerprint == chat(STAGE).fingerprint

    chats = shutil.copytree(chat.documents["seen"].path.parent, tmp_path / "seen") / "chat.jsonl"
    chats.write_text("".join(chats.read_text().splitlines(keepends=True)[:-1]))
    fewer = open_datasets({"seen": ("chat", str(chats))}, chat.writing)
    with pytest.raises(InputError, match="dataset seen changed since: 5 samples .* then, 4 .* now"):
        load_mixture(path, chat.documents | fewer)


def test_the_same_chats_under_two_names_are_refused(chat):
    path = str(chat.documents["seen"].path)
    twice = open_datasets(dict.fromkeys(("seen", "told"), ("chat", path)), chat.writing)
    with pytest.raises(InputError, match="datasets seen and told are the same data"):
        mix(twice, SPECS, (8, 8), seed=0)


def test_a_missing_picture_is_one_typed_line(chat, tmp_path):
    folder = shutil.copytree(chat.documents["seen"].path.parent, tmp_path / "seen")
    (folder / "3.jpg").unlink()
    documents = open_datasets({"seen": ("chat", str(folder / "chat.jsonl"))}, chat.writing)
    data = MixtureData(STAGE, chat.writing, documents, mix(documents, ("seen=100",), (24,), 0))
    with pytest.raises(InputError, match="3.jpg") as caught:
        [data.batch(step) for step in range(2)]
    assert "\n" not in str(caught.value)


def mixed_chats(folder, samples=3):
    """Chats in which a picture and a sound, a picture, a sound, and nothing comes before a text."""
    lines = []
    for number in range(samples):
        (folder / f"{number}.jpg").write_bytes(picture(number))
        soundfile.write(folder / f"{number}.flac", np.full(16_000, 0.1 * number), 16_000)
        for asked in ("<image><audio>What?", "<image>What?", "<audio>What?", "What?"):
            columns = {
                f"{kind}s": [f"{number}.{suffix}"] if f"<{kind}>" in asked else []
                for kind, suffix in (("image", "jpg"), ("audio", "flac"))
            }
            answer = {"role": "assistant", "content": f"red {number}"}
            messages = [{"role": "user", "content": asked}, answer]
            lines.append(json.dumps({"messages": messages, **columns}))
    path = folder / "chat.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def test_chats_with_pictures_and_sounds_one_of_them_or_neither_are_one_dataset(tmp_path):
    config = settings_of("training.stages.instruct.train=image,audio,connector,decoder")
    path = mixed_chats(tmp_path)
    documents = open_datasets({"all": ("chat", path)}, format_of(config))
    assert len(documents["all"]) == 12 and not documents["all"].left_out
    assert documents["all"].modalities == {"image", "audio", "text"}
    kinds = [{item.kind for item in documents["all"][n].items} - {"control"} for n in range(4)]
    assert kinds == [{"image", "audio", "text"}, {"image", "text"}, {"audio", "text"}, {"text"}]

    mixture = mix(documents, ("all=100",), (12,), seed=0)
    stage = replace(config.training.stages[-1], steps=3)
    data = MixtureData(stage, format_of(config), documents, mixture)
    batches = [data.batch(step) for step in range(3)]
    for senses in ("frames", "waves"):  # half of the chats have each
        assert sum(len(getattr(batch.streams, senses)) for batch in batches) == 6
    assert all((batch.streams.labels >= 0).any(1).all() for batch in batches)


def test_chats_with_a_sense_that_the_stage_does_not_read_are_left_out_and_told(tmp_path, capsys):
    documents = open_datasets({"all": ("chat", mixed_chats(tmp_path))}, format_of(CONFIG))
    assert len(documents["all"]) == 6
    assert documents["all"].left_out == {"with sound, which the stage does not read": 6}
    mixture = mix(documents, ("all=100",), (24,), seed=0)
    MixtureData(STAGE, format_of(CONFIG), documents, mixture).enter(torch.nn.Identity())
    told = "source all: 6 documents; left out: 6 with sound, which the stage does not read"
    assert told in capsys.readouterr().err


def test_a_folder_without_chats_is_refused_by_name(tmp_path):
    (tmp_path / "a.tar").touch()
    for path in (tmp_path, tmp_path / "a.tar", tmp_path / "none"):
        with pytest.raises(InputError, match="no chats there; give chat messages"):
            open_datasets({"all": ("chat", str(path))}, format_of(CONFIG))

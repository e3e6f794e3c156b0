"""Sources by name, the ratio between them, and the tokenizer of the text: one line where something cannot be."""

from dataclasses import replace

import pytest
from clip_shards import config_with, stage

from omni_lab.config import override, tiny
from omni_lab.data.mixed import SourceData
from omni_lab.data.sources import ratio_of, training_data
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import ConfigError, UsageError
from omni_lab.sequences.vocabulary import HubVocabulary
from omni_lab.triplets.shards.index import ShardError


def test_the_gallery_alone_gives_its_lessons_and_anything_else_its_source(shards):
    config = config_with(shards=shards)
    assert type(training_data(config, config.training.stage("omni"))).__name__ == "GalleryLessons"
    assert not isinstance(training_data(config, stage(sources=("gallery=2",))), SourceData)
    data = training_data(config, stage(sources=("shards=3",)))
    assert isinstance(data, SourceData)
    assert data.ratio == {"shards": 3}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (("shard",), r"stages.omni.sources: unknown source 'shard'; did you mean shards\?"),
        (("films!",), "unknown source 'films!'; there are gallery, shards, image_text"),
        (("shards=0",), "impossible ratio 'shards=0'; a weight is a whole number, 1 or more"),
        (("shards=-1",), "impossible ratio"),
        (("shards=1.5",), "impossible ratio"),
        (("shards=x",), "impossible ratio"),
        (("shards=",), "impossible ratio"),
        (("shards=inf",), "impossible ratio"),
        (("shards", "shards=2"), "shards stands there twice"),
        ((), "is empty; name one or more of gallery"),
    ],
)
def test_names_and_ratios_that_cannot_be_are_refused(sources, message):
    with pytest.raises(ConfigError, match=message) as caught:
        ratio_of(stage(sources=sources))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["shards", "image_text", "audio_text", "chat", "text"])
def test_a_source_without_its_path_names_the_key(name):
    with pytest.raises(ConfigError, match=rf"data.{name} is empty, .* set data.{name}=PATH"):
        training_data(tiny(), stage(sources=(name,)))


def test_a_path_that_is_missing_is_named(tmp_path):
    with pytest.raises(ShardError, match="nowhere: there is no such folder of shards"):
        training_data(config_with(shards=tmp_path / "nowhere"), stage())


def test_the_gallery_does_not_mix_with_others_for_now(shards):
    with pytest.raises(UsageError, match="stage omni: .*the gallery does not mix"):
        training_data(config_with(shards=shards), stage(sources=("gallery", "shards")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layout": "F4"}, "layout F4 has no place for the sound"),
        ({"layout": "haystack"}, "layout 'haystack' is the gallery's alone; use stream"),
        ({"layout": "F4", "train": ("image",)}, "layout F4 needs <im_start> tokens; set"),
    ],
)
def test_a_layout_that_cannot_hold_the_stage_is_refused(shards, settings, message):
    with pytest.raises(UsageError, match=message):
        training_data(config_with(shards=shards), stage(**settings))


def byte_level(eos="<|endoftext|>"):
    """A byte-level BPE tokenizer, trained on one line."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(["red guide red 1 red 2 where is the red triangle"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=eos)


def test_any_tokenizer_of_a_folder_writes_the_text(shards, tmp_path):
    byte_level().save_pretrained(tmp_path / "words")
    config = override(config_with(shards=shards), [f"data.tokenizer={tmp_path / 'words'}"])
    vocabulary = build_vocabulary(config)
    assert isinstance(vocabulary, HubVocabulary)
    batch = training_data(config, stage()).batch(0)
    text = vocabulary.decode(batch.streams.input_ids[0][batch.streams.kind[0] == 2])
    assert text.startswith("red ")


def test_the_chosen_tokenizer_wins_over_the_decoders(tmp_path):
    byte_level().save_pretrained(tmp_path / "words")
    config = override(tiny(), [f"data.tokenizer={tmp_path / 'words'}"])
    decoder = replace(config.model.decoder, pretrained="no/such-model")
    config = replace(config, model=replace(config.model, decoder=decoder))
    assert isinstance(build_vocabulary(config), HubVocabulary)


def test_a_tokenizer_without_the_needed_special_tokens_is_refused(tmp_path):
    byte_level(eos=None).save_pretrained(tmp_path / "endless")
    config = override(tiny(), [f"data.tokenizer={tmp_path / 'endless'}"])
    with pytest.raises(ConfigError, match=r"data.tokenizer=.*without an end-of-text token; set"):
        build_vocabulary(config)


def test_a_folder_that_is_no_tokenizer_is_refused_in_one_line(tmp_path):
    config = override(tiny(), [f"data.tokenizer={tmp_path}"])
    with pytest.raises(ConfigError, match="data.tokenizer=.*cannot be loaded") as caught:
        build_vocabulary(config)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_takes_text_for_special_tokens_is_refused(tmp_path, monkeypatch):
    byte_level().save_pretrained(tmp_path / "words")
    encode = HubVocabulary.encode
    monkeypatch.setattr(
        HubVocabulary,
        "encode",
        lambda self, text: (self.controls["<speak>"],) if "<speak>" in text else encode(self, text),
    )
    config = override(tiny(), [f"data.tokenizer={tmp_path / 'words'}"])
    with pytest.raises(ConfigError, match="data.tokenizer=.* special token becomes one; choose"):
        build_vocabulary(config)

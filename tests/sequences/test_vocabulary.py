"""Tokenizers of the world and of Hugging Face: text round trips, and never control tokens."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import ConfigError, InputError
from omni_lab.sequences.items import IMAGE_END, IMAGE_START, LISTEN, SPEAK, UNIT
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import TEXT_KIND, tokenize
from omni_lab.sequences.vocabulary import (
    AUDIO,
    IMAGE,
    PAD,
    HubVocabulary,
    Vocabulary,
)
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

ENGLISH = "Where is the red triangle? It's top-left; 42 of them, café.\n"
CHINESE = "红色三角形在哪里？它在左上角，一共四十二个。\n"
CONTROLS = (
    PAD,
    UNIT,
    IMAGE,
    AUDIO,
    LISTEN,
    SPEAK,
    "<visitor>",
    "<someone>",
    IMAGE_START,
    IMAGE_END,
)


def trained():
    """Byte-level BPE tokenizer as Qwen's, trained on a few lines, with one special token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        [ENGLISH, CHINESE] * 20, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=["<|im_start|>"]
    )


@pytest.fixture(scope="module")
def hub():
    return HubVocabulary(trained())


@pytest.mark.parametrize(
    "text", [ENGLISH, CHINESE, CHINESE + ENGLISH, "", "  two  spaces ", "a . b , c", "🙂 ﷺ é"]
)
def test_a_tokenizer_gives_chinese_and_english_text_back_as_it_was(hub, text):
    assert hub.decode(hub.encode(text)) == text


@given(st.text(st.characters(codec="utf-8"), max_size=40))
@settings(deadline=None)
def test_any_text_comes_back(hub, text):
    assert hub.decode(hub.encode(text)) == text


@pytest.mark.parametrize("vocabulary", ["hub", "world"])
@pytest.mark.parametrize("text", [*CONTROLS, "<|im_start|>", "say <speak> now", "<<speak>>"])
def test_text_that_looks_like_a_control_token_stays_text(vocabulary, text, request):
    words = request.getfixturevalue("hub") if vocabulary == "hub" else WorldVocabulary("F4")
    controls = {words.control(token) for token in CONTROLS}
    assert not set(words.encode(text)) & controls
    if vocabulary == "hub":
        assert (
            hub_special(words, "<|im_start|>") not in words.encode(text)
            and words.decode(words.encode(text)) == text
        )


def hub_special(words, token):
    return words.tokenizer.convert_tokens_to_ids(token)


def test_both_are_vocabularies_with_one_token_for_every_control(hub):
    for words in (hub, WorldVocabulary("F4")):
        assert isinstance(words, Vocabulary)
        ids = [words.control(token) for token in CONTROLS]
        assert len(set(ids)) == len(ids) and all(0 <= i < len(words) for i in ids)
        assert words.control("<unheard of>") == words.control("<someone>")
        assert words.pieces([words.control(SPEAK)]) == [SPEAK]


def test_control_tokens_are_added_behind_the_tokenizers_own():
    tokenizer = trained()
    before, words = len(tokenizer), tokenizer.encode(ENGLISH)
    vocabulary = HubVocabulary(tokenizer)
    assert list(vocabulary.encode(ENGLISH)) == words
    assert min(vocabulary.controls.values()) == before
    assert len(vocabulary) == len(HubVocabulary(tokenizer)), "adding them twice adds nothing"


def test_the_words_of_the_stream_are_those_that_recorded_models_were_trained_with():
    words = WorldVocabulary().tokens
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()
    assert digest.startswith("4b6c9d150d561f5e"), "their ids would mean other words"
    assert set(words) < set(WorldVocabulary("F4").tokens)


def test_a_stream_is_written_in_either_vocabulary_item_by_item(hub):
    sequence = omni_stream(from_script(write_script(3, 2), 48), tiny().sequence)
    for words in (hub, WorldVocabulary()):
        tokens = tokenize(sequence, words, tiny().sequence)
        for number, item in enumerate(sequence.items):
            ids = tokens.ids[tokens.item == number]
            if item.kind == "text":
                decoded = words.decode(ids)
                # a role that has spoken before goes on after a space
                expected = item.text if words is hub else decoded
                assert (
                    decoded.removeprefix(" ") == expected
                    and (tokens.kind[tokens.item == number] == TEXT_KIND).all()
                )
        assert tokens.vocabulary == len(words) and tokens.ids.max() < len(words)


def test_the_preset_decides_which_vocabulary_and_a_folder_serves_as_well_as_a_name(tmp_path, hub):
    assert build_vocabulary(tiny()).tokens == WorldVocabulary().tokens
    marked = build_vocabulary(override(tiny(), ["sequence.layout=F3"]))
    assert marked.control(IMAGE_START) != marked.control("<someone>")
    trained().save_pretrained(tmp_path / "decoder")
    named = override(tiny(), [f"model.decoder.pretrained={tmp_path / 'decoder'}"])
    loaded = build_vocabulary(named)
    assert isinstance(loaded, HubVocabulary) and loaded.encode(CHINESE) == hub.encode(CHINESE)
    nowhere = override(tiny(), [f"model.decoder.pretrained={tmp_path / 'nothing'}"])
    with pytest.raises(ConfigError, match="tokenizer cannot be loaded"):
        build_vocabulary(nowhere)


def test_ids_out_of_range_are_refused_by_both(hub):
    for words in (hub, WorldVocabulary()):
        for wrong in (len(words), -1):
            with pytest.raises(
                InputError, match=f"^token id {wrong}: .* from 0 to {len(words) - 1}$"
            ):
                words.decode([0, wrong])


@pytest.mark.parametrize(
    ("text", "unknown"),
    [("猫 red", 1), ("café", 1), ("٣ red", 1), ("MÜLLER-Straße", 1), ("red, left.", 0)],
)
def test_a_word_that_the_world_does_not_have_is_unknown_in_any_script(text, unknown):
    assert WorldVocabulary().pieces(WorldVocabulary().encode(text)).count("<unknown>") == unknown


def with_gaps(*ids):
    """Word-level tokenizer with words at these ids, and at 0 and 1, gaps between."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[UNK]": 0, "say": 1, **{f"word{number}": number for number in ids}}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


def test_a_tokenizer_whose_words_would_have_the_ids_of_control_tokens_is_refused():
    with pytest.raises(ConfigError, match="its ids have gaps"):
        HubVocabulary(with_gaps(7))


def test_every_id_of_a_tokenizer_with_gaps_is_in_range():
    words = HubVocabulary(with_gaps(500))
    assert len(words) == 501 and words.decode(words.encode("say word500")) == "say word500"


def test_text_is_written_without_the_beginning_that_a_tokenizer_would_add():
    from tokenizers import processors

    tokenizer = trained()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    begins = [("<s>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=begins
    )
    assert tokenizer.encode("red")[0] == tokenizer.bos_token_id
    words = HubVocabulary(tokenizer)
    assert words.encode("") == () and tokenizer.bos_token_id not in words.encode("<s>red")
    assert words.decode(words.encode("<s>red")) == "<s>red"


@pytest.mark.parametrize(
    "written", ["{}", "[1]", "", '{"version": "1.0", "added_tokens": [], "model": {"type": "?"}}']
)
def test_a_broken_tokenizer_file_is_one_line(tmp_path, written):
    trained().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(written)
    with pytest.raises(
        ConfigError,
        match=r"^model\.decoder\.pretrained='.*': its tokenizer cannot be loaded \(.+\)$",
    ):
        build_vocabulary(override(tiny(), [f"model.decoder.pretrained={tmp_path}"]))

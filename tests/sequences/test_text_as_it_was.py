"""Text that is tokenized item by item reads as one, and what has no role has an end to learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import CONFIG, VOCABULARY, S, clip, cue, settings_of, stream
from tokenizers_like import byte_level, sentencepiece

from omni_lab.config import override, tiny
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.sequences.formats import lay_out
from omni_lab.sequences.items import TEXT_END, Item, Sequence
from omni_lab.sequences.table import table
from omni_lab.sequences.tokens import CONTROL_KIND, TEXT_KIND, tokenize
from omni_lab.sequences.vocabulary import HubVocabulary, encode_after, has_control
from omni_lab.world.vocabulary import WorldVocabulary

TEXTS = ["The cat sat on the mat.", "It was red", "The dog ran."]
PIXELS = np.zeros((48, 48, 3), np.uint8)


@pytest.fixture(scope="module", params=[byte_level, sentencepiece], ids=["bytes", "pieces"])
def words(request):
    return HubVocabulary(request.param())


def config(layout):
    return override(tiny(), [f"sequence.layout={layout}", "sequence.max_tokens=4096"])


def tokens_of(content, layout, vocabulary):
    setting = config(layout)
    return tokenize(lay_out(content, setting), vocabulary, setting.sequence)


def read(tokens, vocabulary, learned=False):
    """The text of a row, all of it or what is learned of it."""
    chosen = (tokens.kind == TEXT_KIND) & (tokens.loss if learned else True)
    return vocabulary.decode(tokens.ids[chosen])


def test_texts_of_a_document_are_lines_and_so_are_prompts(words):
    assert read(tokens_of(TEXTS, "F0", words), words) == "\n".join(TEXTS)
    tokens = tokens_of([PIXELS, "It was red", PIXELS, "The dog ran."], "F2", words)
    assert read(tokens, words) == "image 1\nIt was red\nimage 2\nThe dog ran."
    learned = read(tokens, words, learned=True)
    assert learned.strip() == "It was red\nThe dog ran."


def test_a_prompt_is_a_line_of_its_own_after_any_text(words):
    cues = [Cue(0, 0, "It was", "visitor"), Cue(0, 0, "red", "guide")]
    tokens = tokens_of([PIXELS, *cues, PIXELS, "The dog"], "F2", words)
    assert "red\nimage 2\nThe dog" in read(tokens, words)


def test_text_whose_white_space_stands_there_gets_no_other(words):
    texts = ["The cat\n", "sat", " on the mat.", "\n\nIt was red"]
    said = read(tokens_of(texts, "F0", words), words)
    assert said == "The cat\nsat on the mat.\n\nIt was red"


@pytest.mark.parametrize("role", ["guide", "visitor", None])
@pytest.mark.parametrize("between", [" ", "\n", "  ", "\n\n"])
def test_a_line_that_is_cut_between_units_keeps_what_stood_between_its_words(words, between, role):
    text = between.join(["The dog", "ran.", "It was", "red"])
    timed = tuple(Word(i * S // 2, i * S // 2 + 100, word) for i, word in enumerate(text.split()))
    whole = stream(clip(4, cues=[Cue(0, 4 * S, text, role, words=timed)]))
    units = {item.unit for item in whole.items if item.kind == "text"}
    assert len(units) == 3
    assert read(tokenize(whole, words, CONFIG.sequence), words) == text


@pytest.mark.parametrize("control", ["speak", "text"])
def test_lines_of_one_role_stay_apart_over_units_and_over_what_others_say(words, control):
    cues = [
        cue(0.1, TEXTS[0]),
        cue(0.5, "The mat", "visitor"),
        cue(0.7, "It was red"),
        cue(2.5, TEXTS[2]),
    ]
    setting = settings_of(f"control={control}")
    tokens = tokenize(stream(clip(3, cues=cues), setting), words, setting.sequence)
    assert read(tokens, words, learned=True) == " ".join(TEXTS)
    if control == "text":  # no control token stands between the two
        assert "The mat It was red" in read(tokens, words)


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=5)
)
@settings(deadline=None, max_examples=60)
def test_every_text_is_found_whole_and_in_order_in_what_is_learned(texts):
    words = BYTES
    items = tuple(Item("text", 0, 0, text, "guide", True) for text in texts)
    said = read(tokenize(Sequence("any", items), words, CONFIG.sequence), words)
    at = 0
    for text in texts:
        assert said[at:].removeprefix(" ").startswith(text) or said[at:].startswith(text)
        at = said.index(text, at) + len(text)
    assert at == len(said)


def test_the_first_text_and_text_after_text_have_the_tokens_of_the_whole(words):
    tokens = tokens_of(TEXTS, "F0", words)
    ids = tokens.ids[tokens.kind == TEXT_KIND]
    assert tuple(ids) == words.encode("\n".join(TEXTS))
    assert encode_after(words, " ran.") == words.encode("dog ran.")[len(words.encode("dog")) :]


def test_supervised_text_without_a_role_ends_with_the_tokenizers_end(words):
    end = words.tokenizer.eos_token_id
    tokens = tokens_of(["The cat", "sat", PIXELS, "It was red", PIXELS], "F2", words)
    places = np.flatnonzero(tokens.ids == end)
    assert len(places) == 2 and tokens.loss[places].all()
    assert (tokens.kind[places] == CONTROL_KIND).all()
    assert not (tokens.ids[tokens.kind == TEXT_KIND] == end).any()
    spoken = tokenize(stream(clip(2, cues=[cue(0.1, "It was red")])), words, CONFIG.sequence)
    assert end not in spoken.ids, "a role's text ends with <listen>"
    open_ended = Sequence("piece", (Item("text", 0, 0, "The cat", loss=True),), whole=False)
    assert end not in tokenize(open_ended, words, CONFIG.sequence).ids


def test_an_end_is_added_where_a_tokenizer_has_none_and_no_role_is_called_so():
    endless = HubVocabulary(byte_level(eos=None))
    added = endless.control(TEXT_END)
    assert added == len(endless) - 1 and endless.decode([added]) == TEXT_END
    assert added not in endless.encode(TEXT_END)
    named = stream(clip(2, cues=[cue(0.1, "The dog", "end")]))
    assert added not in tokenize(named, endless, CONFIG.sequence).ids


def test_an_end_shows_in_the_table_as_itself():
    setting = config("F0")
    sequence = lay_out(["The cat sat"], setting)
    rows = table(sequence, tokenize(sequence, BYTES, setting.sequence), BYTES)
    assert rows.endswith('"The cat sat" <|endoftext|>⟧')


def test_the_gallerys_words_give_the_very_tokens_of_each_item_alone():
    """It has no end, and no white space: models that were trained with it read the same rows."""
    vocabulary = WorldVocabulary("F4")
    assert not has_control(vocabulary, TEXT_END) and not has_control(VOCABULARY, TEXT_END)
    cues = [cue(0.1, "Where red?", "visitor"), cue(0.2, "red x"), cue(1.5, "red, left.")]
    contents = [[PIXELS, "red left", "blue", PIXELS, "red"], clip(2, cues=cues)]
    for content, layout in zip(contents, ("F4", "stream"), strict=True):
        setting = config(layout)
        sequence = lay_out(content, setting)
        tokens = tokenize(sequence, vocabulary, setting.sequence)
        for number, item in enumerate(sequence.items):
            if item.kind == "text":
                assert tuple(tokens.ids[tokens.item == number]) == vocabulary.encode(item.text)


BYTES = HubVocabulary(byte_level())

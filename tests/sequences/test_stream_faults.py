"""Clips that lack something, and what no stream can be made of: listed, or refused by name."""

from dataclasses import replace

import pytest
from streams import CONFIG, VOCABULARY, S, clip, cue, settings_of, stream

from omni_lab.config import override, tiny
from omni_lab.errors import ConfigError, InputError
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.sequences.batch import collate
from omni_lab.sequences.items import Item, Sequence, SequenceError
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import (
    NO_ROLE,
    tokenize,
)
from omni_lab.world.vocabulary import WorldVocabulary


def test_a_clip_with_nothing_is_refused_by_name():
    with pytest.raises(SequenceError, match="film_48000_80000: nothing"):
        omni_stream(clip(2, ()), CONFIG.sequence)


@pytest.mark.parametrize("sense", ["image", "audio"])
def test_a_clip_that_claims_a_sense_it_has_nothing_of_is_refused_by_name(sense):
    broken = replace(clip(2, ("text",)), has=frozenset({sense, "text"}))
    with pytest.raises(SequenceError, match=f"film_48000_80000.*{sense}"):
        omni_stream(broken, CONFIG.sequence)


def test_a_clip_too_long_is_refused_by_name_with_both_numbers():
    sequence = stream(clip(40))
    with pytest.raises(SequenceError, match=r"film_48000_688000: 440 tokens, .*256") as raised:
        tokenize(sequence, VOCABULARY, CONFIG.sequence)
    assert isinstance(raised.value, InputError)


@pytest.mark.parametrize("wrong", ["boundary=none", "control=shout", "layout=F7", "grids=any"])
def test_settings_that_do_not_exist_are_refused_with_those_that_do(wrong):
    with pytest.raises(ConfigError, match=f"sequence.{wrong.partition('=')[0]}.*one of"):
        settings_of(wrong)


def test_words_with_times_stand_in_their_own_units():
    end = round(2.4 * S)
    words = (
        Word(S // 2, S - 100, "Red"),
        Word(S + 50, S + 900, "left"),
        Word(2 * S + 10, end, "up"),
    )
    timed = Cue(S // 2, end, "Red left up", "guide", words=words)
    sequence = stream(clip(3, cues=[timed]))
    assert [(i.unit, i.text) for i in sequence.items if i.kind == "text"] == [
        (0, "Red"),
        (1, "left"),
        (2, "up"),
    ]
    whole = stream(clip(3, cues=[replace(timed, words=())]))
    assert [(i.unit, i.text) for i in whole.items if i.kind == "text"] == [(0, "Red left up")], (
        "no times, no guess"
    )


@pytest.mark.parametrize("sense", ["image", "audio", "text"])
def test_what_a_clip_lacks_is_listed(sense):
    has = tuple(s for s in ("image", "audio", "text") if s != sense)
    cues = [cue(0.5, "Red.")] if "text" in has else []
    sequence = stream(clip(2, has, cues))
    assert f"no {sense} in this clip" in sequence.missing and len(sequence.missing) == 1
    assert not any(item.kind == sense for item in sequence.items)
    assert stream(clip(2, cues=[cue(0.5, "Red.")])).missing == ()


def test_silence_that_was_filled_in_is_not_heard_and_a_picture_that_ends_is_not_repeated():
    """Sound from 1.5 s to 2.5 s of 4: the samples around it are padding, by `audio_spans`."""
    whole = clip(4, cues=[cue(0.5, "Red.")])
    spans = {"audio_spans": [[round(1.5 * S), round(2.5 * S)]]}
    early = whole.frame_times < 2 * S
    part = replace(
        whole, quality=spans, frames=whole.frames[early], frame_times=whole.frame_times[early]
    )
    sequence = stream(part)
    assert [i.unit for i in sequence.items if i.kind == "audio"] == [1, 2]
    assert [i.unit for i in sequence.items if i.kind == "image"] == [0, 1]
    assert sequence.missing == ("no image in 2 of 4 units", "no audio in 2 of 4 units")
    later = part.window(2 * S, 4 * S)
    assert later.has == {"audio"} and later.quality["audio_spans"] == [[0, S // 2]]
    assert part.window(3 * S, 4 * S).has == frozenset() and not len(part.window(3 * S, 4 * S).audio)


def test_an_end_shorter_than_half_a_unit_is_left_out_and_listed():
    (message,) = stream(clip(2.4, cues=[cue(0.5, "Red.")])).missing
    assert "0.40 s" in message


def test_a_clip_without_text_is_refused_by_name_unless_it_is_only_looked_at():
    for silent in (clip(2, ("image", "audio")), clip(2)):
        with pytest.raises(SequenceError, match="film_48000_80000: no text"):
            omni_stream(silent, CONFIG.sequence)
        assert stream(silent).items


def test_an_empty_stream_and_a_unit_longer_than_the_context_are_refused_by_name():
    with pytest.raises(SequenceError, match="clip nothing: an empty stream"):
        tokenize(Sequence("nothing", ()), VOCABULARY, CONFIG.sequence)
    with pytest.raises(SequenceError, match="clip nothing: an empty stream"):
        tokenize(Sequence("nothing", (Item("text", 0, 0, "..."),)), VOCABULARY, CONFIG.sequence)
    long = clip(2, cues=[cue(1.1, "red " * 300)])
    with pytest.raises(
        SequenceError, match=r"film_48000_80000: unit 1 alone takes 313 tokens, .* 256"
    ):
        tokenize(stream(long), VOCABULARY, CONFIG.sequence)
    with pytest.raises(SequenceError, match="clip odd: no tokens for an item of kind 'smell'"):
        tokenize(Sequence("odd", (Item("smell", 0, 0),)), VOCABULARY, CONFIG.sequence)


@pytest.mark.parametrize("wrong", [-1, len(VOCABULARY), 10**6])
def test_tokens_out_of_range_are_refused_by_name_and_place(wrong):
    tokens = tokenize(stream(clip(2)), VOCABULARY, CONFIG.sequence)
    tokens.ids[3] = wrong
    with pytest.raises(
        SequenceError,
        match=f"clip film_48000_80000: token 3 has id {wrong}, .*{len(VOCABULARY) - 1}",
    ):
        collate([tokens], CONFIG.sequence, CONFIG.model.image.size)


def test_every_token_knows_whose_it_is():
    cues = [cue(0.1, "Where red?", "visitor"), cue(0.5, "Left."), cue(0.8, "Hm", None)]
    sequence = stream(clip(1, cues=cues))
    tokens = tokenize(sequence, VOCABULARY, CONFIG.sequence)
    names = [None if r == NO_ROLE else tokens.roles[r] for r in tokens.role]
    assert names == [sequence.items[i].role for i in tokens.item] and {
        "guide",
        "visitor",
        None,
    } == set(names)


def test_a_modality_not_in_has_is_not_laid_out_even_if_it_was_measured():
    """The sound is removed, the figures measured with it stay."""
    whole = replace(clip(2, cues=[cue(0.5, "Red.")]), quality={"audio_spans": [[0, 2 * S]]})
    sequence = stream(replace(whole, audio=whole.audio[:0], has=whole.has - {"audio"}))
    assert not any(item.kind == "audio" for item in sequence.items) and sequence.missing == (
        "no audio in this clip",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("你好世界", "你好 世界"),
        ("well – known fact", "well known fact"),
        ("red left up", "red"),
        ("red", "red left"),
    ],
)
def test_words_that_are_not_those_of_the_text_move_none_of_it_out_of_the_unit_where_it_begins(
    text, words
):
    """A recogniser splits words and drops marks: the n-th word need not have the n-th time."""
    timed = [Word(k * S, (k + 1) * S, word) for k, word in enumerate(words.split())]
    sequence = stream(clip(5, cues=[Cue(0, 4 * S, text, "guide", words=tuple(timed))]))
    assert [(i.unit, i.start, i.text) for i in sequence.items if i.kind == "text"] == [(0, 0, text)]


def test_a_document_too_long_is_refused_with_the_name_of_its_parts():
    config = override(tiny(), ["sequence.layout=F4"])
    long = Sequence("album", (Item("text", 0, 0, "red"), Item("text", 0, 0, "red " * 300, unit=1)))
    with pytest.raises(
        SequenceError, match="clip album: part 1 alone takes 300 tokens, .* 256; take fewer tokens"
    ):
        tokenize(long, WorldVocabulary("F4"), config.sequence)

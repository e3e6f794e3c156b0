"""Omni stream of a clip: order, times, loss mask, missing modalities, and vocabulary."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import TICKS_PER_SECOND, override, tiny
from omni_lab.errors import ConfigError, InputError
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import PAD_KIND, collate, make_batch
from omni_lab.sequences.items import LISTEN, SPEAK, UNIT, Item, Sequence, SequenceError
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import (
    AUDIO_KIND,
    CONTROL_KIND,
    IMAGE_KIND,
    NO_ROLE,
    TEXT_KIND,
    tokenize,
)
from omni_lab.sequences.vocabulary import AUDIO, IMAGE, UNKNOWN
from omni_lab.triplets.record import Triplet
from omni_lab.world.clips import described, from_script
from omni_lab.world.dialogue import dialogue
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import FACTS
from omni_lab.world.script import SPOKEN
from omni_lab.world.vocabulary import WorldVocabulary

S = TICKS_PER_SECOND
VOCABULARY = WorldVocabulary()
CONFIG = tiny()


def clip(seconds=2.0, has=("image", "audio", "text"), cues=(), size=48, per_second=2.0):
    """A clip whose frame k is filled with k and whose sample i is i / 10⁶, to recognise them."""
    ticks = round(seconds * S)
    count = max(1, int(seconds * per_second)) if "image" in has else 0
    return Triplet(
        source_id="film",
        start=3 * S,
        end=3 * S + ticks,
        frames=np.arange(count, dtype=np.uint8)[:, None, None, None]
        * np.ones((1, size, size, 3), np.uint8),
        frame_times=((np.arange(count) + 0.5) / per_second * S).astype(np.int64),
        audio=(np.arange(ticks if "audio" in has else 0) / 1e6).astype(np.float32),
        cues=tuple(cues),
        has=frozenset(has),
    )


def cue(start_s, text, role="guide", seconds=0.2):
    return Cue(round(start_s * S), round((start_s + seconds) * S), text, role)


def stream(triplet, config=CONFIG):
    return omni_stream(triplet, config.sequence, supervised=False)


def kinds(sequence):
    return [item.text if item.kind == "control" else item.kind for item in sequence.items]


def test_the_stream_holds_image_audio_and_text_of_every_second_in_turn():
    sequence = omni_stream(
        clip(2, cues=[cue(0.1, "Colour top-left?", "visitor"), cue(1.5, "Red.")]), CONFIG.sequence
    )
    assert kinds(sequence) == [
        UNIT, "image", "audio", LISTEN, "<visitor>", "text",
        UNIT, "image", "audio", LISTEN, SPEAK, "text", LISTEN,
    ]  # fmt: skip
    assert [item.unit for item in sequence.items] == [0] * 6 + [1] * 7
    starts = [item.start for item in sequence.items if item.kind == "image"]
    assert starts == [0, S]


def test_only_the_models_role_and_its_turns_are_supervised():
    cues = [
        cue(0.1, "Where red?", "visitor"),
        cue(0.5, "Top-left."),
        cue(1.2, "Hello there", None),
        cue(1.5, "Hm", "x"),
    ]
    sequence = omni_stream(clip(2, cues=cues), CONFIG.sequence)
    supervised = [item.text for item in sequence.items if item.loss]
    assert supervised == [LISTEN, SPEAK, "Top-left.", LISTEN, LISTEN]
    tokens = tokenize(sequence, VOCABULARY, CONFIG.sequence)
    assert set(tokens.kind[tokens.loss]) == {TEXT_KIND, CONTROL_KIND}
    words = [VOCABULARY.tokens[i] for i in tokens.ids[tokens.loss & (tokens.kind == TEXT_KIND)]]
    assert words == ["top-left"]
    other = override(tiny(), ["sequence.model_role=visitor"])
    asks = omni_stream(clip(2, cues=cues), other.sequence)
    assert [i.text for i in asks.items if i.loss and i.kind == "text"] == ["Where red?"]


@pytest.mark.parametrize(
    "has",
    [("image", "text"), ("audio", "text"), ("text",), ("image", "audio"), ("image",), ("audio",)],
)
def test_a_missing_sense_leaves_a_stream_and_no_tokens_of_its_kind(has):
    cues = [cue(0.1, "Where red?", "visitor"), cue(0.5, "Top-left.")] if "text" in has else []
    tokens = tokenize(stream(clip(2, has, cues)), VOCABULARY, CONFIG.sequence)
    counts = {
        kind: int((tokens.kind == kind).sum()) for kind in (IMAGE_KIND, AUDIO_KIND, TEXT_KIND)
    }
    assert counts == {
        IMAGE_KIND: 8 * ("image" in has),
        AUDIO_KIND: 10 * ("audio" in has),
        TEXT_KIND: 3 * ("text" in has),
    }
    batch = collate([tokens], CONFIG.sequence, CONFIG.model.image.size)
    assert batch.frames.shape == (2 * ("image" in has), 2, 48, 48, 3) and batch.waves.shape == (
        2 * ("audio" in has),
        S,
    )


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


@pytest.mark.parametrize(("seconds", "units"), [(0.2, 1), (1.49, 1), (1.5, 2), (2.4, 2), (7.5, 8)])
def test_a_last_unit_counts_from_half_its_length(seconds, units):
    late = cue(seconds - 0.05, "Red.", seconds=0.04)
    sequence = omni_stream(clip(seconds, cues=[late]), CONFIG.sequence)
    assert max(item.unit for item in sequence.items) == units - 1
    assert sum(item.kind == "text" for item in sequence.items) == 1, (
        "what is written at the very end is kept"
    )


def test_every_unit_sees_its_own_frames_and_hears_its_own_samples():
    tokens = tokenize(stream(clip(3.6)), VOCABULARY, CONFIG.sequence)
    assert [unit[:, 0, 0, 0].tolist() for unit in tokens.frames] == [[0, 1], [2, 3], [4, 5], [6, 6]]
    assert [round(float(wave[0]) * 1e6) for wave in tokens.waves] == [0, S, 2 * S, 3 * S]
    assert all(len(wave) == S for wave in tokens.waves)
    assert tokens.waves[3][-1] == 0, "the end of the last unit is silence"


@pytest.mark.parametrize(
    ("per_second", "seen"),
    [
        (2.0, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (4.0, [[1, 3], [5, 7], [9, 11], [13, 15]]),
        (1.0, [[0, 0], [1, 1], [2, 2], [3, 3]]),
        # pictures in units 1 and 3 only: the others cost no tokens
        (0.5, [[0, 0], [1, 1]]),
    ],
)
def test_films_of_any_frame_rate_give_a_unit_its_frames(per_second, seen):
    tokens = tokenize(stream(clip(4, per_second=per_second)), VOCABULARY, CONFIG.sequence)
    got = [unit[:, 0, 0, 0].tolist() for unit in tokens.frames]
    assert got == seen


texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["Red.", "<speak>", "<image><pad>", "42", ""]
)
roles = st.sampled_from(["guide", "visitor", None, "speak", "image", "MÜLLER"])
foreign_cues = st.lists(st.tuples(st.integers(0, 5 * S), texts, roles), max_size=4)


@given(foreign_cues, st.sampled_from([("text",), ("image", "text"), ("image", "audio", "text")]))
@settings(max_examples=60, deadline=None)
def test_any_subtitles_make_a_stream_whose_units_follow_time(drawn, has):
    cues = [
        Cue(start, 5 * S, text, role) for start, text, role in sorted(drawn, key=lambda cue: cue[0])
    ]
    sequence = stream(clip(5, has, cues, size=8))
    units = [item.unit for item in sequence.items]
    assert units == sorted(units) and max(units) == 4
    for item in sequence.items:
        if item.kind == "text":
            assert item.unit == min(item.start // S, 4)

    tokens = tokenize(sequence, VOCABULARY, CONFIG.sequence)
    assert (
        len(tokens.ids)
        == len(tokens.kind)
        == len(tokens.loss)
        == len(tokens.unit)
        == len(tokens.item)
    )
    text = [VOCABULARY.tokens[i] for i in tokens.ids[tokens.kind == TEXT_KIND]]
    assert all(not word.startswith("<") or word == UNKNOWN for word in text), (
        "a film's text never becomes a control token"
    )

    assert (tokens.ids[tokens.kind == IMAGE_KIND] == VOCABULARY.ids[IMAGE]).all()
    assert (tokens.ids[tokens.kind == AUDIO_KIND] == VOCABULARY.ids[AUDIO]).all()
    roles = {i.text for i in sequence.items if i.kind == "control"} - {UNIT, LISTEN, SPEAK}
    assert VOCABULARY.ids[SPEAK] not in {VOCABULARY.control(r) for r in roles}, (
        "no role speaks for the model"
    )


def test_the_vocabulary_knows_everything_the_world_writes():
    unknown = VOCABULARY.ids[UNKNOWN]
    written = {f"{fact} {word}" for word in SPOKEN for fact in ("note", "word")}
    written |= {answer for _, answers, _ in FACTS.values() for answer in answers}
    for seed in range(40):
        script = write_script(seed, 4)
        written |= {line.text for lines, _ in dialogue(script) for line in lines}
        whole = from_script(script, 8)
        clips = [described(whole, script, s, "image", o) for s in (0, 1) for o in range(4)]
        clips += [described(whole, script, s, "audio") for s in (0, 1)]
        written |= {c.text for made in clips for c in made.cues}
    for text in written - {"."}:  # a caption of things without names
        ids = VOCABULARY.encode(text)
        assert ids and unknown not in ids, text
        plain = " ".join(
            " ".join(w) if w.isdigit() else w
            for w in text.lower().replace(",", "").rstrip("?.").split()
        )
        assert VOCABULARY.decode(ids) == plain
        assert VOCABULARY.encode(VOCABULARY.decode(ids)) == ids


def test_the_vocabulary_has_no_word_twice_and_the_same_order_every_time():
    assert len(set(VOCABULARY.tokens)) == len(VOCABULARY) == len(VOCABULARY.ids)
    assert WorldVocabulary().tokens == VOCABULARY.tokens
    assert VOCABULARY.ids["<pad>"] == 0, "padding is written as 0"


def test_ids_outside_the_vocabulary_are_refused():
    for ids in ([len(VOCABULARY)], [-1]):
        with pytest.raises(InputError, match=f"from 0 to {len(VOCABULARY) - 1}"):
            VOCABULARY.decode(ids)


def test_a_batch_pads_on_the_right_and_keeps_every_row():
    script = write_script(0, 4)
    sequences = [
        omni_stream(from_script(script, 48, senses=senses), CONFIG.sequence)
        for senses in (("image", "audio", "text"), ("text",), ("audio", "text"))
    ]
    rows = [tokenize(s, VOCABULARY, CONFIG.sequence) for s in sequences]
    batch = make_batch(sequences, VOCABULARY, CONFIG.sequence, CONFIG.model.image.size)
    width = max(len(r.ids) for r in rows)
    for index, row in enumerate(rows):
        n = len(row.ids)
        assert batch.input_ids[index, :n].tolist() == row.ids.tolist()
        assert (batch.kind[index, n:] == PAD_KIND).all() and not batch.loss_mask[index, n:].any()
        assert (batch.kind[index, :n] != PAD_KIND).all()
    assert batch.input_ids.shape == (3, width) and batch.tokens == sum(len(r.ids) for r in rows)
    assert len(batch.frames) == 4 and len(batch.waves) == 8
    assert int((batch.kind == IMAGE_KIND).sum()) == CONFIG.sequence.image_tokens * len(batch.frames)
    assert int((batch.kind == AUDIO_KIND).sum()) == CONFIG.sequence.audio_tokens * len(batch.waves)


def test_frames_of_any_size_come_to_the_encoders_by_area():
    script = write_script(0, 2)
    small = make_batch(
        [omni_stream(from_script(script, 48, noisy=False), CONFIG.sequence)],
        VOCABULARY,
        CONFIG.sequence,
        CONFIG.model.image.size,
    )
    large = make_batch(
        [omni_stream(from_script(script, 240, noisy=False), CONFIG.sequence)],
        VOCABULARY,
        CONFIG.sequence,
        CONFIG.model.image.size,
    )
    assert large.frames.shape == small.frames.shape and large.frames.dtype == torch.uint8
    assert (small.frames.float() - large.frames.float()).abs().mean() < 1.5


def settings_of(*settings):
    return override(tiny(), [f"sequence.{setting}" for setting in settings])


@pytest.mark.parametrize(("unit_s", "units"), [(0.1, 20), (0.2, 10), (1.0, 2)])
def test_a_unit_may_be_shorter_and_is_then_seen_where_a_frame_falls_into_it(unit_s, units):
    config = settings_of(f"unit_s={unit_s}", "frames_per_unit=1", "max_tokens=4096")
    sequence = stream(clip(2, cues=[cue(0.1, "Red.")]), config)
    assert sum(item.kind == "audio" for item in sequence.items) == units
    assert sum(item.kind == "image" for item in sequence.items) == min(units, 4), (
        "no frame, no tokens"
    )
    tokens = tokenize(sequence, VOCABULARY, config.sequence)
    sound = tokens.time[tokens.kind == AUDIO_KIND]
    assert np.allclose(np.diff(sound), unit_s * S / 5, atol=1), (
        "a token a fifth of a unit, evenly over the clip"
    )
    torch.manual_seed(0)
    model = OmniModel.build(config.model, config.sequence, len(VOCABULARY)).eval()
    with torch.no_grad():
        assert (
            forward_batch(model, collate([tokens], config.sequence, config.model.image.size))
            .losses.isfinite()
            .all()
        )


def test_an_implicit_boundary_writes_no_unit_tokens_and_changes_nothing_else():
    cues = [cue(0.1, "Where red?", "visitor"), cue(1.5, "Red.")]
    explicit, implicit = (
        stream(clip(2, cues=cues), settings_of(f"boundary={b}")) for b in ("explicit", "implicit")
    )
    assert [i for i in explicit.items if i.text != UNIT] == list(implicit.items)
    assert len(explicit.items) == len(implicit.items) + 2


def test_text_control_begins_to_write_where_listening_could_stand():
    cues = [cue(0.1, "Red."), cue(1.1, "Where red?", "visitor"), cue(1.5, "Left.")]
    sequence = stream(clip(3, cues=cues), settings_of("control=text"))
    assert kinds(sequence) == [
        UNIT, "image", "audio", "text", LISTEN,
        UNIT, "image", "audio", LISTEN, "<visitor>", "text", "text", LISTEN,
        UNIT, "image", "audio", LISTEN,
    ]  # fmt: skip
    assert [i.text for i in sequence.items if i.loss] == [
        "Red.",
        LISTEN,
        LISTEN,
        "Left.",
        LISTEN,
        LISTEN,
    ]


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

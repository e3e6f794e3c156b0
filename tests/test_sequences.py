"""From a clip to tokens: order, times, what is supervised, what a missing sense leaves out, and the vocabulary."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import TICKS_PER_SECOND, override, tiny
from omni_lab.errors import InputFault
from omni_lab.media.subtitles import Cue
from omni_lab.sequences.batch import PAD_KIND, collate, make_batch
from omni_lab.sequences.items import LISTEN, SPEAK, UNIT, SequenceFault
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import AUDIO_KIND, CONTROL_KIND, IMAGE_KIND, TEXT_KIND, tokenize
from omni_lab.sequences.vocabulary import AUDIO, IMAGE, UNKNOWN, WorldVocabulary
from omni_lab.triplets.record import Triplet
from omni_lab.triplets.scripted import described, from_script
from omni_lab.world.dialogue import dialogue
from omni_lab.world.questions import FACTS
from omni_lab.world.script import SPOKEN, write_script

S = TICKS_PER_SECOND
VOCABULARY = WorldVocabulary()
CONFIG = tiny()


def clip(seconds=2.0, has=("image", "audio", "text"), cues=(), size=48, per_second=2.0):
    """A clip whose frame k is filled with k and whose sample i is i / 10⁶, so that every piece can be recognised."""
    ticks = round(seconds * S)
    count = max(1, int(seconds * per_second)) if "image" in has else 0
    return Triplet(
        source_id="film",
        start=3 * S,
        end=3 * S + ticks,
        frames=np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, size, size, 3), np.uint8),
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


def test_the_stream_tells_second_by_second_what_is_seen_heard_and_written():
    sequence = omni_stream(clip(2, cues=[cue(0.1, "Colour top-left?", "visitor"), cue(1.5, "Red.")]), CONFIG.sequence)
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
    tokens = tokenize(sequence, VOCABULARY, CONFIG)
    assert set(tokens.kind[tokens.loss]) == {TEXT_KIND, CONTROL_KIND}
    words = [VOCABULARY.tokens[i] for i in tokens.ids[tokens.loss & (tokens.kind == TEXT_KIND)]]
    assert words == ["top-left"]
    other = override(tiny(), ["sequence.model_role=visitor"])
    asks = omni_stream(clip(2, cues=cues), other.sequence)
    assert [i.text for i in asks.items if i.loss and i.kind == "text"] == ["Where red?"]


@pytest.mark.parametrize(
    "has", [("image", "text"), ("audio", "text"), ("text",), ("image", "audio"), ("image",), ("audio",)]
)
def test_a_missing_sense_leaves_a_stream_and_no_tokens_of_its_kind(has):
    cues = [cue(0.1, "Where red?", "visitor"), cue(0.5, "Top-left.")] if "text" in has else []
    tokens = tokenize(stream(clip(2, has, cues)), VOCABULARY, CONFIG)
    counts = {kind: int((tokens.kind == kind).sum()) for kind in (IMAGE_KIND, AUDIO_KIND, TEXT_KIND)}
    assert counts == {
        IMAGE_KIND: 8 * ("image" in has),
        AUDIO_KIND: 10 * ("audio" in has),
        TEXT_KIND: 3 * ("text" in has),
    }
    batch = collate([tokens], CONFIG)
    assert batch.frames.shape == (2 * ("image" in has), 2, 48, 48, 3) and batch.waves.shape == (2 * ("audio" in has), S)


def test_a_clip_with_nothing_is_refused_by_name():
    with pytest.raises(SequenceFault, match="film_48000_80000: nothing"):
        omni_stream(clip(2, ()), CONFIG.sequence)


@pytest.mark.parametrize("sense", ["image", "audio"])
def test_a_clip_that_claims_a_sense_it_has_nothing_of_is_refused_by_name(sense):
    broken = replace(clip(2, ("text",)), has=frozenset({sense, "text"}))
    with pytest.raises(SequenceFault, match=f"film_48000_80000.*{sense}"):
        omni_stream(broken, CONFIG.sequence)


def test_a_clip_too_long_is_refused_by_name_with_both_numbers():
    sequence = stream(clip(40))
    with pytest.raises(SequenceFault, match=r"film_48000_688000: 440 tokens, .*256") as fault:
        tokenize(sequence, VOCABULARY, CONFIG)
    assert isinstance(fault.value, InputFault)


@pytest.mark.parametrize(("seconds", "units"), [(0.2, 1), (1.49, 1), (1.5, 2), (2.4, 2), (7.5, 8)])
def test_a_last_unit_counts_from_half_its_length(seconds, units):
    late = cue(seconds - 0.05, "Red.", seconds=0.04)
    sequence = omni_stream(clip(seconds, cues=[late]), CONFIG.sequence)
    assert max(item.unit for item in sequence.items) == units - 1
    assert sum(item.kind == "text" for item in sequence.items) == 1, "what is written at the very end is kept"


def test_every_unit_sees_its_own_frames_and_hears_its_own_samples():
    tokens = tokenize(stream(clip(3.6)), VOCABULARY, CONFIG)
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
        (0.5, [[0, 0], [1, 1]]),  # units 1 and 3: the others have no picture of their own, and cost no tokens
    ],
)
def test_films_of_any_frame_rate_give_a_unit_its_frames(per_second, seen):
    tokens = tokenize(stream(clip(4, per_second=per_second)), VOCABULARY, CONFIG)
    got = [unit[:, 0, 0, 0].tolist() for unit in tokens.frames]
    assert got == seen


texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["Red.", "<speak>", "<image><pad>", "42", ""]
)
roles = st.sampled_from(["guide", "visitor", None, "speak", "image", "MÜLLER"])
foreign_cues = st.lists(st.tuples(st.integers(0, 5 * S), texts, roles), max_size=4)


@given(foreign_cues, st.sampled_from([("text",), ("image", "text"), ("image", "audio", "text")]))
@settings(max_examples=60, deadline=None)
def test_any_subtitles_make_a_stream_whose_units_follow_time(said, has):
    cues = [Cue(start, 5 * S, text, role) for start, text, role in sorted(said, key=lambda cue: cue[0])]
    sequence = stream(clip(5, has, cues, size=8))
    units = [item.unit for item in sequence.items]
    assert units == sorted(units) and max(units) == 4
    for item in sequence.items:
        if item.kind == "text":
            assert item.unit == min(item.start // S, 4)
    tokens = tokenize(sequence, VOCABULARY, CONFIG)
    assert len(tokens.ids) == len(tokens.kind) == len(tokens.loss) == len(tokens.unit) == len(tokens.item)
    text = [VOCABULARY.tokens[i] for i in tokens.ids[tokens.kind == TEXT_KIND]]
    assert all(not word.startswith("<") or word == UNKNOWN for word in text), (
        "a film's text cannot write control tokens"
    )
    assert (tokens.ids[tokens.kind == IMAGE_KIND] == VOCABULARY.ids[IMAGE]).all()
    assert (tokens.ids[tokens.kind == AUDIO_KIND] == VOCABULARY.ids[AUDIO]).all()
    roles = {i.text for i in sequence.items if i.kind == "control"} - {UNIT, LISTEN, SPEAK}
    assert VOCABULARY.ids[SPEAK] not in {VOCABULARY.control(r) for r in roles}, "a role cannot speak for the model"


def test_the_vocabulary_knows_everything_the_world_can_say():
    unknown = VOCABULARY.ids[UNKNOWN]
    said = {f"{fact} {word}" for word in SPOKEN for fact in ("note", "word")}
    said |= {answer for _, answers, _ in FACTS.values() for answer in answers}
    for seed in range(40):
        script = write_script(seed, 4)
        said |= {line.text for lines, _ in dialogue(script) for line in lines}
        whole = from_script(script, 8)
        clips = [described(whole, script, s, "image", o) for s in (0, 1) for o in range(4)]
        clips += [described(whole, script, s, "audio") for s in (0, 1)]
        said |= {c.text for made in clips for c in made.cues}
    for text in said - {"."}:  # a caption of things without names
        ids = VOCABULARY.encode(text)
        assert ids and unknown not in ids, text
        plain = " ".join(" ".join(w) if w.isdigit() else w for w in text.lower().replace(",", "").rstrip("?.").split())
        assert VOCABULARY.decode(ids) == plain
        assert VOCABULARY.encode(VOCABULARY.decode(ids)) == ids


def test_the_vocabulary_has_no_word_twice_and_the_same_order_every_time():
    assert len(set(VOCABULARY.tokens)) == len(VOCABULARY) == len(VOCABULARY.ids)
    assert WorldVocabulary().tokens == VOCABULARY.tokens
    assert VOCABULARY.ids["<pad>"] == 0, "padding is written as 0"


def test_ids_outside_the_vocabulary_are_refused():
    for ids in ([len(VOCABULARY)], [-1]):
        with pytest.raises(InputFault, match=f"from 0 to {len(VOCABULARY) - 1}"):
            VOCABULARY.decode(ids)


def test_a_batch_pads_on_the_right_and_keeps_every_row():
    script = write_script(0, 4)
    sequences = [
        omni_stream(from_script(script, 48, senses=senses), CONFIG.sequence)
        for senses in (("image", "audio", "text"), ("text",), ("audio", "text"))
    ]
    rows = [tokenize(s, VOCABULARY, CONFIG) for s in sequences]
    batch = make_batch(sequences, VOCABULARY, CONFIG)
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
    small = make_batch([omni_stream(from_script(script, 48, noisy=False), CONFIG.sequence)], VOCABULARY, CONFIG)
    large = make_batch([omni_stream(from_script(script, 240, noisy=False), CONFIG.sequence)], VOCABULARY, CONFIG)
    assert large.frames.shape == small.frames.shape and large.frames.dtype == torch.uint8
    assert (small.frames.float() - large.frames.float()).abs().mean() < 1.5

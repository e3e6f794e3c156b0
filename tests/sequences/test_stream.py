"""Omni stream of a clip: order, times, loss mask, missing modalities, and vocabulary."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import CONFIG, VOCABULARY, S, clip, cue, kinds, settings_of, stream

from omni_lab.config import override, tiny
from omni_lab.media.subtitles.reader import Cue
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import collate
from omni_lab.sequences.items import LISTEN, SPEAK, UNIT
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import (
    AUDIO_KIND,
    CONTROL_KIND,
    IMAGE_KIND,
    TEXT_KIND,
    tokenize,
)
from omni_lab.sequences.vocabulary import AUDIO, IMAGE, UNKNOWN


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

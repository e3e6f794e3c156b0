"""Vocabulary and batches: ids are stable, rows are padded on the right, frames come by area."""

import pytest
import torch
from streams import CONFIG, VOCABULARY

from omni_lab.errors import InputError
from omni_lab.sequences.batch import PAD_KIND, make_batch
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import (
    AUDIO_KIND,
    IMAGE_KIND,
    tokenize,
)
from omni_lab.sequences.vocabulary import UNKNOWN
from omni_lab.world.clips import described, from_script
from omni_lab.world.dialogue import dialogue
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import FACTS
from omni_lab.world.script import SPOKEN
from omni_lab.world.vocabulary import WorldVocabulary


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

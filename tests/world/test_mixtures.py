"""Mixtures of the gallery: how often facts are asked, rooms that are lost, clips of one modality."""

from collections import Counter

import numpy as np
import pytest
from stage_data import lessons_of

from omni_lab.config import override, tiny
from omni_lab.data.sources import training_data
from omni_lab.errors import UsageError
from omni_lab.sequences.batch import PAD_KIND
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.gallery_lessons import in_turn

OMNI = "training.stages.omni"


def asked(*settings):
    config = override(tiny(), [f"world.asked={','.join(settings)}"] if settings else [])
    scripts = [write_script(seed, 4, config.world) for seed in range(60)]
    return Counter(q.fact for script in scripts for q in script.questions)


def test_facts_are_asked_as_often_as_their_weights_say():
    plain, more = asked(), asked("sign=20", "word=0")
    assert more["word"] == 0 < plain["word"] and more["sign"] > 1.2 * plain["sign"]
    assert asked("word=3") == plain  # the weight that it has anyway


@pytest.mark.parametrize("spec", ["smell=1", "word", "word=much", "word=-1", "word=inf"])
def test_weights_that_cannot_be_are_refused_with_the_facts_there_are(spec):
    with pytest.raises(UsageError, match=r"world\.asked = .* FACT=WEIGHT, .* colour"):
        asked(spec)


def test_a_lost_room_is_noise_alone_and_the_others_are_as_they_were():
    world = override(tiny(), ["world.image_lost=.5", "world.audio_lost=.5"]).world
    plain = override(tiny(), []).world
    lost = Counter()
    for seed in range(30):
        script = write_script(seed, 4, plain)
        whole, part = from_script(script, 48, plain), from_script(script, 48, world)
        for sense, media in (("image", "frames"), ("audio", "audio")):
            ours, theirs = getattr(part, media), getattr(whole, media)
            half = len(theirs) // 2
            for room in (slice(0, half), slice(half, None)):
                same = np.array_equal(ours[room], theirs[room])
                lost[sense] += not same
                if not same:  # nothing of it is left
                    pair = np.corrcoef(ours[room].ravel(), theirs[room].astype(float).ravel())
                    assert abs(pair[0, 1]) < 0.05
    assert all(15 < count < 45 for count in lost.values()), lost


def test_names_take_turns_in_the_ratio_of_their_weights():
    turns = in_turn({"image": 8.0, "text": 1.0, "audio": 1.0})
    assert Counter(turns) == {"image": 8, "text": 1, "audio": 1} and len(turns) == 10
    uneven = Counter(in_turn({"image": 0.7, "text": 0.2}))
    assert uneven["image"] / uneven["text"] == pytest.approx(3.5, rel=0.03)


def test_a_mixture_in_clips_and_one_in_tokens_differ_by_the_length_of_rows():
    sources = "sources=gallery.image=1,gallery.text=1"
    common = [f"{OMNI}.seconds=4", f"{OMNI}.batch_size=16", f"{OMNI}.{sources}"]
    found = {}
    for unit in ("clips", "tokens"):
        config = override(tiny(), [*common, f"{OMNI}.ratio_unit={unit}"])
        data, tokens = lessons_of(config, "omni"), Counter()
        for step in range(3):
            rows = data.batch(step).streams
            for row in range(16):
                seen = bool((rows.kind[row] == 0).any())
                tokens["image" if seen else "text"] += int((rows.kind[row] != PAD_KIND).sum())
        found[unit] = tokens["image"] / tokens["text"]
    assert found["clips"] > 1.3 and found["tokens"] == pytest.approx(1, abs=0.25)


def test_captions_of_a_mixed_batch_point_to_their_own_units():
    settings = [f"{OMNI}.seconds=4", f"{OMNI}.batch_size=6",
                f"{OMNI}.sources=gallery.image=1,gallery.omni=1,gallery.audio=1"]  # fmt: skip
    batch = lessons_of(override(tiny(), settings), "omni").batch(0)
    streams, captions = batch.streams, batch.captions
    # rows with all modalities come first, so that a unit has one number in both senses
    both = [bool((streams.kind[r] == 0).any() and (streams.kind[r] == 1).any()) for r in range(6)]
    units = 4 * sum(both)
    assert both == [True, True, False, False, False, False]
    assert int(captions.seen.max()) < units and int(captions.heard.max()) < units


def test_parts_of_the_gallery_do_not_mix_with_other_sources():
    config = override(tiny(), [f"{OMNI}.sources=gallery.image=1,shards=1", "data.shards=x"])
    with pytest.raises(UsageError, match="the gallery does not mix"):
        training_data(config, config.training.stage("omni"))

"""Lesson films: they hold what their kind says, and come back through extraction as clips of their lessons."""

import json

import numpy as np
import pytest

from omni_lab.config import TICKS_PER_SECOND, WorldConfig, tiny
from omni_lab.errors import UsageError
from omni_lab.triplets.building.build import build
from omni_lab.triplets.shards.tars import read_shards
from omni_lab.world.clips import from_script
from omni_lab.world.dialogue import caption
from omni_lab.world.drawing import write_script
from omni_lab.world.film import write_film
from omni_lab.world.lesson_films import KINDS, write_lesson_films


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of 8 s of every kind, after films, extraction and shards."""
    folder, found = tmp_path_factory.mktemp("lessons"), {}
    for kind in KINDS:
        write_lesson_films(folder / kind, kind, 8, WorldConfig(), length=8)
        build([folder / kind], folder / f"{kind}-shards", tiny().triplets)
        found[kind] = list(read_shards(folder / f"{kind}-shards"))
    return found


def test_films_have_the_modalities_of_their_kind(clips):
    for kind, (senses, _) in KINDS.items():
        assert clips[kind], kind
        for clip in clips[kind]:
            assert clip.has == frozenset(senses), kind
            assert bool(len(clip.frames)) == ("image" in senses)
            assert bool(len(clip.audio)) == ("audio" in senses)


@pytest.mark.parametrize(("kind", "carrier"), [("found", "image"), ("named", "audio")])
def test_every_second_is_described_as_the_lessons_describe_it(clips, kind, carrier):
    (clip,) = clips[kind]
    seed = (1 + [*KINDS].index(kind)) * 1_000_000_000
    script = write_script(seed, 8, WorldConfig(), senses=KINDS[kind].senses)
    for second, cue in enumerate(clip.cues):
        orders = (2, 3) if carrier == "image" else (0,)
        assert cue.text in {caption(script, second, carrier, order) for order in orders}
        assert cue.start == second * TICKS_PER_SECOND and cue.role == "guide"
    assert len(clip.cues) == 8


def test_a_film_gives_the_clip_of_its_script(clips):
    (clip,) = clips["asked"]
    seed = (1 + [*KINDS].index("asked")) * 1_000_000_000
    made = from_script(write_script(seed, 8, WorldConfig()), 96, noisy=False)
    assert [cue.text for cue in clip.cues] == [cue.text for cue in made.cues]
    assert [cue.role for cue in clip.cues] == [cue.role for cue in made.cues]
    assert np.abs(clip.frames.astype(int) - made.frames).mean() < 12  # noise, and H.264
    wave = np.corrcoef(clip.audio[: len(made.audio)], made.audio[: len(clip.audio)])[0, 1]
    assert wave > 0.95


def test_films_found_by_ear_ask_for_nothing_else(clips):
    for clip in clips["by_ear"]:
        asked = {cue.text for cue in clip.cues if cue.role == "visitor"}
        assert asked <= {"Colour heard?", "Shape heard?"} and asked


def test_a_caption_film_claims_no_facts_and_a_film_of_nothing_is_refused(tmp_path):
    write_lesson_films(tmp_path, "found", 2, WorldConfig(), length=2)
    (truth,) = tmp_path.glob("*.truth.json")
    assert json.loads(truth.read_text())["facts"] == []
    with pytest.raises(UsageError, match="name image, audio or both"):
        write_film(write_script(0, 2), tmp_path / "none.mp4", senses=("text",))

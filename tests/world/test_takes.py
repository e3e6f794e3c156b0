"""Takes for lessons: flash and click of the clapperboard at their moments, the tour with its subtitles."""

import numpy as np
import pytest

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.world.takes import clapperboard, guided_tour


@pytest.mark.parametrize(
    ("suffix", "late_s", "codec"), [("mp4", 0.0, "aac"), ("mov", 0.2, "pcm_s16le")]
)
def test_flash_and_click_stand_in_the_middle_of_every_second(tmp_path, suffix, late_s, codec):
    path = clapperboard(tmp_path / f"take.{suffix}", 3, late_s, codec)
    film = decode(path, TripletConfig(frames_per_second=30.0))
    flashes = film.frame_times[film.brightness > 0.5] / TICKS_PER_SECOND
    assert np.abs(flashes - [0.5, 1.5, 2.5]).max() < 0.017
    assert film.audio_start == round(late_s * TICKS_PER_SECOND)
    loud = np.flatnonzero(np.abs(film.audio) > 0.7 * np.abs(film.audio).max()) + film.audio_start
    assert np.abs(loud / TICKS_PER_SECOND % 1 - 0.5).max() < 0.002
    assert {int(second) for second in loud / TICKS_PER_SECOND} == {0, 1, 2}


def test_the_tour_has_words_of_both_roles_and_scenes_that_change(tmp_path):
    film = decode(guided_tour(tmp_path / "tour.mp4"), TripletConfig())
    assert len(film.cues) == 16 and {cue.role for cue in film.cues} <= {None, "guide", "visitor"}
    assert len(film.changes) == 7
    assert film.duration > 45 * TICKS_PER_SECOND

"""Scene cut detection in films with known cuts: both detectors find every hard cut."""

import sys

import numpy as np
import pytest
from media_files import write_film

from omni_lab.config import TripletConfig, override, tiny
from omni_lab.errors import ConfigError, UsageError
from omni_lab.media.decoding import decode
from omni_lab.media.scenes import scene_changes

FPS, WIDTH, HEIGHT = 25, 160, 96
CUTS, FADE, FLASH, PAN = (2.0, 4.0, 11.0), (5.0, 6.0), 7.0, (8.0, 10.0)  # seconds


def texture(seed: int, width: int = WIDTH) -> np.ndarray:
    """A coloured picture of soft blobs, as a room might be out of focus."""
    coarse = np.random.default_rng(seed).uniform(20, 235, (HEIGHT // 24 + 2, width // 24 + 2, 3))
    rows, columns = np.arange(HEIGHT) / 24, np.arange(width) / 24
    r, c = rows.astype(int), columns.astype(int)
    down, right = (rows - r)[:, None, None], (columns - c)[None, :, None]
    top = coarse[r][:, c] * (1 - right) + coarse[r][:, c + 1] * right
    low = coarse[r + 1][:, c] * (1 - right) + coarse[r + 1][:, c + 1] * right
    return top * (1 - down) + low * down


def film_of(path):
    """Film of four rooms with hard cuts; in the third a fade, a flash of one frame, and a pan."""
    first, second, third, other, last = (texture(seed) for seed in range(5))
    wide = np.concatenate([other, other[:, ::-1]], axis=1)

    frames = []
    for time in np.arange(12 * FPS) / FPS:
        if time < CUTS[0]:
            frame = first
        elif time < CUTS[1]:
            frame = second
        elif time < FADE[1]:
            mix = np.clip((time - FADE[0]) / (FADE[1] - FADE[0]), 0, 1)
            frame = third * (1 - mix) + other * mix
        elif abs(time - FLASH) < 0.5 / FPS:
            frame = np.full_like(other, 250)
        elif time < CUTS[2]:
            left = round(np.clip((time - PAN[0]) / (PAN[1] - PAN[0]), 0, 1) * WIDTH)
            frame = wide[:, left : left + WIDTH]
        else:
            frame = last
        frames.append(frame)

    return write_film(
        path, seconds=12, fps=FPS, sound=None, size=(WIDTH, HEIGHT), frames=np.uint8(frames)
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return film_of(tmp_path_factory.mktemp("scenes") / "film.mp4")


def test_frame_difference_finds_hard_cuts_and_flashes_but_no_fade_and_no_pan(film):
    found = decode(film).changes / 16_000
    assert found.tolist() == pytest.approx([*CUTS[:2], FLASH, FLASH + 1 / FPS, CUTS[2]], abs=1e-3)


def test_both_detectors_agree_on_hard_cuts(film):
    pytest.importorskip("scenedetect", reason="the extra `scale` is not installed")
    plain, other = (
        decode(film, TripletConfig(scenes=name)) for name in ("difference", "pyscenedetect")
    )
    assert set(CUTS) <= {round(t / 16_000, 3) for t in plain.changes.tolist()}
    found = other.changes / 16_000
    assert set(CUTS) <= {round(t, 3) for t in found.tolist()}
    assert not [t for t in found if FADE[0] < t < FADE[1] or PAN[0] < t < PAN[1]]
    assert plain.frames == other.frames  # looking for scenes leaves the pictures as they are


def test_a_missing_detector_is_named_with_what_to_install(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(UsageError, match=r"omni_lab\[scale\]"):
        decode(film, TripletConfig(scenes="pyscenedetect"))


def test_only_detectors_that_exist_can_be_asked_for():
    assert override(tiny(), ["triplets.scenes=pyscenedetect"]).triplets.scenes == "pyscenedetect"
    with pytest.raises(ConfigError, match="difference, pyscenedetect"):
        override(tiny(), ["triplets.scenes=ffmpeg"])


def test_steady_change_is_no_scene():
    """A pan changes every frame alike; only the frame that changes far more is a cut."""
    changes = np.full(50, 12.0)
    times = np.arange(50) * 640
    assert scene_changes(times, changes).size == 0
    changes[30] = 60.0
    assert scene_changes(times, changes).tolist() == [30 * 640]

"""A flash and a click every second, in any container, codec, rate and offset: each lands on its tick."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import RATE, clicks, found_clicks, write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decode import decode
from omni_lab.media.sound import SoundLine, stretch

EVERY = TripletConfig(frames_per_second=60.0, image_size=48)
SECONDS = 2.6
NTSC_FILM, NTSC = Fraction(24_000, 1001), Fraction(30_000, 1001)


def flash_times(film) -> np.ndarray:
    """Ticks of the frames that are white where the one before was not."""
    white = film.brightness > 0.6
    return film.frame_times[white & ~np.r_[False, white[:-1]]]


def true_flashes(times) -> np.ndarray:
    """Times (s) of the frames that `flashes` makes white."""
    return np.asarray(times)[np.flatnonzero(np.diff(np.floor(np.asarray(times) - 0.5 + 1e-6), prepend=-1.0) > 0)]


def true_clicks(start: float, seconds: float = SECONDS) -> np.ndarray:
    """Times (s) of the clicks in sound that begins at `start`."""
    return np.arange(np.ceil(start - 0.49) + 0.5, start + seconds - 0.01)


def errors(film, picture_at: float, sound_at: float, fps, times=None) -> tuple[np.ndarray, np.ndarray]:
    """How many ticks each click and each flash lies from where it was put, on the container's clock."""
    times = np.arange(round(SECONDS * fps)) / float(fps) if times is None else np.asarray(times)
    clicked = np.array(found_clicks(film.audio, film.audio_start)) + film.source.zero
    flashed = flash_times(film) + film.source.zero
    return clicked - 16_000 * true_clicks(sound_at), flashed - 16_000 * true_flashes(times + picture_at)


# container, picture, sound, rate, frames per second, start of picture and of sound (s)
CASES = [
    ("mp4", "libx264", "aac", 44_100, 25, 0, 0),
]


@pytest.mark.parametrize(("container", "picture", "sound", "rate", "fps", "picture_at", "sound_at"), CASES)
def test_clicks_and_flashes_land(tmp_path, container, picture, sound, rate, fps, picture_at, sound_at):
    path = write_film(
        tmp_path / f"a.{container}", SECONDS, fps, picture=picture, sound=sound, rate=rate,
        picture_at=picture_at, sound_at=sound_at,
    )  # fmt: skip
    click, flash = errors(decode(path, EVERY), picture_at, sound_at, fps)
    assert np.abs(click).max() <= 1
    assert np.abs(flash).max() <= 16_000 / fps / 2


# The line of sound by itself


@settings(deadline=None, max_examples=25)
@given(
    rate=st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]),
    form=st.sampled_from(["u8", "s16", "s32", "flt", "dblp"]),
    block=st.integers(500, 5000),
    start=st.integers(0, 10**9),
)
def test_resampling_moves_nothing(rate, form, block, start):
    """The filter's own delay is made up for, whatever the rate, the depth and the length of frames."""
    import av

    line, samples = SoundLine(), clicks(1.2, rate)
    levels = {"u8": (127, 128, np.uint8), "s16": (32_767, 0, np.int16), "s32": (2**31 - 129, 0, np.int32)}
    factor, offset, kind = levels.get(form, (1, 0, np.float64 if form == "dblp" else np.float32))
    for at in range(0, len(samples), block):
        piece = (samples[None, at : at + block].astype(np.float64) * factor + offset).astype(kind)
        frame = av.AudioFrame.from_ndarray(piece, format=form, layout="mono")
        frame.sample_rate = rate
        line.add(frame, round(start + at * 16_000 / rate), 16_000 / rate)
    audio, first, gaps = line.finish()
    assert first == start
    assert gaps == []
    assert audio.size == pytest.approx(19_200, abs=1)
    (click,) = found_clicks(audio)
    assert click == pytest.approx(8000, abs=0.5)


def test_stamps_of_whole_milliseconds_hide_no_tick():
    """What many rounded stamps together leave open is less than what the first one does."""
    import av

    line = SoundLine()
    for i in range(60):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE
        seconds = 0.35749 + i * 1024 / RATE
        line.add(frame, 16 * round(seconds * 1000), 16.0)
    _, first, gaps = line.finish()
    assert first == pytest.approx(0.35749 * 16_000, abs=1)
    assert gaps == []


def test_stamps_that_shake_move_nothing():
    """Recorders that stamp a frame when it arrives shake by milliseconds: the samples still follow each other."""
    import av

    shake = np.random.default_rng(0).integers(-60, 61, 200)
    line, samples = SoundLine(), clicks(4.0, 16_000)
    for i in range(200):
        frame = av.AudioFrame.from_ndarray(samples[None, i * 320 : (i + 1) * 320], format="flt", layout="mono")
        frame.sample_rate = 16_000
        line.add(frame, 1000 + i * 320 + int(shake[i]))
    audio, first, gaps = line.finish()
    assert gaps == []
    assert audio.size == 64_000
    assert first == pytest.approx(1000, abs=15)
    assert np.diff(found_clicks(audio)) == pytest.approx(16_000, abs=0.1)


@pytest.mark.parametrize("drift", [0.001, -0.001, 0.02])
@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "flac"), ("b.mkv", "pcm_s16le")])
def test_a_clock_that_drifts(tmp_path, name, sound, drift):
    """Sound whose recorder ran fast or slow is stretched after its stamps: it meets the picture to the end."""
    path = write_film(tmp_path / name, seconds=8, fps=10, sound=sound, drift=drift)
    film = decode(path, EVERY)
    truth = 16_000 * (np.arange(8) + 0.5) * (1 + drift)
    assert film.audio_gaps == ()
    np.testing.assert_allclose(found_clicks(film.audio, film.audio_start), truth, atol=2)


def test_stretching_keeps_the_sound():
    """A tone that is stretched by a thousandth is the same tone, a thousandth lower."""
    tone = np.round(8000 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / 16_000)).astype(np.int16)
    start, longer = stretch(tone, np.array([0.0, 32_000.0]), np.array([7.0, 39.0]))
    assert (start, longer.size) == (7, 32_032)
    wanted = 8000 * np.sin(2 * np.pi * 1000 / 1.001 * np.arange(32_032) / 16_000)
    assert np.abs(longer - wanted)[10:-10].max() < 60


@pytest.mark.parametrize(
    ("layout", "channel", "heard"), [("5.1", "FC", 1.0), ("5.1", "FL", 0.707), ("5.1", "LFE", 0.0)]
)
def test_speech_stays_in_the_centre(layout, channel, heard):
    """Six channels become one by the usual weights: the centre leads, what only shakes the floor goes."""
    loudness = {}
    for name in ("FC", channel):
        loudness[name] = np.abs(_mixed(layout, name)).max()
    assert loudness[channel] == pytest.approx(heard * loudness["FC"], abs=0.01 * loudness["FC"])
    assert loudness["FC"] > 0.25 * 0.8 * 32_767


def _mixed(layout: str, channel: str) -> np.ndarray:
    """What one channel's click becomes in mono."""
    import av

    names = [c.name for c in av.AudioLayout(layout).channels]
    samples = np.zeros((len(names), 48_000), np.float32)
    samples[names.index(channel)] = clicks(1.0, 48_000)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
    frame.sample_rate = 48_000
    line = SoundLine()
    line.add(frame, 0)
    return line.finish()[0].astype(float)

"""Audio placement on the clock: resampling, timestamps that jitter or drift, gaps, downmix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import RATE, clicks, found_clicks, write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.sound import SoundLine, stretch

EVERY = TripletConfig(frames_per_second=60.0, image_size=48)


@settings(deadline=None, max_examples=25)
@given(
    rate=st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]),
    form=st.sampled_from(["u8", "s16", "s32", "flt", "dblp"]),
    block=st.integers(500, 5000),
    start=st.integers(0, 10**9),
)
def test_resampling_moves_nothing(rate, form, block, start):
    """The filter's delay is compensated at any rate, depth and length of frames."""
    import av

    line, samples = SoundLine(), clicks(1.2, rate)
    levels = {
        "u8": (127, 128, np.uint8),
        "s16": (32_767, 0, np.int16),
        "s32": (2**31 - 129, 0, np.int32),
    }
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
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = RATE
        seconds = 0.35749 + i * 1024 / RATE
        line.add(frame, 16 * round(seconds * 1000), 16.0)
    _, first, gaps = line.finish()
    assert first == pytest.approx(0.35749 * 16_000, abs=1)
    assert gaps == []


@settings(deadline=None, max_examples=25)
@given(
    start=st.floats(0.0, 2.0),
    samples=st.sampled_from([1024, 1152]),
    rate=st.sampled_from([22_050, RATE, 48_000]),
)
def test_whole_milliseconds_err_by_what_they_leave_open(start, samples, rate):
    """One tick at 44,100 Hz; at 48,000 Hz frames repeat the same parts of a millisecond."""
    import av

    line = SoundLine()
    counted = np.arange(90) * samples * 16_000 / rate
    stamps = 16 * np.round((16_000 * start + counted) / 16).astype(int)
    for stamp in stamps:
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, samples), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = rate
        line.add(frame, int(stamp), 16.0)
    _, first, _ = line.finish()
    offsets = stamps - counted
    left_open = 16 - np.ptp(offsets)
    as_stamped = offsets.max() - 8.5 <= stamps[0] <= offsets.min() + 8.5
    assert abs(first - 16_000 * start) <= (left_open if as_stamped else left_open / 2) + 1
    assert left_open < 0.6 or rate == 48_000


def test_stamps_that_shake_move_nothing():
    """Recorders that stamp frames on arrival jitter by milliseconds: the samples stay joined."""
    import av

    shake = np.random.default_rng(0).integers(-60, 61, 200)
    line, samples = SoundLine(), clicks(4.0, 16_000)
    for i in range(200):
        frame = av.AudioFrame.from_ndarray(
            samples[None, i * 320 : (i + 1) * 320], format="flt", layout="mono"
        )
        frame.sample_rate = 16_000
        line.add(frame, 1000 + i * 320 + int(shake[i]))
    audio, first, gaps = line.finish()
    assert gaps == []
    assert audio.size == 64_000
    assert first == pytest.approx(1000, abs=15)
    assert np.diff(found_clicks(audio)) == pytest.approx(16_000, abs=0.1)


@pytest.mark.parametrize("step", [0, -20, 20])
def test_stamps_that_stand_still_are_no_clock(step):
    """Short frames whose timestamps hardly rise are counted: stretched, they would vanish."""
    import av

    line, samples = SoundLine(), clicks(4.0, 16_000)
    for i in range(1000):
        frame = av.AudioFrame.from_ndarray(
            samples[None, i * 64 : (i + 1) * 64], format="flt", layout="mono"
        )
        frame.sample_rate = 16_000
        line.add(frame, 30_000 + i * step)
    audio, first, gaps = line.finish()
    assert (first, audio.size, gaps) == (30_000, 64_000, [])
    assert found_clicks(audio) == pytest.approx([8000, 24_000, 40_000, 56_000], abs=1)


@settings(deadline=None, max_examples=60)
@given(
    times=st.lists(st.integers(-3000, 40_000), min_size=1, max_size=8),
    stated=st.none() | st.integers(0, 42_000),
    padding=st.integers(0, 3000),
)
def test_gaps_are_where_nothing_was_laid(times, stated, padding):
    """Gaps lie inside, in order, and nothing else is zero, for frames in any order."""
    import av

    line = SoundLine()
    for time in times:
        frame = av.AudioFrame.from_ndarray(
            np.full((1, 1600), 500, np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 16_000
        line.add(frame, time)
    audio, first, gaps = line.finish(stated, padding)
    if audio is None:
        assert max(times) <= -1600 + 20
        return
    empty = np.zeros(audio.size, dtype=bool)
    for start, end in gaps:
        assert first < start < end < first + audio.size
        empty[start - first : end - first] = True
    assert ((audio == 0) == empty).all()
    edges = [edge for gap in gaps for edge in gap]
    assert edges == sorted(edges)


@pytest.mark.parametrize("drift", [0.001, -0.001, 0.02])
@pytest.mark.parametrize(
    ("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "flac"), ("b.mkv", "pcm_s16le")]
)
def test_a_clock_that_drifts(tmp_path, name, sound, drift):
    """Sound from a fast or slow recorder is stretched by its timestamps: in sync to the end."""
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
    """Downmix of six channels by the usual weights: the centre leads, the subwoofer is dropped."""
    loudness = {}
    for name in ("FC", channel):
        loudness[name] = np.abs(_mixed(layout, name)).max()
    assert loudness[channel] == pytest.approx(heard * loudness["FC"], abs=0.01 * loudness["FC"])
    assert loudness["FC"] > 0.25 * 0.8 * 32_767


def _mixed(layout: str, channel: str) -> np.ndarray:
    """Mono downmix of a click in one channel."""
    import av

    names = [c.name for c in av.AudioLayout(layout).channels]
    samples = np.zeros((len(names), 48_000), np.float32)
    samples[names.index(channel)] = clicks(1.0, 48_000)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
    frame.sample_rate = 48_000
    line = SoundLine()
    line.add(frame, 0)
    return line.finish()[0].astype(float)

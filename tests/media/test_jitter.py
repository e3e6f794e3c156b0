"""Audio timestamps that jitter, move for good, or break: samples are counted, gaps survive."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import found_clicks, write_film

from omni_lab.media.damage import DamageLog
from omni_lab.media.decoding import decode
from omni_lab.media.sound import SoundLine

MS = 16  # ticks
FRAME = 20 * MS


def laid(offsets, frame: int = FRAME, grain: float = 1.0):
    """Frames of 16 kHz sound, as `SoundLine` places them: audio, start, gaps and what it listed.

    `offsets`: ticks by which each frame's timestamp lies later than its samples as counted.
    """
    import av

    damage = DamageLog()
    line = SoundLine(damage)
    for i, offset in enumerate(offsets):
        # every frame is made of samples of its own
        samples = np.full((1, frame), 100 + i % 30_000, np.int16)
        piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        piece.sample_rate = 16_000
        line.add(piece, round(i * frame + offset), grain)
    return *line.finish(), damage.lines()


def places(audio: np.ndarray, start: int, frames: int) -> np.ndarray:
    """Tick of each frame's first sample."""
    return start + np.searchsorted(np.maximum.accumulate(audio), 100 + np.arange(frames))


def drum_hits(seconds: float, rate: int) -> np.ndarray:
    """Eight bursts of noise a second, each dying away."""
    since = (np.arange(round(seconds * rate)) / rate) % 0.125
    noise = np.random.default_rng(0).standard_normal(since.size)
    return (0.2 * np.exp(-60 * since) * noise).clip(-0.9, 0.9).astype(np.float32)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_block_switches_of_vorbis_cut_nothing(tmp_path, rate):
    """Ogg stamps the block before each drum hit up to 10 ms late: the samples stay joined."""
    path = tmp_path / "drums.ogg"
    soundfile.write(path, drum_hits(4, rate), rate, format="OGG", subtype="VORBIS")
    film = decode(path)
    assert film.audio_gaps == ()
    assert film.audio.size == 64_000
    # less than 10 ms is nothing to list
    listed = [error for error in film.source.errors if "off by up to 10 ms" in error]
    assert len(listed) == len(film.source.errors) == (rate == 44_100)

    samples, _ = soundfile.read(path)
    plain = tmp_path / "drums.wav"
    soundfile.write(plain, samples, rate, subtype="FLOAT")
    assert np.abs(film.audio - decode(plain).audio.astype(int)).max() <= 2


def shaken(path: Path, by_ms: float, lost: tuple[int, ...] = ()) -> Path:
    """Copy of a film's sound whose timestamps jitter by up to `by_ms`, without some packets."""
    import av

    shake, copy = np.random.default_rng(1), path.with_stem("shaken")
    with av.open(str(path)) as old, av.open(str(copy), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for i, packet in enumerate(p for p in old.demux(audio=0) if p.dts is not None):
            late = 0.06 + shake.uniform(-by_ms, by_ms) / 1000
            packet.pts = packet.dts + round(late / packet.time_base)
            packet.stream = stream
            if i not in lost:
                new.mux(packet)
    return copy


@pytest.mark.parametrize("by_ms", [12, 25])
@pytest.mark.parametrize(
    ("name", "sound"), [("a.webm", "libopus"), ("a.mkv", "libopus"), ("b.mkv", "aac")]
)
def test_recorders_that_stamp_on_arrival_cut_nothing(tmp_path, name, sound, by_ms):
    """Opus and AAC with timestamps shaken by up to 25 ms: the sound is the same, and it is said."""
    path = write_film(
        tmp_path / name, 6, picture=None, sound=sound, rate=48_000, samples=drum_hits(6, 48_000)
    )
    film, plain = decode(shaken(path, by_ms)), decode(path)
    assert film.audio_gaps == ()
    # The clock begins with the first timestamp: where that is late, the sound begins before it.
    before = plain.audio.size - film.audio.size
    assert 0 <= before + film.audio_start <= 2 * by_ms * MS
    np.testing.assert_array_equal(film.audio, plain.audio[before:])
    (error,) = film.source.errors
    assert int(error.split()[0]) > 30


def test_lost_packets_are_silence_where_they_were(tmp_path):
    """Two packets lost among timestamps that jitter: a gap of 40 ms, and what follows in place."""
    path = write_film(tmp_path / "a.mkv", 8, picture=None, sound="libopus", rate=48_000)
    film, plain = decode(shaken(path, 15, lost=(212, 213))), decode(path)
    ((start, end),) = film.audio_gaps
    assert end - start == pytest.approx(640, abs=4 * MS)
    assert start == pytest.approx(film.audio_start + 212 * FRAME, abs=4 * FRAME)
    assert not film.audio[start - film.audio_start : end - film.audio_start].any()
    assert np.diff(found_clicks(film.audio)) == pytest.approx(16_000, abs=4 * MS)
    assert len(found_clicks(plain.audio)) == 8


@settings(deadline=None, max_examples=25)
@given(
    steps=st.lists(st.tuples(st.integers(1, 40), st.integers(10, 40)), min_size=1, max_size=12),
    frame=st.sampled_from([40, 320, 372]),
    grain=st.sampled_from([1, MS]),
)
def test_gaps_are_kept_exactly_where_stamps_are_exact(steps, frame, grain):
    """Silences of 10 to 40 ms, however close: each is where it was, and no error is listed."""
    offsets, truth = [0.0] * 3, []
    for frames, gap in steps:
        at = len(offsets) * frame + offsets[-1]
        truth.append((at, at + gap * MS))
        offsets += [offsets[-1] + gap * MS] * (frames + 1)
    stamps = [grain * round((i * frame + o) / grain) - i * frame for i, o in enumerate(offsets)]
    audio, start, gaps, errors = laid(stamps, frame, grain)
    assert np.abs(np.array(gaps) - truth).max() <= grain + 1
    assert np.count_nonzero(audio) == len(offsets) * frame
    assert start == 0
    assert errors == ()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    by_ms=st.integers(0, 25),
    gaps=st.lists(
        st.tuples(st.integers(0, 700), st.integers(10, 40)),
        max_size=4,
        unique_by=lambda gap: gap[0],
    ),
)
def test_jitter_loses_no_sample_and_no_time(seed, by_ms, gaps):
    """Whatever jitters and whatever is missing: all samples, in order, near their true times."""
    shake = np.random.default_rng(seed)
    offsets = np.zeros(700)
    for at, gap in gaps:
        offsets[at:] += gap * MS
    audio, start, found, _ = laid(offsets + shake.uniform(-by_ms, by_ms, 700) * MS)
    truth = FRAME * np.arange(700) + offsets
    off = places(audio, start, 700) - truth
    # a gap that jitter hides may be missed, or laid some frames off: never by more than the gap
    assert np.abs(off).max() <= (by_ms + 40) * MS
    assert np.abs(np.median(off)) <= 8 * MS
    # and where several are, the sound is stretched over them
    missed = sum(gap for at, gap in gaps) - sum(end - start for start, end in found) / MS
    assert np.count_nonzero(audio) == pytest.approx(700 * FRAME, abs=(50 + abs(missed)) * MS)
    assert len(found) <= len(gaps)


@settings(deadline=None, max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1), by_ms=st.integers(0, 25), gap=st.integers(30, 40),
    at=st.integers(250, 450),
)  # fmt: skip
def test_a_gap_among_stamps_that_jitter_is_kept(seed, by_ms, gap, at):
    offsets = np.random.default_rng(seed).uniform(-by_ms, by_ms, 700) * MS
    offsets[at:] += gap * MS
    _, start, found, _ = laid(offsets)
    ((begin, end),) = found
    assert end - begin == pytest.approx(gap * MS, abs=10 * MS)
    assert begin == pytest.approx(start + at * FRAME, abs=10 * FRAME)


@pytest.mark.parametrize("by_ms", [0, 12, 25])
@pytest.mark.parametrize("drift", [0.001, -0.001, 0.005])
def test_drift_under_jitter_is_followed_without_a_gap(drift, by_ms):
    offsets = np.arange(2000) * FRAME * drift
    shaken = offsets + np.random.default_rng(0).uniform(-by_ms, by_ms, 2000) * MS
    audio, start, gaps, _ = laid(shaken)
    assert gaps == []
    off = places(audio, start, 2000) - (np.arange(2000) * FRAME + offsets)
    assert np.abs(off).max() <= 1 + by_ms * MS / 3


@pytest.mark.parametrize("broken", [(100,), (100, 101), (50, 300, 301, 302), (0,), (399,)])
@pytest.mark.parametrize("by_ms", [12, -12, 700, -700, 100_000])
def test_broken_stamps_move_nothing_else(broken, by_ms):
    """One stamp, or a few, that come back: the samples stay where all other stamps put them."""
    offsets = np.full(400, 200_000.0)
    offsets[list(broken)] += by_ms * MS
    audio, start, gaps, errors = laid(offsets)
    whole = np.setdiff1d(np.arange(400), broken)
    if broken in ((0,), (399,)):  # at the ends nothing contradicts a stamp
        whole = whole[5:-5]
    else:
        assert gaps == []
        assert f"{len(broken)} timestamps of the sound are off" in errors[0]
    if by_ms != 100_000 or gaps == []:
        off = places(audio, start, 400)[whole] - (whole * FRAME + 200_000)
        assert np.abs(off).max() <= 1


def test_a_clock_set_back_is_believed_and_said():
    """What is stamped twice is heard as it was stamped later, and the loss is listed."""
    offsets = np.repeat([0, -300 * MS], 300)
    audio, start, gaps, errors = laid(offsets)
    assert (start, gaps, audio.size) == (0, [], 600 * FRAME - 300 * MS)
    assert errors == ("0.300 s of sound are stamped twice: the later is kept near 0:05.700",)


def test_packets_between_pauses_keep_their_times():
    """A recorder that is silent between words (one packet each 0.4 s) leaves gaps, not shakes."""
    offsets = np.r_[np.zeros(50), np.arange(1, 31) * 380 * MS, np.full(50, 30 * 380 * MS)]
    audio, start, gaps, errors = laid(offsets)
    assert len(gaps) == 30
    assert np.abs(places(audio, start, 130) - (np.arange(130) * FRAME + offsets)).max() <= 1
    assert errors == ()

"""A flash and a click every second, in any container, codec, rate and offset: each lands on its tick."""

import subprocess
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import RATE, clicks, found_clicks, write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decode import decode
from omni_lab.media.sound import SoundLine, stretch
from omni_lab.triplets.cutting.clips import clips_of

EVERY = TripletConfig(frames_per_second=60.0, image_size=48)
SECONDS = 2.6
NTSC_FILM, NTSC = Fraction(24_000, 1001), Fraction(30_000, 1001)


def flash_times(film) -> np.ndarray:
    """Ticks of the frames that are white where the one before was not."""
    white = film.brightness > 0.6
    return film.frame_times[white & ~np.r_[False, white[:-1]]]


def true_flashes(times) -> np.ndarray:
    """Times (s) of the frames that `flashes` makes white."""
    return np.asarray(times)[
        np.flatnonzero(np.diff(np.floor(np.asarray(times) - 0.5 + 1e-6), prepend=-1.0) > 0)
    ]


def true_clicks(start: float, seconds: float = SECONDS) -> np.ndarray:
    """Times (s) of the clicks in sound that begins at `start`."""
    return np.arange(np.ceil(start - 0.49) + 0.5, start + seconds - 0.01)


def errors(
    film, picture_at: float, sound_at: float, fps, times=None
) -> tuple[np.ndarray, np.ndarray]:
    """How many ticks each click and each flash lies from where it was put, on the container's clock."""
    times = np.arange(round(SECONDS * fps)) / float(fps) if times is None else np.asarray(times)
    clicked = np.array(found_clicks(film.audio, film.audio_start)) + film.source.zero
    flashed = flash_times(film) + film.source.zero
    return clicked - 16_000 * true_clicks(sound_at), flashed - 16_000 * true_flashes(
        times + picture_at
    )


# container, picture, sound, rate, frames per second, start of picture and of sound (s)
CASES = [
    ("mp4", "libx264", "aac", 44_100, 25, 0, 0),
    ("mp4", "libx264", "aac", 96_000, NTSC, 0.35, 0),
    ("mp4", "libx265", "libmp3lame", 22_050, 50, 0, 0.35),
    ("mp4", "mpeg4", "flac", 8000, NTSC_FILM, 0, 0),
    ("mp4", "libx264", "libopus", 48_000, 10, 8, 8),
    ("mp4", "libx264", "ac3", 48_000, NTSC, 8, 8),
    ("mov", "prores_ks", "pcm_s24le", 48_000, 25, 0.4, 0),
    ("mov", "mjpeg", "pcm_u8", 8000, 10, 0, 0.35),
    ("mov", "libx264", "pcm_f32le", 96_000, NTSC, 0, 0),
    ("mkv", "libx264", "aac", 44_100, NTSC_FILM, 0, 0.35),
    ("mkv", "ffv1", "flac", 44_100, 50, 0.4, 0),
    ("mkv", "libx265", "libmp3lame", 48_000, 25, 8, 8),
    ("mkv", "mpeg2video", "mp2", 44_100, NTSC, 0, 0),
    ("mkv", "libvpx-vp9", "ac3", 48_000, 10, 0, 0.35),
    ("mkv", "libx264", "libopus", 48_000, 25, 0, 0),
    ("webm", "libvpx-vp9", "libopus", 48_000, NTSC, 0.35, 0),
    ("webm", "libvpx", "libopus", 16_000, 25, 0, 0),
    ("nut", "mpeg4", "pcm_s16le", 22_050, 25, 0.4, 0),
    ("avi", "mpeg4", "pcm_s16le", 44_100, 25, 0, 0),
    ("avi", "libx264", "pcm_s16le", 48_000, NTSC, 0, 0),
    ("avi", "ffv1", "pcm_u8", 8000, 10, 0, 0),
    ("ogg", "libvpx", "libopus", 48_000, 25, 0, 0),
]


def made(folder, container, picture, sound, rate, fps, picture_at, sound_at):
    pixels = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(picture, "yuv420p")
    return write_film(
        folder / f"a.{container}", SECONDS, fps, picture=picture, sound=sound, rate=rate, pixels=pixels,
        picture_at=picture_at, sound_at=sound_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("container", "picture", "sound", "rate", "fps", "picture_at", "sound_at"), CASES
)
def test_clicks_and_flashes_land(
    tmp_path, container, picture, sound, rate, fps, picture_at, sound_at
):
    """One sample for a click and half a frame for a flash, on the container's own clock."""
    film = decode(made(tmp_path, container, picture, sound, rate, fps, picture_at, sound_at), EVERY)
    click, flash = errors(film, picture_at, sound_at, fps)
    assert np.abs(click).max() <= 1
    assert np.abs(flash).max() <= 16_000 / fps / 2
    assert film.source.errors == ()


# Muxers that cannot write times before zero move picture and sound by the same; `within`: ticks that the container's
# own grid of times leaves open between the two
MOVED = [
    ("ts", "libx264", "aac", 48_000, 25, 0, 0, 1),
    ("ts", "libx265", "mp2", 44_100, NTSC, 0, 0.35, 1),
    ("ts", "mpeg2video", "ac3", 48_000, 25, 8, 8, 1),
    ("ts", "libx264", "libmp3lame", 44_100, 50, 0.35, 0, 1),
    ("mpg", "mpeg2video", "mp2", 48_000, 25, 0, 0, 1),
    ("flv", "libx264", "aac", 48_000, 25, 0, 0.35, 1),
    ("flv", "flv1", "libmp3lame", 22_050, 25, 0, 0, 1),
    (
        "flv",
        "libx264",
        "ac3",
        48_000,
        25,
        0,
        0,
        6,
    ),  # packets of 32 ms: every stamp leaves the same open
    ("asf", "wmv2", "aac", 48_000, 25, 8, 8, 1),
    ("asf", "libx264", "libmp3lame", 44_100, 25, 0, 0, 1),
    (
        "asf",
        "libx264",
        "aac",
        48_000,
        25,
        0,
        0.6,
        1,
    ),  # FFmpeg takes the sound's start for the picture's
    ("nut", "mpeg4", "pcm_s16le", 44_100, 25, 0, 0.6, 1),
]


@pytest.mark.parametrize(
    ("container", "picture", "sound", "rate", "fps", "picture_at", "sound_at", "within"), MOVED
)
def test_clicks_meet_flashes(
    tmp_path, container, picture, sound, rate, fps, picture_at, sound_at, within
):
    film = decode(made(tmp_path, container, picture, sound, rate, fps, picture_at, sound_at), EVERY)
    click, flash = errors(film, picture_at, sound_at, fps)
    assert np.ptp(click) <= 1
    assert np.abs(click - click.mean()).max() <= 1
    assert np.abs(flash - click.mean()).max() <= within + (16_000 / fps / 2 if fps == NTSC else 0)


# What a container does not say cannot be known. How far the sound lies from its picture then, in ticks, measured:
# bare streams have no place for the samples that a codec puts first (AAC 1024, MP2 481); Matroska and WebM write whole
# milliseconds, and FFmpeg rounds a late start of Opus, less 6.5 ms, twice.
UNKNOWN = [
    ("mkv", "libx264", "libopus", 48_000, 0.35, 15.9),
    ("aac", None, "aac", 44_100, 0, 371.5),
    ("mp2", None, "mp2", 48_000, 0, 160.3),
]


@pytest.mark.parametrize(("container", "picture", "sound", "rate", "sound_at", "error"), UNKNOWN)
def test_what_a_container_cannot_say(tmp_path, container, picture, sound, rate, sound_at, error):
    """Known errors, so that nobody takes them for none: at most 25 ms, the same for the whole film."""
    film = decode(made(tmp_path, container, picture, sound, rate, 25, 0, sound_at), EVERY)
    clicked = np.array(found_clicks(film.audio, film.audio_start)) + film.source.zero
    np.testing.assert_allclose(clicked - 16_000 * true_clicks(sound_at), error, atol=1)


def test_late_flac_in_ogg(tmp_path):
    """A page of Ogg says when it ends; FFmpeg lets the first one of FLAC begin at zero, so that it comes too early."""
    film = decode(
        write_film(tmp_path / "a.ogg", 3.6, 25, picture="libvpx", sound="flac", sound_at=0.6), EVERY
    )
    clicked = np.array(found_clicks(film.audio, film.audio_start))
    np.testing.assert_allclose(clicked - 16_000 * true_clicks(0.6, 3.6), [-9600, 0, 0], atol=1)
    assert film.audio_gaps[0] == pytest.approx((16_718, 16_718 + 9600), abs=2)


@pytest.mark.parametrize(
    ("name", "sound", "rate"),
    [
        ("a.mp3", "libmp3lame", 44_100),
        ("b.mp3", "libmp3lame", 8000),
        ("a.m4a", "aac", 48_000),
        ("a.wav", "pcm_s24le", 96_000),
        ("b.wav", "pcm_u8", 8000),
        ("a.flac", "flac", 22_050),
        ("a.opus", "libopus", 48_000),
        ("a.aiff", "pcm_s16be", 44_100),
        ("a.mka", "libopus", 48_000),
    ],
)
def test_sound_alone(tmp_path, name, sound, rate):
    """What the codec puts first is taken off where the file says how much (MP3: LAME's header), and no sample more."""
    film = decode(write_film(tmp_path / name, SECONDS, picture=None, sound=sound, rate=rate), EVERY)
    assert found_clicks(film.audio) == pytest.approx([8000, 24_000, 40_000], abs=1)
    assert (film.audio_start, film.audio.size) == (0, round(SECONDS * 16_000))


def test_clips_keep_it(tmp_path):
    """Cut into clips, every click and every flash is still on its tick."""
    path = write_film(tmp_path / "a.mp4", 21.0, 25, sound="aac", sound_at=0.35)
    config = replace(EVERY, frames_per_second=25.0)
    clips = list(clips_of(decode(path, config), config))
    assert len(clips) >= 2
    for clip in clips:
        triplet = clip.decode()
        start = clip.record["start"]
        heard = np.array(found_clicks(np.round(triplet.audio * 32_767))) + start
        white = triplet.frames.reshape(len(triplet.frames), -1).mean(axis=1) > 150
        seen = np.array(triplet.frame_times)[white] + start
        assert min(len(heard), len(seen)) >= 4
        np.testing.assert_allclose(heard % 16_000, 8000, atol=1)
        np.testing.assert_allclose((seen - 320) % 16_000, 8000, atol=1)


def test_variable_frame_rate(tmp_path):
    """Frames at times of their own: each flash is at its frame's time, beside its click."""
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.2, 40))
    path = write_film(tmp_path / "a.mkv", float(times[-1]), times=list(times), sound="libmp3lame")
    film = decode(path, EVERY)
    wanted = true_flashes(times)
    np.testing.assert_allclose(flash_times(film), wanted * 16_000, atol=9)
    np.testing.assert_allclose(found_clicks(film.audio), 16_000 * true_clicks(0, times[-1]), atol=1)
    assert film.source.stream("video").variable_frame_rate is True


def test_theora_and_vorbis(tmp_path):
    """Theora repeats pictures by empty packets, Vorbis' short blocks break FFmpeg's count in Ogg: neither moves."""
    exe = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    film = write_film(tmp_path / "a.mkv", SECONDS, picture="ffv1", sound="pcm_s16le", rate=48_000)
    command = [exe, "-loglevel", "error", "-i", str(film), "-c:v", "libtheora", "-c:a", "libvorbis"]
    subprocess.run([*command, str(tmp_path / "a.ogv")], check=True)
    film = decode(tmp_path / "a.ogv", EVERY)
    click, flash = errors(film, 0, 0, 25)
    assert np.abs(click).max() <= 1
    assert np.abs(flash).max() <= 1
    assert film.picture_end == round(SECONDS * 16_000)
    assert film.source.errors == ()


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
    """One tick at 44,100 Hz; at 48,000 Hz frames come back to the same part of a millisecond, and more stays open."""
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
    """Recorders that stamp a frame when it arrives shake by milliseconds: the samples still follow each other."""
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
    """Short frames whose stamps hardly rise would be squeezed to nothing: their samples are counted instead."""
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
    """In whatever order frames come and whatever is cut off at the end: in order, inside, and nothing else is zero."""
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

"""Audio-video synchronisation: flashes and clicks in any container, codec, rate and offset."""

import subprocess
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from media_files import found_clicks, write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
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
    """Error (ticks) of each click and each flash, on the container's clock."""
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
        folder / f"a.{container}", SECONDS, fps, picture=picture, sound=sound, rate=rate,
        pixels=pixels, picture_at=picture_at, sound_at=sound_at,
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


# Muxers that have no times before zero move picture and sound alike; `within`: ticks that the
# container's time base leaves open between the two
MOVED = [
    ("ts", "libx264", "aac", 48_000, 25, 0, 0, 1),
    ("ts", "libx265", "mp2", 44_100, NTSC, 0, 0.35, 1),
    ("ts", "mpeg2video", "ac3", 48_000, 25, 8, 8, 1),
    ("ts", "libx264", "libmp3lame", 44_100, 50, 0.35, 0, 1),
    ("mpg", "mpeg2video", "mp2", 48_000, 25, 0, 0, 1),
    ("flv", "libx264", "aac", 48_000, 25, 0, 0.35, 1),
    ("flv", "flv1", "libmp3lame", 22_050, 25, 0, 0, 1),
    # packets of 32 ms: every timestamp leaves the same part of a millisecond open
    ("flv", "libx264", "ac3", 48_000, 25, 0, 0, 6),
    ("asf", "wmv2", "aac", 48_000, 25, 8, 8, 1),
    ("asf", "libx264", "libmp3lame", 44_100, 25, 0, 0, 1),
    # FFmpeg takes the sound's start for the picture's
    ("asf", "libx264", "aac", 48_000, 25, 0, 0.6, 1),
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


# Offsets that a container does not store, and the error of the sound in ticks, measured: bare
# streams have no field for a codec's priming samples (AAC 1024, MP2 481); Matroska and WebM write
# whole milliseconds, and FFmpeg rounds a late start of Opus, less 6.5 ms, twice.
UNKNOWN = [
    ("mkv", "libx264", "libopus", 48_000, 0.35, 15.9),
    ("aac", None, "aac", 44_100, 0, 371.5),
    ("mp2", None, "mp2", 48_000, 0, 160.3),
]


@pytest.mark.parametrize(("container", "picture", "sound", "rate", "sound_at", "error"), UNKNOWN)
def test_what_a_container_cannot_say(tmp_path, container, picture, sound, rate, sound_at, error):
    """Known errors, stated as such: at most 25 ms, the same for the whole film."""
    film = decode(made(tmp_path, container, picture, sound, rate, 25, 0, sound_at), EVERY)
    clicked = np.array(found_clicks(film.audio, film.audio_start)) + film.source.zero
    np.testing.assert_allclose(clicked - 16_000 * true_clicks(sound_at), error, atol=1)


def test_late_flac_in_ogg(tmp_path):
    """An Ogg page stores its end; FFmpeg lets FLAC's first begin at zero: it comes too early."""
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
    """Priming is trimmed where the file states it (MP3: LAME's header), and no sample more."""
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
    """Theora's empty packets repeat pictures, Vorbis' short blocks break FFmpeg's count in Ogg."""
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

"""Film decoding on one clock: flashes and clicks of a file still coincide when decoded."""

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from media_files import clicks, damage, flash_times, found_clicks, shift_edit_list, write_film
from PIL import Image

from omni_lab.config import TripletConfig
from omni_lab.media.clock import rescale, seconds, stamp, ticks
from omni_lab.media.decoding import decode
from omni_lab.media.errors import (
    EmptyFileError,
    MissingFileError,
    NothingDecodableError,
    NotMediaError,
)
from omni_lab.media.probe import probe
from omni_lab.media.timestamps import varies

EVERY = TripletConfig(frames_per_second=25.0, image_size=48)


def assert_together(film, path) -> None:
    """Every click lies on its flash, one of each per second; the muxer of .ts moves both alike."""
    click, flash = np.array(found_clicks(film.audio, film.audio_start)), flash_times(film)
    assert len(click) == len(flash) == 4
    # 25 frames per second: the first frame at or after the half second is 0.02 s later
    np.testing.assert_allclose(click + 320, flash, atol=1)
    np.testing.assert_allclose(np.diff(click), 16_000, atol=0.5)
    if path.suffix != ".ts":
        np.testing.assert_allclose(click, np.arange(8000, 64_000, 16_000), atol=1)


def test_ticks_are_exact():
    assert rescale(90_000 * 3600 * 5, Fraction(1, 90_000)) == 5 * 3600 * 16_000
    assert rescale(30_000 * 3600, Fraction(1001, 30_000_000)) == ticks(Fraction(1001 * 3600, 1000))
    assert [rescale(p, Fraction(1, 32_000)) for p in (-3, -1, 0, 1, 3)] == [-1, 0, 0, 1, 2]
    assert seconds(ticks(1.25)) == 1.25
    assert stamp(-16_000) == "-0:01.000"


@pytest.mark.parametrize(
    ("name", "sound", "rate", "layout"),
    [
        ("a.mp4", "aac", 44_100, "stereo"),
        ("b.mp4", "aac", 48_000, "5.1"),
        ("c.mp4", "aac", 16_000, "mono"),
        ("d.mkv", "flac", 44_100, "stereo"),
        ("e.mkv", "libmp3lame", 44_100, "stereo"),
        ("f.ts", "mp2", 48_000, "stereo"),
    ],
)
def test_click_meets_flash(tmp_path, name, sound, rate, layout):
    """H.264 with B-frames and every common audio codec: one sample of error at any delay."""
    path = write_film(tmp_path / name, sound=sound, rate=rate, layout=layout)
    film = decode(path, EVERY)
    assert_together(film, path)
    assert len(film.frames) == 100
    assert film.source.errors == ()


def test_real_offset_survives(tmp_path):
    """Sound that starts late is late, not moved to the start; so is a picture."""
    film = decode(write_film(tmp_path / "sound.mkv", sound="flac", sound_at=0.75), EVERY)
    assert film.audio_start == 12_000
    assert found_clicks(film.audio, film.audio_start) == pytest.approx(
        [24_000, 40_000, 56_000, 72_000], abs=1
    )
    assert film.frame_times[0] == 0
    film = decode(write_film(tmp_path / "picture.mp4", picture_at=0.8), EVERY)
    assert film.frame_times[0] == 12_800
    assert found_clicks(film.audio)[0] == pytest.approx(8000, abs=1)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_zero_is_subtracted_once(tmp_path, name):
    """A file that starts at 2 s begins at zero, and its picture and sound stay together."""
    film = decode(write_film(tmp_path / name, sound_at=2.0, picture_at=2.0, sound="aac"), EVERY)
    assert 31_000 < film.source.zero <= 32_000 or name == "a.ts"
    assert min(film.frame_times[0], film.audio_start) == 0
    click, flash = np.array(found_clicks(film.audio, film.audio_start)), flash_times(film)
    np.testing.assert_allclose(click + 320, flash[-len(click) :], atol=1)


def test_edit_list_hides_what_it_cuts(tmp_path):
    """Frames before an edit list's start are decoded but never shown."""
    path = shift_edit_list(write_film(tmp_path / "a.mp4", sound=None), 0.2)
    film = decode(path, EVERY)
    assert len(film.frames) == 95
    np.testing.assert_allclose(flash_times(film) / 16_000, [0.32, 1.32, 2.32, 3.32], atol=1e-4)


def test_frames_keep_their_own_times(tmp_path):
    """Variable frame rate: kept frames are the nearest to the grid, at the times that they have."""
    times = [0.0, 0.1, 0.15, 0.21, 0.6, 0.7, 0.9, 1.32, 1.5, 1.7]
    film = decode(write_film(tmp_path / "a.mp4", times=times, sound=None), TripletConfig())
    np.testing.assert_allclose(film.frame_times / 16_000, [0.21, 0.7, 1.32, 1.7], atol=1e-4)
    assert film.source.stream("video").variable_frame_rate is True
    assert not varies(list(range(0, 16_000, 640)))


def test_a_standing_picture_is_kept_once(tmp_path):
    """A slide show's picture is one frame, however many grid points it stands for."""
    film = decode(
        write_film(tmp_path / "a.mkv", times=[0.0, 3.0, 6.0], sound=None), TripletConfig()
    )
    assert (film.frame_times / 16_000).tolist() == [0.0, 3.0, 6.0]


@pytest.mark.parametrize(
    ("rotation", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))]
)
def test_pictures_are_upright(tmp_path, rotation, corner):
    """The red corner ends where players show it: display matrices turn counter-clockwise."""
    film = decode(
        write_film(tmp_path / "a.mp4", seconds=1, rotation=rotation, sound=None), TripletConfig()
    )
    picture = np.asarray(Image.open(io.BytesIO(film.frames[0])))
    assert picture.shape == ((64, 48, 3) if rotation % 180 else (48, 64, 3))
    red = {(y, x): picture[y][x][0] > 150 for y in (0, -1) for x in (0, -1)}
    assert [place for place, is_red in red.items() if is_red] == [corner]
    assert film.source.stream("video").rotation % 360 == rotation


def test_size_is_of_the_shorter_side_and_never_enlarged(tmp_path):
    path = write_film(tmp_path / "a.mp4", seconds=1, size=(160, 90), sound=None)
    for wanted, got in ((45, (80, 45)), (400, (160, 90))):
        film = decode(path, TripletConfig(image_size=wanted))
        assert Image.open(io.BytesIO(film.frames[0])).size == got


def test_colours_are_those_that_went_in(tmp_path):
    """Pictures go through the matrix that untagged video of their size is written with."""
    colour = np.full((25, 48, 64, 3), (200, 60, 30), np.uint8)
    film = decode(
        write_film(tmp_path / "a.mp4", seconds=1, frames=colour, sound=None), TripletConfig()
    )
    picture = np.asarray(Image.open(io.BytesIO(film.frames[0]))).astype(int)
    assert np.abs(picture - (200, 60, 30)).max() <= 6


def test_resampler_is_flushed(tmp_path):
    """No sample is lost at the end: a click in the last millisecond is heard."""
    samples = clicks(2.0)
    samples[-20:] = 0.9
    film = decode(
        write_film(tmp_path / "a.flac", picture=None, sound="flac", samples=samples), EVERY
    )
    assert film.audio.size == 32_000
    assert np.abs(film.audio[-4:]).max() > 8000


def test_padding_is_trimmed(tmp_path):
    """AAC comes in frames of 1024 samples; what fills the last one is not part of the film."""
    film = decode(write_film(tmp_path / "a.mp4", seconds=2.01, picture=None), EVERY)
    assert film.audio.size == ticks(2.01)


@pytest.mark.parametrize(
    ("name", "sound", "options"),
    [
        ("a.ts", "mp2", {}),
        ("a.ts", "aac", {}),
        ("a.mpg", "mp2", {}),
        ("a.mpg", "ac3", {}),
        ("a.wma", "libmp3lame", {}),
        ("a.ac3", "ac3", {}),
        ("a.mp3", "libmp3lame", {"write_xing": "0"}),
        ("a.wav", "ac3", {}),
        ("a.aac", "aac", {}),
        ("a.mkv", "aac", {}),
    ],
)
def test_an_end_that_ffmpeg_guesses_cuts_nothing(tmp_path, name, sound, options):
    """Where no header states how long the sound is, all of it that is in the file is kept."""
    import av

    path = write_film(
        tmp_path / name, 2.01, picture=None, sound=sound, rate=48_000, options=options
    )
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert decode(path, EVERY).audio.size == -(-samples // 3)


def test_gap_stays_a_gap(tmp_path):
    """Where packets are missing, what follows keeps its time, and the hole is listed."""
    film = decode(write_film(tmp_path / "a.mp4", sound_gap=(1.2, 2.2)), EVERY)
    assert found_clicks(film.audio) == pytest.approx([8000, 40_000, 56_000], abs=1)
    ((start, end),) = film.audio_gaps
    assert 15_000 < end - start < 17_000
    assert np.abs(film.audio[start + 200 : end - 200]).max() < 20


def test_scene_changes_are_found(tmp_path):
    frames = np.concatenate(
        [np.full((n, 48, 64, 3), v, np.uint8) for n, v in ((30, 60), (45, 160), (25, 30))]
    )
    film = decode(write_film(tmp_path / "a.mp4", frames=frames, sound=None), EVERY)
    assert (film.changes / 16_000).tolist() == pytest.approx([1.2, 3.0], abs=1e-3)


def test_damage_in_mid_stream_keeps_the_rest(tmp_path):
    """Intact frames are kept, broken ones left out, and the source lists the errors."""
    noise = np.random.default_rng(0).integers(0, 255, (100, 48, 64, 3), dtype=np.uint8)
    path = damage(write_film(tmp_path / "a.mp4", frames=noise, sound=None))
    film = decode(path, EVERY)
    assert any("does not decode" in error or "damaged" in error for error in film.source.errors)
    assert 40 <= len(film.frames) < 100


def test_cut_off_file_keeps_what_it_has(tmp_path):
    path = write_film(tmp_path / "a.ts", sound="mp2")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    film = decode(path, EVERY)
    assert 1 < seconds(film.duration) < 3
    assert found_clicks(film.audio)[0] + 320 == pytest.approx(flash_times(film)[0], abs=1)


def test_cover_art_is_no_film(tmp_path):
    for name, sound in (("a.mp3", "libmp3lame"), ("a.flac", "flac")):
        path = write_film(tmp_path / name, seconds=2, picture=None, sound=sound, cover=True)
        film = decode(path, EVERY)
        assert film.frames == ()
        assert film.audio.size == 32_000
        assert film.source.stream("video") is None
        assert any(stream.cover for stream in film.source.streams)


def test_a_film_may_lack_sound_or_picture(tmp_path):
    film = decode(write_film(tmp_path / "a.mp4", seconds=1, sound=None), EVERY)
    assert film.audio is None
    assert len(film.frames) == 25
    film = decode(write_film(tmp_path / "a.wav", seconds=1, picture=None, sound="pcm_s16le"), EVERY)
    assert film.frames == ()
    assert film.picture_end == 0
    assert film.duration == 16_000


def test_tracks_are_chosen_by_language_then_default(tmp_path):
    sounds = [("fra", True), ("eng", False)]
    text = [("fra", [(0.5, 1.5, "Bonjour.")]), ("eng", [(0.5, 1.5, "Hello."), (2.0, 2.5, "Bye.")])]
    path = write_film(tmp_path / "a.mp4", sounds=sounds, text=text)
    chosen = {lang: probe(path, lang).stream("audio").index for lang in ("en", "fr", "ja")}
    assert chosen == {"en": 2, "fr": 1, "ja": 1}
    assert [cue.text for cue in decode(path, EVERY).cues] == ["Hello.", "Bye."]
    assert [cue.text for cue in decode(path, replace(EVERY, language="fra")).cues] == ["Bonjour."]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mov_text"), ("a.mkv", "subrip"), ("b.mkv", "webvtt")]
)
def test_text_inside_the_film(tmp_path, name, codec):
    cues = [(0.5, 1.5, "Héllo <i>you</i>."), (2.0, 3.25, "VISITOR: 3:2?")]
    film = decode(write_film(tmp_path / name, text=[("eng", cues)], text_codec=codec), EVERY)
    assert [(c.start, c.end, c.text) for c in film.cues] == [
        (8000, 24_000, "Héllo you."),
        (32_000, 52_000, "VISITOR: 3:2?"),
    ]
    assert {cue.text_source for cue in film.cues} == {"embedded"}


def test_text_beside_the_film_comes_first_and_once(tmp_path):
    path = write_film(tmp_path / "a.mp4", text=[("eng", [(0.5, 1.5, "Inside.")])])
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nBeside, SRT.\n")
    assert [cue.text for cue in decode(path, EVERY).cues] == ["Beside, SRT."]
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nBeside, VTT.\n")
    assert [cue.text for cue in decode(path, EVERY).cues] == ["Beside, SRT."]
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Guide>Beside, VTT.\n")
    film = decode(path, EVERY)
    assert [(cue.text, cue.role) for cue in film.cues] == [("Beside, VTT.", "guide")]
    assert film.source.text_uri == str(tmp_path / "a.vtt")
    (tmp_path / "a.vtt").write_text("")
    (tmp_path / "a.srt").write_text("")
    assert [cue.text for cue in decode(path, EVERY).cues] == ["Inside."]


@pytest.mark.parametrize(
    ("starts", "errors"),
    [
        ((0, 1, 2, 3.9), []),
        ((0, 1, 2, 30, 60), ["2 of 5 cues begin after the film ends at 0:04.000"]),
        ((0, 0, 0), ["all 3 cues begin at 0:00.000: their times are meaningless"]),
    ],
)
def test_text_that_cannot_be_this_films_is_kept_and_named(tmp_path, starts, errors):
    """Subtitles of a longer film, or without times; one that only outlasts the film is no error."""
    path = write_film(tmp_path / "a.mp4", sound=None)
    (tmp_path / "a.srt").write_text(
        "".join(f"00:00:{at:06.3f} --> 00:01:10\nLine {n}.\n\n" for n, at in enumerate(starts))
    )
    film = decode(path, EVERY)
    assert len(film.cues) == len(starts)
    assert film.source.errors == tuple(f"{tmp_path / 'a.srt'}: {error}" for error in errors)


def test_what_is_no_media_is_said_in_one_line(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a film at all\n" * 40)
    (tmp_path / "notes.txt").write_text("not a film at all\n" * 40)
    (tmp_path / "words.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello.\n")
    Image.new("RGB", (32, 32)).save(tmp_path / "still.png")
    whole = write_film(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])  # its index stands at its end

    for name, expected in {
        "none.mp4": MissingFileError,
        "empty.mp4": EmptyFileError,
        "text.mp4": NotMediaError,
        "notes.txt": NotMediaError,
        "still.png": NotMediaError,
        "headless.mp4": NotMediaError,
        "words.srt": NothingDecodableError,
        ".": MissingFileError,
    }.items():
        with pytest.raises(expected) as caught:
            decode(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 1


def test_probe_reads_headers(tmp_path):
    path = write_film(tmp_path / "a.mp4", seconds=2)
    source = probe(path)
    assert [(s.kind, s.codec, s.start, s.width, s.channels) for s in source.streams] == [
        ("video", "h264", 0, 64, None), ("audio", "aac", 0, None, 2)
    ]  # fmt: skip
    assert source.duration == pytest.approx(32_000, abs=16)
    assert len(source.id) == 16
    assert source.id == probe(path.rename(tmp_path / "b.mp4")).id

"""Malformed and hostile media files: the sound part is decoded, or one line gives the reason."""

import io
import os
import re
import socket
import struct
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from media_files import RATE, damage, edit, flash_times, found_clicks, write_film
from PIL import Image

from omni_lab.config import TripletConfig
from omni_lab.media import probe as probing
from omni_lab.media.decoding import decode
from omni_lab.media.errors import MissingFileError, NothingDecodableError, NotMediaError
from omni_lab.media.probe import probe

EVERY = TripletConfig(frames_per_second=25.0, image_size=48)


# What is no film


def test_what_is_no_ordinary_file_is_refused_unopened(tmp_path):
    """A pipe would block for ever, a device never ends, a loop leads nowhere."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    for path, reason in (
        (tmp_path / "pipe.mp4", "no ordinary file"),
        (Path("/dev/zero"), "no ordinary file"),
        (tmp_path, "is a folder"),
        (tmp_path / "loop.mp4", "symbolic links"),
        (tmp_path / ("x" * 300 + ".mp4"), "too long"),
        ("a\0b.mp4", "has a null byte in its name"),
        ("https://example.org/film.mp4", "only local files"),
        ("file:///etc/hostname", "only local files"),
    ):
        with pytest.raises(MissingFileError, match=reason) as caught:
            decode(path)
        assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = write_film(tmp_path / "a.mp4", seconds=0.2)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MissingFileError, match="may not be read"):
        decode(path)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(MissingFileError, match="may not be read"):
        decode(path)


def playlists(folder: Path, target: str) -> dict[str, str]:
    """Lists of every kind that name one film."""
    return {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n",
        "list.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "list.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT4S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "list.url": f"[InternetShortcut]\nURL={target}\n",
        "list.pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    }


def test_lists_of_films_are_refused(tmp_path):
    """A list could name any file of the reader's own disk: none is opened, even beside the list."""
    import av

    write_film(tmp_path / "a.ts", seconds=2, sound="mp2")
    for target in ("a.ts", str(tmp_path / "a.ts"), f"file:{tmp_path}/a.ts"):
        for name, text in playlists(tmp_path, target).items():
            (tmp_path / name).write_text(text)
            with pytest.raises(NotMediaError, match="points to other files"):
                decode(tmp_path / name)
    (tmp_path / "list.m3u8").write_text(playlists(tmp_path, "a.ts")["list.m3u8"])
    with av.open(str(tmp_path / "list.m3u8")) as container:  # FFmpeg by itself does follow it
        assert len(container.streams) == 2


def test_no_address_is_opened(tmp_path):
    """A server on this machine that counts its visitors sees none."""
    visits = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)

    def wait():
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            visits.append(connection.recv(100))
            connection.close()

    stop = threading.Event()
    thread = threading.Thread(target=wait)
    thread.start()
    for name, text in playlists(
        tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
    ).items():
        (tmp_path / name).write_text(text)
        with pytest.raises(NotMediaError):
            decode(tmp_path / name)
    with pytest.raises(MissingFileError):
        decode(f"http://127.0.0.1:{server.getsockname()[1]}/a.ts")
    stop.set()
    thread.join()
    server.close()
    assert visits == []


@given(
    st.binary(min_size=1, max_size=400),
    st.sampled_from(["mp4", "mkv", "ts", "avi", "mp3", "txt", "srt", "gif"]),
)
@example(b"\t" + bytes(23), "ts")  # to FFmpeg this is a packet of karaoke graphics
def test_any_bytes_are_pictures_or_end_in_a_typed_error(tmp_path_factory, data, suffix):
    path = tmp_path_factory.getbasetemp() / f"noise.{suffix}"
    path.write_bytes(data)
    try:
        film = decode(path)
    except (NotMediaError, NothingDecodableError):
        return
    assert film.frames or film.audio is not None


def test_animations(tmp_path):
    """GIF and animated PNG are films; WebP is refused as what it is, still or not."""
    pictures = [Image.new("RGB", (32, 32), (40 * i, 0, 0)) for i in range(6)]
    for name in ("a.gif", "a.apng", "a.webp"):
        form = {"a.apng": "PNG"}.get(name)
        pictures[0].save(
            tmp_path / name, form, save_all=True, append_images=pictures[1:], duration=100
        )
    for name in ("a.gif", "a.apng"):
        assert decode(tmp_path / name, EVERY).frame_times.tolist() == [1600 * i for i in range(6)]
    with pytest.raises(NotMediaError, match="make a GIF or an MP4 first"):
        decode(tmp_path / "a.webp")


# Cut off and broken


@pytest.mark.parametrize(
    ("name", "picture", "sound"),
    [
        ("a.mkv", "libx264", "flac"),
        ("a.avi", "mpeg4", "pcm_s16le"),
        ("a.flv", "libx264", "aac"),
        ("a.mpg", "mpeg2video", "mp2"),
        ("a.webm", "libvpx-vp9", "libopus"),
    ],
)
def test_a_cut_off_file_keeps_what_it_has(tmp_path, name, picture, sound):
    rate = 48_000 if sound in ("libopus", "mp2") else RATE
    path = write_film(tmp_path / name, picture=picture, sound=sound, rate=rate)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    film = decode(path, EVERY)
    assert film.duration > 16_000
    assert len(flash_times(film)) >= 1
    assert 1 <= len(found_clicks(film.audio)) < 4


def test_fragments_survive_a_cut(tmp_path):
    """A fragmented MP4 has its index piece by piece: the pieces before the cut play."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = write_film(tmp_path / "a.mp4", options=options)
    whole = decode(path, EVERY)
    assert len(whole.frames) == 100
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    film = decode(path, EVERY)
    assert 20 < len(film.frames) < 100
    assert found_clicks(film.audio)[0] == pytest.approx(found_clicks(whole.audio)[0], abs=0.01)


def test_damaged_sound_keeps_its_place(tmp_path):
    """Where packets are broken the sound has a hole; what follows stays where it belongs."""
    path = damage(write_film(tmp_path / "a.ts", sound="mp2", rate=48_000, picture=None), 0.4, 3000)
    film = decode(path, EVERY)
    assert film.source.errors
    first, *_, last = found_clicks(film.audio, film.audio_start)
    assert (last - first) % 16_000 == pytest.approx(0, abs=1) or (
        last - first
    ) % 16_000 == pytest.approx(16_000, abs=1)


def test_what_is_wrong_again_and_again_is_one_line(tmp_path):
    """With its place, also in sound alone, and how often."""
    path = write_film(tmp_path / "a.mkv", sound="ac3", rate=48_000, picture=None)
    data = path.read_bytes()
    head = data.find(b"\x0b\x77", len(data) // 2)
    path.write_bytes(data[:head] + data[head:].replace(b"\x0b\x77", b"\0\0"))
    (error,) = decode(path).source.errors
    assert re.fullmatch(
        r"audio does not decode near 0:02\.\d{3}: .* \(\d\d times, the last near 0:03\.9\d\d\)",
        error,
    )


def test_no_more_is_said_than_can_be_read(tmp_path):
    """A recording of 24 pieces whose clocks begin anew: 20 jumps are named, the rest counted."""
    path = write_film(tmp_path / "a.ts", seconds=2, sound=None)
    path.write_bytes(24 * path.read_bytes())
    *named, last = decode(path).source.errors
    assert len(named) == 20
    assert all("clock jumps" in error for error in named)
    assert last == "and 3 more errors"


def test_headers_that_lie_about_length(tmp_path):
    """The container says ten minutes, the film has two seconds: what was decoded counts."""
    path = write_film(tmp_path / "a.mkv", seconds=2, sound="flac")
    data = path.read_bytes()
    # The element Duration: a float of 8 bytes, in milliseconds.
    at = data.index(b"\x44\x89\x88") + 3
    path.write_bytes(data[:at] + struct.pack(">d", 600_000.0) + data[at + 8 :])
    assert probe(path).duration == 600 * 16_000
    film = decode(path, EVERY)
    assert film.duration == 32_000
    assert film.audio.size == 32_000


@pytest.mark.parametrize(
    ("name", "picture", "sound"),
    [("a.mkv", "libx264", "flac"), ("a.webm", "libvpx-vp9", "libopus"), ("a.flv", "flv1", "aac")],
)
def test_a_live_recording_has_no_length(tmp_path, name, picture, sound):
    """A file written without seeking back states no length, and has all of its film."""
    rate = 48_000 if sound == "libopus" else RATE
    path = write_film(tmp_path / name, picture=picture, sound=sound, rate=rate, live=True)
    film = decode(path, EVERY)
    assert len(film.frames) == 100
    assert film.picture_end == pytest.approx(64_000, abs=640)
    assert len(found_clicks(film.audio)) == 4


def test_a_track_that_begins_in_mid_file_ends_nothing(tmp_path):
    """Late captions in an FLV are a track missing in its header: the others are read to the end."""
    path = write_film(tmp_path / "a.flv", picture="flv1")
    data, at = path.read_bytes(), 13
    for _ in range(230):  # tags of picture and sound: a head of 11 bytes, the data, their length
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    body = b"\x02\0\x0aonTextData\x08\0\0\0\x01\0\x04text\x02\0\x03Hey\0\0\x09"
    tag = b"\x12" + len(body).to_bytes(3, "big") + data[at + 4 : at + 8] + bytes(3) + body
    path.write_bytes(data[:at] + tag + len(tag).to_bytes(4, "big") + data[at:])
    film = decode(path, EVERY)
    assert len(film.frames) == 100
    assert len(found_clicks(film.audio)) == 4
    assert film.source.errors == ()


def test_a_disk_that_fails_keeps_what_was_read(tmp_path, monkeypatch):
    """Read errors while decoding, opening and hashing: a partial film, or one line."""

    class Failing(io.FileIO):
        def read(self, size=-1):
            if self.tell() >= limit:
                raise OSError(5, "Input/output error")
            return super().read(size)

    path = write_film(tmp_path / "a.mkv", picture="ffv1", sound="pcm_s16le")
    limit = path.stat().st_size // 2
    monkeypatch.setattr(probing, "open_file", Failing)
    film = decode(path, EVERY)
    assert 20 < len(film.frames) < 80
    assert any(
        "reading stopped near 0:0" in error and "Input/output" in error
        for error in film.source.errors
    )
    limit = 0
    with pytest.raises(NotMediaError, match="Input/output"):
        decode(path)
    monkeypatch.undo()

    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(probing, "content_id", fail)
    with pytest.raises(MissingFileError, match="to its end"):
        decode(path)


@pytest.mark.parametrize(
    ("name", "picture"), [("a.ts", "libx264"), ("a.flv", "flv1"), ("a.mkv", "libx264")]
)
def test_a_film_of_one_picture_lasts_as_long_as_it(tmp_path, name, picture):
    """Where nothing says how long it stands, it stands for a usual frame: no film has no length."""
    film = decode(write_film(tmp_path / name, times=[0.0], sound=None, picture=picture))
    assert len(film.frames) == 1
    assert film.duration == 640


# Edit lists and tracks


def test_edit_lists(tmp_path):
    """An empty edit delays; an edit may begin between key frames; several play in a row."""
    whole = write_film(tmp_path / "a.mp4", sound=None).read_bytes()
    first = 2 / 25  # B-frames are shown two frames late, which the edit list takes back
    for edits, frames, flash_s in (
        ([(4.0, first)], 100, [0.52, 1.52, 2.52, 3.52]),
        ([(0.5, None), (2.0, first + 0.2)], 50, [0.32, 1.32]),
        # FFmpeg puts later pieces a frame (0.04 s) late
        ([(1.0, first + 0.28), (1.0, first + 2.0)], 50, [0.24, 1.56]),
    ):
        path = tmp_path / "b.mp4"
        path.write_bytes(whole)
        film = decode(edit(path, edits), EVERY)
        assert len(film.frames) == frames
        np.testing.assert_allclose(flash_times(film) / 16_000, flash_s, atol=1e-3)


def test_tracks_say_what_they_are(tmp_path):
    """Language and disposition of every track are recorded, chosen or not."""
    path = write_film(
        tmp_path / "a.mkv", seconds=0.4, sounds=[("fra", True), ("eng", False)], sound="flac"
    )
    source = probe(path)
    assert [(s.language, s.disposition, s.chosen) for s in source.streams if s.kind == "audio"] == [
        ("fra", ("default",), False),
        ("eng", (), True),
    ]


def test_an_unknown_codec(tmp_path):
    """A track without a decoder is skipped, and recorded with an unknown codec."""
    path = write_film(tmp_path / "a.mkv", seconds=1, sound="ac3", rate=48_000)
    path.write_bytes(path.read_bytes().replace(b"A_AC3", b"A_ZZZ"))
    film = decode(path, EVERY)
    assert film.audio is None
    assert len(film.frames) == 25
    assert [s.codec for s in film.source.streams] == ["h264", "unknown"]


def test_a_codec_is_called_the_same_whichever_decoder_reads_it(tmp_path):
    """FFmpeg's decoder names (`mp3float`, `libdav1d`) depend on its build; the codec's do not."""
    assert [
        s.codec for s in probe(write_film(tmp_path / "a.mp3", picture=None, sound="mp3")).streams
    ] == ["mp3"]
    path = write_film(
        tmp_path / "a.webm", seconds=0.4, picture="libsvtav1", sound="libopus", rate=48_000
    )
    assert [s.codec for s in probe(path).streams] == ["av1", "opus"]


def test_cover_art_of_m4a(tmp_path):
    path = write_film(tmp_path / "a.mp4", seconds=2, picture=None, cover=True)
    film = decode(path.rename(tmp_path / "a.m4a"), EVERY)
    assert film.frames == ()
    assert film.audio.size == 32_000


@pytest.mark.parametrize(
    ("channels", "level"), [(1, 8000), (3, 8000), (7, 8000), (24, 8000), (9, None)]
)
def test_channels_without_a_place(tmp_path, channels, level):
    """Unnamed channels are mixed where FFmpeg knows a downmix; else the error names the sound."""
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.full((8000, channels), 8000, "<i2").tobytes())
    if level is None:
        with pytest.raises(NothingDecodableError, match="cannot be converted"):
            decode(tmp_path / "a.wav")
    else:
        assert decode(tmp_path / "a.wav").audio[4000] == pytest.approx(level, abs=2)

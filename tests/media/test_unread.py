"""What cannot be read: unknown side data costs nothing, and streams that go unread are named."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from media_files import BLUE, GREEN, RED, corners, encoded, write_film
from PIL import Image

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.errors import NothingDecodableError
from omni_lab.media.probe import probe

EVERY = TripletConfig(frames_per_second=25.0, image_size=48)
TEXT = [("eng", [(0.0, 0.5, "Hello.")])]
LCEVC = b"\xb4\x00\x50\x00enhancement"  # user data in the pictures, by ITU-T T.35


def exif(orientation: int) -> bytes:
    """APP1 segment of a JPEG that holds an orientation only."""
    entry = struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0II*\0\x08\0\0\0" + entry
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def write_motion_jpeg(path, orientation: int):
    """Five pictures as a camera writes them, each with its EXIF."""
    picture = encoded(Image.fromarray(corners(48, 32)), "JPEG", quality=95)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
        for number in range(5):
            packet = av.Packet(picture[:2] + exif(orientation) + picture[2:])
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


def captions(*triplets: tuple[int, int, int]) -> bytes:
    """User data of closed captions (ATSC A/53)."""
    head = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(triplets), 0xFF])
    return head + b"".join(map(bytes, triplets)) + b"\xff"


def write_user_data(path, data: bytes):
    """H.264 film of ten pictures, each with user data before it (the data hold no 00 00 0x)."""
    message = b"\0\0\0\1\x06\x04" + bytes([len(data)]) + data + b"\x80"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        packets = []
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        for packet in packets + stream.encode(None):
            new = av.Packet(message + bytes(packet))
            new.stream, new.time_base = stream, packet.time_base
            new.pts, new.dts, new.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
            container.mux(new)
    return path


def renamed(path, *names: tuple[bytes, bytes]):
    """File with codec names of its header replaced."""
    data = path.read_bytes()
    for old, new in names:
        assert len(old) == len(new) and old in data
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["avi", "mov", "mkv"])
@pytest.mark.parametrize(
    ("orientation", "top_left", "top_right"),
    [(1, RED, GREEN), (2, GREEN, RED), (3, BLUE, GREEN), (6, GREEN, RED), (7, BLUE, GREEN)],
)
def test_motion_jpeg_with_exif_is_read_and_upright(
    tmp_path, suffix, orientation, top_left, top_right
):
    film = decode(write_motion_jpeg(tmp_path / f"a.{suffix}", orientation), EVERY)
    assert (len(film.frames), film.source.errors) == (5, ())
    picture = np.asarray(Image.open(io.BytesIO(film.frames[0]))).astype(int)
    assert picture.shape == ((48, 32, 3) if orientation > 4 else (32, 48, 3))
    assert np.abs(picture[3, 3] - top_left).max() < 20
    assert np.abs(picture[3, -3] - top_right).max() < 20


def test_side_data_that_no_list_knows_costs_nothing(tmp_path):
    film = decode(write_user_data(tmp_path / "a.mp4", LCEVC), EVERY)
    assert (len(film.frames), film.source.errors) == (10, ())


@pytest.mark.parametrize(
    ("triplet", "said"),
    [
        ((0xFC, 0x54, 0xE5), True),  # CEA-608: two letters
        ((0xFF, 0x02, 0x21), True),  # CEA-708: a packet begins
        ((0xFC, 0x80, 0x80), False),  # padding
        ((0xFC, 0x94, 0x2C), False),  # "erase the screen", but no text
        ((0xF8, 0x54, 0xE5), False),  # not valid
    ],
)
def test_closed_captions_in_the_pictures_are_named(tmp_path, triplet, said):
    film = decode(write_user_data(tmp_path / "a.ts", captions(triplet)), EVERY)
    assert len(film.frames) == 10
    assert [("captions" in error) for error in film.source.errors] == [True] * said


@pytest.mark.parametrize(
    ("name", "picture", "sound", "codec", "named"),
    [
        ("a.m4a", None, "aac", b"ac-4", "audio stream 0 (ac4)"),
        ("a.m4a", None, "aac", b"mha1", "audio stream 0 (mha1)"),
        ("a.mp4", "libx264", None, b"dav1", "video stream 0 (dav1)"),
    ],
)
def test_a_film_whose_only_stream_has_no_decoder_names_the_codec(
    tmp_path, name, picture, sound, codec, named
):
    path = write_film(tmp_path / name, seconds=0.5, picture=picture, sound=sound)
    known = [(b"avc1", codec)] if picture else [(b"mp4a", codec), (b"esds", b"free")]
    renamed(path, *known)
    for read in (decode, probe):
        with pytest.raises(NothingDecodableError) as caught:
            read(path)
        assert f"{named} not read: no decoder" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "codec", "names", "line"),
    [
        ("a.mp4", "mov_text", [(b"tx3g", b"stpp")], "(ttml) not read: no decoder for it"),
        ("a.mp4", "mov_text", [(b"tx3g", b"wvtt")], "(wvtt) not read: no decoder for it"),
        ("a.mp4", "mov_text", [(b"tx3g", b"c608")], "(eia_608) not read: no reader for it"),
        (
            "a.mkv",
            "webvtt",
            [(b"D_WEBVTT/SUBTITLES", b"S_TEXT/WEBVTT\0\0\0\0\0")],
            "(unknown) not read: no decoder for it",
        ),
        (
            "a.mkv",
            "subrip",
            [(b"S_TEXT/UTF8", b"S_HDMV/PGS\0")],
            "(hdmv_pgs_subtitle) not read: pictures, not text",
        ),
    ],
)
def test_subtitles_that_are_left_out_are_named(tmp_path, name, codec, names, line):
    path = write_film(tmp_path / name, seconds=0.5, text=TEXT, text_codec=codec)
    assert decode(path).source.errors == ()
    renamed(path, *names)
    film = decode(path)
    assert film.frames and film.audio is not None and film.cues == ()
    assert film.source.errors == (f"subtitle stream 2 {line}",)


def test_a_second_stream_without_a_decoder_is_named(tmp_path):
    """Pictures stay without their sound and sound without its pictures; both are said."""
    path = write_film(tmp_path / "a.mp4", seconds=0.5, sounds=(("eng", True), ("ger", False)))
    renamed(path, (b"mp4a", b"ac-4"), (b"esds", b"free"))
    film = decode(path)
    assert film.frames and film.audio is None
    assert film.source.errors == ("audio streams 1, 2 (ac4) not read: no decoder for it",)

    film = decode(renamed(write_film(tmp_path / "b.mp4", seconds=0.5), (b"avc1", b"dav1")))
    assert not film.frames and film.audio is not None
    assert film.source.errors == ("video stream 0 (dav1) not read: no decoder for it",)


def test_the_level_of_the_log_stays_as_it_was(tmp_path):
    path = renamed(write_film(tmp_path / "a.mp4", seconds=0.2), (b"avc1", b"dav1"))
    for level in (None, av.logging.PANIC):
        av.logging.set_level(level)
        try:
            decode(path)
            assert av.logging.get_level() == level
        finally:
            av.logging.set_level(None)

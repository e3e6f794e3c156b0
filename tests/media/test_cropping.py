"""Declared cropping (MP4 `clap`, Matroska `PixelCrop`): borders that players do not show."""

import io
import struct

import av
import numpy as np
import pytest
from media_files import WHITE, corners, write_film
from PIL import Image

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.images.cropping import Borders

EVERY = TripletConfig(frames_per_second=25.0, image_size=48)
WIDTH, HEIGHT = 96, 64
INSIDE = Borders(left=20, right=12, top=8, bottom=16)  # leaves 64 × 40
ENTRY = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]
HEADS = {b"stsd": 8, b"avc1": 78}  # bytes of a box before the boxes in it
SEGMENT, TRACKS, TRACK, VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0


def bordered(path, borders: Borders, declared: bool = True, **options):
    """Film of corners within a black border, which is declared in the container."""
    page = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    width, height = borders.leave(WIDTH, HEIGHT)
    page[borders.top :, borders.left :][:height, :width] = corners(width, height)
    frames = np.repeat(page[None], 5, axis=0)
    film = path.with_suffix(".mp4")
    write_film(film, 0.2, sound=None, size=(WIDTH, HEIGHT), frames=frames, **options)
    if declared:
        declare(film, borders)
    return film if path == film else remuxed(film, path)


def declare(path, borders: Borders):
    """Clean aperture of an MP4: its size, and where its centre lies beside the picture's."""
    width, height = borders.leave(WIDTH, HEIGHT)
    right, down = borders.left - borders.right, borders.top - borders.bottom
    box = struct.pack(">I4s4I2i", 40, b"clap", width, 1, height, 1, right, 2)
    path.write_bytes(with_box(path.read_bytes(), ENTRY, box + struct.pack(">2i", down, 2)))


def with_box(data: bytes, path: list[bytes], box: bytes) -> bytes:
    """MP4 data with a box added at the end of those at a path of boxes."""
    new, at = b"", 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body, head = data[at + 8 : at + size], HEADS.get(kind, 0)
        if kind == path[0]:
            inner = with_box(body[head:], path[1:], box) if path[1:] else body[head:] + box
            body = body[:head] + inner
        new += struct.pack(">I4s", len(body) + 8, kind) + body
        at += size
    return new


def remuxed(film, path):
    """The same packets and declared cropping in another container."""
    with av.open(str(film)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return path


def number(data: bytes, at: int) -> tuple[int, int]:
    """Length in bytes and value of an EBML number, its marker included."""
    length = 9 - data[at].bit_length()
    return length, int.from_bytes(data[at : at + length], "big")


def with_element(data: bytes, path: list[int], element: bytes) -> bytes:
    """Matroska data with an element added at the end of those at a path of elements."""
    new, at = b"", 0
    while at < len(data):
        begin = at
        length, kind = number(data, at)
        at += length
        length, size = number(data, at)
        at, size = at + length, size ^ 1 << 7 * length
        body = data[at : at + size]
        if kind == path[0]:
            body = with_element(body, path[1:], element) if path[1:] else body + element
        head = data[begin : begin + number(data, begin)[0]]
        new += head + (1 << 56 | len(body)).to_bytes(8, "big") + body
        at += size
    return new


def first(film) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(film.frames[0]))).astype(int)


def is_corners(picture: np.ndarray) -> bool:
    """Four corners to the very edge: red, green, green, blue; nothing is black."""
    height, width, _ = picture.shape
    wanted = corners(width, height).astype(int)
    seam = np.zeros((height, width), bool)
    seam[height // 2 - 4 : height // 2 + 4] = seam[:, width // 2 - 4 : width // 2 + 4] = True
    return bool((np.abs(picture - wanted).max(-1)[~seam] < 60).all())


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("borders", [INSIDE, Borders(top=8, bottom=8)])
def test_borders_that_the_container_declares_are_cut_off(tmp_path, suffix, borders):
    film = decode(bordered(tmp_path / f"a.{suffix}", borders), EVERY)
    assert (len(film.frames), film.source.errors) == (5, ())
    picture = first(film)
    width, height = borders.leave(WIDTH, HEIGHT)
    scale = min(1, 48 / min(width, height))
    assert picture.shape == (round(height * scale), round(width * scale), 3)
    assert is_corners(picture)


def test_borders_that_nobody_declares_stay(tmp_path):
    film = decode(bordered(tmp_path / "a.mp4", INSIDE, declared=False), EVERY)
    assert first(film).shape == (48, 72, 3)
    assert not is_corners(first(film))


def test_cropping_comes_before_turning(tmp_path):
    film = decode(bordered(tmp_path / "a.mp4", INSIDE, rotation=90), EVERY)
    picture = first(film)
    assert picture.shape == (64, 40, 3)
    assert is_corners(picture[::-1].transpose(1, 0, 2)) or is_corners(
        picture[:, ::-1].transpose(1, 0, 2)
    )


@pytest.mark.parametrize(("shown", "shape"), [((64, 40), (40, 64)), ((64, 20), (20, 64))])
def test_a_stated_display_size_is_that_of_the_cropped_picture(tmp_path, shown, shape):
    """Matroska's `DisplayWidth` and `DisplayHeight` give the picture's shape after cropping."""
    path = bordered(tmp_path / "a.mkv", INSIDE)
    unknown = b"\x54\xb2\x81\x04"  # DisplayUnit
    data = path.read_bytes().replace(unknown, b"\x54\xb2\x81\x00")
    size = b"\x54\xb0\x81" + bytes([shown[0]]) + b"\x54\xba\x81" + bytes([shown[1]])
    path.write_bytes(with_element(data, [SEGMENT, TRACKS, TRACK, VIDEO], size))
    picture = first(decode(path, EVERY))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(shape[1] / shape[0], rel=0.02)
    assert is_corners(picture)


def test_odd_borders_leave_no_black_line(tmp_path):
    """Colours are stored for two pixels at once: at the very edge they mix, but nothing is black."""
    picture = first(decode(bordered(tmp_path / "a.mp4", Borders(5, 1, 7, 3)), EVERY))
    assert picture.shape == (48, 80, 3)
    assert is_corners(picture[2:-2, 2:-2])
    assert min(picture[0].sum(-1).min(), picture[:, 0].sum(-1).min()) > 150


def test_cropping_that_leaves_nothing_is_ignored_and_said(tmp_path):
    """The header speaks of large pictures, but those of the stream are small."""
    path = write_film(tmp_path / "a.mkv", 0.2, sound=None, size=(16, 16))
    data = path.read_bytes().replace(b"\xb0\x81\x10\xba\x81\x10", b"\xb0\x81\x60\xba\x81\x40")
    top = b"\x54\xbb\x81\x10"
    path.write_bytes(with_element(data, [SEGMENT, TRACKS, TRACK, VIDEO], top))
    film = decode(path, EVERY)
    assert first(film).shape == (16, 16, 3)
    (error,) = film.source.errors
    assert "declared by the container leaves no picture: ignored near 0:00.000 (5 times" in error


def test_a_title_that_looks_like_a_header_crops_nothing(tmp_path):
    path = tmp_path / "a.mkv"
    frames = np.full((5, HEIGHT, WIDTH, 3), WHITE, np.uint8)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "x\n  Stream #0:0: Video: none\n  Frame cropping: 9/9/9/9"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.metadata["Frame cropping: 9/9/9/9"] = "Frame cropping: 9/9/9/9"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    assert first(decode(path, EVERY)).shape == (48, 72, 3)

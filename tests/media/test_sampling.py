"""Frame sampling of every size, shape, depth and rotation: upright, in bounded memory."""

import io
import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import show_as, write_film
from PIL import Image

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.images.sampling import FramePicker

EVERY = TripletConfig(frames_per_second=25.0, image_size=48)


def picture(film, i: int = 0) -> np.ndarray:
    """One kept frame's pixels."""
    return np.asarray(Image.open(io.BytesIO(film.frames[i]))).astype(int)


def red_corner(pixels: np.ndarray) -> tuple[int, int]:
    """Row and column (0 or -1) of the one red corner."""
    ((y, x),) = [
        (y, x) for y in (0, -1) for x in (0, -1) if pixels[y][x][0] > 150 > pixels[y][x][1]
    ]
    return y, x


@pytest.mark.parametrize(
    ("matrix", "corner", "shape"),
    [
        ((-1, 0, 0, 1), (0, -1), (48, 64)),  # mirrored left to right
        ((1, 0, 0, -1), (-1, 0), (48, 64)),  # upside down
        ((0, 1, 1, 0), (0, 0), (64, 48)),  # mirrored at the diagonal
        ((0, -1, -1, 0), (-1, -1), (64, 48)),  # mirrored at the other
        ((0.97, 0.26, -0.26, 0.97), (0, 0), (48, 64)),  # 15 degrees: as it is
        ((0.26, 0.97, -0.97, 0.26), (0, -1), (64, 48)),  # 75 degrees: a quarter turn
        ((0, 0, 0, 0), (0, 0), (48, 64)),  # nonsense: as it is
    ],
)
def test_mirrors_and_odd_turns(tmp_path, matrix, corner, shape):
    """Mirroring display matrices are followed; any other angle becomes the nearest quarter turn."""
    film = decode(show_as(write_film(tmp_path / "a.mp4", seconds=0.4, sound=None), *matrix), EVERY)
    assert picture(film).shape == (*shape, 3)
    assert red_corner(picture(film)) == corner


@pytest.mark.parametrize("size", [(33, 17), (1, 1), (2, 1), (1, 50), (161, 91), (3, 400)])
def test_odd_sizes(tmp_path, size):
    """Odd and tiny sizes come out as they are: nothing is ever enlarged."""
    film = decode(
        write_film(tmp_path / "a.nut", seconds=0.4, picture="rawvideo", size=size, sound=None),
        EVERY,
    )
    scale = min(1, 48 / min(size))
    assert Image.open(io.BytesIO(film.frames[0])).size == tuple(
        round(side * scale) for side in size
    )
    assert len(film.frames) == 10


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [(Fraction(16, 15), (48, 68)), (Fraction(1, 2), (48, 32)), (Fraction(60_000, 1), (48, 64))],
)
def test_pixels_that_are_not_square(tmp_path, aspect, shape):
    """Wide pixels give a wide picture; an absurd ratio does not allocate gigabytes."""
    film = decode(write_film(tmp_path / "a.mp4", seconds=0.4, aspect=aspect, sound=None), EVERY)
    assert picture(film).shape == (*shape, 3)


FORMATS = [
    "yuv420p", "yuv420p10le", "yuv444p", "yuv422p", "yuvj420p", "yuv444p12le", "yuva420p", "gray",
    "gray10le", "gray16le", "gray16be", "gbrp", "gbrp10le", "rgb24", "bgr0", "rgba", "argb",
    "rgb48le", "rgb48be", "nv12", "p010le", "p016le", "yuyv422", "uyvy422", "yuv420p10be",
    "gbrpf32le",
]  # fmt: skip


@pytest.mark.parametrize("pixels", FORMATS)
def test_pixel_formats(pixels):
    """In every depth and order of bytes and colours, red is red and the one cut is found."""
    import av

    picker = FramePicker(EVERY)
    for i in range(20):
        colours = np.full((48, 64, 3), 60 if i < 10 else 250, np.uint8)
        colours[:12, :16] = (220, 20, 20)
        picker.add(av.VideoFrame.from_ndarray(colours).reformat(format=pixels), i * 640)
    picker.finish(20 * 640)
    dark, light = (np.asarray(Image.open(io.BytesIO(picker.jpegs[i]))).astype(int) for i in (0, 15))
    assert np.abs(light[40, 50] - 250).max() <= 4
    assert np.abs(dark[40, 50] - 60).max() <= 4
    if not pixels.startswith("gray"):
        assert np.abs(dark[4, 4] - (220, 20, 20)).max() <= 8
    jumps = np.array(picker.all_changes)
    assert 60 < jumps[10] < 256
    assert np.delete(jumps, 10).max() == 0


@pytest.mark.parametrize(
    ("space", "full", "grey"),
    [(1, 2, 60), (1, 1, 51), (9, 1, 51), (9, 2, 60), (0, 1, 51), (3, 1, 51)],
)
def test_tags_of_colour(space, full, grey):
    """Full and narrow range differ, and no tag (HDR, reserved, nonsense) breaks a picture."""
    import av

    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, (60, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = space, full, 16, 9
    picker = FramePicker(EVERY)
    picker.add(frame, 0)
    picker.finish(640)
    assert np.abs(np.asarray(Image.open(io.BytesIO(picker.jpegs[0]))).astype(int) - grey).max() <= 2


def test_palettes():
    """A picture of numbered colours comes out in those colours."""
    import av

    palette = np.zeros((256, 4), np.uint8)
    palette[7] = (255, 200, 60, 30)  # alpha, red, green, blue
    frame = av.VideoFrame.from_ndarray((np.full((48, 64), 7, np.uint8), palette), format="pal8")
    picker = FramePicker(EVERY)
    picker.add(frame, 0)
    picker.finish(640)
    shown = np.asarray(Image.open(io.BytesIO(picker.jpegs[0]))).astype(int)
    assert np.abs(shown - (200, 60, 30)).max() <= 3


def test_a_stream_that_changes_its_size(tmp_path):
    """Parts of another shape are letterboxed: the film keeps one size, without distortion."""
    wide = write_film(tmp_path / "a.ts", seconds=1, sound=None)
    tall = write_film(tmp_path / "b.ts", seconds=1, sound=None, size=(48, 64), picture_at=1.0)
    big = write_film(tmp_path / "c.ts", seconds=1, sound=None, size=(128, 96), picture_at=2.0)
    (tmp_path / "d.ts").write_bytes(wide.read_bytes() + tall.read_bytes() + big.read_bytes())
    film = decode(tmp_path / "d.ts", EVERY)
    assert {picture(film, i).shape for i in range(len(film.frames))} == {(48, 64, 3)}
    assert np.diff(film.frame_times).min() > 0
    assert len(film.frames) == pytest.approx(75, abs=2)
    framed = picture(film, 40)
    assert framed[:, :12].max() < 12
    assert framed[:, -12:].max() < 12
    assert picture(film, 70)[40, 4].min() > 20


@given(
    st.lists(st.integers(1, 9000), min_size=1, max_size=60),
    st.integers(0, 40_000),
    st.sampled_from([0.5, 2.0, 7.3]),
)
def test_kept_frames_are_nearest_to_the_grid(steps, first, rate):
    """Against a full search: a grid point inside the film keeps its nearest frame once."""
    import av

    times = first + np.cumsum([0, *steps[:-1]])
    end = int(times[-1]) + steps[-1]
    picker = FramePicker(TripletConfig(frames_per_second=rate))
    frame = av.VideoFrame.from_ndarray(np.zeros((2, 2, 3), np.uint8))
    for time in times:
        picker.add(frame, int(time))
    picker.finish(end)
    step = Fraction(16_000) / Fraction(rate)
    points = [(k + Fraction(1, 2)) * step for k in range(int(end / step) + 2)]
    wanted = [
        min(times, key=lambda t: (abs(t - p), t)) for p in points if first - step / 2 <= p < end
    ]
    assert picker.times == (list(dict.fromkeys(wanted)) or [int(times[-1])])


PEAK = """
import re, sys
from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
import av, PIL.Image
def megabytes(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = megabytes("VmRSS")
try:
    print(len(decode(sys.argv[1], TripletConfig()).frames))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
print(megabytes("VmHWM") - before)
"""


def peak_mb(path) -> tuple[str, int]:
    """Outcome of decoding in a new process (frames kept, or the error), and peak memory (MB)."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    )
    outcome, megabytes = done.stdout.splitlines()
    return outcome, int(megabytes)


def large_film(path, width: int, height: int, count: int):
    """A still picture of any size, some times."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "bf": "2"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        for i in range(count):
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_an_8k_film_fits_in_memory(tmp_path):
    """Frames of 50 MB each: only the decoder's few are held, on any number of cores."""
    kept, megabytes = peak_mb(large_film(tmp_path / "a.mp4", 7680, 4320, 24))
    assert kept == "2"
    assert megabytes < 900


@pytest.mark.parametrize(("side", "rows"), [(60_000, 0), (12_000, 12_000)])
def test_pictures_beyond_every_screen_are_refused(tmp_path, side, rows):
    """A header of 3.6 billion pixels, and 144 million in 600 kB: no memory for either."""
    import av

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    # A PNG whose header and pixel rows may disagree, as the only packet of a film.
    pixels = zlib.compress(bytes(rows * (side + 1)), 1)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.open()
        packet = av.Packet(png)
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        container.mux(packet)
    outcome, megabytes = peak_mb(tmp_path / "a.mov")
    assert outcome.startswith("NothingDecodableError")
    assert megabytes < 60

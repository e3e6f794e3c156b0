"""Still images that are refused: no picture, cut off, broken, or too large, each in one line."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from media_files import WRITABLE, corners, encoded
from PIL import Image

from omni_lab.media.errors import (
    EmptyFileError,
    HugePictureError,
    MediaError,
    MissingFileError,
    NotPictureError,
)
from omni_lab.media.images import stills
from omni_lab.media.images.stills import open_still


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG of 8-bit grey with any size in its header and any bytes for pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), "shape (3, 8, 8)"),
        (np.zeros(8, np.uint8), "shape (8,)"),
        (np.zeros((1, 8, 8, 3), np.uint8), "shape (1, 8, 8, 3)"),
        (np.zeros((8, 8, 5), np.uint8), "height × width"),
        (np.zeros((0, 8, 3), np.uint8), "8 × 0 pixels"),
        (np.zeros((8, 0), np.float32), "empty"),
        (np.zeros((8, 8), np.int64), "int64"),
        (np.zeros((8, 8), "U3"), "give uint8"),
        (np.full((8, 8), np.nan), "nan"),
        (np.array([[0, np.inf]]), "inf"),
        (np.array([[0, 1.01]]), "holds 0 to 1.01"),
        (np.array([[-0.5, 1]]), "from 0 (black)"),
    ],
)
def test_arrays_that_are_no_picture(array, message):
    """Each is refused with what it is and what would be right."""
    with pytest.raises(NotPictureError) as caught:
        open_still(array)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("thing", [b"bytes", [[0, 255]], None])
def test_other_things_are_called_neither_broken_nor_cut_off(thing):
    """For bytes or a list the error names what to give, not to fetch it again."""
    with pytest.raises(
        NotPictureError, match=rf"^the given {type(thing).__name__}: is no picture; give a path"
    ):
        open_still(thing)


def test_a_deep_image_with_pixels_that_are_no_number():
    """NaN in a float image is neither black nor white."""
    with pytest.raises(NotPictureError, match="no number"):
        open_still(Image.fromarray(np.array([[0.0, np.nan]], np.float32)))


SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">'
    b'<rect width="9" height="9"/></svg>'
)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    "body", [SVG, EPS, b"dear diary", b"\x00" * 100, b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n"]
)
def test_files_that_are_no_picture(tmp_path, body):
    """A drawing, a page, a letter: named by the file, with the forms that can be read."""
    (tmp_path / "a.png").write_bytes(body)
    with pytest.raises(
        NotPictureError, match=r"a\.png: is not a picture in a known format; give it as AVIF"
    ):
        open_still(tmp_path / "a.png")


def test_files_that_are_not_there(tmp_path):
    """A lost file, a folder, and a file of no bytes each say so."""
    (tmp_path / "empty.png").touch()
    for path, kind in (
        ("lost.png", MissingFileError),
        (".", MissingFileError),
        ("empty.png", EmptyFileError),
        ("\0", MissingFileError),
    ):
        with pytest.raises(kind):
            open_still(path)


@pytest.mark.parametrize("form", WRITABLE)
def test_a_file_that_is_cut_off(tmp_path, form):
    """Half a picture is no picture: it is not filled up with grey."""
    if form not in stills._formats():
        pytest.skip(f"this Pillow was built without {form}")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    body = encoded(Image.fromarray(noise), form)
    (tmp_path / "a").write_bytes(body[: len(body) // 2])
    with pytest.raises(NotPictureError):
        open_still(tmp_path / "a")


@pytest.mark.parametrize("side", [60_000, 13_000, 11_600])
def test_bombs_are_refused_before_they_are_decoded(tmp_path, side, monkeypatch):
    """Headers of 3.6 billion pixels, or just too many; a size that only Pillow minds is allowed."""
    import tracemalloc

    (tmp_path / "bomb.png").write_bytes(png(side, side))
    (tmp_path / "bomb.png").stat()
    # The allowed size is cut off instead: there are no pixels at all.
    kind = HugePictureError if side**2 > stills.MOST_PIXELS else NotPictureError
    if kind is HugePictureError:
        monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))

    tracemalloc.start()
    with pytest.raises(kind, match="134,217,728" if kind is HugePictureError else "cut-off"):
        open_still(tmp_path / "bomb.png")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_the_limit_holds_for_images_and_arrays(monkeypatch):
    """Also for what already lies in memory; just as many pixels as the limit are a picture."""
    monkeypatch.setattr(stills, "MOST_PIXELS", 12)
    assert open_still(np.zeros((4, 3), np.uint8)).shape == (4, 3, 3)
    for source in (np.zeros((4, 4), np.uint8), Image.new("L", (13, 1))):
        with pytest.raises(HugePictureError, match="more than 12"):
            open_still(source)


SEEDS = [
    encoded(Image.fromarray(corners(7, 5)).convert(mode), form)
    for form, mode in [
        ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("GIF", "P"), ("TIFF", "RGB"),
        ("BMP", "RGB"), ("PPM", "RGB"), ("TGA", "RGB"), ("WEBP", "RGB"), ("TIFF", "F"),
        ("JPEG2000", "RGB"),
    ]
]  # fmt: skip


@settings(
    max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    st.integers(0, 2000),
)
@example(SEEDS[0], [], 0)
def test_spoiled_files_end_in_a_picture_or_an_error(tmp_path, body, spoils, cut):
    """Any broken file gives pixels or one typed error line, never a warning or another error."""
    spoiled = bytearray(body)
    for at, value in spoils:
        spoiled[at % len(spoiled)] = value
    path = Path(tmp_path, "a")
    path.write_bytes(bytes(spoiled[: len(spoiled) - cut % len(spoiled)]))
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        # A spoiled header may claim a large size, which would take long.
        patch.setattr(stills, "MOST_PIXELS", 10_000_000)
        try:
            pixels = open_still(path)
        except MediaError as error:
            lines, pixels = str(error).splitlines(), None
    assert len(lines) == 1 if pixels is None else pixels.ndim == 3

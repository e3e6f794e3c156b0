"""Still image reading: files, PIL images and arrays as upright sRGB, or one clear error."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import BLUE, GREEN, RED, WHITE, WRITABLE, corners, encoded
from PIL import Image, ImageCms

from omni_lab.media.errors import (
    NotPictureError,
)
from omni_lab.media.images import stills
from omni_lab.media.images.stills import more_pictures, open_still

# Options for the least loss that a format allows
EXACT = {
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95},
}


def apart(one, other) -> int:
    """The largest difference of any channel of any pixel."""
    one, other = np.broadcast_arrays(np.asarray(one, int), np.asarray(other, int))
    return int(np.abs(one - other).max())


@pytest.mark.parametrize("form", WRITABLE)
def test_every_form_of_file(tmp_path, form):
    """Each format keeps its colours, from a str as from a Path, in an array that is writable."""
    if form not in stills._formats():
        pytest.skip(f"this Pillow was built without {form}")
    path = tmp_path / "picture.of.any.name"
    path.write_bytes(encoded(Image.fromarray(corners()), form, **EXACT.get(form, {})))
    pixels = open_still(path)
    assert apart(pixels[::15, ::23], corners()[::15, ::23]) <= (
        8 if form in ("AVIF", "JPEG") else 0
    )
    assert np.array_equal(pixels, open_still(str(path)))
    pixels[:] = 0


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns(tmp_path, form, orientation):
    """A picture stored turned or mirrored, as a phone does it, comes out as it was taken."""
    # The standard defines which side of the scene a file's first row and first column show.
    stored = corners()
    stored = stored.transpose(1, 0, 2) if orientation >= 5 else stored
    stored = stored[::-1] if orientation in (3, 4, 6, 7) else stored
    stored = Image.fromarray(stored[:, ::-1] if orientation in (2, 3, 7, 8) else stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").write_bytes(encoded(stored, form, exif=exif, **EXACT.get(form, {})))
    pixels = open_still(tmp_path / "a")
    assert pixels.shape == (16, 24, 3)
    assert apart(pixels[::15, ::23], corners()[::15, ::23]) <= 24


def test_broken_exif_turns_nothing(tmp_path):
    """Unreadable metadata is no reason to refuse readable pixels."""
    for name, exif in (
        ("a", b"Exif\x00\x00nonsense"),
        ("b", b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\x12" * 40),
    ):
        (tmp_path / name).write_bytes(encoded(Image.fromarray(corners()), "JPEG", exif=exif))
        assert open_still(tmp_path / name).shape == (16, 24, 3)


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA", "La", "PA"])
def test_see_through_pictures_lie_on_white(mode):
    """Clear is white, solid keeps its colour, half lies between, in every mode with alpha."""
    rgba = Image.fromarray(
        np.array([[(40, 40, 40, 0), (40, 40, 40, 255), (40, 40, 40, 128)]], np.uint8)
    )
    picture = rgba.convert("LA").convert("La") if mode == "La" else rgba.convert(mode)
    if mode == "PA":
        picture.putalpha(rgba.getchannel("A"))
    assert picture.mode == mode
    # A palette of 51 steps rounds by up to 12.
    assert apart(open_still(picture)[0, :, 0], (255, 40, 147)) <= 12 * (mode == "PA") + 1


@pytest.mark.parametrize(
    ("form", "mode"), [("GIF", "P"), ("PNG", "P"), ("PNG", "L"), ("PNG", "RGB"), ("PNG", "1")]
)
def test_a_colour_that_stands_for_clear(tmp_path, form, mode):
    """The one colour that a file names as see-through becomes white, the others stay."""
    picture = (
        Image.new("P", (2, 1), 1)
        if mode == "P"
        else Image.new(mode, (2, 1), {"RGB": GREEN, "1": 0}.get(mode, 9))
    )
    other = {"P": 2, "RGB": RED, "1": 255}.get(mode, 99)
    picture.putpixel((1, 0), other)
    if mode == "P":
        picture.putpalette([*WHITE, *GREEN, *RED])
    clear = {"RGB": GREEN, "P": 1, "1": 0}.get(mode, 9)
    (tmp_path / "a").write_bytes(encoded(picture, form, transparency=clear))
    seen = {"P": RED, "RGB": RED, "1": WHITE}.get(mode, (99, 99, 99))
    assert open_still(tmp_path / "a").tolist() == [[list(WHITE), list(seen)]]


def test_a_palette_with_an_alpha_for_each_colour(tmp_path):
    """As small PNGs of logos have it: bytes of alpha beside the palette."""
    picture = Image.new("P", (3, 1))
    picture.putpalette([*RED, *GREEN, *BLUE])
    picture.putdata([0, 1, 2])
    (tmp_path / "a.png").write_bytes(encoded(picture, "PNG", transparency=bytes([0, 255, 128])))
    assert apart(open_still(tmp_path / "a.png"), [[WHITE, GREEN, (137, 137, 237)]]) <= 1


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "RGBX", "HSV", "P"])
def test_other_ways_to_write_colours(mode):
    """Modes of print, video and palettes come out in the same colours."""
    picture = Image.fromarray(corners()).convert(mode, palette=Image.Palette.ADAPTIVE)
    assert apart(open_still(picture), corners()) <= 3


def test_a_cmyk_jpeg(tmp_path):
    """A press's JPEG is not shown as its own negative."""
    (tmp_path / "a.jpg").write_bytes(
        encoded(Image.fromarray(corners()).convert("CMYK"), "JPEG", quality=95)
    )
    assert apart(open_still(tmp_path / "a.jpg")[::15, ::23], corners()[::15, ::23]) <= 12


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I", "F"])
def test_deep_greys_are_scaled_not_clipped(mode):
    """Steps of 16 bits stay apart, black stays black and white white, in every deep mode."""
    greys = np.array([[0, 257 * 40, 257 * 200, 65_535]], np.uint16)
    picture = {
        "I": lambda: Image.fromarray(greys.astype(np.int32)),
        "F": lambda: Image.fromarray(greys.astype(np.float32)),
    }.get(
        mode,
        lambda: Image.frombytes(
            mode, (4, 1), greys.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
        ),
    )()
    assert picture.mode == mode
    assert open_still(picture)[0, :, 1].tolist() == [0, 40, 200, 255]


@pytest.mark.parametrize(
    ("values", "greys"),
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),  # of 1
        (np.array([[0, 128, 255]], np.float32), [0, 128, 255]),  # of 255, as PIL's own "F" has it
        (np.array([[0, 128, 255]], np.int32), [0, 128, 255]),
        (np.array([[-100, 0, 100]], np.float32), [0, 128, 255]),  # of no usual white: stretched
        (np.array([[-(2**31), 0, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.array([[-3e38, 0, 3e38]], np.float32), [0, 128, 255]),
        (np.array([[-5, -5, -5]], np.float32), [0, 0, 0]),
    ],
)
def test_the_white_of_wide_greys(values, greys):
    """White in 32 bits has no header: it is the least usual white that holds every pixel."""
    assert open_still(Image.fromarray(values))[0, :, 0].tolist() == pytest.approx(greys, abs=1)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_16_bit_file(tmp_path, form):
    """Scans and depth maps of 16 bits are not clipped at 255 of 65,535."""
    greys = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(greys), form))
    assert np.array_equal(open_still(tmp_path / "a")[..., 0].ravel(), np.arange(256))


def swapped_profile() -> bytes:
    """An RGB profile whose red is sRGB's green, and the other way round."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", icc, 128)
    tags = {bytes(icc[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = tags[b"rXYZ"] + 4, tags[b"gXYZ"] + 4
    icc[red : red + 8], icc[green : green + 8] = icc[green : green + 8], icc[red : red + 8]
    return bytes(icc).replace("sRGB".encode("utf-16-be"), "ours".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_follow_the_pictures_profile(tmp_path, mode):
    """Colour profiles are applied: here red means green. Without one, the numbers are sRGB."""
    picture = Image.new("RGB", (2, 2), (230, 10, 10)).convert(mode, palette=Image.Palette.ADAPTIVE)
    (tmp_path / "a.png").write_bytes(encoded(picture, "PNG", icc_profile=swapped_profile()))
    red, green, _ = open_still(tmp_path / "a.png")[0, 0].astype(int)
    assert green > 200 > 60 > red
    (tmp_path / "b.png").write_bytes(encoded(picture, "PNG", icc_profile=None))
    assert open_still(tmp_path / "b.png")[0, 0].tolist() == [230, 10, 10]


@pytest.mark.parametrize("profile", [b"nonsense", None])
def test_profiles_that_say_nothing(tmp_path, profile):
    """A broken profile, and one made for another kind of picture, leave the numbers as they are."""
    profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    (tmp_path / "a.png").write_bytes(
        encoded(Image.fromarray(corners()), "PNG", icc_profile=profile)
    )
    assert np.array_equal(open_still(tmp_path / "a.png"), corners())


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_picture(tmp_path, form):
    """Of pictures that move, or pages, the first."""
    first, second = (Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE))
    (tmp_path / "a").write_bytes(
        encoded(first, form, save_all=True, append_images=[second], **EXACT.get(form, {}))
    )
    assert apart(open_still(tmp_path / "a"), RED) <= 1


@pytest.mark.parametrize("form", ["AVIF", "GIF", "PNG", "WEBP", "TIFF"])
def test_further_pages_and_frames_are_counted(tmp_path, form):
    """Of a file and of a PIL image, which stays at its page."""
    pages = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, GREEN)]
    body = encoded(pages[0], form, save_all=True, append_images=pages[1:])
    (tmp_path / "a").write_bytes(body)
    assert more_pictures(tmp_path / "a") == 2
    image = Image.open(io.BytesIO(body))
    image.seek(1)
    assert (more_pictures(image), image.tell()) == (2, 1)
    (tmp_path / "a").write_bytes(encoded(pages[0], form))
    assert more_pictures(tmp_path / "a") == 0


def test_smaller_copies_of_a_picture_are_no_pages(tmp_path):
    """Levels of a pyramid in a TIFF, a preview behind a camera's JPEG; broken files have none."""
    pages = [Image.new("RGB", (side, side), RED) for side in (8, 4, 2)]
    for page in pages[1:]:
        page.encoderinfo = {"tiffinfo": {0x00FE: 1}}
    body = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert Image.open(io.BytesIO(body)).n_frames == 3
    bodies = [body, encoded(pages[0], "MPO", save_all=True, append_images=pages[1:]), b"no picture"]
    for body in bodies:
        (tmp_path / "a").write_bytes(body)
        assert more_pictures(tmp_path / "a") == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (3, 2)])
def test_odd_sizes(tmp_path, size):
    """One pixel is a picture, and so is a line."""
    Image.new("RGB", size, RED).save(tmp_path / "a.png")
    assert np.array_equal(open_still(tmp_path / "a.png"), np.full((*size[::-1], 3), RED))


def test_a_pil_image_stays_as_it_is():
    """Turned and scaled is the result, not the caller's image; closed, it is refused."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(Image.fromarray(corners()), "PNG", exif=exif)))
    assert open_still(image).shape == (24, 16, 3)
    assert (image.size, image.mode, image.getexif()[0x0112]) == ((24, 16), "RGB", 6)
    lazy = Image.open(io.BytesIO(encoded(Image.fromarray(corners()), "PNG")))
    lazy.close()
    with pytest.raises(NotPictureError, match="the given PngImageFile"):
        open_still(lazy)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(
    "kind", ["uint8", "uint16", ">u2", "bool", "float16", "float32", "float64"]
)
def test_arrays(channels, kind):
    """Of every number of channels and every type: black is black, white white, clear is white."""
    lit = np.zeros((3, 5) if channels is None else (3, 5, channels), bool)
    lit[0] = True
    if channels in (2, 4):
        lit[1, ..., -1] = True  # row 2 stays clear
    dtype = np.dtype(kind)
    full = np.iinfo(dtype).max if dtype.kind == "u" else 1
    given = lit.astype(dtype) * np.array(full, dtype)
    before = given.copy()
    rows = open_still(given)[:, 0].tolist()
    assert rows == [[255] * 3, [0] * 3, [255 if channels in (2, 4) else 0] * 3]
    assert np.array_equal(given, before)


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=30))
def test_16_bits_to_8_round_to_the_nearest(values):
    """Half-way between two greys of 8 bits decides, also in floats."""
    wanted = [round(value / 257) for value in values]
    assert open_still(np.array([values], np.uint16))[0, :, 0].tolist() == wanted
    assert open_still(np.array([values], np.float64) / 65_535)[0, :, 2].tolist() == wanted


def test_an_array_of_its_own():
    """The result is a copy: writing to it leaves the input as it is."""
    given = corners()
    result = open_still(given[:, ::-1])
    assert np.array_equal(result, given[:, ::-1])
    result[:] = 0
    assert np.array_equal(given, corners())

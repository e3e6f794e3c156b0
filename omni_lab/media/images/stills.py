"""Still image reading: a file, a PIL image or an array, of any mode and depth, as upright sRGB.

What a camera or a program left to the viewer is done here once: the picture is turned by its EXIF
orientation, converted to sRGB where it carries a colour profile, laid over white where it is
transparent, and scaled to 8 bits where its greys are deeper. Its size is checked before a pixel is
decoded.

Not supported: a transparent grey in a 16-bit PNG, and colour profiles of 16-bit greys.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from omni_lab.media.errors import HugePictureError, MediaError, NotPictureError
from omni_lab.media.probe import open_file

if TYPE_CHECKING:
    import PIL.Image

MOST_PIXELS = 1 << 27  # 134 million, 400 MB as RGB: more than a 100-megapixel camera takes
# Plain bitmaps only: Pillow also reads EPS, which would start Ghostscript, and containers that hide
# their true size.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
READABLE = "AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, QOI, TGA, TIFF or WebP"
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's greys of more than 8 bits
TURNS = (  # EXIF orientations 2 to 8, as what undoes them
    "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM",
    "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90",
)  # fmt: skip
ORIENTATION = 0x0112  # EXIF tag
SUBFILE = 0x00FE  # TIFF tag: bit 0 marks a smaller copy of another page
MP_ENTRIES = 0xB002  # tag of the list of pictures in an MPO file
# What Pillow's readers raise on broken bytes: most parse headers without checking each step
BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    RuntimeError, EOFError, struct.error, zlib.error,
)  # fmt: skip


def open_still(
    source: str | Path | np.ndarray | PIL.Image.Image,
) -> UInt8[np.ndarray, "height width 3"]:
    """Still image as upright sRGB, 8 bits per channel, in a new array.

    Parameters
    ----------
    source : a local file (of pages or an animation the first picture, see `more_pictures`); a PIL
        image (it is not changed); or an array, height × width or height × width × channels (1
        grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha) of uint8, uint16, bool, or floats from 0
        to 1

    Raises
    ------
    MissingFileError, EmptyFileError
        the file is missing, or empty
    NotPictureError
        it is no picture, is cut off, or an array has another shape, type or range
    HugePictureError
        it has, or claims to have, more than `MOST_PIXELS` pixels

    >>> open_still(np.array([[0.0, 1.0]])).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    import PIL.Image

    name = str(source) if isinstance(source, str | Path) else f"the given {type(source).__name__}"
    # Pillow warns of large sizes (decided here) and of odd metadata (which change no pixel).
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _read(source, name)
        except MediaError:
            raise
        except PIL.UnidentifiedImageError:
            unknown = f"is not a picture in a known format; give it as {READABLE}"
            raise NotPictureError(name, unknown) from None
        except PIL.Image.DecompressionBombError:
            huge = f"claims far more than {MOST_PIXELS:,} pixels; make it smaller first"
            raise HugePictureError(name, huge) from None
        except BROKEN as error:
            why = str(error) or type(error).__name__
            broken = f"is a broken or cut-off picture ({why}); fetch or save it again"
            raise NotPictureError(name, broken) from None


def more_pictures(source: str | Path | PIL.Image.Image) -> int:
    """Number of further pages or frames of a still image, which `open_still` leaves out.

    Smaller copies of a picture are none: thumbnails, the levels of a pyramid, a gain map. A file
    that `open_still` refuses has none.

    >>> import PIL.Image
    >>> more_pictures(PIL.Image.new("L", (1, 1)))
    0
    """
    import PIL.Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if isinstance(source, PIL.Image.Image):
                return _count(source) - 1
            with open_file(source) as file, PIL.Image.open(file, formats=_formats()) as image:
                return _count(image) - 1
        except (MediaError, PIL.Image.DecompressionBombError, *BROKEN):
            return 0


def _count(image: PIL.Image.Image) -> int:
    """Number of pictures in an open image, without smaller copies; it stays where it is."""
    total = getattr(image, "n_frames", 1)
    if image.format == "MPO":  # a JPEG with others behind it: a camera's two eyes, or previews
        entries = image.mpinfo[MP_ENTRIES]
        kinds = [entry["Attribute"]["MPType"] for entry in entries]
        return max(1, sum(kind.startswith("Multi-Frame") for kind in kinds))
    if image.format != "TIFF" or total == 1:
        return total

    place, smaller = image.tell(), 0
    for page in range(1, total):
        image.seek(page)
        smaller += image.tag_v2.get(SUBFILE, 0) & 1
    image.seek(place)
    return total - smaller


def _read(
    source: str | Path | np.ndarray | PIL.Image.Image, name: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Still image of any kind of source, as `open_still`, with Pillow's errors as they come."""
    import PIL.Image

    if isinstance(source, np.ndarray):
        return _as_rgb(_from_array(source, name), name)
    if isinstance(source, PIL.Image.Image):
        return _as_rgb(source, name)
    if not isinstance(source, str | Path):
        raise NotPictureError(name, "is no picture; give a path, a PIL image or an array")
    with open_file(source) as file, PIL.Image.open(file, formats=_formats()) as image:
        return _as_rgb(image, name)


def _formats() -> tuple[str, ...]:
    """Image formats of `FORMATS` that this Pillow was built with."""
    import PIL.Image

    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def _from_array(array: np.ndarray, name: str) -> PIL.Image.Image:
    """PIL image of an array, whose shape, type and range are checked."""
    import PIL.Image

    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 2, 3, 4):
        right = "give height × width, or height × width × 1, 2, 3 or 4"
        raise NotPictureError(name, f"has the shape {array.shape}, which is no picture's; {right}")
    _check_size(array.shape[1], array.shape[0], name)
    array = _as_bytes(array, name)
    return PIL.Image.fromarray(array[..., 0] if array.ndim == 3 and channels == 1 else array)


def _as_bytes(array: np.ndarray, name: str) -> UInt8[np.ndarray, "*shape"]:
    """Pixel values of an array, scaled to 8 bits by its type."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # in either byte order
        return _scaled(array, 0.0, 65_535.0)
    if not np.issubdtype(array.dtype, np.floating):
        right = "give uint8, uint16, bool, or floats from 0 to 1"
        raise NotPictureError(name, f"is of type {array.dtype}; {right}")
    if not (array.min() >= 0 and array.max() <= 1):  # NaN is neither
        found = f"holds {array.min():g} to {array.max():g}"
        right = "floats must be numbers from 0 (black) to 1 (white)"
        raise NotPictureError(name, f"{found}; {right}")
    return _scaled(array, 0.0, 1.0)


def _check_size(width: int, height: int, name: str) -> None:
    """Refuse a picture without pixels, or with more than `MOST_PIXELS`."""
    if width < 1 or height < 1:
        raise NotPictureError(name, f"is {width} × {height} pixels: an empty picture")
    if width * height > MOST_PIXELS:
        size = f"is {width} × {height} pixels, more than {MOST_PIXELS:,}"
        raise HugePictureError(name, f"{size}; make it smaller first")


def _as_rgb(image: PIL.Image.Image, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """Upright 8-bit sRGB picture without alpha, decoded from a PIL image."""
    import PIL.Image

    _check_size(*image.size, name)
    image.load()
    turn = _turn(image)

    if image.mode in DEEP:
        image = _shallow(image, name)
    elif image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image  # Pillow knows no shorter way
        image = image.convert("RGBA")
    image = _in_srgb(image)
    if image.mode == "RGBA":
        # White, as the page that logos and formulas were drawn for: on black they vanish.
        page = PIL.Image.new("RGB", image.size, "white")
        page.paste(image, mask=image)
        image = page
    image = image.convert("RGB")
    return np.array(image.transpose(turn) if turn is not None else image)


def _turn(image: PIL.Image.Image) -> PIL.Image.Transpose | None:
    """Transposition that makes a picture upright, by its EXIF orientation, or None."""
    import PIL.Image

    try:
        orientation = image.getexif().get(ORIENTATION)
    except BROKEN:  # the pixels are whole, and every viewer shows them so
        return None
    return PIL.Image.Transpose[TURNS[orientation - 2]] if orientation in range(2, 9) else None


def _in_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Colour conversion to sRGB, from a profile (a phone's Display P3, a printer's CMYK)."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if image.mode == "P":
        image = image.convert("RGB")
    if not profile or image.mode not in ("L", "RGB", "RGBA", "CMYK"):
        return image

    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return image
        srgb = ImageCms.createProfile("sRGB")
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, given, srgb, outputMode=mode)
    # A broken profile, or one for another kind of picture: viewers ignore it, too.
    except (ImageCms.PyCMSError, OSError):
        return image


def _shallow(image: PIL.Image.Image, name: str) -> PIL.Image.Image:
    """Bit depth reduction: greys of 16 or 32 bits to 8, which Pillow's conversion would clip.

    White is 65,535 in 16 bits. In wider types no header states it: it is the least of 1 (floats
    only), 255 and 65,535 that no pixel exceeds, and a picture that fits none of them is stretched
    from its darkest to its lightest pixel.
    """
    import PIL.Image

    values = np.asarray(image, np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        bad = "holds pixels that are no number (NaN or infinite); replace them first"
        raise NotPictureError(name, bad)
    whites = {"I": (255.0, 65_535.0), "F": (1.0, 255.0, 65_535.0)}.get(image.mode, (65_535.0,))
    white = next((white for white in whites if low >= 0 and high <= white), None)
    return PIL.Image.fromarray(_scaled(values, *((low, high) if white is None else (0.0, white))))


def _scaled(values: np.ndarray, black: float, white: float) -> UInt8[np.ndarray, "*shape"]:
    """Linear scaling to 8 bits: black to 0, white to 255, rounded."""
    wide = values.astype(np.result_type(values, np.float32))
    steps = (wide - black) * (255 / (white - black or 1))
    return np.rint(steps).astype(np.uint8)

"""Any still picture as upright sRGB: a file, a PIL image or an array, of any mode, depth and turn.

What a camera or a program left to the viewer is done here once, so that nothing behind it has to ask: the picture is
turned as its EXIF says, its colours are brought to sRGB where it carries a profile, what is see-through is laid over
white, and deep greys are scaled to 8 bits. Its size is looked at before a pixel is decoded.

Not followed: a grey that a 16-bit PNG names as see-through, and profiles of 16-bit greys.
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
# Plain bitmaps only: Pillow also knows EPS, which would start Ghostscript, and containers that hide their true size.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
READABLE = "AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, QOI, TGA, TIFF or WebP"
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's greys of more than 8 bits
TURNS = (  # EXIF orientations 2 to 8, as what undoes them
    "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90",
)  # fmt: skip
ORIENTATION = 0x0112  # EXIF tag
# What Pillow's readers raise on broken bytes: most of them parse foreign headers without checking each step.
BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError, EOFError,
    struct.error, zlib.error,
)  # fmt: skip


def open_still(
    source: str | Path | np.ndarray | PIL.Image.Image,
) -> UInt8[np.ndarray, "height width 3"]:
    """Give a still picture as upright sRGB, 8 bits a channel, in an array of its own.

    Parameters
    ----------
    source : a local file (of an animation the first picture); a PIL image (as it stands, and it stays as it is); or an
        array, height × width or height × width × channels (1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha) of
        uint8, uint16, bool, or floats from 0 to 1

    Raises
    ------
    MissingFileError, EmptyFileError
        there is no such file, or nothing is in it
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
            if isinstance(source, np.ndarray):
                return _as_rgb(_from_array(source, name), name)
            if isinstance(source, PIL.Image.Image):
                return _as_rgb(source, name)
            if not isinstance(source, str | Path):
                raise NotPictureError(name, "is no picture; give a path, a PIL image or an array")
            with open_file(source) as file, PIL.Image.open(file, formats=_formats()) as image:
                return _as_rgb(image, name)
        except MediaError:
            raise
        except PIL.UnidentifiedImageError:
            raise NotPictureError(
                name, f"is not a picture that can be read; give it as {READABLE}"
            ) from None
        except PIL.Image.DecompressionBombError:
            raise HugePictureError(
                name, f"claims far more than {MOST_PIXELS:,} pixels; make it smaller first"
            ) from None
        except BROKEN as error:
            why = str(error) or type(error).__name__
            raise NotPictureError(
                name, f"is a broken or cut-off picture ({why}); fetch or save it again"
            ) from None


def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    import PIL.Image

    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def _from_array(array: np.ndarray, name: str) -> PIL.Image.Image:
    """Check an array and make a PIL image of it."""
    import PIL.Image

    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 2, 3, 4):
        right = "give height × width, or height × width × 1, 2, 3 or 4"
        raise NotPictureError(name, f"has the shape {array.shape}, which is no picture's; {right}")
    _check_size(array.shape[1], array.shape[0], name)
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either order of bytes
        array = _scaled(array, 0.0, 65_535.0)
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # NaN is neither
            found = f"holds {array.min():g} to {array.max():g}"
            raise NotPictureError(
                name, f"{found}; floats must be numbers from 0 (black) to 1 (white)"
            )
        array = _scaled(array, 0.0, 1.0)
    elif array.dtype != np.uint8:
        raise NotPictureError(
            name, f"is of type {array.dtype}; give uint8, uint16, bool, or floats from 0 to 1"
        )
    return PIL.Image.fromarray(array[..., 0] if array.ndim == 3 and channels == 1 else array)


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise NotPictureError(name, f"is {width} × {height} pixels: an empty picture")
    if width * height > MOST_PIXELS:
        raise HugePictureError(
            name, f"is {width} × {height} pixels, more than {MOST_PIXELS:,}; make it smaller first"
        )


def _as_rgb(image: PIL.Image.Image, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """Decode, turn, and bring to 8-bit sRGB without alpha."""
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
        # White, as the page that logos, formulas and dark lettering on nothing were drawn for: on black they vanish.
        page = PIL.Image.new("RGB", image.size, "white")
        page.paste(image, mask=image)
        image = page
    image = image.convert("RGB")
    return np.array(image.transpose(turn) if turn is not None else image)


def _turn(image: PIL.Image.Image) -> PIL.Image.Transpose | None:
    """Give what makes a picture upright, by its EXIF; what has none, or none that can be read, stays as it is."""
    import PIL.Image

    try:
        orientation = image.getexif().get(ORIENTATION)
    except BROKEN:  # the pixels are whole, and every viewer shows them so
        return None
    return PIL.Image.Transpose[TURNS[orientation - 2]] if orientation in range(2, 9) else None


def _in_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Bring colours that a profile defines (a phone's Display P3, a printer's CMYK) to sRGB."""
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
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(
            image, given, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (
        ImageCms.PyCMSError,
        OSError,
    ):  # broken, or made for another kind of picture: viewers go without it, too
        return image


def _shallow(image: PIL.Image.Image, name: str) -> PIL.Image.Image:
    """Scale greys of 16 or 32 bits to 8, where Pillow's own conversion would clip them.

    White is 65,535 in 16 bits. In wider types no header says it: it is the least of 1 (floats only), 255 and 65,535
    that no pixel exceeds, and what fits none of them is stretched from its darkest to its lightest pixel.
    """
    import PIL.Image

    values = np.asarray(image, np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        raise NotPictureError(
            name, "holds pixels that are no number (NaN or infinite); replace them first"
        )
    whites = {"I": (255.0, 65_535.0), "F": (1.0, 255.0, 65_535.0)}.get(image.mode, (65_535.0,))
    white = next((white for white in whites if low >= 0 and high <= white), None)
    return PIL.Image.fromarray(_scaled(values, *((low, high) if white is None else (0.0, white))))


def _scaled(values: np.ndarray, black: float, white: float) -> UInt8[np.ndarray, "*shape"]:
    """Map black to 0 and white to 255, and round."""
    steps = (values.astype(np.result_type(values, np.float32)) - black) * (
        255 / (white - black or 1)
    )
    return np.rint(steps).astype(np.uint8)

"""Frame sampling: the frames nearest to an even grid, upright, small, each with its own time.

Frames that are not kept are never converted; those that are go straight from the decoder's format
to their final size in one step of libswscale and are held as JPEG, so that a long film costs
megabytes, not gigabytes. Interlaced frames stay interlaced, HDR is not tone-mapped to SDR, and
alpha is ignored.
"""

from __future__ import annotations

import io
import re
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.media.images.side_data import display_matrix

if TYPE_CHECKING:
    import av

BT709, BT601, BT2020, BT2020_CONSTANT = 1, 5, 9, 10  # AVColorSpace
CONVERTIBLE = (0, BT709, 4, BT601, 6, 7, BT2020)  # what libswscale can convert from
# Pixel formats whose first plane is brightness (or green)
PLAIN = re.compile(r"(yuv[aj]?|gray|gbra?|nv)\d*p?\d*(le)?")
WIDEST = 4  # aspect ratio of a pixel, wide or high; one that claims more is taken for square


class FramePicker:
    """Frame sampling on the grid (k + 1/2) / frames_per_second, from frames in order of time.

    A frame is kept once, however long it is displayed; a grid point outside the film's pictures
    keeps nothing.

    Parameters
    ----------
    config : frames per second, shorter side (pixels), JPEG quality
    """

    def __init__(self, config: TripletConfig):
        from av.video.reformatter import VideoReformatter

        self.config = config
        self.jpegs: list[bytes] = []
        self.times: list[int] = []  # ticks, of kept frames
        self.brightness: list[float] = []  # mean of kept frames, 0 black to 1 white
        self.motion: list[float] = []  # mean absolute change since the frame kept before, 0 to 1
        self.all_times: list[int] = []  # ticks, of every frame
        # of every frame: mean absolute change of brightness since the one before, 0 to 255
        self.all_changes: list[float] = []
        self.rotation = 0  # degrees counter-clockwise, of the first frame
        self._reformatter = VideoReformatter()
        self._step = Fraction(TICKS_PER_SECOND) / Fraction(config.frames_per_second)
        self._k = 0  # of the next grid point
        self._aspect = 1.0  # width of a pixel by its height
        self._size: tuple[int, int] | None = None  # pixels, of every kept picture, upright
        self._shape = 0.0  # width by height of the first
        self._last: tuple[av.VideoFrame, int] | None = None
        self._glimpse: np.ndarray | None = None
        self._kept: np.ndarray | None = None

    def add(self, frame: av.VideoFrame, time: int, aspect: float = 1.0) -> None:
        """Take the next frame.

        Parameters
        ----------
        frame : as decoded
        time : ticks, after every time before
        aspect : a pixel's width by its height
        """
        self._aspect = aspect if 1 / WIDEST <= aspect <= WIDEST else 1.0
        settle_colours(frame)
        self.all_times.append(time)
        self.all_changes.append(self._change(glimpse_of(frame)))

        if self._last is None:  # no frame is near to grid points before the first
            self.rotation = frame.rotation
            while self._grid() < time - self._step / 2:
                self._k += 1

        while self._grid() <= time:
            nearest = (frame, time)
            if self._last is not None and self._grid() - self._last[1] <= time - self._grid():
                nearest = self._last
            self._keep(*nearest)
            self._k += 1
        self._last = (frame, time)

    def _change(self, glimpse: np.ndarray) -> float:
        """Mean absolute change of brightness since the frame before, 0 to 255."""
        before, self._glimpse = self._glimpse, glimpse
        same_shape = before is not None and before.shape == glimpse.shape
        return float(np.abs(glimpse - before).mean()) if same_shape else 0.0

    def finish(self, end: int) -> None:
        """Close the film at `end` (ticks): grid points up to it may still keep the last frame."""
        if self._last is not None and (self._grid() < end or not self.times):
            self._keep(*self._last)
        self._last = None

    def _grid(self) -> Fraction:
        return (self._k + Fraction(1, 2)) * self._step

    def _keep(self, frame: av.VideoFrame, time: int) -> None:
        """Keep a frame as JPEG, with its brightness and motion, unless it is kept already."""
        from PIL import Image

        if self.times and self.times[-1] == time:
            return
        picture = self._shrink(frame)
        small = picture[::4, ::4].astype(np.int16)
        same_shape = self._kept is not None and self._kept.shape == small.shape
        self.motion.append(float(np.abs(small - self._kept).mean()) / 255 if same_shape else 1.0)
        self.brightness.append(float(small.mean()) / 255)
        self._kept = small
        encoded = io.BytesIO()
        Image.fromarray(picture).save(
            encoded, "JPEG", quality=self.config.jpeg_quality, subsampling=0
        )
        self.jpegs.append(encoded.getvalue())
        self.times.append(time)

    def _shrink(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """Upright RGB picture at the final size, with square pixels, in one step of scaling.

        One size holds for the whole film: where a stream changes its shape, pictures are padded
        with black (letterboxed).
        """
        turned = is_turned(frame)
        sides = frame.width * self._aspect, float(frame.height)
        width, height = sides[::-1] if turned else sides

        if self._size is None:
            scale = min(1.0, self.config.image_size / min(width, height))
            self._size = max(1, round(width * scale)), max(1, round(height * scale))
            self._shape = width / height
        size = self._size
        # Stretching by up to 2 % is less visible than a black rim of a pixel or two.
        if abs(width / height / self._shape - 1) > 0.02:
            scale = min(size[0] / width, size[1] / height)
            size = max(1, round(width * scale)), max(1, round(height * scale))

        picture = upright(self._convert(frame, size[::-1] if turned else size), frame)
        if size == self._size:
            return picture
        framed = np.zeros((*self._size[::-1], 3), np.uint8)
        top, left = (self._size[1] - size[1]) // 2, (self._size[0] - size[0]) // 2
        framed[top : top + size[1], left : left + size[0]] = picture
        return framed

    def _convert(
        self, frame: av.VideoFrame, size: tuple[int, int]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """RGB picture of `size` (width, height), as the frame is stored."""
        small = self._reformatter.reformat(
            frame,
            *size,
            format="rgb24",
            src_colorspace=int(frame.colorspace),
            interpolation="AREA",
            threads=1,
        )
        return small.to_ndarray()


def settle_colours(frame: av.VideoFrame) -> None:
    """Colour matrix of a frame, set in place where it is missing or unknown to libswscale.

    It is the one that players take: BT.709 for high-definition video, else BT.601.
    """
    if frame.format.is_rgb or frame.colorspace in CONVERTIBLE:
        return
    usual = BT709 if frame.width >= 1280 or frame.height > 576 else BT601
    frame.colorspace = BT2020 if frame.colorspace == BT2020_CONSTANT else usual


def glimpse_of(frame: av.VideoFrame) -> Float[np.ndarray, "rows columns"]:
    """Brightness samples, 0 to 255: some hundred points of a frame's first plane.

    They cost microseconds, so that every frame can be compared with the one before without
    converting any; the few pixel formats whose first plane is not brightness are converted, very
    small.
    """
    if not PLAIN.fullmatch(frame.format.name):
        frame = frame.reformat(
            min(32, frame.width), min(18, frame.height), "gray", interpolation="AREA", threads=1
        )
    plane, bits = frame.planes[0], frame.format.components[0].bits
    kind = np.uint16 if bits > 8 else np.uint8
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, -1).view(kind)
    points = rows[:: max(1, frame.height // 18), : frame.width : max(1, frame.width // 32)]
    return points.astype(np.float32) / (1 << (bits - 8))


def upright(
    picture: UInt8[np.ndarray, "height width 3"], frame: av.VideoFrame
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Upright picture: turned and mirrored by the frame's display matrix.

    The matrix maps (x, y) to (a x + c y, b x + d y), y pointing down; an angle that no camera
    writes becomes the nearest quarter turn.
    """
    a, b, c, d = display_matrix(frame)
    if is_turned(frame):
        picture = picture.transpose(1, 0, 2)
        a, d = c, b
    if a < 0:
        picture = picture[:, ::-1]
    if d < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def is_turned(frame: av.VideoFrame) -> bool:
    """Quarter turn test: are a frame's columns displayed as rows?"""
    a, b, _, _ = display_matrix(frame)
    return abs(b) > abs(a)

"""Of all decoded frames, the few that are kept: nearest to an even grid, upright, small, and each with its own time.

Frames that are not kept are never converted; those that are go straight from the decoder's format to their final
size in one step of libswscale and are held as JPEG, so that a long film costs megabytes, not gigabytes.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from omni_lab.config import TICKS_PER_SECOND, TripletConfig

if TYPE_CHECKING:
    import av

BT709, UNSPECIFIED, BT601 = 1, 2, 5  # AVColorSpace


class FramePicker:
    """Take every decoded frame in order of time and keep those nearest to the grid (k + 1/2) / frames_per_second.

    A frame is kept once, however long it stands; a grid point outside the film's pictures keeps nothing.
    """

    def __init__(self, config: TripletConfig):
        from av.video.reformatter import VideoReformatter

        self.config = config
        self.jpegs: list[bytes] = []
        self.times: list[int] = []  # ticks, of kept frames
        self.brightness: list[float] = []  # mean of kept frames, 0 black to 1 white
        self.motion: list[float] = []  # mean absolute change since the frame kept before, 0 to 1
        self.all_times: list[int] = []  # ticks, of every frame
        self.all_changes: list[float] = []  # mean absolute change of brightness since the frame before, 0 to 255
        self.rotation = 0
        self._reformatter = VideoReformatter()
        self._step = Fraction(TICKS_PER_SECOND) / Fraction(config.frames_per_second)
        self._k = 0
        self._aspect = 1.0
        self._size: tuple[int, int] | None = None
        self._last: tuple[av.VideoFrame, int] | None = None
        self._glimpse: np.ndarray | None = None
        self._kept: np.ndarray | None = None

    def add(self, frame: av.VideoFrame, time: int, aspect: Fraction | None = None) -> None:
        """Take the next frame; `time` in ticks, after every time before; `aspect` is a pixel's width by its height."""
        self._aspect = float(aspect or 1)
        glimpse = glimpse_of(frame)
        same_shape = self._glimpse is not None and self._glimpse.shape == glimpse.shape
        self.all_changes.append(float(np.abs(glimpse - self._glimpse).mean()) if same_shape else 0.0)
        self.all_times.append(time)
        self._glimpse = glimpse
        if self._last is None:
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

    def finish(self, end: int) -> None:
        """Close the film at `end` (ticks): grid points up to there may still want the last frame."""
        if self._last is not None and (self._grid() < end or not self.times):
            self._keep(*self._last)
        self._last = None

    def _grid(self) -> Fraction:
        return (self._k + Fraction(1, 2)) * self._step

    def _keep(self, frame: av.VideoFrame, time: int) -> None:
        from PIL import Image

        if self.times and self.times[-1] == time:
            return
        picture = upright(self._shrink(frame), frame)
        small = picture[::4, ::4].astype(np.int16)
        same_shape = self._kept is not None and self._kept.shape == small.shape
        self.motion.append(float(np.abs(small - self._kept).mean()) / 255 if same_shape else 1.0)
        self.brightness.append(float(small.mean()) / 255)
        self._kept = small
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "JPEG", quality=self.config.jpeg_quality, subsampling=0)
        self.jpegs.append(encoded.getvalue())
        self.times.append(time)

    def _shrink(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """Convert to RGB at the final size in one step; pixels that are not square become square."""
        if self._size is None:  # one size for the whole film, even where the stream changes its own
            width, height = frame.width * self._aspect, float(frame.height)
            scale = min(1.0, self.config.image_size / min(width, height))
            self._size = max(1, round(width * scale)), max(1, round(height * scale))
        # untagged video is what players take it for: BT.709 when high-definition, else BT.601
        space = frame.colorspace
        if space == UNSPECIFIED and frame.format.name.startswith("yuv"):
            space = BT709 if frame.width >= 1280 or frame.height > 576 else BT601
        small = self._reformatter.reformat(
            frame, *self._size, format="rgb24", src_colorspace=int(space), interpolation="AREA", threads=1
        )
        return small.to_ndarray()


def glimpse_of(frame: av.VideoFrame) -> Float[np.ndarray, "rows columns"]:
    """Look at some hundred points of a frame's first plane (brightness, in nearly all video), 0 to 255.

    It costs microseconds, so that every frame can be compared with the one before without converting any.
    """
    plane = frame.planes[0]
    component = frame.format.components[0]
    kind = np.uint16 if component.bits > 8 else np.uint8
    rows = np.frombuffer(plane, kind).reshape(frame.height, -1) if plane.buffer_size % frame.height == 0 else None
    if rows is None:
        rows = np.frombuffer(plane, np.uint8)[: plane.line_size * frame.height].reshape(frame.height, -1).view(kind)
    points = rows[:: max(1, frame.height // 18), : frame.width : max(1, frame.width // 32)].astype(np.float32)
    return points / (1 << (component.bits - 8)) if component.bits > 8 else points


def upright(picture: UInt8[np.ndarray, "height width 3"], frame: av.VideoFrame) -> UInt8[np.ndarray, "rows columns 3"]:
    """Turn (and mirror) a picture as the frame's display matrix tells players to.

    The matrix maps (x, y) to (a x + c y, b x + d y), y pointing down; only quarter turns and mirrors occur in files
    that cameras write, others are left as they are.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return picture
    a, b, c, d = matrix
    if abs(b) > abs(a):  # columns become rows
        picture = picture.transpose(1, 0, 2)
        a, d = c, b
    if a < 0:
        picture = picture[:, ::-1]
    if d < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = np.frombuffer(data, np.int32)
            return int(a), int(b), int(c), int(d)
    return None

"""Declared cropping: the borders of a picture that its container says are not to be displayed.

MP4 states them as a clean aperture (`clap`), Matroska as `PixelCropTop` and its like. Decoders leave
them in the picture; players cut them off before they turn or stretch it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import av


class Borders(NamedTuple):
    """Widths of a picture's undisplayed borders, in pixels as coded."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def leave(self, width: int, height: int) -> tuple[int, int]:
        """Displayed part (width, height) of a picture as coded; not positive where none is left."""
        return width - self.left - self.right, height - self.top - self.bottom


class Cropper:
    """Cropping of decoded frames to what is displayed, without a copy of their pixels.

    Parameters
    ----------
    borders : as the container declares them
    """

    def __init__(self, borders: Borders):
        self.borders = borders
        self._taken: tuple[str, int, int] | None = None  # form of the frames that the graph takes
        # The graph is named since its filters do not keep it alive.
        self._graph = self._source = self._sink = None

    def crop(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Displayed part of a frame; its properties and side data are the frame's."""
        if not any(self.borders):
            return frame
        if self._taken != (frame.format.name, frame.width, frame.height):
            self._build(frame)
        self._source.push(frame)
        return self._sink.pull()

    def _build(self, frame: av.VideoFrame) -> None:
        """Filter graph for frames of this format and size."""
        from av.filter import Graph

        self._graph = Graph()
        self._source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1, 1000),
        )
        width, height = self.borders.leave(frame.width, frame.height)
        at = f"x={self.borders.left}:y={self.borders.top}"
        crop = self._graph.add("crop", f"w={width}:h={height}:{at}:exact=1")
        self._sink = self._graph.add("buffersink")
        self._graph.link_nodes(self._source, crop, self._sink).configure()
        self._taken = frame.format.name, frame.width, frame.height

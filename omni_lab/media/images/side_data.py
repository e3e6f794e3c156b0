"""Frame side data: the display matrix and closed captions that come with a decoded picture."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Display matrix (a, b, c, d) of a frame; the identity where it has none."""
    data = _side_data(frame, "DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32)
    return int(a), int(b), int(c), int(d)


def has_captions(frame: av.VideoFrame) -> bool:
    """Closed caption test: does a frame carry text of CEA-608 (field 1) or CEA-708?

    Broadcasts pad every frame with empty pairs, which are no captions. A triplet is a byte of flags
    (4: valid; the last two bits: 0 is 608's first field, 3 begins a packet of 708) and a pair of
    characters, each with a bit of parity.
    """
    data = _side_data(frame, "A53_CC")
    if data is None:
        return False
    triplets = np.frombuffer(data, np.uint8)
    flags, first, _ = triplets[: triplets.size // 3 * 3].reshape(-1, 3).T
    kind = np.where(flags & 4, flags & 3, -1)
    return bool(((kind == 0) & (first & 127 >= 32) | (kind == 3)).any())


def _side_data(frame: av.VideoFrame, name: str) -> av.sidedata.sidedata.SideData | None:
    """Side data of a frame by PyAV's name of its type, None where the frame has none."""
    from av.sidedata.sidedata import SideDataContainer

    _accept_unknown_types()
    # `frame.side_data` would keep the container in the frame, and it the frame: pictures of 50 MB
    # that only the garbage collector frees
    return next((data for data in SideDataContainer(frame) if data.type.name == name), None)


@cache
def _accept_unknown_types() -> None:
    """Let PyAV's list of side data types hold others, once met.

    FFmpeg has types that the list lacks (EXIF, the view of spatial video, LCEVC); a frame with a
    single one gives no side data at all, but a `ValueError`.
    """
    from av.sidedata.sidedata import Type

    def unknown(kind: type, value: int) -> Type:
        member = object.__new__(kind)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        return member

    Type._missing_ = classmethod(unknown)

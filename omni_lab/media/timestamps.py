"""Timestamp discontinuities: a monotonic clock for joined recordings and broken timestamps.

Every packet belongs to a part of the file within which the clock is sound. Each part is moved by
one shift, the same for all streams, so that it continues where the part before ended and a real
offset between picture and sound survives. A jump is detected in decoding order, stream by stream
(as the ffmpeg program does it); a stream that reaches a part late joins it with the same shift.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.clock import rescale, stamp

if TYPE_CHECKING:
    import av

NEAR = TICKS_PER_SECOND // 2  # a packet this near to its expected time stays in its part
BACK = TICKS_PER_SECOND  # no stream steps back by more unless its clock jumps
AHEAD = 3600 * TICKS_PER_SECOND  # the longest hole that a film may have
AHEAD_BROADCAST = 10 * TICKS_PER_SECOND  # and an MPEG stream, where a stamp is due every 0.7 s
BROADCAST = ("mpegts", "mpeg")
PARTS = (
    16  # newest parts that a packet may belong to: bounds the work on a clock that keeps jumping
)


class Timeline:
    """Timestamp correction: packets, in file order, moved onto a clock without jumps.

    Parameters
    ----------
    container_format : FFmpeg's name of the container
    zero : tick at which the container says that it begins
    """

    def __init__(self, container_format: str, zero: int = 0):
        self._zero = zero
        self._ahead = AHEAD_BROADCAST if container_format in BROADCAST else AHEAD
        self._shifts = [0]  # ticks, of each part
        self._part: dict[int, int] = {}  # of each stream
        self._ends: dict[int, int] = {}  # tick at which each stream's newest packet ends

    def straighten(self, packet: av.Packet) -> str | None:
        """Timestamps of one packet, shifted in place with its part.

        Returns
        -------
        a note where a new part begins, else None
        """
        stream, note = packet.stream_index, None
        time = None if packet.dts is None else rescale(packet.dts, packet.time_base)

        if time is not None:
            note = self._assign_part(packet, time)
        shift = self._shifts[self._part.get(stream, 0)]

        # Subtitles overlap and lie far apart: their ends say nothing about what comes next.
        if time is not None and packet.stream.type != "subtitle":
            length = rescale(packet.duration, packet.time_base) if packet.duration else 0
            self._ends[stream] = time + shift + length

        if shift:
            moved = round(Fraction(shift, TICKS_PER_SECOND) / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + moved
            packet.dts = None if packet.dts is None else packet.dts + moved
        return note

    def _assign_part(self, packet: av.Packet, time: int) -> str | None:
        """Assign a packet's stream to a part, a new one where its clock jumps."""
        stream, note = packet.stream_index, None
        reached = max(self._ends.values(), default=self._zero)
        expected = self._ends.get(stream, reached)
        part = self._nearest(stream, time, expected)
        late = time + self._shifts[part] - expected

        if self._jumps(packet, late, reached - expected):
            at = stamp(expected - self._zero)
            note = f"timestamp discontinuity: the clock jumps at {at}; what follows continues there"
            self._shifts.append(expected - time)
            part = len(self._shifts) - 1

        self._part[stream] = part
        return note

    def _jumps(self, packet: av.Packet, late: int, behind: int) -> bool:
        """Discontinuity test: is a packet too far (`late`, ticks) from its expected time?

        `behind` is how far (ticks) its stream lies behind the one that is furthest.
        """
        if packet.stream.type == "subtitle":  # texts are far apart: they follow the others
            return False
        if packet.stream_index not in self._ends:  # a stream may begin long after the others
            return late > AHEAD
        return not -BACK <= late <= behind + self._ahead

    def _nearest(self, stream: int, time: int, expected: int) -> int:
        """Part in which a packet lies nearest to its expected time; its current one if near."""
        own = self._part.get(stream, 0)
        if abs(time + self._shifts[own] - expected) <= NEAR:
            return own
        parts = [own, *range(max(0, len(self._shifts) - PARTS), len(self._shifts))]
        return min(parts, key=lambda part: abs(time + self._shifts[part] - expected))


def varies(times: list[int]) -> bool:
    """Variable frame rate test: one step in a hundred is off by a fifth and by 1.5 ms.

    The 1.5 ms are for containers that round times to milliseconds. `times` are ticks, in order.
    """
    steps = np.diff(np.array(times, dtype=np.int64))
    if steps.size < 2:
        return False
    usual = np.median(steps)
    uneven = np.abs(steps - usual) > max(usual / 5, 1.5e-3 * TICKS_PER_SECOND)
    return bool(uneven.mean() > 0.01)

"""A clock that only runs forward, for files whose own clock jumps: recordings joined end to end, broken stamps.

Every packet belongs to a part of the file within which its clock is sound. Each part is moved by one shift, the same
for all streams, so that it goes on where the part before ended and a real offset between picture and sound survives.
A jump is seen in the order of decoding, stream by stream (as the ffmpeg program does), and a stream that comes late to
a part joins it with the others' shift.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.clock import rescale, stamp

if TYPE_CHECKING:
    import av

NEAR = TICKS_PER_SECOND // 2  # a packet this near to where it is awaited goes on in its part
BACK = TICKS_PER_SECOND  # no stream steps back by more unless its clock jumps
AHEAD = 3600 * TICKS_PER_SECOND  # the longest hole that a film may have
AHEAD_BROADCAST = (
    10 * TICKS_PER_SECOND
)  # the same in MPEG streams, whose standard wants a stamp every 0.7 s
BROADCAST = ("mpegts", "mpeg")
PARTS = (
    16  # the newest parts that a packet may belong to: what is broken all the time costs no more
)


class Timeline:
    """Move packets, in the order of the file, onto a clock that does not jump."""

    def __init__(self, container_format: str, zero: int = 0):
        self._zero = zero  # tick at which the container says that it begins
        self._ahead = AHEAD_BROADCAST if container_format in BROADCAST else AHEAD
        self._shifts = [0]  # ticks, of each part
        self._part: dict[int, int] = {}  # of each stream
        self._ends: dict[int, int] = {}  # tick at which each stream's newest packet ends

    def straighten(self, packet: av.Packet) -> str | None:
        """Shift a packet's stamps by its part's shift; say so where a new part begins."""
        stream, note = packet.stream_index, None
        time = None if packet.dts is None else rescale(packet.dts, packet.time_base)
        if time is not None:
            reached = max(self._ends.values(), default=self._zero)
            awaited = self._ends.get(stream, reached)
            part = self._nearest(stream, time, awaited)
            late = time + self._shifts[part] - awaited
            if self._jumps(packet, late, reached - awaited):
                note = f"the file's clock jumps at {stamp(awaited - self._zero)}; what follows is taken to go on there"
                self._shifts.append(awaited - time)
                part = len(self._shifts) - 1
            self._part[stream] = part
        shift = self._shifts[self._part.get(stream, 0)]
        if time is not None and packet.stream.type != "subtitle":
            self._ends[stream] = (
                time
                + shift
                + (rescale(packet.duration, packet.time_base) if packet.duration else 0)
            )
        if shift:
            moved = round(Fraction(shift, TICKS_PER_SECOND) / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + moved
            packet.dts = None if packet.dts is None else packet.dts + moved
        return note

    def _jumps(self, packet: av.Packet, late: int, behind: int) -> bool:
        """Tell whether a packet is too far from where it is awaited, in a stream that lies `behind` the others."""
        if packet.stream.type == "subtitle":  # texts are far apart: they follow the others
            return False
        if (
            packet.stream_index not in self._ends
        ):  # a stream may begin at any time before the others' end
            return late > AHEAD
        return not -BACK <= late <= behind + self._ahead

    def _nearest(self, stream: int, time: int, awaited: int) -> int:
        """Give the part in which a packet lies nearest to where it is awaited; its stream's own if that is near."""
        own = self._part.get(stream, 0)
        if abs(time + self._shifts[own] - awaited) <= NEAR:
            return own
        parts = [own, *range(max(0, len(self._shifts) - PARTS), len(self._shifts))]
        return min(parts, key=lambda part: abs(time + self._shifts[part] - awaited))


def varies(times: list[int]) -> bool:
    """Tell whether frames come at uneven times: one in a hundred is off by a fifth and 1.5 ms (containers round)."""
    steps = np.diff(np.array(times, dtype=np.int64))
    if steps.size < 2:
        return False
    usual = np.median(steps)
    uneven = np.abs(steps - usual) > max(usual / 5, 1.5e-3 * TICKS_PER_SECOND)
    return bool(uneven.mean() > 0.01)

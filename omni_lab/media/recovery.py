"""Recovery points: where H.264 video is whole again although no key frame comes (intra refresh).

Live encoders renew the picture piece by piece and send no key frame after the first. A message in
the stream (SEI, "recovery point") marks where a renewal begins, and after how many reference
pictures it is complete: ITU-T H.264, annex D, payload type 6.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

MOST_RENEWALS = 64  # that are kept; a decoder holds back fewer pictures
RECOVERY_POINT = 6  # type of the message
MESSAGES, SLICES = 6, range(1, 6)  # types of units
LONGEST = 1024  # bytes of messages that are read
START = b"\0\0\1"  # of a unit, in streams that state no lengths


@dataclass(slots=True)
class _Renewal:
    """Renewal of the picture that has begun."""

    start: int  # tick of its first picture
    end: int  # tick of the newest picture since, at last of the one that is whole
    left: int  # reference pictures until then


class RecoveryPoints:
    """Renewals of the picture, as the packets of an H.264 stream state them.

    Parameters
    ----------
    extradata : of the codec; it tells how the units in a packet are separated
    """

    def __init__(self, extradata: bytes | None):
        stated = extradata is not None and len(extradata) > 4 and extradata[0] == 1
        self._length_size = (extradata[4] & 3) + 1 if stated else 0  # bytes; 0: start codes
        self._begun: list[_Renewal] = []
        self._complete: deque[_Renewal] = deque(maxlen=MOST_RENEWALS)

    def take(self, data: bytes, time: int) -> None:
        """Take the next packet in order of decoding; `time` is its picture's (ticks)."""
        count, is_reference = self._read(data)
        if count is not None and len(self._begun) < MOST_RENEWALS:
            self._begun.append(_Renewal(time, time, count))

        for renewal in self._begun:
            renewal.end = max(renewal.end, time)
        self._complete.extend(renewal for renewal in self._begun if not renewal.left)
        self._begun = [renewal for renewal in self._begun if renewal.left]
        for renewal in self._begun:
            renewal.left -= is_reference

    def forget(self) -> None:
        """Drop the renewals that have begun so far: a packet could not be decoded."""
        self._begun.clear()
        self._complete.clear()

    def is_whole(self, time: int, broken: int) -> bool:
        """Recovery test: is the picture at `time` renewed since the one at `broken`? (ticks)"""
        return any(renewal.start > broken and renewal.end <= time for renewal in self._complete)

    def _read(self, data: bytes) -> tuple[int | None, bool]:
        """Reference pictures until recovery (None without the message); is this picture one?"""
        count = None
        for begin, end in self._units(data):
            kind = data[begin] & 31
            if kind in SLICES:
                return count, data[begin] >> 5 & 3 > 0
            if kind == MESSAGES and count is None:
                count = _recovery_count(data[begin + 1 : min(end, begin + LONGEST)])
        return count, False

    def _units(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Units (NAL) in a packet: where each begins and ends."""
        end = 0 if self._length_size else data.find(START)
        while 0 <= end < len(data):
            begin = end + (self._length_size or len(START))
            if self._length_size:
                end = begin + int.from_bytes(data[end:begin], "big")
            else:
                found = data.find(START, begin)
                end = found if found >= 0 else len(data)
            if begin < min(end, len(data)):
                yield begin, end


def _recovery_count(unit: bytes) -> int | None:
    """Reference pictures until recovery, by the messages in a unit; None where none states it."""
    # A 3 stands after two zero bytes, so that no start code is seen in a message.
    body, at = unit.replace(b"\0\0\3", b"\0\0"), 0
    while at + 2 < len(body):
        kind, at = _number(body, at)
        size, at = _number(body, at)
        if kind == RECOVERY_POINT:
            return _exponential_golomb(body[at : at + size])
        at += size
    return None


def _number(body: bytes, at: int) -> tuple[int, int]:
    """Type or size of a message, a byte for every 255 and one for the rest; the offset behind."""
    value = 0
    while body[at : at + 1] == b"\xff":
        value, at = value + 255, at + 1
    return value + int.from_bytes(body[at : at + 1], "big"), at + 1


def _exponential_golomb(data: bytes) -> int | None:
    """First number of a bit string in Exp-Golomb code, None where it is cut off.

    >>> _exponential_golomb(bytes([0b00101000])), _exponential_golomb(b"\\x80"), _exponential_golomb(b"\\1")
    (4, 0, None)
    """
    bits, total = int.from_bytes(data, "big"), 8 * len(data)
    rest = total - 2 * (total - bits.bit_length()) - 1  # bits behind the number
    return None if not bits or rest < 0 else (bits >> rest) - 1

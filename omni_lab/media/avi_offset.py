"""Audio start offset in AVI, recovered from the interleaving order of packets.

AVI has no field for it: it counts video frames and audio packets from zero, so that a player puts
sound that began late, and the priming samples of a lossy encoder, right at the start. FFmpeg's
libavformat, which signs its files `Lavf`, writes packets in the order of their times. Where two
video packets enclose an audio packet, their times enclose its time; what all packets together
allow is a matter of milliseconds.

Times are exact fractions of a second here: what decides is whether one is before another.
"""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush
from math import ceil

ZERO = Fraction(0)
LAG = 64  # packets: a demuxer that reframes its sound (AC-3) returns it later than it lies
# Priming samples of FFmpeg's own encoders (LAME for MP3), by FFmpeg's name of the codec
PRIMING = {"mp3": 1105, "aac": 1024, "mp2": 481, "ac3": 256}


class PacketOrder:
    """Interleaving order of a `Lavf` AVI, and the audio start offset that follows from it."""

    def __init__(self):
        # place, kind and time of the newest packets
        self._read: list[tuple[int, str, Fraction]] = []
        # bounds of the offset: the least and the most that the audio times are too low
        self._low, self._high = ZERO, None
        self._picture: Fraction | None = None  # time of the newest packet of each kind
        self._sound: Fraction | None = None

    def add(self, kind: str, time: Fraction, place: int) -> None:
        """Take the next packet.

        Parameters
        ----------
        kind : `video` or `audio`
        time : seconds, as the file counts
        place : byte offset in the file
        """
        heappush(self._read, (place, kind, time))
        if len(self._read) > LAG:
            self._take(*heappop(self._read)[1:])

    def _take(self, kind: str, time: Fraction) -> None:
        """Narrow the bounds of the offset by the next packet in file order."""
        if kind == "audio":
            if self._picture is not None:
                self._low = max(self._low, self._picture - time)
            self._sound = time
            return
        # The first picture is stamped zero, however late it is: it bounds nothing.
        if self._picture is not None and self._sound is not None:
            allowed = time - self._sound
            self._high = allowed if self._high is None else min(self._high, allowed)
        self._picture = time

    def moved(
        self, priming: Fraction, delay: Fraction, picture_grid: Fraction, sound_grid: Fraction
    ) -> Fraction:
        """Audio start offset (s) beyond what the file counts; below zero: earlier.

        libavformat first puts packets in order and then moves all of them by what the earliest lies
        before zero, rounded up to each stream's time base. If the sound begins with the clock,
        after nothing but its priming, the order is one of two that are known beforehand (the
        earliest packet is video or audio), and the answer is exact. Otherwise it is the middle of
        what the order allows, and sound that is counted in packets may err by less than one packet.
        Sound made by another encoder and only copied by libavformat errs by the difference of the
        primings (AAC: up to 25 ms). Where the order contradicts itself, as in programs that write
        packets as they arrive, the answer is zero.

        Parameters
        ----------
        priming : seconds that the encoder put before the sound
        delay : seconds from the decoding of a picture to its display, because of B-frames
        picture_grid, sound_grid : seconds per unit of each stream's time base

        >>> order = PacketOrder()
        >>> frame, packet = Fraction(1, 25), Fraction(1024, 48_000)
        >>> order.moved(packet, ZERO, frame, packet)  # no pictures: AAC's priming is before zero
        Fraction(-8, 375)
        """
        while self._read:
            self._take(*heappop(self._read)[1:])
        if self._picture is None:
            return -priming
        if self._high is None or self._low > self._high:
            return ZERO

        # The two known orders: a picture is decoded before the first sound, or it is not.
        ahead = round(priming / sound_grid) * sound_grid
        for earliest in (max(ahead, delay), ahead):
            pushed = ceil(earliest / picture_grid) * picture_grid
            if self._low <= pushed - ahead <= self._high:
                return pushed - delay - priming
        return (self._low + self._high) / 2 - delay

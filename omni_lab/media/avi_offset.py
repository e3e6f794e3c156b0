"""When the sound of an AVI begins: the container cannot say it, the order of its packets can.

An AVI counts frames of pictures and packets of sound from zero, so that a player sets sound that began late, and the
samples that a lossy encoder puts first, right at the start. FFmpeg's libavformat, which signs its files `Lavf`, writes
packets in the order of their times. Where two pictures enclose a packet of sound, their times enclose its time; what
all packets allow is a matter of milliseconds.

Times are exact fractions of a second here: what decides is whether one is before another.
"""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush
from math import ceil

ZERO = Fraction(0)
LAG = 64  # packets: a reader that cuts sound into frames anew (AC-3) hands them on later than they lie
# Samples that FFmpeg's own encoder (LAME for MP3) puts before the sound, by FFmpeg's name of the codec
PRIMING = {"mp3": 1105, "aac": 1024, "mp2": 481, "ac3": 256}


class PacketOrder:
    """Follow the packets of a `Lavf` AVI, and tell by how much its sound begins later than the file says."""

    def __init__(self):
        self._read: list[
            tuple[int, str, Fraction]
        ] = []  # place, kind and time of the newest packets
        self._low, self._high = (
            ZERO,
            None,
        )  # how much the sound's times are too low, at least and at most
        self._picture: Fraction | None = None  # time of the newest packet of each kind
        self._sound: Fraction | None = None

    def add(self, kind: str, time: Fraction, place: int) -> None:
        """Take the next packet: `video` or `audio`, its time (s) as the file counts, and where it lies in the file."""
        heappush(self._read, (place, kind, time))
        if len(self._read) > LAG:
            self._take(*heappop(self._read)[1:])

    def _take(self, kind: str, time: Fraction) -> None:
        if kind == "audio":
            if self._picture is not None:
                self._low = max(self._low, self._picture - time)
            self._sound = time
            return
        if (
            self._picture is not None and self._sound is not None
        ):  # the first picture is at zero, however late
            allowed = time - self._sound
            self._high = allowed if self._high is None else min(self._high, allowed)
        self._picture = time

    def moved(
        self, priming: Fraction, delay: Fraction, picture_grid: Fraction, sound_grid: Fraction
    ) -> Fraction:
        """Give the time (s) by which the sound belongs later (below zero: earlier) than it is counted.

        libavformat puts packets into order first and then moves all by what the earliest lies before zero, rounded up
        to what each stream counts in. If sound begins with the clock, after nothing but its priming, the order is one
        of two that can be told beforehand (the earliest packet is the picture's or the sound's), and the answer is
        exact. Else it is the middle of what the order allows, and sound that is counted in packets may err by less
        than one. Sound that another encoder made and libavformat only copied errs by the difference of the primings
        (AAC: up to 25 ms). Where the order contradicts itself, as in programs that write packets when they come, the
        answer is zero.

        Parameters
        ----------
        priming : seconds that the encoder put before the sound
        delay : seconds by which pictures are decoded before they are shown, because of B-frames
        picture_grid, sound_grid : seconds between two times that each stream can tell apart

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
        ahead = round(priming / sound_grid) * sound_grid
        for earliest in (max(ahead, delay), ahead):
            pushed = ceil(earliest / picture_grid) * picture_grid
            if self._low <= pushed - ahead <= self._high:
                return pushed - delay - priming
        return (self._low + self._high) / 2 - delay

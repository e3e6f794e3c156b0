"""Video frame timing: the presentation time of every decoded frame, and which frames are damaged.

Most containers stamp each picture. AVI and ASF stamp packets only, so that a picture takes the time
of a packet. A picture that is broken, or predicted from a broken one, is left out up to the next
key frame, or to where the stream says that the whole picture is renewed.
"""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction

import numpy as np
from jaxtyping import Int64

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.media.clock import rescale
from omni_lab.media.damage import DamageLog
from omni_lab.media.images.cropping import Borders, Cropper
from omni_lab.media.images.sampling import FramePicker
from omni_lab.media.images.side_data import has_captions
from omni_lab.media.recovery import RecoveryPoints
from omni_lab.media.scenes import ContentDetector, scene_changes

PACKETS_TIMED = ("avi", "asf")  # containers that time packets, not pictures
USUAL_FRAME = TICKS_PER_SECOND // 25  # display time of a picture where the file does not say


class PictureLine:
    """Video placement: decoded frames, in order, each at its presentation time on the clock.

    Parameters
    ----------
    config : frames per second, size, quality, scene detector
    container_format : FFmpeg's name of the container
    damage : log of decoding errors
    borders : of every picture, which are not displayed
    recovery : where the stream is whole again without a key frame, if it can say so
    """

    def __init__(
        self,
        config: TripletConfig,
        container_format: str,
        damage: DamageLog,
        borders: Borders,
        recovery: RecoveryPoints | None,
    ):
        self.picker = FramePicker(config)
        self.reached = 0  # tick of the newest picture
        self.standing = 0  # tick up to which the newest picture is known to be displayed
        self.damaged_from: int | None = None  # tick from which pictures build on a broken one
        self.left_out = 0  # damaged pictures
        self._recovery = recovery
        self._broken = 0  # tick of the newest broken picture
        self.packet_times: list[int] = []  # of the pictures' packets, in such containers
        self.held_back: int | None = None  # pictures that a decoder keeps until later ones come
        self._detector = ContentDetector() if config.scenes == "pyscenedetect" else None
        self._cropper = Cropper(borders)
        self._format, self._damage = container_format, damage
        self._captioned = False  # closed captions were met and noted
        self._place = -1  # among packets, of the one with which the newest picture came out
        self._frame_length = 0  # ticks that the newest picture is displayed, 0 until known

    def take_packet(self, packet, zero: int) -> None:
        """Keep what a video packet states: its time, where the container times packets; renewals."""
        if self._format in PACKETS_TIMED and packet.dts is not None:
            self.packet_times.append(packet.dts)
        stated = packet.dts if packet.pts is None else packet.pts
        if self._recovery and stated is not None:
            self._recovery.take(bytes(packet), rescale(stated, packet.time_base) - zero)

    def lose_packet(self, time: int) -> None:
        """Note a packet that does not decode; `time` is its picture's (ticks), 0 if unknown."""
        if self._recovery:
            self._recovery.forget()
        self._break(time)

    def _break(self, time: int) -> None:
        """Note that the picture at a time is broken, and what is predicted from it."""
        self.damaged_from = time if self.damaged_from is None else self.damaged_from
        self._broken = max(self._broken, time)

    def repeat(self, packet, time: int, zero: int) -> None:
        """Extend the display of the newest picture: an empty packet repeats it."""
        self.standing = rescale(time + (packet.duration or 0), packet.time_base) - zero

    def add(self, frame, stream, zero: int) -> None:
        """Take the next decoded picture; `zero` is the clock's zero (ticks) in the container."""
        times = self.picker.all_times
        time = self._time(frame, stream, zero)
        if times and time <= times[-1]:
            if time < times[-1]:
                self._damage.note("a picture whose time runs backwards is left out", times[-1])
            return

        self.reached = max(self.reached, time)
        if frame.duration:
            self._frame_length = rescale(frame.duration, frame.time_base or stream.time_base)
        elif times:
            self._frame_length = time - times[-1]

        if not self._captioned and has_captions(frame):
            self._captioned = True
            self._damage.note("closed captions in the pictures (CEA-608 or 708) not read", time)
        if self._is_damaged(frame, time):
            self.left_out += 1
            return
        frame = self._displayed(frame, time)
        # An unset aspect ratio is None, or a ratio that is false.
        self.picker.add(frame, time, float(stream.sample_aspect_ratio or 1))
        if self._detector:
            self._detector.add(frame, time)

    def _displayed(self, frame, time: int):
        """Part of a picture that is displayed: all of it, where nothing would be left."""
        if min(self._cropper.borders.leave(frame.width, frame.height)) > 0:
            return self._cropper.crop(frame)
        self._damage.note("cropping declared by the container leaves no picture: ignored", time)
        return frame

    def _time(self, frame, stream, zero: int) -> int:
        """Presentation time (ticks) of a picture: by its timestamp, else after the one before."""
        times, pts = self.picker.all_times, self._pts(frame, stream)
        if pts is None:
            return times[-1] + (self._frame_length or USUAL_FRAME) if times else 0
        return rescale(pts, frame.time_base or stream.time_base) - zero

    def _pts(self, frame, stream) -> int | None:
        """Timestamp of a picture, or of its packet in containers that time packets only.

        Where B-frames hold pictures back, the n-th picture out of an AVI is the n-th packet's; ASF
        holds back its sound as well, so that a picture takes its time when it comes out.
        """
        if self._format not in PACKETS_TIMED:
            return frame.pts if frame.pts is not None else frame.dts

        found = None if frame.dts is None else bisect_left(self.packet_times, frame.dts)
        self._place = self._place + 1 if found is None else found
        if self.held_back is None:
            holds = self._format == "avi" and stream.codec_context.has_b_frames
            self.held_back = self._place if holds else 0
        place = self._place - self.held_back
        return self.packet_times[place] if 0 <= place < len(self.packet_times) else None

    def _is_damaged(self, frame, time: int) -> bool:
        """Damage test: is a picture broken, or predicted from one that is and not yet renewed?"""
        if frame.is_corrupt:
            self._break(time)
        if self.damaged_from is None or time < self.damaged_from:
            return False
        is_key = frame.key_frame and not frame.is_corrupt
        if is_key or (self._recovery and self._recovery.is_whole(time, self._broken)):
            self.damaged_from = self._broken if self._broken > time else None
            return False
        return True

    def finish(self) -> int:
        """Tick at which the last picture ends, 0 without pictures; the picker is closed there."""
        times, end = self.picker.all_times, 0
        if times:
            end = max(times[-1] + (self._frame_length or USUAL_FRAME), self.standing)
        self.picker.finish(end)
        return end

    def scenes(self) -> Int64[np.ndarray, " scenes"]:
        """Scene cuts: the first tick of each new scene, by the configured detector."""
        if self._detector:
            return self._detector.changes()
        times = np.array(self.picker.all_times, dtype=np.int64)
        return scene_changes(times, np.array(self.picker.all_changes))

    def delay(self, time_base: Fraction) -> Fraction:
        """Seconds from decoding to display of a picture, in containers that time packets."""
        times, held_back = self.packet_times, self.held_back or 0
        if len(times) <= held_back + 1:
            return Fraction(0)
        return (times[held_back + 1] - times[1]) * time_base

"""A film in one sequential pass: frames, samples and cues on one clock.

Seeking, cutting with a second tool and reading the streams apart all move sound against picture by tens of
milliseconds; one pass over the packets, each stream placed by its own PTS, does not. A file that breaks in mid-stream
keeps what was decoded and says so in `Source.errors`.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int16, Int64

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.media.avi_offset import PRIMING, PacketOrder
from omni_lab.media.clock import rescale, ticks
from omni_lab.media.damage import DamageLog
from omni_lab.media.errors import NothingDecodableError, SubtitleError
from omni_lab.media.images.sampling import FramePicker
from omni_lab.media.probe import MAX_PIXELS, Source, Stream, describe, open_media
from omni_lab.media.scenes import ContentDetector, scene_changes
from omni_lab.media.sound import SoundLine
from omni_lab.media.subtitles import reader as subtitles
from omni_lab.media.timestamps import Timeline, varies

if TYPE_CHECKING:
    import av

PACKETS_TIMED = ("avi", "asf")  # containers that time packets, not pictures
EARLY = TICKS_PER_SECOND // 10  # more than pictures are stamped before they are shown
USUAL_FRAME = TICKS_PER_SECOND // 25  # how long a picture stands where nothing tells


@dataclass(frozen=True, eq=False)
class Film:
    """A decoded film: what was kept of its pictures, all of its sound, all of its text."""

    source: Source
    frames: tuple[bytes, ...]  # JPEG, upright, shorter side at most config.image_size
    frame_times: Int64[np.ndarray, " frames"]  # each frame's own true time, ticks
    brightness: Float32[np.ndarray, " frames"]  # 0 black to 1 white
    motion: Float32[np.ndarray, " frames"]  # mean absolute change since the frame before, 0 to 1
    changes: Int64[np.ndarray, " scenes"]  # ticks at which a new scene begins
    picture_end: int  # tick at which the last picture goes, 0 without pictures
    audio: Int16[np.ndarray, " samples"] | None  # 16 kHz mono; None when the film has none
    audio_start: int  # tick of the first sample: a late start is a late start
    audio_gaps: tuple[
        tuple[int, int], ...
    ]  # spans (ticks) inside the audio for which the file has no samples
    cues: tuple[subtitles.Cue, ...]  # in order of time, ticks

    @property
    def duration(self) -> int:
        """Length of the film in ticks, as measured."""
        return self.source.duration


def decode(
    path: str | Path,
    config: TripletConfig | None = None,
    threads: int | None = None,
    source_id: str | None = None,
) -> Film:
    """Decode a film: frames near the grid (k + 1/2) / frames_per_second, 16 kHz mono sound, and its cues.

    Text is taken from a subtitle file beside the film if there is one (somebody put it there on purpose), else from
    the text track inside.

    Parameters
    ----------
    path : a local file
    config : frames per second, size, quality, preferred language
    threads : that decode pictures, at most; None is one for each core
    source_id : the file's `content_id`, where that is known already; None hashes it

    Raises
    ------
    MissingFileError, EmptyFileError, NotMediaError, NothingDecodableError
    """
    config = config or TripletConfig()
    with open_media(path) as container:
        film = _Pass(container, describe(container, path, config.language, source_id), config)
        film.run(threads or os.cpu_count() or 1)
        return film.result(path)


class _Pass:
    """One pass over a container's packets."""

    def __init__(self, container, source: Source, config: TripletConfig):
        self.container, self.source, self.config = container, source, config
        self.picker, self.sound = FramePicker(config), SoundLine()
        self.detector = ContentDetector() if config.scenes == "pyscenedetect" else None
        self.format = container.format.name
        self.timeline = Timeline(self.format, source.zero)
        signed = self.format == "avi" and container.metadata.get("software", "").startswith("Lavf")
        self.order = PacketOrder() if signed else None
        self.damaged_from: int | None = None  # tick from which pictures build on a broken one
        self.left_out = 0
        self.embedded: list[subtitles.Cue] = []
        self.damage = DamageLog()
        self.packet_times: list[int] = []  # of the pictures' packets, in such containers
        self.place = -1  # among them, of the packet with which the newest picture came out
        self.held_back: int | None = (
            None  # pictures that the decoder keeps while it waits for later ones
        )
        self.standing = 0  # tick up to which the newest picture is said to stand
        self.frame_length = 0  # ticks the newest frame stands, 0 as long as it is not known
        self.reached = 0  # tick of the newest picture or sound
        self.unit = 0  # samples of one audio frame, at 16 kHz

    def run(self, threads: int) -> None:
        """Demultiplex and decode everything that was chosen; a fault ends what it must and no more."""
        import av

        chosen = [self.container.streams[s.index] for s in self.source.streams if s.chosen]
        for stream in chosen:
            if stream.type == "video":
                _bound(stream.codec_context, threads)
        packets = self.container.demux(chosen)
        first = True
        while True:
            try:
                packet = next(packets, None)
            except (
                IndexError
            ):  # PyAV's end where streams turned up in mid-file; it has flushed the others by then
                break
            except (av.error.FFmpegError, OSError) as error:  # the form breaks off; the disk fails
                self.damage.note("reading stopped", self.reached, error.strerror)
                for stream in chosen:
                    if stream.type != "subtitle":
                        self._decode(stream, None)
                break
            if packet is None:
                break
            if first:
                self._begin(packet)
                first = False
            if jump := self.timeline.straighten(packet):
                self.damage.note(jump)
            if (
                self.order
                and None not in (packet.dts, packet.pos)
                and packet.stream.type != "subtitle"
            ):
                self.order.add(packet.stream.type, packet.dts * packet.time_base, packet.pos)
            if packet.stream.type == "subtitle":
                self._read_text(packet)
            else:
                self._decode(packet.stream, packet)

    def _begin(self, packet) -> None:
        """Let the clock begin with the file's first packet, if pictures start earlier than FFmpeg says.

        Where pictures are decoded before they are shown and sound begins later, FFmpeg takes the sound's start for both
        in containers that stamp no order of showing (ASF, NUT): the pictures before it would be lost.
        """
        if packet.stream.type != "video" or packet.pts is None or self.format not in ("asf", "nut"):
            return
        time = rescale(packet.pts, packet.time_base)
        later = self.source.zero - time
        if later > EARLY:
            streams = [
                replace(s, start=None if s.start is None else s.start + later)
                for s in self.source.streams
            ]
            streams[packet.stream.index] = replace(streams[packet.stream.index], start=0)
            self.source = replace(self.source, zero=time, streams=tuple(streams))
            self.timeline = Timeline(self.format, time)

    def _decode(self, stream, packet) -> None:
        import av

        take = self._take_picture if stream.type == "video" else self._take_sound
        told = None if packet is None else packet.pts if packet.dts is None else packet.dts
        if told is not None and not packet.size:  # nothing new: the last picture stands
            if stream.type == "video":
                self.standing = (
                    rescale(told + (packet.duration or 0), packet.time_base) - self.source.zero
                )
            return
        if (
            self.format in PACKETS_TIMED
            and stream.type == "video"
            and packet is not None
            and packet.dts is not None
        ):
            self.packet_times.append(packet.dts)
        known = packet is not None and packet.pts is not None
        time = rescale(packet.pts, packet.time_base) - self.source.zero if known else None
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            self.damage.note(
                f"{stream.type} does not decode",
                self.reached if time is None else time,
                error.strerror,
            )
            if stream.type == "video" and self.damaged_from is None:
                self.damaged_from = time or 0
            return
        for frame in frames:
            try:
                take(frame, stream)
            except av.error.FFmpegError as error:
                self.damage.note(
                    f"{stream.type} cannot be converted",
                    self.reached if time is None else time,
                    error.strerror,
                )

    def _take_picture(self, frame, stream) -> None:
        times = self.picker.all_times
        stamped = self._stamp(frame, stream)
        if stamped is None:
            time = times[-1] + (self.frame_length or USUAL_FRAME) if times else 0
        else:
            time = rescale(stamped, frame.time_base or stream.time_base) - self.source.zero
        if times and time <= times[-1]:
            if time < times[-1]:
                self.damage.note("a picture whose time runs backwards is left out", times[-1])
            return
        self.reached = max(self.reached, time)
        if frame.duration:
            self.frame_length = rescale(frame.duration, frame.time_base or stream.time_base)
        elif times:
            self.frame_length = time - times[-1]
        if self._is_damaged(frame, time):
            self.left_out += 1
            return
        self.picker.add(
            frame, time, float(stream.sample_aspect_ratio or 1)
        )  # unset is None, or a ratio that is false
        if self.detector:
            self.detector.add(frame, time)

    def _stamp(self, frame, stream) -> int | None:
        """Give a picture's time stamp, in containers that hold none the time of the packet it is as late as.

        Where B-frames hold pictures back, the n-th picture out of an AVI is the n-th packet's; ASF holds back its sound
        as well, so that a picture takes its time when it comes out.
        """
        if self.format not in PACKETS_TIMED:
            return frame.pts if frame.pts is not None else frame.dts
        self.place = (
            self.place + 1 if frame.dts is None else bisect_left(self.packet_times, frame.dts)
        )
        if self.held_back is None:
            self.held_back = (
                self.place if self.format == "avi" and stream.codec_context.has_b_frames else 0
            )
        place = self.place - self.held_back
        return self.packet_times[place] if 0 <= place < len(self.packet_times) else None

    def _is_damaged(self, frame, time: int) -> bool:
        """Tell whether a picture is broken or predicted from one that is: from the damage to the next key frame."""
        if frame.is_corrupt and self.damaged_from is None:
            self.damaged_from = time
        if self.damaged_from is None or time < self.damaged_from:
            return False
        if frame.key_frame and not frame.is_corrupt:
            self.damaged_from = None
            return False
        return True

    def _take_sound(self, frame, stream) -> None:
        time_base = frame.time_base or stream.time_base
        time = None if frame.pts is None else rescale(frame.pts, time_base) - self.source.zero
        self.reached = max(self.reached, time or 0)
        self.unit = max(self.unit, frame.samples * TICKS_PER_SECOND // frame.sample_rate)
        self.sound.add(frame, time, grain=float(time_base * TICKS_PER_SECOND))

    def _read_text(self, packet) -> None:
        if packet.pts is None:  # the empty packet at the end
            return
        start = rescale(packet.pts, packet.time_base) - self.source.zero
        end = (
            max(0, start + rescale(packet.duration, packet.time_base)) if packet.duration else None
        )
        codec = packet.stream.codec_context.name
        self.embedded.extend(
            subtitles.from_packet(bytes(packet), codec, max(0, start), end, packet.stream.language)
        )

    def result(self, path: str | Path) -> Film:
        """Close all lines and put the film together."""
        picker, source = self.picker, self.source
        shown = (
            [picker.all_times[-1] + (self.frame_length or USUAL_FRAME), self.standing]
            if picker.all_times
            else [0]
        )
        picture_end = max(shown)
        picker.finish(picture_end)
        stream = source.stream("audio")
        stated = (
            stream.start + stream.duration
            if stream and stream.start is not None and stream.duration
            else None
        )
        moved = self._sound_moved()
        audio, audio_start, gaps = self.sound.finish(stated, padding=2 * self.unit, moved=moved)
        if audio is None and not picker.jpegs:
            reason = f"; {self.damage.lines()[0]}" if self.damage.lines() else ""
            raise NothingDecodableError(
                path, f"not one frame and not one sample can be decoded{reason}"
            )
        duration = max(picture_end, audio_start + audio.size if audio is not None else 0)
        cues, text_uri = self._text(path)
        for doubt in subtitles.doubts(cues, duration):
            self.damage.note(f"{text_uri or 'the text track'}: {doubt}")
        if self.left_out:
            self.damage.note(f"{self.left_out} damaged pictures are left out")
        streams = tuple(self._measured(s, moved) for s in source.streams)
        return Film(
            source=replace(
                source,
                streams=streams,
                duration=duration,
                text_uri=text_uri,
                errors=self.damage.lines(),
            ),
            frames=tuple(picker.jpegs),
            frame_times=np.array(picker.times, dtype=np.int64),
            brightness=np.array(picker.brightness, dtype=np.float32),
            motion=np.array(picker.motion, dtype=np.float32),
            changes=self._scenes(),
            picture_end=picture_end,
            audio=audio,
            audio_start=audio_start,
            audio_gaps=tuple(gaps),
            cues=cues,
        )

    def _measured(self, stream: Stream, sound_moved: int) -> Stream:
        """Correct what the container says of a stream by what decoding has shown."""
        if stream.chosen and stream.kind == "video":
            return replace(
                stream,
                rotation=self.picker.rotation,
                variable_frame_rate=varies(self.picker.all_times),
            )
        if stream.chosen and stream.kind == "audio" and sound_moved:
            return replace(stream, start=(stream.start or 0) + sound_moved)
        return stream

    def _sound_moved(self) -> int:
        """Tell by how many ticks the sound of a `Lavf` AVI begins later than the file says."""
        sound = self.source.stream("audio")
        if not self.order or not sound:
            return 0
        picture = self.source.stream("video")
        beat, count = (
            self.container.streams[s.index].time_base if s else Fraction(1)
            for s in (picture, sound)
        )
        times, held_back = self.packet_times, self.held_back or 0
        delay = (
            (times[held_back + 1] - times[1]) * beat if len(times) > held_back + 1 else Fraction(0)
        )
        priming = Fraction(PRIMING.get(sound.codec, 0), int(sound.rate))
        return ticks(self.order.moved(priming, delay, beat, count))

    def _scenes(self) -> Int64[np.ndarray, " scenes"]:
        """Give the first tick of each new scene, as the detector that was asked for finds it."""
        if self.detector:
            return self.detector.changes()
        return scene_changes(
            np.array(self.picker.all_times, dtype=np.int64), np.array(self.picker.all_changes)
        )

    def _text(self, path: str | Path) -> tuple[tuple[subtitles.Cue, ...], str | None]:
        """Take the subtitle file beside the film, else the track inside; a file that cannot be read is an error."""
        for sidecar in subtitles.sidecars(path, self.config.language):
            try:
                cues = subtitles.read_subtitles(sidecar, self.config.language)
            except SubtitleError as fault:
                self.damage.note(str(fault))
                continue
            if cues:
                return cues, str(sidecar)
        return subtitles.settle(self.embedded), None


def _bound(codec: av.VideoCodecContext, threads: int) -> None:
    """Let a decoder use so many threads, but fewer where pictures are large: every thread holds one in memory."""
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    codec.thread_type = "AUTO"
    codec.thread_count = min(threads, max(1, MAX_PIXELS // max(1, codec.width * codec.height)))

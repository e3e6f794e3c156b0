"""Film decoding in one sequential pass: frames, samples and cues on one clock.

Seeking, cutting with a second tool and reading the streams apart all move sound against picture by
tens of milliseconds; one pass over the packets, each stream placed by its own PTS, does not. A file
that breaks in mid-stream keeps what was decoded and lists the damage in `Source.errors`.
"""

from __future__ import annotations

import os
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
from omni_lab.media.errors import NothingDecodableError
from omni_lab.media.headers import cropping
from omni_lab.media.images.cropping import Borders
from omni_lab.media.pictures import PictureLine
from omni_lab.media.probe import MAX_PIXELS, Source, Stream, describe, open_media
from omni_lab.media.recovery import RecoveryPoints
from omni_lab.media.sound import SoundLine
from omni_lab.media.subtitles import reader as subtitles
from omni_lab.media.subtitles.beside import read_beside
from omni_lab.media.subtitles.doubts import doubts
from omni_lab.media.timestamps import Timeline, varies

if TYPE_CHECKING:
    import av

# Containers that state where each stream ends; what FFmpeg gives for others is often a guess
STATES_END = ("mov,mp4,m4a,3gp,3g2,mj2",)
COUNTS_PACKETS = "mpegts"  # container that counts its packets, so that a lost one is known
EARLY = TICKS_PER_SECOND // 10  # more than the time from a picture's decoding to its display


@dataclass(frozen=True, eq=False)
class Film:
    """Decoded film: the sampled frames, all of its sound, all of its text."""

    source: Source
    frames: tuple[bytes, ...]  # JPEG, upright, shorter side at most config.image_size pixels
    frame_times: Int64[np.ndarray, " frames"]  # each frame's own true time, ticks
    brightness: Float32[np.ndarray, " frames"]  # 0 black to 1 white
    motion: Float32[np.ndarray, " frames"]  # mean absolute change since the frame before, 0 to 1
    changes: Int64[np.ndarray, " scenes"]  # ticks at which a new scene begins
    picture_end: int  # tick at which the last picture ends, 0 without pictures
    audio: Int16[np.ndarray, " samples"] | None  # 16 kHz mono; None when the film has none
    audio_start: int  # tick of the first sample: a late start is a late start
    audio_gaps: tuple[
        tuple[int, int], ...
    ]  # spans (ticks) in the audio without samples in the file
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
    """Film decoding: frames near the grid (k + 1/2) / frames_per_second, 16 kHz mono sound, cues.

    Text is taken from a subtitle file beside the film if there is one (somebody put it there on
    purpose), else from the text track inside.

    Parameters
    ----------
    path : a local file
    config : frames per second, size, quality, preferred language
    threads : most threads that decode pictures; None is one for each core
    source_id : the file's `content_id`, where that is known already; None computes it

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
    """Single pass over a container's packets."""

    def __init__(self, container, source: Source, config: TripletConfig):
        self.container, self.source, self.config = container, source, config
        self.format = container.format.name
        self.damage = DamageLog()
        for error in source.errors:
            self.damage.note(error)
        self.pictures = PictureLine(config, self.format, self.damage, *_stated(container, source))
        self.sound = SoundLine(self.damage)
        self.lacking = 0  # counts down to the video packet before which others are missing
        self.sound_reached = 0  # tick of the newest sound
        self.sound_unit = 0  # samples of one audio frame, at 16 kHz
        self.embedded: list[subtitles.Packet] = []
        self.timeline = Timeline(self.format, source.zero)
        signed = self.format == "avi" and container.metadata.get("software", "").startswith("Lavf")
        self.order = PacketOrder() if signed else None

    @property
    def reached(self) -> int:
        """Tick of the newest picture or sound."""
        return max(self.pictures.reached, self.sound_reached)

    def run(self, threads: int) -> None:
        """Demultiplex and decode the chosen streams; an error ends what it must and no more."""
        import av

        chosen = [self.container.streams[s.index] for s in self.source.streams if s.chosen]
        for stream in chosen:
            if stream.type == "video":
                _bound(stream.codec_context, threads)

        packets, first = self.container.demux(chosen), True
        while True:
            try:
                packet = next(packets, None)
            except IndexError:  # PyAV's end where streams begin in mid-file; the others are flushed
                break
            except (av.error.FFmpegError, OSError) as error:  # broken container, failing disk
                self.damage.note("reading stopped", self.reached, error.strerror)
                self._flush(chosen)
                break
            if packet is None:
                break
            if first:
                self._begin(packet)
                first = False
            self._take(packet)

    def _flush(self, streams: list) -> None:
        """Decode what the decoders still hold."""
        for stream in streams:
            if stream.type != "subtitle":
                self._decode(stream, None)

    def _begin(self, packet) -> None:
        """Move the clock's zero to the first packet, if pictures start earlier than FFmpeg says.

        Where pictures are decoded before they are displayed and sound begins later, FFmpeg takes
        the sound's start for both in containers without decoding timestamps (ASF, NUT): the
        pictures before it would be dropped.
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

    def _take(self, packet) -> None:
        """Correct a packet's timestamps, and decode it."""
        if jump := self.timeline.straighten(packet):
            self.damage.note(jump)
        if packet.stream.type == "subtitle":
            self._read_text(packet)
            return
        if self.order and None not in (packet.dts, packet.pos):
            self.order.add(packet.stream.type, packet.dts * packet.time_base, packet.pos)
        self._decode(packet.stream, packet)

    def _decode(self, stream, packet) -> None:
        """Decode a packet of a stream, or with None what its decoder still holds."""
        import av

        is_video = stream.type == "video"
        stated = None if packet is None else packet.pts if packet.dts is None else packet.dts
        if stated is not None and not packet.size:  # an empty packet repeats the last picture
            if is_video:
                self.pictures.repeat(packet, stated, self.source.zero)
            return
        if is_video and packet is not None:
            self.pictures.take_packet(packet, self.source.zero)

        known = packet is not None and packet.pts is not None
        time = rescale(packet.pts, packet.time_base) - self.source.zero if known else None
        if is_video and known:
            self._miss(packet, time)
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            self._note(f"{stream.type} does not decode", time, error)
            if is_video:
                self.pictures.lose_packet(time or 0)
            return

        for frame in frames:
            try:
                if is_video:
                    self.pictures.add(frame, stream, self.source.zero)
                else:
                    self._take_sound(frame, stream)
            except av.error.FFmpegError as error:
                self._note(f"{stream.type} cannot be converted", time, error)

    def _miss(self, packet, time: int) -> None:
        """Note that pictures are missing before a packet: a decoder conceals one that is lost whole.

        A key frame builds on none of them: there the stream may as well be joined.
        """
        self.lacking = 0 if packet.is_keyframe else max(0, self.lacking - 1)
        if self.lacking == 1:
            self.damage.note("packets of the transport stream are missing", time)
            self.pictures.lose_packet(time)
        if packet.is_corrupt and self.format == COUNTS_PACKETS:
            self.lacking = 3  # FFmpeg's parser is two pictures behind the container

    def _note(self, what: str, time: int | None, error: av.error.FFmpegError) -> None:
        self.damage.note(what, self.reached if time is None else time, error.strerror)

    def _take_sound(self, frame, stream) -> None:
        time_base = frame.time_base or stream.time_base
        time = None if frame.pts is None else rescale(frame.pts, time_base) - self.source.zero
        self.sound_reached = max(self.sound_reached, time or 0)
        samples = frame.samples * TICKS_PER_SECOND // frame.sample_rate
        self.sound_unit = max(self.sound_unit, samples)
        self.sound.add(frame, time, grain=float(time_base * TICKS_PER_SECOND))

    def _read_text(self, packet) -> None:
        """Keep a packet of the text track."""
        if packet.pts is None:  # the empty packet at the end
            return
        start = rescale(packet.pts, packet.time_base) - self.source.zero
        length = rescale(packet.duration, packet.time_base) if packet.duration else None
        end = None if length is None else max(0, start + length)
        codec = packet.stream.codec_context.name
        self.embedded.append(
            subtitles.Packet(bytes(packet), codec, max(0, start), end, packet.stream.language)
        )

    def result(self, path: str | Path) -> Film:
        """Decoded film of everything that the pass has met."""
        picker, picture_end, moved = self.pictures.picker, self.pictures.finish(), self._moved()
        audio, audio_start, gaps = self._sound(moved)
        if audio is None and not picker.jpegs:
            reason = f"; {self.damage.lines()[0]}" if self.damage.lines() else ""
            none = f"not one frame and not one sample can be decoded{reason}"
            raise NothingDecodableError(path, none)

        # The header's durations are often wrong: what was decoded counts.
        duration = max(picture_end, audio_start + audio.size if audio is not None else 0)
        cues, text_uri = self._text(path)
        for doubt in doubts(cues, duration):
            self.damage.note(f"{text_uri or 'the text track'}: {doubt}")
        if self.pictures.left_out:
            self.damage.note(f"{self.pictures.left_out} damaged pictures are left out")

        source = replace(
            self.source,
            streams=tuple(self._measured(s, moved) for s in self.source.streams),
            duration=duration,
            text_uri=text_uri,
            errors=self.damage.lines(),
        )
        return Film(
            source=source,
            frames=tuple(picker.jpegs),
            frame_times=np.array(picker.times, dtype=np.int64),
            brightness=np.array(picker.brightness, dtype=np.float32),
            motion=np.array(picker.motion, dtype=np.float32),
            changes=self.pictures.scenes(),
            picture_end=picture_end,
            audio=audio,
            audio_start=audio_start,
            audio_gaps=tuple(gaps),
            cues=cues,
        )

    def _sound(self, moved: int) -> tuple[np.ndarray | None, int, list[tuple[int, int]]]:
        """Complete sound track (see `SoundLine.finish`), cut where the container says it ends."""
        stream, stated = self.source.stream("audio"), None
        states = self.format in STATES_END
        if states and stream and stream.start is not None and stream.duration:
            stated = stream.start + stream.duration
        return self.sound.finish(stated, padding=2 * self.sound_unit, moved=moved)

    def _moved(self) -> int:
        """Audio start offset (ticks) of a `Lavf` AVI beyond what the file says."""
        sound = self.source.stream("audio")
        if not self.order or not sound:
            return 0
        picture = self.source.stream("video")
        picture_grid, sound_grid = (
            self.container.streams[s.index].time_base if s else Fraction(1)
            for s in (picture, sound)
        )
        priming = Fraction(PRIMING.get(sound.codec, 0), int(sound.rate))
        delay = self.pictures.delay(picture_grid)
        return ticks(self.order.moved(priming, delay, picture_grid, sound_grid))

    def _measured(self, stream: Stream, sound_moved: int) -> Stream:
        """Stream description, with the header corrected by what decoding has shown."""
        picker = self.pictures.picker
        if stream.chosen and stream.kind == "video":
            uneven = varies(picker.all_times)
            return replace(stream, rotation=picker.rotation, variable_frame_rate=uneven)
        if stream.chosen and stream.kind == "audio" and sound_moved:
            return replace(stream, start=(stream.start or 0) + sound_moved)
        return stream

    def _text(self, path: str | Path) -> tuple[tuple[subtitles.Cue, ...], str | None]:
        """Cues of the best subtitle file beside the film, else of the text track inside."""
        picture = self.source.stream("video")
        text = read_beside(path, self.config.language, picture.rate if picture else None)
        for line in text.unused:
            self.damage.note(line)
        inside = subtitles.from_packets(self.embedded)
        if text.file and inside:
            self.damage.note(f"the text track inside: not used, since {text.file.name} is")
        return (text.cues, str(text.file)) if text.file else (inside, None)


def _stated(container, source: Source) -> tuple[Borders, RecoveryPoints | None]:
    """Borders and renewals of the pictures, as the chosen video stream states them."""
    stream = source.stream("video")
    if stream is None:
        return Borders(), None
    chosen = container.streams[stream.index]
    renewing = stream.codec == "h264"
    return cropping(chosen), RecoveryPoints(chosen.codec_context.extradata) if renewing else None


def _bound(codec: av.VideoCodecContext, threads: int) -> None:
    """Limit a decoder's threads where pictures are large: every thread holds one in memory."""
    from av.codec.context import Flags

    codec.options = {"max_pixels": str(MAX_PIXELS)}
    # HEVC's decoder would drop pictures whose reference is lost, so that nobody could count them.
    if codec.name == "hevc":
        codec.flags |= Flags.output_corrupt
    codec.thread_type = "AUTO"
    codec.thread_count = min(threads, max(1, MAX_PIXELS // max(1, codec.width * codec.height)))

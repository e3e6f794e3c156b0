"""Small films made on the spot, each with a known flash, click, turn, gap or fault, so that tests know the truth."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np

RATE = 44_100
FINE = (
    "libx264",
    "libx265",
    "libvpx-vp9",
    "libaom-av1",
    "libsvtav1",
)  # encoders that take times of any fineness
ENCODERS = {
    "libx264": {"preset": "ultrafast", "crf": "10", "bf": "2"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12"},
    "mpeg4": {"bf": "2"},
    "mpeg2video": {"bf": "2"},
}


def clicks(seconds: float, rate: int = RATE, at: float = 0.5) -> np.ndarray:
    """Silence with a click of 4 ms in the middle of every second (its centre is at k + `at` s), float32."""
    times = np.arange(round(seconds * rate)) / rate
    since = (times - at + 0.5) % 1.0 - 0.5
    click = np.cos(2 * np.pi * 1500 * since) * np.clip(1 - np.abs(since) / 0.002, 0, None)
    return (0.8 * click).astype(np.float32)


def flashes(times: np.ndarray, width: int = 64, height: int = 48, at: float = 0.5) -> np.ndarray:
    """Dark frames; the first frame at or after k + `at` s of every second is white. The top left corner is red."""
    frames = np.full((len(times), height, width, 3), 30, np.uint8)
    seconds = np.floor(np.asarray(times, dtype=float) - at + 1e-6)
    frames[np.flatnonzero(np.diff(seconds, prepend=-1.0) > 0)] = 255
    frames[:, : height // 4, : width // 4] = (220, 20, 20)
    return frames


def write_film(
    path: Path,
    seconds: float = 4.0,
    fps: Fraction | int = 25,
    times: list[float] | None = None,
    picture: str | None = "libx264",
    sound: str | None = "aac",
    rate: int = RATE,
    layout: str = "stereo",
    picture_at: float = 0.0,
    sound_at: float = 0.0,
    sound_gap: tuple[float, float] | None = None,
    rotation: int = 0,
    size: tuple[int, int] = (64, 48),
    text: list[tuple[str, list[tuple[float, float, str]]]] = (),
    text_codec: str = "mov_text",
    sounds: list[tuple[str, bool]] = (("und", True),),
    cover: bool = False,
    frames: np.ndarray | None = None,
    samples: np.ndarray | None = None,
    pixels: str = "yuv420p",
    aspect: Fraction | None = None,
    drift: float = 0.0,
    live: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film whose flashes and clicks fall on the same half seconds of the container's own clock.

    `picture_at`, `sound_at`: when each stream starts (s); `times`: the frames' own times; `sound_gap`: a span without
    packets; `sounds`: (language, is the default) of each track; `text`: (language, cues) of each track; `pixels`: their
    format; `aspect`: of a pixel; `drift`: share by which the sound's stamps run fast; `live`:
    written without seeking back; `options`: of the muxer.
    """
    import av

    grid = Fraction(1, 90_000) if picture in FINE else 1 / Fraction(fps)
    times = np.arange(round(seconds * fps)) / float(fps) if times is None else np.asarray(times)
    if path.suffix in (".mp4", ".mov", ".m4a"):
        options = {
            "movie_timescale": str(90_000),
            **(options or {}),
        }  # the usual 1000 would round starts
    with av.open(Pipe(path) if live else str(path), "w", options=options or {}) as container:
        packets = []
        streams = []
        if picture:
            stream = container.add_stream(picture, rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt, stream.time_base = pixels, grid
            stream.codec_context.time_base = grid
            stream.codec_context.gop_size = 12
            stream.options = ENCODERS.get(picture, {})
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation:
                stream.set_display_rotation(rotation)
            streams.append((stream, _pictures(times + picture_at, grid, size, frames)))
        if sound:
            for language, default in sounds:
                stream = container.add_stream(sound, rate=rate, layout=layout)
                stream.metadata["language"] = language
                stream.disposition = (
                    av.stream.Disposition.default if default else av.stream.Disposition(0)
                )
                streams.append(
                    (stream, _sounds(stream, seconds, rate, layout, sound_at, sound_gap, samples))
                )
        if cover:
            stream = container.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
            stream.disposition = av.stream.Disposition.attached_pic
            streams.append(
                (stream, iter([av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8))]))
            )
        tracks = []
        for language, cues in text:
            stream = container.add_mux_stream(text_codec)
            stream.time_base = Fraction(1, 1000)
            stream.metadata["language"] = language
            tracks.append((stream, cues))
        for stream, source in streams:
            for frame in source:
                packets += stream.encode(frame)
            packets += stream.encode(None)
        if drift:
            for packet in (p for p in packets if p.stream.type == "audio"):
                packet.pts = packet.dts = round(packet.pts * (1 + drift))
        for stream, cues in tracks:
            packets += [_text(stream, cue, text_codec) for cue in cues]
        packets.sort(
            key=lambda packet: (packet.dts if packet.dts is not None else 0) * packet.time_base
        )
        for packet in packets:
            container.mux(packet)
    return path


def _pictures(times, grid, size, frames):
    import av

    # flashes are where they are on the container's clock, whenever the stream starts
    pixels = flashes(times, *size) if frames is None else frames
    for time, picture in zip(times, pixels, strict=True):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(time / grid), grid
        yield frame


def _sounds(stream, seconds, rate, layout, start, gap, samples):
    import av

    first = round(start * rate)
    whole = clicks(seconds, rate, at=0.5 - first / rate) if samples is None else samples
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    block = stream.codec_context.frame_size or 1024
    for at in range(0, len(whole), block):
        if gap and gap[0] * rate <= at < gap[1] * rate:
            continue
        piece = np.repeat(whole[None, at : at + block], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, first + at, Fraction(1, rate)
        yield frame


def _text(stream, cue, codec):
    import av

    start, end, text = cue
    data = text.encode()
    packet = av.Packet(struct.pack(">H", len(data)) + data if codec == "mov_text" else data)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(start * 1000)
    packet.duration = round((end - start) * 1000)
    return packet


def found_clicks(audio: np.ndarray, start: int = 0) -> list[float]:
    """Ticks of the clicks' centres: the centre of energy around each loudest sample."""
    energy = audio.astype(np.float64) ** 2
    found = []
    while energy.max() > 0.05 * 32767**2:
        peak = int(energy.argmax())
        window = slice(max(0, peak - 60), peak + 61)
        found.append(
            start
            + float((np.arange(energy.size)[window] * energy[window]).sum() / energy[window].sum())
        )
        energy[max(0, peak - 400) : peak + 400] = 0
    return sorted(found)


def flash_times(film) -> np.ndarray:
    """Ticks of the white frames."""
    return film.frame_times[film.brightness > 0.6]


def damage(path: Path, share: float = 0.5, count: int = 600) -> Path:
    """Overwrite bytes in the middle of a file."""
    data = bytearray(path.read_bytes())
    at = int(len(data) * share)
    data[at : at + count] = bytes(count)
    path.write_bytes(data)
    return path


def shift_edit_list(path: Path, by_s: float) -> Path:
    """Let the edit list of the first track of an MP4 begin `by_s` later: what lies before is not to be shown."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst")
    duration, media_time = struct.unpack(">Ii", data[at + 12 : at + 20])
    scale = struct.unpack(">I", data[(m := data.index(b"mdhd")) + 16 : m + 20])[0]
    movie = struct.unpack(">I", data[(m := data.index(b"mvhd")) + 16 : m + 20])[0]
    data[at + 12 : at + 20] = struct.pack(
        ">Ii", duration - round(by_s * movie), media_time + round(by_s * scale)
    )
    path.write_bytes(data)
    return path


def show_as(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """Give the first track of an MP4 a display matrix: (x, y) is shown at (a x + c y, b x + d y), y pointing down."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    fixed = [round(value * 65_536) for value in (a, b, c, d)]
    data[at : at + 36] = struct.pack(
        ">9i", fixed[0], fixed[1], 0, fixed[2], fixed[3], 0, 0, 0, 1 << 30
    )
    path.write_bytes(data)
    return path


def edit(path: Path, edits: list[tuple[float, float | None]]) -> Path:
    """Rewrite the edit list of the first track of an MP4 whose index stands behind its media.

    `edits`: (seconds shown, second of the track that is shown first; None shows nothing).
    """
    data = path.read_bytes()
    movie = struct.unpack(">I", data[(m := data.index(b"mvhd")) + 16 : m + 20])[0]
    scale = struct.unpack(">I", data[(m := data.index(b"mdhd")) + 16 : m + 20])[0]
    rows = [(round(shown * movie), -1 if at is None else round(at * scale)) for shown, at in edits]
    body = b"".join(struct.pack(">IiI", shown, at, 1 << 16) for shown, at in rows)
    path.write_bytes(
        _replaced(
            data, [b"moov", b"trak", b"edts", b"elst"], struct.pack(">II", 0, len(rows)) + body
        )
    )
    return path


def _replaced(data: bytes, way: list[bytes], body: bytes) -> bytes:
    """Collectives the body of the first box that lies at the end of a way of boxes."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == way[0]:
            inner = body if len(way) == 1 else _replaced(data[at + 8 : at + size], way[1:], body)
            return data[:at] + struct.pack(">I4s", len(inner) + 8, kind) + inner + data[at + size :]
        at += size
    raise ValueError(f"no box {way[0]!r}")


class Pipe(io.RawIOBase):
    """A file that can be written but not sought in: what a live encoder writes to."""

    def __init__(self, path: Path):
        self.name, self.file = str(path), path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        return self.file.write(data)

    def close(self) -> None:
        self.file.close()
        super().close()

"""Synthetic test media: films with known flashes, clicks, gaps and damage, and still images."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

RATE = 44_100
RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 220, 20), (20, 20, 220), (255, 255, 255)
WRITABLE = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
# Encoders that take any time base
FINE = ("libx264", "libx265", "libvpx-vp9", "libaom-av1", "libsvtav1")
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
    """Click track, float32: silence with a click of 4 ms, centred at k + `at` s, every second."""
    times = np.arange(round(seconds * rate)) / rate
    since = (times - at + 0.5) % 1.0 - 0.5
    click = np.cos(2 * np.pi * 1500 * since) * np.clip(1 - np.abs(since) / 0.002, 0, None)
    return (0.8 * click).astype(np.float32)


def flashes(times: np.ndarray, width: int = 64, height: int = 48, at: float = 0.5) -> np.ndarray:
    """Flash frames: dark, the first at or after k + `at` s of every second white.

    The top left corner is red.
    """
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
    """Test film whose flashes and clicks fall on the same half seconds of the container's clock.

    `picture_at`, `sound_at`: when each stream starts (s); `times`: the frames' own times (s);
    `sound_gap`: a span without packets; `sounds`: (language, is the default) of each track; `text`:
    (language, cues) of each track; `pixels`: their format; `aspect`: of a pixel; `drift`: fraction
    by which the sound's timestamps run fast; `live`: written without seeking back; `options`: of
    the muxer.
    """
    import av

    grid = Fraction(1, 90_000) if picture in FINE else 1 / Fraction(fps)
    times = np.arange(round(seconds * fps)) / float(fps) if times is None else np.asarray(times)
    if path.suffix in (".mp4", ".mov", ".m4a"):
        # The usual timescale of 1000 would round starts.
        options = {"movie_timescale": str(90_000), **(options or {})}

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

    # Flashes lie on the container's clock, whenever the stream starts.
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
    """Click detection (ticks): the centre of energy around each loudest sample."""
    energy = audio.astype(np.float64) ** 2
    found = []
    while energy.max() > 0.05 * 32767**2:
        peak = int(energy.argmax())
        window = slice(max(0, peak - 60), peak + 61)
        centre = (np.arange(energy.size)[window] * energy[window]).sum() / energy[window].sum()
        found.append(start + float(centre))
        energy[max(0, peak - 400) : peak + 400] = 0
    return sorted(found)


def flash_times(film) -> np.ndarray:
    """Ticks of the white frames."""
    return film.frame_times[film.brightness > 0.6]


def damage(path: Path, fraction: float = 0.5, count: int = 600) -> Path:
    """File damage: `count` bytes overwritten, from a fraction of the file's length on."""
    data = bytearray(path.read_bytes())
    at = int(len(data) * fraction)
    data[at : at + count] = bytes(count)
    path.write_bytes(data)
    return path


def shift_edit_list(path: Path, by_s: float) -> Path:
    """MP4 edit list of the first track, begun `by_s` later: earlier frames are not displayed."""
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
    """MP4 display matrix of the first track: (x, y) goes to (a x + c y, b x + d y), y down."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    fixed = [round(value * 65_536) for value in (a, b, c, d)]
    data[at : at + 36] = struct.pack(
        ">9i", fixed[0], fixed[1], 0, fixed[2], fixed[3], 0, 0, 0, 1 << 30
    )
    path.write_bytes(data)
    return path


def edit(path: Path, edits: list[tuple[float, float | None]]) -> Path:
    """MP4 edit list of the first track, rewritten in a file whose index stands behind its media.

    `edits`: (seconds displayed, second of the track that comes first; None displays nothing).
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


def _replaced(data: bytes, path: list[bytes], body: bytes) -> bytes:
    """MP4 data with another body in the first box at the end of a path of boxes."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == path[0]:
            inner = body if len(path) == 1 else _replaced(data[at + 8 : at + size], path[1:], body)
            return data[:at] + struct.pack(">I4s", len(inner) + 8, kind) + inner + data[at + size :]
        at += size
    raise ValueError(f"no box {path[0]!r}")


class Pipe(io.RawIOBase):
    """Unseekable output file: what a live encoder writes to."""

    def __init__(self, path: Path):
        self.name, self.file = str(path), path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        return self.file.write(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def corners(width: int = 24, height: int = 16) -> np.ndarray:
    """A green picture whose upper left quarter is red and whose lower right is blue."""
    pixels = np.full((height, width, 3), GREEN, np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[height // 2 :, width // 2 :] = BLUE
    return pixels


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    """The bytes of a picture file."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()

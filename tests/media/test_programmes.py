"""Programme selection in broadcasts of several: picture, sound and clock of one of them."""

import struct
from itertools import zip_longest
from pathlib import Path

import pytest
from media_files import found_clicks, write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.probe import probe

EVERY = TripletConfig(frames_per_second=25.0, image_size=48)


def programme(path: Path, number: int, **film) -> Path:
    """Write a transport stream that can stand beside others of other numbers."""
    pids = {
        "mpegts_service_id": number,
        "mpegts_pmt_start_pid": 4096 + number,
        "mpegts_start_pid": 256 + 16 * number,
    }
    clock = {"output_ts_offset": film.pop("clock_s", 0)}
    options = {name: str(value) for name, value in (pids | clock).items()}
    return write_film(path, seconds=2, rate=48_000, options=options, **film)


def multiplex(path: Path, *parts: Path) -> Path:
    """Send transport streams together: their packets in turn, and one table of programmes."""
    streams = [
        [data[i : i + 188] for i in range(0, len(data), 188)]
        for data in (part.read_bytes() for part in parts)
    ]
    entries = b"".join(
        struct.pack(">HH", number, 0xE000 | 4096 + number) for number in range(1, len(parts) + 1)
    )
    section = struct.pack(">BHHBBB", 0, 0xB000 | len(entries) + 9, 1, 0xC1, 0, 0) + entries
    table = b"\x47\x40\x00\x10\x00" + section + struct.pack(">I", crc(section))
    packets = [
        packet
        for several in zip_longest(*streams)
        for packet in several
        if packet and packet[1] & 31 | packet[2]
    ]
    path.write_bytes(table.ljust(188, b"\xff") + b"".join(packets))
    return path


def crc(data: bytes) -> int:
    """The CRC-32 of MPEG's tables."""
    rest = 0xFFFFFFFF
    for bit in (byte >> shift & 1 for byte in data for shift in range(7, -1, -1)):
        rest = (rest << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if rest >> 31 ^ bit else 0)
    return rest


@pytest.mark.parametrize("clock_s", [0, 5000])
def test_picture_and_sound_are_of_one_programme(tmp_path, clock_s):
    """The larger picture is taken with its sound, though another programme has more tracks."""
    first = programme(
        tmp_path / "1.ts", 1, sounds=[("eng", True), ("fra", False)], sound="mp2", size=(64, 48)
    )
    second = programme(
        tmp_path / "2.ts", 2, sounds=[("deu", False)], sound="aac", size=(128, 96), clock_s=clock_s
    )
    path = multiplex(tmp_path / "both.ts", first, second)
    source = probe(path)
    assert len(source.streams) == 5
    assert [(s.codec, s.width, s.language) for s in source.streams if s.chosen] == [
        ("h264", 128, None),
        ("aac", None, "deu"),
    ]
    film, alone = decode(path, EVERY), decode(second, EVERY)
    assert film.duration == alone.duration < 3 * 16_000
    assert film.frame_times.tolist() == alone.frame_times.tolist()
    assert found_clicks(film.audio, film.audio_start) == found_clicks(
        alone.audio, alone.audio_start
    )


def test_radio_has_programmes_too(tmp_path):
    parts = [
        programme(
            tmp_path / f"{i}.ts",
            i,
            picture=None,
            sound="mp2",
            sounds=[(name, True)],
            clock_s=1000 * i,
        )
        for i, name in ((1, "fra"), (2, "eng"))
    ]
    film = decode(multiplex(tmp_path / "both.ts", *parts))
    assert film.source.stream("audio").language == "eng"
    assert film.duration == decode(parts[1]).duration

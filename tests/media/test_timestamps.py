"""Timestamp discontinuities: clocks that jump, wrap and break, with all streams in sync."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import flash_times, found_clicks, write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.timestamps import Timeline

EVERY = TripletConfig(frames_per_second=25.0, image_size=48)


class Packet:
    """What the timeline reads of a packet, in milliseconds."""

    time_base = Fraction(1, 1000)

    def __init__(self, stream: int, dts: int | None, duration: int = 40, kind: str = "video"):
        self.stream_index, self.dts, self.pts, self.duration = stream, dts, dts, duration
        self.stream = type("Stream", (), {"type": kind})


def straightened(
    packets: list[Packet], container: str = "matroska,webm"
) -> tuple[list[int | None], int]:
    """The packets' new times, and how many jumps were seen."""
    timeline = Timeline(container)
    notes = [timeline.straighten(packet) for packet in packets]
    return [packet.dts for packet in packets], sum(note is not None for note in notes)


def test_a_clock_that_never_jumps_is_left_alone():
    """Late starts, reordered B-frames, sparse texts, holes and small steps back are no jumps."""
    packets = [Packet(0, t) for t in (-80, 0, 40, 3_000_000, 2_999_500)]
    packets += [
        Packet(1, 3_000_000, kind="audio"),
        Packet(2, 5, kind="subtitle"),
        Packet(2, 6_000_000, kind="subtitle"),
    ]
    before = [packet.dts for packet in packets]
    assert straightened(packets) == (before, 0)


def test_all_streams_jump_together():
    """Each stream crosses a jump at its own packet; their offset survives."""
    start = [Packet(0, 0), Packet(1, 10), Packet(0, 40), Packet(1, 50)]
    after = [
        Packet(0, -90_000),
        Packet(1, 90, kind="audio"),
        Packet(1, -89_990),
        Packet(0, -89_960),
        Packet(2, -89_980),
    ]
    times, jumps = straightened([*start, *after])
    assert jumps == 1
    assert times[4:] == [80, 90, 90, 120, 100]


def test_one_broken_stamp_does_not_move_the_rest():
    packets = [Packet(0, t) for t in (0, 40, 10_000_000, 120, 160)]
    times, _ = straightened(packets)
    assert times == [0, 40, 80, 120, 160]


def test_a_first_stamp_may_be_broken_too():
    """The file's first packet, and a later stream's: neither is moved by days."""
    day = 86_400_000
    times, jumps = straightened(
        [Packet(0, 5 * day), Packet(0, 5 * day + 40), Packet(1, 9 * day, kind="audio")]
    )
    assert (times, jumps) == ([0, 40, 80], 2)


def test_a_jump_is_told_on_the_films_own_clock():
    timeline = Timeline("mpegts", zero=160_000)
    assert timeline.straighten(Packet(0, 10_000)) is None
    assert "jumps at 0:00.040;" in timeline.straighten(Packet(0, 90_000))


def test_broadcasts_may_not_pause():
    """Ten seconds without a timestamp are a jump in transport streams, in a file a hole."""
    for container, wanted in (("mpegts", 40), ("matroska,webm", 20_000)):
        assert straightened([Packet(0, 0), Packet(0, 20_000)], container)[0] == [0, wanted]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(-(2**40), 2**40))),
        max_size=60,
    )
)
def test_any_stamps_come_out_in_reach(stamps):
    """No stream steps back by more than 1 s, or ahead of the others by more than an hour."""
    packets = [Packet(stream, dts) for stream, dts in stamps]
    times, _ = straightened(packets)
    ends: dict[int, int] = {}
    for packet, time in zip(packets, times, strict=True):
        if time is None:
            continue
        reached = max(ends.values(), default=0)
        assert time <= reached + 3_600_001
        if packet.stream_index in ends:
            assert ends[packet.stream_index] - 1001 <= time
        ends[packet.stream_index] = time + 40


def joined(folder: Path, *parts: Path) -> Path:
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("second_at", [0.0, 500.0, 95_000.0])
def test_recordings_joined_end_to_end(tmp_path, second_at):
    """Two transport streams in one file: the second continues where the first ends, in sync."""
    one = write_film(tmp_path / "a.ts", seconds=2, sound="mp2", rate=48_000)
    two = write_film(
        tmp_path / "b.ts",
        seconds=2,
        sound="mp2",
        rate=48_000,
        picture_at=second_at,
        sound_at=second_at,
    )
    film = decode(joined(tmp_path, one, two), EVERY)
    assert any("clock jumps" in error for error in film.source.errors)
    assert len(film.frames) == pytest.approx(100, abs=2)
    assert film.duration == pytest.approx(64_000, abs=2000)
    click, flash = np.array(found_clicks(film.audio, film.audio_start)), flash_times(film)
    np.testing.assert_allclose(click + 320, flash[-4:], atol=1)
    assert np.diff(film.frame_times).min() > 0


def test_the_clock_of_transport_streams_wraps(tmp_path):
    """33 bits of 1/90,000 s are 26.5 hours: a recording continues over that point."""
    at = 2**33 / 90_000 - 2.0
    path = write_film(
        tmp_path / "a.ts", seconds=4, sound="mp2", rate=48_000, picture_at=at, sound_at=at
    )
    film = decode(path, EVERY)
    assert film.source.errors == ()
    assert len(film.frames) == 100
    assert film.duration == pytest.approx(64_000, abs=1000)
    click, flash = np.array(found_clicks(film.audio, film.audio_start)), flash_times(film)
    assert len(click) == 4
    assert np.ptp(flash[-4:] - click) <= 1


def test_sound_that_changes_its_form(tmp_path):
    """Rate and channels change in mid-stream: every click stays on its tick."""
    parts = [
        write_film(
            tmp_path / f"{i}.ts",
            2,
            picture=None,
            sound_at=2.0 * i + 2,
            sound="mp2",
            rate=rate,
            layout=layout,
        )
        for i, (rate, layout) in enumerate(
            [(48_000, "stereo"), (44_100, "mono"), (32_000, "stereo")]
        )
    ]
    film = decode(joined(tmp_path, *parts), EVERY)
    found = np.array(found_clicks(film.audio, film.audio_start))
    np.testing.assert_allclose(np.diff(found), 16_000, atol=1)
    assert len(found) == 6

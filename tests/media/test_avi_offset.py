"""Audio start offset in AVI, recovered from the packet order of files that libavformat wrote."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import found_clicks, write_film

from omni_lab.config import TripletConfig
from omni_lab.media.avi_offset import PacketOrder
from omni_lab.media.decoding import decode

EVERY = TripletConfig(frames_per_second=60.0, image_size=48)
NTSC = Fraction(30_000, 1001)


def late_by(path, fps=25) -> tuple[float, object]:
    """Delay (ticks) of the clicks after their flashes' half seconds, and the film."""
    film = decode(path, EVERY)
    white = film.brightness > 0.6
    flashes = film.frame_times[white & ~np.r_[False, white[:-1]]]
    heard = np.array(found_clicks(film.audio, film.audio_start))
    flashes = flashes - 16_000 * (ceil(fps / 2) / fps - 0.5)
    late = np.array([click - flashes[np.abs(flashes - click).argmin()] for click in heard])
    assert late.size >= 2
    assert np.ptp(late) <= 1
    return float(late.mean()), film


@pytest.mark.parametrize(
    ("picture", "sound", "rate", "fps", "picture_at"),
    [
        ("mpeg4", "libmp3lame", 44_100, 25, 0),
        ("mjpeg", "libmp3lame", 48_000, 25, 0),
        ("mpeg4", "libmp3lame", 8000, 25, 0),
        ("libx264", "aac", 44_100, 25, 0),
        ("mjpeg", "aac", 22_050, 10, 0.4),
        ("libx264", "aac", 44_100, 25, 0.4),
        ("mpeg4", "mp2", 48_000, 25, 0),
        ("libx264", "ac3", 48_000, 25, 0.4),
        ("libx264", "pcm_s16le", 44_100, 25, 0.4),
    ],
)
def test_what_encoders_put_first_is_taken_off(tmp_path, picture, sound, rate, fps, picture_at):
    """Priming is trimmed to the sample, with B-frames or without, behind a late picture too."""
    pixels = "yuvj420p" if picture == "mjpeg" else "yuv420p"
    path = tmp_path / "a.avi"
    write_film(
        path,
        2.6,
        fps,
        picture=picture,
        sound=sound,
        rate=rate,
        pixels=pixels,
        picture_at=picture_at,
    )
    late, film = late_by(path, fps)
    assert abs(late) <= 1
    assert film.source.errors == ()


@pytest.mark.parametrize(
    ("picture", "sound", "rate", "sound_at", "within"),
    [
        ("mpeg4", "pcm_s16le", 44_100, 0.6, 8),
        # 15 packets last as long as 8 pictures: few different positions to compare
        ("libx264", "pcm_s16le", 48_000, 0.6, 22),
        ("mpeg4", "libmp3lame", 44_100, 0.6, 210),  # half a packet is 209
        ("mjpeg", "ac3", 48_000, 0.6, 290),
        ("libx264", "pcm_s16le", 44_100, -0.3, 16),
    ],
)
def test_late_sound_is_late(tmp_path, picture, sound, rate, sound_at, within):
    """The file counts it from zero; its packets lie among the pictures where they belong."""
    pixels = "yuvj420p" if picture == "mjpeg" else "yuv420p"
    path = tmp_path / "a.avi"
    late, film = late_by(
        write_film(
            path, 2.6, picture=picture, sound=sound, rate=rate, pixels=pixels, sound_at=sound_at
        )
    )
    assert abs(late) <= within
    assert film.audio_start == pytest.approx(max(0, 16_000 * sound_at), abs=within + 410)
    assert film.source.stream("audio").start == pytest.approx(
        film.audio_start, abs=5000 * (sound_at < 0)
    )


def test_other_writers_are_taken_at_their_word(tmp_path):
    """Other muxers' order and encoders are unknown: the sound lies where players put it."""
    path = write_film(tmp_path / "a.avi", 2.6, picture="mpeg4", sound="libmp3lame")
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"Own1"))
    late, film = late_by(path)
    assert late == pytest.approx(401, abs=1)
    assert film.source.stream("audio").start == 0


def test_sound_alone(tmp_path):
    """Without a picture there is no order: what the encoder put first is taken off."""
    film = decode(write_film(tmp_path / "a.avi", 2.6, picture=None, sound="libmp3lame"), EVERY)
    assert found_clicks(film.audio, film.audio_start) == pytest.approx(
        [8000, 24_000, 40_000], abs=1
    )


# The order by itself


def written(start: Fraction, packet: Fraction, frame: Fraction, delayed: int, count: int = 100):
    """Packets as libavformat would write them (kind, AVI time, place), and the pictures' shift.

    `start`: when sound begins (s); `delayed`: frames from decoding to display of a picture.
    """
    begin = round(start / packet)
    pictures = [((k - delayed) * frame, 0, k) for k in range(count)]
    sounds = [((begin + k) * packet, 1, k) for k in range(int(count * frame / packet))]
    shift = ceil(-min(pictures[0], sounds[0])[0] / frame)
    packets = []
    for place, (_, stream, k) in enumerate(sorted(pictures + sounds)):
        time = k * packet if stream else (k - delayed + shift) * frame if k else Fraction(0)
        packets.append(("audio" if stream else "video", time, place))
    return packets, shift * frame


def moved(packets, priming: Fraction, delay: Fraction, frame: Fraction, grid: Fraction) -> Fraction:
    order = PacketOrder()
    for packet in packets:
        order.add(*packet)
    return order.moved(priming, delay, frame, grid)


RATES = st.sampled_from([22_050, 44_100, 48_000])
FRAMES = st.sampled_from([Fraction(1, 25), 1 / NTSC, Fraction(1, 10), Fraction(1, 50)])


@settings(deadline=None, max_examples=40)
@given(
    rate=RATES,
    sound=st.sampled_from(
        [(1024, 1, 0), (576, 576, 1105), (1024, 1024, 2112), (1152, 1152, 481), (1536, 1536, 256)]
    ),
    frame=FRAMES,
    delayed=st.integers(0, 3),
)
def test_sound_that_begins_with_the_clock_is_exact(rate, sound, frame, delayed):
    """For packets of any length and time base and any priming: the first sample is before zero."""
    packet, grid, priming = (Fraction(samples, rate) for samples in sound)
    packets, shift = written(-priming, packet, frame, delayed)
    assert (
        moved(packets, priming, delayed * frame, frame, grid) == shift - delayed * frame - priming
    )


@settings(deadline=None, max_examples=40)
@given(
    rate=RATES,
    size=st.sampled_from([1024, 1152]),
    frame=FRAMES,
    delayed=st.integers(0, 3),
    late=st.integers(200, 900),  # ms
)
def test_late_sound_is_found_within_half_a_packet(rate, size, frame, delayed, late):
    packet, start = Fraction(size, rate), Fraction(late, 1000)
    packets, shift = written(start, packet, frame, delayed)
    found = moved(packets, Fraction(0), delayed * frame, frame, packet)
    # half a packet, and half of what the order leaves open
    slack = (packet + min(packet, frame)) / 2
    assert abs(found - (shift - delayed * frame + start)) <= slack


@pytest.mark.parametrize(
    "spoil", ["contradiction", "places backwards", "sound behind all pictures"]
)
def test_an_order_that_says_nothing_moves_nothing(spoil):
    packets, _ = written(Fraction(1, 2), Fraction(1024, 48_000), Fraction(1, 25), 0)
    if spoil == "contradiction":
        packets = [
            *packets[:90],
            *((kind, time, place + 9) for kind, time, place in packets[90:] if kind == "video"),
        ]
        packets += [("audio", Fraction(1024, 48_000), 10_000), ("video", Fraction(99), 10_001)]
    if spoil == "places backwards":
        packets = [(kind, time, 9000 - place) for kind, time, place in packets]
    if spoil == "sound behind all pictures":
        packets = [(kind, time, place + 9000 * (kind == "audio")) for kind, time, place in packets]
        packets.sort(key=lambda packet: packet[2])
    assert moved(packets, Fraction(0), Fraction(0), Fraction(1, 25), Fraction(1, 48_000)) == 0


def test_packets_that_are_read_late_are_put_back():
    """A reader that looks for the frames of AC-3 hands each on one packet later than it lies."""
    frame, packet = Fraction(1, 25), Fraction(1536, 48_000)
    packets, _ = written(Fraction(3, 5), packet, frame, 1)
    late = sorted(packets, key=lambda packet: packet[2] + 3 * (packet[0] == "audio"))
    assert late != packets
    found = moved(packets, Fraction(0), frame, frame, packet)
    assert found == moved(late, Fraction(0), frame, frame, packet) == pytest.approx(0.6, abs=0.02)

"""Damage in video: what is broken is left out and said, up to where the picture is whole again."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.recovery import RecoveryPoints

EVERY = TripletConfig(frames_per_second=25.0, image_size=64)
WIDTH, HEIGHT, TICK = 160, 128, 640  # pixels; ticks of a frame
REFRESH = {"intra-refresh": "1", "preset": "ultrafast", "bf": "0"}
SLICE = b"\x61\x88"  # H.264 unit of a reference picture


def write(path, lost=(), cut=(), count=80, codec="libx264", options=REFRESH):
    """Film of a pattern that moves, renewed every 20 pictures; packets are lost or cut short."""
    rng = np.random.default_rng(0)
    page = rng.integers(0, 255, (HEIGHT // 8, 60, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size, stream.options = 20, options
        packets = []
        for number in range(count):
            picture = np.ascontiguousarray(page[:, 3 * number : 3 * number + WIDTH])
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        for number, packet in enumerate(packets + stream.encode(None)):
            if number in cut:
                packet = shortened(packet)
            if number not in lost:
                container.mux(packet)
    return path


def shortened(packet) -> av.Packet:
    """The first half of a packet."""
    half = av.Packet(bytes(packet)[: packet.size // 2])
    half.stream, half.time_base, half.is_keyframe = packet.stream, packet.time_base, False
    half.pts, half.dts = packet.pts, packet.dts
    return half


def pictures(film) -> dict[int, np.ndarray]:
    """Pictures of a film by their number."""
    opened = (np.asarray(Image.open(io.BytesIO(jpeg))).astype(int) for jpeg in film.frames)
    return dict(zip((film.frame_times // TICK).tolist(), opened, strict=True))


def message(bits: str) -> bytes:
    """Recovery point message of an H.264 stream, as a unit; `bits` begin with the count."""
    bits += "1001"  # exact, no broken link, one kind of slice groups
    bits += "1".ljust(-len(bits) % 8, "0") if len(bits) % 8 else ""
    payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"\x06\x06" + bytes([len(payload)]) + payload + b"\x80"


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("mkv", REFRESH),
        ("ts", REFRESH),
        ("avi", REFRESH),
        ("mp4", {**REFRESH, "bf": "2", "preset": "veryfast"}),
    ],
)
def test_video_without_key_frames_goes_on_where_the_picture_is_renewed(tmp_path, suffix, options):
    """Packet 8 is cut; the renewal from picture 20 on makes all of it whole."""
    whole = pictures(decode(write(tmp_path / f"a.{suffix}", options=options), EVERY))
    film = decode(write(tmp_path / f"b.{suffix}", cut=[8], options=options), EVERY)
    kept = pictures(film)
    assert len(whole) == 80
    assert 40 < len(kept) < 70
    assert max(kept) == max(whole)
    assert all(np.abs(picture - whole[number]).max() < 60 for number, picture in kept.items())
    assert film.source.errors == (f"{80 - len(kept)} damaged pictures are left out",)


def test_later_damage_is_left_out_as_well(tmp_path):
    film = decode(write(tmp_path / "a.mkv", cut=[8, 25, 50]), EVERY)
    left = sorted(set(range(80)) - set(pictures(film)))
    assert left[0] == 8
    assert {25, 50} <= set(left)
    assert 30 < len(left) < 65


def test_a_stream_that_is_not_renewed_stays_left_out(tmp_path):
    """Neither a key frame nor a renewal comes: nobody can say when the picture is whole."""
    options = {"preset": "ultrafast", "x264-params": "keyint=infinite:bframes=0"}
    film = decode(write(tmp_path / "a.mkv", cut=[8], options=options), EVERY)
    assert len(film.frames) == 8
    assert film.source.errors == ("72 damaged pictures are left out",)


def test_pictures_that_lost_their_reference_are_counted(tmp_path):
    """HEVC: one packet is lost, and with it all up to the next key frame."""
    options = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:open-gop=0"}
    path = write(tmp_path / "a.mkv", lost=[8], count=45, codec="libx265", options=options)
    film = decode(path, EVERY)
    assert sorted(pictures(film)) == [*range(8), *range(20, 45)]
    assert film.source.errors == ("11 damaged pictures are left out",)


@pytest.mark.parametrize("separator", ["start codes", "lengths"])
@pytest.mark.parametrize(("bits", "count"), [("1", 0), ("010", 1), ("00101", 4), ("000010000", 15)])
def test_a_recovery_point_counts_reference_pictures(separator, bits, count):
    """Other messages stand before it; pictures that no other refers to do not count."""
    user = b"\x06\x05\x03abc\x80"

    def packet(*units: bytes) -> bytes:
        if separator == "lengths":
            return b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
        return b"".join(b"\0\0\1" + unit for unit in units)

    points = RecoveryPoints(b"\1\x64\0\x1f\xfd" if separator == "lengths" else None)
    points.take(packet(user, message(bits), SLICE), 100)
    for number in range(1, 40):
        is_reference = number % 2 == 0
        points.take(packet(SLICE if is_reference else b"\x01\x88"), 100 + number)
    whole = next(time for time in range(100, 140) if points.is_whole(time, broken=99))
    assert whole == 100 + max(0, 2 * count - 1) if count else whole == 100
    assert not points.is_whole(200, broken=100)
    points.forget()
    assert not points.is_whole(200, broken=99)


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\1", b"\0\0\1\x06", b"\0\0\1\x06\x06\xff\xff", b"\0\0\1\x06\x06\x01\0\x80"]
)
def test_a_broken_message_is_no_recovery_point(data):
    for extradata in (None, b"", b"\1\x64\0\x1f\xff"):
        points = RecoveryPoints(extradata)
        points.take(data, 0)
        assert not points.is_whole(100, broken=-1)


def test_a_picture_that_a_transport_stream_lost_whole_is_missed(tmp_path):
    """The decoder conceals it; what is predicted from it is left out up to the next key frame."""
    path = write(tmp_path / "a.ts", options={"preset": "ultrafast", "bf": "0"})
    packets = [path.read_bytes()[at : at + 188] for at in range(0, path.stat().st_size, 188)]
    video = [at for at, p in enumerate(packets) if (p[1] & 31) << 8 | p[2] == 256]
    begins = [at for at in video if packets[at][1] & 64]
    lost = {at for at in video if begins[27] <= at < begins[28]}
    broken = tmp_path / "b.ts"
    broken.write_bytes(b"".join(p for at, p in enumerate(packets) if at not in lost))

    whole, film = decode(path, EVERY), decode(broken, EVERY)
    assert whole.source.errors == ()
    assert film.source.errors[0].startswith("packets of the transport stream are missing near 0:01")
    assert "damaged pictures are left out" in film.source.errors[1]
    kept, true = pictures(film), pictures(whole)
    assert {*range(25), *range(40, 80)} <= kept.keys() <= {*range(27), *range(40, 80)}
    assert all(np.abs(kept[number] - true[number]).mean() < 1 for number in kept)

"""Clips that are no copies of one another, though their hashes agree, and black ones with sound."""

import io
import json

import numpy as np
import pytest
from media_files import write_film
from PIL import Image

from omni_lab.config import TripletConfig
from omni_lab.triplets.building.build import build
from omni_lab.triplets.building.fingerprints import picture_hash, sound_hash
from omni_lab.triplets.building.quality import Sieve
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.tars import read_shards
from omni_lab.triplets.shards.verify import verify

S = 16_000
CONFIG = TripletConfig(image_size=48)
y, x = np.mgrid[:96, :128] / 96


def plain(colour) -> np.ndarray:
    return np.full((96, 128, 3), colour, np.uint8)


def drawing(seed: int = 0, colour=(1.0, 1.0, 1.0)) -> np.ndarray:
    """A picture with much detail, in shades of one colour."""
    rng = np.random.default_rng(seed)
    grey = np.full((96, 128), 60.0)
    for _ in range(30):
        far = (x - rng.uniform(0, 1.3)) ** 2 + (y - rng.uniform(0, 1)) ** 2
        grey += np.exp(-far / rng.uniform(0.002, 0.02)) * rng.uniform(0, 120)
    return np.uint8((grey[..., None] * colour).clip(0, 255))


def voice(seed: int, seconds: float = 6.0) -> np.ndarray:
    """Noise in bands that change ten times a second."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * S)) / S
    which = (times * 10).astype(int)
    return sum(
        rng.uniform(0, 0.2, which[-1] + 1)[which] * np.sin(2 * np.pi * hz * times)
        for hz in (200, 330, 520, 810, 1300, 2100, 3400)
    )


def tone(hz: float, seconds: float = 6.0, beeps: bool = False) -> np.ndarray:
    times = np.arange(round(seconds * S)) / S
    on = np.random.default_rng(1).uniform(0, 1, 60)[(times * 10).astype(int) % 60] > 0.5
    return 0.3 * np.sin(2 * np.pi * hz * times) * (on if beeps else 1)


def made(name: str, picture=None, wave=None, text: str = "", seconds: float = 6.0) -> EncodedClip:
    """Clip of one standing picture, a sound and a caption, with its hashes."""
    length = round(seconds * S)
    jpegs, times = (), []
    if picture is not None:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=92)
        jpegs, times = (file.getvalue(),) * 2, [0, length // 2]
    audio = None if wave is None else np.round(wave[:length] * 32767).astype(np.int16)
    cue = {"role": None, "text": text}
    has = [kind for kind, there in (("image", jpegs), ("audio", audio is not None)) if there]
    quality = {
        "av_offset_s": None, "speech_share": 0.0,
        "picture_hash": picture_hash(jpegs, times, length), "sound_hash": sound_hash(audio),
    }  # fmt: skip
    record = {
        "start": 0, "end": length, "frame_times": times, "cues": [cue] if text else [],
        "has": has, "quality": quality,
    }  # fmt: skip
    return EncodedClip(name, record, jpegs, audio)


RED, BLUE = (0.9, 0.2, 0.2), (0.2, 0.45, 0.75)  # equally bright
APART = {
    "plain films": [{"picture": plain(c)} for c in ((255, 0, 0), (0, 0, 255), (255, 255, 255))],
    "plain films, one voice": [
        {"picture": plain(c), "wave": voice(1)} for c in ((255, 0, 0), (0, 0, 255))
    ],
    "tones and silence": [{"wave": tone(hz)} for hz in (300, 440, 1000)] + [{"wave": tone(0)}],
    "silence twice": [{"wave": tone(0)}] * 2,
    "a slide, silent and not": [
        {"picture": drawing(), "wave": wave} for wave in (tone(0), voice(4), tone(300))
    ],
    "tones over a slide": [{"picture": drawing(), "wave": tone(hz)} for hz in (300, 440, 1000)],
    "beeps in one band": [{"wave": tone(hz, beeps=True)} for hz in (400, 430, 460)],
    "beeps over a slide": [
        {"picture": drawing(), "wave": voice(1) + tone(hz, beeps=True)} for hz in (400, 460)
    ],
    "captions of a slide": [
        {"picture": drawing(), "text": f"It is {word}."} for word in ("red", "blue", "so", "")
    ],
    "captions of a slide, silent": [
        {"picture": drawing(), "wave": tone(0), "text": f"Number {word}."} for word in "1234"
    ],
    "captions over one voice": [
        {"picture": drawing(), "wave": voice(2), "text": text} for text in ("Yes.", "No.", "")
    ],
    "a drawing in two colours": [
        {"picture": drawing(colour=colour), "wave": voice(3)} for colour in (RED, BLUE)
    ],
    "other lengths": [{"picture": drawing(), "seconds": n} for n in (0.1, 0.5, 1, 3, 6, 12)],
    "a plain picture and sounds": [
        {"picture": plain((9, 99, 9)), "wave": voice(n), "seconds": n} for n in (1, 2, 3)
    ],
}


@pytest.mark.parametrize("clips", APART.values(), ids=APART.keys())
def test_what_differs_in_anything_is_no_copy(clips):
    sieve = Sieve(CONFIG)
    assert [sieve.judge(made(f"a{n}_0_1", **clip)) for n, clip in enumerate(clips)] == [None] * len(
        clips
    )


@pytest.mark.parametrize(
    "clip",
    [
        {"picture": drawing(), "text": "It is red."}, {"wave": voice(1)},
        {"picture": drawing(1, RED), "wave": voice(1), "text": "Red."},
        {"picture": drawing(2)}, {"picture": drawing(3, BLUE), "wave": voice(2)},
        {"picture": drawing(4), "wave": tone(0)},
    ],
)  # fmt: skip
def test_a_copy_of_a_clip_with_detail_is_found(clip):
    """Also a little shorter, brighter and quieter, and with its text in capitals."""
    sieve = Sieve(CONFIG)
    copy = {**clip, "seconds": 5.95, "text": clip.get("text", "").upper()}
    if "picture" in clip:
        copy["picture"] = np.uint8((clip["picture"] * 1.08).clip(0, 255))
    if "wave" in clip:
        copy["wave"] = clip["wave"] * 0.7
    assert sieve.judge(made("a_0_1", **clip)) is None
    assert sieve.judge(made("b_0_1", **clip)).startswith("near-duplicate of a_0_1 (0 bits)")
    assert sieve.judge(made("c_0_1", **copy)).startswith("near-duplicate of a_0_1 (")


def test_a_later_build_compares_with_the_clips_in_the_shards(tmp_path):
    """A copy is found, and what has only the hashes of a kept clip is no copy, as in one build."""
    wave = np.repeat(voice(5, 2.0), 3)[: 2 * 48_000].astype(np.float32)
    for name, colour, louder in (("a", RED, 1), ("b_copy", RED, 0.9), ("c_blue", BLUE, 1)):
        frames = np.repeat(drawing(7, colour)[None], 10, axis=0)
        write_film(
            tmp_path / f"{name}.mp4", seconds=2, fps=5, size=(128, 96), frames=frames,
            samples=wave * louder, rate=48_000,
        )  # fmt: skip
    whole = build(tmp_path, tmp_path / "whole", CONFIG, progress=False)
    for name in ("a", "b_copy", "c_blue"):
        build(tmp_path / f"{name}.mp4", tmp_path / "parts", CONFIG, progress=False)
    dropped = json.loads((tmp_path / "parts" / "report.json").read_text())["dropped"]
    assert whole.clips == 2
    assert dropped == dict(whole.dropped)


def test_a_black_picture_costs_the_clip_its_picture_and_not_its_sound(tmp_path):
    """It is said of the film; black without sound, or with silence, is dropped as before."""
    black = np.zeros((20, 48, 64, 3), np.uint8)
    loud = voice(1, 4.0).astype(np.float32)
    hum = np.full(loud.size, 1e-5, np.float32)
    for name, more in (
        ("a_voice", {"samples": loud}), ("b_bare", {"sound": None}), ("c_silent", {"samples": hum}),
        ("d_clipped", {"samples": (9 * loud).clip(-1, 1)}),
    ):  # fmt: skip
        path = tmp_path / f"{name}.mp4"
        write_film(path, seconds=4, fps=5, frames=black, rate=S, **more)
    report = build(tmp_path, tmp_path / "out", CONFIG, progress=False)
    (clip,) = read_shards(tmp_path / "out")
    assert (clip.has, clip.frames.shape[0], clip.audio.size) == ({"audio"}, 0, 4 * S)
    assert np.sqrt((clip.audio**2).mean()) > 0.05
    assert report.damaged == (
        (f"{tmp_path}/a_voice.mp4", ("1 clips keep their sound only: their picture is black",)),
    )
    assert [why.split()[0] for _, why in report.dropped] == ["black", "black", "clipped"]
    assert list(verify(tmp_path / "out")) == []

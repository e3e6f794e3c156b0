"""Quality figures and filter: black, static, clipped, shifted and near-duplicate clips."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media_files import RATE, flashes, write_film

from omni_lab.config import TripletConfig, override, tiny
from omni_lab.errors import ConfigError
from omni_lab.media.decoding import decode
from omni_lab.triplets.building.av_offset import av_offset, onsets_of
from omni_lab.triplets.building.fingerprints import picture_hash, sound_hash
from omni_lab.triplets.building.quality import Sieve, clipped
from omni_lab.triplets.cutting.clips import clips_of
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.index import row_of

S = 16_000
SAMPLES = Path(__file__).resolve().parents[2] / "data_samples"
CONFIG = TripletConfig(image_size=96)
FPS, LENGTH_S = 10, 16


def pictures(seed: int, seconds: float, size=(128, 96), still: bool = False) -> np.ndarray:
    """Rooms with soft blobs, a new one every four seconds, and a bright spot that moves through."""
    rng = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[:height, :width] / height
    rooms = []
    for _ in range(1 if still else int(seconds / 4) + 1):
        room = np.full((height, width, 3), rng.uniform(60, 160, 3))
        for _ in range(8):
            far = (x - rng.uniform(0, 1.3)) ** 2 + (y - rng.uniform(0, 1)) ** 2
            spot = np.exp(-(far / rng.uniform(0.01, 0.08)))
            room += spot[..., None] * rng.uniform(-70, 70, 3)
        rooms.append(room)

    speed, start = rng.uniform(-0.3, 0.3, 2), rng.uniform(0.2, 0.8, 2)
    frames = []
    for time in np.arange(round(seconds * FPS)) / FPS:
        frame = rooms[0 if still else int(time / 4)]
        if not still:
            at = np.abs((start + speed * time) % 2 - 1)
            frame = frame + 60 * np.exp(-(((x - at[0]) ** 2 + (y - at[1]) ** 2) / 0.01))[..., None]
        frames.append(frame.clip(0, 255))
    return np.uint8(frames)


def speech(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Speech-like syllables of a sixth of a second: a buzz with moving formants, and pauses."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    count = round(seconds * 6) + 1
    which, within = np.divmod(times * 6, 1)
    which = which.astype(int)
    loud = (rng.uniform(0, 1, count) > 0.25) * rng.uniform(0.3, 1, count)
    wave = sum(
        rng.uniform(0.2, 1, count)[which]
        * np.sin(2 * np.pi * rng.uniform(low, high, count)[which] * times)
        for low, high in ((120, 220), (300, 800), (900, 2200), (2300, 3600))
    )
    return (0.15 * wave * loud[which] * np.sin(np.pi * within) ** 0.5).astype(np.float32)


def clips(path, config=CONFIG) -> list[EncodedClip]:
    return list(clips_of(decode(path, config), config))


@functools.cache
def shipped(path) -> list[EncodedClip]:
    """A shipped film in clips of about five seconds, made once."""
    return clips(path, replace(CONFIG, min_s=5.0, max_s=10.0, target_s=5.0))


def reasons(*groups, config=CONFIG) -> list[str | None]:
    sieve = Sieve(config)
    return [sieve.judge(clip) for group in groups for clip in group]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A film of 16 s, two clips, with rooms, motion and speech: its path, frames and samples."""
    frames, samples = pictures(1, LENGTH_S), speech(1, LENGTH_S)
    path = tmp_path_factory.mktemp("quality") / "film.mp4"
    return (
        write_film(path, seconds=LENGTH_S, fps=FPS, size=(128, 96), frames=frames, samples=samples),
        frames,
        samples,
    )


# ---- copies --------------------------------------------------------------------------------------


COPIES = {
    "same": {},
    "another codec": {"picture": "mpeg4", "sound": "libmp3lame"},
    "half the size": {"size": (64, 48)},
    "brighter": {"brighter": 1.08},
    "other sampling rate": {"rate": 22_050},
    "quieter": {"louder": 0.6},
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
def test_copies_of_a_film_are_found(original, tmp_path, change):
    path, frames, samples = original
    given = dict(change)
    brighter, louder = given.pop("brighter", 1.0), given.pop("louder", 1.0)
    size, rate = given.get("size", (128, 96)), given.get("rate", RATE)
    step = 128 // size[0]
    smaller = frames.reshape(len(frames), size[1], step, size[0], step, 3).mean(axis=(2, 4))
    copy = tmp_path / ("copy.mkv" if given.get("picture") == "mpeg4" else "copy.mp4")
    write_film(
        copy, seconds=LENGTH_S, fps=FPS, **{"size": size, **given},
        frames=np.uint8((smaller * brighter).clip(0, 255)),
        samples=louder * samples[:: RATE // rate],
    )  # fmt: skip
    first, second = clips(path), clips(copy)
    found = reasons(first, second)
    assert found[: len(first)] == [None] * len(first)
    assert len(second) == len(first)
    for clip, reason in zip(first, found[len(first) :], strict=True):
        assert reason.startswith(f"near-duplicate of {clip.clip_id} (")


def test_one_picture_with_other_words_is_no_copy(tmp_path):
    """One slide throughout: the pictures are alike, the sounds are not, and every clip stays."""
    path = tmp_path / "slide.mp4"
    frames = pictures(3, 20, still=True)
    write_film(path, seconds=20, fps=FPS, size=(128, 96), frames=frames, samples=speech(3, 20))
    made = clips(path)
    hashes = {clip.record["quality"]["picture_hash"] for clip in made}
    assert len(made) > 1
    assert len(hashes) == 1
    assert reasons(made) == [None] * len(made)
    silent = tmp_path / "silent.mp4"
    write_film(silent, seconds=20, fps=FPS, size=(128, 96), frames=frames, sound=None)
    first, *others = reasons(clips(silent))
    assert first is None
    assert all(reason.endswith("(0 bits)") for reason in others)


def test_a_missing_modality_is_not_like_a_present_one(original, tmp_path):
    path, frames, samples = original
    bare = write_film(
        tmp_path / "bare.mp4", seconds=LENGTH_S, fps=FPS, size=(128, 96), frames=frames, sound=None
    )
    dark = write_film(tmp_path / "dark.m4a", seconds=LENGTH_S, picture=None, samples=samples)
    made = [clips(path), clips(bare), clips(dark)]
    assert made[1][0].record["quality"]["sound_hash"] is None
    assert made[2][0].record["quality"]["picture_hash"] is None
    assert set(reasons(*made)) == {None}
    assert all(
        reason.startswith("near-duplicate")
        for reason in reasons(*made, *made)[sum(map(len, made)) :]
    )


def test_other_seconds_and_other_films_are_no_copies(original):
    """Every five seconds of one film, and the twelve films that ship, all stay."""
    config = replace(CONFIG, min_s=5.0, max_s=10.0, target_s=5.0)
    films = [shipped(path) for path in sorted(SAMPLES.rglob("*.mp4"))]
    assert len(films) == 12
    assert set(reasons(clips(original[0], config), *films)) == {None}


def test_hashes_do_not_depend_on_how_often_they_are_made(original):
    first, second = clips(original[0]), clips(original[0])
    assert [c.record["quality"] for c in first] == [c.record["quality"] for c in second]
    for clip in first:
        quality = clip.record["quality"]
        assert all(len(quality[name]) == 16 for name in ("picture_hash", "sound_hash"))
    assert picture_hash((), (), S) is None
    assert sound_hash(None) is None
    assert sound_hash(np.zeros(S // 10, np.int16)) is None


def test_the_order_of_clips_decides_who_stays(original, tmp_path):
    path, frames, samples = original
    copy = write_film(
        tmp_path / "copy.mp4",
        seconds=LENGTH_S,
        fps=FPS,
        size=(128, 96),
        picture="mpeg4",
        frames=frames,
        samples=samples,
    )
    one, other = clips(path), clips(copy)
    assert [r is None for r in reasons(one, other)] == [r is None for r in reasons(other, one)]
    assert other[0].clip_id in reasons(other, one)[len(other)]


def test_a_sieve_with_the_clips_kept_before_resumes_as_if_never_stopped(original, tmp_path):
    path, frames, samples = original
    mixed = np.concatenate([frames[80:], pictures(9, 8)])
    other = write_film(
        tmp_path / "other.mp4", seconds=LENGTH_S, fps=FPS, size=(128, 96), frames=mixed,
        samples=np.concatenate([samples[8 * RATE :], speech(9, 8)]),
    )  # fmt: skip
    every = [*clips(path), *clips(other), *clips(path)]
    whole = reasons(every)
    assert None in whole
    assert any(whole)

    for stop in range(len(every)):
        verdicts = zip(every[:stop], whole, strict=False)
        clips_kept = [clip for clip, reason in verdicts if reason is None]
        rows = [row_of(clip, "", 0, [], []) for clip in clips_kept]
        sieve = Sieve(CONFIG, rows, {clip.clip_id: clip for clip in clips_kept}.__getitem__)
        assert [sieve.judge(clip) for clip in every[stop:]] == whole[stop:]


def test_looking_for_copies_can_be_turned_off(original):
    made = clips(original[0])
    off = override(tiny(), ["triplets.near_duplicate_bits=-1"]).triplets
    assert set(reasons(made, made, config=off)) == {None}
    with pytest.raises(ConfigError, match="near_duplicate_bits"):
        override(tiny(), ["triplets.near_duplicate_bits=40"])


# ---- sound away from its picture -----------------------------------------------------------------

EVENTS_S = np.array([0.7, 1.5, 2.9, 3.4, 4.8, 6.1, 6.7, 7.9, 9.4, 10.3, 11.2])


def flashing(path, shift_s: float, events_s=EVENTS_S, seconds: float = 13.0, fps: int = 25, **more):
    """A film with a flash at each event and a click `shift_s` later."""
    times = np.arange(round(seconds * fps)) / fps
    frames = np.full((len(times), 48, 64, 3), 30, np.uint8)
    frames[np.searchsorted(times, np.array(events_s) - 1e-6)] = 240
    since = np.arange(round(seconds * RATE)) / RATE
    samples = np.zeros(since.size, np.float32)
    for event in np.array(events_s) + shift_s:
        near = np.abs(since - event) < 0.002
        samples[near] = 0.8 * np.cos(2 * np.pi * 1500 * (since[near] - event))
    return write_film(path, seconds=seconds, fps=fps, frames=frames, samples=samples, **more)


@pytest.mark.parametrize("shift_s", [0.0, 0.3, -0.45, 1.4])
def test_the_offset_of_clicks_and_flashes_is_measured(tmp_path, shift_s):
    (clip,) = clips(flashing(tmp_path / "film.mp4", shift_s))
    quality = clip.record["quality"]
    assert quality["av_offset_s"] == pytest.approx(shift_s, abs=0.04)
    assert quality["av_offset_sureness"] > 0.5
    (reason,) = reasons([clip])
    assert (reason is not None) == (shift_s > 1)
    assert reason is None or reason.startswith("sound away from picture by 1.")


def test_no_offset_is_claimed_of_sound_that_has_nothing_to_do_with_the_picture():
    """Events at random: a claim is rarer than one in a hundred films."""
    rng = np.random.default_rng(0)
    claims = 0
    for _ in range(2000):
        changes, onsets = (np.sort(rng.integers(0, 10 * S, rng.integers(1, 20))) for _ in range(2))
        claims += av_offset(changes, onsets, 10 * S) is not None
    assert claims <= 2


def test_no_offset_is_claimed_where_many_fit_or_nothing_happens(tmp_path):
    beat = np.arange(10) * S
    assert av_offset(beat, beat + 1600, 10 * S) is None
    assert av_offset(beat[:2], beat[:2], 10 * S) is None
    assert av_offset(beat[:0], beat, 10 * S) is None
    (clip,) = clips(write_film(tmp_path / "film.mp4", seconds=8))  # flash and click every second
    assert clip.record["quality"]["av_offset_s"] is None


def test_an_offset_is_measured_in_a_long_clip_with_hundreds_of_events():
    flashes = np.cumsum(np.random.default_rng(0).integers(S // 4, S, 400))
    assert av_offset(flashes, flashes + S // 2, int(flashes[-1]) + S)[0] == 0.5


def test_no_offset_is_claimed_of_the_films_that_ship():
    """Rooms change and words begin in step there, which is no offset."""
    for path in sorted(SAMPLES.rglob("*.mp4")):
        for clip in shipped(path):
            assert clip.record["quality"]["av_offset_s"] is None


def test_onsets_are_where_sound_begins():
    audio = np.zeros(4 * S, np.int16)
    for start in (S, 2 * S + 77, 3 * S + 5000):
        audio[start : start + 3000] = 9000
    assert onsets_of(audio).tolist() == [S, 2 * S + 77, 3 * S + 5000]
    assert onsets_of(audio[:700]).size == 0
    assert onsets_of(audio[:0]).size == 0


# ---- thresholds ----------------------------------------------------------------------------------


def test_a_clipped_recording_is_dropped_and_a_loud_one_kept(tmp_path):
    """A voice driven to six times full scale, after AAC; the same voice at full scale stays."""
    wave = speech(2, 6)
    wave /= np.abs(wave).max()
    for gain, name in ((0.99, "loud"), (6, "clipped")):
        samples = (gain * wave).clip(-1, 1)
        (clip,) = clips(write_film(tmp_path / f"{name}.mp4", seconds=6, samples=samples))
        (reason,) = reasons([clip])
        fraction = clip.record["quality"]["clipped_share"]
        assert (reason is not None) == (name == "clipped"), fraction
    assert reason == f"clipped sound {fraction:g} > 0.01"


def test_a_peak_is_not_clipping_and_a_top_that_was_cut_off_is():
    tops = np.array([0, 32767, 0, -32768, -32768, -32768, 0, 32767, 32767, 0], np.int16)
    assert np.flatnonzero(clipped(tops)).tolist() == [3, 4, 5]
    assert clipped(tops[:0]).size == 0


def test_black_static_and_mute_clips_are_dropped_by_their_thresholds(tmp_path):
    times = np.arange(60) / FPS
    dark, still = np.zeros((60, 48, 64, 3), np.uint8), np.full((60, 48, 64, 3), 90, np.uint8)
    dark[-8:], still[-12:] = 90, flashes(times, 64, 48)[-12:]
    (dark,), (still,) = (
        clips(write_film(tmp_path / f"{name}.mp4", seconds=6, fps=FPS, frames=frames, sound=None))
        for name, frames in (("dark", dark), ("still", still))
    )
    black, static = dark.record["quality"]["black_share"], still.record["quality"]["static_share"]
    assert 0.8 < black < 1
    assert 0.6 < static < 0.9

    (reason,) = reasons([dark], config=replace(CONFIG, max_black_fraction=0.5))
    assert reason == f"black picture {black:g} > 0.5"
    (reason,) = reasons([still], config=replace(CONFIG, max_static_fraction=0.5))
    assert reason == f"static picture {static:g} > 0.5"
    (reason,) = reasons([still], config=replace(CONFIG, min_speech_fraction=0.2))
    assert reason == "speech 0 < 0.2"

    # a threshold is the largest fraction that is kept
    exact = replace(CONFIG, max_black_fraction=black, max_static_fraction=static)
    assert reasons([dark], [still], config=exact) == [None] * 2

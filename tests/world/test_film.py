"""Film round trip: a film written, decoded and read back is the clip of the array path."""

import json

import numpy as np
import pytest

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.decoding import decode
from omni_lab.media.subtitles.reader import read_subtitles
from omni_lab.triplets.dialogues.roles import read_roles
from omni_lab.world.clips import from_script
from omni_lab.world.dialogue import Line, dialogue, facts
from omni_lab.world.drawing import write_script
from omni_lab.world.film import to_srt, to_vtt, write_film

SIZE = 240
# mean absolute difference of 8-bit values: H.264 at crf 20 with 4:2:0 colour, then JPEG at 92
CODEC_ERROR = 4.0


@pytest.fixture(scope="module")
def script():
    return write_script(11, 8)


@pytest.fixture(scope="module")
def film(script, tmp_path_factory):
    return write_film(script, tmp_path_factory.mktemp("film") / "gallery.mp4", size=SIZE)


@pytest.fixture(scope="module")
def arrays(script):
    return from_script(script, SIZE, noisy=False)


def raw(path):
    """Pictures and samples of a file by PyAV alone, with the PTS of the file."""
    import av

    with av.open(str(path)) as container:
        pictures = {
            round(float(f.time) * 24): f.to_ndarray(format="rgb24")
            for f in container.decode(video=0)
        }
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", TICKS_PER_SECOND)
        sound = [s for f in container.decode(audio=0) for s in resampler.resample(f)]
        sound += resampler.resample(None)
    return pictures, np.concatenate([s.to_ndarray()[0] for s in sound])


def lag(one, other, within=400):
    """By how many samples `other` comes after `one`, and their correlation there."""
    n = min(len(one), len(other)) - 2 * within
    base = one[within : within + n]
    rates = [
        np.corrcoef(base, other[within + k : within + k + n])[0, 1]
        for k in range(-within, within + 1)
    ]
    best = int(np.argmax(rates))
    return best - within, rates[best]


def test_pictures_of_the_file_are_those_of_the_arrays(film, arrays, script):
    pictures, _ = raw(film)
    assert len(pictures) == script.seconds * 24
    for picture, tick in zip(arrays.frames, arrays.frame_times, strict=True):
        there = pictures[round(tick / TICKS_PER_SECOND * 24)]
        assert np.abs(there.astype(int) - picture.astype(int)).mean() < CODEC_ERROR
        # the picture half a second away is another one: the comparison would notice a shift
    shifted = [
        np.abs(
            pictures[(round(t / TICKS_PER_SECOND * 24) + 12) % len(pictures)].astype(int)
            - p.astype(int)
        ).mean()
        for p, t in zip(arrays.frames, arrays.frame_times, strict=True)
    ]
    assert max(shifted) > 2 * CODEC_ERROR


def test_sound_of_the_file_is_that_of_the_arrays(film, arrays):
    _, sound = raw(film)
    shift, rate = lag(arrays.audio, sound)
    assert abs(shift) <= 1 and rate > 0.99


def test_the_decoder_gives_the_arrays_clip(film, arrays):
    """The same through our own extraction, which is what a user's film goes through."""
    import io

    from PIL import Image

    read = decode(film, TripletConfig(image_size=SIZE))
    assert len(read.frames) == len(arrays.frames)
    assert np.abs(read.frame_times - arrays.frame_times).max() <= TICKS_PER_SECOND // 48, (
        "further than half a picture"
    )
    for jpeg, picture in zip(read.frames, arrays.frames, strict=True):
        there = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
        assert np.abs(there - picture.astype(int)).mean() < CODEC_ERROR
    sound = np.zeros(len(arrays.audio) + 2 * TICKS_PER_SECOND, np.float32)
    sound[read.audio_start : read.audio_start + len(read.audio)] = read.audio / 32768
    shift, rate = lag(arrays.audio, sound[: len(arrays.audio)])
    assert abs(shift) <= 1 and rate > 0.99


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_subtitles_of_the_file_are_the_cues_of_the_arrays(film, arrays, suffix):
    cues = read_roles(read_subtitles(film.with_suffix(suffix)))
    assert [(c.start, c.end, c.role, c.text) for c in cues] == [
        (c.start, c.end, c.role, c.text) for c in arrays.cues
    ]


def test_the_truth_beside_the_file_is_that_of_the_arrays(film, arrays, script):
    truth = json.loads(film.with_suffix(".truth.json").read_text())
    assert tuple(truth["facts"]) == arrays.facts == facts(script)
    assert (truth["seconds"], truth["ticks_per_second"]) == (script.seconds, TICKS_PER_SECOND)
    starts = {c.start for c in arrays.cues if c.role == "guide"}
    assert {fact["start"] for fact in truth["facts"]} == starts


def test_extraction_finds_every_question_of_the_film(film, script, own_folder):
    """Film → shards → clips → exam: every question arrives, with its words."""
    from omni_lab.config import override, tiny
    from omni_lab.evaluation.answers import make_eval_set
    from omni_lab.triplets.building.build import build
    from omni_lab.triplets.shards.tars import read_shards
    from omni_lab.world.vocabulary import WorldVocabulary

    config = override(tiny(), ["sequence.max_tokens=1024"])
    build([film], own_folder / "shards", config.triplets, progress=False)
    clips = list(read_shards(own_folder / "shards"))
    vocabulary = WorldVocabulary()
    exam = make_eval_set(clips, config, vocabulary)
    assert len(exam.asked) == len(script.questions)
    for asked in exam.asked:
        row = exam.rows[asked.row]
        assert vocabulary.decode(row.ids[list(asked.question)]) == asked.fact["asked"]
        assert (
            vocabulary.decode(row.ids[list(asked.answer)]).replace(" ", "") == asked.fact["answer"]
        )


def test_a_wide_film_has_the_square_in_its_middle(script, own_folder):
    path = write_film(write_script(2, 2), own_folder / "wide.mp4", size=(160, 96), frame_rate=8)
    import av

    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    square = from_script(write_script(2, 2), 96, noisy=False).frames[0].astype(int)
    assert picture.shape == (96, 160, 3)
    assert np.abs(picture[:, 32:128] - square).mean() < 2 * CODEC_ERROR
    wall = np.array(write_script(2, 2).rooms[0].wall)
    assert np.abs(picture[:, :24] - wall).mean() < 2 * CODEC_ERROR


def test_grain_makes_a_film_harder_to_pack(own_folder):
    script = write_script(2, 2)
    plain = write_film(script, own_folder / "plain.mp4", size=96, frame_rate=8)
    rough = write_film(script, own_folder / "rough.mp4", size=96, frame_rate=8, grain=0.03)
    assert rough.stat().st_size > 1.5 * plain.stat().st_size


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("film.mkv", 96, "written as .mp4"),
        ("film.mp4", 95, "even sides"),
        ("film.mp4", (96, 51), "even sides"),
    ],
)
def test_an_impossible_film_is_refused_before_anything_is_written(own_folder, name, size, message):
    with pytest.raises(UsageError, match=message):
        write_film(write_script(0, 2), own_folder / name, size=size)
    assert not list(own_folder.iterdir())


def test_stamps_carry_hours_and_round_to_the_millisecond():
    hour = 3600 * TICKS_PER_SECOND
    lines = [Line(hour + 61 * TICKS_PER_SECOND + 16, 2 * hour - 1, "guide", "Red.")]
    assert to_srt(lines) == "1\n01:01:01,001 --> 02:00:00,000\nGUIDE: Red.\n"
    assert to_vtt(lines) == "WEBVTT\n\n01:01:01.001 --> 02:00:00.000\n<v Guide>Red.\n"


def test_a_sense_left_out_leaves_its_array_empty_and_its_questions_unasked(script):
    deaf = from_script(script, 48, senses=("image", "text"))
    assert deaf.audio.size == 0 and deaf.has == {"image", "text"} and len(deaf.frames) == 16
    assert all("audio" not in fact["carriers"] for fact in deaf.facts) and deaf.facts
    blind = from_script(script, 48, senses=("audio", "text"))
    assert blind.frames.shape == (0, 48, 48, 3) and blind.frame_times.size == 0
    needs = [carriers for _, carriers in dialogue(script)]
    assert len(blind.cues) < len(deaf.cues) + len(blind.cues) <= 2 * len(needs)


def test_noise_is_the_same_for_the_same_script_and_keeps_the_picture(script):
    one, two = from_script(script, 48), from_script(script, 48)
    assert np.array_equal(one.frames, two.frames) and np.array_equal(one.audio, two.audio)
    clean = from_script(script, 48, noisy=False)
    assert 3 < np.abs(one.frames.astype(int) - clean.frames).mean() < 12
    assert 0 < np.abs(one.audio - clean.audio).mean() < 0.01
    assert abs((one.frames.astype(int) - clean.frames).mean()) < 1

"""Image-text documents in five prompt formats: one content from every source, and its marks."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import damage, write_film
from PIL import Image

from omni_lab.config import TICKS_PER_SECOND, TripletConfig, override, tiny
from omni_lab.config import types as settings_types
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.media.errors import MediaError
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.batch import collate
from omni_lab.sequences.blend import Blend
from omni_lab.sequences.documents import Document, Picture, as_document
from omni_lab.sequences.formats import FORMATS, Written, lay_out, seen_by
from omni_lab.sequences.items import IMAGE_END, IMAGE_START, LISTEN, SPEAK, SequenceError
from omni_lab.sequences.packing import Packer
from omni_lab.sequences.tokens import IMAGE_KIND, TEXT_KIND, tokenize
from omni_lab.sequences.vocabulary import UNKNOWN
from omni_lab.triplets.building.build import build
from omni_lab.triplets.cutting.film import clips_of_film
from omni_lab.triplets.shards.stream import ClipStream
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script

S = TICKS_PER_SECOND


def config(layout, *more):
    return override(tiny(), [f"sequence.layout={layout}", "sequence.max_tokens=4096", *more])


def picture(value=0, height=48, width=48):
    return np.full((height, width, 3), value, np.uint8)


def written(sequence):
    return [item.text if item.kind in ("control", "text") else item.kind for item in sequence.items]


ALBUM = [picture(1), picture(2), Cue(0, 0, "Where red?", "visitor"), Cue(0, 0, "Image 2.", "guide")]
TURN = ["<visitor>", "Where red?", SPEAK, "Image 2.", LISTEN]


@pytest.mark.parametrize(
    ("layout", "first", "second"),
    [
        ("F0", ["image"], ["image"]),
        ("F1", [IMAGE_START, "image", IMAGE_END], [IMAGE_START, "image", IMAGE_END]),
        ("F2", ["image 1", "image"], ["image 2", "image"]),
        (
            "F3",
            ["image 1", IMAGE_START, "image", IMAGE_END],
            ["image 2", IMAGE_START, "image", IMAGE_END],
        ),
        (
            "F4",
            ["image 1", IMAGE_START, "image", IMAGE_END],
            ["image 2", IMAGE_START, "image", IMAGE_END],
        ),
    ],
)
def test_each_format_writes_its_own_round_an_image(layout, first, second):
    assert written(lay_out(ALBUM, config(layout))) == first + second + TURN


@pytest.mark.parametrize(("layout", "name"), [("F3", "image"), ("F4", "frame")])
def test_only_f4_calls_the_frames_of_a_video_frames(layout, name):
    video = np.stack([picture(1), picture(2)])
    sequence = lay_out([video, picture(3), "so"], config(layout))
    prompts = [item.text for item in sequence.items if item.kind == "text"]
    still = "image 1" if layout == "F4" else "image 3"
    assert prompts == [f"{name} 1", f"{name} 2", still, "so"]


def test_prompts_and_marks_are_context_and_text_of_the_model_or_without_role_is_supervised():
    sequence = lay_out([*ALBUM, "A plain text."], config("F4"))
    assert [i.text for i in sequence.items if i.loss] == [
        SPEAK,
        "Image 2.",
        LISTEN,
        "A plain text.",
    ]


def test_one_entry_takes_every_form_of_the_same_images(tmp_path):
    """File, PIL image, array, list, video and interleaved row: the same pictures in one order."""
    pixels = [np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8) for i in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, array in zip(paths, pixels, strict=True):
        Image.fromarray(array).save(path)
    row = {
        "images": [paths[0], None, Image.fromarray(pixels[1]), pixels[2]],
        "texts": [None, "between", None, None],
    }

    forms = [paths, [Image.open(p) for p in paths], pixels, np.stack(pixels), tuple(paths), row]
    for form in forms:
        document = as_document(form, "same")
        seen = [part.pixels for part in document.parts if isinstance(part, Picture)]
        assert len(seen) == 3 and all(
            np.array_equal(a, b) for a, b in zip(seen, pixels, strict=True)
        )

    assert np.array_equal(as_document(paths[0]).parts[0].pixels, pixels[0])
    words = [getattr(part, "text", None) for part in as_document(row).parts]
    assert words == [None, "between", None, None]
    assert all(part.frame for part in as_document(np.stack(pixels)).parts)


def test_a_clip_is_frames_and_cues_in_the_order_of_time_and_reports_its_sound_as_missing():
    clip = from_script(write_script(1, 4), 48)
    document = as_document(clip)
    times = [p.time if isinstance(p, Picture) else p.start for p in document.parts]
    assert times == sorted(times)
    assert sum(isinstance(p, Picture) for p in document.parts) == len(clip.frames)
    assert [p for p in document.parts if isinstance(p, Cue)] == list(clip.cues)
    (message,) = lay_out(clip, config("F4")).missing
    assert "4.00 s of sound" in message and document.name == clip.clip_id


def test_text_that_names_a_file_is_not_taken_for_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("cat.png")
    with pytest.raises(SequenceError, match="give a Path"):
        as_document(["cat.png", "a cat"])
    assert as_document(["dog.png", "a dog"]).parts[0].text == "dog.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "empty document"),
        (42, "int in it is neither"),
        ([picture(), None], "NoneType in it is neither"),
        ({"images": [picture()], "texts": []}, "equal length"),
        ({"images": [picture()], "texts": ["and text"]}, "place 0 must hold an image or a text"),
        ({"images": [None], "texts": [None]}, "place 0 must hold"),
        ({"pictures": []}, "lists `images` and `texts`"),
        ({"images": [None, None], "texts": "ab"}, "lists `images` and `texts`"),
        (
            {"images": ["http://films.org/cat.jpg"], "texts": [None]},
            "place 0 must hold an image or a text.* is a Path",
        ),
        ({"images": [None], "texts": [picture()]}, "place 0 must hold"),
    ],
)
def test_what_is_no_document_is_refused_by_name(content, message):
    with pytest.raises(SequenceError, match=f"clip album: .*{message}"):
        as_document(content, "album")


def test_a_picture_that_cannot_be_read_names_its_file(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(MediaError, match=r"broken\.png"):
        as_document(tmp_path / "broken.png")


def test_a_format_that_does_not_exist_and_a_document_without_text_are_refused_by_name():
    stray = tiny()
    object.__setattr__(stray.sequence, "layout", "F9")  # as nothing that was validated has
    with pytest.raises(
        SequenceError, match="clip album: there is no format 'F9'.*F0, F1, F2, F3, F4"
    ):
        lay_out(as_document(ALBUM, "album"), stray)
    with pytest.raises(SequenceError, match="clip album: no text"):
        lay_out(as_document([picture()], "album"), config("F4"))
    assert written(lay_out(as_document([picture()]), config("F0"), supervised=False)) == ["image"]
    with pytest.raises(SequenceError, match="clip album: the omni stream needs a clip"):
        lay_out(as_document(ALBUM, "album"), tiny())


def test_tiles_and_thumbnail_of_an_image_stand_between_its_marks_and_a_video_is_not_tiled():
    wide = picture(9, 48, 144)
    sequence = lay_out([wide, "so"], config("F3", "sequence.tiles=4"))
    assert written(sequence) == ["image 1", IMAGE_START, *["image"] * 4, IMAGE_END, "so"]
    assert [piece for _, piece in sequence.tilings] == [0, 1, 2, 3]
    assert written(lay_out([np.stack([wide]), "so"], config("F0", "sequence.tiles=4"))) == [
        "image",
        "so",
    ]
    omchat = lay_out([picture(9, 96, 96), "so"], config("F0", "sequence.grids=omchat"))
    assert len(omchat.frames) == 5, "2 × 2 tiles and the thumbnail"


@given(st.integers(4, 300), st.integers(4, 300), st.integers(1, 6), st.data())
@settings(max_examples=30, deadline=None)
def test_a_token_and_the_pixels_it_sees_name_each_other(height, width, tiles, data):
    setting = config("F4", f"sequence.tiles={tiles}")
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    sequence = lay_out([picture(1), picture(2, height, width), "so"], setting)
    tokens = tokenize(sequence, build_vocabulary(setting), setting.sequence)

    boxes = {place: seen_by(sequence, tokens, place, setting) for place in range(len(tokens.ids))}
    assert all(boxes[p] is None for p in range(len(tokens.ids)) if tokens.kind[p] != IMAGE_KIND)
    inside = [
        place
        for place, seen in boxes.items()
        if seen
        and seen[0] == 1
        and seen[1][0] < x + 1
        and x < seen[1][2]
        and seen[1][1] < y + 1
        and y < seen[1][3]
    ]

    tiling = sequence.tilings[1][0]
    per_side, patch = 2, setting.model.image.patch
    # after the four tokens of the first picture
    run = np.flatnonzero(tokens.kind == IMAGE_KIND)[4:]
    expected = {
        int(run[piece * 4 + token]) for piece, token in tiling.tokens_at(x, y, per_side, patch)
    }
    assert expected == set(inside)


def test_a_document_goes_through_the_model_side_like_a_clip():
    setting = config("F4", "sequence.tiles=4")
    vocabulary = build_vocabulary(setting)
    tokens = tokenize(lay_out([picture(1, 96, 96), *ALBUM], setting), vocabulary, setting.sequence)
    batch = collate([tokens], setting.sequence, setting.model.image.size)
    assert batch.frames.shape == (7, 2, 48, 48, 3), "an image is shown in every frame of its unit"
    assert (tokens.kind == IMAGE_KIND).sum() == 7 * setting.sequence.image_tokens
    words = vocabulary.pieces(tokens.ids[tokens.kind == TEXT_KIND])
    assert UNKNOWN not in words and words[:2] == ["image", "1"]


def test_formats_cost_what_they_write():
    lengths = {}
    for layout in FORMATS:
        setting = config(layout)
        lengths[layout] = len(
            tokenize(lay_out(ALBUM, setting), build_vocabulary(setting), setting.sequence).ids
        )
    bare = lengths["F0"]
    assert lengths == {"F0": bare, "F1": bare + 4, "F2": bare + 4, "F3": bare + 8, "F4": bare + 8}


def test_clips_by_number_are_written_for_packing():
    setting = config("stream")
    clips = [from_script(write_script(seed, 4), 48) for seed in range(6)]
    documents = Written(clips.__getitem__, setting, build_vocabulary(setting))
    rows = list(Packer(Blend({"films": documents}), 400))
    assert sorted(name for row in rows for name in row.name.split(" + ")) == sorted(
        clip.clip_id for clip in clips
    )


def test_a_document_may_be_given_whole():
    document = Document("whole", (Picture(picture(3)), Cue(0, 0, "A text.")))
    assert lay_out(document, config("F1")).name == "whole"


@pytest.mark.parametrize("text", ["猫" * 200, "a" * 5000, "line\nline", "nul\0byte", ""])
def test_any_text_is_text(text):
    assert as_document([picture(), text]).parts[1].text == text


def test_a_picture_of_a_document_may_be_given_alone():
    alone = Picture(picture(3), frame=True, time=7)
    assert as_document(alone).parts == (alone,)


def test_a_film_file_is_all_its_frames_on_its_own_clock_over_all_its_clips(tmp_path):
    film = write_film(tmp_path / "long.mp4", seconds=24)
    clips = list(clips_of_film(film, TripletConfig())[1])
    document = as_document(film)
    frames = [part for part in document.parts if isinstance(part, Picture)]
    times = [frame.time for frame in frames]
    assert len(clips) > 1 and len(frames) == sum(len(clip.jpegs) for clip in clips)
    assert times == sorted(times) and times[-1] > 23 * S and all(frame.frame for frame in frames)
    assert document.name == "long.mp4" and "24.0" in document.missing[0]


def test_documents_are_packed_out_of_shards_and_gone_on_with_after_a_stop(tmp_path):
    films = sorted((Path(__file__).parents[2] / "data_samples" / "test").glob("*.mp4"))
    build(films, tmp_path / "shards", TripletConfig(clips_per_shard=2), progress=False)
    setting = config("F4")
    vocabulary = build_vocabulary(setting)

    def packer():
        clips = Written(ClipStream(tmp_path / "shards", seed=1).at, setting, vocabulary)
        return Packer(Blend({"films": clips}), 1024, open_rows=3)

    whole = [row.ids.tolist() for row in islice(packer(), 8)]
    first = packer()
    before = [row.ids.tolist() for row in islice(first, 3)]
    again = packer()
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert before + [row.ids.tolist() for row in islice(again, 5)] == whole


def test_a_film_file_is_cut_and_kept_as_the_configuration_says(tmp_path):
    film = write_film(tmp_path / "short.mp4", seconds=4)
    few = config("F4", "triplets.frames_per_second=0.5", "sequence.frames_per_unit=1")
    assert len(lay_out(film, few, supervised=False).frames) == 2
    assert (
        len(as_document(film).parts) == 8
        and len(as_document(film, cutting=few.triplets).parts) == 2
    )


def test_damage_of_a_film_file_is_reported_by_its_document(tmp_path):
    film = damage(write_film(tmp_path / "torn.mp4", seconds=24))
    errors = clips_of_film(film, TripletConfig())[0].errors
    _, *damages = as_document(film).missing
    assert errors and damages == [f"torn.mp4 is damaged: {error}" for error in errors]


def test_what_stands_in_a_row_as_text_is_text_though_a_file_has_that_name(own_folder):
    (own_folder / "cat").write_text("no picture")
    assert as_document({"images": [None], "texts": ["cat"]}).parts[0].text == "cat"


def test_the_formats_are_the_layouts_that_a_configuration_may_name():
    assert tuple(FORMATS) == settings_types.FORMATS

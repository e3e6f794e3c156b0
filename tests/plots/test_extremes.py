"""Edge cases of figures: no overlap, nothing outside the page, omitted parts are counted."""

import io
import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from figures import empty_clip, gids, laid_out, words
from omni_lab.errors import UsageError
from omni_lab.media.subtitles.reader import Cue
from omni_lab.plots.data.cells import label, width_of
from omni_lab.plots.data.documents import draw_document, draw_formats
from omni_lab.plots.data.masks import draw_mask
from omni_lab.plots.data.packing import draw_packing
from omni_lab.plots.data.sample import draw_sample
from omni_lab.plots.data.timeline import draw_triplet
from omni_lab.plots.data.tokens import draw_stream
from omni_lab.plots.palette import role_colours
from omni_lab.sequences.tokens import AUDIO_KIND

SECOND = 16_000


def clip_of(length_s, *cues, frames=None, every=SECOND // 2):
    """Clip with sound, and with frames from its very start."""
    length = int(length_s * SECOND)
    frames = np.zeros((0, 0, 0, 3), np.uint8) if frames is None else frames
    has = {"audio"} | ({"image"} if len(frames) else set()) | ({"text"} if cues else set())
    return empty_clip(
        end=length, audio=np.full(length, 0.1, np.float32), frames=frames, cues=cues,
        frame_times=np.arange(len(frames), dtype=np.int64) * every, has=frozenset(has),
    )  # fmt: skip


def message(start_s, text, role="guide"):
    return Cue(int(start_s * SECOND), int((start_s + 0.5) * SECOND), text, role)


def extents(artists):
    """Left and right edge of each artist, in pixels."""
    return sorted((box.x0, box.x1) for box in (artist.get_window_extent() for artist in artists))


def pixels(figure):
    with Image.open(io.BytesIO(figure._repr_png_())) as image:
        return np.asarray(image.convert("RGB"), int)


def test_a_count_of_one_is_singular():
    one = laid_out(["star"], "F0")
    figures = (
        draw_document(*one),
        draw_formats({"F0": one}),
        draw_mask(one[1]),
        draw_packing({"a": [[(0, 0, 1)]]}, 1),
    )
    alts = [figure.alt for figure in (*figures, draw_triplet(clip_of(1, message(0, "star"))))]
    expected = (
        "1 token:",
        "1 format: F0 1 token.",
        "1 token in 1 document",
        "1 token.",
        "1 cue by 1 role.",
    )
    assert [part for alt, part in zip(alts, expected, strict=True) if part not in alt] == []


def test_axes_of_tokens_count_in_whole_numbers():
    one = laid_out(["star"], "F0")
    for figure in (
        draw_formats({"F0": one}),
        draw_mask(one[1]),
        draw_packing({"a": [[(0, 0, 1)]]}, 1),
    ):
        for ax in figure.axes:
            assert all(
                float(tick).is_integer() for tick in ax.get_xticks()
            ) or not ax.get_xlabel().endswith("tokens")
        axis = next(ax for ax in figure.axes if "token" in ax.get_xlabel())
        assert set(axis.get_xticks()) == {0.0, 1.0}


def test_a_long_word_is_cut_so_that_its_cell_stays_in_its_column():
    assert label("a" * 24) == "a" * 24 and label("a" * 25) == "a" * 23 + "…"
    assert width_of(label("W" * 99)) < 3.2
    assert label(" " * 99) == "␣"


def test_a_word_too_long_for_its_cue_is_written_upwards_as_far_as_there_is_room():
    texts = words(
        draw_triplet(clip_of(9, message(0, "Donaudampfschifffahrtsgesellschaftskapitän")))
    )
    assert any(word.startswith("Donaudampfschiff") and word.endswith("…") for word in texts)


@pytest.mark.parametrize("roles", [0, 2, 4, 12])
def test_a_legend_stays_on_the_page_and_counts_the_roles_it_has_no_room_for(roles):
    cues = [message(0, "star", f"{'W' * 11}{number}") for number in range(roles)]
    one = clip_of(1, *cues, message(0.5, "red"))
    sequence, tokens, names = laid_out(one)
    for figure in (draw_sample(one, sequence, tokens), draw_stream(one, tokens, names, units=1)):
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    entries = [
        text.get_text() for text in draw_sample(one, sequence, tokens).legends[0].get_texts()
    ]
    bars = sum(entry.startswith("bar: ") for entry in entries)
    rest = [entry for entry in entries if entry.startswith("and ")]
    assert rest == ([f"and {roles + 1 - bars} more roles"] if bars < roles + 1 else [])


def test_short_units_keep_their_tokens_and_numbers_apart():
    unit_s, many = 0.05, clip_of(8, message(0, "star red"))
    sequence, tokens, _ = laid_out(many, unit_s=unit_s, audio_tokens=2)
    figure = draw_sample(many, sequence, tokens)
    for gid, cell in gids(figure, "token:").items():
        start = tokens.unit[int(gid.split(":")[1])] * unit_s
        assert start <= cell.get_x() and cell.get_x() + cell.get_width() <= start + unit_s + 1e-9
    numbers = extents(text for text in figure.axes[-1].texts if text.get_text().startswith("unit "))
    assert len(numbers) > 9 and all(
        before[1] < after[0] for before, after in itertools.pairwise(numbers)
    )


@pytest.mark.parametrize(
    "draw", [draw_triplet, lambda clip: draw_stream(clip, *laid_out(clip)[1:], units=2)]
)
def test_a_frame_at_the_very_start_does_not_cover_the_name_of_its_strip(draw):
    red = np.full((4, 90, 160, 3), (255, 0, 0), np.uint8)
    figure = draw(clip_of(2, message(0, "star"), frames=red))
    seen = (pixels(figure) == (255, 0, 0)).all(-1).any(0)
    left, right = (
        (figure.axes[0].get_window_extent().get_points()[:, 0] * 110 / figure.dpi)
        .round()
        .astype(int)
    )
    assert (
        seen[left + 2 : left + 40].all()
        and not seen[: left - 2].any()
        and not seen[right + 2 :].any()
    )


def test_flat_frames_keep_their_shape_in_a_strip_that_holds_its_name():
    flat = clip_of(5, message(0, "star"), frames=np.zeros((10, 2, 200, 3), np.uint8))
    for figure in (draw_triplet(flat), draw_stream(flat, *laid_out(flat)[1:])):
        strip = figure.axes[0].get_window_extent()
        assert strip.height / figure.dpi >= 0.3
        frame = figure.axes[0].images[1].get_window_extent()
        assert frame.width / frame.height == pytest.approx(100, rel=0.01)


def test_a_column_ends_with_the_number_of_tokens_left():
    talk = clip_of(1, message(0, "star " * 2000))
    _, tokens, names = laid_out(talk)
    figure = draw_stream(talk, tokens, names, units=1)
    drawn = len(gids(figure, "token:"))
    assert drawn < 400 and f"… and {len(tokens.ids) - drawn} more tokens" in words(figure)
    assert f"{len(tokens.ids)} tokens" in figure.alt and figure.get_figheight() < 20


def test_many_small_documents_do_not_vanish_between_their_seams():
    small = [[(number, 0, 3) for number in range(20)]]
    piece = next(iter(gids(draw_packing({"small": small}, 3000), "piece:").values()))
    assert 2 * piece.get_linewidth() < 3 * 12 * 72 / 3000
    large = next(iter(gids(draw_packing({"large": [[(0, 0, 900)]]}, 3000), "piece:").values()))
    assert large.get_linewidth() == 0.6


def test_titles_of_many_packings_stay_apart():
    figure = draw_packing(
        {f"a way with a long name, {number}": [[(0, 0, 6)]] for number in range(6)}, 10
    )
    figure.draw_without_rendering()
    titles = extents(ax._left_title for ax in figure.axes)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(titles))


def test_every_document_of_a_packing_needs_a_stream():
    with pytest.raises(
        UsageError, match="wrong: document 2 has no stream, streams names 2; name one for each"
    ):
        draw_packing({"wrong": [[(0, 0, 3), (2, 0, 3)]]}, 10, ["image", "text"])


def test_a_role_without_a_name_has_the_colour_of_no_role():
    colours = role_colours(["", "someone", None])
    assert (
        colours[""] == colours[None] != colours["someone"] == role_colours(["someone"])["someone"]
    )


@pytest.fixture(scope="module")
def long_row():
    return laid_out(["where star " * 1500], "F0")[1]


def test_a_long_row_needs_little_memory(long_row):
    tracemalloc.start()
    draw_mask(long_row)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(long_row.ids) ** 2


def test_the_strength_in_a_long_row_is_that_of_all_its_pairs(long_row):
    length = len(long_row.ids)
    kind = long_row.kind.copy()
    kind[length // 2 :] = AUDIO_KIND
    row = replace(long_row, kind=kind)
    bias = np.where(np.tri(length, dtype=bool), np.float32(0), np.float32(-np.inf))
    bias[2 * length // 3 :, : length // 2] = np.log(0.5)
    figure = draw_mask(row, bias)
    shown = {gid: text.get_text() for gid, text in gids(figure, "strength:").items()}
    assert shown == {
        "strength:text:text": "1.00", "strength:audio:audio": "1.00", "strength:text:audio": "–",
        "strength:audio:text": "0.67",
    }  # fmt: skip
    bias[-2, -1] = 0
    with pytest.raises(UsageError, match="another document"):
        draw_mask(row, bias)

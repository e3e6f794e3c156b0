"""Figures: modality colours, pale for no loss, messages for missing data, no global state."""

import itertools
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from figures import empty_clip, gids, words
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.plots.data.cuts import draw_cuts
from omni_lab.plots.data.strips import log_mel, thumbnails
from omni_lab.plots.data.timeline import draw_triplet
from omni_lab.plots.evaluation.asked import draw_asked
from omni_lab.plots.evaluation.confusion import draw_reliance
from omni_lab.plots.evaluation.facts import draw_controls, draw_facts, takes_away, unexpected
from omni_lab.plots.evaluation.heatmaps import draw_attention, draw_retrieval
from omni_lab.plots.palette import INK, MODALITY_COLOURS, MODALITY_ORDER, ink, role_colours, shade
from omni_lab.plots.training.curves import draw_losses
from omni_lab.report.page import FilmPlayer
from omni_lab.sequences.items import KINDS
from omni_lab.triplets.cutting.cut import Clip
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def clip():
    return from_script(write_script(3, 4, split="test"), 48)


def test_modalities_keep_the_order_of_the_project():
    assert MODALITY_ORDER == KINDS


def test_words_on_a_token_can_be_read():
    def luminance(colour):
        return sum(
            w * ((c + 0.055) / 1.055) ** 2.4
            for w, c in zip((0.2126, 0.7152, 0.0722), to_rgba(colour)[:3], strict=True)
        )

    for kind in MODALITY_ORDER:
        for supervised in (True, False):
            red, green, blue, opacity = shade(kind, supervised)
            on_white = tuple(1 - opacity + opacity * part for part in (red, green, blue))
            light, dark = sorted(
                (luminance(on_white), luminance(ink(kind, supervised))), reverse=True
            )
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (kind, supervised)


def test_roles_have_colours_of_their_own_that_do_not_depend_on_who_speaks_first():
    colours = role_colours(["visitor", "ann", "guide", None, "bob", "ann"])
    assert len(set(colours.values())) == len(colours) == 5
    assert colours["guide"] == role_colours(["guide"])["guide"]


def test_log_mel_finds_a_tone_at_its_time_and_pitch():
    audio = np.zeros(16_000, np.float32)
    audio[8000:] = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)
    mel = log_mel(audio, bands=64)
    assert mel.shape == (64, 101) and mel.max() == 0 and mel.min() >= -70
    assert mel[:, 25].max() < -60 < mel[:, 75].max()
    centre_mel = (mel[:, 75].argmax() + 1) / 65 * 2595 * np.log10(1 + 8000 / 700)
    assert 700 * (10 ** (centre_mel / 2595) - 1) == pytest.approx(1000, rel=0.07)


def test_a_clip_is_drawn_on_one_axis_of_seconds_with_a_lane_per_role(clip):
    figure = draw_triplet(clip)
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 4.0)}
    assert {"image", "audio", "visitor", "guide"} <= set(words(figure))
    assert "time from the clip's start (s)" in words(figure)
    assert len(figure.axes[0].images) == len(clip.frames)
    middles = [np.mean(image.get_extent()[:2]) for image in figure.axes[0].images]
    np.testing.assert_allclose(middles, clip.frame_times / 16_000)
    assert figure._repr_png_().startswith(PNG)


def test_a_modality_that_a_clip_lacks_is_named_in_its_strip():
    texts = words(draw_triplet(empty_clip()))
    assert {"no image in this clip", "no audio in this clip", "no text in this clip"} <= set(texts)
    silent = words(draw_triplet(empty_clip(has=frozenset({"text"}))))
    assert "no cues in this clip" in silent


def test_cues_are_drawn_word_by_word_where_words_are_timed_and_also_without_a_role():
    spoken = (Word(0, 8000, "good"), Word(9000, 16_000, "morning"))
    cues = (
        Cue(0, 16_000, "good morning", None, words=spoken),
        Cue(16_000, 32_000, "it costs $5 or $6", "ann"),
    )
    texts = words(draw_triplet(empty_clip(has=frozenset({"text"}), cues=cues)))
    assert {"good", "morning", "no role", "ann"} <= set(texts)
    assert any("$5 or" in text for text in texts)


def test_many_frames_are_thinned_so_that_none_hides_another(clip):
    many = replace(
        clip,
        frames=np.repeat(clip.frames, 12, axis=0)[:96],
        frame_times=np.arange(96, dtype=np.int64) * 16_000 // 24,
    )
    every, height_in = thumbnails(many, inch_per_s=2.0, highest_in=1.3)
    assert every > 1 and height_in <= every / 24 * 2.0
    figure = draw_triplet(many)
    drawn = [image.get_extent()[:2] for image in figure.axes[0].images]
    assert 1 < len(drawn) < 96 and all(
        before[1] < after[0] for before, after in itertools.pairwise(drawn)
    )
    assert any("image\n(1 in" in text for text in words(figure))


def losses(stage, steps, **more):
    return [
        {"stage": stage, "step": i, "loss": 3.0 / (i + 1), "lr": 0.1, "seconds": 0.5, **more}
        for i in range(steps)
    ]


def test_each_stage_has_a_panel_of_losses_and_one_of_learning_rates():
    figure = draw_losses(losses("vision", 30, stream=1.0) + losses("omni", 20, align=0.5))
    assert len(figure.axes) == 4
    assert figure.axes[0].get_yscale() == "log"
    assert {
        "1. vision · 30 steps · 15 s",
        "2. omni · 20 steps · 10 s",
        "loss (nats per token)",
    } <= set(words(figure))
    assert {"all together", "answers in streams", "alignment (nats per unit)"} <= set(words(figure))
    assert "captions" not in words(figure)


def test_a_step_recorded_twice_counts_once_and_what_is_not_finite_is_left_out():
    late = [
        {"stage": "vision", "step": 9, "loss": 7.0},
        {"stage": "vision", "step": 10, "loss": float("nan")},
    ]
    again = losses("vision", 10) + late
    raw = draw_losses(again).axes[0].lines[0]
    assert list(raw.get_xdata()) == list(range(10)) and raw.get_ydata()[-1] == 7.0


def test_a_level_to_compare_with_is_a_named_line_in_its_own_stage():
    records = losses("vision", 30) + losses("omni", 20)
    level = {"vision": ("perfect manners", 0.57), "no such stage": ("nothing", 1.0)}
    figure = draw_losses(records, level)
    vision, omni = ([set(line.get_ydata()) for line in ax.lines] for ax in figure.axes[:2])
    assert {0.57} in vision and {0.57} not in omni
    assert "perfect manners: 0.57" in words(figure)
    assert "Dashed in vision: perfect manners, 0.57." in figure.alt
    assert len(draw_losses(records).axes[0].lines) == len(figure.axes[0].lines) - 1


def test_what_was_asked_stands_above_its_likeliest_answers():
    seen = np.zeros((8, 8, 3))
    one = {"question": "Colour heard?", "seen": seen, "answers": {"red": 0.9, "blue": 0.1}}
    other = {"question": "Word said?", "seen": seen, "answers": {"green": 1.0}}
    figure = draw_asked({"as filmed": one, "greyed": other}, colours={"red": "#ff0000"})
    assert {"as filmed\n“Colour heard?”", "greyed\n“Word said?”"} <= set(words(figure))
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["blue", "red"]
    bars = {round(bar.get_width(), 2): bar.get_facecolor() for bar in figure.axes[2].patches}
    assert bars == {0.9: to_rgba("#ff0000"), 0.1: to_rgba(MODALITY_COLOURS["control"])}
    assert figure.axes[3].patches[0].get_facecolor() == to_rgba(MODALITY_COLOURS["control"])
    assert "greyed, “Word said?”: green 1.00" in figure.alt
    assert words(draw_asked({})) == ["Nothing was asked."]


RELIANCE = {
    "rows": ["image", "audio"], "columns": ["image", "audio", "none"],
    "rates": [[0.9, 0.06, 0.04], [0.11, 0.85, 0.04]], "low": [[0.8, 0.0, 0.0], [0.1, 0.7, 0.0]],
    "high": [[1.0, 0.1, 0.1], [0.2, 0.9, 0.1]], "n": 40,
}  # fmt: skip


def test_reliance_writes_every_fraction_with_its_interval():
    figure = draw_reliance(RELIANCE)
    assert {"0.90\n0.80 – 1.00", "0.11\n0.10 – 0.20", "image\nn = 40"} <= set(words(figure))
    assert "asked audio: image 0.11" in figure.alt


def test_attention_has_a_matrix_per_layer():
    layers = [[[0.25, 0.75], [1.0, 0.0]]] * 5
    figure = draw_attention(
        {"queries": ["image", "text"], "keys": ["image", "text"], "layers": layers}
    )
    assert sum(axes.get_visible() for axes in figure.axes) == 5
    assert {".75", "1", "layer 5"} <= set(words(figure))


def test_retrieval_stands_beside_its_chance():
    texts = words(
        draw_retrieval({"image_to_text": {"r1": 0.8, "r5": 0.95, "chance": 1 / 118, "n": 118}})
    )
    assert "0.80\nR@5 0.95" in texts and "recall@1 among 118, chance 0.008" in texts


def score(accuracy, chance, *carriers):
    return {"accuracy": accuracy, "chance": chance, "n": 100, "carriers": list(carriers)}


SUMMARY = {
    "facts": {
        "colour": score(0.98, 0.125, "image"),
        "word": score(0.97, 1 / 24, "audio"),
        "shape_to_colour": score(0.9, 0.125, "image", "audio"),
    },
    "controls": {
        "swap_image": {
            "colour": score(0.12, 0.125),
            "word": score(0.6, 1 / 24),
            "shape_to_colour": score(0.4, 0.125),
        },
        "swap_audio": {"colour": score(0.97, 0.125), "word": score(0.04, 1 / 24)},
    },
}


def test_every_fact_has_its_chance_level_and_a_missing_exam_is_named():
    figure = draw_facts(SUMMARY)
    ticks = gids(figure, "chance:")
    assert {gid: line.get_xdata()[0] for gid, line in ticks.items()} == {
        "chance:colour": 0.125, "chance:word": 1 / 24, "chance:shape_to_colour": 0.125,
    }  # fmt: skip
    assert {"held-out scenes", "films: not asked", "held-out pairs: not asked"} <= set(
        words(figure)
    )
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert marks[2].get_markerfacecolor() == MODALITY_COLOURS["image"]
    assert marks[2].get_markerfacecoloralt() == MODALITY_COLOURS["audio"]


def test_controls_frame_swapped_carriers_and_flag_unexpected_accuracies():
    figure = draw_controls(SUMMARY)
    assert set(gids(figure, "carrier:")) == {
        "carrier:swap_image:colour", "carrier:swap_image:shape_to_colour",
        "carrier:swap_audio:word",
    }  # fmt: skip
    assert {"0.12", "0.60 !", "0.40 !", "0.97", "–"} <= set(words(figure))
    assert takes_away(SUMMARY, "swap_question", "word") and not takes_away(
        SUMMARY, "swap_image", "word"
    )
    assert unexpected(SUMMARY, "swap_image", "word") and not unexpected(
        SUMMARY, "swap_image", "colour"
    )


@pytest.mark.parametrize(
    "draw", [draw_reliance, draw_attention, draw_retrieval, draw_facts, draw_controls]
)
def test_a_missing_measurement_gives_a_message(draw):
    assert any("in this run" in text for text in words(draw({})))


def test_drawing_leaves_no_trace_in_matplotlib(clip):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    figure = draw_triplet(clip)
    draw_facts(SUMMARY)
    draw_reliance(RELIANCE)
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []
    assert figure.axes[0].yaxis.label.get_color() == INK


def test_cuts_are_drawn_over_the_places_they_could_be_at():
    places = {32_000: "scene", 48_000: "silence", 64_000: "hard"}
    cuttings = {
        "by the clock": [Clip(0, 64_000, "hard"), Clip(64_000, 96_000, "end")],
        "cheapest": [Clip(0, 32_000, "scene"), Clip(32_000, 96_000, "end")],
    }
    cues = [Cue(56_000, 72_000, "and on and on", "guide")]
    audio = np.full(48_000, 9000, np.int16)
    figure = draw_cuts(96_000, places, cuttings, cues, audio, audio_start=16_000)
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 6.0)}
    assert {"audio", "speech", "by the clock", "cheapest", "4.0 s", "guide"} <= set(words(figure))
    assert {"scene · 0", "silence · 0.05", "hard · 1"} <= set(words(figure))
    rows = gids(figure, "places:")
    assert set(rows) == {"places:scene", "places:silence", "places:hard"}
    assert rows["places:silence"].get_segments()[0][0][0] == 3.0
    cuts = gids(figure, "cut:")
    assert {gid: line.get_xdata()[0] for gid, line in cuts.items()} == {
        "cut:hard": 4.0,
        "cut:scene": 2.0,
    }
    assert (
        cuts["cut:scene"].get_color() == MODALITY_COLOURS["image"]
        and cuts["cut:hard"].get_color() == INK
    )
    assert (
        "by the clock: 2 clips, 1 cut through speech; cheapest: 2 clips, 0 cuts through speech"
        in figure.alt
    )


def test_a_film_without_sound_text_or_cut_points_gives_messages():
    texts = words(draw_cuts(96_000, {}, {}))
    assert {"no audio in this film", "no text in this film", "no place to cut at"} <= set(texts)


def test_a_film_plays_in_the_page_from_its_own_bytes(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"\x00\x01")
    player = FilmPlayer(tmp_path / "film.mp4", width=99)
    assert repr(player) == "film film.mp4, 0 kB"
    assert (
        player._repr_html_()
        == '<video controls width="99" src="data:video/mp4;base64,AAE="></video>'
    )

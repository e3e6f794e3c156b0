"""Clocks and slips: errors at their recorded sizes, claps at their times, shares with intervals."""

import numpy as np
import pytest

from figures import gids, words
from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.plots.data.clock import draw_claps, draw_drift
from omni_lab.plots.evaluation.slips import draw_slip
from omni_lab.world.takes import clapperboard

SLIPS_S = np.array([-0.2, 0.0, 0.2])
EXAM = [{"heard": (n, 10), "seen": (m, 10)} for n, m in ((7, 10), (9, 9), (8, 10))]


def test_a_way_to_count_time_is_drawn_at_the_largest_error_of_each_part():
    figure = draw_drift({"rounded": np.arange(4800) / 1000, "short": [0.001, 0.002]}, 60)
    drawn = {name: line.get_data() for name, line in gids(figure, "drift:").items()}
    times, errors = drawn["drift:rounded"]
    assert len(times) == 240 and times[-1] == 60
    assert errors[0] == pytest.approx(19.0) and errors[-1] == pytest.approx(4799.0)
    np.testing.assert_allclose(drawn["drift:short"], [[30, 60], [1, 2]])
    assert {"one tick", "one picture", "200 ms"} <= set(words(figure))
    assert "after 60 minutes. rounded: 4.8e+03 ms; short: 2 ms" in figure.alt


def test_claps_say_how_early_or_late_their_sound_is(tmp_path):
    film = decode(clapperboard(tmp_path / "clap.mp4", 2), TripletConfig(frames_per_second=30.0))
    events = {"right": [(8000, 8000), (24_000, 24_000)], "wrong": [(8000, 4800), (24_000, 20_800)]}
    figure = draw_claps({"right": film, "wrong": film}, events, (0, 2))
    assert words(figure).count("sound 0.0 ms late") == 2
    assert words(figure).count("sound 200.0 ms early") == 2
    assert figure.alt.endswith("right: sound 0.0 ms late; wrong: sound 200.0 ms early.")
    assert figure.axes[0].get_xlim() == (0, 2)
    second = draw_claps({"right": film}, {"right": events["right"]}, (1, 2))
    assert words(second).count("sound 0.0 ms late") == 1, "only what lies in the span is named"


def test_a_slip_is_drawn_with_its_shares_and_the_number_of_questions():
    figure = draw_slip(SLIPS_S, [0.3, 0.0, 0.1], EXAM)
    np.testing.assert_allclose(
        gids(figure, "lost")["lost"].get_data(), [[-200, 0, 200], [0.3, 0.0, 0.1]]
    )
    np.testing.assert_allclose(gids(figure, "heard")["heard"].get_ydata(), [0.7, 0.9, 0.8])
    assert {"asked what is heard (n = 10)", "asked what is seen (n = 10)"} <= set(words(figure))
    assert "at -200 ms 0.30 of the sound, heard 0.70" in figure.alt

"""Cuttings by hand: cuts move to places, what is no cutting is told why, and the price is the package's."""

from itertools import pairwise

import pytest

from omni_lab.config import TripletConfig
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.cutting.by_hand import REACH, best_way, judged, priced, snapped
from omni_lab.triplets.cutting.cut import COSTS, Clip, cut, kinds_of_places

S = 16_000
DURATION = 40 * S
CUES = [Cue(2 * S, 8 * S, "Look."), Cue(9 * S, 19 * S, "A long one"), Cue(20 * S, 27 * S, "Yes!")]
SILENCES, SCENES = [round(8.5 * S), 30 * S], [28 * S, 12 * S]
PLACES = kinds_of_places(DURATION, CUES, SILENCES, SCENES)


def test_a_time_to_a_tenth_of_a_second_moves_to_the_best_place_nearby():
    assert snapped(round(8.1 * S), PLACES) == 8 * S and PLACES[8 * S] == "sentence"
    assert snapped(round(28.2 * S), PLACES) == 28 * S and PLACES[28 * S] == "scene"
    assert snapped(15 * S, PLACES) == 15 * S and PLACES[15 * S] == "hard", "no free place is near"
    assert snapped(5, {S: "grid", 2 * S: "hard"}) == S, "out of reach: the nearest free one"
    assert snapped(5, {2 * S: "hard"}) == snapped(5, {}) == 5
    assert snapped(5, {5 - REACH: "grid", 5 + REACH + 1: "scene"}) == 5 - REACH


def test_a_legal_cutting_has_clips_a_price_and_says_where_its_cuts_went():
    found = judged([8.1, 19.8, 28.2], DURATION, PLACES)
    assert not found.faults
    assert [clip.reason for clip in found.clips] == ["sentence", "cue", "scene", "end"]
    assert found.moves[0] == "8.1 → 8.00 s (sentence)"
    assert (found.torn, found.cost) == priced(found.clips)
    assert str(found) == f"0 torn, cost {found.cost:.2f}"


def test_a_cut_through_speech_counts_as_torn():
    assert judged([15, 28], DURATION, PLACES).torn == 1
    # in what places know nothing of, a time stays where it is
    assert judged([10], 20 * S, {}).torn == 1


@pytest.mark.parametrize(
    ("cuts_s", "said"),
    [
        ([8, 10, 20, 28], "clip 2, 8.00–10.00 s, is 2.0 s long: a clip needs at least 5 s"),
        ([8, 28], "clip 2, 8.00–28.00 s, is 20.0 s long: a clip may have at most 15 s"),
        ([], "clip 1, 0.00–40.00 s, is 40.0 s long: a clip may have at most 15 s"),
        ([20, 8, 28], "the cut at 8 s follows the one at 20 s: write them in order of time"),
        ([8, 8], "the cut at 8 s follows the one at 8 s"),
        ([8, 20, 45], "the cut at 45 s lies outside the film, which is 40 s long"),
        ([0, 10], "the cut at 0 s lies outside"),
        (20, "write a list of seconds, such as [9.5, 21], not 20"),
        (["8"], "write a list of seconds"),
        ([float("nan")], "write a list of seconds"),
    ],
)
def test_what_is_no_cutting_is_told_why(cuts_s, said):
    found = judged(cuts_s, DURATION, PLACES)
    assert found.clips == () and said in str(found)
    assert str(found).startswith("not a cutting: ") and "inf" not in str(found)


def test_the_steps_of_the_programme_in_plain_python_lead_to_the_cuts_of_the_package():
    config = TripletConfig()
    lengths = tuple(round(s * S) for s in (config.min_s, config.max_s, config.target_s))
    best, before = {0: (0, 0.0)}, {}
    for place in [*PLACES, DURATION]:
        if way := best_way(place, best, *lengths):
            kind = PLACES.get(place)
            before[place] = way[2]
            best[place] = way[0] + (kind == "hard"), way[1] + COSTS.get(kind, 0.0)
    edges = [DURATION]
    while edges[-1]:
        edges.append(before[edges[-1]])
    official = cut(DURATION, CUES, SILENCES, SCENES, config)
    assert [(clip.start, clip.end) for clip in official] == list(pairwise(edges[::-1]))
    assert best[DURATION] == pytest.approx(priced(official))
    assert best_way(3 * S, {0: (0, 0.0)}, *lengths) is None


def test_the_kinds_of_places_are_those_that_cuts_are_made_at():
    official = cut(DURATION, CUES, SILENCES, SCENES)
    assert all(PLACES[clip.end] == clip.reason for clip in official[:-1])
    assert list(PLACES) == sorted(PLACES) and PLACES[12 * S] == "hard"
    assert priced([Clip(0, 8 * S, "hard"), Clip(8 * S, 18 * S, "end")]) == (1, pytest.approx(1.04))

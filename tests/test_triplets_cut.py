"""Properties of cutting, over random speech and scenes: lengths, whole words, whole text, no needless harm."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import TripletConfig
from omni_lab.errors import CallFault
from omni_lab.media.subtitles import Cue, Word
from omni_lab.triplets.clips import share, split
from omni_lab.triplets.cut import COSTS, Clip, cut, silence_middles

S = 16_000
QUARTER = S // 4


@st.composite
def films(draw):
    """A length up to 90 s, spans of cues (some overlap, some are long), silences, scenes, on quarters of a second."""
    duration = draw(st.integers(1, 360)) * QUARTER
    spans, at = [], 0
    for _ in range(draw(st.integers(0, 14))):
        start = max(0, at + draw(st.integers(-2, 16)) * QUARTER)
        at = start + draw(st.integers(0, 30 if draw(st.booleans()) else 90)) * QUARTER
        spans.append((start, at, draw(st.integers(1, 6))))
    points = st.lists(st.integers(0, duration), max_size=6)
    return duration, sorted(spans), draw(points), draw(points)


def cues_of(spans, with_words: bool = False) -> tuple[Cue, ...]:
    """Cues of numbered words, which last equally long where their times are told."""
    cues = []
    for number, (start, end, count) in enumerate(spans):
        texts = [f"w{number}.{i}" for i in range(count)]
        edges = [start + (end - start) * i // count for i in range(count + 1)]
        words = tuple(Word(*span, text) for span, text in zip(pairwise(edges), texts, strict=True))
        cues.append(Cue(start, end, " ".join(texts), words=words if with_words else ()))
    return tuple(cues)


def can_do_without(duration: int, cues, shortest: int, longest: int) -> bool:
    """Whether cuts outside all cues could do it: plain reachability, written apart from the code under test."""
    free = [t for t in range(0, duration + 1, QUARTER) if not any(c.start < t < c.end for c in cues)]
    reached = {0}
    for time in free:
        if any(shortest <= time - other <= longest for other in reached):
            reached.add(time)
    return duration in reached


@settings(deadline=None, max_examples=120)
@given(films())
def test_clips_cover_the_film_in_lengths_that_are_allowed(film):
    duration, spans, silences, scenes = film
    cues = cues_of(spans)
    clips = cut(duration, cues, silences, scenes)
    assert clips == cut(duration, cues, silences, scenes)
    assert clips[0].start == 0
    assert clips[-1].end == duration
    assert all(a.end == b.start for a, b in pairwise(clips))
    if duration <= 15 * S:
        assert len(clips) == 1
    else:
        assert all(5 * S <= clip.end - clip.start <= 15 * S for clip in clips)


@settings(deadline=None, max_examples=120)
@given(films())
def test_no_cue_is_cut_unless_there_is_no_other_way(film):
    duration, spans, silences, scenes = film
    cues = cues_of(spans)
    clips = cut(duration, cues, silences, scenes)
    through = [clip for clip in clips[:-1] if any(c.start < clip.end < c.end for c in cues)]
    assert {clip.reason for clip in through} <= {"hard"}
    assert all(clip.reason != "hard" for clip in clips if clip not in through)
    if through and duration > 15 * S:
        assert not can_do_without(duration, cues, 5 * S, 15 * S)


@settings(deadline=None, max_examples=120)
@given(films(), st.booleans())
def test_text_is_conserved_in_order_and_inside_its_clip(film, with_words):
    duration, spans, silences, scenes = film
    cues = cues_of(spans, with_words)
    clips = cut(duration, cues, silences, scenes)
    shared = share(cues, clips)
    words = sorted(word for own in shared for cue in own for word in cue.text.split())
    assert words == sorted(word for cue in cues for word in cue.text.split())
    for clip, own in zip(clips, shared, strict=True):
        assert [cue.start for cue in own] == sorted(cue.start for cue in own)
        assert all(0 <= cue.start <= cue.end <= clip.end - clip.start for cue in own)
    for number in range(len(cues)):  # each cue's own words stay in order, whichever clips they are in
        order = [w for own in shared for cue in own for w in cue.text.split() if w.startswith(f"w{number}.")]
        assert order == sorted(order)


def test_long_speech_is_cut_between_words():
    """Forty seconds without a pause: the cuts fall between words, and no word is lost."""
    words = tuple(Word(i * S, i * S + S, f"w{i}") for i in range(40))
    cue = Cue(0, 40 * S, " ".join(w.text for w in words), words=words)
    clips = cut(40 * S, [cue])
    assert [clip.reason for clip in clips] == ["word", "word", "word", "end"][-len(clips) :]
    assert all(clip.end % S == 0 for clip in clips)
    shared = share((cue,), clips)
    assert [c.text for own in shared for c in own] == [
        " ".join(f"w{i}" for i in range(clip.start // S, clip.end // S)) for clip in clips
    ]


def test_a_word_is_not_cut_where_another_way_exists():
    """Word times that leave a gap only at 7 s: the cut is there, though 10 s would be the wanted length."""
    words = (Word(0, 7 * S, "one"), Word(7 * S, 20 * S, "two"))
    (first, _) = cut(20 * S, [Cue(0, 20 * S, "one two", words=words)])
    assert (first.end, first.reason) == (7 * S, "word")


def test_scene_cuts_and_sentence_ends_draw_the_cut():
    assert [c.end / S for c in cut(20 * S, scenes=[9 * S + 123])] == [9 + 123 / S, 20]
    cues = [Cue(0, 8 * S, "and then"), Cue(9 * S, 11 * S, "it ends."), Cue(12 * S, 19 * S, "So.")]
    assert [(c.end / S, c.reason) for c in cut(20 * S, cues)] == [(11, "sentence"), (20, "end")]
    assert cut(20 * S, [Cue(8 * S, 10 * S, "speech")], scenes=[9 * S])[0].reason != "scene"


def test_silence_is_found_and_preferred():
    audio = (np.random.default_rng(0).normal(0, 0.2, 20 * S).clip(-1, 1) * 32767).astype(np.int16)
    audio[int(8.5 * S) : int(9.5 * S)] = 0
    audio[2 * S : 2 * S + 1600] = 0  # a tenth of a second is no pause
    assert silence_middles(audio, start=S) == [10 * S]
    assert cut(20 * S, silences=silence_middles(audio))[0] == Clip(0, 9 * S, "silence")


def test_text_outside_the_film_is_held():
    clips = cut(20 * S, scenes=[10 * S])
    late, early = Cue(25 * S, 26 * S, "late"), Cue(-2 * S, -S, "early")
    shared = share((early, Cue(18 * S, 30 * S, "over"), late), clips)
    assert [[(c.start // S, c.end // S, c.text) for c in own] for own in shared] == [
        [(0, 0, "early")], [(8, 10, "over"), (10, 10, "late")],
    ]  # fmt: skip


def test_splitting_a_cue_without_word_times_goes_by_proportion():
    left, right = split(Cue(0, 4 * S, "a b c d"), S)
    assert (left.text, left.end, right.text, right.start) == ("a", S, "b c d", S)
    assert split(Cue(0, 10 * S, "one"), S) == (None, Cue(S, 10 * S, "one"))


def test_impossible_lengths_are_refused():
    with pytest.raises(CallFault, match="max_s"):
        cut(60 * S, config=TripletConfig(min_s=8.0, max_s=15.0))


def test_a_cut_in_speech_is_the_last_resort():
    assert list(COSTS)[-2:] == ["word", "hard"]
    assert COSTS["word"] > 50 * max(cost for reason, cost in COSTS.items() if reason not in ("word", "hard"))

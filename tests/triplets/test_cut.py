"""Clip segmentation by properties: lengths, whole words, whole text, least harm, bounded work."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.triplets.cutting.clips import assign, split
from omni_lab.triplets.cutting.cut import COSTS, FINE, GRID, Clip, cut, silence_middles

S = 16_000
QUARTER = S // 4


@st.composite
def films(draw, longest_s: int = 90):
    """Random film, ticks: duration, spans of cues (also overlapping, empty), silences, scenes."""
    duration = draw(st.integers(0, longest_s * S))
    spans, at = [], 0
    for _ in range(draw(st.integers(0, 14))):
        start = max(0, at + draw(st.integers(-2 * QUARTER, 4 * S) | st.sampled_from([0, QUARTER])))
        at = start + draw(st.integers(0, (8 if draw(st.booleans()) else 24) * S) | st.just(0))
        spans.append((start, at, draw(st.integers(1, 6))))
    points = st.lists(st.integers(0, max(0, duration)), max_size=6)
    return duration, sorted(spans), draw(points), draw(points)


def cues_of(spans, with_words: bool = False) -> tuple[Cue, ...]:
    """Cues of numbered words of equal length; with word times, a tenth of each is a pause."""
    cues = []
    for number, (start, end, count) in enumerate(spans):
        texts = [f"w{number}.{i}" for i in range(count)]
        edges = [start + (end - start) * i // count for i in range(count + 1)]
        words = tuple(
            Word(a, b - (b - a) // 10, text)
            for (a, b), text in zip(pairwise(edges), texts, strict=True)
        )
        cues.append(Cue(start, end, " ".join(texts), words=words if with_words else ()))
    return tuple(cues)


def tolls_of(duration: int, cues, silences=(), scenes=()) -> dict[int, tuple[int, int, float]]:
    """Harm and cost of a cut at every candidate time, written independently of the tested code.

    Words and cues that could be whole and are cut through, and the cost of the cut.
    """
    cues = [as_spoken(cue, cues) for cue in cues]
    words = words_of(cues)
    kinds = {
        "grid": range(0, duration, GRID),
        "word": [(a.end + b.start) // 2 for cue in cues for a, b in pairwise(cue.words)],
        "cue": [time for cue in cues for time in (cue.start, cue.end)],
        "silence": silences,
        "scene": scenes,
    }

    tolls = {}
    for kind, times in kinds.items():
        quiet = kind == "silence"
        for time in times:
            harms = whole_at(time, words), whole_at(time, cues)
            if inside(time, words):
                toll = (*harms, COSTS["word" if quiet else "hard"])
            elif inside(time, cues):
                toll = (*harms, COSTS["silence" if quiet else "word"])
            else:
                toll = (*harms, COSTS[kind])
            tolls[time] = min(toll, tolls.get(time, toll))

    return {time: toll for time, toll in tolls.items() if 0 < time < duration}


def as_spoken(cue: Cue, cues) -> Cue:
    """Cue that ends when its words are spoken, if it is too long for them: a sign, no speech.

    A third of a second for each word, and one second; the words of these tests are short.
    """
    spoken = S * (3 + len(cue.text.split())) // 3
    over = any(cue.start < other.start and other.end <= cue.end for other in cues)
    stands = not cue.words and cue.end - cue.start > (3 if over else 20) * spoken
    return replace(cue, end=cue.start + spoken) if stands else cue


def whole_at(time: int, spans) -> int:
    """Number of spans around a time that would fit into a clip."""
    return sum(span.start < time < span.end and span.end - span.start <= 15 * S for span in spans)


def inside(time: int, spans) -> bool:
    return any(span.start < time < span.end for span in spans)


def words_of(cues) -> list:
    """Units that must stay whole: words, or whole cues where their words have no times."""
    return [word for cue in cues for word in cue.words or (cue,)]


def reachable(duration: int, places, shortest: int = 5 * S, longest: int = 15 * S) -> bool:
    """Existence of a segmentation that cuts at some of these places only."""
    reached = {0}
    for time in sorted({*places, duration}):
        if any(shortest <= time - other <= longest for other in reached):
            reached.add(time)
    return duration in reached


def misfit(start: int, end: int) -> float:
    return ((end - start) / (10 * S) - 1) ** 2


@settings(deadline=None, max_examples=100)
@given(films(), st.booleans())
def test_clips_cover_the_film_in_lengths_that_are_allowed(film, with_words):
    duration, spans, silences, scenes = film
    cues = cues_of(spans, with_words)
    clips = cut(duration, cues, silences, scenes)
    assert clips == cut(duration, cues, silences, scenes)
    assert clips == cut(duration, reversed(cues), reversed(silences), reversed(scenes))
    assert clips[0].start == 0
    assert clips[-1].end == duration
    assert all(a.end == b.start for a, b in pairwise(clips))
    if duration <= 15 * S:
        assert len(clips) == 1
    else:
        assert all(5 * S <= clip.end - clip.start <= 15 * S for clip in clips)


@settings(deadline=None, max_examples=100)
@given(films(), st.booleans())
def test_no_word_and_no_cue_is_cut_unless_there_is_no_other_way(film, with_words):
    """A cut names its own harm, and does harm only where no chain of less harmful places exists.

    The one exception is a cue of more than 15 s: it has to be cut somewhere.
    """
    duration, spans, silences, scenes = film
    cues = cues_of(spans, with_words)
    clips = cut(duration, cues, silences, scenes)
    tolls = tolls_of(duration, cues, silences, scenes)
    harms = [tolls[clip.end] for clip in clips[:-1]]

    spoken = [as_spoken(cue, cues) for cue in cues]
    for clip in clips[:-1]:
        if inside(clip.end, words_of(spoken)):
            assert clip.reason == "hard"
        elif inside(clip.end, spoken):
            assert clip.reason == "word"
        else:
            assert clip.reason in COSTS

    if any(words for words, _, _ in harms):
        assert not reachable(duration, [time for time, (words, _, _) in tolls.items() if not words])
    if any(words or gaps for words, gaps, _ in harms):
        assert not reachable(
            duration, [time for time, (words, gaps, _) in tolls.items() if not words + gaps]
        )


@settings(deadline=None, max_examples=100)
@given(films())
def test_a_scene_is_preferred_where_speech_allows(film):
    """No cut becomes cheaper by a move to a scene in reach, outside of speech.

    A scene in no cue beats any other place as far from the target length: it costs nothing. And a
    cut in speech that could be whole never stands where the scene would have been possible.
    """
    duration, spans, silences, scenes = film
    cues = cues_of(spans)
    tolls = tolls_of(duration, cues, silences, scenes)
    for left, right in pairwise(cut(duration, cues, silences, scenes)):
        for scene in scenes:
            fits = all(
                5 * S <= length <= 15 * S for length in (scene - left.start, right.end - scene)
            )
            if fits and not inside(scene, [as_spoken(cue, cues) for cue in cues]):
                words, gaps, toll = tolls[left.end]
                assert words == gaps == 0
                here = misfit(left.start, left.end) + misfit(right.start, right.end) + toll
                assert here <= misfit(left.start, scene) + misfit(scene, right.end) + 1e-9


@settings(deadline=None, max_examples=60)
@given(films(longest_s=45), st.booleans())
def test_no_other_chain_of_cuts_is_better(film, with_words):
    """Brute force over all chains: fewest words cut through, then cues, then lowest cost."""
    duration, spans, silences, scenes = film
    cues = cues_of(spans, with_words)
    tolls = {**tolls_of(duration, cues, silences, scenes), duration: (0, 0, 0.0)}

    best = {0: (0, 0, 0.0)}
    for time in sorted(tolls):
        chains = [
            (
                words + tolls[time][0],
                gaps + tolls[time][1],
                cost + misfit(start, time) + tolls[time][2],
            )
            for start, (words, gaps, cost) in best.items()
            if 5 * S <= time - start <= 15 * S
        ]
        if chains:
            best[time] = min(chains)

    clips = cut(duration, cues, silences, scenes)
    if len(clips) > 1:
        fits = sum(misfit(clip.start, clip.end) for clip in clips)
        words, gaps, cost = (
            sum(column) for column in zip(*(tolls[clip.end] for clip in clips), strict=True)
        )
        assert (words, gaps, cost + fits) == pytest.approx(best[duration])


@settings(deadline=None, max_examples=100)
@given(films(), st.booleans())
def test_text_is_conserved_in_order_and_inside_its_clip(film, with_words):
    duration, spans, silences, scenes = film
    cues = cues_of(spans, with_words)
    clips = cut(duration, cues, silences, scenes)
    assigned = assign(cues, clips)
    words = sorted(word for own in assigned for cue in own for word in cue.text.split())
    assert words == sorted(word for cue in cues for word in cue.text.split())

    for clip, own in zip(clips, assigned, strict=True):
        assert [cue.start for cue in own] == sorted(cue.start for cue in own)
        assert all(0 <= cue.start <= cue.end <= clip.end - clip.start for cue in own)
        assert all([w.text for w in cue.words] == cue.text.split() for cue in own if cue.words)

    # each cue's own words stay in order, whichever clips they are in
    in_order = [word for own in assigned for cue in own for word in cue.text.split()]
    for number in range(len(cues)):
        order = [word for word in in_order if word.startswith(f"w{number}.")]
        assert order == sorted(order)


def test_long_speech_is_cut_between_words():
    """Forty seconds without a pause: the cuts fall between words, and no word is lost."""
    words = tuple(Word(i * S, i * S + S, f"w{i}") for i in range(40))
    cue = Cue(0, 40 * S, " ".join(w.text for w in words), words=words)
    clips = cut(40 * S, [cue])
    assert [clip.reason for clip in clips] == ["word", "word", "word", "end"][-len(clips) :]
    assert all(clip.end % S == 0 for clip in clips)
    assigned = assign((cue,), clips)
    assert [c.text for own in assigned for c in own] == [
        " ".join(f"w{i}" for i in range(clip.start // S, clip.end // S)) for clip in clips
    ]


def test_five_minutes_of_speech_without_word_times_are_cut_all_the_same():
    """One cue without word times: cuts are marked as hard, and fall on pauses if there are any."""
    text = " ".join(f"w{i}" for i in range(600))
    cue = Cue(0, 300 * S, text)
    pauses = [t * S + 7 for t in range(9, 300, 10)]
    for silences in ([], pauses):
        clips = cut(300 * S, [cue], silences)
        assert {clip.reason for clip in clips[:-1]} == {"hard"}
        assert all(clip.end in silences for clip in clips[:-1] if silences)
        assigned = assign((cue,), clips)
        assert " ".join(part.text for own in assigned for part in own) == text
        for clip, (part,) in zip(clips, assigned, strict=True):
            assert len(part.text.split()) == pytest.approx(2 * (clip.end - clip.start) / S, abs=1)


def lines_of(count: int, length: int = 6 * S, pause: int = S) -> list[Cue]:
    """Dialogue of lines that all end in the middle of a thought, with a pause after each."""
    starts = [S + i * (length + pause) for i in range(count)]
    return [Cue(start, start + length, f"line {i} goes on and") for i, start in enumerate(starts)]


@pytest.mark.parametrize(
    "others",
    [
        [Cue(0, 120 * S, "Channel 4 News")],
        [Cue(8 * S, 113 * S, "whose end is mistyped and"), Cue(0, 120 * S, "©")],
        [Cue(i * 13 * S, i * 13 * S + 14 * S, f"sign {i}") for i in range(9)],
        [Cue(0, 100 * S, " ".join(["so it is told"] * 80))],  # speech, four words in 1.25 s
        [
            Cue(0, 120 * S, "a b", words=(Word(0, 60 * S, "a"), Word(60 * S, 120 * S, "b"))),
            Cue(0, 120 * S, "c"),
        ],
    ],
    ids=["a sign", "a mistyped end", "signs in a row", "a speech", "words that never end"],
)
def test_a_long_text_over_the_dialogue_does_not_let_its_lines_be_cut(others):
    """Whatever stands over them, lines that fit into clips are whole."""
    lines = lines_of(17)
    clips = cut(120 * S, [*others, *lines])
    assert not [clip for clip in clips[:-1] if inside(clip.end, lines)]
    assigned = assign(sorted([*others, *lines], key=lambda cue: cue.start), clips)
    whole = [cue.text for own in assigned for cue in own if cue.text.startswith("line")]
    assert whole == [line.text for line in lines]


def test_a_sign_stays_whole_in_the_clip_where_it_begins():
    """A sign over the dialogue, a mistyped end and a watermark: no cut parts their words."""
    signs = [Cue(0, 60 * S, "All rights reserved"), Cue(22 * S, 110 * S, "with a mistyped end")]
    clips = cut(120 * S, [*signs, *lines_of(17)])
    assigned = assign([signs[0], *lines_of(17)[:3], signs[1], *lines_of(17)[3:]], clips)
    for sign in signs:
        (own,) = [own for own in assigned if any(cue.text == sign.text for cue in own)]
        at = clips[assigned.index(own)]
        assert at.start <= sign.start < at.end
        (found,) = [cue for cue in own if cue.text == sign.text]
        assert found.end - found.start <= 4 * S

    (mark, *rest) = assign([Cue(0, 120 * S, "Channel 4")], cut(120 * S, [Cue(0, 120 * S, "ab c")]))
    assert ([cue.text for cue in mark], any(rest)) == (["Channel 4"], False)


def test_a_long_speech_is_still_shared_out_among_clips():
    """Words enough for its time are speech, also under short lines of somebody else."""
    speech = Cue(0, 60 * S, " ".join(f"w{i}" for i in range(120)))
    lines = [Cue(at * S, at * S + S, "Hm?") for at in (5, 17, 33, 48)]
    clips = cut(60 * S, [speech, *lines])
    told = [
        sum(len(cue.text.split()) for cue in own if cue.text.startswith("w"))
        for own in assign([speech, *lines], clips)
    ]
    assert told == [pytest.approx(2 * (clip.end - clip.start) / S, abs=1) for clip in clips]


def test_where_lines_always_overlap_the_fewest_are_cut():
    """Two speakers without a pause: a cut where one of them begins goes through one line only."""
    lines = [Cue(i * 4 * S, (i * 4 + 6) * S, f"line {i} goes on and") for i in range(20)]
    for clip in cut(80 * S, lines)[:-1]:
        assert sum(line.start < clip.end < line.end for line in lines) == 1


def test_a_thousand_signs_at_once_are_no_worse_than_a_hundred():
    """Harm is counted up to a limit, so that its sum stays exact."""
    signs = [Cue(0, 14 * S, "sign sign sign sign sign sign sign sign sign")] * 1000
    (first, *_) = cut(20 * S, [*signs, Cue(14 * S + S // 2, 19 * S, "line")])
    assert (first.end, first.reason) == (14 * S, "cue")


def test_between_words_the_end_of_a_sentence_is_preferred():
    words = tuple(Word(i * S, i * S + S, f"w{i}." if i == 7 else f"w{i}") for i in range(20))
    (first, _) = cut(20 * S, [Cue(0, 20 * S, " ".join(w.text for w in words), words=words)])
    assert (first.end, first.reason) == (8 * S, "word")


def test_a_word_is_not_cut_where_another_way_exists():
    """Word times with a gap only at 7 s: the cut is there, though the target length is 10 s."""
    words = (Word(0, 7 * S, "one"), Word(7 * S, 20 * S, "two"))
    (first, _) = cut(20 * S, [Cue(0, 20 * S, "one two", words=words)])
    assert (first.end, first.reason) == (7 * S, "word")


def test_two_cuts_between_words_are_better_than_one_through_a_word():
    """The one cut outside of speech, at 15 s, would force a cut through a word before 32 s."""
    spoken = ((1, 7), (8, 15)), ((15, 17), (18, 29))
    words = [tuple(Word(a * S, b * S, "a") for a, b in spans) for spans in spoken]
    cues = [Cue(pair[0].start, pair[-1].end, "a b", words=pair) for pair in words]
    assert [clip.reason for clip in cut(32 * S, cues)] == ["word", "word", "end"]


def test_scene_cuts_and_sentence_ends_draw_the_cut():
    assert [c.end / S for c in cut(20 * S, scenes=[9 * S + 123])] == [9 + 123 / S, 20]
    assert [c.end / S for c in cut(20 * S, scenes=[6 * S + S // 2])] == [6.5, 20]
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
    assigned = assign((early, Cue(18 * S, 30 * S, "over"), late), clips)
    assert [[(c.start // S, c.end // S, c.text) for c in own] for own in assigned] == [
        [(0, 0, "early")], [(8, 10, "over"), (10, 10, "late")],
    ]  # fmt: skip


def test_cues_without_length_and_films_without_length_are_held():
    moments = tuple(Cue(10 * S, 10 * S, text) for text in "abc")
    clips = cut(20 * S, moments)
    assert (clips[0].end, clips[0].reason) == (10 * S, "cue")
    assert [[(c.start, c.text) for c in own] for own in assign(moments, clips)] == [
        [],
        [(0, "a"), (0, "b"), (0, "c")],
    ]
    assert cut(0, moments) == (Clip(0, 0, "end"),)
    assert [c.text for c in assign(moments, cut(0, moments))[0]] == ["a", "b", "c"]


def test_splitting_a_cue_without_word_times_goes_by_proportion():
    (_, left), (_, right) = split(Cue(0, 4 * S, "a b c d"), [S])
    assert (left.text, left.end, right.text, right.start) == ("a", S, "b c d", S)
    assert list(split(Cue(0, 10 * S, "one"), [S])) == [(1, Cue(S, 10 * S, "one"))]
    assert list(split(Cue(S, 2 * S, "two\nlines"), [S, 2 * S])) == [
        (1, Cue(S, 2 * S, "two\nlines"))
    ]


def test_splitting_a_cue_keeps_words_in_order_whatever_their_times_say():
    """Times that run backwards, and times of fewer words than the text has."""
    words = (Word(8, 9, "a"), Word(2, 3, "b"), Word(9, 10, "c"))
    assert [(n, c.text, len(c.words)) for n, c in split(Cue(0, 10, "a b c", words=words), [5])] == [
        (1, "a b c", 3)
    ]
    parts = list(split(Cue(0, 10, "a – b c", words=words[1:]), [5]))
    assert [(c.text, [w.text for w in c.words]) for _, c in parts] == [
        ("a –", ["b"]),
        ("b c", ["c"]),
    ]


def test_impossible_lengths_are_refused():
    with pytest.raises(UsageError, match="max_s"):
        cut(60 * S, config=TripletConfig(min_s=8.0, max_s=15.0))


def test_very_short_clips_are_cut_too():
    """Clips shorter than the grid's usual step: the grid is as fine as they need."""
    clips = cut(2 * S, config=TripletConfig(min_s=0.1, max_s=0.2, target_s=0.15))
    assert all(0.1 * S <= clip.end - clip.start <= 0.2 * S for clip in clips)


class Counted(list):
    """A list that counts accesses to its items."""

    handed = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        self.handed += len(found) if isinstance(key, slice) else 1
        return found

    def __iter__(self):
        self.handed += len(self)
        return super().__iter__()


def work(monkeypatch, duration, cues) -> tuple[int, int]:
    """Pairs of places that `cut` compares, and clips that `share` looks at."""
    compared = []
    argmin = np.argmin
    with monkeypatch.context() as patch:
        patch.setattr(np, "argmin", lambda values: compared.append(values.size) or argmin(values))
        clips = Counted(cut(duration, cues))
    assign(cues, clips)
    return sum(compared), clips.handed


def test_work_grows_with_the_film_not_with_its_square(monkeypatch):
    """Cues as dense as 100,000 in three hours: four times the film is four times the work."""
    step = 3 * 3600 * S // 100_000

    def film(count):
        return count * step, tuple(
            Cue(i * step, i * step + step // 2, "word") for i in range(count)
        )

    (short, handed), (long, more) = (work(monkeypatch, *film(count)) for count in (1000, 4000))
    assert 3 < long / short < 5
    assert 3 < more / handed < 5
    assert more < 3 * 4000


def test_a_crowd_of_cues_is_no_more_work_than_its_seconds_have_places(monkeypatch):
    """Cues at every sixteenth tick: each 10 ms count as one place, which bounds the comparisons."""
    cues = tuple(Cue(i * 16, i * 16 + 8, "word") for i in range(20_000))
    compared, _ = work(monkeypatch, 20 * S, cues)
    assert compared < (20 * S // FINE) * (10 * S // FINE)


def test_a_crowd_of_places_keeps_its_best():
    """Ten thousand cues in a second, one of them the end of a sentence: the cut is there."""
    crowd = [Cue(10 * S + i, 10 * S + i, "so." if i == 5000 else "so") for i in range(10_000)]
    assert cut(20 * S, crowd)[0] == Clip(0, 10 * S + 5000, "sentence")

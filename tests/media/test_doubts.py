"""Plausibility of cue times: impossible ones are doubted, those of any real film are not."""

from pathlib import Path

import pytest
from media_files import write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.subtitles.doubts import doubts, spoken_time, standing
from omni_lab.media.subtitles.reader import Cue, Word, read_subtitles

S = 16_000
SAMPLES = Path(__file__).resolve().parents[2] / "data_samples"


def even(count: int, length_s: float, text: str, start_s: float = 0) -> tuple[Cue, ...]:
    """Cues one after the other, without a pause, each of the same length."""
    edges = [round((start_s + i * length_s) * S) for i in range(count + 1)]
    return tuple(map(Cue, edges, edges[1:], [text] * count))


def test_thirty_sentences_in_three_seconds_are_doubted(tmp_path):
    """In a film of 20 s, which keeps them all the same."""
    path = write_film(tmp_path / "a.mp4", seconds=20, fps=2, sound=None)
    (tmp_path / "a.srt").write_text(
        "".join(
            f"00:00:{i / 10:06.3f} --> 00:00:{(i + 1) / 10:06.3f}\nThis is sentence {i}.\n\n"
            for i in range(30)
        )
    )
    film = decode(path, TripletConfig())
    assert len(film.cues) == 30
    (error,) = film.source.errors
    assert error == (
        f"{tmp_path / 'a.srt'}: 30 of 30 cues, the first at 0:00.000, would have to be spoken 3 times "
        "as fast as people speak: their times are meaningless"
    )


@pytest.mark.parametrize(
    ("cues", "count"),
    [
        (even(30, 0.1, "Yes."), 30),  # short ones
        (even(300, 0.04, "Red and blue."), 300),  # frames taken for hundredths
        (even(5, 2, "We walk.") + even(40, 0.1, "This is too fast.", 30), 40),  # in mid-film
        (even(1, 2, "word " * 80), 1),  # all in one
        (even(20, 0.2, "今日は天気がいいですね"), 20),
        (even(20, 0.2, "วันนี้อากาศดีมากเลยนะครับ"), 20),
        (even(12, 0.0, "Where are we now, at this time?"), None),  # no time at all
    ],
)
def test_text_that_nobody_speaks_so_fast_is_doubted(cues, count):
    (doubt,) = doubts(cues, 60 * S)
    expected = "all 12" if count is None else f"{count} of {len(cues)} cues, the first at "
    assert doubt.startswith(expected)


@pytest.mark.parametrize(
    "cues",
    [
        (),
        even(1, 0.04, "Oh!"),
        even(60, 0.25, "word"),  # a word a cue, four in a second
        even(60, 1.6, "He spoke as fast as any man can speak here"),  # twice the usual
        even(40, 2, "How are you today, my old friend?\n你今天好吗，我的老朋友？"),  # two languages
        even(40, 3, "こんにちは、今日は天気がいいですね"),
        tuple(Cue(i * 4 * S, i * 4 * S + 1600, "Shown for too short a time.") for i in range(20)),
        tuple(Cue(i * S, i * S + 2 * S, "- Both at once!\n- I see.") for i in range(20)),
    ],
)
def test_text_that_can_be_spoken_is_not_doubted(cues):
    assert doubts(cues, 120 * S) == []


def test_the_films_that_ship_are_not_doubted():
    for path in sorted(SAMPLES.rglob("*.vtt")):
        assert doubts(read_subtitles(path), 10**9) == []


def test_texts_that_stand_are_doubted_and_named():
    """Signs over others, mistyped ends, a watermark; long speech, a long verse and words with times are
    none."""
    lines = even(20, 3, "line that is spoken", 2)
    sign, speech = Cue(0, 60 * S, "Channel 4 News"), Cue(0, 60 * S, "a word and two " * 40)
    assert standing([sign, *lines]) == [True, *[False] * 20]
    assert standing([*lines, speech]) == [False] * 21
    assert standing([Cue(0, 60 * S, "Channel 4")]) == [True]
    assert standing([Cue(0, 20 * S, "Amazing grace, how sweet the sound")]) == [False]
    assert standing([Cue(0, 60 * S, "a b", words=(Word(0, S, "a"), Word(S, 60 * S, "b")))]) == [
        False
    ]
    assert standing([Cue(0, 4 * S, "Well"), Cue(4 * S - 160, 8 * S, "I say")]) == [False] * 2
    assert standing([]) == []

    (doubt,) = doubts((sign, *lines), 90 * S)
    assert doubt == (
        "1 of 21 cues, the first at 0:00.000, last far longer than their words, as signs and mistyped "
        "ends do: each counts where it begins"
    )
    assert doubts((Cue(0, 12 * S, "Sign"), *even(3, 3, "line", 2)), 90 * S) == []


def test_the_time_of_a_text_is_that_of_its_words():
    assert spoken_time("") == S
    assert spoken_time("one two three") == 2 * S
    assert spoken_time("internationalization") == S + 20 * S // 18
    assert spoken_time("今日は天気") == S + 15 * S // 18

"""Roll-up captions: each word once, at its time; other captions stay as they are."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.media.subtitles.reader import Cue, Packet, Word, from_packets, parse
from omni_lab.triplets.dialogues.roles import read_roles

AUTOMATIC = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:01.310 align:start position:0%
 \n\
hello<00:00:00.480><c> and</c><00:00:00.640><c> welcome</c>

00:00:01.310 --> 00:00:01.320 align:start position:0%
hello and welcome
 \n\

00:00:01.320 --> 00:00:03.000 align:start position:0%
hello and welcome
to<00:00:01.560><c> the</c><00:00:01.800><c> show</c>

00:00:03.000 --> 00:00:03.010 align:start position:0%
to the show
 \n\

00:00:03.010 --> 00:00:04.500 align:start position:0%
to the show
[Music]
"""
EXPECTED = [(0.16, 1.32, "hello and welcome"), (1.32, 3.01, "to the show"), (3.01, 4.5, "[Music]")]


def shown_text(cues) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and text."""
    return [(cue.start / 16_000, cue.end / 16_000, cue.text) for cue in cues]


def timed(cue: Cue) -> list[tuple[float, float, str]]:
    """The same of a cue's words."""
    return [(word.start / 16_000, word.end / 16_000, word.text) for word in cue.words]


def srt(*entries: tuple[float, float, str]) -> str:
    return "".join(
        f"{i}\n00:00:{a:06.3f} --> 00:00:{b:06.3f}\n{text}\n\n"
        for i, (a, b, text) in enumerate(entries, 1)
    )


def test_automatic_captions_say_each_word_once_at_its_time():
    """As video sites write them: every line three times, with word timestamps the first time."""
    cues = parse(AUTOMATIC, "vtt")
    assert shown_text(cues) == EXPECTED
    assert timed(cues[0]) == [(0.16, 0.48, "hello"), (0.48, 0.64, "and"), (0.64, 1.31, "welcome")]
    assert timed(cues[1]) == [(1.32, 1.56, "to"), (1.56, 1.8, "the"), (1.8, 3.0, "show")]
    assert cues[2].words == ()


def test_automatic_captions_that_were_converted():
    """To SRT, which has no times of words."""
    plain = re.sub(r"<[^>]*>| align.*", "", AUTOMATIC.partition("en\n\n")[2])
    assert shown_text(parse(plain.replace(".", ","), "srt")) == EXPECTED


def test_a_rolling_text_track():
    shown = [(0, 2, "A b."), (2, 4, "A b.\nC."), (4, 6, "C.\nD.")]
    packets = [Packet(text.encode(), "subrip", a * 16_000, b * 16_000) for a, b, text in shown]
    assert shown_text(from_packets(packets)) == [(0, 2, "A b."), (2, 4, "C."), (4, 6, "D.")]


def test_captions_that_grow_by_the_word():
    """As live captions are typed, with a line that rolls up at last."""
    text = srt(
        (0, 1, "so"),
        (1, 2, "so what"),
        (2, 3, "so what is"),
        (3, 4, "so what is\nthat"),
        (4, 5, "that thing"),
    )
    assert [cue.text for cue in parse(text, "srt")] == ["so", "what", "is", "that", "thing"]


@pytest.mark.parametrize(
    "entries",
    [
        [
            (0, 1, "No."),
            (1, 2, "No."),
            (2, 3, "No."),
            (3, 4, "No."),
            (4, 5, "No. Yes."),
        ],  # a quarrel
        [
            (0, 1, "La la"),
            (1, 2, "La la\nHey"),
            (2, 3, "You"),
            (3, 4, "And me"),
            (4, 5, "La la"),
        ],  # a song
        [(0, 1, "A"), (1, 2, "A\nB")],  # too few to tell
        [(0, 1, "A"), (5, 6, "A\nB"), (10, 11, "B\nC")],  # far apart
        [(0, 4, "A"), (0, 4, "A\nB"), (0, 4, "B\nC")],  # at one time
    ],
    ids=["repeated", "refrain", "few", "apart", "together"],
)
def test_what_does_not_roll_is_said_as_often_as_it_stands(entries):
    assert shown_text(parse(srt(*entries), "srt")) == entries


word = st.text(st.characters(categories=["L"]), min_size=1, max_size=4)
lines = st.lists(
    st.lists(word, min_size=1, max_size=4).map(" ".join), min_size=3, max_size=12, unique=True
)


@settings(deadline=None, max_examples=60)
@given(lines, st.integers(2, 4), st.sampled_from([0, 0.04]))
def test_any_screen_that_rolls_gives_each_line_once(lines, height, gap):
    screens = [
        (i, i + 1 - gap, "\n".join(lines[max(0, i + 1 - height) : i + 1]))
        for i in range(len(lines))
    ]
    assert shown_text(parse(srt(*screens), "srt")) == [
        (i, i + 1 - gap, line) for i, line in enumerate(lines)
    ]


def test_words_take_their_times_from_the_text():
    """Of the film or, as in Matroska, from the cue's start; syllables of one word are one word."""
    text = "<00:10.000>Ka<00:10.500>ra<00:11.000>oke <i><00:11.500>&lt;song&gt;</i>"
    (cue,) = parse(f"WEBVTT\n\n00:10.000 --> 00:12.000\n{text}", "vtt")
    assert (cue.text, timed(cue)) == (
        "Karaoke <song>",
        [(10, 11.5, "Karaoke"), (11.5, 12, "<song>")],
    )
    (cue,) = from_packets([Packet(b"So<00:00.500> what?", "webvtt", 16_000, 32_000)])
    assert timed(cue) == [(1, 1.5, "So"), (1.5, 2, "what?")]


@pytest.mark.parametrize(
    "times", [("00:11.500", "00:10.500"), ("00:11.000", "00:15.000"), ("90:00.000", "90:01.000")]
)
def test_times_of_words_that_cannot_be_are_none(times):
    (cue,) = parse("WEBVTT\n\n00:10.000 --> 00:12.000\nA <{}>b <{}>c".format(*times), "vtt")
    assert (cue.text, cue.words) == ("A b c", ())


def test_what_is_no_time_is_text():
    (cue,) = parse("WEBVTT\n\n00:10.000 --> 00:12.000\n<00:11.000>A <1:234.5>b", "vtt")
    assert (cue.text, len(cue.words)) == ("A <1:234.5>b", 2)


def test_words_keep_their_times_when_speakers_are_told_apart():
    words = tuple(
        Word(i, i + 1, text)
        for i, text in enumerate([">>", "so", "what?", "ANNA:", "nothing", "at", "all"])
    )
    first, second = read_roles((Cue(0, 9, ">> so what?\nANNA: nothing\nat all", words=words),))
    assert (first.text, first.start, first.end, first.words) == ("so what?", 1, 3, words[1:3])
    assert (second.role, second.start, second.end, second.words) == ("anna", 4, 7, words[4:])
    (cue,) = read_roles((Cue(0, 2, ">>so what?", words=(Word(0, 1, ">>so"), Word(1, 2, "what?"))),))
    assert cue.words == (Word(0, 1, "so"), Word(1, 2, "what?"))

"""Subtitle formats as found in the wild: SRT, VTT, ASS and rarer ones, with their defects."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.media.errors import SubtitleError
from omni_lab.media.subtitles.reader import parse, read_subtitles


def shown_text(cues) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and text."""
    return [(cue.start / 16_000, cue.end / 16_000, cue.text) for cue in cues]


@pytest.mark.parametrize(
    "text",
    [
        "1\n00:00:01,000 --> 00:00:02,500\nHello.\n\n2\n00:00:03,000 --> 00:00:04,000\nBye.\n",
        "1\r\n00:00:01,000 --> 00:00:02,500\r\nHello.\r\n\r\n"
        "2\r\n00:00:03,000 --> 00:00:04,000\r\nBye.\r\n",
        "\ufeff1\n00:00:01,000 --> 00:00:02,500\nHello.\n\n2\n00:00:03,000 --> 00:00:04,000\nBye.",
        # nothing between
        "00:00:01,000 --> 00:00:02,500\nHello.\n00:00:03,000 --> 00:00:04,000\nBye.\n",
        # one digit, no fraction, no blank line
        "1\n0:0:1,0 --> 0:0:2,5\nHello.\n2\n0:0:3 --> 0:0:4\nBye.\n",
        "1\n00:00:01.000 -> 00:00:02.500 X1:5\nHello.\n\n\n\n"
        "2\n00:00:03.000-->00:00:04.000\nBye.\n",
    ],
)
def test_srt_in_all_its_forms(text):
    assert shown_text(parse(text, "srt")) == [(1.0, 2.5, "Hello."), (3.0, 4.0, "Bye.")]


def test_lines_may_be_broken_by_html():
    assert parse("00:01 --> 00:02\nOne<br>two<BR />three", "srt")[0].text == "One\ntwo\nthree"


def test_numbers_that_are_said_stay():
    """A cue's number goes, a number that somebody says stays."""
    text = "1\n00:01 --> 00:02\n42\n\n2\n00:03 --> 00:04\nLine\n7\n\n3\n00:05 --> 00:06\n8\n"
    assert [cue.text for cue in parse(text, "srt")] == ["42", "Line\n7", "8"]
    assert [cue.text for cue in parse("00:01 --> 00:02\n42\n00:03 --> 00:04\n43\n", "srt")] == [
        "42",
        "43",
    ]


def test_ends_that_cannot_be_are_settled():
    """A cue with an end before its start, or none, ends with the next or after its words."""
    text = (
        "1\n00:00:05,000 --> 00:00:01,000\nTwo words.\n\n2\n00:00:06,000 --> 00:0\nThree more words"
    )
    assert shown_text(parse(text, "srt")) == [
        (5.0, 6.0, "Two words."),
        (6.0, 8.0, "Three more words"),
    ]


def test_a_cue_of_no_length_lasts_as_long_as_it_is_said():
    text = (
        "00:01 --> 00:01\nTwo words.\n\n00:02 --> 00:02\nOne of two.\n\n00:02 --> 00:03\nTogether."
    )
    assert shown_text(parse(text, "srt")) == [
        (1, 2, "Two words."),
        (2, 4, "One of two."),
        (2, 3, "Together."),
    ]


def test_overlaps_and_disorder_keep_all_text():
    text = "00:04 --> 00:06\nC\n\n00:01 --> 00:05\nA\n\n00:02 --> 00:03\nB\n"
    assert shown_text(parse(text, "srt")) == [(1, 5, "A"), (2, 3, "B"), (4, 6, "C")]


def test_vtt_voices_notes_and_names():
    text = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE
This is
no cue.

intro
00:01.000 --> 00:03.000 align:start
<v Guide>Red.</v> <v.loud Visitor Two>And &lt;this&gt;?

NOTE one line

00:00:04.000 --> 00:00:05.000
<c.yellow>Plain</c> <00:04.500><i>words</i>
"""
    cues = parse(text, "vtt")
    assert [(c.text, c.role, c.role_source) for c in cues] == [
        ("Red.", "guide", "vtt_voice"),
        ("And <this>?", "visitor two", "vtt_voice"),
        ("Plain words", None, "none"),
    ]
    assert (cues[0].start, cues[0].end, cues[1].end) == (16_000, cues[1].start, 48_000)


def test_markup_goes_and_text_stays():
    markup = "<font color='#fff'>{\\an8}<b>If a < b</b></font>\n<script>alert(1)</script>"
    text = f"1\n00:01 --> 00:02\n{markup}\n"
    assert parse(text, "srt")[0].text == "If a < b\n<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # an arrow in text is text; words after the times are text; settings are not
        (
            "00:01 --> 00:02\nLook --> there\n12:30 --> the train",
            [(1, 2, "Look --> there\n12:30 --> the train")],
        ),
        ("00:01 --> 00:02 Hello.\n", [(1, 2, "Hello.")]),
        ("00:01 --> 00:02 X1:100 X2:200 Y1:5 Y2:6\nHello.", [(1, 2, "Hello.")]),
        # times as they should not be
        ("100:00:00,000 --> 100:00:01,000\nLate.", [(360_000, 360_001, "Late.")]),
        ("-00:00:02,000 --> 00:00:01,500\nEarly.", [(0, 1.5, "Early.")]),
        ("00:00:-2,000 --> 00:00:01,500\nEarly.", [(0, 1.5, "Early.")]),
        ("00:00:01, 500 --> 00:00: 02,000\nSpaces.", [(1.5, 2, "Spaces.")]),
        ("00:00:01.500000 --> 00:00:02:250\nFine.", [(1.5, 2.25, "Fine.")]),
        # the file ends in the line of times, or in the text
        ("00:01 --> 00:02\nA\n\n2\n00:03 -->", [(1, 2, "A")]),
        ("00:01 --> 00:02\n3:2 -->", [(1, 2, "3:2 -->")]),
        ("00:01 --> 00:02\nA\n3:2 -->\nB", [(1, 2, "A\n3:2 -->\nB")]),
        (
            "00:01 --> 00:02\nA\n\n2\n00:03 --> 00:04\nB is cut o",
            [(1, 2, "A"), (3, 4, "B is cut o")],
        ),
        # files that were joined, padded with zeros, or written with every line end twice
        ("1\n00:01 --> 00:02\nA\n\n\ufeff1\n00:03 --> 00:04\nB\n", [(1, 2, "A"), (3, 4, "B")]),
        ("1\n00:01 --> 00:02\nA\0\0\n\0\0\0", [(1, 2, "A")]),
        (
            "1\r\r\n00:01 --> 00:02\r\r\nA\r\r\n\r\r\n2\r\r\n00:03 --> 00:04\r\r\nB",
            [(1, 2, "A"), (3, 4, "B")],
        ),
        ("1\n\n00:01 --> 00:02\n\nA\n\n2\n\n00:03 --> 00:04\n\nB\n", [(1, 2, "A"), (3, 4, "B")]),
        ("1\r00:01 --> 00:02\rA\r\r2\r00:03 --> 00:04\rB\r", [(1, 2, "A"), (3, 4, "B")]),
        # numbers: out of step, without text between, and digits that are no number of ours
        ("7\n00:01 --> 00:02\nA\n8\n00:03 --> 00:04\nB", [(1, 2, "A"), (3, 4, "B")]),
        ("1\n00:01 --> 00:02\n2\n00:03 --> 00:04\nB", [(3, 4, "B")]),
        ("1\n00:01 --> 00:02\nx\n²\n00:03 --> 00:04\nB", [(1, 2, "x\n²"), (3, 4, "B")]),
        (
            "00:01 --> 00:02\nx\n" + "9" * 5000 + "\n00:03 --> 00:04\nB",
            [(1, 2, "x\n" + "9" * 5000), (3, 4, "B")],
        ),
    ],
)
def test_srt_as_it_should_not_be(text, expected):
    assert shown_text(parse(text, "srt")) == expected


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("<v Anna>Hi. <v>Who?</v>", [("anna", "Hi."), (None, "Who?")]),
        ("<v.first.loud  Anna   Bell>Hi.</v>", [("anna bell", "Hi.")]),
        (
            "<v Anna><c.red><lang en>One <i>two</i></lang></c></v> three",
            [("anna", "One two"), (None, "three")],
        ),
        (
            "<v Anna>Hi.\n<v Ben>Bye.</v>\n<v Anna>So?",
            [("anna", "Hi."), ("ben", "Bye."), ("anna", "So?")],
        ),
        ("<00:00:01.000><c> kara</c><00:00:01.500><c>oke</c>", [(None, "karaoke")]),
        (
            "AT&amp;T &lt;b&gt; &#x41;&nbsp;B &copy &nothing;",
            [(None, "AT&T <b> A\xa0B &copy &nothing;")],
        ),
        ("<ruby>漢<rt>kan</rt></ruby>", [(None, "漢kan")]),
        ("<v Anna", [(None, "<v Anna")]),
        ("<script>alert('../../x')</script>", [(None, "<script>alert('../../x')</script>")]),
        ("<v ../../etc/passwd>Hi.", [("../../etc/passwd", "Hi.")]),
        ("<v &lt;script&gt;>Hi.", [("<script>", "Hi.")]),
    ],
)
def test_markup_of_vtt(text, pieces):
    """Voices, classes, languages and times within the text; anything else is text."""
    assert [
        (cue.role, cue.text) for cue in parse(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}", "vtt")
    ] == pieces


def test_blocks_of_vtt_that_are_no_cues():
    text = """WEBVTT
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

REGION
id:left
width:40%

00:01.000 --> 00:02.000 region:left align:start position:10%,line-left
NOTEBOOK is a word

STYLE
::cue(v) { color: red }

00:03.000 --> 00:04.000
and so is
NOTE here

WEBVTT
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:1800000

00:05.000 --> 00:06.000
joined
"""
    expected = [(1, 2, "NOTEBOOK is a word"), (3, 4, "and so is\nNOTE here"), (5, 6, "joined")]
    assert shown_text(parse(text, "vtt")) == expected
    assert shown_text(parse(text, "srt")) == expected, (
        "what a file begins with counts for more than its extension"
    )


ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,not a number

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.50,Default,Guide,0,0,0,,{\\i1}Red\\Nand blue.
Comment: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,Not said.
"""


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            "Dialogue: 0,0:00:03.00,0:00:04.00,D,,0,0,0,,One, two, {\\b1}three{\\b0}.",
            (3, 4, None, "One, two, three."),
        ),
        (
            "Dialogue: 0,0:00:03.00,0:00:04.00,D,\tDr.\t Weiss ,0,0,0,,Yes.",
            (3, 4, "dr. weiss", "Yes."),
        ),
        ("Dialogue: 0,0:00:03.00,0:00:04.00,D,,0,0,0,,a\\hb\\nc{no text}", (3, 4, None, "a b\nc")),
        (
            "Dialogue: 0,0:00:03.00,0:00:04.00,D,,0,0,0,,{\\pos(1,2)}A{\\p1}m 0 0 l 9 9{\\p0}B",
            (3, 4, None, "AB"),
        ),
        ("Dialogue: 0,0:00:nonsense,0:00:04.00,D,,0,0,0,,No time.", (1, 4, None, "No time.")),
        (
            "Dialogue: 0,0:00:03.00,0:00:01.00,D,,0,0,0,,Two words",
            (3, 3 + 5 / 3, None, "Two words"),
        ),
        (
            "Dialogue: Marked=0,0:00:03.00,0:00:04.00,D,Ben,0,0,0,,A { brace",
            (3, 4, "ben", "A { brace"),
        ),
    ],
)
def test_events_of_ass(event, expected):
    cue = parse(ASS + event, "ass")[-1]
    start, end = (round(t * 16_000) for t in expected[:2])
    assert (cue.start, abs(cue.end - end) < 2, cue.role, cue.text) == (start, True, *expected[2:])


def test_ass_that_lacks_its_head_or_its_tail():
    """Without sections or a Format line the usual field order holds; another is followed."""
    (cue,) = parse(
        "Dialogue: 0,0:00:01.00,0:00:02.00,D,Guide,0,0,0,,Red, blue.\nDialogue: 0,0:00:03.0", "ass"
    )
    assert (cue.start, cue.role, cue.text) == (16_000, "guide", "Red, blue.")
    head = "[Events]\nFormat: Start, End, Actor, Text\n"
    text = head + "Dialogue: 0:00:01.00,0:00:02.00,Guide,Red, blue."
    (cue,) = parse(text, "srt")
    assert (cue.start, cue.end, cue.role, cue.text) == (16_000, 32_000, "guide", "Red, blue.")


def test_rarer_forms():
    frames = "{1}{1}25\n{25}{50}{y:i}Red|blue.\n"
    assert shown_text(parse(frames, "sub")) == [(1, 2, "Red\nblue.")]
    sbv = "0:00:01.000,0:00:02.500\nRed,\nblue.\n\n0:00:03.000,0:00:04.000\nB\n"
    assert shown_text(parse(sbv, "sbv")) == [(1, 2.5, "Red,\nblue."), (3, 4, "B")]
    ttml = (
        '<tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
        '<p begin="1s" end="2s">Red<br/>blue.</p></div></body></tt>'
    )
    assert shown_text(parse(ttml, "ttml")) == [(1, 2, "Red\nblue.")]


@pytest.mark.parametrize(
    "text",
    [
        "{25}{50}no rate",
        '<tt xmlns="http://www.w3.org/ns/ttml"><body>',
        "{1}{1}0\n{1}{2}a",
        '{"info": 1',
        "?",
    ],
)
def test_a_rarer_form_that_is_broken_is_one_typed_line(tmp_path, text):
    (tmp_path / "a.sub").write_text(text)
    with pytest.raises(SubtitleError, match=r"a\.sub") as caught:
        read_subtitles(tmp_path / "a.sub")
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200), st.sampled_from(["ass", "ssa", "sbv", "sub", "ttml", "smi", "txt"]))
def test_no_text_breaks_a_rarer_reader(text, kind):
    """Cues, or one error: an unknown format."""
    with contextlib.suppress(ValueError):
        assert all(cue.start <= cue.end for cue in parse(text, kind))


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200), st.sampled_from(["srt", "vtt"]))
def test_no_text_breaks_the_reader(text, kind):
    assert all(cue.start <= cue.end for cue in parse(text, kind))


def test_markup_that_never_closes_is_text():
    """Parsing stays linear: a search for the end from each beginning would take for ever."""
    text = "<v <font a= {\\p1 &a <c. " * 12_000
    (cue,) = parse(f"00:01 --> 00:02\n{text}", "srt")
    assert cue.text == text.strip()
    (cue,) = parse(f"Dialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,{text}", "ass")
    assert cue.text == text.strip()

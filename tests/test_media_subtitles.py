"""Subtitles as they are found: text is conserved, times are sensible, voices are named, whatever the file lacks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.media.faults import BadSubtitles
from omni_lab.media.subtitles import Cue, decode_text, from_packet, parse, read_subtitles, settle, sidecars
from omni_lab.triplets.roles import read_roles


def said(cues) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and text."""
    return [(cue.start / 16_000, cue.end / 16_000, cue.text) for cue in cues]


@pytest.mark.parametrize(
    "text",
    [
        "1\n00:00:01,000 --> 00:00:02,500\nHello.\n\n2\n00:00:03,000 --> 00:00:04,000\nBye.\n",
        "1\r\n00:00:01,000 --> 00:00:02,500\r\nHello.\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nBye.\r\n",
        "\ufeff1\n00:00:01,000 --> 00:00:02,500\nHello.\n\n2\n00:00:03,000 --> 00:00:04,000\nBye.",
        "00:00:01,000 --> 00:00:02,500\nHello.\n00:00:03,000 --> 00:00:04,000\nBye.\n",  # nothing between
        "1\n0:0:1,0 --> 0:0:2,5\nHello.\n2\n0:0:3 --> 0:0:4\nBye.\n",  # one digit, no fraction, no blank line
        "1\n00:00:01.000 -> 00:00:02.500 X1:5\nHello.\n\n\n\n2\n00:00:03.000-->00:00:04.000\nBye.\n",
    ],
)
def test_srt_in_all_its_forms(text):
    assert said(parse(text, "srt")) == [(1.0, 2.5, "Hello."), (3.0, 4.0, "Bye.")]


def test_numbers_that_are_said_stay():
    """A cue's number goes, a number that somebody says stays."""
    text = "1\n00:01 --> 00:02\n42\n\n2\n00:03 --> 00:04\nLine\n7\n\n3\n00:05 --> 00:06\n8\n"
    assert [cue.text for cue in parse(text, "srt")] == ["42", "Line\n7", "8"]
    assert [cue.text for cue in parse("00:01 --> 00:02\n42\n00:03 --> 00:04\n43\n", "srt")] == ["42", "43"]


def test_ends_that_cannot_be_are_settled():
    """A cue that ends before it begins, or nowhere, ends with the next or when its words are said."""
    text = "1\n00:00:05,000 --> 00:00:01,000\nTwo words.\n\n2\n00:00:06,000 --> 00:0\nThree more words"
    assert said(parse(text, "srt")) == [(5.0, 6.0, "Two words."), (6.0, 8.0, "Three more words")]


def test_overlaps_and_disorder_keep_all_text():
    text = "00:04 --> 00:06\nC\n\n00:01 --> 00:05\nA\n\n00:02 --> 00:03\nB\n"
    assert said(parse(text, "srt")) == [(1, 5, "A"), (2, 3, "B"), (4, 6, "C")]


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
    text = "1\n00:01 --> 00:02\n<font color='#fff'>{\\an8}<b>If a < b</b></font>\n<script>alert(1)</script>\n"
    assert parse(text, "srt")[0].text == "If a < b\n<script>alert(1)</script>"


def test_ass_through_pysubs2():
    text = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.50,Default,Guide,0,0,0,,{\\i1}Red\\Nand blue.
Comment: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,Not said.
"""
    (cue,) = parse(text, "ass")
    assert (cue.start, cue.end, cue.text, cue.role, cue.role_source) == (
        16_000, 40_000, "Red\nand blue.", "guide", "ass_name",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("é".encode(), "é", "utf-8"),
        ("é".encode("utf-8-sig"), "é", "utf-8-sig"),
        ("\ufeffé€".encode("utf-16-le"), "é€", "utf-16"),
        ("\ufeffé€".encode("utf-16-be"), "é€", "utf-16"),
        ("é€".encode("cp1252"), "é€", "cp1252 (guess)"),
        (b"caf\xe9 \x81", "caf\xe9 \x81", "latin-1 (guess)"),
        ("Hello é€".encode()[:-1], "Hello é", "utf-8"),
    ],
)
def test_encodings_are_decided_and_recorded(data, text, encoding):
    assert decode_text(data) == (text, encoding)


def test_encoding_is_on_every_cue(tmp_path):
    (tmp_path / "a.srt").write_bytes("1\n00:01 --> 00:02\nCafé\n".encode("cp1252"))
    assert [(c.text, c.encoding) for c in read_subtitles(tmp_path / "a.srt")] == [("Café", "cp1252 (guess)")]


def test_unknown_subtitles_are_one_line(tmp_path):
    (tmp_path / "a.ass").write_text("nothing that anybody knows")
    for name in ("a.ass", "none.srt"):
        with pytest.raises(BadSubtitles, match=name) as caught:
            read_subtitles(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_packets_of_text_tracks():
    boxes = b"\x00\x05Hello\x00\x00\x00\x0cstyl\x00\x00\x00\x00"
    assert from_packet(boxes, "mov_text", 0, 16_000)[0].text == "Hello"
    assert from_packet(b"\x00\x00", "mov_text", 0, 16_000) == []
    (cue,) = from_packet(b"0,0,Default,Guide,0,0,0,,Red, {\\b1}blue.\\NGreen.", "ass", 0, 16_000)
    assert (cue.text, cue.role) == ("Red, blue.\nGreen.", "guide")
    (cue,) = settle(from_packet(b"No length.", "subrip", 16_000, None))
    assert cue.end > cue.start


def test_sidecars_belong_to_their_film(tmp_path):
    for name in ("a.srt", "a.fr.srt", "ab.srt", "a.b.c.srt", "a.en.srt", "a.txt", "a.ass"):
        (tmp_path / name).write_text("x")
    assert [p.name for p in sidecars(tmp_path / "a.mp4", "en")] == ["a.en.srt", "a.srt", "a.ass", "a.fr.srt"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("VISITOR: Colour top-left?", [("visitor", "Colour top-left?")]),
        ("GUIDE: Red.\nVISITOR: And\nthat?", [("guide", "Red."), ("visitor", "And that?")]),
        ("SPEAKER 2: Yes.", [("speaker 2", "Yes.")]),
        ("It is 3:2 now.", [(None, "It is 3:2 now.")]),
        ("RATIO 3:2", [(None, "RATIO 3:2")]),
        ("See https://example.org: fine", [(None, "See https://example.org: fine")]),
        ("HTTPS://EXAMPLE.ORG", [(None, "HTTPS://EXAMPLE.ORG")]),
        ("Remember: look left.", [(None, "Remember: look left.")]),
        ("- Red.\n- Blue?", [(None, "Red."), (None, "Blue?")]),
        ("Red.\n- Blue?", [(None, "Red."), (None, "Blue?")]),
        ("- GUIDE: Red.\n- VISITOR: Blue?", [("guide", "Red."), ("visitor", "Blue?")]),
        ("- a dash alone", [(None, "- a dash alone")]),
    ],
)
def test_marks_of_speakers(text, pieces):
    cues = read_roles((Cue(0, 16_000, text),))
    assert [(cue.role, cue.text) for cue in cues] == pieces
    assert cues[0].start == 0
    assert cues[-1].end == 16_000


def test_a_name_in_lower_case_counts_when_it_comes_back():
    cues = read_roles((Cue(0, 1, "Anna: Hi."), Cue(1, 2, "Note: no."), Cue(2, 3, "Anna: Bye.")))
    assert [cue.role for cue in cues] == ["anna", None, "anna"]


def test_a_named_voice_is_kept():
    (cue,) = read_roles((Cue(0, 1, "NOTE: this", "guide", "vtt_voice"),))
    assert (cue.role, cue.text) == ("guide", "NOTE: this")


line = st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="<>&{}:-\u2013\u2014"), max_size=12)
lines = st.lists(line, min_size=1, max_size=3)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 90_000), lines), max_size=8),
    st.sampled_from(["srt", "vtt"]),
)
def test_text_is_conserved(cues, kind):
    """Whatever is said, in whatever order of times: every word comes out, with a sensible time."""
    cues = sorted(cues, key=lambda cue: cue[0])

    def stamp(ms: int) -> str:
        return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"

    text = "WEBVTT\n\n" if kind == "vtt" else ""
    for i, (start, end, said_lines) in enumerate(cues, 1):
        text += f"{i}\n{stamp(start)} --> {stamp(end)}\n" + "\n".join(said_lines) + "\n\n"
    read = parse(text, kind)
    assert all(0 <= cue.start <= cue.end for cue in read)
    assert " ".join(" ".join(c.text for c in read).split()) == " ".join(
        w for c in cues for x in c[2] for w in x.split()
    )


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200), st.sampled_from(["srt", "vtt"]))
def test_no_text_breaks_the_reader(text, kind):
    assert all(cue.start <= cue.end for cue in parse(text, kind))

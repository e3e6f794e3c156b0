"""Subtitle reading: text is conserved, files and tracks are found, errors reported, work linear."""

import html
import sys
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from media_files import write_film

from omni_lab.media.decoding import decode
from omni_lab.media.errors import SubtitleError
from omni_lab.media.languages import NAMES, language_rank, two_letters
from omni_lab.media.subtitles.encodings import LANGUAGES
from omni_lab.media.subtitles.reader import Cue, Packet, from_packets, parse, read_subtitles
from omni_lab.triplets.dialogues.roles import read_roles


def from_packet(*packet) -> tuple[Cue, ...]:
    """Cues of a track of one packet."""
    return from_packets([Packet(*packet)])


def test_a_file_without_any_time_is_no_subtitles(tmp_path):
    (tmp_path / "a.srt").write_text("Dear diary,\ntoday I wrote no subtitles.\n")
    with pytest.raises(SubtitleError, match=r"a\.srt: subtitles without a single time; give each"):
        read_subtitles(tmp_path / "a.srt")
    for name, text in (
        ("empty.srt", " \n"),
        ("head.vtt", "WEBVTT\n"),
        ("head.srt", "1\n00:01 --> 00:02\n\n"),
    ):
        (tmp_path / name).write_text(text)
        assert read_subtitles(tmp_path / name) == ()


def test_unknown_subtitles_are_one_line(tmp_path):
    (tmp_path / "a.ass").write_text("nothing that anybody knows")
    for name in ("a.ass", "none.srt"):
        with pytest.raises(SubtitleError, match=name) as caught:
            read_subtitles(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_packets_of_text_tracks():
    boxes = b"\x00\x05Hello\x00\x00\x00\x0cstyl\x00\x00\x00\x00"
    assert from_packet(boxes, "mov_text", 0, 16_000)[0].text == "Hello"
    assert from_packet(b"\x00\x00", "mov_text", 0, 16_000) == ()
    (cue,) = from_packet(b"0,0,Default,Guide,0,0,0,,Red, {\\b1}blue.\\NGreen.", "ass", 0, 16_000)
    assert (cue.text, cue.role) == ("Red, blue.\nGreen.", "guide")
    (cue,) = from_packet(b"No length.", "subrip", 16_000, None)
    assert cue.end > cue.start


def test_packets_in_which_text_is_wrapped():
    wide = "\ufeffÜber".encode("utf-16-be")
    styled = len(wide).to_bytes(2, "big") + wide + b"\x00\x00\x00\x16styl" + bytes(14)
    assert from_packet(styled, "mov_text", 0, 1)[0].text == "Über"

    def box(kind: bytes, inside: bytes) -> bytes:
        return (8 + len(inside)).to_bytes(4, "big") + kind + inside

    cue = box(
        b"vttc", box(b"sttg", b"align:left") + box(b"payl", b"<v Guide>Red.</v> <v Ben>Blue?")
    )
    assert [(c.role, c.text) for c in from_packet(cue, "webvtt", 0, 16)] == [
        ("guide", "Red."),
        ("ben", "Blue?"),
    ]
    assert from_packet(box(b"vtte", b""), "webvtt", 0, 16) == ()
    assert from_packet(b"<v Guide>Red.", "webvtt", 0, 16)[0].role == "guide"
    assert from_packet(b"Red.\0", "subrip", 0, 16)[0].text == "Red."
    assert from_packet(b"0,0,Default,Guide", "ass", 0, 16) == ()


@pytest.mark.parametrize("codec", ["subrip", "text", "webvtt", "ass", "mov_text"])
@pytest.mark.parametrize("rest", [b"", b"\0\0", b"garbage.", b"\xff\xfe\x80 \0more", b"\x00"])
def test_text_ends_at_a_zero(codec, rest):
    """As Matroska says; what stands behind it neither is text nor tells the encoding."""
    data = "Über.".encode() + b"\0" + rest
    if codec == "ass":
        data = b"0,0,Default,,0,0,0,," + data
    if codec == "mov_text":
        data = len(data).to_bytes(2, "big") + data
    (cue,) = from_packet(data, codec, 0, 16)
    assert (cue.text, cue.encoding, cue.encoding_sure) == ("Über.", "utf-8", 1.0)
    assert from_packet("Red.".encode("utf-16-le"), "subrip", 0, 16)[0].text == "Red."


# words that no reader takes for markup, numbers, marks or times, and some that look as if they were
word = st.one_of(
    st.text(st.characters(categories=["L"]), min_size=1, max_size=8),
    st.sampled_from(
        [
            "<script>",
            "../..",
            "a<b",
            "&",
            "AT&T",
            "--",
            "-->",
            "3:2",
            "https://x.org",
            "|",
            "[x",
            "50%",
            "x,y",
        ]
    ),
)
words = st.lists(word, min_size=1, max_size=6)
name = st.one_of(
    st.none(),
    st.sampled_from(
        ["Guide", "Dr. Weiss", "../../x", "李", "O'Neil", "/etc/passwd", "&lt;script&gt;"]
    ),
)
entries = st.lists(
    st.tuples(st.integers(0, 90_000), st.integers(0, 9_000), name, st.lists(words, max_size=3)),
    max_size=8,
    unique_by=lambda entry: str(entry[3]),
)


def stamp(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def as_srt(cues) -> str:
    return "".join(
        f"{i}\n{stamp(a)} --> {stamp(a + long)}\n" + "\n".join(map(" ".join, said_lines)) + "\n\n"
        for i, (a, long, _, said_lines) in enumerate(cues, 1)
    )


def as_vtt(cues) -> str:
    return "WEBVTT\n\n" + "".join(
        f"{stamp(a)} --> {stamp(a + long)}\n{f'<v {who}>' if who else ''}"
        + "\n".join(map(" ".join, said_lines))
        + "\n\n"
        for a, long, who, said_lines in cues
    )


def as_ass(cues) -> str:
    return "[Script Info]\n\n[Events]\n" + "".join(
        f"Dialogue: 0,{stamp(a)},{stamp(a + long)},D,{who or ''},0,0,0,,"
        + "\\N".join(map(" ".join, said_lines)) + "\n"
        for a, long, who, said_lines in cues
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@example([(0, 0, None, [["3:2", "-->", "3:2"]])], ("srt", as_srt), "\n")
@given(
    entries,
    st.sampled_from([("srt", as_srt), ("vtt", as_vtt), ("ass", as_ass)]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_text_is_conserved_in_every_form(cues, form, line_end):
    """Every word once and in order; names are kept where the format has a field for them."""
    kind, write = form
    cues = sorted(cues, key=lambda cue: cue[0])
    read = parse(write(cues).replace("\n", line_end), kind)
    expected = [w for *_, said_lines in cues for line in said_lines for w in line]
    assert " ".join(cue.text for cue in read).split() == " ".join(expected).split()
    assert all(0 <= cue.start <= cue.end for cue in read)
    assert [cue.start for cue in read] == sorted(cue.start for cue in read)
    if kind != "srt":
        names = [
            " ".join(html.unescape(who).lower().split())
            if who and kind == "vtt"
            else who and who.lower()
            for *_, who, x in cues
            if any(x)
        ]
        assert [cue.role for cue in read] == names
    split = read_roles(read)
    assert " ".join(cue.text for cue in split).split() == " ".join(expected).split()


def many(count: int) -> str:
    """A long film's SRT: a name before each second line, two lines per cue."""
    return "".join(
        f"{i}\n{stamp(3000 * i)} --> {stamp(3000 * i + 2500)}\n"
        f"{'ANNA: ' if i % 2 else '- '}Line <i>{i}</i> of many,\n"
        f"- which this film has.\n\n"
        for i in range(1, count + 1)
    )


def cost(work, *arguments) -> tuple[int, int]:
    """Calls of functions, and the most memory (bytes), that a piece of work takes."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work(*arguments)
    finally:
        sys.setprofile(None)
    tracemalloc.start()
    work(*arguments)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return calls, memory


@pytest.mark.parametrize(
    "make",
    [
        many,
        lambda n: "00:01 --> 00:02\n" + "- one more line\n" * n,  # all in one cue
        lambda n: "00:01 --> 00:02\n" + "<v Anna>a <v Ben>b\n" * n,
        lambda n: "00:01 --> 00:02\n" + "\n" * n,
        lambda n: "00:01 --> 00:02\n" + "- One. - Two? >> three. >>> " * n,
        lambda n: "00:01 --> 00:02\n" + "今日は、" * n,
    ],
    ids=["many cues", "many lines", "many voices", "empty lines", "many marks", "no spaces"],
)
def test_four_times_the_text_costs_four_times_the_work(make):
    """Nothing is quadratic: neither in cues nor in what stands in one."""

    def read(text: str) -> None:
        read_roles(parse(text, "srt"))

    few, many_more = (cost(read, make(n)) for n in (40, 160))
    assert many_more[0] < 4.5 * few[0] + 1000
    assert many_more[1] < 4.5 * few[1] + 20_000


@pytest.mark.parametrize("spoken", LANGUAGES, ids=lambda spoken: spoken.code)
def test_languages_are_known_by_two_letters_and_by_three(spoken):
    """Tracks name them by three, settings and files by two: a hint or a wish must find either."""
    for name in NAMES[spoken.code]:
        assert language_rank(name, spoken.code) == 0
        assert two_letters(f"{name.upper()}_XX") == spoken.code


def test_text_that_is_shown_before_the_film_begins_is_in_it(tmp_path):
    """A track that starts before picture and sound keeps its text, at times from zero on."""
    cues = [(0.2, 0.8, "Gone."), (0.5, 2.5, "Still there."), (2.5, 3.0, "After.")]
    film = decode(
        write_film(
            tmp_path / "a.mkv",
            picture_at=1.0,
            sound_at=1.0,
            text=[("eng", cues)],
            text_codec="subrip",
        )
    )
    assert [(c.start, c.end, c.text) for c in film.cues] == [
        (0, 0, "Gone."), (0, 24_000, "Still there."), (24_000, 32_000, "After."),
    ]  # fmt: skip


def test_text_in_matroska_ends_at_a_zero_and_speakers_change_in_its_lines(tmp_path):
    """From the file to the roles; `>>` may be written as entities."""
    cues = [(0.5, 1.5, "Who? &gt;&gt; Me.\0garbage"), (1.5, 2.0, "So.\0")]
    path = write_film(
        tmp_path / "a.mkv", text=[("eng", cues)], text_codec="subrip", seconds=2, sound=None
    )
    assert [cue.text for cue in read_roles(decode(path).cues)] == ["Who?", "Me.", "So."]


def test_boxes_without_end_are_no_burden():
    """A packet of boxes in boxes in boxes, deeper than any stack."""
    packet = b""
    for _ in range(3000):
        packet = (8 + len(packet)).to_bytes(4, "big") + b"vttc" + packet
    assert from_packet(packet, "webvtt", 0, 16) == ()


def test_a_name_of_blanks_is_no_name():
    (cue,) = from_packet(b"0,0,Default, ,0,0,0,,Red.", "ass", 0, 16)
    assert cue == Cue(0, 16, "Red.", text_source="embedded", encoding="utf-8")

"""Text that is only displayed again: once, as long as it stands; what is sung twice stays twice."""

import pytest
from media_files import write_film

from omni_lab.media.decoding import decode
from omni_lab.media.subtitles.reader import Packet, from_packets, parse

LINE = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]
SECOND_LINE = ["and", "then", "it", "sleeps", "well"]


def highlighted(words, start, style="<u>{}</u>", filler=0.0, gap=0.0, length=0.4, before=True):
    """Entries of a line, one for each word, that word in a style; times in seconds."""
    entries = []
    for i in range(len(words)):
        at = start + i * length
        line = [style.format(w) if i == j else w for j, w in enumerate(words)]
        if filler and (i or before):
            entries.append((at, at + filler, " ".join(words)))
        shown_from = at + filler if i or before else at
        entries.append((shown_from, at + length - gap, " ".join(line)))
    return entries


def srt(entries) -> str:
    return "".join(
        f"{i}\n00:00:{a:06.3f} --> 00:00:{b:06.3f}\n{text}\n\n"
        for i, (a, b, text) in enumerate(entries, 1)
    )


def shown(cues) -> list[tuple[float, float, str]]:
    return [(cue.start / 16_000, cue.end / 16_000, cue.text) for cue in cues]


STYLES = ["<u>{}</u>", '<font color="#00ff00">{}</font>', "<b>{}</b>", "<c.now>{}</c>"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("filler", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.08])
def test_a_line_that_repeats_for_each_highlighted_word_is_one(style, filler, gap):
    entries = highlighted(LINE, 0, style, filler, gap)
    entries += highlighted(SECOND_LINE, 4, style, filler, gap)
    read = parse("WEBVTT\n\n" + srt(entries) if "<c" in style else srt(entries), "srt")
    assert shown(read) == [
        (0, pytest.approx(3.6 - gap), " ".join(LINE)),
        (4, pytest.approx(6 - gap), " ".join(SECOND_LINE)),
    ]


@pytest.mark.parametrize("filler", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.5])
def test_a_refrain_that_is_highlighted_twice_is_sung_twice(filler, pause):
    once = highlighted(["la", "la", "la"], 0, filler=filler, before=False)
    again = highlighted(["la", "la", "la"], 1.2 + pause, filler=filler, before=False)
    assert shown(parse(srt(once + again), "srt")) == [
        (0, pytest.approx(1.2), "la la la"),
        (pytest.approx(1.2 + pause), pytest.approx(2.4 + pause), "la la la"),
    ]


@pytest.mark.parametrize(
    "entries",
    [
        [(0, 1, "No."), (1, 2, "No.")],
        [(0, 1, "What?"), (1, 2, "<i>What?</i>")],  # someone else, off screen
        [(0, 1, "<i>La la</i>"), (1, 2, "<i>La la</i>"), (2, 3, "{\\an8}<i>La la</i>")],
        [(0, 1, "I <i>love</i> you"), (1, 2, "I <i>love</i> you")],  # with the same emphasis
        [(0, 1, "<u>No</u> way"), (9, 10, "No <u>way</u>")],
        [(0, 1.05, "No."), (1, 2, "No.")],
    ],
    ids=["plain", "off screen", "song", "emphasis", "far", "sloppy times"],
)
def test_what_is_said_again_stays(entries):
    assert len(parse(srt(entries), "srt")) == len(entries)


def test_a_highlight_may_grow_over_the_line():
    words = ["one", "two", "three"]
    entries = [
        (i, i + 1, f"<b>{' '.join(words[: i + 1])}</b> {' '.join(words[i + 1 :])}".strip())
        for i in range(3)
    ]
    assert shown(parse(srt(entries), "srt")) == [(0, 3, "one two three")]


def test_a_word_alone_with_fillers_is_one():
    entries = [(0, 1, "<u>Stop.</u>"), (1, 1.02, "Stop."), (1.02, 2, "<u>Stop.</u>")]
    assert [text for *_, text in shown(parse(srt(entries), "srt"))] == ["Stop.", "Stop."]
    entries = [(0, 0.02, "Stop."), (0.02, 1, "<u>Stop.</u>"), (1, 1.02, "Stop.")]
    assert shown(parse(srt(entries), "srt")) == [(0, 1.02, "Stop.")]


def ass(*events: str) -> str:
    return "[Events]\n" + "".join(
        f"Dialogue: {layer},0:00:{a},0:00:{b},D,{name},0,0,0,,{text}\n"
        for layer, a, b, name, text in (event.split("|") for event in events)
    )


def test_layers_and_frames_of_one_text_are_one():
    """A glow behind a line, a sign drawn anew in every frame; two speakers at once stay two."""
    cues = parse(
        ass(
            "0|01.00|02.00||{\\blur5}Hello\\Nthere.", "0|03.00|04.00||Next.",
            "1|01.00|02.00||{\\blur0\\c&HFFFFFF&}Hello\\Nthere.", "1|03.10|03.90||Next.",
            *(f"0|05.{i:02d}|05.{i + 4:02d}||{{\\pos({i},9)}}SIGN" for i in range(0, 80, 4)),
            "0|07.00|08.00|Anna|No.", "0|07.00|08.00|Ben|No.",
        ),
        "ass",
    )  # fmt: skip
    assert shown(cues) == [
        (1, 2, "Hello\nthere."), (3, 4, "Next."), (5, 5.8, "SIGN"), (7, 8, "No."), (7, 8, "No."),
    ]  # fmt: skip


def test_words_highlighted_by_override_tags():
    words = ["one", "two", "three"]
    lines = [
        " ".join(f"{{\\1c&H00FF00&}}{w}{{\\r}}" if i == j else w for j, w in enumerate(words))
        for i in range(3)
    ]
    events = [f"0|0{i}.00|0{i + 1}.00||{line}" for i, line in enumerate(lines)]
    assert shown(parse(ass(*events, *[]), "ass")) == [(0, 3, "one two three")]
    packets = [
        Packet(f"{i},0,D,,0,0,0,,{line}".encode(), "ass", i * 16_000, (i + 1) * 16_000)
        for i, line in enumerate(lines)
    ]
    assert shown(from_packets(packets)) == [(0, 3, "one two three")]


def test_words_highlighted_in_tracks(tmp_path):
    """Matroska holds markup, MP4 styles beside the text; a plain refrain stays in both."""
    entries = [(a, b, text) for a, b, text in highlighted(["one", "two", "three"], 0.0)]
    entries += [(2.0, 2.5, "la"), (2.5, 3.0, "la")]
    expected = [(0, 1.2, "one two three"), (2, 2.5, "la"), (2.5, 3, "la")]
    film = decode(
        write_film(tmp_path / "a.mkv", text=[("eng", entries)], text_codec="subrip", sound=None)
    )
    assert shown(film.cues) == expected

    packets = []
    for i, (start, end) in enumerate([(0, 3), (4, 7), (8, 13)]):
        record = (
            start.to_bytes(2, "big") + end.to_bytes(2, "big") + bytes([0, 1, 4, 18]) + b"\xff" * 4
        )
        box = b"\0\0\0\x16styl\0\1" + record
        data = b"\0\x0done two three" + box
        packets.append(Packet(data, "mov_text", i * 6400, (i + 1) * 6400))
    packets += [Packet(b"\0\2la", "mov_text", at, at + 8000) for at in (32_000, 40_000)]
    assert shown(from_packets(packets)) == expected

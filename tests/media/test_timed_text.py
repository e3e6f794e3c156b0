"""TTML and SAMI: every form of time, nesting and namespace, words with times, one language."""

import pytest
from media_files import write_film

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.errors import SubtitleError
from omni_lab.media.subtitles.reader import parse, read_subtitles

S = 16_000


def ttml(body: str, attributes: str = "", namespace: str = "http://www.w3.org/ns/ttml") -> str:
    names = f'xmlns="{namespace}" xmlns:ttp="{namespace}#parameter" xmlns:tts="{namespace}#styling"'
    head = "<head><metadata><title xmlns='x'>No text</title></metadata></head>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<tt {names} {attributes}>{head}{body}</tt>'


def shown(text: str, kind: str = "ttml", language: str | None = None):
    return [(c.start / S, c.end / S, c.text) for c in parse(text, kind, language)]


def timed(cue) -> list[tuple[float, float, str]]:
    return [(w.start / S, w.end / S, w.text) for w in cue.words]


RED = [(1, 2.5, "Red.")]


@pytest.mark.parametrize(
    "namespace",
    [
        "http://www.w3.org/ns/ttml",
        "http://www.w3.org/2006/10/ttaf1",
        "http://www.w3.org/2006/04/ttaf1",
        "http://www.w3.org/2006/02/ttaf1",
        "urn:else",
    ],
)
def test_any_namespace_is_read(namespace):
    body = '<body><div><p begin="1s" end="2.5s">Red.</p></div></body>'
    assert shown(ttml(body, namespace=namespace)) == RED
    prefixed = (
        f'<tt:tt xmlns:tt="{namespace}"><tt:body><tt:div>'
        '<tt:p begin="00:00:01.000" end="00:00:02.500">Red.</tt:p></tt:div></tt:body></tt:tt>'
    )
    assert shown(prefixed, "xml") == RED
    assert shown(prefixed, "dfxp") == RED


@pytest.mark.parametrize(
    ("begin", "end", "attributes"),
    [
        ("1s", "2500ms", ""),
        ("10000000t", "25000000t", 'ttp:tickRate="10000000"'),
        ("30t", "75t", 'ttp:frameRate="30"'),
        ("1t", "2.5t", ""),
        ("30f", "75f", ""),
        ("25f", "62.5f", 'ttp:frameRate="25"'),
        ("00:00:01:00", "00:00:02:15", ""),
        ("00:00:01:00", "00:00:02:12.1", 'ttp:frameRate="25" ttp:subFrameRate="2"'),
        ("00:00:01.000", "00:00:02,5", ""),
        ("0:01", "0:02.5", ""),
        ("0.000277777777777777777h", "0.041666666666666666m", ""),
    ],
)
def test_any_time_expression_is_read(begin, end, attributes):
    body = f'<body><div><p begin="{begin}" end="{end}">Red.</p></div></body>'
    assert shown(ttml(body, attributes)) == RED


def test_frames_of_broadcast_are_slower_and_some_are_skipped():
    """SMPTE clocks count frames of 30 / 1.001 per second; drop frame keeps them near the hour."""
    body = '<body><div><p begin="01:00:00:00" end="01:00:01:00">Red.</p></div></body>'
    rates = 'ttp:timeBase="smpte" ttp:frameRate="30" ttp:frameRateMultiplier="1000 1001"'
    (cue,) = parse(ttml(body, rates), "ttml")
    assert cue.start == round(3603.6 * S)
    (cue,) = parse(ttml(body, f'{rates} ttp:dropMode="dropNTSC"'), "ttml")
    assert cue.start / S == pytest.approx(3599.9964)


@pytest.mark.parametrize(
    "body",
    [
        '<body><div><p begin="1s" dur="1.5s">Red.</p></div></body>',
        '<body begin="1s"><div><p dur="1.5s">Red.</p></div></body>',
        '<body><div begin="0.5s"><p begin="0.5s" end="2s">Red.</p></div></body>',
        '<body><div><div><p begin="1s" end="2.5s">Red.</p></div></div></body>',
        '<body><p begin="1s" end="2.5s">Red.</p></body>',
        '<body><div begin="1s" end="2.5s"><p>Red.</p></div></body>',
        '<body><div><p><span begin="1s" end="2.5s">Red.</span></p></div></body>',
        '<body><div><p><span><span begin="1s" dur="1.5s">Red.</span></span></p></div></body>',
        '<body><div><p begin="1s"><span end="1.5s">Red.</span></p></div></body>',
        '<body><div timeContainer="seq"><p dur="1s"/><p dur="1.5s">Red.</p></div></body>',
        '<body><div><p begin="1s" dur="9s" end="2.5s">\n  Red.\n<metadata>No.</metadata></p></div></body>',
    ],
)
def test_times_stand_on_any_element(body):
    assert shown(ttml(body)) == RED


def test_times_of_several_spans():
    """Lines at their own times; a paragraph without an end lasts until the next, or its words."""
    lines = (
        '<body><div><p><span begin="1s" end="2s">Red and</span><br/>'
        '<span begin="3s" end="4s">then blue.</span></p>'
        '<p begin="5s" end="9s">Well, <span begin="1s" end="2s">so it is.</span></p>'
        '<p begin="10s">One</p><p begin="12s">Two</p></div></body>'
    )
    assert shown(ttml(lines)) == [
        (1, 2, "Red and"), (3, 4, "then blue."), (5, 7, "Well, so it is."),
        (10, pytest.approx(11 + 1 / 3, abs=1e-4), "One"), (12, pytest.approx(13 + 1 / 3, abs=1e-4), "Two"),
    ]  # fmt: skip


@pytest.mark.parametrize("at", [0, 10])
@pytest.mark.parametrize("p", ['<p begin="10s" end="13s">', "<p>"])
def test_words_have_their_times_whether_counted_from_the_line_or_from_the_film(at, p):
    """Lyrics count every time from the beginning of the film, the standard from the parent."""
    zero = 10 if p == "<p>" else at
    words = "".join(
        f'<span begin="{zero + a}s" end="{zero + b}s">{word}</span>{space}'
        for a, b, word, space in [
            (0, 0.5, "Ka", ""), (0.5, 1, "ra", " "), (1, 2, "is", " "), (2, 3, "&lt;i&gt;", "")
        ]
    )  # fmt: skip
    (cue,) = parse(ttml(f'<body dur="60s"><div>{p}{words}</p></div></body>'), "ttml")
    assert (cue.start, cue.end, cue.text) == (10 * S, 13 * S, "Kara is <i>")
    assert timed(cue) == [(10, 11, "Kara"), (11, 12, "is"), (12, 13, "<i>")]


def test_lines_in_a_timed_division_that_count_from_the_film():
    lines = "".join(f'<p begin="{t}s" end="{t + 2}s">Line {t}</p>' for t in (20, 23, 26))
    body = f'<body dur="60s"><div begin="20s" end="28s">{lines}</div></body>'
    assert [start for start, *_ in shown(ttml(body))] == [20, 23, 26]


def test_one_language_of_several_divisions():
    divisions = "".join(
        f'<div xml:lang="{name}"><p begin="1s" end="2.5s">{text}</p></div>'
        for name, text in [("fr", "Rouge."), ("en-US", "Red."), ("ko", "빨강")]
    )
    text = ttml(f'<body>{divisions}<div><p begin="3s" end="4s">!</p></div></body>')
    for language, first in [("en", "Red."), ("kor", "빨강"), ("de", "Rouge."), (None, "Rouge.")]:
        assert [text for *_, text in shown(text, language=language)] == [first, "!"]


def test_text_of_xml_is_text():
    p = '<p begin="1s" end="2s">If a &lt; b &amp;amp; &lt;i&gt;c&lt;/i&gt;&nbsp;{\\an8}<!-- no --> d</p>'
    (cue,) = parse(ttml(f"<body><div>{p}</div></body>"), "ttml")
    assert cue.text == "If a < b &amp; <i>c</i>\xa0 d"


def test_words_that_are_highlighted_one_by_one():
    line = ["one", "two", "three"]
    body = "".join(
        f'<p begin="{i}s" end="{i + 1}s">'
        + " ".join(f'<span tts:color="red">{w}</span>' if i == j else w for j, w in enumerate(line))
        + "</p>"
        for i in range(3)
    )
    assert shown(ttml(f"<body><div>{body}</div></body>")) == [(0, 3, "one two three")]


@pytest.mark.parametrize(
    "text",
    [
        ttml('<body><p begin="yesterday" end="2s">a</p></body>'),
        ttml('<body><p begin="1s" end="2s">a</p></body>', 'ttp:frameRate="0"'),
        ttml('<body><p begin="1f" end="2s">a</p></body>', 'ttp:frameRate="many"'),
        ttml("<body>" + "<div>" * 3000 + "</div>" * 3000 + "</body>"),
        ttml('<body><p begin="1s">' + "<span>" * 3000 + "</span>" * 3000 + "</p></body>"),
        ttml("<body>")[:-9],
        "<sami><body>nothing</body>",
    ],
)
def test_what_is_broken_is_one_typed_line(tmp_path, text):
    (tmp_path / "a.dfxp").write_text(text)
    with pytest.raises(SubtitleError, match=r"a\.dfxp") as caught:
        read_subtitles(tmp_path / "a.dfxp")
    assert "\n" not in str(caught.value)


SAMI = """<SAMI>
<HEAD><STYLE TYPE="text/css"><!--
P { font-family: Arial; }
.ENCC { Name: English; lang: en-US; SAMIType: CC; }
.KRCC { Name: Korean; lang: ko-KR; SAMIType: CC; }
--></STYLE></HEAD>
<BODY>
<SYNC Start=1000><P Class=ENCC>Red &amp; <i>blue</i>,<br>
  she said.<P Class=KRCC>빨강
<SYNC Start=2000><P Class=KRCC>&nbsp;
<SYNC Start=4000><P Class=ENCC>&nbsp;
<SYNC Start="5000"><P Class='krcc'><font color=red>파랑</font></P><P Class=ENCC><span>Blue?</span></P></SYNC>
<SYNC Start=9000><P>&nbsp;</P>
<SYNC Start=10000><P Class=ENCC>End.
</BODY>
</SAMI>
"""
ENGLISH = [
    (1, 4, "Red & blue,\nshe said."), (5, 9, "Blue?"), (10, pytest.approx(11 + 1 / 3, abs=1e-4), "End."),
]  # fmt: skip


def test_sami_is_read_in_one_language_with_the_ends_that_it_states():
    assert shown(SAMI, "smi", "en") == ENGLISH
    assert shown(SAMI.lower(), "smi", "en")[1] == (5, 9, "blue?")
    assert shown(SAMI, "smi", "kor") == [(1, 2, "빨강"), (5, 9, "파랑")]
    assert shown(SAMI, "smi") == shown(SAMI, "smi", "fr") == ENGLISH, "the fuller one"
    assert shown("<sync start=1000>A<sync start=2000>", "smi", "en") == [(1, 2, "A")]


def test_a_film_takes_the_wanted_language_of_sami(tmp_path):
    path = write_film(tmp_path / "a.mp4", seconds=1, sound=None)
    (tmp_path / "a.smi").write_text(SAMI, encoding="cp949")
    assert [c.text for c in decode(path).cues][1] == "Blue?"
    assert [c.text for c in decode(path, TripletConfig(language="ko")).cues] == ["빨강", "파랑"]
    (tmp_path / "a.smi").rename(tmp_path / "a.ko.smi")
    assert [c.text for c in decode(path).cues] == ["빨강", "파랑"]
    (tmp_path / "a.ko.smi").rename(tmp_path / "a.v2.smi")
    assert [c.text for c in read_subtitles(tmp_path / "a.v2.smi", "ko")] == ["빨강", "파랑"]

"""Speaker roles: marks move from the text into the role, and everything else stays text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.triplets.dialogues.roles import read_roles


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


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("GUIDE (V.O.): It is red.", [("guide", "It is red.")]),
        ("GUIDE (CONT'D): It is red.", [("guide", "It is red.")]),
        ("GUIDE (softly): It is red.", [("guide", "(softly) It is red.")]),
        ("[GUIDE] It is red.", [("guide", "It is red.")]),
        ("[GUIDE]: It is red.", [("guide", "It is red.")]),
        ("[MUSIC PLAYING] It is red.", [(None, "[MUSIC PLAYING] It is red.")]),
        ("[GUIDE]", [(None, "[GUIDE]")]),
        (">> GUIDE: It is red.", [("guide", "It is red.")]),
        (">>> It is red.\n>> Is it?", [(None, "It is red."), (None, "Is it?")]),
        ("GUIDE:\nIt is red.", [("guide", "It is red.")]),
        ("THE END:", [(None, "THE END:")]),
        ("GUIDE:\nVISITOR: Red?", [(None, "GUIDE:"), ("visitor", "Red?")]),
        ("GUIDE：It is red.", [("guide", "It is red.")]),
        ("Meet me at 10: bring it.", [(None, "Meet me at 10: bring it.")]),
        ("At 10: bring it.", [(None, "At 10: bring it.")]),
        ("-5 degrees.\n-3 degrees.", [(None, "-5 degrees. -3 degrees.")]),
        ("He left\n-- or not.", [(None, "He left -- or not.")]),
        ("注意：小心。", [(None, "注意：小心。")]),
        ("REMEMBER: LOOK LEFT.", [(None, "REMEMBER: LOOK LEFT.")]),
        ("<SCRIPT>: ../../x", [(None, "<SCRIPT>: ../../x")]),
        ("../X: hello", [(None, "../X: hello")]),
    ],
)
def test_marks_that_are_names_and_marks_that_are_not(text, pieces):
    assert [(cue.role, cue.text) for cue in read_roles((Cue(0, 16_000, text),))] == pieces


def roles(*texts: str) -> list[str | None]:
    """The role of each cue."""
    return [
        cue.role for cue in read_roles(tuple(Cue(i, i + 1, text) for i, text in enumerate(texts)))
    ]


def test_the_film_tells_names_from_words():
    """A repeated mark is a name, unless the film uses it as a word or alone in brackets."""
    assert roles("王：你好。", "李：你好。", "王：再见。") == ["王", None, "王"]
    assert roles("Dr. Weiss: Hi.", "Dr. Weiss: Bye.") == ["dr. weiss", "dr. weiss"]
    assert roles("I said: go.", "he said: no.", "he said: yes.") == [None, None, None]
    other = [f"Line {i} as I remember it." for i in range(50)]
    assert roles("Remember: left.", "Remember: right.", *other)[:2] == [None, None]
    assert roles("Guide: left.", "Guide: right.", "the guide said.")[:2] == ["guide", "guide"]
    found = roles("[LAUGHS] I know.", "[TRUMPET]", "[TRUMPET] So.", "[ANNA] So?")
    assert found == [None, None, None, "anna"]
    found = roles("ANNA: GO ON.", "WAIT: WHAT?", "ANNA: SO.")
    assert found == ["anna", None, "anna"], "all in capitals: they carry no information"


def dialogue(*texts: str, seconds: float = 2.0) -> list[tuple[str | None, str]]:
    """Role and text of cues that follow each other."""
    step = round(16_000 * seconds)
    cues = tuple(Cue(i * step, i * step + 32_000, text) for i, text in enumerate(texts))
    return [(cue.role, cue.text) for cue in read_roles(cues)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Who is it? >> Me.", [(None, "Who is it?"), (None, "Me.")]),
        (">> Who is it? >> Me. >> You!", [(None, "Who is it?"), (None, "Me."), (None, "You!")]),
        ("Is it?>>It is.", [(None, "Is it?"), (None, "It is.")]),
        ("“Is it?” >>> [LAUGHS] It is.", [(None, "“Is it?”"), (None, "[LAUGHS] It is.")]),
        ("Red. >> GUIDE: Blue.\nAnd green.", [(None, "Red."), ("guide", "Blue. And green.")]),
        ("- Red. - Blue?", [(None, "Red."), (None, "Blue?")]),
        ("-Red? -Anna said so.", [(None, "Red?"), (None, "Anna said so.")]),
        # shifts, streams and quotes of programmers, asides, numbers
        ("std::cin >> x shifts 1 >> 2", [(None, "std::cin >> x shifts 1 >> 2")]),
        ("a list<list<int>> is it", [(None, "a list<list<int>> is it")]),
        ("Wait >> for it", [(None, "Wait >> for it")]),
        ("What? >>", [(None, "What? >>")]),
        ("He said - well - nothing. - Nothing?", [(None, "He said - well - nothing. - Nothing?")]),
        ("- It is cold. -5 degrees.", [(None, "- It is cold. -5 degrees.")]),
        ("- Well - no.", [(None, "- Well - no.")]),
    ],
)
def test_marks_inside_a_line(text, pieces):
    assert dialogue(text) == pieces


def test_arrows_that_open_lines_count_anywhere():
    """Live captions without punctuation."""
    assert dialogue(">> so what", "yeah okay >> right so") == [
        (None, "so what"), (None, "yeah okay"), (None, "right so"),
    ]  # fmt: skip


def test_words_keep_their_times_when_a_line_has_several_speakers():
    texts = ["Who?", ">>", "Me,", "Anna."]
    words = tuple(Word(i, i + 1, text) for i, text in enumerate(texts))
    first, second = read_roles((Cue(0, 4, " ".join(texts), words=words),))
    assert (first.words, second.words) == (words[:1], words[2:])
    assert (first.end, second.start, second.end) == (1, 2, 4)


def test_a_sentence_that_runs_on_is_its_speakers():
    found = dialogue("GUIDE: Look at the red", "and blue ones,", "which are new.", "they are.")
    assert [role for role, _ in found] == ["guide", "guide", "guide", None]
    assert dialogue("GUIDE: Look at", "Anna.")[1] == (None, "Anna.")
    assert dialogue("GUIDE: Look at", "the sign.", seconds=9)[1] == (None, "the sign.")
    assert dialogue("GUIDE: Look at", "- the sign?\n- No.")[1:] == [
        (None, "the sign?"), (None, "No."),
    ]  # fmt: skip
    found = dialogue("GUIDE: Look at", "[MUSIC]", "the sign.", seconds=1)
    assert [role for role, _ in found] == ["guide", None, "guide"]


def test_a_speaker_stays_where_every_change_is_marked():
    """As on television: `>>` opens each change, and only there a name."""
    film = [">> GUIDE: It is red.", "It is also big.", "♪ la ♪", "Do you see?", ">> I do.", "Yes."]
    assert [role for role, _ in dialogue(*film)] == [
        "guide", "guide", None, "guide", None, None,
    ]  # fmt: skip
    without = [text.replace(">> ", "") for text in film]
    assert [role for role, _ in dialogue(*without)] == ["guide", *[None] * 5]
    assert dialogue(*film, seconds=9)[1][0] is None


words = st.lists(
    st.one_of(
        st.text(st.characters(categories=["L"]), min_size=1, max_size=8),
        st.sampled_from(
            ["<script>", "../..", "--", "-->", "3:2", "https://x.org", "[x", "50%", "x,y"]
        ),
    ),
    min_size=1,
    max_size=6,
)
# marks as screenwriters put them before a line
marks = st.sampled_from(
    ["", "- ", "GUIDE: ", "- GUIDE: ", ">> ", "[ANNA] ", "Anna: ", "王：", "Note: ", "BEN (V.O.): "]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(marks, words), min_size=1, max_size=3), max_size=6))
def test_roles_conserve_text(cues):
    """A mark moves into the role or stays in the text; every other word stays, once, in order."""
    written = [[m + " ".join(said_words) for m, said_words in lines] for lines in cues]
    read = read_roles(tuple(Cue(i, i + 1, "\n".join(lines)) for i, lines in enumerate(written)))
    pattern = ""
    for line_mark, said_words in (line for lines in cues for line in lines):
        pattern += (
            rf"(?:{re.escape(line_mark.strip())}\s*)?"
            + re.escape(" ".join(" ".join(said_words).split()))
            + r"\s*"
        )
    assert re.fullmatch(pattern.replace(r"\ ", r"\s+"), " ".join(cue.text for cue in read))
    assert all(cue.text and cue.start <= cue.end for cue in read)

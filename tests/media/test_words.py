"""Words of a text, also where none stand between spaces: cut, timed and compared piece by piece."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import SequenceConfig
from omni_lab.media.speech.recognise import _words
from omni_lab.media.subtitles.reader import Cue, Word, parse
from omni_lab.media.subtitles.words import word_spans, words_of
from omni_lab.sequences.stream import omni_stream
from omni_lab.triplets.cutting.clips import assign
from omni_lab.triplets.cutting.cut import cut
from omni_lab.triplets.dialogues.roles import read_roles
from omni_lab.triplets.record import Triplet

S = 16_000
LINES = {
    "zh": "今天天气很好，我们一起去公园散步吧。" * 6,
    "ja": "今日は天気がいいですね、コンピューターゲームでもしましょうか。" * 4,
    "th": "สวัสดีครับวันนี้อากาศดีมากเราไปเดินเล่นกัน" * 4,
    "km": "សួស្តីអ្នកទាំងអស់គ្នាថ្ងៃនេះអាកាសធាតុល្អណាស់" * 4,
    "lo": "ສະບາຍດີມື້ນີ້ອາກາດດີຫຼາຍ" * 5,
    "my": "မင်္ဂလာပါဒီနေ့ရာသီဥတုကောင်းတယ်" * 5,
    "bo": "བོད་སྐད་ཡིན་" * 12,
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("今日は、「いい」天気。", "今|日|は、|「い|い」|天|気。"),
        ("コンピュータ・ゲームって何？", "コンピュータ・|ゲームっ|て|何？"),
        ("きょうはちょっと々", "きょ|う|は|ちょっ|と々"),
        ("iPhone15を50%買う", "iPhone15|を|50%|買|う"),
        ("(笑)♪～ - 注意：hello, world—ok", "(笑)♪～|-|注|意：|hello,|world—ok"),
        ("เขาไม่รู้ ๒๐๒๔ ต่างๆ", "เขา|ไม่|รู้|๒๐๒๔|ต่า|งๆ"),
        ("ខ្ញុំស្រឡាញ់។", "ខ្ញុំ|ស្រ|ឡា|ញ់។"),
        ("བོད་སྐད་ཡིན།", "བོད་|སྐད་|ཡིན།"),
        ("한국어는 띄어쓰기를 한다.", "한국어는|띄어쓰기를|한다."),
        ("「", "「"),
        ("ខ្ញុំ\u200bស្រឡាញ់\u200bអ្នក", "ខ្ញុំ\u200b|ស្រឡាញ់\u200b|អ្នក"),
        ("สวัสดี\u200b" + "กา" * 20, "สวัสดี\u200b|" + "|".join(["กา"] * 20)),
    ],
)
def test_words_of_scripts_with_and_without_spaces(text, words):
    assert words_of(text) == words.split("|")


text = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("今日はコー。「」 ก้เា ស្ត་a-\n\u200b"),
    )
)


@settings(deadline=None, max_examples=150)
@given(text)
def test_words_leave_out_spaces_and_nothing_else(text):
    spans = word_spans(text)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert "".join(text[a:b] for a, b in spans) == "".join(text.split())
    if text.isascii():
        assert words_of(text) == text.split()


@pytest.mark.parametrize("language", LINES)
def test_a_long_line_without_spaces_is_divided_among_its_clips(language):
    """In proportion to time, joined without loss."""
    cue = Cue(S, 59 * S, LINES[language])
    clips = cut(60 * S, [cue])
    assigned = assign([cue], clips)
    assert all(len(own) == 1 for own in assigned)
    assert "".join(own[0].text for own in assigned) == cue.text
    for clip, own in zip(clips, assigned, strict=True):
        spoken = min(clip.end, cue.end) - max(clip.start, cue.start)
        fraction = spoken / (cue.end - cue.start)
        assert abs(len(own[0].text) / len(cue.text) - fraction) < 0.06


@pytest.mark.parametrize(
    "grown",
    [
        ["今日は", "今日は天気が", "今日は天気がいいですね"],
        ["今日は", "今日は、天気が", "今日は、天気がいいですね。"],
        ["コン", "コンピュ", "コンピュータ"],
        ["我们", "我们去", "我们去iPhone", "我们去iPhone店"],
        ["สวัส", "สวัสดี", "สวัสดีครับ", "สวัสดีครับ วันนี้"],
        ["ជំរាប", "ជំរាបសួរ", "ជំរាបសួរអ្នក"],
    ],
    ids=["japanese", "commas", "katakana", "chinese", "thai", "khmer"],
)
def test_captions_that_grow_without_spaces_are_kept_once(grown):
    text = "".join(
        f"{i}\n00:00:{i:02d},000 --> 00:00:{i + 1:02d},000\n{line}\n\n"
        for i, line in enumerate(grown, 1)
    )
    cues = parse(text, "srt")
    assert "".join(cue.text for cue in cues) == grown[-1].replace(" ", "")
    assert [cue.start for cue in cues] == [S * i for i in range(1, len(grown) + 1)]


def test_captions_that_roll_without_spaces_are_kept_once():
    lines = ["今日は天気がいい", "公園に行こう", "はい、行きましょう"]
    shown = [lines[:1], lines[:2], lines[1:]]
    text = "".join(
        f"00:0{i} --> 00:0{i + 1}\n" + "\n".join(screen) + "\n\n" for i, screen in enumerate(shown)
    )
    assert [cue.text for cue in parse(text, "srt")] == lines


def test_times_within_a_line_without_spaces_reach_its_characters():
    """Characters between two times share what is between them."""
    text = "<00:10.000>今日は<00:11.500>天気<00:12.000>。「はい」"
    (cue,) = parse(f"WEBVTT\n\n00:10.000 --> 00:13.000\n{text}", "vtt")
    assert [(w.text, w.start / S, w.end / S) for w in cue.words] == [
        ("今", 10, 10.5), ("日", 10.5, 11), ("は", 11, 11.5),
        ("天", 11.5, 11.75), ("気。", 11.75, 12),
        ("「は", 12, 12.5), ("い」", 12.5, 13),
    ]  # fmt: skip


def test_a_line_without_spaces_and_with_times_stands_in_its_units():
    words = tuple(Word(i * S, i * S + S, text) for i, text in enumerate("今日は天気"))
    cue = Cue(0, 5 * S, "今日は天気", "guide", "vtt_voice", words=words)
    triplet = Triplet(
        "a", 0, 5 * S, np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64),
        np.zeros(0, np.float32), (cue,), frozenset({"text"}),
    )  # fmt: skip
    items = omni_stream(triplet, SequenceConfig()).items
    assert [(item.unit, item.text) for item in items if item.kind == "text"] == list(
        enumerate("今日は天気")
    )


def test_characters_keep_their_times_when_speakers_are_told_apart():
    words = tuple(
        Word(i, i + 1, text) for i, text in enumerate(["王：", "你", "好。", "-", "再", "见"])
    )
    cues = (Cue(0, 6, "王：你好。\n- 再见", words=words), Cue(6, 7, "王：是。"))
    first, second, _ = read_roles(cues)
    assert (first.role, first.text, first.words) == ("王", "你好。", words[1:3])
    assert (second.role, second.text, second.words) == (None, "再见", words[4:])


class ByteTokens:
    """Tokenizer of one to three bytes a token, as Whisper's are; the last two are special."""

    pieces = (
        b" So",
        "今日".encode(),
        "天".encode()[:2],
        "天".encode()[2:],
        "。 ok".encode(),
    )
    all_special_ids = (5,)

    def decode(self, tokens: list[int]) -> str:
        return b"".join(self.pieces[t] for t in tokens).decode(errors="replace")


def test_recognised_characters_have_the_times_of_their_tokens():
    """One of two tokens is heard until the second ends; a token of two characters gives both its time."""
    found = _words(ByteTokens(), [6, 0, 1, 2, 3, 4, 6], [0, 1, 2, 3, 4, 5, 9], "So今日天。 ok")
    assert [(w.text, w.start, w.end) for w in found] == [
        ("So", 1, 2), ("今", 2, 3), ("日", 2, 3), ("天。", 4, 9), ("ok", 5, 9),
    ]  # fmt: skip
    assert _words(ByteTokens(), [0, 1], [1, 2], "So what") == ()

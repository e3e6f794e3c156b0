"""Word losses of captions: words from tokens, forms of data, rows that resume, selection."""

import io
import json
import tarfile
import zlib

import numpy as np
import pytest
from clip_shards import clip, picture, write_shards
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.adapters.interface import TokenLosses
from omni_lab.analysis.svlm.captions import BLIND, TEXTLESS, UNREAD, UNSEEN, Captions, Skipped
from omni_lab.analysis.svlm.score import LEFT_OUT, ROWS, UNSCORED, keep_top, merit, read_rows, score
from omni_lab.analysis.svlm.words import word_losses
from omni_lab.errors import InputError, UsageError


class Letters:
    """A model with a token per letter, or per so many letters; it counts what it scores."""

    def __init__(self, name="letters", size=1, factor=1.0):
        self.name, self.size, self.factor, self.seen = name, size, factor, []

    def contents(self):
        return {"weights": f"{self.name} {self.factor}", "tokenizer": str(self.size)}

    def token_losses(self, samples):
        if any("unreadable" in sample.text for sample in samples):
            raise InputError("it cannot be read")
        self.seen += [sample.text for sample in samples]
        return [self.of(sample.text) for sample in samples]

    def of(self, text):
        starts = range(0, len(text), self.size)
        spans = [[start, min(start + self.size, len(text))] for start in starts]
        values = [self.factor * (zlib.crc32(text[a:b].encode()) % 97) / 10 for a, b in spans]
        return TokenLosses(np.float32(values), np.array(spans, np.int64).reshape(-1, 2))


@settings(max_examples=60)
@given(st.text(max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_every_token_is_in_one_word_and_every_letter_in_one_word(text, one, other):
    models = [Letters(size=size).of(text) for size in (one, other)]
    spans, losses = word_losses(text, models)
    shown = [place for place, letter in enumerate(text) if not letter.isspace()]
    held = [place for start, end in spans.tolist() for place in range(start, end)]
    assert set(shown) <= set(held) and len(held) == len(set(held))
    for model, own in zip(models, losses, strict=True):
        if len(spans):
            assert np.isclose(np.nansum(own), model.losses.astype(np.float64).sum())
        for start, end in model.spans.tolist():
            inner = [place for place in range(start, end) if place in shown]
            assert len({int(np.searchsorted(spans[:, 1], at, "right")) for at in inner}) <= 1


def test_words_of_two_vocabularies_have_the_sums_of_their_tokens():
    text = "two red cats"
    one = TokenLosses(np.float32([1, 2, 3, 4]), np.array([[0, 3], [3, 7], [7, 10], [10, 12]]))
    other = TokenLosses(np.float32([5, 6, 7]), np.array([[0, 4], [4, 7], [7, 12]]))
    spans, (first, second) = word_losses(text, [one, other])
    assert [text[a:b] for a, b in spans.tolist()] == ["two", "red", "cats"]
    assert first.tolist() == [1, 2, 7] and second.tolist() == [5, 6, 7]


def test_words_that_a_token_joins_are_one_word_for_all_models():
    text = "in front of it"
    one = TokenLosses(np.float32([1, 2]), np.array([[0, 11], [11, 14]]))  # across words
    other = TokenLosses(np.float32([1, 2, 4, 8]), np.array([[0, 2], [2, 8], [8, 11], [11, 14]]))
    spans, (first, second) = word_losses(text, [one, other])
    assert [text[a:b] for a, b in spans.tolist()] == ["in front of", "it"]
    assert first.tolist() == [1, 2] and second.tolist() == [7, 8]


def test_bytes_of_one_letter_white_space_and_tokens_without_loss():
    text = "a 🐈\n\nb"
    spans = np.array([[0, 1], [1, 2], [2, 3], [2, 3], [3, 5], [5, 6]])
    found, (losses,) = word_losses(text, [TokenLosses(np.float32([np.nan, 1, 2, 4, 8, 16]), spans)])
    assert [text[a:b] for a, b in found.tolist()] == ["a", "🐈", "b"]
    assert np.isnan(losses[0]) and losses[1:].tolist() == [7, 24]


def test_scripts_without_spaces_have_a_word_per_character():
    text = "猫が、red"
    spans, _ = word_losses(text, [Letters().of(text)])
    assert [text[a:b] for a, b in spans.tolist()] == ["猫", "が、", "red"]


@pytest.mark.parametrize("spans", [[[2, 3], [0, 1]], [[0, 9]], [[2, 1]]])
def test_spans_that_cannot_be_aligned_are_refused(spans):
    losses = TokenLosses(np.ones(len(spans), np.float32), np.array(spans))
    with pytest.raises(InputError, match="cannot be aligned with 'a cat'"):
        word_losses("a cat", [losses])


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def pairs(folder, *more):
    texts = ("a red cat", "two dogs", "a bird")
    members = [
        member
        for number, text in enumerate(texts)
        for member in ((f"{number}.jpg", picture(60 * number)), (f"{number}.txt", text.encode()))
    ]
    return tar_of(folder / "pairs.tar", [*members, *more])


def flat(captions):
    return [one for entry in captions for one in entry]


def test_captions_of_shards_are_the_words_of_a_clip_with_a_few_frames(tmp_path):
    clips = [clip(0), clip(1, has="audio text"), clip(2, has="image audio"), clip(3, seconds=4.0)]
    write_shards(tmp_path / "shards", clips)
    first, blind, mute, last = flat(Captions(tmp_path / "shards", frames=3))
    assert first.id == clips[0].clip_id and first.text == "red 0 red 0"
    assert [len(one.pictures()) for one in (first, last)] == [3, 3]
    assert [one.kind for one in (blind, mute)] == [BLIND, TEXTLESS]


def test_captions_of_a_chat_are_its_answers_each_with_its_question(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(picture(9))
    image = [{"type": "image", "image": "a.jpg"}, {"type": "text", "text": "What is it?"}]
    chats = [
        [
            {"role": "user", "content": image},
            {"role": "assistant", "content": "A cat."},
            {"role": "user", "content": [{"type": "image", "image": "b.jpg"}]},
            {"role": "assistant", "content": "A dog."},
        ],
        [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}],
        [{"role": "user", "content": image}],
        [{"role": "user", "content": image}, {"role": "assistant", "content": "\ud83d"}],
    ]
    lines = [json.dumps({"messages": chat}) for chat in chats]
    (tmp_path / "chat.jsonl").write_text("\n".join([*lines, "{broken", ""]))
    one, two, *skipped = flat(Captions(tmp_path / "chat.jsonl"))
    assert [(x.text, x.question, len(x.pictures())) for x in (one, two)] == [
        ("A cat.", "What is it?", 1),
        ("A dog.", "", 2),
    ]
    assert one.id == "chat.jsonl: chat at byte 0, answer 1"
    assert [x.kind for x in skipped] == [BLIND, TEXTLESS, UNREAD, UNREAD]


def test_names_that_come_twice_are_told_apart(tmp_path):
    path = pairs(tmp_path, ("0.jpg", picture(5)), ("0.txt", b"again"))
    assert [one.id for one in flat(Captions(path))][::3] == ["pairs.tar/0", "pairs.tar/0 (2)"]


def test_a_name_that_looks_like_a_number_of_another_is_told_apart_too(tmp_path):
    names = ("a", "a (2)", "a")
    members = [
        member
        for number, name in enumerate(names)
        for member in ((f"{name}.jpg", picture(60 * number)), (f"{name}.txt", b"a cat"))
    ]
    found = score(
        Captions(tar_of(tmp_path / "t.tar", members)), Letters(), None, tmp_path / "out",
        progress=False,
    )  # fmt: skip
    assert len(found.rows) == len({row["id"] for row in found.rows}) == 3


def test_a_file_whose_name_is_no_utf8_is_scored_and_named_all_the_same(tmp_path):
    named = tmp_path / b"pairs-\xff.jsonl".decode(errors="surrogateescape")
    (tmp_path / "a.jpg").write_bytes(picture(9))
    image = {"role": "user", "content": [{"type": "image", "image": "a.jpg"}]}
    chats = [[image, {"role": "assistant", "content": "A cat."}], [image]]
    named.write_text("\n".join(json.dumps({"messages": chat}) for chat in chats))
    found = score(Captions(named), Letters(), None, tmp_path / "two", progress=False)
    assert len(found.rows) == 1 and read_rows(tmp_path / "two") == found.rows
    assert found.counts() == {TEXTLESS: 1}


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_captions_is_one_line(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"^{tmp_path / name}: ") as error:
        Captions(tmp_path / name)
    assert "\n" not in str(error.value)


def test_rows_hold_words_losses_and_their_difference_and_what_is_skipped_is_named(tmp_path):
    broken = [("3.jpg", b"no picture"), ("3.txt", b"gone"), ("4.txt", b"blind"),
              ("5.jpg", picture(1)), ("5.txt", b"unreadable by the model")]  # fmt: skip
    captions = Captions(pairs(tmp_path, *broken))
    models = Letters(), Letters("others", size=2, factor=3.0)
    found = score(captions, *models, tmp_path / "out", batch=4, progress=False)
    assert [row["text"] for row in found.rows] == ["a red cat", "two dogs", "a bird"]
    assert read_rows(tmp_path / "out") == found.rows
    for row in found.rows:
        assert len(row["words"]) == len(row["reference"]) == len(row["trainee"])
        differences = np.subtract(row["trainee"], row["reference"])
        assert np.allclose(row["excess"], differences, atol=2e-4)
    lines = (tmp_path / "out" / LEFT_OUT).read_text().splitlines()
    left = [Skipped(**json.loads(line)) for line in lines]
    assert [(one.id, one.kind) for one in left] == [
        ("pairs.tar/3", UNSEEN),
        ("pairs.tar/4", BLIND),
        ("pairs.tar/5", UNSCORED),
    ]
    assert found.counts() == {UNSEEN: 1, BLIND: 1, UNSCORED: 1}


def test_words_without_a_finite_loss_and_captions_without_a_word_are_rows_all_the_same(tmp_path):
    class Broken(Letters):
        def of(self, text):
            found = super().of(text)
            if "dogs" in text:
                found.losses[:] = np.inf
            return found

    path = pairs(tmp_path, ("3.jpg", picture(1)), ("3.txt", b" \n "))
    found = score(Captions(path), Broken(), None, tmp_path / "out", progress=False)
    assert found.rows[1]["reference"] == [None, None], "JSON has no infinity"
    assert found.counts() == {TEXTLESS: 1}
    kept = keep_top([merit(row) for row in found.rows], 0.5).words
    assert kept[1].all(), "what has no loss is never dropped"


def test_a_stopped_call_goes_on_and_scores_only_what_is_missing_or_changed(tmp_path):
    path = pairs(tmp_path)
    whole = score(Captions(path), Letters(), None, tmp_path / "out", progress=False)
    file = tmp_path / "out" / ROWS
    text = file.read_text()
    lines = text.splitlines(keepends=True)
    file.write_text(lines[1] + lines[0] + lines[2][:30])  # killed while it wrote

    model = Letters()
    found = score(Captions(path), model, None, tmp_path / "out", progress=False)
    assert model.seen == ["a bird"] and found.again == 2
    assert found.rows == whole.rows and file.read_text() == text

    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    members[0] = ("0.jpg", picture(200))  # another picture under the same text
    members[3] = ("1.txt", b"two cats")
    tar_of(path, members)
    model = Letters()
    score(Captions(path), model, None, tmp_path / "out", progress=False)
    assert model.seen == ["a red cat", "two cats"]


def test_other_models_score_again(tmp_path):
    path = pairs(tmp_path)
    score(Captions(path), Letters(), None, tmp_path / "out", progress=False)
    for pair in ((Letters(factor=2.0), None), (Letters(), Letters("trainee"))):
        found = score(Captions(path), *pair, tmp_path / "out", progress=False)
        assert pair[0].seen == ["a red cat", "two dogs", "a bird"] and found.again == 0
        assert read_rows(tmp_path / "out") == found.rows
    again = score(Captions(path), model := Letters(), None, tmp_path / "out", progress=False)
    assert model.seen == [] and again.again == 3, "rows of other models were set aside, not lost"
    assert read_rows(tmp_path / "out") == again.rows


def test_a_folder_that_is_no_folder_of_rows_is_refused(tmp_path):
    path = pairs(tmp_path)
    (tmp_path / "out").mkdir()
    row = {"id": [3], "models": "ab", "text": "", "question": "", "pictures": [], "words": []}
    for line in ('{"id": "a"}', "3", json.dumps(row | {"reference": []}), "{broken"):
        (tmp_path / "out" / ROWS).write_text(f"{line}\n")
        with pytest.raises(InputError, match=r"svlm.jsonl:1: not a scored caption; delete the"):
            score(Captions(path), Letters(), None, tmp_path / "out", progress=False)
    with pytest.raises(UsageError, match="not writable"):
        score(Captions(path), Letters(), None, path, progress=False)
    blind = tar_of(tmp_path / "blind.tar", [("0.txt", b"a")])
    with pytest.raises(InputError, match="no caption that can be scored"):
        score(Captions(blind), Letters(), None, tmp_path / "new", progress=False)


def test_the_top_fraction_is_of_all_words_and_words_without_a_loss_are_kept():
    merits = [np.array([3.0, np.nan, 1.0]), np.array([]), np.array([2.0, 1.0])]
    kept = keep_top(merits, 0.75)
    assert [own.tolist() for own in kept.words] == [[True, True, True], [], [True, False]]
    assert kept.threshold == 1.0
    assert all(own.all() for own in keep_top(merits, 1.0).words)
    assert keep_top([], 0.5).words == []
    for ratio in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(UsageError, match="above 0 and at most 1"):
            keep_top(merits, ratio)


def test_merit_is_excess_loss_or_a_low_loss_of_the_reference():
    assert merit({"excess": [1.5, None]}).tolist()[0] == 1.5
    assert merit({"reference": [1.5, 0.5]}).tolist() == [-1.5, -0.5]

"""Tables of answers of any origin: columns by name, cells by meaning, what follows what; nothing guessed."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from omni_lab.analysis.confusion import (
    condition_of,
    followed_senses,
    matrices,
    normalised,
    read_answers,
)
from omni_lab.analysis.confusion.names import SENSES, find_columns, sense_of
from omni_lab.analysis.confusion.wording import absent
from omni_lab.errors import InputError, OmniLabError, UsageError

PLAIN = "asked,answer,image,audio,text\n"
COLOURS = ("red", "green", "blue", "black", "white")


def written(text, name="answers.csv", encoding="utf-8"):
    with open(name, "w", encoding=encoding, newline="") as file:
        file.write(text)
    return name


def counted(path, **options):
    """Counts of every group's matrix."""
    answers = read_answers(path, **options)
    found = matrices(answers, followed_senses(answers), resamples=5)
    return {name: one.counts.tolist() for name, one in found.items()}


def test_answers_are_compared_without_case_marks_articles_and_forms():
    path = written(
        PLAIN + 'image,"The RED ball.",red ball,green,Blue\naudio,ＢＬＵＥ,red,green,blue\n'
    )
    assert counted(path) == {"": [[1, 0, 0, 0], [0, 0, 1, 0]]}
    assert normalised("3.5") != normalised("35") and normalised("-5") != normalised("5")
    assert (
        normalised("5.0") == "5"
        and normalised("the") == "the"
        and normalised("की") != normalised("का")
    )


@settings(max_examples=200)
@given(st.text())
@example("İ")
@example("a - 3.0 - the")
def test_what_is_normalised_stays_as_it_is(text):
    once = normalised(text)
    assert normalised(once) == once and "  " not in once and once == once.strip()


@pytest.mark.parametrize(
    "header",
    [
        "question_modality,prediction,visual,sound,caption",
        "Target Modality;model output;Image content;audio says;text label",
        "modality\tresponse\tvideo\tspeech\tsubtitle",
        "unused|target|answer|picture|heard|ocr",
    ],
)
def test_columns_are_found_by_common_names_with_any_delimiter(header):
    mark = next(mark for mark in "\t;|," if mark in header)
    cells = ["x"] * header.startswith("unused") + ["vision", "red", "red", "green", "blue"]
    path = written(f"{header}\n{mark.join(cells)}\n\n{mark.join(cells)}\n")
    assert counted(path) == {"": [[2, 0, 0, 0]]}


def test_a_mapped_column_wins_and_an_empty_name_leaves_one_out():
    header = "asked,answer,prediction,image,audio,text,condition\n"
    path = written(header + "image,red,green,red,green,blue,easy\n")
    with pytest.raises(
        InputError, match=r"which column is answer\? 'answer', 'prediction'; --column"
    ):
        read_answers(path)
    mapped = {"answer": "Prediction", "condition": ""}
    assert counted(path, columns=mapped) == {"": [[0, 1, 0, 0]]}
    answers = read_answers(path, {"answer": "answer", "condition": ""})
    assert answers.condition is None and answers.columns["answer"] == "answer"


def test_what_was_followed_can_be_given():
    rows = "image,visual\naudio,none\ntext,\ntext,audio\n"
    answers = read_answers(written("asked,followed\n" + rows))
    found = matrices(answers, followed_senses(answers), resamples=5)[""]
    assert found.columns == (*SENSES, "none")
    assert found.counts.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 1]]


def test_questions_whose_senses_say_the_same_are_left_out_whatever_was_answered():
    rows = ["image,red,red,red,blue", "image,blue,red,red,blue", "image,x,red,green,Green."]
    rows += ["image,red,red,green,blue", "audio,red,red,,blue", "text,red,red,nan,red"]
    answers = read_answers(written(PLAIN + "\n".join(rows) + "\n"))
    found = followed_senses(answers)
    assert found.left_out == {
        "the sense asked for has no content": 1,
        "image and audio say the same": 2,
        "image and text say the same": 1,
        "audio and text say the same": 1,
    }
    assert matrices(answers, found, resamples=5)[""].counts.tolist() == [[1, 0, 0, 0]]


def test_a_sense_without_content_can_not_be_followed_and_empty_answers_follow_none():
    path = written(PLAIN + "image,,red,,blue\nimage,nan,red,,blue\nimage,blue,red,,blue\n")
    found = followed_senses(read_answers(path))
    assert found.column.tolist() == [3, 3, 2] and found.notes == ("2 empty answers count as none",)


def test_whole_sentences_as_answers_are_noticed():
    path = written(PLAIN + "image,it is red,red,green,blue\n" * 10)
    (note,) = followed_senses(read_answers(path)).notes
    assert note.startswith("100% of the answers are no sense's content; answers are compared whole")


def test_rows_without_a_sense_are_not_in_the_matrix_and_swapped_ones_are():
    header = "asked,answer,image,audio,text,condition\n"
    rows = [f"image,red,red,green,blue,{name}" for name in ("original", "swap_audio", "no text")]
    found = followed_senses(read_answers(written(header + "\n".join(rows))))
    assert found.counts.tolist() == [True, True, False]
    assert found.left_out == {"a sense was dropped": 1}


def test_groups_are_models_and_steps_in_the_order_of_their_numbers():
    header = "model,checkpoint,global_step,asked,answer,image,audio\n"
    rows = [f"m,c{n},{n},image,red,red,green\n" for n in (1000, 20, 3)]
    assert [*counted(written(header + "".join(rows)))] == [
        f"checkpoint c{n} · global_step {n}" for n in (3, 20, 1000)
    ]
    assert [*counted("answers.csv", by=["Global Step"])] == [
        f"global_step {n}" for n in (3, 20, 1000)
    ]
    assert [*counted("answers.csv", by=["model"])] == ["model m"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings_and_line_ends_do_not_matter(encoding):
    text = PLAIN + 'image,"grün,\nhell",gruen,"grün hell",blau\n' * 3
    path = written(text.replace("\n", "\r\n"), encoding=encoding)
    assert counted(path) == {"": [[0, 3, 0, 0]]}
    notes = read_answers(path).notes
    assert notes == (["read as cp1252, not as UTF-8"] if encoding == "cp1252" else [])


def test_json_lines_are_read_as_rows():
    row = {"asked": "audio", "answer": 2, "image": 1, "audio": 2.0, "text": None, "more": [1]}
    path = written("\n".join(json.dumps(row) for _ in range(3)) + "\n\n", "answers.jsonl")
    assert counted(path) == {"": [[0, 3, 0, 0]]}
    written('{"asked": "audio", "answer": "2"}\n{"asked": 1\n', "answers.jsonl")
    with pytest.raises(InputError, match=r"answers\.jsonl:2: no JSON object"):
        read_answers("answers.jsonl")


HEAD = PLAIN.strip()
FAULTS = {
    "": "answers.csv: empty; a table of answers has a header and a row for every question",
    HEAD: "answers.csv: no row below the header",
    "[1]": "answers.csv: one JSON document; a table of answers is CSV, TSV or JSON lines",
    "a,b\n1,2": "answers.csv: no column says which modality is asked; there are 'a', 'b'; --column",
    "asked,image,audio\nimage,a,b": "answers.csv: no column says what was answered; there are 'asked'",
    "asked,answer,image\nimage,a,b": "answers.csv: image alone has a column of its content",
    "asked,answer,image,audio,Image\n": "which column is image? 'image', 'Image'",
    "asked,answer,answer,image,audio\nimage,a,b,c,d": "answers.csv:1: two columns are named 'answer'",
    f"{HEAD}\nimage,a,b,c,d\n\nimage,a,b,c": "answers.csv:4: 4 cells, but the header has 5",
    f"{HEAD}\nimage,a,b,c,d,e": "answers.csv:2: 6 cells, but the header has 5; put cells that hold",
    f'{HEAD}\nimage,"a\n\n",b,c,d\nsmell,a,b,c,d': "answers.csv:5: asked: 'smell' is no modality; use",
    f"{HEAD}\nimage,a,b,c,d\n,a,b,c,d": "answers.csv:3: asked: empty cell; every row has a value",
    f"{HEAD}\nNaN,a,b,c,d": "answers.csv:2: asked: empty cell",
    f'{HEAD}\nimage,a,b,c,d\nimage,"a,b,c,d\nimage,a,b,c,d': "answers.csv:3: a quote is not closed",
    f"{HEAD},condition\nimage,a,b,c,d,blurred": "answers.csv:2: condition: condition 'blurred' is not",
    f"{HEAD},item\nimage,a,b,c,d,\n": "answers.csv:2: item: empty cell",
    f"{HEAD},model\nimage,a,b,c,d,nan\n": "answers.csv:2: group: empty cell",
    f"{HEAD},condition,correct\nimage,a,b,c,d,original,maybe": "answers.csv:2: correct: 'maybe' is n",
    "asked,followed\nimage,smell": "answers.csv:2: followed: 'smell' is no modality; use image, audio",
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_cannot_be_read_is_one_line_with_file_and_line(text):
    with pytest.raises(InputError) as told:
        read_answers(written(text))
    message = str(told.value)
    assert FAULTS[text] in message and "\n" not in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"smell": "a"}}, "--column smell: no such role; there are asked, answer"),
        ({"columns": {"answer": "x"}}, "--column answer=x: no such column; there are 'asked'"),
        (
            {"columns": {"image": "audio", "audio": "audio"}},
            "--column image=audio: that column is audio already",
        ),
        ({"by": ["x"]}, "--by x: no such column; there are 'asked', 'answer'"),
    ],
)
def test_a_call_that_names_what_is_not_there_is_told(options, message):
    with pytest.raises(UsageError) as told:
        read_answers(written(PLAIN + "image,a,b,c,d\n"), **options)
    assert message in str(told.value)


def test_letters_of_another_encoding_further_on_are_refused(own_folder):
    body = (PLAIN + "image,a,b,c,d\n" * 8000).encode() + b"image,gr\xfcn,b,c,d\n"
    (own_folder / "answers.csv").write_bytes(body)
    with pytest.raises(InputError, match=r"csv:\d+: letters that are not utf-8.*save the file as"):
        read_answers("answers.csv")


def test_too_many_groups_are_no_groups():
    rows = "".join(f"image,a,a,c,d,{n}\n" for n in range(600))
    path = written(PLAIN.strip() + ",id\n" + rows)
    with pytest.raises(InputError, match=r"answers\.csv:502: group: over 500 different values"):
        read_answers(path, by=["id"])
    assert counted(path) == {"": [[600, 0, 0, 0]]}


def test_when_no_question_can_tell_the_reasons_are_given():
    answers = read_answers(written(PLAIN + "image,a,b,b,b\n" * 3))
    with pytest.raises(InputError, match="no question tells .*image and audio say the same in 3"):
        matrices(answers, followed_senses(answers))


@pytest.mark.parametrize(
    ("name", "kind", "senses"),
    [
        ("Original", "original", ""), ("clean", "original", ""), ("swap_image", "swap", "image"),
        ("permuted visual", "swap", "image"), ("noAudio", "drop", "audio"),
        ("drop_image_and_audio", "drop", "image audio"), ("text only", "keep", "text"),
        ("image+text", "keep", "image text"), ("blind", "keep", ""),
        ("drop all", "drop", "image audio text"),
    ],
)  # fmt: skip
def test_conditions_are_told_by_a_word_or_two(name, kind, senses):
    found = condition_of(name)
    assert (found.kind, found.senses) == (kind, set(senses.split()))


@pytest.mark.parametrize("name", ["", "none", "swap", "swap smell", "swap image drop audio", "🎈"])
def test_other_conditions_are_refused(name):
    with pytest.raises(InputError, match="is not known; original, swap_image"):
        condition_of(name)


CELL = st.one_of(
    st.sampled_from(["", "nan", "red", 'a "quoted" word', "one, two", "two\nlines", "–", "1.0"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
)


@settings(max_examples=100)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(SENSES), CELL, CELL, CELL, CELL), min_size=1, max_size=8
    ),
    order=st.permutations(["asked", "answer", *SENSES]),
    delimiter=st.sampled_from([",", "\t", ";", "|"]),
)
def test_any_table_is_read_as_it_was_written(tmp_path_factory, rows, order, delimiter):
    path = tmp_path_factory.mktemp("any") / "answers.csv"
    names = ["asked", "answer", *SENSES]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(order)
        writer.writerows([[row[names.index(name)] for name in order] for row in rows])
    answers = read_answers(path)
    found = followed_senses(answers)
    assert len(answers) == len(rows) and [SENSES[n] for n in answers.asked] == [r[0] for r in rows]

    for row, column, counts in zip(rows, found.column, found.counts, strict=True):
        asked, answer, *contents = row
        plain = [None if absent(c) else normalised(c) for c in contents]
        filled = [c for c in plain if c is not None]
        tells = len(set(filled)) == len(filled) >= 2 and plain[SENSES.index(asked)] is not None
        assert counts == tells
        if tells and not absent(answer):
            same = [n for n, c in enumerate(plain) if c == normalised(answer)]
            assert column == (same[0] if same else 3)


def refusal(path):
    """What is said about a table that is refused; None where it is read."""
    try:
        read_answers(path)
    except OmniLabError as error:
        return str(error)


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=120).map(lambda text: (PLAIN + text).encode()))
def test_any_bytes_are_a_table_or_one_typed_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "answers.csv"
    path.write_bytes(data)
    told = refusal(path)
    assert told is None or ("\n" not in told and str(path) in told)


@settings(max_examples=50)
@given(st.permutations(range(40)), st.integers(0, 1000))
def test_the_order_of_rows_does_not_count(order, seed):
    rng = np.random.default_rng(seed)
    rows = [f"{SENSES[rng.integers(3)]},{','.join(rng.choice(COLOURS, 4))}" for _ in range(40)]
    results = []
    for lines in (rows, [rows[n] for n in order]):
        answers = replace(read_answers(written(PLAIN + "\n".join(lines))))
        found = followed_senses(answers)
        results.append((found.left_out, found.counts.sum(), np.bincount(found.column).tolist()))
    assert results[0] == results[1]


def test_names_of_senses_and_columns():
    assert sense_of("speech") == "audio" and sense_of("text path") is None
    assert find_columns(["target", "Asked", "pred", "image", "id", "pair_id", "text"], {}, "x") == {
        "asked": 1, "answer": 2, "image": 3, "text": 6, "item": 5,
    }  # fmt: skip

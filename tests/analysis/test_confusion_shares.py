"""Permutation reliance and Shapley shares: known games, planted answerers, pairs, what is missing."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.analysis.confusion import (
    outcomes_of,
    permutation_reliance,
    read_answers,
    shapley,
    shapley_shares,
)
from omni_lab.analysis.confusion.shares import subsets_of
from omni_lab.errors import InputError

SENSES = ("image", "audio", "text")
NAMES = {
    subset: "original" if len(subset) == 3 else
    "drop_" + "_".join(s for s in SENSES if s not in subset)
    for subset in subsets_of(SENSES)
}  # fmt: skip


def written(rows, header="item,asked,condition,correct"):
    with open("answers.csv", "w") as file:
        file.write("\n".join([f"{header},answer,image,audio,text", *rows]) + "\n")
    return "answers.csv"


def outcomes(rows, **options):
    return outcomes_of(read_answers(written(rows, **options)), 0)


def played(rng, items, value, names=NAMES):
    """Rows of an answerer whose chance of being right is the value of the intact subset."""
    return [
        f"{item},image,{name},{int(rng.random() < value(subset))},x,a,b,c"
        for item in range(items)
        for subset, name in names.items()
    ]


def test_shapley_shares_of_the_glove_game():
    # two left gloves and one right one: a pair is worth 1 (Shapley & Shubik 1969)
    value = {s: float("text" in s and len(s) > 1) for s in subsets_of(SENSES)}
    assert shapley(value, SENSES) == pytest.approx({"image": 1 / 6, "audio": 1 / 6, "text": 2 / 3})


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(0, 10**6))
def test_shapley_shares_are_efficient_symmetric_and_those_of_all_orders(count, seed):
    senses = "abcd"[:count]
    rng = np.random.default_rng(seed)
    value = {subset: float(rng.random()) for subset in subsets_of(senses)}
    found = shapley(value, senses)
    assert sum(found.values()) == pytest.approx(value[frozenset(senses)] - value[frozenset()])

    gains = {sense: [] for sense in senses}
    for order in itertools.permutations(senses):
        for place, sense in enumerate(order):
            before = frozenset(order[:place])
            gains[sense].append(value[before | {sense}] - value[before])
    assert found == pytest.approx({sense: np.mean(own) for sense, own in gains.items()})


def test_planted_shares_are_found_with_intervals_that_hold_them():
    def value(subset):
        return 0.1 + 0.2 * ("image" in subset) + 0.5 * ("audio" in subset) * ("text" in subset)

    found = shapley_shares(outcomes(played(np.random.default_rng(0), 2000, value)), "drop")
    assert found["senses"] == [*SENSES] and found["n"] == 2000 and found["left_out"] == 0
    assert found["shares"] == pytest.approx([0.2, 0.25, 0.25], abs=0.03)
    assert sum(found["shares"]) == pytest.approx(found["all"] - found["nothing"])
    for low, share, high in zip(found["low"], [0.2, 0.25, 0.25], found["high"], strict=True):
        assert low < share < high and high - low < 0.08


def test_intervals_of_drops_cover_the_truth_about_95_times_in_100():
    rng, covered = np.random.default_rng(1), []
    names = {frozenset(SENSES): "original", frozenset(("image", "text")): "swap_audio"}
    for _ in range(120):
        rows = played(rng, 150, lambda subset: 0.8 if len(subset) == 3 else 0.5, names)
        (found,) = permutation_reliance(outcomes(rows), resamples=200)
        covered.append(found["low"] <= 0.3 <= found["high"])
    assert 0.88 < np.mean(covered) <= 0.99


def test_pairs_make_intervals_of_drops_narrow():
    # half of the items are easy, and right whatever is heard; chance adds nothing
    rows = [
        f"{item},audio,{condition},{int(item % 2)},x,a,b,c"
        for item in range(100)
        for condition in ("original", "swap_audio")
    ]
    (found,) = permutation_reliance(outcomes(rows))
    assert (found["drop"], found["low"], found["high"], found["n"]) == (0, 0, 0, 100)
    assert found["original"] == found["changed"] == 0.5 and found["senses"] == ["audio"]


def test_only_questions_of_both_conditions_count_and_repeats_are_averaged():
    rows = [
        "1,image,original,1,x,a,b,c",
        "1,image,original,0,x,a,b,c",
        "1,image,no image,0,x,a,b,c",
    ]
    rows += ["2,image,original,1,x,a,b,c", "1,audio,no image,1,x,a,b,c"]
    (found,) = permutation_reliance(outcomes(rows))
    assert (found["original"], found["changed"], found["n"]) == (0.5, 0, 1)
    assert found["condition"] == "no_image" and found["kind"] == "drop"


def test_what_is_right_can_be_a_label_or_what_the_original_says():
    rows = [
        "1,image,original,Red,red,red,blue,white",
        "1,image,swap_image,red,green,green,blue,white",
    ]
    (found,) = permutation_reliance(outcomes(rows, header="item,asked,condition,label"))
    assert found["drop"] == 1
    rows = [row.replace(",Red,", ",").replace(",red,green", ",green") for row in rows]
    (found,) = permutation_reliance(outcomes(rows, header="item,asked,condition"))
    assert (found["original"], found["changed"]) == (1, 0), "the original's content is the truth"


def test_conditions_that_keep_senses_complete_a_game_of_two():
    names = {"original": 3, "image only": 2, "only_audio": 1, "blind": 0}
    rows = [
        f"{item},image,{name},{int(item < wins)},x,a,b,c"
        for item in range(3)
        for name, wins in names.items()
    ]
    found = shapley_shares(outcomes(rows), "drop")
    assert found["senses"] == ["image", "audio"]
    assert found["values"] == pytest.approx(
        {"none of them": 0, "image": 2 / 3, "audio": 1 / 3, "image + audio": 1}
    )
    assert found["shares"] == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,image,original,1", "1,image,drop_image,1", "1,image,drop_audio,1"],
         "need all 4 subsets intact; missing: none of them"),
        (["1,image,original,1", "1,image,drop_image_audio,0", "1,image,drop_text,0"],
         "missing: none of them; image; audio; image + text; audio + text"),
        (["1,image,original,1", "2,image,drop_image,1"], "no question was asked under all 2 cond"),
    ],
)  # fmt: skip
def test_a_missing_subset_is_named(rows, message):
    with pytest.raises(InputError, match=f"answers.csv: drop: .*{re.escape(message)}"):
        shapley_shares(outcomes([f"{row},x,a,b,c" for row in rows]), "drop")
    with pytest.raises(InputError, match="values: Shapley .* missing: audio"):
        shapley(
            {frozenset(): 0.0, frozenset({"image"}): 1.0, frozenset(SENSES[:2]): 1.0}, SENSES[:2]
        )


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("item,asked", ["1,image"], "no column says what was done, in pairs; --column condition="),
        ("asked,condition", ["image,original"], "no column says which questions belong together"),
        ("item,asked,condition", ["1,image,swap_image"], "no row of the condition original; there"),
        ("item,asked,condition", ["1,image,original", "2,image,swap_image"],
         "no question has an answer both in the original and in another condition"),
    ],
)  # fmt: skip
def test_what_cannot_be_paired_is_one_line(header, rows, message):
    with pytest.raises(InputError, match=message):
        permutation_reliance(outcomes([f"{row},x,a,b,c" for row in rows], header=header))


def test_answers_that_only_say_what_was_followed_need_to_say_what_is_right():
    with open("answers.csv", "w") as file:
        file.write("item,asked,followed,condition\n1,image,image,original\n")
    with pytest.raises(
        InputError, match="no column says which answers are right; --column correct"
    ):
        outcomes_of(read_answers("answers.csv"), 0)

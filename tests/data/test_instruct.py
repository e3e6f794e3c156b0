"""Instruction mixtures: exact parts, every sample once before any twice, saved and checked."""

import json
import math
from collections import Counter
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_lab.data.instruct.indices import load_mixture, save_mixture
from omni_lab.data.instruct.mixture import combination_size, mix, percentages_of
from omni_lab.data.instruct.rounding import rounded_shares
from omni_lab.data.instruct.seen import seen_of, seen_table
from omni_lab.errors import InputError, UsageError
from omni_lab.storage import canonical_json


class Numbers:
    """A dataset that holds nothing but its own numbers."""

    def __init__(self, length, fingerprint):
        self.length, self.fingerprint = length, fingerprint

    def __len__(self):
        return self.length

    def __getitem__(self, number):
        return number


def three():
    return {"vqa": Numbers(7, "v"), "chat": Numbers(40, "c"), "ocr": Numbers(25, "o")}


SPECS = ("vqa=50", "chat=37.5", "ocr=12.5")


def mixture_of(sizes=(16, 16, 32, 64), specs=SPECS, seed=3, datasets=None):
    return mix(datasets or three(), specs, sizes, seed)


def samples(mixture, name):
    own = [portion.name for portion in mixture.portions].index(name)
    return mixture.numbers[mixture.which == own].tolist()


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=7),
    st.lists(st.integers(1, 1000), min_size=1, max_size=7),
)
def test_every_part_and_all_parts_up_to_it_differ_from_the_ideal_by_less_than_one(sizes, weights):
    fractions = [Fraction(weight, sum(weights)) for weight in weights]
    counts = rounded_shares(sizes, fractions)
    assert counts.sum(1).tolist() == sizes
    for found, totals in ((counts, sizes), (counts.cumsum(0), accumulate(sizes))):
        for row, total in zip(found.tolist(), totals, strict=True):
            ideal = [fraction * total for fraction in fractions]
            assert all(abs(n - share) < 1 for n, share in zip(row, ideal, strict=True))


def test_many_parts_of_many_datasets_are_as_exact():
    weights = [3, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43]
    fractions = [Fraction(weight, sum(weights)) for weight in weights]
    counts = rounded_shares([101] * 24, fractions).cumsum(0)
    ideal = np.outer(np.arange(1, 25) * 101, weights) / sum(weights)
    assert np.abs(counts - ideal).max() < 1


def test_parts_have_the_percentages_that_were_asked_for():
    mixture = mixture_of()
    assert [portion.name for portion in mixture.portions] == ["chat", "ocr", "vqa"]
    assert mixture.counts().tolist() == [[6, 2, 8], [6, 2, 8], [12, 4, 16], [24, 8, 32]]


@given(st.integers(1, 30), st.integers(0, 5))
def test_every_sample_is_seen_once_before_any_is_seen_twice(length, seed):
    datasets = {"vqa": Numbers(length, "v"), "chat": Numbers(40, "c")}
    mixture = mixture_of((24, 24, 48), ("vqa=75", "chat=25"), seed, datasets)
    read = samples(mixture, "vqa")
    for first in range(0, len(read), length):
        epoch = read[first : first + length]
        assert len(set(epoch)) == len(epoch)
        assert len(epoch) < length or sorted(epoch) == list(range(length))
    assert max(mixture.epochs()) == (72 - 1) // length


def test_epochs_and_parts_come_in_orders_of_their_own():
    read = samples(mixture_of((64, 64)), "vqa")
    assert read[:7] != read[7:14] and sorted(read[:7]) == sorted(read[7:14])
    first, second = mixture_of((64, 64)).which.reshape(2, 64).tolist()
    assert first != second and sorted(first) == sorted(second)


def test_a_mixture_depends_on_its_seed_and_not_on_the_order_of_its_datasets():
    turned = dict(reversed(three().items()))
    assert mixture_of(datasets=turned, specs=SPECS[::-1]).fingerprint == mixture_of().fingerprint
    assert mixture_of(seed=4).fingerprint != mixture_of().fingerprint


def test_a_longer_mixture_begins_with_the_parts_of_a_shorter_one():
    """Where percentages divide the parts: one more part, for a last branch, changes nothing before."""
    short, long = mixture_of((16, 16)), mixture_of((16, 16, 16))
    assert np.array_equal(short.which, long.which[:32])
    assert np.array_equal(short.numbers, long.numbers[:32])


def test_the_whole_combination_has_every_sample_of_every_dataset():
    size = combination_size(three(), SPECS)
    assert size == 200  # 25 are 12.5 % of it
    seen = seen_of(mixture_of((size,)))
    assert all(own.distinct == own.length for own in seen.values())
    assert seen["vqa"].most == math.ceil(100 / 7)


def test_what_was_seen_is_told_for_every_dataset():
    lengths = {"vqa": np.full(7, 10), "chat": np.full(40, 3), "ocr": np.arange(25)}
    seen = seen_of(mixture_of(), 32, lengths)
    assert (seen["vqa"].samples, seen["vqa"].distinct, seen["vqa"].most) == (16, 7, 3)
    assert (seen["vqa"].tokens, seen["chat"].tokens) == (160, 36)
    assert (seen["vqa"].percent, seen["vqa"].epochs) == (50.0, 16 / 7)
    assert [line.split()[0] for line in seen_table(seen).splitlines()] == [
        "dataset", "chat", "ocr", "vqa",
    ]  # fmt: skip
    assert "–" in seen_table(seen_of(mixture_of()))


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (("vqa=50", "chat=37.5", "ocr=10"), "add up to 97.5, not 100: vqa 50, chat 37.5, ocr 10"),
        (("vqa=100/3", "chat=100/3", "ocr=33.3333"), r"add up to 299999\d+/\d+, not 100"),
        ((), "add up to 0, not 100: there are none"),
        (("vqa=50", "chat=50"), "dataset ocr has no percentage"),
        (("vqa=50", "chat=25", "ocd=25"), "unknown dataset 'ocd'; did you mean ocr"),
        (("vqa=50", "chat=25", "chat=25"), "chat stands there twice"),
        (("vqa=50", "chat=50", "ocr=0"), "impossible percentage 'ocr=0'"),
        (("vqa=150", "chat=-50"), "impossible percentage 'chat=-50'"),
        (("vqa=nan",), "impossible percentage 'vqa=nan'"),
        (("vqa=1e99",), "impossible percentage 'vqa=1e99'"),
        (("vqa",), "impossible percentage 'vqa'; write NAME=PERCENT"),
        (("vqa=1/0",), "impossible percentage 'vqa=1/0'"),
    ],
)
def test_impossible_percentages_are_refused_by_name(specs, words):
    with pytest.raises(UsageError, match=words) as caught:
        mixture_of(specs=specs)
    assert "\n" not in str(caught.value)


def test_thirds_are_exact():
    assert sum(percentages_of(("a=100/3", "b=100/3", "c=100/3")).values()) == 100
    assert sum(percentages_of(("a=33.3", "b=33.3", "c=33.4")).values()) == 100


def test_empty_and_double_datasets_are_refused_by_name():
    with pytest.raises(InputError, match="dataset ocr is empty"):
        mixture_of(datasets=three() | {"ocr": Numbers(0, "o")})
    with pytest.raises(InputError, match="datasets ocr and vqa are the same data"):
        mixture_of(datasets=three() | {"ocr": Numbers(7, "v")})


def test_a_part_too_small_for_a_sample_of_each_dataset_is_refused_by_name():
    mixture_of((8, 8))
    with pytest.raises(UsageError, match=r"part 2 holds no sample of ocr \(12.5 % of 7 is 0.88\)"):
        mixture_of((8, 7))
    for sizes in ((), (16, 0)):
        with pytest.raises(UsageError, match="give the size of every part"):
            mixture_of(sizes)


def test_a_saved_mixture_is_the_same_bytes_whoever_makes_it_and_is_read_back(tmp_path):
    one, other = tmp_path / "a" / "one.json", tmp_path / "b" / "other.json"
    save_mixture(mixture_of(), one)
    save_mixture(mixture_of(datasets=dict(reversed(three().items()))), other)
    assert one.read_bytes() == other.read_bytes()
    found, made = load_mixture(one, three()), mixture_of()
    assert (found.portions, found.sizes, found.seed) == (made.portions, made.sizes, made.seed)
    assert found.fingerprint == made.fingerprint
    assert json.loads(one.read_text())["recipe"] == made.recipe
    assert [path.name for path in one.parent.iterdir()] == ["one.json"]


def exchanged(content):
    part = content["parts"][0]["sample"]
    part[0], part[1] = part[1], part[0]
    return content


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = tmp_path / "mixture.json"
    with pytest.raises(InputError, match="mixture.json: does not open"):
        load_mixture(path, three())
    save_mixture(mixture_of(), path)
    whole = path.read_bytes()
    content = json.loads(whole)
    for data, words in (
        (whole[:300], "damaged: it is no JSON"),
        (b"\xff\xfe", "damaged: it is no JSON"),
        (b"[1]", "damaged: it is no JSON object"),
        (b"{}", "of format None, this version reads 1"),
        (whole.replace(b'"seed":3', b'"seed":4'), "damaged: its indices are not those"),
        (canonical_json(exchanged(content)), "damaged: its indices are not those"),
        (canonical_json({"format": 1}), "damaged: its indices are not those"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=words) as caught:
            load_mixture(path, three())
        assert "\n" not in str(caught.value)


def test_datasets_that_changed_since_are_refused_by_name(tmp_path):
    path = tmp_path / "mixture.json"
    save_mixture(mixture_of(), path)
    for changed, words in (
        ({"vqa": Numbers(8, "v")}, r"vqa changed since: 7 samples \(v\) then, 8 \(v\) now"),
        ({"vqa": Numbers(7, "w")}, r"vqa changed since: 7 samples \(v\) then, 7 \(w\) now"),
    ):
        with pytest.raises(InputError, match=words):
            load_mixture(path, three() | changed)
    with pytest.raises(InputError, match="dataset vqa is missing"):
        load_mixture(path, {name: own for name, own in three().items() if name != "vqa"})


def test_the_mix_within_a_part_is_shuffled():
    first = mixture_of((64,)).which.tolist()
    assert first != sorted(first) and len(Counter(first[:16])) == 3

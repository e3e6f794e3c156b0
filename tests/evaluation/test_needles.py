"""Needle in a haystack with any reader: cells, seeds, refusals, resumption of a measurement."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.errors import InputError, UsageError
from omni_lab.evaluation.intervals import wilson
from omni_lab.evaluation.needles.interface import NeedleModel
from omni_lab.evaluation.needles.measure import (
    CELLS,
    SETTINGS,
    Cell,
    measure,
    read_cells,
    trial_seed,
)

LENGTHS, DEPTHS, TRIALS = (64, 128), (0.0, 0.5, 1.0), 6


class Rule:
    """Needle reader that answers by a rule, and records its trials."""

    kinds = ("text", "what")
    trained = 100

    def __init__(
        self, right=lambda trial: trial.present, name="rule", stop_after=None, weights="1a2b"
    ):
        self.right, self.name, self.left, self.asked = right, name, stop_after, []
        self.weights, self.vetted = weights, []

    def chance(self, kind):
        return {"text": 0.01, "what": 0.125}[kind]

    def shortest(self, kind):
        return 20

    def contents(self):
        return {"weights": self.weights}

    def vet(self, trials):
        self.vetted.append(trials)

    def read(self, trials):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.asked.append(list(trials))
        return [self.right(trial) for trial in trials]


def measured(reader, out=None, **changes):
    grid = {
        "kinds": reader.kinds,
        "lengths": LENGTHS,
        "depths": DEPTHS,
        "trials": TRIALS,
        **changes,
    }
    return measure(reader, out=out, progress=False, **grid)


def test_cells_come_by_kind_and_length_with_their_control_first_and_count_what_was_right():
    reader = Rule(lambda trial: trial.present and trial.length <= 64 and trial.seed % 2 == 0)
    assert isinstance(reader, NeedleModel)
    cells = measured(reader)
    places = [
        (kind, length, depth)
        for kind in reader.kinds
        for length in LENGTHS
        for depth in (None, *DEPTHS)
    ]
    assert [(cell.kind, cell.length, cell.depth) for cell in cells] == places

    for cell, asked in zip(cells, reader.asked, strict=True):
        assert cell.present == (cell.depth is not None) and cell.total == TRIALS == len(asked)
        assert {(trial.kind, trial.length, trial.present) for trial in asked} == {
            (cell.kind, cell.length, cell.present)
        }
        assert {trial.depth for trial in asked} == {cell.depth or 0.0}
        even = sum(trial.seed % 2 == 0 for trial in asked)
        assert cell.right == (even if cell.present and cell.length == 64 else 0)
        assert cell.accuracy == cell.right / TRIALS and cell.interval == wilson(cell.right, TRIALS)
        assert cell.chance == reader.chance(cell.kind)
        assert (
            cell.to_dict() | {"accuracy": cell.accuracy, "low": cell.interval[0]} == cell.to_dict()
        )


def test_the_control_is_measured_once_per_kind_and_length_however_many_depths_there_are():
    few, many = Rule(), Rule()
    measured(few, depths=(0.5,)), measured(many, depths=(0.0, 0.25, 0.5, 0.75, 1.0))
    controls = [[asked for asked in reader.asked if not asked[0].present] for reader in (few, many)]
    assert controls[0] == controls[1] and len(controls[0]) == 2 * len(LENGTHS)


def test_trials_are_the_same_in_every_run_and_for_every_model_and_differ_from_cell_to_cell():
    one, other = Rule(), Rule(lambda trial: False, name="other")
    measured(one), measured(other)
    assert one.asked == other.asked
    seeds = [trial.seed for asked in one.asked for trial in asked]
    assert len(set(seeds)) == len(seeds)
    assert trial_seed("text", 64, 1, 3) == trial_seed("text", 64, 1.0, 3) == 207843788527772, (
        "of another interpreter too"
    )


def test_a_length_or_depth_named_twice_is_measured_once():
    reader = Rule()
    assert (
        len(measured(reader, lengths=(64, 64), depths=(0, 0.0, 1), kinds=("text", "text")))
        == 3
        == len(reader.asked)
    )


@pytest.mark.parametrize("stop_after", [0, 1, 5, 15])
def test_a_measurement_that_was_stopped_goes_on_with_the_cells_that_are_missing(
    own_folder, stop_after
):
    by_seed = Rule(lambda trial: trial.seed % 3 == 0)
    whole = measured(by_seed, own_folder / "whole")
    with pytest.raises(KeyboardInterrupt):
        measured(Rule(by_seed.right, stop_after=stop_after), own_folder / "stopped")
    again = Rule(by_seed.right)
    assert measured(again, own_folder / "stopped") == whole
    assert again.asked == by_seed.asked[stop_after:], "nothing was measured twice"
    files = [
        [(own_folder / run / name).read_bytes() for name in (CELLS, SETTINGS)]
        for run in ("whole", "stopped")
    ]
    assert files[0] == files[1]
    assert read_cells(own_folder / "whole") == whole


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_last_line_that_was_cut_off_anywhere_is_measured_again(tmp_path_factory, data):
    out = tmp_path_factory.mktemp("run")
    whole = measured(Rule(), out)
    text = (out / CELLS).read_bytes()
    cut = data.draw(st.integers(0, len(text)))
    (out / CELLS).write_bytes(text[:cut])
    assert read_cells(out) == whole[: text[:cut].count(b"\n")]
    again = Rule()
    assert measured(again, out) == whole and (out / CELLS).read_bytes() == text
    assert len(again.asked) == len(whole) - text[:cut].count(b"\n")


def test_a_finished_grid_can_grow_and_asks_for_what_is_new_only(own_folder):
    measured(Rule(), own_folder, lengths=(64,))
    more = Rule()
    cells = measured(more, own_folder, lengths=(32, 64))
    assert {trial.length for asked in more.asked for trial in asked} == {32}
    assert [cell.length for cell in cells if cell.kind == "text"] == [32] * 4 + [64] * 4


def test_a_folder_of_another_model_or_other_trials_is_refused_by_name_and_left_as_it_was(
    own_folder,
):
    measured(Rule(), own_folder, lengths=(64,))
    before = (own_folder / CELLS).read_bytes()
    trained_longer = Rule()
    trained_longer.trained = 200
    for reader, changes, message in (
        (Rule(name="other"), {}, "holds needles of model 'rule', not 'other'"),
        (Rule(), {"trials": 7}, "holds needles of trials 6, not 7"),
        (trained_longer, {}, "holds needles of trained 100, not 200"),
        (Rule(weights="3c4d"), {}, "holds needles of weights '1a2b', not '3c4d'"),
    ):
        with pytest.raises(InputError, match=message):
            measured(reader, own_folder, **changes)
        assert (
            not reader.asked and not reader.vetted and (own_folder / CELLS).read_bytes() == before
        )


@pytest.mark.parametrize("line", ["", "{", "[]", "3", '{"kind": "text"}', "\udcff"])
def test_a_line_that_is_no_cell_is_named(own_folder, line):
    measured(Rule(), own_folder)
    lines = (own_folder / CELLS).read_text().split("\n")
    (own_folder / CELLS).write_text(
        "\n".join([lines[0], line, *lines[2:]]), errors="surrogateescape"
    )
    with pytest.raises(InputError, match=r"cells\.jsonl:2: not a cell"):
        measured(Rule(), own_folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json"])
def test_settings_that_are_none_are_named(own_folder, text):
    (own_folder / SETTINGS).write_text(text)
    with pytest.raises(InputError, match=r"needles\.json: not the settings"):
        measured(Rule(), own_folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": ("when",)}, "needle 'when': rule can be asked about text, what"),
        ({"lengths": (64, 19)}, "length 19: a text needle, its question and answer take 20 tokens"),
        ({"depths": (0.5, 1.01)}, "depth 1.01: from 0"),
        ({"depths": (-0.1,)}, "depth -0.1: from 0"),
        ({"depths": (float("nan"),)}, "depth nan: from 0"),
        ({"trials": 0}, "a trial at least"),
        ({"lengths": ()}, "a length"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(own_folder, changes, message):
    reader = Rule()
    with pytest.raises(UsageError, match=message) as error:
        measured(reader, own_folder / "out", **changes)
    assert "\n" not in str(error.value) and not reader.asked and not (own_folder / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(own_folder):
    (own_folder / "file").touch()
    with pytest.raises(UsageError, match="file: not writable .*choose a writable --out"):
        measured(Rule(), own_folder / "file")


def test_a_cell_is_written_as_json_with_its_interval_and_chance(own_folder):
    cells = measured(Rule(), own_folder)
    records = [json.loads(line) for line in (own_folder / CELLS).read_text().splitlines()]
    assert records == [cell.to_dict() for cell in cells]
    low, high = wilson(6, 6)
    asked = {
        "kind": "text",
        "length": 64,
        "depth": 0.5,
        "present": True,
        "right": 6,
        "total": 6,
        "chance": 0.01,
    }
    assert records[2] == {**asked, "accuracy": 1.0, "low": low, "high": high}
    assert Cell(**asked) == cells[2]


def test_a_reader_that_loses_an_answer_is_noticed():
    reader = Rule()
    reader.read = lambda trials: [True] * (len(trials) - 1)
    with pytest.raises(ValueError, match="shorter"):
        measured(reader)


def test_premises_are_checked_once_on_the_longest_trial_of_each_kind_that_is_missing(own_folder):
    reader = Rule()
    measured(reader, own_folder, kinds=("text",), lengths=(128, 64))
    measured(reader, own_folder)
    measured(reader, own_folder)
    vetted = [[(trial.kind, trial.length) for trial in trials] for trials in reader.vetted]
    assert vetted == [[("text", 128)], [("what", 128)]], "nothing is missing the third time"


def test_a_reader_that_fails_its_premises_leaves_no_folder(own_folder):
    reader = Rule()

    def vet(trials):
        raise InputError("rule: its logits are not finite")

    reader.vet = vet
    with pytest.raises(InputError, match="not finite"):
        measured(reader, own_folder / "out")
    assert not reader.asked and not (own_folder / "out").exists()


def test_cells_of_an_earlier_version_that_noted_no_weights_are_not_reused(own_folder):
    measured(Rule(), own_folder)
    settings = json.loads((own_folder / SETTINGS).read_text())
    del settings["weights"]
    (own_folder / SETTINGS).write_text(json.dumps(settings))
    with pytest.raises(InputError, match="holds needles of weights 'unknown', not '1a2b'"):
        measured(Rule(), own_folder)

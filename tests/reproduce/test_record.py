"""Records of experiments: criteria are judged as they were written down, intervals are Student's."""

import json

import pytest

from omni_lab.errors import InputError
from omni_lab.reproduce.record import Criterion, interval, read_record, write_record


@pytest.mark.parametrize(
    ("missing", "verdict"), [(0, "reproduced"), (1, "reproduced"), (2, "not reproduced")]
)
@pytest.mark.parametrize("at_least", [True, False])
def test_one_run_of_twenty_may_miss_a_bound_where_that_was_written_down(missing, verdict, at_least):
    values = [0.95] * missing + [0.98] * (20 - missing)
    bound = 0.97 if at_least else -0.97
    criterion = Criterion("a", bound, at_least, tolerated=0.05)
    signed = values if at_least else [-value for value in values]
    assert criterion.verdict(signed) == verdict
    assert Criterion("a", bound, at_least).verdict(signed) == (
        "not reproduced" if missing else verdict
    )
    assert criterion.verdict(signed[:3]) == ("not reproduced" if missing else verdict), (
        "of three, none"
    )


def test_a_criterion_is_judged_on_its_worst_seed(tmp_path):
    criteria = [Criterion("a", 0.9), Criterion("b", 0.1, at_least=False)]
    record = write_record(
        tmp_path / "x",
        "a claim",
        "a command",
        [0, 1],
        {"a": [0.95, 0.89], "b": [0.0, 0.1]},
        criteria,
    )
    assert [row["holds"] for row in record["criteria"]] == [False, True]
    assert record["verdict"] == "not reproduced"
    assert json.loads((tmp_path / "x" / "record.json").read_text())["metrics"]["a"]["seeds"] == [
        0.95,
        0.89,
    ]


def test_an_interval_over_three_seeds_is_students():
    found = interval([0.9, 0.92, 0.94])
    assert found["mean"] == pytest.approx(0.92)
    assert found["high"] - found["mean"] == pytest.approx(4.303 * 0.02 / 3**0.5, rel=1e-2)


def test_a_record_is_read_where_one_stands_else_from_the_project_else_it_says_how_to_make_one(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert read_record("demo")["id"] == "demo", "the project's own"
    mine = write_record(
        tmp_path / "results" / "demo", "mine", "a command", [0], {"a": [1.0]}, [Criterion("a", 0.5)]
    )
    assert read_record("demo")["claim"] == mine["claim"] == "mine"
    with pytest.raises(InputError, match="omni-lab reproduce nothing --seeds 3"):
        read_record("nothing")

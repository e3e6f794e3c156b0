"""Ring attention in real processes equals dense attention on one device, for every kind of row."""

from __future__ import annotations

import itertools
import math

import pytest
from ring_cases import Case, cases, drawn
from ring_processes import Call, run_calls, run_ranks

from omni_lab.parallel.cost import all_gather_traffic, ring_traffic, ulysses_traffic

# largest errors of the output and of gradients
MOST = {"float64": (1e-10, 1e-10), "float32": (2e-6, 5e-6), "bfloat16": (2.0, 2.0)}
PARTS = ("out", "query", "key", "value")
LOST = {"dead": 1, "stalled": 1, "keeper_dead": 0, "keeper_stalled": 0}  # rank, by what it does


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Results of four processes: for every rank, by job."""
    jobs = "matrix,written_out,torch_ring,perturbed,disagree,trained,selected"
    jobs += ",captured,negatives,stale,empty_rows,local_means"
    return run_ranks(tmp_path_factory.mktemp("ring"), jobs, ranks=4)


def too_far(case: Case, found: dict) -> list[str]:
    """Parts of a result that are further from dense attention than their type allows."""
    most = MOST[case.dtype]
    return [part for part in PARTS if not found[part] <= most[part != "out"]]


@pytest.mark.parametrize("engine", ["ring", "allgather", "ulysses"])
@pytest.mark.parametrize("dtype", MOST)
def test_output_and_gradients_are_those_of_dense_attention(found, engine, dtype):
    chosen = [case for case in cases() if (case.engine, case.dtype) == (engine, dtype)]
    wrong = {
        (case.name, rank): far
        for case in chosen
        for rank in range(case.ranks)
        if (far := too_far(case, found[rank]["matrix"][case.name]))
    }
    assert not wrong
    assert chosen or (engine, dtype) != ("ring", dtype)


def test_blocks_written_out_for_other_devices_are_right_too(found):
    names = found[0]["written_out"]
    wrong = [
        (case.name, rank)
        for case in cases()
        if case.name in names
        for rank in range(2)
        if too_far(case, found[rank]["written_out"][case.name])
    ]
    assert len(names) > 10
    assert not wrong


def test_attention_mass_over_ranks_is_that_of_one_process(found):
    wrong = [result["captured"] for result in found]
    assert set(wrong[0]) == {
        f"{engine}/{ranks}" for engine in ("ring", "allgather") for ranks in (1, 2, 3, 4)
    }
    assert max(far for rank in wrong for far in rank.values()) < 2e-6


def test_torchs_own_ring_has_our_order_of_tokens(found):
    cases_of = [(name, far) for results in found for name, far in results["torch_ring"].items()]
    far = {
        name: far
        for name, far in cases_of
        if not (far["out"] <= 2e-6 and max(far[p] for p in PARTS[1:]) <= 5e-6)
    }
    assert len(cases_of) == 2 * (1 + 2 + 3 + 4)
    assert not far


def test_another_document_changes_nothing_by_a_single_bit(found):
    for rank, results in enumerate(found):
        for ranks, result in results["perturbed"].items():
            assert result == {"others": True, "itself": True}, (rank, ranks)


def test_bytes_sent_are_those_of_the_plans_formulas(found):
    counted = {"ring": ring_traffic, "allgather": all_gather_traffic, "ulysses": ulysses_traffic}
    doubles = [case for case in cases() if case.dtype == "float64" and case.layout == "zigzag"]
    assert {case.engine for case in doubles} == set(counted)
    for case in doubles:
        layout, _, tensors, _, _ = drawn(case)
        rows, _, _, width = tensors["key"].shape
        heads = case.heads if case.engine == "ulysses" else case.heads[1:]
        sizes = {"element": 8} if case.engine == "ulysses" else {"element": 8, "gradient": 8}
        expected = counted[case.engine](layout.per_rank, case.ranks, *heads, width, **sizes)
        for rank in range(case.ranks):
            sent = found[rank]["matrix"][case.name]["sent"]
            assert sent == [rows * each for each in expected], case.name


def test_ranks_that_differ_name_the_difference_before_anything_is_sent(found):
    for results in found:
        for what, message in results["disagree"].items():
            assert message.startswith("UsageError: the ranks of a ring must have the same"), message
            assert what in message
            assert "rank 2" in message


def test_stale_keys_and_values_in_backward_would_be_seen(found):
    result = found[0]["stale"]
    assert result["out"] < 1e-10
    assert min(result[part] for part in PARTS[1:]) > 1e-3


def test_a_wrong_lse_of_queries_that_see_nothing_would_be_seen(found):
    assert max(result["empty_rows"]["out"] for result in found[:2]) > 1e-3


def test_an_omni_model_learns_on_a_sharded_row_what_one_device_learns(found):
    for rank, results in enumerate(found):
        assert set(results["trained"]) == {str(ranks) for ranks in range(rank + 1, 5)}
        for far in results["trained"].values():
            assert far["loss"] < 1e-6
            assert far["parameters"] < 1e-5


def test_the_top_fraction_of_all_ranks_tokens_is_that_of_one_process(found):
    for ranks, tokens, fraction in itertools.product((1, 2, 3, 4), (3, 101), (0.0, 0.37, 1.0)):
        results = [found[rank]["selected"][f"{ranks}/{tokens}/{fraction}"] for rank in range(ranks)]
        assert all(result["right"] for result in results)
        assert {result["kept"] for result in results} == {math.floor(fraction * tokens + 0.5)}
        assert sum(result["unplaced"] for result in results) == results[0]["kept"]
        for result in results:
            assert result["separability"] == pytest.approx(result["of all"], abs=1e-12)
    assert {results["selected"]["says"] for results in found} == {
        "UsageError: 4 of 16 scores are not numbers: no fraction of them is the highest"
    }


def test_the_top_fraction_of_each_ranks_own_tokens_would_be_seen(found):
    for ranks in (2, 3, 4):
        assert not all(
            found[rank]["selected"][f"{ranks}/101/0.37"]["local"] for rank in range(ranks)
        )


def test_means_over_the_tokens_of_one_rank_would_be_seen(found):
    far = found[0]["local_means"]["2"]
    assert far["loss"] > 1e-3
    assert far["parameters"] > 1e-4


def test_the_contrastive_loss_has_the_negatives_of_every_process(found):
    said = [rank["negatives"] for rank in found]
    assert [one["loss"] for one in said] == pytest.approx([0] * 4, abs=1e-4)
    assert all(one["right"] for one in said)
    assert [one["local"] for one in said] == [False, True, False, False], "the second has none"


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """What the other ranks found when one was lost, by the way in which it was."""
    folder = tmp_path_factory.mktemp("lost")
    calls = [Call(folder / how, how, 3, tuple({0, 1, 2} - {who})) for how, who in LOST.items()]
    return dict(zip(LOST, run_calls(calls), strict=True))


@pytest.mark.parametrize(("how", "who"), LOST.items())
def test_a_lost_rank_ends_the_others_and_is_named(lost, how, who):
    for result in lost[how]:
        assert result[how]["says"].startswith(f"RankLostError: process {who} does not answer")
        assert result[how]["seconds"] < 4.0 + 2.0  # their timeout, on a busy machine

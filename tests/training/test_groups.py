"""Losses by group: a token counts once, under its fact and its sense; sums of processes are means of all."""

import json

import pytest
import torch
from stage_data import lessons_of

from omni_lab.config import override, tiny
from omni_lab.model.inputs import forward_batch
from omni_lab.sequences.batch import IGNORED
from omni_lab.sequences.targets import NO_GROUP, SENSES
from omni_lab.training.losses.groups import means_by_group, sums_by_group, token_weights
from omni_lab.training.models import new_model
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import train

CONFIG = override(tiny(), ["training.stages.omni.batch_size=3", "training.stages.omni.seconds=4"])


@pytest.fixture(scope="module")
def batch():
    return lessons_of(CONFIG, "omni").batch(0)


def test_the_mean_over_groups_and_the_rest_is_the_mean_over_all_tokens(batch):
    with torch.no_grad():
        losses = forward_batch(new_model(CONFIG), batch.streams).losses
    sums = sums_by_group(batch, [losses])
    facts = [value for name, value in sums.items() if name.startswith("facts.")]
    wanted = batch.streams.labels != IGNORED
    rest = losses[batch.streams.targets.fact[wanted] == NO_GROUP]
    total = sum(t for t, _ in facts) + rest.sum().item()
    assert total == pytest.approx(losses.sum().item(), rel=1e-5)
    assert sum(n for _, n in facts) + len(rest) == len(losses)


def test_captions_count_beside_streams(batch):
    ones = [
        torch.ones(int((rows.labels != IGNORED).sum())) for rows in (batch.streams, batch.captions)
    ]
    alone, both = sums_by_group(batch, ones[:1]), sums_by_group(batch, ones)
    assert all(total == count for total, count in both.values())
    assert sum(n for _, n in both.values()) > sum(n for _, n in alone.values())


def test_means_over_processes_weigh_every_token_alike():
    parts = [{"facts.word": (6.0, 3.0)}, {"facts.word": (1.0, 1.0), "senses.text": (1.0, 2.0)}]
    assert means_by_group(parts) == {"facts": {"word": 1.75}, "senses": {"text": 0.5}}
    assert means_by_group([{}]) == {}


def test_token_weights_follow_the_sense_and_leave_the_rest_at_1(batch):
    weights = torch.tensor([2.0, 3.0, 5.0, 7.0])
    found = token_weights(batch.streams, weights)
    sense = batch.streams.targets.sense[batch.streams.labels != IGNORED]
    for number, weight in enumerate(weights.tolist()):
        assert (found[sense == number] == weight).all()
    assert (found[sense == NO_GROUP] == 1).all() and len(weights) == len(SENSES)


def test_every_step_of_a_run_records_its_facts_and_senses(tmp_path):
    small = [f"training.stages.{name}.{s}" for name in ("vision", "audio", "omni")
             for s in ("steps=2", "batch_size=2")]  # fmt: skip
    config = override(CONFIG, small)
    train(config, RunFolder(tmp_path, config), progress=False)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    of = {row["stage"]: row for row in rows}
    assert {*of["vision"]["senses"]} == {"image"} and {*of["audio"]["senses"]} == {"audio"}
    assert of["vision"]["facts"] and of["omni"]["senses"].keys() >= {"image", "both"}
    assert len(of["omni"]["directions"]) == 6

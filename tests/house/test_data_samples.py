"""The shipped films are those that the code makes, and together small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni_lab.world.dialogue import facts
from omni_lab.world.samples import SAMPLES, sample_script

FOLDER = Path(__file__).parents[2] / "data_samples"


@pytest.mark.parametrize(("folder", "seed", "seconds", "split"), SAMPLES)
def test_the_truth_beside_a_film_is_its_scripts(folder, seed, seconds, split):
    truth = json.loads((FOLDER / folder / f"gallery-{seed:03d}.truth.json").read_text())
    assert truth["facts"] == list(facts(sample_script(seed, seconds, split)))
    assert (FOLDER / folder / f"gallery-{seed:03d}.mp4").exists()


def test_they_are_a_dozen_and_at_most_8_mb():
    films = sorted(FOLDER.rglob("*.mp4"))
    assert len(films) == len(SAMPLES) == 12
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) <= 8e6

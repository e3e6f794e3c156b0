"""Golden figures: losses of 20 steps of every stage, two films' shards, the shipped model's answers.

Losses agree across machines to seven digits at the first step and drift apart by rounding. Records
in shards agree to the byte, pictures and sound to what decoders of different processors round.
A change that means to alter them says so in its commit and writes the file again: `python tests/house/test_golden.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path

import pytest

from omni_lab.config import TICKS_PER_SECOND, override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.training.models import trained
from omni_lab.training.run import RunFolder, read_config
from omni_lab.training.trainer import train, train_stages
from omni_lab.triplets.building.build import build
from omni_lab.triplets.shards.tars import read_shards
from omni_lab.world.source import lessons

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden.json")
STEPS = 20
STAGES = [
    f"training.stages.{stage}.{setting}"
    for stage, size in (("vision", 4), ("audio", 4), ("omni", 2))
    for setting in (f"steps={STEPS}", f"batch_size={size}")
]
STAGES += ["training.stages.omni.seconds=4"]
STILLS = ["model.frame_difference_init=0", "model.decoder.rope_theta=100"]
ALBUMS = [
    *STILLS,
    "sequence.layout=F4", f"albums.stages.albums.steps={STEPS}", "albums.stages.albums.batch_size=4",
]  # fmt: skip
CONTEXT = [
    *STILLS,
    "sequence.layout=haystack", "sequence.max_tokens=128", "model.decoder.previous_token_init=4",
    "model.connector_rms=.1", "context.stages=sight,context-64,context-128",
    f"context.stages.sight.steps={STEPS}", "context.stages.sight.batch_size=8",
    *(
        f"context.stages.context-{length}.{setting}"
        for length, theta, rows, scale in ((64, 1000, 4, 1), (128, 4000, 2, 0.5))
        for setting in (
            f"steps={STEPS}", f"rope_theta={theta}", f"batch_size={rows}", f"lr_scale={scale}",
            f"decay_fraction={0.5 if length == 128 else 0}",
        )
    ),
    "world.haystack.pictures=64", "world.haystack.short=context-64",
    *(
        f"world.haystack.levels.context-{length}.{setting}"
        for length, needles, things, real in ((64, 3, 1, 1), (128, 4, 2, 0.5))
        for setting in (f"needles={needles}", f"things={things}", f"real={real}", "films=.5")
    ),
]  # fmt: skip


def losses(folder: Path) -> dict[str, list[float]]:
    """The loss of every step, stage by stage."""
    films = [*read_shards(shards(folder / "shards"))]
    runs = {
        "demo": override(tiny(), STAGES),
        "albums": override(tiny(), ALBUMS),
        "context": override(tiny(), CONTEXT),
    }
    out: dict[str, list[float]] = {}
    for name, config in runs.items():
        run = RunFolder(folder / name, config)
        if name == "demo":
            train(config, run, films, progress=False)
        else:
            stages = config.albums.stages if name == "albums" else config.context.stages
            data = [lessons(config, stage) for stage in stages]
            train_stages(config, run, data, progress=False)
        for record in run.metrics():
            out.setdefault(record["stage"], []).append(record["loss"])
    return out


def shards(folder: Path) -> Path:
    """Shards of one film of each split."""
    films = [
        sorted((ROOT / "data_samples" / split).glob("*.mp4"))[0] for split in ("train", "test")
    ]
    build(films, folder, tiny().triplets)
    return folder


def contents(folder: Path) -> dict[str, object]:
    """Every member of a folder's tars: a record, a picture's colours, a sound's loudness.

    Only what every machine agrees on: no folders, no figures that decoders round differently.
    """
    import numpy as np
    import soundfile
    from PIL import Image

    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                data = tar.extractfile(member).read()
                kind = member.name.rpartition(".")[2]
                if kind == "jpg":
                    small = Image.open(io.BytesIO(data)).resize((2, 2), Image.Resampling.BOX)
                    found[member.name] = np.asarray(small, float).reshape(-1).tolist()
                elif kind == "flac":
                    seconds = soundfile.read(io.BytesIO(data))[0].reshape(-1, TICKS_PER_SECOND)
                    found[member.name] = np.sqrt((seconds**2).mean(1)).round(5).tolist()
                elif kind == "json":
                    record = json.loads(data)
                    for place in ("uri", "text_uri"):
                        record["source"][place] = Path(record["source"][place]).name
                    record["quality"] = sorted(record["quality"])
                    found[member.name] = digest(json.dumps(record, sort_keys=True).encode())
                else:
                    found[member.name] = digest(data)
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def answers() -> list[float]:
    """Losses of the shipped model on the first tokens of one shipped film."""
    import torch

    from omni_lab.model.inputs import forward_batch
    from omni_lab.sequences.batch import make_batch
    from omni_lab.sequences.stream import omni_stream

    run = ROOT / "results" / "demo"
    config = read_config(run)
    with tempfile.TemporaryDirectory() as folder:
        clip = next(read_shards(shards(Path(folder)))).window(0, 4 * 16_000)
    stream = omni_stream(clip, config.sequence, supervised=False)
    vocabulary, size = build_vocabulary(config), config.model.image.size
    batch = make_batch([stream], vocabulary, config.sequence, size)
    with torch.no_grad():
        return forward_batch(trained(run), batch).losses.tolist()[:12]


def measured(folder: Path) -> dict:
    """All golden figures."""
    return {"losses": losses(folder), "shards": contents(folder / "shards"), "answers": answers()}


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text())


def test_twenty_steps_of_every_stage_lose_what_they_lost(tmp_path, golden):
    found = losses(tmp_path)
    assert {stage: len(row) for stage, row in found.items()} == dict.fromkeys(
        golden["losses"], STEPS
    )
    for stage, row in found.items():
        known = golden["losses"][stage]
        assert row[0] == pytest.approx(
            known[0], rel=1e-5 if stage in ("vision", "sight", "albums") else 5e-3
        ), stage
        assert row == pytest.approx(known, rel=5e-3), stage


def test_shards_of_two_films_hold_what_they_held(tmp_path, golden):
    found, known = contents(shards(tmp_path / "shards")), golden["shards"]
    assert [*found] == [*known]
    for name, value in found.items():
        near = {"jpg": 1.0, "flac": 1e-4}.get(name.rpartition(".")[2])
        assert value == (pytest.approx(known[name], abs=near) if near else known[name]), name


def test_the_shipped_model_answers_as_it_did(golden):
    assert answers() == pytest.approx(golden["answers"], rel=1e-4, abs=1e-6)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(measured(Path(folder)), indent=1) + "\n")

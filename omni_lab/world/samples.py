"""Sample films of `data_samples/`: seeds and splits, to reproduce them exactly."""

from __future__ import annotations

from pathlib import Path

from omni_lab.world.drawing import write_script
from omni_lab.world.film import write_film
from omni_lab.world.script import Script

# folder, seed, seconds, split: the model may learn from `train`; it never sees `test`
_LENGTHS = (8, 10, 12, 8, 10, 12, 10, 8)
SAMPLES = (
    *(("train", seed, seconds, "train") for seed, seconds in enumerate(_LENGTHS, 1)),
    ("test", 101, 12, "test"),
    ("test", 102, 10, "test"),
    ("test", 103, 12, "test"),
    ("test", 104, 10, "held_out"),
)


def sample_script(seed: int, seconds: int, split: str) -> Script:
    """Script of a sample film: one question a second, slow enough to be read."""
    return write_script(seed, seconds, split=split, calm=True)


def write_samples(out: Path | str, size: int = 480, progress: bool = True) -> list[Path]:
    """Sample films under `out`, in `train/` and `test/`; `size` is their side in pixels."""
    written = []
    for folder, seed, seconds, split in SAMPLES:
        film = Path(out) / folder / f"gallery-{seed:03d}.mp4"
        written.append(
            write_film(sample_script(seed, seconds, split), film, size, progress=progress)
        )
    return written

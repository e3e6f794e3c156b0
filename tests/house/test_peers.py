"""What we make is what the field's own tools make or read: mel filters as librosa's, shards as webdataset's."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

from omni_lab.config import tiny
from omni_lab.model.audio import LogMel
from omni_lab.sequences.tiling import OMCHAT_GRIDS, choose
from omni_lab.triplets.building.build import build
from omni_lab.triplets.shards.tars import read_shards
from omni_lab.world.drawing import write_script
from omni_lab.world.film import write_film


def test_mel_filters_are_librosas():
    import librosa.filters

    ours = LogMel(40, 100).bank.T.numpy()
    np.testing.assert_allclose(
        ours, librosa.filters.mel(sr=16_000, n_fft=400, n_mels=40), atol=1e-6
    )


def test_log_mel_is_the_log_of_librosas_power(monkeypatch):
    wave = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    ours = LogMel(40, 100)(wave)[0].numpy()
    frames = np.lib.stride_tricks.sliding_window_view(
        np.pad(wave[0].numpy(), 200, mode="reflect"), 400
    )[::160][:100]
    import librosa.filters

    window = np.hanning(401)[:-1]  # periodic, as in Whisper
    power = (
        np.abs(np.fft.rfft(frames * window)) ** 2
        @ librosa.filters.mel(sr=16_000, n_fft=400, n_mels=40).T
    )
    np.testing.assert_allclose(ours, ((np.log(np.maximum(power, 1e-5)) + 5) / 5).T, atol=2e-4)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # webdataset leaves its file open
def test_webdataset_streams_our_shards(tmp_path):
    import webdataset

    write_film(write_script(5, 6), tmp_path / "films" / "a.mp4", size=96)
    build([tmp_path / "films"], tmp_path / "out", tiny().triplets, progress=False)
    (clip,) = read_shards(tmp_path / "out")
    (tar,) = (tmp_path / "out").rglob("*.tar")
    (sample,) = webdataset.WebDataset(str(tar), shardshuffle=False, empty_check=False)
    assert sample["__key__"] == clip.clip_id
    assert json.loads(sample["json"])["start"] == clip.start
    pictures = [name for name in sample if name.endswith("jpg")]
    assert len(pictures) == len(clip.frames)
    import soundfile

    heard, rate = soundfile.read(io.BytesIO(sample["flac"]), dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(heard, clip.audio, atol=1 / 32_000)


def test_a_pictures_grid_is_llavas():
    """Ours is what transformers chooses, but for lines so thin that it rounds them down to no pixels at all."""
    from transformers.image_processing_utils import select_best_resolution

    resolutions = [(grid.rows * 448, grid.columns * 448) for grid in OMCHAT_GRIDS]
    sizes = np.exp(np.random.default_rng(0).uniform(3, 9, (300, 2))).astype(int)
    for width, height in [(4000, 3000), (896, 448), *sizes.tolist()]:
        ours = choose(width, height, OMCHAT_GRIDS, 448)
        assert (ours.rows * 448, ours.columns * 448) == select_best_resolution(
            (height, width), resolutions
        )
    assert choose(1, 2375, OMCHAT_GRIDS, 448) == (3, 1)
    assert select_best_resolution((2375, 1), resolutions) == (448, 896)

"""Small folders of shards, made clip by clip, and settings that read them."""

import io

import numpy as np
from PIL import Image

from omni_lab.config import StageConfig, override, tiny
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.index import FilmEntry
from omni_lab.triplets.shards.members import members_of
from omni_lab.triplets.shards.tars import ShardWriter

SECOND = 16_000


def picture(number: int, size: tuple[int, int] = (12, 8)) -> bytes:
    """A JPEG of one grey, from which its number can be read."""
    data = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), number % 250, np.uint8)).save(data, "JPEG")
    return data.getvalue()


def clip(number: int, seconds: float = 2.0, has: str = "image audio text", role: str | None = "guide",
         text: str | None = None) -> EncodedClip:  # fmt: skip
    """Clip `number`: two frames and one cue a second; every sample of its sound is its number."""
    has, ticks = has.split(), round(seconds * SECOND)
    times = list(range(0, ticks, SECOND // 2)) if "image" in has else []
    starts = range(0, ticks, SECOND) if "text" in has else []
    cue = {
        "role": role, "role_source": "prefix", "role_confidence": None, "text_source": "sidecar",
        "encoding": None, "words": [], "encoding_sure": 1.0,
    }  # fmt: skip
    source = f"film{number:03d}"
    record = {
        "clip_id": f"{source}_0_{ticks}",
        "source": {"id": source, "uri": f"{source}.mp4", "errors": []},
        "start": 0, "end": ticks, "frame_times": times,
        "cues": [
            {"start": at, "end": at + 8000, "text": text or f"red {number}", **cue} for at in starts
        ],
        "has": has, "quality": {"audio_spans": [[0, ticks]] if "audio" in has else []},
        "facts": [], "config_hash": "hash",
    }  # fmt: skip
    sound = np.full(ticks, number, np.int16) if "audio" in has else None
    return EncodedClip(record["clip_id"], record, (picture(number),) * len(times), sound)


def write_shards(folder, clips, per_shard: int = 3):
    """A folder of shards of these clips, a film each."""
    with ShardWriter(folder, "hash", clips_per_shard=per_shard) as writer:
        for one in clips:
            writer.add(one, [data for _, data in members_of(one)])
            source = one.record["source"]
            writer.end_film(FilmEntry(source["id"], source["uri"], 1, one.record["end"]))
        writer.close()
    return folder


def stage(**settings) -> StageConfig:
    """A short stage on shards."""
    plain = {
        "name": "omni", "sources": ("shards",), "steps": 20, "batch_size": 4, "seconds": 2,
        "train": ("image", "audio", "connector", "decoder"),
    }  # fmt: skip
    return StageConfig(**{**plain, **settings})


def config_with(**paths):
    """The tiny preset, whose data lie at these paths."""
    return override(tiny(), [f"data.{name}={path}" for name, path in paths.items()])

"""Small clips with roles, random ones and one fixed dialogue, for tests of role-play and export."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.index import FilmEntry
from omni_lab.triplets.shards.members import members_of
from omni_lab.triplets.shards.tars import ShardWriter

HOSTILE = (
    "../../up",
    "/etc/x",
    "C:\\x",
    "a\0b",
    "<script>alert(1)</script>",
    "\u2028\r\n",
    "{{ 7 * 7 }}",
    '"},{',
)


def jpeg(number: int) -> bytes:
    """A small picture in one grey that encodes its number."""
    data = io.BytesIO()
    Image.new("RGB", (8, 6), (10 * number,) * 3).save(data, "jpeg", quality=95)
    return data.getvalue()


def clip(cues=(), frame_times=(), spans=(), duration=200, jpegs=None, source="film") -> EncodedClip:
    """Encoded clip whose sample i is i; cues are (start, end, role, text), times in ticks."""
    audio = np.zeros(duration, np.int16) if spans else None
    for start, end in spans:
        audio[start:end] = np.arange(start, end)

    contents = {"image": frame_times, "audio": spans, "text": cues}
    record = {
        "clip_id": f"{source}_0_{duration}",
        "source": {"id": source, "uri": "films/../<b>.mp4", "errors": []},
        "start": 0,
        "end": duration,
        "frame_times": list(frame_times),
        "cues": [asdict(Cue(start, end, text, role)) for start, end, role, text in cues],
        "has": [modality for modality, content in contents.items() if content],
        "quality": {"audio_spans": [list(span) for span in spans]} if spans else {},
        "facts": [],
        "config_hash": "x",
    }

    if jpegs is None:
        jpegs = [b"%d" % number for number in range(len(frame_times))]
    return EncodedClip(record["clip_id"], record, tuple(jpegs), audio)


def shards_of(clips, folder) -> Path:
    """Shards of one film per clip."""
    with ShardWriter(folder, "x") as writer:
        for each in clips:
            writer.add(each, [data for _, data in members_of(each)])
            source = each.record["source"]
            writer.end_film(
                FilmEntry(source["id"], source["uri"], clips=1, ticks=each.record["end"])
            )
        writer.close()
    return Path(folder)


TALK = clip(
    cues=[(20, 40, "visitor", "Colour?"), (40, 60, "guide", "Red."), (100, 120, "visitor", "Word?"),
          (130, 150, "guide", "Music."), (155, 170, "guide", "Louder now.")],
    frame_times=[10, 50, 90, 140, 190],
    spans=[(5, 80), (85, 200)],
    jpegs=[jpeg(number) for number in range(5)],
)  # fmt: skip


@st.composite
def drawn(draw):
    """Random arguments of `clip`, up to 200 ticks: cues overlap, run past the end, are blank."""
    duration = draw(st.integers(1, 200))
    edges = sorted(draw(st.sets(st.integers(0, duration), max_size=8)))
    times = sorted(draw(st.sets(st.integers(0, duration - 1), max_size=6)))
    roles = st.sampled_from(["guide", "visitor", "curator", None, *HOSTILE])
    texts = st.one_of(st.sampled_from(["Red.", "", " ", *HOSTILE]), st.text(max_size=8))
    starts, lengths = st.integers(0, duration), st.integers(0, 60)
    cues = draw(st.lists(st.tuples(starts, lengths, roles, texts), max_size=8))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    cues = [(at, at + length, role, text) for at, length, role, text in cues]
    return cues, times, spans, duration

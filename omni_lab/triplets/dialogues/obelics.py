"""OBELICS-style interleaved rows of dialogues as Parquet (Laurençon et al. 2023).

A clip per row: `images` and `texts` of equal length, None where the other has a value, and an added
column `audios` of the same kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omni_lab.triplets.dialogues.files import Add, in_one_step, media_bytes, media_path
from omni_lab.triplets.dialogues.roleplay import Dialogue
from omni_lab.triplets.dialogues.texts import told
from omni_lab.triplets.record import EncodedClip

ROW_GROUP_BYTES = 32 << 20  # pictures and audio held in memory before a row group is written


@contextmanager
def obelics_writer(path: Path) -> Iterator[Add]:
    """Writer of a Parquet file; a row group is written when media fill `ROW_GROUP_BYTES`."""
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.string()
    media = pyarrow.struct({"bytes": pyarrow.binary(), "path": text})
    columns = {
        "images": pyarrow.list_(media),
        "audios": pyarrow.list_(media),
        "texts": pyarrow.list_(text),
    }
    schema = pyarrow.schema({**columns, "metadata": text, "general_metadata": text})
    rows: list[dict] = []
    size = 0

    def flush() -> None:
        nonlocal size
        if rows:
            file.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        rows.clear()
        size = 0

    def add(clip: EncodedClip, spoken: Dialogue) -> None:
        nonlocal size
        row = _row(clip, spoken)
        rows.append(row)
        size += sum(len(cell["bytes"]) for cell in row["images"] + row["audios"] if cell)
        if size >= ROW_GROUP_BYTES:
            flush()

    with (
        in_one_step(path) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema) as file,
    ):
        yield add
        flush()


def _row(clip: EncodedClip, spoken: Dialogue) -> dict:
    """OBELICS-style row: one of image, audio, text per position.

    `metadata` holds the time, role and speaker of each position.
    """
    row: dict = {"images": [], "audios": [], "texts": []}
    metadata = []

    for turn, part, text in told(spoken, transcript=True):
        here = {"images": None, "audios": None, "texts": None}
        if part.kind == "text":
            here["texts"] = text
        else:
            path = media_path(part, spoken.clip_id)
            column = "images" if part.kind == "image" else "audios"
            here[column] = {"bytes": media_bytes(part, clip), "path": path}
        for column, cell in here.items():
            row[column].append(cell)
        metadata.append(
            {"start": part.start, "end": part.end, "role": turn.role, "speaker": turn.speaker}
        )

    about = {"clip_id": spoken.clip_id, "model_role": spoken.model_role}
    row["metadata"] = json.dumps(metadata, ensure_ascii=False)
    row["general_metadata"] = json.dumps(about, ensure_ascii=False)
    return row

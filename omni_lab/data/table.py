"""Side tables of a data source: what was counted about its documents, keyed by what made it.

The key is part of the file's name: a table of other data, or of other settings, is never found.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from omni_lab.storage import atomic_write


@dataclass
class Table:
    """Documents of a source as columns, and the count of what was left out."""

    columns: Int64[np.ndarray, "documents columns"]
    left_out: Counter[str] = field(default_factory=Counter)
    about: dict = field(default_factory=dict)  # further findings, plain JSON

    def to_bytes(self) -> bytes:
        """Bytes of an npz file."""
        data = io.BytesIO()
        notes = json.dumps([dict(self.left_out), self.about])
        np.savez(data, columns=self.columns, notes=np.array(notes))
        return data.getvalue()

    @classmethod
    def load(cls, path: Path) -> Table | None:
        """Table of a file; None where it is missing or damaged, so that it is counted again."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as stored:
                left_out, about = json.loads(str(stored["notes"]))
                return cls(stored["columns"], Counter(left_out), about)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def remembered(
    make: Callable[[], Table], folder: Path | None, name: str, fingerprint: str
) -> Table:
    """The table that `make` gives, from `folder` where an earlier run left it there."""
    if folder is None:
        return make()
    path = folder / f"{name}-{fingerprint}.npz"
    table = Table.load(path)
    if table is None:
        table = make()
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(path, table.to_bytes())
    return table

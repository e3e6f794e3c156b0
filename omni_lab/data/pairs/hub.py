"""Pairs in a Hugging Face `datasets` folder on disk: a column of media, a column of text."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from omni_lab.data.pairs.parts import Media, Part
from omni_lab.errors import InputError, UsageError

TEXTS = ("text", "caption")
MARKS = ("dataset_info.json", "dataset_dict.json", "state.json")  # of a folder that holds one
BLOCK = 1000  # rows that lie side by side on disk, for the windows of the shuffle


class HubPairs:
    """Rows of a data set, by number; its Arrow files are mapped, not read into memory.

    Parameters
    ----------
    path : folder that `save_to_disk` wrote; of a data set with splits, `train` is read
    kind : image or audio

    Raises
    ------
    InputError
        the folder does not load, or lacks a column
    UsageError
        the package `datasets` is missing
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        rows = _loaded(path)
        self._text = _column(rows, path, TEXTS)
        _column(rows, path, (kind,))
        self._rows = _undecoded(rows.select_columns([kind, self._text]), path, kind)
        self.files: Int64[np.ndarray, " rows"] = np.arange(len(rows)) // BLOCK
        self.identity = [rows._fingerprint, len(rows)]

    def __len__(self) -> int:
        return len(self._rows)

    def parts(self, number: int, model_role: str) -> tuple[str, list[Part]]:
        """Name and parts of one row; what it lacks is not among them."""
        row = self._rows[number]
        name = f"{self.path.name}/{number}"
        found: list[Part] = []
        cell, text = row[self.kind], row[self._text]
        if cell and (cell.get("bytes") or cell.get("path")):
            found.append(Part(self.kind, media=_media(f"{self.path}: row {number}", cell)))
        if isinstance(text, str) and text.strip():
            found.append(Part("text", text.strip(), model_role))
        return name, found


def _media(name: str, cell: dict) -> Media:
    """Bytes of a cell, in the table or in a file beside it."""
    if cell.get("bytes"):
        return Media(name, lambda: io.BytesIO(cell["bytes"]))

    def opened():
        try:
            return open(cell["path"], "rb")
        except OSError as error:
            raise InputError(f"{name}: its file does not open ({error})") from None

    return Media(name, opened)


def _loaded(path: Path):
    """Data set of a folder, the split `train` of several."""
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError:
        right = "pip install 'omni-lab[real]'"
        raise UsageError(
            f"{path}: a `datasets` folder needs the package datasets; {right}"
        ) from None

    try:
        rows = load_from_disk(str(path))
    except Exception as error:  # of a damaged folder datasets and pyarrow raise what they meet
        why = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{path}: unreadable as a `datasets` folder ({why})") from error
    if isinstance(rows, DatasetDict):
        if "train" not in rows:
            raise InputError(f"{path}: no split `train` among {', '.join(rows)}; name its folder")
        rows = rows["train"]
    return rows


def _column(rows, path: Path, names: tuple[str, ...]) -> str:
    """The first of several column names that the data set has."""
    found = next((name for name in names if name in rows.column_names), None)
    if found is None:
        there = ", ".join(rows.column_names)
        raise InputError(f"{path}: no column {' or '.join(names)}; there are {there}")
    return found


def _undecoded(rows, path: Path, kind: str):
    """The data set with media as bytes, so that reading a row decodes nothing."""
    from datasets import Audio, Image

    feature = Image(decode=False) if kind == "image" else Audio(decode=False)
    try:
        return rows.cast_column(kind, feature)
    except Exception as error:  # pyarrow's own, of many kinds
        why = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{path}: column {kind} holds no {kind}s ({why})") from error

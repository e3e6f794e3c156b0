"""Copies of the notebooks without outputs, to work in: `python notebooks/copies.py my_notebooks` (part of `make lab`).

The committed notebooks show their outputs, so that they can be read on a page; whoever works through the course should
predict before they see. A copy in which something was written is never touched again: where the course has changed
since, its new version comes to stand beside it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from omni_lab.storage import atomic_write

HERE = Path(__file__).resolve().parent
KEY = "omni_lab"  # in the metadata of a copy: digest of the notebook that it was made from


def digest(notebook: dict[str, Any]) -> str:
    """Digest of what stands in a notebook's cells, outputs aside."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    """Notebook whose code was never run."""
    cells = [
        {**cell, "outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
        for cell in notebook["cells"]
    ]
    metadata = {**notebook["metadata"], KEY: digest(notebook)}
    return {**notebook, "cells": cells, "metadata": metadata}


def state(path: Path) -> tuple[str | None, bool]:
    """Digest of the notebook that a copy was made from, and whether nothing was written in it."""
    if not path.exists():
        return None, True
    try:
        own = json.loads(path.read_text(encoding="utf-8"))
        made_from = own["metadata"].get(KEY)
        return made_from, made_from == digest(own)
    except (ValueError, KeyError, TypeError, AttributeError):  # no notebook: somebody's own file
        return None, False


def copy(source: Path, folder: Path) -> Path | None:
    """Copy of a notebook in the folder, under a name that takes nothing away; None where it is there."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    for number in itertools.count(1):
        path = folder / f"{source.stem}{f' ({number})' if number > 1 else ''}.ipynb"
        made_from, untouched = state(path)
        if made_from == digest(notebook):
            return None
        if untouched:
            text = json.dumps(without_outputs(notebook), indent=1, ensure_ascii=False)
            atomic_write(path, text + "\n")
            return path
    return None


def main(folder: Path) -> None:
    """Copy what is not there yet, and say what is new."""
    folder.mkdir(exist_ok=True)
    for source in sorted(HERE.glob("[0-9][0-9]_*.ipynb")):
        path = copy(source, folder)
        if path is not None:
            beside = path.stem != source.stem
            note = ": the course has changed, and your own copy stays as it is" if beside else ""
            print(f"{path}{note}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

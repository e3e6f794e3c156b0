"""Make executed notebooks fit to be committed: `python notebooks/tidy.py notebooks/*.ipynb` (part of `make notebooks`).

Removed is what differs between machines and runs without telling a reader anything: widget state (GitHub then refuses
to show the page), timings, absolute paths, progress bars' intermediate states, where printing paused.
`tests/house/test_repository.py` asks that a committed notebook comes out of `tidied` unchanged.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
DATA_URI = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=\s]+")
OVERWRITTEN = re.compile(r"^[^\n]*\r(?!\n)", re.M)  # what a later state of the same line covers


def tidied(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook (its JSON) as it should be committed."""
    cells = []
    for cell in notebook["cells"]:
        cell = {**cell, "metadata": {k: v for k, v in cell["metadata"].items() if k != "execution"}}
        if cell["cell_type"] == "code":
            cell["outputs"] = [
                kept for output in _joined(cell["outputs"]) if (kept := _output(output)) is not None
            ]
        cells.append(cell)
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {**notebook, "cells": cells, "metadata": metadata}


def texts(output: dict[str, Any]) -> list[str]:
    """Everything in an output that a reader can read; embedded pictures and sounds are left out."""
    found = [output.get("text", ""), *output.get("traceback", [])]
    found += [
        value
        for kind, value in output.get("data", {}).items()
        if kind.startswith(("text/", "image/svg"))
    ]
    return [DATA_URI.sub("", "".join(value)) for value in found]


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was printed in one go as one output: where it broke into two is chance."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output["output_type"] == "stream" and output.get("name") == last.get("name"):
            joined[-1] = {**last, "text": last["text"] + output["text"]}
        else:
            joined.append(output)
    return joined


def _output(output: dict[str, Any]) -> dict[str, Any] | None:
    if WIDGET in output.get("data", {}):
        data = {
            kind: value
            for kind, value in output["data"].items()
            if kind not in (WIDGET, "text/plain")
        }
        if not data:
            return None
        output = {**output, "data": data}
    if "text" in output:
        text = _readable(output["text"])
        return {**output, "text": text} if "".join(text).strip() else None
    if "data" in output:
        data = {
            kind: _readable(value) if kind.startswith("text/") else value
            for kind, value in output["data"].items()
        }
        output = {**output, "data": data}
    return output


def _readable(value: str | list[str]) -> str | list[str]:
    text = OVERWRITTEN.sub("", _without_paths("".join(value)))
    return (
        text.splitlines(keepends=True) if isinstance(value, list) else text
    )  # files hold lines, nbformat joins them


def _without_paths(text: str) -> str:
    """`text` with paths of this machine written relative to the repository, the home or the temporary folder."""
    text = re.sub(rf"(?<![\w/.+-]){re.escape(str(ROOT))}/", "", text)
    for folder, written in (
        (str(ROOT), "."),
        (str(Path.home()), "~"),
        (tempfile.gettempdir(), "…"),
    ):
        text = re.sub(rf"(?<![\w/.+-]){re.escape(folder)}(?![\w-])", written, text)
    return text


def main(paths: list[str]) -> None:
    """Tidy each file in place."""
    import nbformat

    for path in paths:
        notebook = nbformat.from_dict(tidied(nbformat.read(path, as_version=4)))
        nbformat.validate(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Saved indices of a mixture: one file of canonical JSON, which dataset and sample in which place.

The same mixture is the same bytes, whoever makes it. The file says what made it (`recipe` is the
hash of that), and a digest of all of it shows whether anything was changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from omni_lab.data.instruct.mixture import Dataset, Mixture, Portion
from omni_lab.errors import InputError
from omni_lab.storage import atomic_write, canonical_json

FORMAT = 1  # of the file


def save_mixture(mixture: Mixture, path: Path) -> None:
    """Write the indices of a mixture, whole or not at all.

    Raises
    ------
    OSError
        it cannot be written; a file of the same name is as it was
    """
    content = _content(mixture)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, canonical_json({**content, "digest": _digest(content)}) + b"\n")


def load_mixture(path: Path, datasets: Mapping[str, Dataset]) -> Mixture:
    """Read a mixture back, and check that it is as it was written, and so are its datasets.

    Raises
    ------
    InputError
        there is no such file, it is damaged, or a dataset is missing or has changed since
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: does not open ({error.strerror})") from None
    except ValueError as error:
        raise _damaged(path, f"it is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise _damaged(path, "it is no JSON object")
    if content.get("format") != FORMAT:
        made = f"a mixture of format {content.get('format')}, this version reads {FORMAT}"
        raise InputError(f"{path}: {made}; make it again")
    if content.pop("digest", None) != _digest(content):
        raise _damaged(path, "its indices are not those that were written")

    mixture = _mixture(content)
    for portion in mixture.portions:
        _check(path, portion, datasets.get(portion.name))
    return mixture


def _content(mixture: Mixture) -> dict[str, Any]:
    """A mixture as plain JSON."""
    return {
        "format": FORMAT,
        "recipe": mixture.recipe,
        "seed": mixture.seed,
        "datasets": [
            {
                "name": portion.name, "percent": str(portion.percent),
                "length": portion.length, "fingerprint": portion.fingerprint,
            }
            for portion in mixture.portions
        ],
        "parts": [
            {"dataset": mixture.which[a:b].tolist(), "sample": mixture.numbers[a:b].tolist()}
            for a, b in mixture.bounds
        ],
    }  # fmt: skip


def _mixture(content: dict[str, Any]) -> Mixture:
    """The mixture of plain JSON."""
    portions = tuple(
        Portion(own["name"], Fraction(own["percent"]), own["length"], own["fingerprint"])
        for own in content["datasets"]
    )
    parts = content["parts"]
    which, numbers = (
        np.concatenate([np.array(part[key], np.int64) for part in parts])
        for key in ("dataset", "sample")
    )
    sizes = tuple(len(part["dataset"]) for part in parts)
    return Mixture(portions, sizes, content["seed"], which, numbers)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.blake2b(canonical_json(content), digest_size=16).hexdigest()


def _damaged(path: Path, wrong: str) -> InputError:
    return InputError(f"{path}: damaged: {wrong}; make the mixture again, with the same settings")


def _check(path: Path, portion: Portion, dataset: Dataset | None) -> None:
    """Refuse a dataset that is not the one the mixture was made of."""
    right = "put it back as it was, or make the mixture again"
    if dataset is None:
        raise InputError(f"{path}: dataset {portion.name} is missing; {right}")
    there, here = (portion.length, portion.fingerprint), (len(dataset), dataset.fingerprint)
    if there != here:
        told = f"{there[0]:,} samples ({there[1]}) then, {here[0]:,} ({here[1]}) now"
        raise InputError(f"{path}: dataset {portion.name} changed since: {told}; {right}")

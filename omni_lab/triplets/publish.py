"""Files that are there whole or not at all: written under another name, then renamed in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def publish(temporary: Path, final: Path) -> None:
    """Give a finished file its name: whoever sees the name sees the whole file."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, final)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one step; it replaces what has its name."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(data)
    publish(temporary, path)


def plain(data: Any) -> bytes:
    """The one way in which a JSON value is written where its bytes count.

    >>> plain({"b": 1, "a": [2]})
    b'{"a":[2],"b":1}'
    """
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

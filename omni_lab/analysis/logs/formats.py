"""Format of a text: JSON lines, a JSON document, delimited rows, or what a program printed."""

from __future__ import annotations

import json
import re

from omni_lab.analysis.logs.delimited import dialect_of
from omni_lab.analysis.logs.source import Source


def format_of(source: Source) -> str:
    """Format that a text is in: "jsonl", "json", "delimited" or "console"."""
    first = next((line.strip() for line in source.start.splitlines() if line.strip()), "")
    if first.startswith("{") and _parses(first):
        # one object on one line may be a whole file of metrics, or a row
        lines = [line for line in source.start.splitlines() if line.strip()]
        only = source.whole and len(lines) == 1
        return "json" if only and _holds_lists(first) else "jsonl"
    if first.startswith(("{", "[")) and _looks_like_json(source.start):
        return "json"
    return "console" if dialect_of(source.start) is None else "delimited"


def _parses(line: str) -> bool:
    """Whether a line is a JSON object of its own."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _holds_lists(line: str) -> bool:
    return "[" in line


def _looks_like_json(start: str) -> bool:
    """Whether a text begins as JSON does: `[{`, `[1`, `{"`, over lines; not as `[rank0]: step 3`."""
    return (
        re.match(r'\s*(\{\s*("|\})|\[\s*(\{|\[|"|\]|-?\d[\d.eE+-]*\s*[,\]]\s*[-\d]))', start)
        is not None
    )

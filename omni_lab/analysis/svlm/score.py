"""Word losses of captions under a reference and a trainee, and what a keep ratio would drop.

Excess loss is the trainee's loss minus the reference's (Rho-1, Lin et al. 2024; for captions SVLM,
claim C7). The top fraction of a batch by excess loss is kept, as long as the trainee is weaker than
the reference: once it is stronger, words that contradict the image have the highest excess. Without
a trainee, words that the reference finds least likely are dropped.

A row of `svlm.jsonl` is written as soon as its batch is scored. A row that is there is not scored
again where its models, its text, its question and its pictures are the same in content.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from omni_lab.adapters.interface import Sample, TextModel
from omni_lab.analysis.svlm.captions import UNSEEN, Caption, Captions, Pictures, Skipped
from omni_lab.analysis.svlm.words import word_losses
from omni_lab.errors import InputError, OmniLabError, UsageError
from omni_lab.model.contents import digest_of
from omni_lab.progress import Progress
from omni_lab.storage import append_line, atomic_write

ROWS, LEFT_OUT = "svlm.jsonl", "svlm-skipped.jsonl"
UNSCORED = "that a model fails on"
_MODELS = re.compile("[0-9a-f]+")  # their digest
_KEYS = {"id", "models", "text", "question", "pictures", "words", "reference"}


class Kept(NamedTuple):
    """Selection of words by score: the best fraction of all words of all captions."""

    words: list[np.ndarray]  # of every caption, whether a word is kept (bool)
    threshold: float | None  # score of the last word kept; None without a word


@dataclass
class Scores:
    """Rows of `svlm.jsonl` in the order of the data, and what was skipped."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    again: int = 0  # rows that were there already

    def counts(self) -> dict[str, int]:
        """Number of skipped captions by kind of reason."""
        return dict(Counter(one.kind for one in self.skipped))


class _Due(NamedTuple):
    """Caption with its pictures, to be scored."""

    sample: Sample
    known: dict[str, Any]  # what its row says before it is scored


def score(
    captions: Captions,
    reference: TextModel,
    trainee: TextModel | None,
    out: Path,
    batch: int = 8,
    progress: bool = True,
) -> Scores:
    """Word losses of all captions, also as files in `out`; resumes from the rows that are there.

    Parameters
    ----------
    trainee : None scores with the reference alone
    out : folder of `svlm.jsonl`, and of `svlm-skipped.jsonl` where captions were skipped
    batch : captions of one forward pass, at most

    Raises
    ------
    UsageError
        the folder cannot be written
    InputError
        no caption can be scored, or the folder holds a line that is no row
    """
    models = digest_of([reference.contents(), trainee.contents() if trainee else None])
    try:
        out.mkdir(parents=True, exist_ok=True)
        done = _done(out, models)
        _without_half_a_line(out / ROWS)
    except OSError as error:
        right = "choose a writable --out"
        raise UsageError(f"{out}: not writable ({error.strerror}); {right}") from None

    found, pair = Scores(), (reference, trainee)
    waiting: list[_Due] = []
    rows: dict[str, dict | None] = {}  # by id, in the order of the data
    with Progress(len(captions), "captions", "entry", shown=progress) as bar:
        for entry in captions:
            for one in entry:
                due = one if isinstance(one, Skipped) else _due(one, models)
                if isinstance(due, Skipped):
                    found.skipped.append(due)
                    continue
                there = done.get(due.known["id"])
                same = there and all(there.get(key) == value for key, value in due.known.items())
                rows[due.known["id"]] = there if same else None
                found.again += bool(same)
                waiting += [] if same else [due]
            while len(waiting) >= batch:
                _settle(waiting[:batch], pair, rows, found, out)
                waiting = waiting[batch:]
            bar.update(1, skipped=len(found.skipped))
        if waiting:
            _settle(waiting, pair, rows, found, out)

    found.rows = [row for row in rows.values() if row]
    if not found.rows:
        why = found.skipped[0].why if found.skipped else "it is empty"
        raise InputError(f"{captions.path}: no caption that can be scored ({why})")
    atomic_write(out / ROWS, "".join(_line(row) + "\n" for row in found.rows))
    atomic_write(out / LEFT_OUT, "".join(_line(one._asdict()) + "\n" for one in found.skipped))
    return found


def _done(out: Path, models: str) -> dict[str, dict[str, Any]]:
    """Rows of these models by id; those of other models go into files of their own, for later."""
    rows, aside = read_rows(out), out / _aside(models)
    for other in {row["models"] for row in rows} - {models}:
        own = {row["id"]: row for row in [*read_rows(out, _aside(other)), *rows]
               if row["models"] == other}  # fmt: skip
        atomic_write(out / _aside(other), "".join(_line(row) + "\n" for row in own.values()))
    if len(kept := [row for row in rows if row["models"] == models]) < len(rows):
        atomic_write(out / ROWS, "".join(_line(row) + "\n" for row in kept))
    return {row["id"]: row for row in [*read_rows(out, aside.name), *kept]}


def _aside(models: str) -> str:
    return f"svlm-{models}.jsonl"


def read_rows(out: Path, name: str = ROWS) -> list[dict[str, Any]]:
    """Rows of a file in a folder; an incomplete last line is skipped.

    Raises
    ------
    InputError
        another line is no row
    """
    file = out / name
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    *lines, _ = text.split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if lacking := _KEYS - row.keys():
                raise KeyError(min(lacking))
            sound = isinstance(row["id"], str) and _MODELS.fullmatch(row["models"])
            if not sound or len(row["words"]) != len(row["reference"]):
                raise ValueError(row["id"])
            rows.append(row)
        except (ValueError, KeyError, AttributeError, TypeError):
            wrong = "not a scored caption; delete the line to score it again"
            raise InputError(f"{file}:{number}: {wrong}") from None
    return rows


def merit(row: dict[str, Any]) -> Float64[np.ndarray, " words"]:
    """How much a row's words are worth keeping: excess loss, else minus the reference's loss.

    NaN for a word without a loss.
    """
    values = row.get("excess") or [None if v is None else -v for v in row["reference"]]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def keep_top(merits: Sequence[np.ndarray], ratio: float) -> Kept:
    """Mark the best fraction of all words; a word without a loss is kept, and not counted.

    The number kept is the ratio times the number of words, rounded to the nearest, halves up. Of
    equal words the one that comes first is kept.

    Parameters
    ----------
    merits : of every caption's words, as `merit` gives them
    ratio : above 0, at most 1

    >>> keep_top([np.array([0.5, 2.0]), np.array([2.0, 1.0])], 0.5).words[1].tolist()
    [True, False]

    Raises
    ------
    UsageError
        the ratio is not above 0 and at most 1
    """
    check_ratio(ratio)
    every = np.concatenate([np.zeros(0), *merits])
    known = np.flatnonzero(~np.isnan(every))
    count = math.floor(ratio * len(known) + 0.5)
    best = known[np.argsort(-every[known], kind="stable")[:count]]
    kept = np.isnan(every)
    kept[best] = True
    edges = np.cumsum([len(own) for own in merits])[:-1]
    threshold = float(every[best[-1]]) if count else None
    return Kept(np.split(kept, edges) if merits else [], threshold)


def check_ratio(ratio: float) -> None:
    """Refusal of a keep ratio that is no fraction of the words.

    Raises
    ------
    UsageError
        it is not above 0 and at most 1
    """
    if not 0 < ratio <= 1:
        raise UsageError(f"keep ratio {ratio:g}: a fraction of the words, above 0 and at most 1")


def _due(caption: Caption, models: str) -> _Due | Skipped:
    """Caption with its pictures decoded."""
    try:
        pictures = caption.pictures()
    except InputError as error:
        return Skipped(caption.id, UNSEEN, str(error))
    known = {
        "id": caption.id, "models": models, "text": caption.text, "question": caption.question,
        "pictures": _digests(pictures),
    }  # fmt: skip
    return _Due(Sample(caption.text, pictures, caption.question), known)


def _digests(pictures: Pictures) -> list[str]:
    """CRC-32 and size of every picture's pixels."""
    return [
        f"{zlib.crc32(np.ascontiguousarray(one)):08x}:{one.shape[1]}x{one.shape[0]}"
        for one in pictures
    ]


def _settle(
    due: list[_Due],
    models: tuple[TextModel, TextModel | None],
    rows: dict[str, dict | None],
    found: Scores,
    out: Path,
) -> None:
    """Score captions together or, where that fails, one by one; what fails alone is skipped."""
    try:
        scored = list(_scored(due, models))
    except OmniLabError as error:
        if len(due) == 1:
            name = due[0].known["id"]
            found.skipped.append(Skipped(name, UNSCORED, f"{name}: {error}"))
            return
        for one in due:
            _settle([one], models, rows, found, out)
        return
    for row in scored:
        rows[row["id"]] = row
        append_line(out / ROWS, _line(row))


def _scored(
    due: list[_Due], models: tuple[TextModel, TextModel | None]
) -> Iterator[dict[str, Any]]:
    """Rows of one batch."""
    asked = [one.sample for one in due]
    losses = [model.token_losses(asked) for model in models if model]
    for one, *own in zip(due, *losses, strict=True):
        words, values = word_losses(one.sample.text, own)
        row = {**one.known, "words": words.tolist(), "reference": _plain(values[0])}
        if len(values) > 1:
            row |= {"trainee": _plain(values[1]), "excess": _plain(values[1] - values[0])}
        yield row


def _plain(values: Float64[np.ndarray, " words"]) -> list[float | None]:
    """Values for JSON: four decimals, None where there is no finite number."""
    return [round(value, 4) if math.isfinite(value) else None for value in values.tolist()]


def _line(data: dict[str, Any]) -> str:
    """Line of JSON that can be written as UTF-8, also where a path in it is not."""
    return json.dumps(data, ensure_ascii=False).encode(errors="replace").decode()


def _without_half_a_line(file: Path) -> None:
    """Cut off what a killed call left of its last line: the next row would be appended to it."""
    if file.exists():
        with file.open("rb+") as lines:
            lines.truncate(lines.read().rfind(b"\n") + 1)

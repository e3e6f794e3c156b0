"""Training data of a stage from its sources: planned rows, each read by the rank it is for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from omni_lab.config import StageConfig, config_hash
from omni_lab.data.batch import StageData, TrainingBatch, samples_of
from omni_lab.data.documents import Documents
from omni_lab.data.known import KnownLosses
from omni_lab.data.plan import Draw, Plan
from omni_lab.data.writing import WANTED, Writing
from omni_lab.errors import InputError
from omni_lab.sequences.batch import collate
from omni_lab.sequences.packing import join
from omni_lab.sequences.tokens import Tokens


class Consumption(NamedTuple):
    """What a stage reads of one source."""

    documents: int
    tokens: int
    epochs: float


class SourceData(StageData):
    """Streams of several sources in a ratio; a batch depends on (seed, stage, step) and lengths.

    Parameters
    ----------
    stage : its settings
    writing : its format
    sources : by name
    ratio : weight of every source

    Raises
    ------
    InputError
        the stage trains a part on a modality that no source has, or its table of losses is stale
    UsageError
        the stage has a table of losses that depend on the step
    """

    def __init__(
        self, stage: StageConfig, writing: Writing, sources: Mapping[str, Documents],
        ratio: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.settings, self.writing = stage, writing
        self.sources, self.ratio = dict(sources), dict(ratio)
        self._check_modalities()
        self.plan = self._new_plan()
        named = stage.selection.rule != "none" and stage.selection.table
        self._losses = KnownLosses(stage, writing, self.sources) if named else None
        self.known = self._losses.names if self._losses else frozenset()

    def _check_modalities(self) -> None:
        has = {modality for source in self.sources.values() for modality in source.modalities}
        for modality, word in WANTED.items():
            if modality in self.settings.train and modality not in has:
                names = ", ".join(self.sources)
                message = f"it trains part {modality}, but no {word} is in its sources ({names})"
                right = "name a source that has it, or take the part out of train"
                raise InputError(f"stage {self.settings.name}: {message}; {right}")

    def _new_plan(self) -> Plan:
        stage = self.settings
        return Plan(
            self.sources, self.ratio, stage.ratio_unit, stage.batch_size, self.writing.row,
            stage.packed,
        )  # fmt: skip

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the stage's batches: another one is other data."""
        stage = self.settings
        sources = {name: source.fingerprint for name, source in self.sources.items()}
        how = [self.ratio, stage.ratio_unit, stage.batch_size, stage.packed, self.writing.seed]
        table = [self._losses.fingerprint] if self._losses else []
        return config_hash([stage.name, sources, *how, *table])

    @property
    def fingerprint_parts(self) -> dict[str, str]:
        """Fingerprint of every source, by name, and of the table of their losses."""
        table = {"table of losses": self._losses.fingerprint} if self._losses else {}
        sources = {f"source {name}": source.fingerprint for name, source in self.sources.items()}
        return sources | table

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """The rows of `step` that belong to `rank`: every `ranks`-th, whatever their number.

        Raises
        ------
        UsageError
            the batch does not divide over the ranks
        InputError
            a document is missing or damaged
        """
        samples_of(self.settings, step, rank, ranks)
        rows = self.plan.rows(step)[rank::ranks]
        config = self.writing.config
        written = [self._row(row) for row in rows]
        return TrainingBatch(collate(written, config.sequence, config.model.image.size))

    def _row(self, row: list[Draw]) -> Tokens:
        """One row, of one document or of packed ones."""
        documents = [self._tokens(draw) for draw in row]
        return documents[0] if len(documents) == 1 else join(documents)

    def _tokens(self, draw: Draw) -> Tokens:
        """Tokens of one document, with their losses where a table has them."""
        tokens = self.writing.tokens(self.sources[draw.source][draw.number])
        return self._losses.added(tokens, draw.source, draw.number) if self._losses else tokens

    def consumption(self, steps: int | None = None) -> dict[str, Consumption]:
        """Documents, tokens and epochs of every source in the first `steps` (all by default)."""
        plan = self._new_plan()
        counts = {name: [0, 0] for name in self.sources}
        for step in range(self.settings.steps if steps is None else steps):
            for draw in (draw for row in plan.rows(step) for draw in row):
                counts[draw.source][0] += 1
                counts[draw.source][1] += draw.length
        return {
            name: Consumption(documents, tokens, documents / len(self.sources[name]))
            for name, (documents, tokens) in counts.items()
        }

    def summary(self) -> dict[str, Any]:
        """Expectation of the whole stage: `tokens`, `epochs` by source, `left_out` by reason."""
        read = self.consumption()
        return {
            "tokens": sum(source.tokens for source in read.values()),
            "epochs": {name: source.epochs for name, source in read.items()},
            "left_out": {
                f"{name}: {reason}": count
                for name, source in self.sources.items()
                for reason, count in source.left_out.items()
            },
        }

    def left_out(self) -> list[str]:
        """One line for every source of which the stage cannot use something."""
        return [
            f"stage {self.settings.name}, source {name}: {len(source):,} documents; left out: "
            + ", ".join(f"{count:,} {reason}" for reason, count in source.left_out.items())
            for name, source in self.sources.items()
            if source.left_out
        ]

    def enter(self, model: nn.Module) -> None:
        """Say once what is left out, on the first of all processes."""
        if os.environ.get("RANK", "0") == "0":
            for line in self.left_out():
                print(line, file=sys.stderr, flush=True)

"""Training data of a stage from parts of a mixture: one document a row, in the mixture's order.

A stage reads on from the first sample of its first part, as far as its steps go: a longer stage
begins with the very batches of a shorter one, so that a decay branch goes on where its trunk was.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

from omni_lab.config import StageConfig, config_hash
from omni_lab.data.documents import Documents
from omni_lab.data.instruct.mixture import Mixture
from omni_lab.data.mixed import SourceData
from omni_lab.data.plan import Draw
from omni_lab.data.sources import open_source
from omni_lab.data.writing import Writing
from omni_lab.errors import UsageError


class MixtureData(SourceData):
    """Documents of a mixture, from its part `first` on; a batch is a function of its step.

    Parameters
    ----------
    stage : its settings
    writing : its format
    sources : datasets of the mixture, by name, laid out as the stage reads them
    mixture : whose indices were made of these datasets, or checked against them
    first : number of the part that the stage begins with, from 1

    Raises
    ------
    UsageError
        the stage packs documents, the mixture is of other datasets, or it has too few samples
    InputError
        the stage trains a part on a modality that no dataset has
    """

    def __init__(
        self, stage: StageConfig, writing: Writing, sources: Mapping[str, Documents],
        mixture: Mixture, first: int = 1,
    ) -> None:  # fmt: skip
        self.mixture, self.first = mixture, first
        _check(stage, sources, mixture, first)
        own = {portion.name: sources[portion.name] for portion in mixture.portions}
        super().__init__(stage, writing, own, {})

    def _new_plan(self) -> MixturePlan:
        return MixturePlan(self.mixture, self.sources, self.first, self.settings.batch_size)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the stage's batches, however many they are."""
        stage = self.settings
        return config_hash([stage.name, self.mixture.fingerprint, self.first, stage.batch_size])


def open_datasets(
    paths: Mapping[str, tuple[str, str]], writing: Writing, tables: Path | None = None
) -> dict[str, Documents]:
    """Datasets of a mixture by name, from files: any number of each kind of source.

    Parameters
    ----------
    paths : name of a dataset → kind of source and where it lies, `("image_text", "vqa.jsonl")`
    writing : format of the stage
    tables : folder where lengths of documents are kept between runs; None counts them again

    Raises
    ------
    UsageError
        an unknown kind of source
    InputError
        a dataset is missing, damaged, or of no use to the stage
    """
    return {name: open_source(*where, writing, tables) for name, where in paths.items()}


class MixturePlan:
    """Rows of a mixture's documents by step, one document each.

    Parameters
    ----------
    first : number of the part that step 0 begins, from 1
    batch_size : rows per step, over all ranks
    """

    def __init__(
        self, mixture: Mixture, sources: Mapping[str, Documents], first: int, batch_size: int
    ) -> None:
        self.mixture, self.batch_size = mixture, batch_size
        self._names = [portion.name for portion in mixture.portions]
        self._lengths = [sources[name].lengths() for name in self._names]
        self._begin = mixture.bounds[first - 1][0]
        self._epochs = mixture.epochs()

    def rows(self, step: int) -> list[list[Draw]]:
        """Rows of a step, `batch_size` of them."""
        start = self._begin + step * self.batch_size
        return [[self._draw(place)] for place in range(start, start + self.batch_size)]

    def _draw(self, place: int) -> Draw:
        own, number = int(self.mixture.which[place]), int(self.mixture.numbers[place])
        length = int(self._lengths[own][number])
        return Draw(self._names[own], number, length, int(self._epochs[place]))


def steps_at_ends(mixture: Mixture, batch_size: int, parts: int | None = None) -> tuple[int, ...]:
    """Steps done at the end of each of the first `parts` parts (all by default).

    Raises
    ------
    UsageError
        a part ends within a batch
    """
    ends = []
    for part, samples in enumerate(accumulate(mixture.sizes[:parts]), 1):
        if samples % batch_size:
            wrong = f"part {part} ends after {samples} samples, within a batch of {batch_size}"
            raise UsageError(f"mixture: {wrong}; make its size a multiple of the batch size")
        ends.append(samples // batch_size)
    return tuple(ends)


def _check(
    stage: StageConfig, sources: Mapping[str, Documents], mixture: Mixture, first: int
) -> None:
    """Refuse what a mixture cannot give to a stage."""
    if stage.packed:
        right = "parts are counted in samples; set packed=false"
        raise UsageError(f"stage {stage.name}: packed=true does not fit a mixture: {right}")
    for portion in mixture.portions:
        own = sources.get(portion.name)
        if own is None or own.fingerprint != portion.fingerprint:
            wrong = f"dataset {portion.name} is not the one that the mixture was made of"
            raise UsageError(f"stage {stage.name}: {wrong}; load the mixture with these datasets")
    last = len(mixture.sizes)
    if not 1 <= first <= last:
        raise UsageError(f"stage {stage.name}: no part {first}; the mixture has parts 1 to {last}")
    reads, there = stage.steps * stage.batch_size, sum(mixture.sizes[first - 1 :])
    if reads > there:
        wrong = (
            f"{stage.steps} steps read {reads:,} samples, parts {first} to {last} hold {there:,}"
        )
        right = f"give the mixture one more part, of {reads - there:,} or more"
        raise UsageError(f"stage {stage.name}: {wrong}; {right}")

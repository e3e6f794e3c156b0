"""Token selection of a training step: reference losses gathered before it, tokens chosen within it.

`prepare` adds what scores are made of to a batch, before ranks share its rows; `chooser` is what
the model asks once it has their losses. Tokens that are no text (control tokens, end marks) are
always kept, and so is text without a score.

Glossary: B batch · T tokens · N supervised tokens.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from omni_lab.config import SelectionConfig, StageConfig
from omni_lab.data.batch import TrainingBatch
from omni_lab.data.documents import seed_of
from omni_lab.errors import UsageError
from omni_lab.model.omni import Chooser, OmniModel
from omni_lab.parallel.collectives import Collectives
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.sequences.tokens import TEXT_KIND
from omni_lab.training.processes import Processes
from omni_lab.training.selection.references import References, with_known
from omni_lab.training.selection.scores import NEEDS, RIGHT, TRAIN, random_scores, score
from omni_lab.training.selection.top import top_fraction

PLACE, GROUP = "place", "group"  # columns: of text alone, where a label stands, in which sequence
TYPE, TYPES = "type", (1, 2, 3)  # of a token, as the data may know it: see `scores`
_ROW = 2**24  # places of a row; a float64 counts 2**29 rows of them exactly


class Selection:
    """Selective training of one stage.

    Parameters
    ----------
    stage : its settings
    processes : that train together; None is this one alone
    """

    def __init__(self, stage: StageConfig, processes: Processes | None = None) -> None:
        self.stage, self.settings = stage, stage.selection
        together = None
        if processes:  # of one row at least, where ranks share it
            wide = stage.selection.scope == "global"
            together = processes.everyone if wide else processes.collectives
        self._together = together or Collectives(alone=True)
        self._references: References | None = None

    def open(self, trainee: OmniModel, words: str | None = None) -> None:
        """Load the models that scores need beside the trainee, and that no table has.

        Parameters
        ----------
        words : hash of the trainee's vocabulary; None compares its size alone

        Raises
        ------
        InputError
            one is not named, cannot be read, or reads other tokens
        """
        self._references = References(self.stage, trainee, words)

    def prepare(
        self,
        batch: TrainingBatch,
        step: int,
        place: tuple[int, int] = (0, 1),
        strength: Float32[Tensor, "M M"] | None = None,
    ) -> TrainingBatch:
        """The same batch with what the scores of its labels are made of.

        Parameters
        ----------
        place : which rows of the step this process has, of how many groups
        strength : of attention between modalities at this step
        """
        if self._references is None or step < self.settings.first:
            return batch
        batch = self._references.add(batch, strength)
        rule = self.settings.rule
        if rule == "oracle" and RIGHT not in batch.streams.targets.known:
            message = (
                f"stage {self.stage.name}: selection.rule=oracle needs data that know the truth"
            )
            raise UsageError(f"{message}; take another rule")
        columns: dict[str, list[Tensor]] = {PLACE: [], GROUP: []}
        for at, rows in enumerate((batch.streams, batch.captions)):
            if rows is None:
                continue
            numbers = torch.arange(len(rows.kind), device=rows.kind.device) * place[1] + place[0]
            columns[PLACE].append(_places(rows, numbers))
            columns[GROUP].append((numbers[:, None] * _ROW + rows.document).double())
            if "random" in NEEDS[rule]:
                seeds = [seed_of(step, self.stage.name, str(at), str(n)) for n in numbers.tolist()]
                drawn = random_scores(*rows.kind.shape, seeds).to(rows.kind.device)
                columns.setdefault("random", []).append(drawn)
        return with_known(batch, columns)

    def chooser(self, rows: Batch) -> Chooser | None:
        """Which supervised tokens of some rows are kept, given their losses; None keeps all."""
        if PLACE not in rows.targets.known:
            return None
        told = _told(rows)
        return lambda losses: self._kept(told, losses)

    def _kept(
        self, told: dict[str, Float[Tensor, " N"]], losses: Float[Tensor, " N"]
    ) -> Bool[Tensor, " N"]:
        settings = self.settings
        given = {TRAIN: losses, **told}
        scored = scored_of(told, settings)
        given = {name: values[scored] for name, values in given.items()}
        if settings.rule == "oracle":
            chosen = given[RIGHT] > 0
        else:
            scores = score(settings.rule, given, settings.weight, self._together)
            chosen = top_fraction(
                scores if settings.end == "highest" else -scores,
                settings.keep,
                self._together,
                given[PLACE].long(),
                given[GROUP].long() if settings.scope == "sequence" else None,
            )
        kept = torch.ones_like(scored)
        kept[scored] = chosen
        return kept

    def counts(self, rows: Batch) -> float:
        """Tokens of some rows that will be kept, to within rounding: what their mean is over."""
        if PLACE not in rows.targets.known:
            return float((rows.labels != IGNORED).sum())
        told = _told(rows)
        scored = scored_of(told, self.settings)
        if self.settings.rule == "oracle":
            chosen = float((told[RIGHT][scored] > 0).sum())
        else:
            chosen = self.settings.keep * float(scored.sum())
        return float((~scored).sum()) + chosen


def scored_of(
    told: dict[str, Float[Tensor, " N"]], settings: SelectionConfig
) -> Bool[Tensor, " N"]:
    """Which supervised tokens have a score: text, of which all is known that the rule needs."""
    scored = told[PLACE].isfinite()
    for name in NEEDS[settings.rule]:
        if name != TRAIN:
            scored = scored & told[name].isfinite()
    return scored


def _told(rows: Batch) -> dict[str, Float[Tensor, " N"]]:
    """What is known of the supervised tokens of some rows, by name."""
    wanted = rows.labels != IGNORED
    return {name: column[wanted] for name, column in rows.targets.known.items()}


def _places(rows: Batch, numbers: Tensor) -> Float[Tensor, "B T"]:
    """Place of every text label among those of all processes, NaN where a label is no text."""
    text = torch.zeros_like(rows.loss_mask)
    text[:, :-1] = (rows.kind == TEXT_KIND)[:, 1:]
    columns = torch.arange(rows.kind.shape[1], device=rows.kind.device)
    places = (numbers[:, None] * _ROW + columns).double()
    return places.masked_fill(~text, torch.nan)

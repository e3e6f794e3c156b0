"""Omni models of this package behind the interface of token losses.

A text is the model's own turn after its images, as pairs are in training: in the omni stream every
image is the picture of the next unit, and the text stands in the last one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from omni_lab.adapters.interface import Sample, TokenLosses
from omni_lab.config import Config, config_hash
from omni_lab.data.pairs.parts import square
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import InputError
from omni_lab.media.subtitles.reader import Cue
from omni_lab.model.contents import digest_of, digest_of_weights
from omni_lab.model.inputs import forward_batch
from omni_lab.model.loading import adapt_decoder
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import rope_of
from omni_lab.sequences.batch import collate
from omni_lab.sequences.documents import Document, Picture
from omni_lab.sequences.formats import FORMATS, lay_out
from omni_lab.sequences.stream import unit_ticks
from omni_lab.sequences.tokens import TEXT_KIND, Tokens, tokenize
from omni_lab.sequences.vocabulary import Vocabulary
from omni_lab.training.models import trained
from omni_lab.training.run import read_config
from omni_lab.triplets.record import Triplet

_CHUNK = re.compile(r"\s*\S+")


class OmniTextModel:
    """Token losses (`TextModel`) of an omni model.

    Parameters
    ----------
    model : trained
    config : settings of its run
    name : of the model, for tables

    Raises
    ------
    InputError
        its sequences are haystacks, which have no place for a caption
    """

    def __init__(self, model: OmniModel, config: Config, name: str) -> None:
        if config.sequence.layout not in ("stream", *FORMATS):
            wrong = f"its layout {config.sequence.layout!r} has no place for a caption"
            right = f"name a run with sequence.layout of stream, {', '.join(FORMATS)}"
            raise InputError(f"{name}: {wrong}; {right}")
        self.model, self.config, self.name = model.eval(), config, name
        self.vocabulary = build_vocabulary(config)

    @classmethod
    def load(
        cls, run: Path | str, device: str = "cpu", adapter: str | None = None
    ) -> OmniTextModel:
        """Model of a run folder's furthest checkpoint, with a PEFT adapter on its decoder or not.

        Raises
        ------
        InputError
            the folder is no run, has no checkpoint, its model reads no captions, or the adapter
            is not one on it
        """
        model = trained(run)
        if adapter:
            adapt_decoder(model, adapter, str(run))
        return cls(model.to(device), read_config(run), str(adapter or run))

    def contents(self) -> dict[str, str]:
        """Digests of the weights, of the settings around them, and of the vocabulary."""
        vocabulary = self.vocabulary
        words = vocabulary.pieces(range(len(vocabulary)))
        around = [config_hash(self.config), *rope_of(self.model.decoder)]
        return {
            "weights": digest_of_weights(self.model),
            "settings": digest_of(around),
            "tokenizer": digest_of(words),
        }

    @torch.inference_mode()
    def token_losses(self, samples: Sequence[Sample]) -> list[TokenLosses]:
        """Losses of every sample's tokens, all samples in one batch.

        Raises
        ------
        OmniLabError
            a sample is longer than the model's rows, or losses are not finite
        """
        rows = [self._row(sample) for sample in samples]
        image = self.config.model.image.size
        batch = collate(rows, self.config.sequence, image).to(self.model.device)
        losses = forward_batch(self.model, batch).losses
        if not losses.isfinite().all():
            wrong = "its losses are not finite: training diverged, or its weights are damaged"
            raise InputError(f"{self.name}: {wrong}")

        out = []
        scored = [int(row.loss[1:].sum()) for row in rows]  # the first of a row is no label
        for sample, row, own in zip(samples, rows, losses.split(scored), strict=True):
            whole = np.full(int(row.loss.sum()), np.nan, np.float32)
            whole[len(whole) - len(own) :] = own.float().cpu().numpy()
            out.append(
                TokenLosses(whole, spans_of(sample.text, row.ids[row.loss], self.vocabulary))
            )
        return out

    def _row(self, sample: Sample) -> Tokens:
        """Tokens of a sample, its text's alone supervised."""
        settings, role = self.config.sequence, self.config.sequence.model_role
        streams = settings.layout == "stream"
        content = self._clip(sample) if streams else _document(sample, role)
        row = tokenize(lay_out(content, self.config), self.vocabulary, settings)
        last = row.item[row.kind == TEXT_KIND]
        own = (row.kind == TEXT_KIND) & (row.item == last.max(initial=-1)) & row.loss
        if not own.any():
            raise InputError(f"{self.name}: its vocabulary has no token of {sample.text[:40]!r}")
        return replace(row, loss=own)

    def _clip(self, sample: Sample) -> Triplet:
        """Sample as a clip: an image in every unit, question and text in the last."""
        unit, side = unit_ticks(self.config.sequence), self.config.model.image.size
        units = max(1, len(sample.images))
        frames = [square(pixels, side) for pixels in sample.images]
        at = (units - 1) * unit
        return Triplet(
            source_id="sample", start=0, end=units * unit,
            frames=np.stack(frames) if frames else np.zeros((0, 0, 0, 3), np.uint8),
            frame_times=np.arange(len(frames), dtype=np.int64) * unit,
            audio=np.zeros(0, np.float32),
            cues=tuple(replace(cue, start=at, end=at) for cue in _cues(sample, self._role)),
            has=frozenset({"text", *(["image"] if frames else [])}),
        )  # fmt: skip

    @property
    def _role(self) -> str:
        return self.config.sequence.model_role


def spans_of(
    text: str, ids: Int64[np.ndarray, " N"], vocabulary: Vocabulary
) -> Int64[np.ndarray, "N 2"]:
    """Character spans of a text's tokens: the tokenizer's own, else those of whole words.

    Parameters
    ----------
    ids : of the text, perhaps after other text

    Raises
    ------
    InputError
        the vocabulary has no spans, and its words are not encoded one by one
    """
    tokenizer = getattr(vocabulary, "tokenizer", None)
    if tokenizer is not None and tokenizer.is_fast:
        for lead in ("", " ", "\n"):  # what may stand between this text and the one before
            encoded = tokenizer(
                lead + text,
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
            )
            if encoded["input_ids"] == ids.tolist():
                spans = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2)
                return (spans - len(lead)).clip(0, len(text))

    spans, whole = [], []
    for word in _CHUNK.finditer(text):
        own = vocabulary.encode(word[0])
        whole += own
        spans += [word.span()] * len(own)
    if whole != ids.tolist():
        raise InputError(f"{type(vocabulary).__name__}: gives no character spans of tokens")
    return np.array(spans, np.int64).reshape(-1, 2)


def _cues(sample: Sample, role: str) -> list[Cue]:
    asked = [Cue(0, 0, sample.question, "user")] if sample.question else []
    return [*asked, Cue(0, 0, sample.text, role)]


def _document(sample: Sample, role: str) -> Document:
    pictures = [Picture(pixels) for pixels in sample.images]
    return Document("sample", (*pictures, *_cues(sample, role)))

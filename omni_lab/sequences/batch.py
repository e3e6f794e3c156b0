"""Collation of token rows into padded batches, with the pixels and samples behind the tokens.

Glossary: B batch · T tokens · U units with a picture · A units with sound
· F frames per unit · S picture side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64, UInt8
from torch import Tensor

from omni_lab.config import SequenceConfig
from omni_lab.sequences.items import Sequence, SequenceError
from omni_lab.sequences.stream import unit_ticks
from omni_lab.sequences.targets import Targets, targets_of
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, Tokens, tokenize
from omni_lab.sequences.vocabulary import Vocabulary

PAD_KIND = NO_DOCUMENT = -1
IGNORED = -100  # label where the next token is not supervised: `ignore_index` of cross-entropy


@dataclass
class Batch:
    """Padded batch of token rows with its units of pixels and samples, in stream order."""

    input_ids: Int64[Tensor, "B T"]
    kind: Int64[Tensor, "B T"]  # modality number, PAD_KIND where padded
    loss_mask: Bool[Tensor, "B T"]
    unit: Int64[Tensor, "B T"]
    document: Int64[Tensor, "B T"]  # which of a row's documents, NO_DOCUMENT where padded
    position: Int64[Tensor, "B T"]  # from 0 in every document
    frames: UInt8[Tensor, "U F S S 3"]
    waves: Float32[Tensor, "A samples"]
    seen: Int64[Tensor, " seen"]  # index into `frames` of every unit with a picture
    heard: Int64[Tensor, " heard"]  # index into `waves` of every unit with sound
    targets: Targets  # fact and sense of every label

    def to(self, device) -> Batch:
        """The same batch on another device."""
        return Batch(
            **{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        )

    def with_units(self, units: list[int]) -> Batch:
        """Batch of one-unit rows that reuse another batch's encoded units, by index."""
        at = torch.tensor(units)
        return replace(
            self,
            frames=self.frames[:0],
            waves=self.waves[:0],
            seen=at[(self.kind == IMAGE_KIND).any(1)],
            heard=at[(self.kind == AUDIO_KIND).any(1)],
        )

    @property
    def packed(self) -> bool:
        """Whether some row holds more than one document."""
        return bool((self.document > 0).any())

    @property
    def cu_seqlens(self) -> Int32[Tensor, " edges"]:
        """Cumulative document lengths over all tokens that are not padding, row after row.

        Attention over sequences of variable length takes them (FlashAttention's `cu_seqlens`).
        """
        starts = (self.position == 0)[self.document != NO_DOCUMENT].nonzero()[:, 0]
        return torch.cat([starts, starts.new_tensor([self.tokens])]).to(torch.int32)

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.kind != PAD_KIND).sum())

    @property
    def labels(self) -> Int64[Tensor, "B T"]:
        """Next-token labels: the token after each, IGNORED where that one is not supervised."""
        labels = self.input_ids.masked_fill(~self.loss_mask, IGNORED).roll(-1, 1)
        labels[:, -1] = IGNORED
        return labels

    def standing(self, kind: int) -> Int64[Tensor, " tokens"] | None:
        """Index of the unit tokens of modality `kind` in this batch; None means all, in order.

        A batch that holds one rank's shard of a row overrides it.
        """
        return None


def _resized(frames: np.ndarray, size: int) -> Tensor:
    """Frames of a unit at the encoder's side: area averaging to shrink, bilinear to enlarge."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames))
    if pixels.shape[1:3] == (size, size):
        return pixels
    mode = (
        {"mode": "area"}
        if min(pixels.shape[1:3]) >= size
        else {"mode": "bilinear", "align_corners": False}
    )
    planes = torch.nn.functional.interpolate(pixels.movedim(-1, 1).float(), (size, size), **mode)
    return planes.round().clamp(0, 255).to(torch.uint8).movedim(1, -1)


def collate(rows: list[Tokens], config: SequenceConfig, image_size: int) -> Batch:
    """Collate token rows: pad to the longest, stack the pixels and samples of their units.

    Parameters
    ----------
    image_size : side of the pictures that the encoder takes, pixels

    Raises
    ------
    SequenceError
        a row has a token id outside its vocabulary
    """
    for row in rows:
        _check_ids(row)
    longest = max(len(row.ids) for row in rows)

    def padded(name: str, fill, dtype) -> Tensor:
        out = np.full((len(rows), longest), fill, dtype)
        for index, row in enumerate(rows):
            values = getattr(row, name)
            out[index, : len(values)] = values
        return torch.from_numpy(out)

    frames = [_resized(unit, image_size) for row in rows for unit in row.frames]
    waves = [
        torch.from_numpy(np.ascontiguousarray(wave, np.float32))
        for row in rows
        for wave in row.waves
    ]
    empty_frames = torch.zeros(
        (0, config.frames_per_unit, image_size, image_size, 3), dtype=torch.uint8
    )
    document = padded("document", NO_DOCUMENT, np.int64)

    return Batch(
        input_ids=padded("ids", 0, np.int64),
        kind=padded("kind", PAD_KIND, np.int64),
        loss_mask=padded("loss", False, bool),
        unit=padded("unit", 0, np.int64),
        document=document,
        position=_positions(document),
        frames=torch.stack(frames) if frames else empty_frames,
        waves=torch.stack(waves) if waves else torch.zeros((0, unit_ticks(config))),
        seen=torch.arange(len(frames)),
        heard=torch.arange(len(waves)),
        targets=targets_of(rows),
    )


def _positions(document: Int64[Tensor, "B T"]) -> Int64[Tensor, "B T"]:
    """Position ids that restart at 0 in every document of a row."""
    place = torch.arange(document.shape[1]).expand_as(document)
    begins = torch.ones_like(document, dtype=torch.bool)
    begins[:, 1:] = document[:, 1:] != document[:, :-1]
    return place - torch.where(begins, place, 0).cummax(1).values


def _check_ids(row: Tokens) -> None:
    wrong = np.flatnonzero((row.ids < 0) | (row.ids >= row.vocabulary))
    if len(wrong):
        first = int(wrong[0])
        right = f"its vocabulary has ids from 0 to {row.vocabulary - 1}"
        raise SequenceError(
            f"clip {row.name}: token {first} has id {int(row.ids[first])}, but {right}"
        )


def make_batch(
    sequences: list[Sequence], vocabulary: Vocabulary, config: SequenceConfig, image_size: int
) -> Batch:
    """Tokenized and collated batch of sequences; `image_size` is the encoder's side in pixels."""
    return collate([tokenize(s, vocabulary, config) for s in sequences], config, image_size)

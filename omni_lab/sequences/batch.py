"""From items to tensors: tokens with their modality, time and supervision, and the pixels and samples behind them.

Glossary: B batch · T tokens · U units with a picture · A units with sound · F frames per unit · S picture side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from omni_lab.config import TICKS_PER_SECOND, Config
from omni_lab.sequences.items import KINDS, Sequence, SequenceFault
from omni_lab.sequences.vocabulary import AUDIO, IMAGE, WorldVocabulary

IMAGE_KIND, AUDIO_KIND, TEXT_KIND, SPEECH_KIND, CONTROL_KIND = range(len(KINDS))
PAD_KIND = -1


@dataclass
class Tokens:
    """One sequence as arrays of length T, and its units of pixels and samples in stream order."""

    ids: np.ndarray
    kind: np.ndarray  # index into KINDS
    loss: np.ndarray  # supervised or not
    unit: np.ndarray
    time: np.ndarray  # ticks from the clip's start
    item: np.ndarray  # index into the sequence's items
    frames: list[np.ndarray]  # per unit with a picture: F × H × W × 3
    waves: list[np.ndarray]  # per unit with sound: samples of one unit


def _unit_frames(sequence: Sequence, start: int, end: int, count: int) -> np.ndarray:
    """The frames that one unit sees: evenly chosen from those inside it, the nearest one where it has none."""
    times = sequence.triplet.frame_times
    first, last = np.searchsorted(times, (start, end))
    if first == last:  # film slower than the unit: what is on the screen is the picture before
        return sequence.triplet.frames[[min(max(first - 1, 0), len(times) - 1)] * count]
    chosen = first + np.floor((np.arange(count) + 0.5) * (last - first) / count).astype(int)
    return sequence.triplet.frames[chosen]


def _unit_wave(sequence: Sequence, start: int, end: int) -> np.ndarray:
    wave = sequence.triplet.audio[start:end]
    return np.pad(wave, (0, end - start - len(wave))) if len(wave) < end - start else wave


def tokenize(sequence: Sequence, vocabulary: WorldVocabulary, config: Config) -> Tokens:
    """Turn the items of one sequence into token arrays.

    Raises
    ------
    SequenceFault : the stream is longer than `config.sequence.max_tokens`, or has an unknown kind of item.
    """
    settings = config.sequence
    sense = {
        "image": (vocabulary.ids[IMAGE],) * settings.image_tokens,
        "audio": (vocabulary.ids[AUDIO],) * settings.audio_tokens,
    }
    ids: list[int] = []
    lengths: list[int] = []
    frames, waves = [], []
    for item in sequence.items:
        if item.kind == "text":
            piece = vocabulary.encode(item.text)
        elif item.kind == "control":
            piece = (vocabulary.control(item.text),)
        elif item.kind in sense:
            piece = sense[item.kind]
        else:
            raise SequenceFault(f"clip {sequence.triplet.clip_id}: no tokens for an item of kind {item.kind!r}")
        ids.extend(piece)
        lengths.append(len(piece))
        if item.kind == "image":
            frames.append(_unit_frames(sequence, item.start, item.end, settings.frames_per_unit))
        elif item.kind == "audio":
            waves.append(_unit_wave(sequence, item.start, item.end))
    if len(ids) > settings.max_tokens:
        raise SequenceFault(
            f"clip {sequence.triplet.clip_id}: {len(ids)} tokens, but sequence.max_tokens is {settings.max_tokens}; "
            "cut it into shorter clips or raise the setting"
        )
    index = np.repeat(np.arange(len(lengths)), lengths)

    def spread(values) -> np.ndarray:
        return np.asarray(values)[index]

    return Tokens(
        np.asarray(ids),
        spread([KINDS.index(i.kind) for i in sequence.items]),
        spread([i.loss for i in sequence.items]),
        spread([i.unit for i in sequence.items]),
        spread([i.start for i in sequence.items]),
        index,
        frames,
        waves,
    )


@dataclass
class Batch:
    """Padded token tensors and the units of pixels and samples they stand for, row by row in stream order."""

    input_ids: Int64[Tensor, "B T"]
    kind: Int64[Tensor, "B T"]  # modality number, PAD_KIND where padded
    loss_mask: Bool[Tensor, "B T"]
    unit: Int64[Tensor, "B T"]
    frames: UInt8[Tensor, "U F S S 3"]
    waves: Float32[Tensor, "A samples"]
    seen: Int64[Tensor, " seen"]  # for every unit with a picture, in stream order: which of `frames` it shows
    heard: Int64[Tensor, " heard"]  # the same for sound and `waves`

    def to(self, device) -> Batch:
        """The same batch on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def share(self, units: list[int]) -> Batch:
        """The same rows, each of one unit, with the senses of units of another batch instead of their own."""
        at = torch.tensor(units)
        return replace(
            self,
            frames=self.frames[:0],
            waves=self.waves[:0],
            seen=at[(self.kind == IMAGE_KIND).any(1)],
            heard=at[(self.kind == AUDIO_KIND).any(1)],
        )

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.kind != PAD_KIND).sum())


def _resized(frames: np.ndarray, size: int) -> Tensor:
    """Units of frames at the encoder's size, by area averaging (or bilinear where they must grow)."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames))
    if pixels.shape[1:3] == (size, size):
        return pixels
    mode = {"mode": "area"} if min(pixels.shape[1:3]) >= size else {"mode": "bilinear", "align_corners": False}
    planes = torch.nn.functional.interpolate(pixels.movedim(-1, 1).float(), (size, size), **mode)
    return planes.round().clamp(0, 255).to(torch.uint8).movedim(1, -1)


def collate(rows: list[Tokens], config: Config) -> Batch:
    """Pad sequences to the longest of them and stack the units they see and hear."""
    width = max(len(row.ids) for row in rows)
    size = config.model.image.size
    samples = round(config.sequence.unit_s * TICKS_PER_SECOND)

    def padded(name: str, fill, dtype) -> Tensor:
        out = np.full((len(rows), width), fill, dtype)
        for index, row in enumerate(rows):
            values = getattr(row, name)
            out[index, : len(values)] = values
        return torch.from_numpy(out)

    frames = [_resized(unit, size) for row in rows for unit in row.frames]
    waves = [torch.from_numpy(np.ascontiguousarray(wave, np.float32)) for row in rows for wave in row.waves]
    empty_frames = torch.zeros((0, config.sequence.frames_per_unit, size, size, 3), dtype=torch.uint8)
    return Batch(
        padded("ids", 0, np.int64),
        padded("kind", PAD_KIND, np.int64),
        padded("loss", False, bool),
        padded("unit", 0, np.int64),
        torch.stack(frames) if frames else empty_frames,
        torch.stack(waves) if waves else torch.zeros((0, samples)),
        torch.arange(len(frames)),
        torch.arange(len(waves)),
    )


def make_batch(sequences: list[Sequence], vocabulary: WorldVocabulary, config: Config) -> Batch:
    """Tokenize and collate."""
    return collate([tokenize(s, vocabulary, config) for s in sequences], config)

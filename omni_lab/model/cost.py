"""Cost of the model's parts: weights, positions, floating-point operations and seconds of one unit.

Operations are counted as for large models (Kaplan et al. 2020): two for every weight of a matrix
and position, and those of attention beside them. Norms, activations and the Fourier transform of
the sound are left out: they are a small fraction.

Glossary: D decoder width.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from omni_lab.config import Config, to_dict
from omni_lab.model.audio import whisper_tower
from omni_lab.model.omni import OmniConfig, OmniModel
from omni_lab.parallel.cost import attention_flops
from omni_lab.planner.memory import layer_matrices
from omni_lab.sequences.batch import Batch

PARTS = ("image encoder", "audio encoder", "connectors", "decoder", "words")
CHUNK_S = 30.0  # a pretrained Whisper encodes chunks of this length, padded where sound is shorter
TEXT = 8  # tokens of a unit beside image and audio: a question of two words, an answer of one


class PartCost(NamedTuple):
    """Cost of one part for one unit of a film."""

    name: str  # one of PARTS; "words": embedding and output layer
    weights: int
    positions: int  # vectors that pass through it
    matrices: int  # floating-point operations of its matrices
    attention: int  # floating-point operations between its queries, keys and values

    @property
    def operations(self) -> int:
        """Floating-point operations of a forward pass."""
        return self.matrices + self.attention


def part_costs(config: Config, vocabulary: int, text: int = TEXT) -> tuple[PartCost, ...]:
    """Cost of every part for one unit, at any size: weights are counted without allocating them.

    The decoder reads the unit's tokens alone; a longer row adds attention to what stands before.

    Parameters
    ----------
    vocabulary : tokens of the vocabulary
    text : tokens of the unit beside those of image and audio
    """
    image, audio, decoder = config.model.image, config.model.audio, config.model.decoder
    patches = (image.size // image.patch) ** 2
    frames = config.sequence.frames_per_unit
    chunk_s = CHUNK_S if audio.pretrained else config.sequence.unit_s
    heard = round(audio.frames * chunk_s) // 2
    seen_tokens, heard_tokens = config.sequence.image_tokens, config.sequence.audio_tokens
    tokens = seen_tokens + heard_tokens + text
    weights = _weights(config, vocabulary, heard)

    patching = 3 * image.patch**2 * image.width
    blocks = image.layers * (4 * image.width**2 + 2 * image.width * image.mlp)
    # two convolutions over three frames, the second with a stride of two
    convolutions = 3 * audio.width * (2 * audio.mels + audio.width)
    connectors = 2 * sum(
        count * decoder.width * (model_width + decoder.width)
        for count, model_width in (
            (seen_tokens, frames * patches // seen_tokens * image.width),
            (heard_tokens, round(audio.frames * config.sequence.unit_s) // 2 // heard_tokens * audio.width),
        )
    )  # fmt: skip
    counted = {
        "image encoder": (
            frames * patches,
            2 * frames * patches * (patching + blocks),
            frames * image.layers * attention_flops(patches**2, 1, image.width),
        ),
        "audio encoder": (
            heard,
            2 * heard * (convolutions + audio.layers * 12 * audio.width**2),
            audio.layers * attention_flops(heard**2, 1, audio.width),
        ),
        "connectors": (seen_tokens + heard_tokens, connectors, 0),
        "decoder": (
            tokens,
            2 * tokens * decoder.layers * layer_matrices(decoder),
            decoder.layers
            * attention_flops(tokens * (tokens + 1) // 2, decoder.heads, decoder.head_dim),
        ),
        "words": (tokens, 2 * tokens * vocabulary * decoder.width, 0),
    }
    return tuple(PartCost(name, weights[name], *counted[name]) for name in PARTS)


def _weights(config: Config, vocabulary: int, heard: int) -> dict[str, int]:
    """Weights of every part, counted on a model without memory."""
    plain = replace(
        config.model,
        wide_init=False,
        **{
            part: replace(getattr(config.model, part), pretrained=None)
            for part in ("image", "audio", "decoder")
        },
    )
    with torch.device("meta"):
        tower = whisper_tower(config.model.audio, heard)
        settings = {"model": to_dict(plain), "sequence": to_dict(config.sequence)}
        model = OmniModel(OmniConfig(settings, vocabulary), {"audio": tower})
    decoder = _count(model.decoder)
    words = _count(model.decoder.embed_tokens)
    if not plain.decoder.tie_word_embeddings:
        words += _count(model.decoder.lm_head)
    return {
        "image encoder": _count(model.image),
        "audio encoder": _count(model.audio),
        "connectors": _count(model.connector),
        "decoder": decoder - words,
        "words": words,
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def part_times(model: OmniModel, batch: Batch, repeats: int = 5) -> dict[str, float]:
    """Seconds that every part takes for a batch, the median of several runs; after one to warm up.

    Parameters
    ----------
    repeats : runs that are timed
    """
    states = {"image": model.image(batch.frames), "audio": model.audio(batch.waves)}
    words = model.decoder.embed_tokens(batch.input_ids)
    hidden = model.decoder(inputs_embeds=words).last_hidden_state
    runs: dict[str, Callable[[], object]] = {
        "image encoder": lambda: model.image(batch.frames),
        "audio encoder": lambda: model.audio(batch.waves),
        "connectors": lambda: [model.connector[name](states[name]) for name in states],
        "decoder": lambda: model.decoder(inputs_embeds=words),
        "words": lambda: (
            model.decoder.embed_tokens(batch.input_ids),
            hidden @ model.output_weight.T,
        ),
    }
    return {name: statistics.median(_seconds(run, repeats)) for name, run in runs.items()}


def _seconds(run: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of every run of a function, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return times

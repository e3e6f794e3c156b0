"""Which values of the settings are possible, and which settings fit together: `validate(config)`.

A value that could only fail later, or quietly mean something else, is refused here by its dotted key, with what would
be right. `omni_lab.config.override` and `from_dict` call it; so should whoever builds a configuration by hand.
"""

from __future__ import annotations

import math
from typing import Any

from omni_lab.config.overrides import check_types, leaves, ranges, written
from omni_lab.config.root import Config
from omni_lab.config.training import StageConfig
from omni_lab.config.types import PARTS
from omni_lab.errors import ConfigError


def validate(config: Config) -> Config:
    """Return `config` unchanged where every value is possible and all of them fit together.

    Raises
    ------
    ConfigError
        One line: the dotted key, its value, and what it must be.
    """
    check_types(config)
    for key, annotation, value in leaves(config):
        several = isinstance(value, tuple)
        for rule in ranges(annotation):
            holds = all(map(rule.holds, value if several else (value,)))
            must = f"{rule.must_be}, every one of them" if several else rule.must_be
            _require(holds, key, written(value) if several else value, must)
    _check_albums(config)
    _check_triplets(config)
    _check_sequence(config)
    _check_model(config)
    _check_training(config)
    _check_context(config)
    return config


def _require(holds: bool, key: str, value: Any, must: str) -> None:
    if not holds:
        raise ConfigError(f"{key} = {value!r} is impossible: it must be {must}")


def _rounded(count: float) -> float:
    """A count of frames in a unit without the last bits of floats: 100 · 0.14 s is 14."""
    return round(count, 6)


def _check_albums(config: Config) -> None:
    albums = config.albums
    _require(
        albums.most <= 9, "albums.most", albums.most, "at most 9, so that every number is one word"
    )
    _require(3 <= albums.frames <= 9, "albums.frames", albums.frames, "from 3 to 9")
    _require(
        albums.fewest <= albums.most,
        "albums.fewest",
        albums.fewest,
        f"at most albums.most = {albums.most}",
    )


def _check_triplets(config: Config) -> None:
    cut = config.triplets
    _require(
        cut.min_s <= cut.max_s, "triplets.min_s", cut.min_s, f"at most triplets.max_s = {cut.max_s}"
    )
    between = f"from triplets.min_s = {cut.min_s} to triplets.max_s = {cut.max_s}"
    _require(cut.min_s <= cut.target_s <= cut.max_s, "triplets.target_s", cut.target_s, between)


def _check_sequence(config: Config) -> None:
    sequence = config.sequence
    side = math.isqrt(sequence.image_tokens)
    right = f"a square number, such as {max(side, 1) ** 2} or {(side + 1) ** 2}"
    _require(
        side**2 == sequence.image_tokens, "sequence.image_tokens", sequence.image_tokens, right
    )
    frames = max(1, int(_rounded(config.triplets.frames_per_second * sequence.unit_s)))
    most = f"at most {frames}, the frames in a unit (triplets.frames_per_second × sequence.unit_s)"
    _require(
        sequence.frames_per_unit <= frames,
        "sequence.frames_per_unit",
        sequence.frames_per_unit,
        most,
    )
    role = sequence.model_role
    _require(
        role == role.strip().lower() != "",
        "sequence.model_role",
        role,
        "a role's name in lower case",
    )


def _check_model(config: Config) -> None:
    image, audio, decoder = config.model.image, config.model.audio, config.model.decoder
    for key, part in (("image", image), ("audio", audio)):
        _require(
            part.width % part.heads == 0,
            f"model.{key}.heads",
            part.heads,
            f"a divisor of width {part.width}",
        )
    even = "even, since rotary positions turn pairs"
    _require(decoder.head_dim % 2 == 0, "model.decoder.head_dim", decoder.head_dim, even)
    right = f"a divisor of model.decoder.heads = {decoder.heads}"
    _require(
        decoder.heads % decoder.kv_heads == 0, "model.decoder.kv_heads", decoder.kv_heads, right
    )

    patches, cells = image.size // image.patch, math.isqrt(config.sequence.image_tokens)
    right = (
        f"the square of a divisor of {patches}, the patches along a side (model.image.size / patch)"
    )
    fits = patches > 0 and patches % cells == 0
    _require(fits, "sequence.image_tokens", config.sequence.image_tokens, right)
    positions = (
        _rounded(audio.frames * config.sequence.unit_s) / 2
    )  # the second convolution halves the frames
    right = f"a divisor of {positions:g}, the encoder's positions in a unit (model.audio.frames × unit_s / 2)"
    tokens = config.sequence.audio_tokens
    _require(positions > 0 and positions % tokens == 0, "sequence.audio_tokens", tokens, right)


def _check_training(config: Config) -> None:
    training = config.training
    for name in ("vision", "audio", "omni", "albums"):
        stage: StageConfig = getattr(training, name)
        parts = f"some of {', '.join(PARTS)}"
        known = (
            bool(stage.train)
            and set(stage.train) <= set(PARTS)
            and len(set(stage.train)) == len(stage.train)
        )
        _require(known, f"training.{name}.train", ",".join(stage.train), parts)
        marks = (
            2 if config.sequence.boundary == "explicit" else 1
        )  # <unit>, and <listen> or <speak>
        unit = config.sequence.image_tokens + config.sequence.audio_tokens + marks
        most = config.sequence.max_tokens // unit
        right = f"at most {most}: a unit takes {unit} tokens before any text, and sequence.max_tokens = "
        right += str(config.sequence.max_tokens)
        _require(stage.units <= most, f"training.{name}.units", stage.units, right)


def _check_context(config: Config) -> None:
    context = config.context
    stages = len(context.lengths)
    _require(stages > 0, "context.lengths", "", "one length or more")
    per_stage = (
        "lengths",
        "thetas",
        "tokens",
        "rows",
        "real",
        "needles",
        "things",
        "films",
        "lr_scales",
    )
    for name in per_stage:
        values, key = getattr(context, name), f"context.{name}"
        listed = ",".join(f"{value:g}" for value in values)
        _require(
            len(values) == stages,
            key,
            listed,
            f"one value for each of the {stages} stages of context.lengths",
        )
    rising = all(a < b for a, b in zip(context.lengths, context.lengths[1:], strict=False))
    _require(
        rising, "context.lengths", ",".join(map(str, context.lengths)), "longer from stage to stage"
    )
    _require(
        context.short < stages, "context.short", context.short, f"a stage from 0 to {stages - 1}"
    )
    short = context.lengths[context.short]
    for length, real in zip(context.lengths, context.real, strict=True):
        right = f"1 for rows of {length}: they are no whole number of short samples of {short} (context.short)"
        _require(real == 1 or length % short == 0, "context.real", real, right)
    _require(
        max(context.things) <= 7, "context.things", max(context.things), "at most 7, of 8 shapes"
    )
    _require(
        max(context.needles) <= 23,
        "context.needles",
        max(context.needles),
        "at most 23, of 24 visitors",
    )

"""Which values of the settings are possible, and which settings fit together: `validate(config)`.

A value that could only fail later, or quietly mean something else, is refused here by its dotted key, with what would
be right. `omni_lab.config.override` and `from_dict` call it; so should whoever builds a configuration by hand.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
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
    lists = {"training": config.training, "albums": config.albums, "context": config.context}
    for section, settings in lists.items():
        names = [stage.name for stage in settings.stages]
        twice = next((name for name in names if names.count(name) > 1), None)
        _require(twice is None, f"{section}.stages", ",".join(names), f"{twice!r} only once")
        for number, stage in enumerate(settings.stages):
            key = f"{section}.stages.{stage.name}"
            _check_stage(key, stage, config)
            _check_course(key, stage)
            measured = section == "training" and number
            right = "0: it is a multiple of the steps of the stages before, in training.stages"
            multiple = stage.steps_multiple
            _require(bool(measured) or not multiple, f"{key}.steps_multiple", multiple, right)


def _check_stage(key: str, stage: StageConfig, config: Config) -> None:
    plain = re.fullmatch(r"[a-z][a-z0-9_-]*", stage.name) is not None
    _require(plain, key, stage.name, "a name of small letters, digits, - and _")
    known = (
        stage.train and set(stage.train) <= set(PARTS) and len(set(stage.train)) == len(stage.train)
    )
    _require(bool(known), f"{key}.train", ",".join(stage.train), f"some of {', '.join(PARTS)}")

    sequence = config.sequence
    marks = 2 if sequence.boundary == "explicit" else 1  # <unit>, and <listen> or <speak>
    unit = sequence.image_tokens + sequence.audio_tokens + marks
    most = (stage.max_tokens or sequence.max_tokens) // unit
    right = f"at most {most}: a unit takes {unit} tokens before any text, and a row has "
    right += str(stage.max_tokens or sequence.max_tokens)
    layout = sequence.layout if stage.layout == "same" else stage.layout
    films = layout == "stream" and not key.startswith("context.")
    _require(not films or stage.seconds <= most, f"{key}.seconds", stage.seconds, right)


def _check_course(key: str, stage: StageConfig) -> None:
    """How a stage trains: rates of parts, phases of its curriculum, balance."""
    for spec in stage.rates:
        part, _, number = spec.partition("=")
        try:
            fits = part in (*PARTS, "align") and 0 <= float(number) < math.inf
        except ValueError:
            fits = False
        right = f"PART=MULTIPLE such as image=0.5, of {', '.join((*PARTS, 'align'))}"
        _require(fits, f"{key}.rates", spec, right)

    names = [phase.name for phase in stage.phases]
    _require(len(set(names)) == len(names), f"{key}.phases", ",".join(names), "each name only once")
    caps = [phase.cap for phase in stage.phases]
    _require(caps == sorted(caps), f"{key}.phases", ",".join(names), "in the order of their caps")
    for phase in stage.phases:
        ends = bool(phase.until) == bool(phase.below)
        right = "set where below is: a loss, and the value at which it ends the phase"
        _require(ends, f"{key}.phases.{phase.name}.until", phase.until, right)
    stops = stage.milestones
    rising = list(stops) == sorted({*stops})
    _require(rising, f"{key}.milestones", written(stops), "rising, every step once")
    if not stage.steps_multiple:
        right = f"at most {stage.steps}, the steps of the stage"
        last = max(stops, default=0)
        _require(last <= stage.steps, f"{key}.milestones", written(stops), right)
        _require(stage.decay_steps <= stage.steps, f"{key}.decay_steps", stage.decay_steps, right)
    most = stage.balance.most
    _require(most >= 1, f"{key}.balance.most", most, "1 or more: the largest factor")


def _check_context(config: Config) -> None:
    haystack, stages = config.world.haystack, config.context.stages
    lengths = {stage.name: stage.max_tokens for stage in stages if stage.max_tokens}
    rising = list(lengths.values())
    _require(
        all(a < b for a, b in pairwise(rising)), "context.stages",
        ",".join(lengths), "longer from stage to stage",
    )  # fmt: skip
    short = lengths.get(haystack.short, 0)
    for level in haystack.levels:
        key = f"world.haystack.levels.{level.name}"
        _require(level.things <= 7, f"{key}.things", level.things, "at most 7, of 8 shapes")
        _require(level.needles <= 23, f"{key}.needles", level.needles, "at most 23, of 24 visitors")
        if level.real == 1 or level.name not in lengths:
            continue
        packs = short > 0 and lengths[level.name] % short == 0
        right = f"1: rows of {lengths[level.name]} are no whole number of short samples of "
        right += f"{short} (world.haystack.short={haystack.short})"
        _require(packs, f"{key}.real", level.real, right)

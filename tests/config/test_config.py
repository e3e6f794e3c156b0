"""Settings: presets, dotted overrides, what is refused and how the refusal reads."""

import copy
import dataclasses
import itertools
import json
import math

import pytest

from omni_lab import config as settings
from omni_lab.config import (
    config_hash,
    describe,
    from_dict,
    full_7b,
    override,
    small,
    tiny,
    to_dict,
    validate,
)
from omni_lab.config.overrides import comments, leaves
from omni_lab.errors import ConfigError


def test_an_override_is_typed_by_its_field():
    changed = override(
        tiny(),
        [
            "training.stages.omni.steps=50",
            "triplets.min_s=4",
            "model.wide_init=false",
            "model.decoder.pretrained=local/weights",
            "training.stages.omni.train=connector, decoder",
        ],
    )
    assert changed.training.stage("omni").steps == 50
    assert changed.triplets.min_s == 4.0 and type(changed.triplets.min_s) is float
    assert changed.model.wide_init is False
    assert changed.model.decoder.pretrained == "local/weights"
    assert changed.training.stage("omni").train == ("connector", "decoder")
    assert override(changed, ["model.decoder.pretrained=none"]).model.decoder.pretrained is None


def test_an_override_changes_nothing_else():
    before, after = (
        dict_of_leaves(tiny()),
        dict_of_leaves(override(tiny(), ["training.stages.omni.steps=50"])),
    )
    assert {key for key in before if before[key] != after[key]} == {"training.stages.omni.steps"}


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("training.stages.omni.stps=5", "training.stages.omni.steps"),
        ("trainig.omni.steps=5", "training.stages.omni.steps"),
        ("muon_lr=1e-3", "training.muon_lr"),
        ("sequence.image_token=4", "sequence.image_tokens"),
        ("model.decoder.theta=1e6", "model.decoder.rope_theta"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(setting, named):
    with pytest.raises(ConfigError, match="unknown setting") as refusal:
        override(tiny(), [setting])
    assert setting.split("=")[0] in str(refusal.value) and named in str(refusal.value)


@pytest.mark.parametrize(
    ("setting", "must"),
    [
        ("training.stages.omni.steps=-1", "0 or more"),
        ("training.stages.omni.steps=1.5", "a whole number"),
        ("training.stages.omni.batch_size=0", "1 or more"),
        ("training.stages.omni.train=hands", "image, audio, connector"),
        ("training.stages.omni.train=", "image, audio, connector"),
        ("training.stages.omni.seconds=100", "at most"),
        ("training.precision=fp8", "bf16"),
        ("training.muon_lr=0", "above 0"),
        ("model.wide_init=maybe", "true or false"),
        ("model.image.heads=5", "a divisor of width 64"),
        ("model.decoder.kv_heads=3", "a divisor of model.decoder.heads"),
        ("model.decoder.head_dim=33", "even"),
        ("model.image.pretrained=", "none"),
        ("sequence.image_tokens=5", "a square number"),
        ("sequence.image_tokens=16", "the square of a divisor of 6"),
        ("sequence.audio_tokens=7", "a divisor of 50"),
        ("sequence.frames_per_unit=4", "triplets.frames_per_second"),
        ("sequence.model_role=Guide", "lower case"),
        ("triplets.min_s=20", "triplets.max_s"),
        ("triplets.target_s=2", "triplets.min_s"),
        ("triplets.detector=ears", "silero, energy"),
        ("triplets.jpeg_quality=101", "between 1 and 100"),
        ("triplets.frames_per_second=nan", "a number"),
        ("world.signs=1.5", "between 0 and 1"),
    ],
)
def test_an_impossible_value_is_refused_by_name(setting, must):
    with pytest.raises(ConfigError) as refusal:
        override(tiny(), [setting])
    message = str(refusal.value)
    assert setting.split("=")[0] in message and must in message and "\n" not in message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.stages.omni=5", "training.stages.omni.steps"),
        ("steps", "key=value"),
        ("=5", "key=value"),
    ],
)
def test_a_section_or_a_broken_setting_says_what_would_be_right(setting, message):
    with pytest.raises(ConfigError, match=message):
        override(tiny(), [setting])


@pytest.mark.parametrize("preset", settings.PRESETS.values())
def test_a_preset_survives_json(preset):
    config = preset()
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    assert settings.PRESETS[config.name] is preset


def test_a_partial_mapping_keeps_the_rest_of_tiny():
    config = from_dict({"training": {"omni": {"steps": 5}}})
    assert config == override(tiny(), ["training.stages.omni.steps=5"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"training": {"stages": {"omni": {"stes": 5}}}}, "training.stages.omni.steps"),
        ({"trainin": {}}, "unknown setting 'trainin'"),
        ({"training": 5}, "training is a section"),
        ({"seed": True}, "a whole number"),
        ({"seed": "1"}, "a whole number"),
        ({"training": {"omni": {"train": "image"}}}, "names separated by commas"),
    ],
)
def test_a_mapping_is_read_strictly(data, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(data)


def test_a_configuration_built_by_hand_is_checked_by_type_too():
    config = copy.deepcopy(tiny())  # the preset's own stages are shared
    object.__setattr__(config.training.stage("omni"), "steps", "many")
    with pytest.raises(ConfigError, match="training.stages.omni.steps = 'many'"):
        validate(config)


def test_the_hash_follows_values_and_nothing_else():
    assert config_hash(tiny()) == config_hash(from_dict(to_dict(tiny())))
    assert config_hash({"a": 1, "b": [2]}) == config_hash({"b": [2], "a": 1})
    assert config_hash(tiny().triplets) != config_hash(
        override(tiny(), ["triplets.max_s=14"]).triplets
    )
    everything = {config_hash(preset()) for preset in settings.PRESETS.values()}
    assert len(everything) == len(settings.PRESETS)


def test_every_setting_has_its_comment_and_every_section_its_sentence():
    for config in walk(tiny()):
        cls = type(config)
        own = [
            f.name
            for f in dataclasses.fields(cls)
            if not dataclasses.is_dataclass(getattr(config, f.name))
        ]
        assert cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("), (
            f"{cls.__name__} says nothing"
        )
        missing = [name for name in own if not comments(cls).get(name)]
        assert not missing, f"{cls.__name__}: no trailing comment on {missing}"


def test_describe_names_every_setting_with_its_value():
    lines = describe(small()).splitlines()
    for key, _, _ in leaves(small()):
        assert sum(line.startswith(f"{key} = ") for line in lines) == 1, key
    assert any(
        line.startswith("sequence.image_tokens = 49 ") and "square" in line for line in lines
    )


def test_what_describe_writes_override_reads():
    for config in (tiny(), full_7b()):
        written = [
            line.split("  # ")[0].strip() for line in describe(config).splitlines() if " = " in line
        ]
        preset = settings.PRESETS[config.name]()
        assert override(preset, [line.replace(" = ", "=", 1) for line in written]) == config


def walk(config):
    """A dataclass and every section inside it, entries of lists of sections included."""
    yield config
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for inside in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(inside):
                yield from walk(inside)


def dict_of_leaves(config):
    return {key: value for key, _, value in leaves(config)}


@pytest.mark.parametrize(("unit_s", "tokens"), [(0.14, 7), (0.28, 14), (0.29 * 2, 29)])
def test_a_unit_whose_frames_are_whole_is_taken_for_it_whatever_its_last_bit(unit_s, tokens):
    """100 · 0.14 is 14.000000000000002 in floats."""
    found = override(tiny(), [f"sequence.{s}" for s in (
        f"unit_s={unit_s}", f"audio_tokens={tokens}", "frames_per_unit=1", "max_tokens=512")])  # fmt: skip
    assert found.sequence.audio_tokens == tokens
    with pytest.raises(ConfigError, match="sequence.audio_tokens"):
        override(tiny(), ["sequence.unit_s=1e-9", "sequence.frames_per_unit=1"])


def test_a_stream_without_unit_marks_has_room_for_more_units():
    tight = [
        "sequence.max_tokens=20",
        "training.stages.audio.seconds=2",
        "training.stages.omni.seconds=2",
        "training.stages.vision.seconds=2",
    ]
    with pytest.raises(ConfigError, match="a unit takes 11 tokens"):
        override(tiny(), tight)
    assert (
        override(tiny(), [*tight, "sequence.boundary=implicit"]).training.stage("omni").seconds == 2
    )


def test_no_number_however_large_ends_in_anything_but_one_line():
    """Infinity, numbers that no float holds, and more digits than Python writes, in every setting."""
    plain = to_dict(tiny())

    def numbers(value, path=()):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inside:
            if isinstance(part, dict | list) and part:
                yield from numbers(part, (*path, key))
            elif isinstance(part, int | float) and not isinstance(part, bool):
                yield (*path, key)

    large = itertools.cycle((math.inf, -math.inf, math.nan, 1e308, 10**400, -(10**5000)))
    for path, value in zip(numbers(plain), large, strict=False):
        changed = copy.deepcopy(plain)
        section = changed
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = value
        with pytest.raises(ConfigError, match="is impossible") as caught:
            from_dict(changed)
        assert "\n" not in str(caught.value) and str(path[-1]) in str(caught.value)

"""Renamed and added settings: old keys are read under new names, old settings keep their hash.

A run folder, a shard or a kept result that was written before a rename, or before a setting
existed, still loads, and does not count as made with other settings. This is the one place that
knows old names, and which settings came later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omni_lab.config.training import context_stages
from omni_lab.errors import ConfigError

# a field's name today: its first name; each is the name of one field only
FIELDS = {
    "min_speech_fraction": "min_speech_share",
    "max_black_fraction": "max_black_share",
    "max_static_fraction": "max_static_share",
    "max_clipped_fraction": "max_clipped_share",
    "previous_token_init": "look_back",
    "connector_rms": "sense_size",
    "timeout_s": "patience_s",
    "context_parallel": "ring",
}
# settings that came after results had been kept, with the value at which nothing changed for them
ADDED: dict[str, Any] = {
    "steps_multiple": 0.0,
    "rates": [],
    "optimizer": "muon",
    "phases": [],
    "balance": {"rule": "none", "strength": 1.0, "every": 10, "most": 4.0, "noise": 0.0},
    "clip": {"rule": "fixed", "every": 2000, "factor": 1.5},
    "selection": {
        "rule": "none",
        "keep": 0.6,
        "scope": "batch",
        "end": "highest",
        "weight": 1.0,
        "first": 0,
        "reference": "",
        "base": "",
        "prior": "",
    },
    "table": "",
    "captions": {"count": 600, "first": 0, "wrong": 0.4, "grey": False},
    "decay_steps": 0,
    "decay_shape": "linear",
    "decay_floor": 0.02,
    "milestones": [],
    "chat": "",
    "asked": [],
    "image_lost": 0.0,
    "audio_lost": 0.0,
}
_NEW = {old: new for new, old in FIELDS.items()}
_STAGE_FIELDS = {
    "batch": "batch_size",
    "units": "seconds",
    "decay": "decay_fraction",
    "find": "curriculum_fraction",
    "align": "align_fraction",
}
_SECTIONS = (  # dotted keys of stages, as they were before stages were a list
    (re.compile(r"training\.(vision|audio|omni)\.(\w+)"), r"training.stages.\1.\2"),
    (re.compile(r"training\.albums\.(\w+)"), r"albums.stages.albums.\1"),
    (re.compile(r"context\.sight\.(\w+)"), r"context.stages.sight.\1"),
    (re.compile(r"context\.(pictures|mark|others)"), r"world.haystack.\1"),
)
_CONTEXT = ("lengths", "thetas", "tokens", "rows", "lr_scales")  # tuples, one value per stage
_LEVEL = ("real", "needles", "things", "films")


def modern_key(key: str) -> str:
    """The dotted key of today for one of any time.

    >>> modern_key("training.omni.batch"), modern_key("model.decoder.look_back")
    ('training.stages.omni.batch_size', 'model.decoder.previous_token_init')
    """
    for old, new in _SECTIONS:
        if old.fullmatch(key):
            *sections, name = old.sub(new, key).split(".")
            return ".".join((*sections, _STAGE_FIELDS.get(name, name)))
    *sections, name = key.split(".")
    return ".".join((*sections, _NEW.get(name, name)))


def modern(data: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping of settings, of any time, with today's names and sections."""
    found = _renamed(data)
    if isinstance(training := found.get("training"), dict):
        _stages_of_training(found, training)
    if isinstance(context := found.get("context"), dict):
        _stages_of_context(found, context)
    return found


def first_named(data: Any) -> Any:
    """A nested mapping of settings as it was first hashed: first names, nothing added later.

    A setting that came later counts once it has another value than the one that changes nothing.
    """
    if isinstance(data, list):
        return [first_named(item) for item in data]
    if not isinstance(data, Mapping):
        return data
    named = {FIELDS.get(name, name): first_named(value) for name, value in data.items()}
    return {name: value for name, value in named.items() if not _adds_nothing(name, value)}


def _adds_nothing(name: str, value: Any) -> bool:
    """Whether a setting came later and has the value at which nothing changed."""
    return name in ADDED and value == ADDED[name]


def _renamed(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    return {_NEW.get(name, name): _renamed(value) for name, value in data.items()}


def _stage(old: Any) -> Any:
    if not isinstance(old, Mapping):
        return old
    return {_STAGE_FIELDS.get(name, name): value for name, value in old.items()}


def _stages_of_training(found: dict[str, Any], training: dict[str, Any]) -> None:
    """Three sections, and one for albums, as entries of lists of stages."""
    old = {
        name: _stage(training.pop(name)) for name in ("vision", "audio", "omni") if name in training
    }
    if old:
        training["stages"] = old
    if "albums" in training:
        found.setdefault("albums", {})["stages"] = {"albums": _stage(training.pop("albums"))}
    if training.get("engine") == "reference":
        training["engine"] = "ring"


def _stages_of_context(found: dict[str, Any], context: dict[str, Any]) -> None:
    """Nine tuples as a list of stages, and what they said of the gallery's haystacks there."""
    haystack = {n: context.pop(n) for n in ("pictures", "mark", "others") if n in context}
    tuples = {name: context.pop(name) for name in (*_CONTEXT, *_LEVEL) if name in context}
    short, decay = context.pop("short", None), context.pop("decay", 0.5)
    sight = context.pop("sight", None)
    if tuples and len(tuples) < len(_CONTEXT) + len(_LEVEL):
        raise ConfigError(
            f"context.{next(iter(tuples))} is called context.stages now: a list of stages"
        )

    if tuples:
        grown = context_stages(*(tuple(tuples[name]) for name in _CONTEXT), decay)
        context["stages"] = [
            {"name": "sight", **_stage(sight or {})},
            *(
                {"name": s.name, **{f: getattr(s, f) for f in s.__dataclass_fields__}}
                for s in grown
            ),
        ]
        levels = zip(*(tuples[name] for name in _LEVEL), strict=True)
        haystack["levels"] = [
            {"name": stage.name, **dict(zip(_LEVEL, level, strict=True))}
            for stage, level in zip(grown, levels, strict=True)
        ]
        if short is not None:
            haystack["short"] = grown[short].name
    elif sight is not None:
        context["stages"] = {"sight": _stage(sight)}
    if haystack:
        found.setdefault("world", {})["haystack"] = haystack

"""Renamed settings: old keys are read under their new names, and hashed under their first ones.

A run folder or a shard that was written before a rename still loads, and does not count as made with other settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# a field's name today: its first name; each is the name of one field only
FIELDS = {
    "min_speech_fraction": "min_speech_share",
    "max_black_fraction": "max_black_share",
    "max_static_fraction": "max_static_share",
    "max_clipped_fraction": "max_clipped_share",
    "previous_token_init": "look_back",
    "connector_rms": "sense_size",
    "timeout_s": "patience_s",
}
_NEW = {old: new for new, old in FIELDS.items()}


def modern_key(key: str) -> str:
    """The dotted key of today for one of any time.

    >>> modern_key("model.decoder.look_back"), modern_key("seed")
    ('model.decoder.previous_token_init', 'seed')
    """
    *sections, name = key.split(".")
    return ".".join((*sections, _NEW.get(name, name)))


def modern(data: Any) -> Any:
    """A nested mapping of settings with today's names."""
    if not isinstance(data, Mapping):
        return data
    return {_NEW.get(name, name): modern(value) for name, value in data.items()}


def first_named(data: Any) -> Any:
    """A nested mapping of settings with the names that they were first hashed under."""
    if not isinstance(data, Mapping):
        return data
    return {FIELDS.get(name, name): first_named(value) for name, value in data.items()}

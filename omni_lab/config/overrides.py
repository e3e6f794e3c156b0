"""Reading and changing nested frozen dataclasses by dotted keys, strictly: the machinery under `omni_lab.config`.

A key that does not exist and a value of the wrong type are refused by name, with the nearest right key. Nothing here
knows which settings exist: it works on any dataclass whose leaves are int, float, bool, str, None or tuples of those.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import hashlib
import inspect
import io
import json
import math
import tokenize
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from omni_lab.config.renamed import first_named, modern_key
from omni_lab.config.types import Range
from omni_lab.errors import ConfigError

LARGEST = 2**53  # of a number in size
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every setting of a nested dataclass as (dotted key, annotation, value), in order of declaration."""
    hints = _hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        elif is_named_list(hints[field.name]):
            yield prefix + field.name, tuple[str, ...], tuple(item.name for item in value)
            for item in value:
                inside = leaves(item, f"{prefix}{field.name}.{item.name}.")
                yield from (leaf for leaf in inside if not leaf[0].endswith(f".{item.name}.name"))
        else:
            yield prefix + field.name, hints[field.name], value


def merged(config: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of `config` with the leaves of a nested mapping put in; what the mapping does not name stays.

    Raises
    ------
    ConfigError
        A key does not exist, or a value is not of its field's type.
    """
    return _merged(config, changes, "", [key for key, _, _ in leaves(config)])


def with_setting(config: Any, setting: str) -> Any:
    """A copy of `config` with one `"training.stages.omni.steps=50"` put in, typed by its field.

    A list of named sections is set by names: those that it has keep their values, `+name` adds one.

    Raises
    ------
    ConfigError
        A key does not exist, or a value is not of its field's type.
    """
    known = {key: annotation for key, annotation, _ in leaves(config)}
    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not key:
        example = f"such as {next(iter(known))}=…"
        raise ConfigError(f"setting {setting!r} is not of the form key=value, {example}")

    if key not in known and (today := modern_key(key)) in known:
        warnings.warn(f"the setting {key} is called {today} now", FutureWarning, stacklevel=3)
        key = today
    if key not in known:
        raise _unknown(key, list(known))

    changes: Any = _parsed(text.strip(), known[key], key)
    for name in reversed(key.split(".")):
        changes = {name: changes}
    return merged(config, changes)


def check_types(config: Any) -> None:
    """Refuse, by its dotted key, any leaf whose value is not of its field's type."""
    for key, annotation, value in leaves(config):
        _typed(value, annotation, key)


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON types: sections are objects, tuples are lists."""
    return json.loads(json.dumps(dataclasses.asdict(config), allow_nan=False))


def config_hash(obj: Any) -> str:
    """Twelve hex digits that change whenever a value of a dataclass (or of any JSON value) changes."""
    plain = first_named(to_dict(obj)) if dataclasses.is_dataclass(obj) else obj
    canonical = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.blake2b(canonical.encode(), digest_size=6).hexdigest()


def describe(config: Any) -> str:
    """Every setting on a line of its own, `key = value  # what it means`, under its section's sentence."""
    lines: list[str] = []
    _describe(config, "", lines)
    return "\n".join(lines)


@functools.cache
def comments(cls: type) -> dict[str, str]:
    """The trailing comment of each field of a dataclass: the documentation of that setting."""
    source = inspect.getsource(cls)
    by_line = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    fields = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.AnnAssign)]
    return {
        node.target.id: by_line[node.end_lineno] for node in fields if node.end_lineno in by_line
    }


def _describe(config: Any, prefix: str, lines: list[str]) -> None:
    said, hints = comments(type(config)), _hints(type(config))
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if lines:
        lines.append("")
    sentence = (type(config).__doc__ or "").splitlines()[0]
    lines.append(f"# {prefix.rstrip('.') or 'omni_lab'}: {sentence}")

    sections: dict[str, Any] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            sections[name] = value
            continue
        if is_named_list(hints[name]):
            sections |= {f"{name}.{item.name}": item for item in value}
            value = tuple(item.name for item in value)
        elif name == "name" and prefix:
            continue  # it stands in the key
        setting = f"{prefix}{name} = {written(value)}"
        lines.append(f"{setting:<44}  # {said[name]}" if name in said else setting)
    for name, section in sections.items():
        _describe(section, f"{prefix}{name}.", lines)


def written(value: Any) -> str:
    """A value as `--set` reads it."""
    if isinstance(value, tuple):
        return ",".join(map(written, value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else str(value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _merged(config: Any, changes: Any, prefix: str, known: list[str]) -> Any:
    if not isinstance(changes, Mapping):
        section = prefix.rstrip(".")
        inside = _some_inside(section, known)
        raise ConfigError(f"{section} is a section, not a value; set one of {inside}")

    hints = _hints(type(config))
    new: dict[str, Any] = {}
    for name, value in changes.items():
        key = f"{prefix}{name}"
        if name not in hints:
            raise _unknown(key, known)
        old = getattr(config, name)
        if is_named_list(hints[name]):
            new[name] = _merged_list(old, value, typing.get_args(hints[name])[0], key, known)
        elif not dataclasses.is_dataclass(old):
            new[name] = _typed(value, hints[name], key)
        else:
            new[name] = _merged(old, value, f"{key}.", known)
    return dataclasses.replace(config, **new)


def _merged_list(old: tuple, value: Any, cls: type, key: str, known: list[str]) -> tuple:
    """A list of named sections: changed by name, picked by names, or given whole."""
    named = {item.name: item for item in old}
    if isinstance(value, Mapping):
        if lost := next((name for name in value if name not in named), None):
            raise _unknown(f"{key}.{lost}", known)
        changed = {
            name: _merged(named[name], changes, f"{key}.{name}.", known)
            for name, changes in value.items()
        }
        return tuple((named | changed).values())
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{key} = {value!r} is impossible: it must be {_kind(tuple[str, ...])}")

    items = []
    for entry in value:
        if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
            begun = named.get(entry["name"], cls(name=entry["name"]))
            items.append(_merged(begun, entry, f"{key}.{entry['name']}.", known))
            continue
        name = entry.removeprefix("+") if isinstance(entry, str) else ""
        if not name or (name == entry and name not in named):
            there = ", ".join(named) or "none yet"
            raise ConfigError(f"{key} has no {entry!r}; there are {there}, and +NAME adds one")
        items.append(named.get(name, cls(name=name)))
    return tuple(items)


@functools.cache
def is_named_list(annotation: Any) -> bool:
    """Whether a field is a list of sections, each with a name of its own."""
    inner = typing.get_args(annotation)
    return typing.get_origin(annotation) is tuple and dataclasses.is_dataclass(inner[0])


def _unknown(key: str, known: list[str]) -> ConfigError:
    inside = _some_inside(key, known)
    if inside:
        return ConfigError(f"{key} is a section, not a setting; set one of {inside}")
    return ConfigError(f"unknown setting {key!r}; did you mean {_nearest(key, known)}?")


def _some_inside(section: str, known: list[str]) -> str:
    return ", ".join(key for key in known if key.startswith(f"{section}."))


def _nearest(key: str, known: list[str]) -> str:
    """The known keys most like `key` (several where they tie), compared whole and by their last parts."""
    parts = key.count(".") + 1
    name = key.split(".")[-1]

    def likeness(candidate: str) -> float:
        tail = ".".join(candidate.split(".")[-parts:])
        whole = difflib.SequenceMatcher(None, key, candidate).ratio()
        part_of_name = name in candidate.split(".")[-1].split("_")  # theta for rope_theta
        return (
            max(whole, 0.99 * difflib.SequenceMatcher(None, key, tail).ratio()) + 0.5 * part_of_name
        )

    best = max(map(likeness, known))
    return " or ".join(candidate for candidate in known if likeness(candidate) == best)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def ranges(annotation: Any) -> tuple[Range, ...]:
    """The ranges that an annotation states for a value, or for each value of a tuple."""
    if typing.get_origin(annotation) is tuple:
        annotation = typing.get_args(annotation)[0]
    return getattr(annotation, "__metadata__", ())


def _choices(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _names(choice: Any) -> tuple[Any, ...]:
    return typing.get_args(choice) if typing.get_origin(choice) is Literal else ()


def _kind(annotation: Any) -> str:
    """An annotation in words, for messages."""
    names = []
    for choice in _choices(annotation):
        if typing.get_origin(choice) is tuple:
            names.append("names separated by commas")
        elif typing.get_origin(choice) is Literal:
            names.append(f"one of {', '.join(typing.get_args(choice))}")
        else:
            names.append("none" if choice is type(None) else KINDS[choice])
    return " or ".join(names)


def _parsed(text: str, annotation: Any, key: str) -> Any:
    """The text after `=` as a value of the field's type."""
    if type(None) in _choices(annotation) and text.lower() in ("none", "null"):
        return None
    for choice in _choices(annotation):
        if typing.get_origin(choice) is tuple:
            inner = typing.get_args(choice)[0]
            return tuple(
                _parsed(part.strip(), inner, key)
                for part in text.strip("[]()").split(",")
                if part.strip()
            )
        if (choice is str and (text or choice is annotation)) or text in _names(choice):
            return text
        if choice is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if choice in (int, float):
            try:
                return choice(text)
            except ValueError:
                continue
    raise ConfigError(f"{key} = {text!r} is impossible: it must be {_kind(annotation)}")


def _typed(value: Any, annotation: Any, key: str) -> Any:
    """`value`, where it is of the field's type: whole numbers become floats, lists tuples, and nothing else changes."""
    if isinstance(value, int | float) and abs(value) > LARGEST:
        # a whole number may be too long to be written out
        text = f"{value:g}" if isinstance(value, float) else f"10^{math.log10(abs(value)):.0f}"
        must = f"{_kind(annotation)} of at most 2^53, as floats hold it exactly"
        raise ConfigError(f"{key} = {text} is impossible: it must be {must}")
    for choice in _choices(annotation):
        if typing.get_origin(choice) is tuple and isinstance(value, list | tuple):
            inner = typing.get_args(choice)[0]
            return tuple(_typed(part, inner, key) for part in value)
        if (
            choice is float
            and isinstance(value, int | float)
            and not isinstance(value, bool)
            and not math.isnan(value)
        ):
            return float(value)
        if choice is not float and isinstance(choice, type) and type(value) is choice:
            return value
        if isinstance(value, str) and value in _names(choice):
            return value
    raise ConfigError(f"{key} = {value!r} is impossible: it must be {_kind(annotation)}")

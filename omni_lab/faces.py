"""Public faces: a room's `__init__` names what others may rely on, and loads it when it is asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def public(room: str, modules: Mapping[str, str]) -> tuple[Callable, Callable, list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a room.

    Parameters
    ----------
    room : the package's `__name__`
    modules : module of the room → public names that it defines, with spaces between
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no public name {name!r}")
        value = getattr(import_module(f"{room}.{homes[name]}"), name)
        setattr(sys.modules[room], name, value)
        return value

    return getattr_, lambda: sorted(homes), sorted(homes)

"""How tests check annotations at run time: shapes by jaxtyping, everything else by beartype alone.

jaxtyping's own hook binds and checks the arguments of every call twice, arrays or none, and compiles functions within
functions at every call: tests that draw thousands of scenes took four times as long.
"""

from __future__ import annotations

import dataclasses
import inspect
import re

import jaxtyping
from beartype import BeartypeConf, beartype

# an int is welcome where a float is asked for (PEP 484)
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
SHAPED = re.compile(
    r"\b(Shaped|Bool|Num|Inexact|Real|Complex|Float|Int|UInt|Key|PRNGKeyArray)\w*\["
)


def has_shapes(function) -> bool:
    """Whether an annotation names the shape of an array, itself or through an alias."""
    names = function.__globals__
    for note in getattr(function, "__annotations__", {}).values():
        if isinstance(note, str):
            aliases = [names[word] for word in re.findall(r"\w+", note) if word in names]
            if SHAPED.search(note) or any(SHAPED.search(repr(alias)) for alias in aliases):
                return True
        elif SHAPED.search(repr(note)):
            return True
    return False


def resolves(function) -> bool:
    """Whether all annotations can be read: not those of names that only type checkers import."""
    try:
        for note in getattr(function, "__annotations__", {}).values():
            if isinstance(note, str):
                eval(note, function.__globals__)
    except (NameError, AttributeError, TypeError):
        return False
    return True


def install() -> None:
    """Check every function and dataclass of omni_lab that is imported from here on."""
    every = jaxtyping.jaxtyped

    def checked(function=None, *, typechecker=None):
        if function is None:
            return lambda found: checked(found, typechecker=typechecker)
        if inspect.isclass(function):
            if dataclasses.is_dataclass(function) and "__init__" in vars(function):
                function.__init__ = checked(function.__init__, typechecker=typechecker)
            return function
        if has_shapes(function) or not resolves(function):
            return every(function, typechecker=typechecker)
        # a function within another would be compiled anew at every call of the other
        return function if "<locals>" in function.__qualname__ else check(function)

    jaxtyping.jaxtyped = checked
    jaxtyping.install_import_hook("omni_lab", "type_checks.check")

"""While tests run, every annotation of the package is checked: shapes, types, across arguments."""

import importlib
import textwrap

import numpy as np
import pytest
import type_checks

from omni_lab.world.clips import grain
from omni_lab.world.questions import captions


def test_the_packages_functions_are_checked():
    with pytest.raises(Exception, match="frames"):
        grain(np.zeros((2, 4, 4), np.uint8), 0.1, None)
    with pytest.raises(Exception, match="violates type hint"):
        captions("a room", 0, 1)


@pytest.fixture
def module(own_folder, monkeypatch):
    """A module as the hook sees it: an alias, a dataclass, methods, a function within one."""
    (own_folder / "checked_module.py").write_text(
        textwrap.dedent(
            """
            from __future__ import annotations
            from dataclasses import dataclass
            import jaxtyping
            import numpy as np
            Wave = jaxtyping.Float32[np.ndarray, " samples"]

            @jaxtyping.jaxtyped(typechecker=CHECK)
            def added(one: Wave, other: Wave) -> Wave:
                return one + other

            @jaxtyping.jaxtyped(typechecker=CHECK)
            def counted(word: str) -> float:
                return len(word)

            @jaxtyping.jaxtyped(typechecker=CHECK)
            @dataclass
            class Clip:
                wave: Wave
                name: str

                @property
                @jaxtyping.jaxtyped(typechecker=CHECK)
                def length(self) -> int:
                    return self.name

                @staticmethod
                @jaxtyping.jaxtyped(typechecker=CHECK)
                def named(name: str) -> str:
                    return name
            """
        ).replace("CHECK", "__import__('type_checks').check")
    )
    monkeypatch.syspath_prepend(own_folder)
    return importlib.import_module("checked_module")


def test_shapes_hold_across_arguments_also_by_an_alias(module):
    one, longer = np.zeros(3, np.float32), np.zeros(4, np.float32)
    assert len(module.added(one, one)) == 3
    with pytest.raises(Exception, match="samples=3"):
        module.added(one, longer)
    with pytest.raises(Exception, match="name"):
        module.Clip(one, 5)
    with pytest.raises(Exception, match="wave"):
        module.Clip(np.zeros(3), "float64")


def test_what_has_no_arrays_is_checked_too(module):
    assert module.counted("four") == 4, "an int is a float"
    assert module.Clip.named("a") == "a"
    clip = module.Clip(np.zeros(3, np.float32), "a")
    for wrong in (
        lambda: module.counted(4),
        lambda: module.Clip.named(4),
        lambda: clip.length,
    ):
        with pytest.raises(Exception, match="violates type hint"):
            wrong()


def test_a_function_without_arrays_is_not_bound_twice():
    assert type_checks.has_shapes(grain) and not type_checks.has_shapes(captions)

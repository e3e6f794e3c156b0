"""TensorBoard event files: scalars by tag, read by TensorBoard's own loader (extra `logs`).

The package is imported only when an event file is met.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni_lab.analysis.logs.table import Table
from omni_lab.errors import InputError, reason

STEP = "step"  # of an event: TensorBoard has one for every scalar


def read_event_files(paths: Sequence[Path], wanted: Callable[[str], bool]) -> Table:
    """Table of the scalars in event files of one run, one row per scalar, in the order of the files.

    Raises
    ------
    InputError
        TensorBoard is not installed; or a file is damaged and holds no event before the damage, or no scalar
    """
    load = _loader()
    table = Table(lambda name: name == STEP or wanted(name))
    for path in paths:
        try:
            for event in load(path):
                for name, value in _scalars(event):
                    if table.wanted(name) or name not in table.columns:
                        table.add({STEP: int(event.step), name: value})
        except OSError as error:
            raise InputError(f"{path}: not readable ({error.strerror or reason(error)})") from None
        except Exception as error:  # noqa: BLE001 - protobuf and TensorBoard have errors of their own
            if not table.count:
                raise InputError(
                    f"{path}: no event file of TensorBoard ({reason(error)})"
                ) from None
            table.notes.append(f"{path.name} is damaged or cut off; what comes before counts")
    if not table.count:
        raise InputError(f"{paths[0]}: no scalars in it; losses are written with add_scalar")
    return table


def _loader() -> Callable[[Path], Iterator[Any]]:
    """Function from a path to its events.

    Raises
    ------
    InputError
        TensorBoard is not installed
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protobuf and others, none about this log
            from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    except ModuleNotFoundError as error:
        wrong = f"event files of TensorBoard need the package {error.name}"
        raise InputError(f"{wrong}: pip install 'omni_lab[logs]'") from None
    # it says on stderr where a file is cut off; the table has a note
    logging.getLogger("tensorboard").setLevel(logging.CRITICAL)

    def load(path: Path) -> Iterator[Any]:
        return EventFileLoader(str(path)).Load()

    return load


def _scalars(event: Any) -> Iterator[tuple[str, float]]:
    """Tag and value of the scalars of an event; pictures, texts and histograms are passed over."""
    for value in event.summary.value:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            yield value.tag, float(value.simple_value)
        elif kind == "tensor" and not value.tensor.tensor_shape.dim:
            number = _of_tensor(value.tensor)
            if number is not None:
                yield value.tag, number


def _of_tensor(tensor: Any) -> float | None:
    """Number in a tensor message without dimensions: of 32 or 64 bits; None of text."""
    for field in ("float_val", "double_val", "int_val", "int64_val"):
        if found := getattr(tensor, field):
            return float(found[0])
    types = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64}  # TensorFlow's DataType
    if tensor.dtype in types and tensor.tensor_content:
        return float(np.frombuffer(tensor.tensor_content, types[tensor.dtype])[0])
    return None

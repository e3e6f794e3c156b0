"""The machines that a plan of long-context training may assume, and the names that its choices have.

Every number is an input: what a data sheet says of a GPU, and what is assumed about how much of it is reached. No
import is heavy here, so that the command's help knows the names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from omni_lab.errors import UsageError


@dataclass(frozen=True)
class Machine:
    """GPUs in nodes: what one computes, holds and sends. Bandwidths are per GPU and one direction."""

    name: str  # the preset that this began as
    peak_flops: float  # dense bf16 operations per second
    memory: float  # bytes
    nvlink: float  # bytes per second to another GPU of the node
    network: float  # bytes per second to a GPU of another node, each GPU through a card of its own
    latency_s: float = 10e-6  # seconds before a message's first byte is there, over either link
    node: int = 8  # GPUs in a node
    matmul_use: float = (
        0.65  # share of the peak that matrix products reach, what is between them included
    )
    attention_use: float = 0.55  # share of the peak that the attention kernel reaches
    reserve: float = (
        6 * 2**30
    )  # bytes that the driver, communication buffers and fragmentation take

    def __post_init__(self) -> None:
        for item in fields(self)[1:]:
            value = getattr(self, item.name)
            share = item.name.endswith("_use")
            least = 0 if item.name in ("latency_s", "reserve") else math.nextafter(0, 1)
            if not math.isfinite(value) or not least <= value <= (1 if share else math.inf):
                must = (
                    "above 0 and at most 1" if share else "0 or more" if least == 0 else "above 0"
                )
                raise UsageError(f"{item.name} must be {must}")


_GB, _GIB = 1e9, 2**30
_H100 = Machine("h100", 989.4e12, 80 * _GIB, 450 * _GB, 50 * _GB)
# NVIDIA's data sheets, SXM boards; the network is one 400 (A100: 200) Gbit/s card per GPU. The shares reached are
# assumptions near what kernel benchmarks publish: attention at 16K tokens and head width 128 on an H100 .66 forward and
# .56 backward (Shah et al. 2024), on an A100 .6 to .7 (Dao 2023).
MACHINES = {
    "h100": _H100,
    "h800": replace(_H100, name="h800", nvlink=200 * _GB),
    "h200": replace(_H100, name="h200", memory=140 * _GIB),
    "a100": Machine(
        "a100", 312e12, 80 * _GIB, 300 * _GB, 25 * _GB, matmul_use=0.75, attention_use=0.6
    ),
}

"""Machine presets of a long-context plan: GPUs, their memory, and the links between them.

Every number is an input: a GPU's data sheet, and an assumption about the fraction of it that real
kernels reach. No import is heavy here, so that the command's `--help` knows the names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from omni_lab.errors import UsageError


@dataclass(frozen=True)
class Machine:
    """Machine model: GPUs in nodes, by compute, memory and bandwidth (per GPU, one direction).

    Raises
    ------
    UsageError
        a number is not finite or out of its range
    """

    name: str  # the preset that this began as
    peak_flops: float  # dense bf16 operations per second
    memory: float  # bytes
    nvlink: float  # bytes per second to another GPU of the node
    network: float  # bytes per second to a GPU of another node; every GPU has a network card
    latency_s: float = 10e-6  # seconds until a message's first byte arrives, over either link
    node: int = 8  # GPUs in a node
    matmul_use: float = 0.65  # fraction of the peak that matrix products reach, all overhead in
    attention_use: float = 0.55  # fraction of the peak that the attention kernel reaches
    reserve: float = 6 * 2**30  # bytes for driver, communication buffers and fragmentation

    def __post_init__(self) -> None:
        for item in fields(self)[1:]:
            value = getattr(self, item.name)
            fraction = item.name.endswith("_use")
            zero = item.name in ("latency_s", "reserve")
            least, most = 0 if zero else math.nextafter(0, 1), 1 if fraction else math.inf
            if not math.isfinite(value) or not least <= value <= most:
                must = "above 0 and at most 1" if fraction else "0 or more" if zero else "above 0"
                raise UsageError(f"{item.name} must be {must}")


_GB, _GIB = 1e9, 2**30
_H100 = Machine("h100", 989.4e12, 80 * _GIB, 450 * _GB, 50 * _GB)
# NVIDIA's data sheets, SXM boards; the network is one 400 (A100: 200) Gbit/s card per GPU. The
# fractions reached are assumptions near published kernel benchmarks: attention at 16K tokens and
# head width 128 on an H100 .66 forward and .56 backward (Shah et al. 2024), on an A100 .6 to .7
# (Dao 2023).
MACHINES = {
    "h100": _H100,
    "h800": replace(_H100, name="h800", nvlink=200 * _GB),
    "h200": replace(_H100, name="h200", memory=140 * _GIB),
    "a100": Machine(
        "a100", 312e12, 80 * _GIB, 300 * _GB, 25 * _GB, matmul_use=0.75, attention_use=0.6
    ),
}

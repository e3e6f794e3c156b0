"""Training logs of any origin: curves, learning-rate and data events, and what had to be mended while reading."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__, {"curve": "Curve Event Log", "reader": "read_log read_logs"}
)

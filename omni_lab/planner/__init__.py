"""Cost of a training step of long contexts: time, memory, communication."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "machine": "MACHINES Machine",
        "memory": "memory_per_gpu",
        "plan": "Task crossings most_ranks plan_step",
        "simulate": "by_step ring_bandwidth simulate_ring",
    },
)

"""Context parallelism: layouts, blocks, ring, engines, their cost, collectives and watchdog."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "batch": "ShardedBatch shard_batch",
        "blocks": "attend attend_backward merge_",
        "collectives": "Collectives",
        "cost": "attended_pairs attention_flops balance block_pairs ring_traffic",
        "engines": "context_parallel_attention",
        "layout": "Layout pieces",
        "ring": "ring_attention",
        "sharded_row": "ShardedRow",
        "watchdog": "RankLostError",
    },
)

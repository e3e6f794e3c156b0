"""Clips of frames, audio and text, and the shards that hold them."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "building.build": "build",
        "cutting.by_hand": "best_way judged priced",
        "cutting.clips": "assign clips_of",
        "cutting.cut": "COSTS Clip cut kinds_of_places silence_middles",
        "cutting.film": "clips_of_film",
        "dialogues.export": "export",
        "dialogues.roles": "read_roles",
        "record": "Triplet EncodedClip",
        "shards.index": "Index ShardError",
        "shards.stream": "ClipStream clip_rows",
        "shards.tars": "read_shards",
        "table": "clip_table",
    },
)

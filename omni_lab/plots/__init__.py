"""Figures from arrays and records: data, training, evaluation, systems."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "course": "draw_course",
        "data.cuts": "draw_cuts",
        "data.documents": "draw_document draw_formats",
        "data.masks": "draw_mask",
        "data.packing": "draw_packing",
        "data.reel": "draw_reel",
        "data.sample": "draw_sample",
        "data.strips": "log_mel",
        "data.timeline": "draw_triplet",
        "data.tokens": "draw_stream",
        "evaluation.distances": "draw_distances",
        "evaluation.facts": "draw_controls draw_facts",
        "evaluation.films": "draw_films",
        "evaluation.formats": "draw_format_scores",
        "evaluation.heatmaps": "draw_attention draw_reliance draw_retrieval",
        "evaluation.needles": "draw_needles",
        "explore": "explore",
        "palette": "FAINT INK LINE MODALITY_COLOURS",
        "style": "new_picture save styled",
        "systems.plan": "draw_plan",
        "systems.ring": "draw_ring_pairs draw_ring_steps",
        "systems.ring_times": "RingTimes draw_ring_times",
        "training.clocks": "draw_clocks draw_ways",
        "training.curves": "draw_losses",
        "training.learning": "draw_learning",
        "training.rotary": "draw_turns",
    },
)

"""From any video, audio or subtitle file to frames, samples and cues on one clock."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "clock": "early_or_late rescale seconds stamp ticks",
        "decoding": "Film decode",
        "errors": "MediaError",
        "probe": "content_id",
        "speech.vad": "voice_activity",
        "subtitles.reader": "Cue Word read_subtitles",
    },
)

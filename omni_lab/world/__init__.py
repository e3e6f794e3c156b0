"""Synthetic world (the gallery): films with known ground truth from a seed, and lessons on them."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "albums.album": "write_album",
        "albums.documents": "as_album_document",
        "captions.lessons": "CaptionLessons CaptionSet",
        "clips": "from_script",
        "drawing": "write_script",
        "film": "write_film",
        "gallery_lessons": "CURRICULUM",
        "haystack.bank": "MARKS NAMES draw_bank",
        "haystack.lessons": "HaystackLessons haystack_lessons",
        "haystack.rows": "NEEDLES HaystackWriter",
        "questions": "CHANCE FACTS",
        "rendering": "render",
        "script": "CELLS COLOURS SHAPES SPOKEN Script",
        "source": "lessons",
        "takes": "clapperboard guided_tour",
        "vocabulary": "WorldVocabulary",
        "voice": "VOICES speak",
    },
)

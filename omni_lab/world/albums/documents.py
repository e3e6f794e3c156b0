"""Image-text document of an album: its pictures, then questions and answers."""

from __future__ import annotations

import random

from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.documents import Document, Picture
from omni_lab.world.albums.album import Album
from omni_lab.world.clips import grain


def as_album_document(album: Album, size: int, noise: float) -> Document:
    """Image-text document of an album: noisy pictures, then questions with answers.

    Parameters
    ----------
    size : picture side, pixels
    noise : standard deviation of the camera's noise, as a fraction of full scale
    """
    script = album.script
    name = f"album-{script.split}-{script.seed}"
    pictures = grain(album.pictures(size), noise, random.Random(f"noise/{name}"))
    turns = [
        Cue(0, 0, text, role)
        for question in album.questions
        for text, role in zip(question.text, ("visitor", "guide"), strict=True)
    ]
    return Document(name, (*(Picture(pixels, album.video) for pixels in pictures), *turns))

"""An album of the world as a document: its pictures, then what the visitor asks and the guide answers."""

from __future__ import annotations

import random

from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.documents import Document, Picture
from omni_lab.world.albums.album import Album
from omni_lab.world.clips import grain


def as_album_document(album: Album, size: int, noise: float) -> Document:
    """Lay an album open: pictures of `size` pixels a side with the camera's noise, then its questions with answers.

    `noise` is the standard deviation of that noise, as a share of full scale.
    """
    script = album.script
    name = f"album-{script.split}-{script.seed}"
    pictures = grain(album.pictures(size), noise, random.Random(f"noise/{name}"))
    said = [
        Cue(0, 0, text, role)
        for question in album.questions
        for text, role in zip(question.text, ("visitor", "guide"), strict=True)
    ]
    return Document(name, (*(Picture(pixels, album.video) for pixels in pictures), *said))

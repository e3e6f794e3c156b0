"""Word-level vocabulary of the gallery: one token per word and per digit, control tokens included."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import SupportsInt

from omni_lab.sequences.items import IMAGE_END, IMAGE_START, role_token
from omni_lab.sequences.vocabulary import STREAM_TOKENS, UNKNOWN, in_range
from omni_lab.world.albums.album import ALBUM_WORDS
from omni_lab.world.haystack.bank import HAYSTACK_WORDS
from omni_lab.world.questions import FACTS
from omni_lab.world.script import CELLS, MOTIONS, ROLES, SPOKEN

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|\d")  # in any script
_ASKING = ("where", "says", "said", "who", "speaks", "heard", "count", "nothing")


class WorldVocabulary:
    """Words of the gallery ↔ token ids, one token per word and per digit; case and punctuation are not kept.

    Parameters
    ----------
    layout : of sequences: the formats for many images need a few more words and marks than the omni stream, and
        haystacks more words again

    Examples
    --------
    >>> vocabulary = WorldVocabulary()
    >>> vocabulary.decode(vocabulary.encode("Colour top-left?"))
    'colour top-left'
    """

    def __init__(self, layout: str = "stream") -> None:
        words = {w for _, answers, _ in FACTS.values() for w in answers if not w.isdigit()}
        words |= {*SPOKEN, *CELLS, *MOTIONS, *ROLES, *FACTS, *_ASKING}
        words = {w for w in words if "_" not in w}
        marks = ()
        if layout != "stream":
            marks, words = (IMAGE_START, IMAGE_END), words | {*ALBUM_WORDS}
        if layout == "haystack":
            words |= {*HAYSTACK_WORDS}
        self.layout = layout
        self.tokens: tuple[str, ...] = (*STREAM_TOKENS, *marks, *"0123456789", *sorted(words))
        self.ids: dict[str, int] = {token: index for index, token in enumerate(self.tokens)}
        self._encode = functools.lru_cache(maxsize=65_536)(
            self._encode_text
        )  # the world says the same lines again

    def __reduce__(self):
        return WorldVocabulary, (
            self.layout,
        )  # the cache stays behind where it is sent to another process

    def __len__(self) -> int:
        return len(self.tokens)

    def _encode_text(self, text: str) -> tuple[int, ...]:
        unknown = self.ids[UNKNOWN]
        return tuple(self.ids.get(word, unknown) for word in _WORD.findall(text.lower()))

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text; a word that the world does not have becomes `<unknown>`."""
        return self._encode(text)

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """The words of token ids, with spaces between."""
        return " ".join(self.pieces(ids))

    def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
        """The word of every id."""
        return [self.tokens[i] for i in in_range(ids, len(self))]

    def control(self, token: str) -> int:
        """Id of a control token; a role without a token of its own speaks as `<someone>`."""
        return self.ids.get(token, self.ids[role_token(None)])

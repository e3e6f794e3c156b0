"""Word-level tokenizer of the gallery: one token per word and per digit, and control tokens."""

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
    """Word-level tokenizer: one token per word and per digit; case and punctuation are dropped.

    Parameters
    ----------
    layout : of sequences: the multi-image formats need a few more words and marks than the omni
        stream, and haystacks more words again

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
        # cached, as the same lines come again and again
        self._encode = functools.lru_cache(maxsize=65_536)(self._encode_text)

    def __reduce__(self):
        # without the cache, which does not pickle
        return WorldVocabulary, (self.layout,)

    def __len__(self) -> int:
        return len(self.tokens)

    def _encode_text(self, text: str) -> tuple[int, ...]:
        unknown = self.ids[UNKNOWN]
        return tuple(self.ids.get(word, unknown) for word in _WORD.findall(text.lower()))

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text; a word outside the vocabulary becomes `<unknown>`."""
        return self._encode(text)

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """Words of token ids, joined by spaces."""
        return " ".join(self.pieces(ids))

    def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
        """Word of every id."""
        return [self.tokens[i] for i in in_range(ids, len(self))]

    def control(self, token: str) -> int:
        """Id of a control token; a role that has none speaks as `<someone>`."""
        return self.ids.get(token, self.ids[role_token(None)])

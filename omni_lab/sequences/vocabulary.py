"""The small tokenizer of the world: one token per word, one per digit, and the control tokens of the stream."""

from __future__ import annotations

import functools
import re

from omni_lab.errors import InputFault
from omni_lab.sequences.items import LISTEN, SPEAK, UNIT, role_token
from omni_lab.world.questions import FACTS
from omni_lab.world.script import CELLS, MOTIONS, ROLES, SPOKEN

PAD, IMAGE, AUDIO, UNKNOWN = "<pad>", "<image>", "<audio>", "<unknown>"
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*|\d")  # nothing in a film's text becomes a control token
_ASKING = ("where", "says", "said", "who", "speaks", "heard", "count", "nothing")


class WorldVocabulary:
    """Words of the gallery ↔ token ids; case and punctuation are not kept.

    Examples
    --------
    >>> vocabulary = WorldVocabulary()
    >>> vocabulary.decode(vocabulary.encode("Colour top-left?"))
    'colour top-left'
    """

    def __init__(self) -> None:
        control = (PAD, UNIT, IMAGE, AUDIO, LISTEN, SPEAK, role_token("visitor"), role_token(None), UNKNOWN)
        words = {w for _, answers, _ in FACTS.values() for w in answers if not w.isdigit()}
        words |= {*SPOKEN, *CELLS, *MOTIONS, *ROLES, *FACTS, *_ASKING}
        words = {w for w in words if "_" not in w}
        self.tokens: tuple[str, ...] = (*control, *"0123456789", *sorted(words))
        self.ids: dict[str, int] = {token: index for index, token in enumerate(self.tokens)}
        self._encode = functools.lru_cache(maxsize=65_536)(self._encode_text)  # the world says the same lines again

    def __reduce__(self):
        return WorldVocabulary, ()  # the cache stays behind where a vocabulary is sent to another process

    def __len__(self) -> int:
        return len(self.tokens)

    def _encode_text(self, text: str) -> tuple[int, ...]:
        unknown = self.ids[UNKNOWN]
        return tuple(self.ids.get(word, unknown) for word in _WORD.findall(text.lower()))

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text; a word that the world does not have becomes `<unknown>`."""
        return self._encode(text)

    def decode(self, ids) -> str:
        """The words of token ids, with spaces between."""
        if any(not 0 <= i < len(self.tokens) for i in ids):
            raise InputFault(f"token ids {list(ids)}: this vocabulary has ids from 0 to {len(self.tokens) - 1}")
        return " ".join(self.tokens[i] for i in ids)

    def control(self, token: str) -> int:
        """Id of a control token; a role without a token of its own speaks as `<someone>`."""
        return self.ids.get(token, self.ids[role_token(None)])

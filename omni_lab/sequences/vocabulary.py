"""Words and control tokens ↔ ids: the small vocabulary of the world, and any Hugging Face tokenizer with ours added.

Both keep one promise: nothing that stands in a film's text becomes a control token, whatever it looks like.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, SupportsInt, runtime_checkable

from omni_lab.config import Config
from omni_lab.errors import ConfigError, InputFault
from omni_lab.sequences.items import IMAGE_END, IMAGE_START, LISTEN, SPEAK, UNIT, role_token
from omni_lab.world.albums import ALBUM_WORDS
from omni_lab.world.haystack import HAYSTACK_WORDS
from omni_lab.world.questions import FACTS
from omni_lab.world.script import CELLS, MOTIONS, ROLES, SPOKEN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD, IMAGE, AUDIO, UNKNOWN = "<pad>", "<image>", "<audio>", "<unknown>"
_STREAM = (PAD, UNIT, IMAGE, AUDIO, LISTEN, SPEAK, role_token("visitor"), role_token(None), UNKNOWN)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|\d")  # in any script
_ASKING = ("where", "says", "said", "who", "speaks", "heard", "count", "nothing")


@runtime_checkable
class Vocabulary(Protocol):
    """What the way from items to tokens asks of a tokenizer."""

    def __len__(self) -> int:
        """One more than the largest id."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, never of a control token."""

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """The text of token ids; InputFault where an id is out of range."""

    def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
        """What each token says, one by one, for pictures."""

    def control(self, token: str) -> int:
        """Id of a control token; a role without a token of its own speaks as `<someone>`."""


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
        self.tokens: tuple[str, ...] = (*_STREAM, *marks, *"0123456789", *sorted(words))
        self.ids: dict[str, int] = {token: index for index, token in enumerate(self.tokens)}
        self._encode = functools.lru_cache(maxsize=65_536)(self._encode_text)  # the world says the same lines again

    def __reduce__(self):
        return WorldVocabulary, (self.layout,)  # the cache stays behind where it is sent to another process

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
        return [self.tokens[i] for i in _in_range(ids, len(self))]

    def control(self, token: str) -> int:
        """Id of a control token; a role without a token of its own speaks as `<someone>`."""
        return self.ids.get(token, self.ids[role_token(None)])


class HubVocabulary:
    """Any Hugging Face tokenizer, with our control tokens added behind its own.

    Text is encoded with special tokens split, so that a subtitle which says `<speak>` or `<|im_start|>` stays text.

    Raises
    ------
    ConfigError
        the tokenizer cannot keep special tokens and text apart, or its ids have gaps that ours fall into
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        controls = (*_STREAM, IMAGE_START, IMAGE_END)
        tokenizer.add_special_tokens({"extra_special_tokens": list(controls)}, replace_extra_special_tokens=False)
        self.controls: dict[str, int] = {token: tokenizer.convert_tokens_to_ids(token) for token in controls}
        if set(self.encode("".join(controls))) & set(self.controls.values()):
            raise ConfigError(f"{type(tokenizer).__name__}: text that looks like a special token becomes one")
        ids = tokenizer.get_vocab().values()
        if len(set(ids)) < len(ids):  # a new token takes the number of known ones as its id, whoever has it already
            says = "its ids have gaps, so that some tokens added to it have the ids of words"
            raise ConfigError(f"{type(tokenizer).__name__}: {says}")
        self._size = max(ids) + 1

    def __len__(self) -> int:
        return self._size

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, without beginning or end marks."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """The text of token ids, as it was."""
        return self.tokenizer.decode(_in_range(ids, len(self)), clean_up_tokenization_spaces=False)

    def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
        """What every token says; one that holds part of a letter says `�`."""
        return [self.decode([i]) for i in _in_range(ids, len(self))]

    def control(self, token: str) -> int:
        """Id of a control token; a role without a token of its own speaks as `<someone>`."""
        return self.controls.get(token, self.controls[role_token(None)])


def build_vocabulary(config: Config) -> Vocabulary:
    """The vocabulary that a configuration's sequences are written in: of its pretrained decoder, or of the world.

    Raises
    ------
    ConfigError
        the decoder's tokenizer cannot be loaded
    """
    source = config.model.decoder.pretrained
    if not source:
        return WorldVocabulary(config.sequence.layout)
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as fault:  # of a broken file tokenizers raises nothing more exact
        reason = (str(fault).strip() or repr(fault)).splitlines()[0]
        raise ConfigError(f"model.decoder.pretrained={source!r}: its tokenizer cannot be loaded ({reason})") from fault
    return HubVocabulary(tokenizer)


def _in_range(ids: Iterable[SupportsInt], size: int) -> list[int]:
    ids = [int(i) for i in ids]
    wrong = next((i for i in ids if not 0 <= i < size), None)
    if wrong is not None:
        raise InputFault(f"token id {wrong}: this vocabulary has ids from 0 to {size - 1}")
    return ids

"""Tokenizer interface: text and control tokens ↔ ids, for any Hugging Face tokenizer.

Every vocabulary keeps one promise: no text of a film becomes a control token, even if it looks like
one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, SupportsInt, runtime_checkable

from omni_lab.errors import ConfigError, InputError
from omni_lab.sequences.items import (
    IMAGE_END,
    IMAGE_START,
    LISTEN,
    SPEAK,
    TEXT_END,
    UNIT,
    role_token,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD, IMAGE, AUDIO, UNKNOWN = "<pad>", "<image>", "<audio>", "<unknown>"
_BEFORE = "x"  # a text that other text follows
STREAM_TOKENS = (
    PAD, UNIT, IMAGE, AUDIO, LISTEN, SPEAK, role_token("visitor"), role_token(None), UNKNOWN,
)  # fmt: skip


@runtime_checkable
class Vocabulary(Protocol):
    """Tokenizer protocol of sequence construction: V ids, text and control tokens apart."""

    def __len__(self) -> int:
        """Vocabulary size V: one more than the largest id."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, never of a control token."""

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """Decoded text of token ids; InputError where an id is out of range."""

    def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
        """Decoded text of each token, one by one, for pictures."""

    def control(self, token: str) -> int:
        """Id of a control token; a role that has none speaks as `<someone>`."""


class HubVocabulary:
    """Hugging Face tokenizer with our control tokens added after its special tokens.

    The end of a text is the tokenizer's own end-of-text token, or an added one where it has none.
    Text is encoded with special tokens split, so that a subtitle which reads `<speak>` or
    `<|im_start|>` stays text.

    Raises
    ------
    ConfigError
        the tokenizer does not keep special tokens and text apart, or its ids have gaps into which
        the added ones fall
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        end = tokenizer.eos_token_id
        controls = (*STREAM_TOKENS, IMAGE_START, IMAGE_END, *((TEXT_END,) if end is None else ()))
        tokenizer.add_special_tokens(
            {"extra_special_tokens": list(controls)}, replace_extra_special_tokens=False
        )
        self.controls: dict[str, int] = {
            token: tokenizer.convert_tokens_to_ids(token) for token in controls
        }
        if end is not None:
            self.controls[TEXT_END] = end
        if set(self.encode("".join(controls))) & set(self.controls.values()):
            raise ConfigError(
                f"{type(tokenizer).__name__}: text that looks like a special token becomes one"
            )

        # an added token takes the number of known tokens as its id, even if a word has that id
        ids = tokenizer.get_vocab().values()
        if len(set(ids)) < len(ids):
            message = "its ids have gaps, so that some tokens added to it have the ids of words"
            raise ConfigError(f"{type(tokenizer).__name__}: {message}")
        self._size = max(ids) + 1

    def __len__(self) -> int:
        return self._size

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, without beginning or end marks."""
        return tuple(
            self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        )

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """Decoded text of token ids, spaces as they were; InputError out of range."""
        return self.tokenizer.decode(in_range(ids, len(self)), clean_up_tokenization_spaces=False)

    def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
        """Decoded text of every token; one that holds part of a letter reads `�`."""
        return [self.decode([i]) for i in in_range(ids, len(self))]

    def control(self, token: str) -> int:
        """Id of a control token; a role that has none speaks as `<someone>`."""
        return self.controls.get(token, self.controls[role_token(None)])


def has_control(vocabulary: Vocabulary, token: str) -> bool:
    """Whether a vocabulary has a control token: it gives `<someone>` for one that it lacks."""
    return vocabulary.control(token) != vocabulary.control(role_token(None))


def encode_after(vocabulary: Vocabulary, text: str) -> tuple[int, ...]:
    """Token ids of a text that follows other text, without the beginning that a first one has.

    Tokenizers after SentencePiece write a space before the first word of whatever they are given.
    """
    before, ids = vocabulary.encode(_BEFORE), vocabulary.encode(_BEFORE + text)
    return ids[len(before) :] if ids[: len(before)] == before else vocabulary.encode(text)


def in_range(ids: Iterable[SupportsInt], size: int) -> list[int]:
    """Token ids as plain numbers; InputError where one is not from 0 to `size` - 1."""
    ids = [int(i) for i in ids]
    wrong = next((i for i in ids if not 0 <= i < size), None)
    if wrong is not None:
        raise InputError(f"token id {wrong}: this vocabulary has ids from 0 to {size - 1}")
    return ids

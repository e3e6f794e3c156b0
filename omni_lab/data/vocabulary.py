"""Vocabulary registry: the tokenizer of a configuration, by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from omni_lab.config import Config
from omni_lab.errors import ConfigError
from omni_lab.sequences.vocabulary import HubVocabulary, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORLD = "omni_lab.world.vocabulary"  # named, not imported: the core does not know the gallery


def build_vocabulary(config: Config) -> Vocabulary:
    """The vocabulary that a configuration's sequences are written in.

    It is `data.tokenizer` where that is set, else the pretrained decoder's, else the gallery's.

    Raises
    ------
    ConfigError
        the tokenizer does not load, lacks an end-of-text token, or takes text for special tokens
    """
    if config.data.tokenizer:
        key = f"data.tokenizer={config.data.tokenizer!r}"
        tokenizer = _loaded(config.data.tokenizer, key)
        if tokenizer.eos_token_id is None:
            right = "set its eos_token, as in <|endoftext|>"
            raise ConfigError(f"{key}: a tokenizer without an end-of-text token; {right}")
        try:
            return HubVocabulary(tokenizer)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}; choose another tokenizer") from None
    if source := config.model.decoder.pretrained:
        return HubVocabulary(_loaded(source, f"model.decoder.pretrained={source!r}"))
    return import_module(WORLD).WorldVocabulary(config.sequence.layout)


def _loaded(source: str, key: str) -> PreTrainedTokenizerBase:
    """Tokenizer of a folder, or of a name on the hub."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source)
    except Exception as error:  # of a broken file tokenizers raises nothing more exact
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ConfigError(f"{key}: its tokenizer cannot be loaded ({reason})") from error

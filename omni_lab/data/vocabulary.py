"""Vocabulary registry: the tokenizer of a configuration, by name."""

from __future__ import annotations

from importlib import import_module

from omni_lab.config import Config
from omni_lab.errors import ConfigError
from omni_lab.sequences.vocabulary import HubVocabulary, Vocabulary

WORLD = "omni_lab.world.vocabulary"  # named, not imported: the core does not know the gallery


def build_vocabulary(config: Config) -> Vocabulary:
    """The vocabulary that a configuration's sequences are written in: of its pretrained decoder, or of the world.

    Raises
    ------
    ConfigError
        the decoder's tokenizer cannot be loaded
    """
    source = config.model.decoder.pretrained
    if not source:
        return import_module(WORLD).WorldVocabulary(config.sequence.layout)
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as fault:  # of a broken file tokenizers raises nothing more exact
        reason = (str(fault).strip() or repr(fault)).splitlines()[0]
        raise ConfigError(
            f"model.decoder.pretrained={source!r}: its tokenizer cannot be loaded ({reason})"
        ) from fault
    return HubVocabulary(tokenizer)

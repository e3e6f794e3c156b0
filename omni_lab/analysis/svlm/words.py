"""Losses of words from losses of tokens, so that models with other vocabularies can be compared.

A word is a run without white space; in scripts that write none, a character. Where a token of any
model reaches over several words, these are one word for all models. So every token belongs to one
word, and a word's loss is the sum of its tokens': what the model needs to spell it, in nats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from omni_lab.adapters.interface import TokenLosses
from omni_lab.errors import InputError

# Thai to Khmer, kana, Chinese characters: written without spaces
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_WORD = re.compile(rf"[{_ALONE}][^\w\s]*|[^\s{_ALONE}]+")


def word_losses(
    text: str, models: Sequence[TokenLosses]
) -> tuple[Int64[np.ndarray, "words 2"], list[Float64[np.ndarray, " words"]]]:
    """Words of a text, and their losses under every model.

    >>> one = TokenLosses(np.float32([1, 2, 4]), np.array([[0, 1], [1, 3], [3, 8]]))
    >>> spans, (losses,) = word_losses("red cats", [one])
    >>> spans.tolist(), losses.tolist()
    ([[0, 3], [4, 8]], [3.0, 4.0])

    Parameters
    ----------
    models : losses of the text's tokens under each of them

    Returns
    -------
    spans : first character of every word, and one after its last
    losses : nats; NaN for a word without a token, or with one that has no loss

    Raises
    ------
    InputError
        spans of tokens are not in the order of the text, or reach out of it
    """
    spans = np.array([word.span() for word in _WORD.finditer(text)], np.int64).reshape(-1, 2)
    tokens = [_trimmed(text, model.spans) for model in models]
    joined = np.zeros(len(spans), bool)  # whether a word is one with the word before it
    for own in tokens:
        for start, end in own.tolist():
            reached = np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start))
            joined[reached[1:]] = True

    heads = np.flatnonzero(~joined)
    ends = spans[np.append(heads[1:], len(spans)) - 1, 1] if len(heads) else spans[:0, 1]
    words = np.stack([spans[heads, 0], ends], 1)
    return words, [
        _summed(words, own, model.losses) for own, model in zip(tokens, models, strict=True)
    ]


def _trimmed(text: str, spans: Int64[np.ndarray, "N 2"]) -> Int64[np.ndarray, "N 2"]:
    """Spans without the white space at their edges; empty where nothing else is left."""
    flat = spans.tolist()
    ordered = all(one[0] <= other[0] for one, other in pairwise(flat))
    if not ordered or any(not 0 <= start <= end <= len(text) for start, end in flat):
        wrong = f"spans of its tokens cannot be aligned with {text[:40]!r}"
        raise InputError(f"{wrong}; the tokenizer needs spans in the order of the text")
    out = []
    for start, end in flat:
        piece = text[start:end]
        kept = piece.strip()
        start += len(piece) - len(piece.lstrip()) if kept else len(piece)
        out.append([start, start + len(kept)])
    return np.array(out, np.int64).reshape(-1, 2)


def _summed(
    words: Int64[np.ndarray, "words 2"],
    tokens: Int64[np.ndarray, "N 2"],
    losses: np.ndarray,
) -> Float64[np.ndarray, " words"]:
    """Sum of every word's tokens; what is white space alone belongs to the word after it."""
    out, count = np.zeros(len(words)), np.zeros(len(words), np.int64)
    if len(words):
        # the word that ends after a token's first letter: the last one takes what follows it
        owner = np.searchsorted(words[:, 1], tokens[:, 0], side="right").clip(0, len(words) - 1)
        np.add.at(out, owner, losses.astype(np.float64))
        np.add.at(count, owner, 1)
    return np.where(count > 0, out, np.nan)

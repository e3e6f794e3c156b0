"""Interface between an analysis and a model: a text and its images in, a loss per token out.

What else an analysis may ask of a model (attention, speech) becomes a protocol of its own beside
this one: a model implements those that it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, UInt8

Pixels = UInt8[np.ndarray, "_ _ 3"]  # height × width; those of one sample may differ in size


class Sample(NamedTuple):
    """Text to be scored, and what a model is given before it."""

    text: str  # a caption or an answer: its tokens alone have a loss
    images: tuple[Pixels, ...] = ()  # upright sRGB
    question: str = ""  # of a user, between images and text; empty leaves it to the model


class TokenLosses(NamedTuple):
    """Cross-entropy of every token of a text, given all that stands before it.

    A span is the part of the text that a token writes. Tokens may share one, as the bytes of one
    letter do, and a span may begin with white space or be empty. A token with nothing before it
    has no loss: it is NaN.
    """

    losses: Float32[np.ndarray, " N"]  # nats
    spans: Int64[np.ndarray, "N 2"]  # first character of the text, and one after the last


@runtime_checkable
class TextModel(Protocol):
    """Model that gives per-token losses of texts, given their images."""

    name: str  # of the model, with every change that affects its losses

    def contents(self) -> dict[str, str]:
        """Digests of all that the losses depend on, `tokenizer` among them."""

    def token_losses(self, samples: Sequence[Sample]) -> list[TokenLosses]:
        """Losses of every sample's tokens, from one batch.

        Raises
        ------
        OmniLabError
            a sample cannot be read, or the model fails on it; the others may be fine
        """

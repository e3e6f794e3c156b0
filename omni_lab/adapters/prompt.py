"""Prompt of an image-text-to-text model around a text: its chat template, else its images' places.

A prompt is rendered once with a mark in the text's place, so that the text's characters are known
exactly. Its tokens are then found at the end of the row, where image tokens cannot move them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int64

from omni_lab.adapters.interface import Sample
from omni_lab.errors import InputError, typed

if TYPE_CHECKING:
    from transformers import ProcessorMixin

QUESTION = "Describe the image."
NOTHING = "Write a sentence."  # the question where there is no image
_MARK = "omni-lab-text-goes-here"


class Prompted(NamedTuple):
    """A text within its prompt, before image tokens take the places of images."""

    prompt: str
    ids: Int64[np.ndarray, " tail"]  # tokens from the text's first to the row's last
    spans: Int64[np.ndarray, "N 2"]  # in characters of the text, of the first N of them


class Prompt:
    """Prompt of a processor.

    Parameters
    ----------
    processor : of images and text
    name : of the model, for messages

    Raises
    ------
    InputError
        the tokenizer has no character spans, or there is neither a chat template nor a token for
        images
    """

    def __init__(self, processor: ProcessorMixin, name: str) -> None:
        self.processor, self.name = processor, name
        self.tokenizer = tokenizer = processor.tokenizer
        self._image = getattr(processor, "image_token", None)
        self.template = getattr(processor, "chat_template", None) or tokenizer.chat_template
        if not tokenizer.is_fast:
            wrong = f"{type(tokenizer).__name__} gives no character spans of tokens"
            raise InputError(f"{name}: {wrong}; the folder needs its tokenizer.json")
        if not self.template and not isinstance(self._image, str):
            wrong = f"{type(processor).__name__} has no chat template and no image token"
            raise InputError(f"{name}: {wrong}; the folder needs its chat template")
        special = {
            token.content for token in tokenizer.added_tokens_decoder.values() if token.special
        }
        self._special = sorted(special | {*tokenizer.all_special_tokens} - {""})
        self._around = lru_cache(maxsize=1024)(self._rendered)

    def starts_itself(self, prompt: str) -> bool:
        """Whether a prompt has its beginning token written out, so that none is to be added."""
        bos = self.tokenizer.bos_token
        return bool(bos) and prompt.startswith(bos)

    def of(self, sample: Sample) -> Prompted:
        """Prompt of a sample, and its text's tokens with their spans.

        Raises
        ------
        InputError
            text or question hold a control token, the template fails, or the text has no token
        """
        for part in (sample.text, sample.question):
            if found := next((token for token in self._special if token in part), None):
                wrong = f"{found!r} in it is a control token of {self.name}"
                raise InputError(f"{wrong}; take it out of the text")
        before, after = self._around(len(sample.images), sample.question)
        prompt, start = before + sample.text + after, len(before)

        with typed(f"{self.name}: its tokenizer fails"):
            encoded = self.tokenizer(
                prompt,
                add_special_tokens=not self.starts_itself(prompt),
                return_offsets_mapping=True,
            )
        ids = np.array(encoded["input_ids"], np.int64)
        spans = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2) - start
        within = (spans[:, 1] > 0) & (spans[:, 0] < len(sample.text)) & (spans[:, 0] < spans[:, 1])
        places = np.flatnonzero(within)
        if not len(places):
            raise InputError(f"{self.name}: its tokenizer leaves no token of {sample.text[:40]!r}")
        first, last = int(places[0]), int(places[-1]) + 1
        return Prompted(prompt, ids[first:], spans[first:last].clip(0, len(sample.text)))

    def _rendered(self, images: int, question: str) -> tuple[str, str]:
        """What stands before and after a text."""
        if not self.template:
            # as in pretraining on pairs: images, then their text
            return (self._image or "") * images + question, ""
        asked = question or (QUESTION if images else NOTHING)
        user = [*[{"type": "image"}] * images, {"type": "text", "text": asked}]
        turns = [
            {"role": "user", "content": user},
            {"role": "assistant", "content": [{"type": "text", "text": _MARK}]},
        ]
        with typed(f"{self.name}: its chat template fails"):
            rendered = self.processor.apply_chat_template(turns, tokenize=False)
        before, mark, after = rendered.partition(_MARK)
        if not mark or _MARK in after:
            wrong = "its chat template does not write an answer as it stands, once"
            raise InputError(f"{self.name}: {wrong}; the folder needs a template of image and text")
        return before, after

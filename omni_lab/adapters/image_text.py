"""Any image-text-to-text model of Hugging Face behind the interface of token losses.

The output layer runs on the last hidden states of the text's tokens alone, in pieces, where that
gives what the model's own logits give: the first sample is computed both ways. Elsewhere (a layer
with a bias, scaled or capped logits) the model's own logits are taken, a sample at a time.

Glossary: B batch · T tokens · N scored tokens · D decoder width · V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from omni_lab.adapters.interface import Sample, TokenLosses
from omni_lab.adapters.prompt import Prompt, Prompted
from omni_lab.errors import InputError, typed
from omni_lab.model.contents import digest_of
from omni_lab.model.loading import rows_of
from omni_lab.model.loss import token_losses
from omni_lab.parallel.cost import PIECE

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, ProcessorMixin

CLOSE = 1e-3  # nats, in float32; in half precision as much as its rounding


class ImageTextModel:
    """Token losses (`TextModel`) of an image-text-to-text model and its processor.

    Parameters
    ----------
    model : with a language-modelling head, as `AutoModelForImageTextToText` loads it
    processor : the model's
    name : of the model, with every change that affects its losses
    weights : digest of its weights
    switched_off : adapter inside the model that does not count: the model is its base

    Raises
    ------
    InputError
        the tokenizer has no character spans, or the processor no way to write images
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        name: str,
        weights: str,
        switched_off: PeftModel | None = None,
    ) -> None:
        self.model, self.processor, self.name = model.eval(), processor, name
        self._weights, self._switched_off = weights, switched_off
        self.prompt = Prompt(processor, name)
        # causal attention never looks at padding on the right
        self.prompt.tokenizer.padding_side = "right"
        if self.prompt.tokenizer.pad_token is None:
            self.prompt.tokenizer.pad_token = self.prompt.tokenizer.eos_token
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._head_alone: bool | None = None  # None until the first row

    def contents(self) -> dict[str, str]:
        """Digests of weights, settings, tokenizer, and of what becomes of images and prompts."""
        tokenizer, images = self.prompt.tokenizer, self.processor.image_processor
        backend = getattr(tokenizer, "backend_tokenizer", None)
        settings = {**self.model.config.to_diff_dict()}
        for made_with in ("_name_or_path", "transformers_version"):
            settings.pop(made_with, None)
        prompts = [self.prompt.of(Sample("a", (), "?")).prompt] if self.prompt.template else []
        seen = [type(images).__name__, images.to_dict(), self.prompt.template, prompts]
        return {
            "weights": self._weights,
            "settings": digest_of(settings),
            "tokenizer": digest_of(backend.to_str() if backend else tokenizer.get_vocab()),
            "processor": digest_of(seen),
        }

    @torch.inference_mode()
    def token_losses(self, samples: Sequence[Sample]) -> list[TokenLosses]:
        """Losses of every sample's tokens; samples with as many images share a forward pass.

        Raises
        ------
        InputError
            a text holds a control token, prompt and tokens do not fit, the model fails on the
            batch, or its losses are not finite
        """
        prompted = [self.prompt.of(sample) for sample in samples]
        found: dict[int, TokenLosses] = {}
        off = self._switched_off.disable_adapter() if self._switched_off else nullcontext()
        with off:
            for group in self._groups(samples):
                images = [samples[at].images for at in group]
                losses = self._together(images, [prompted[at] for at in group])
                found |= dict(zip(group, losses, strict=True))
        return [found[at] for at in range(len(samples))]

    def _groups(self, samples: Sequence[Sample]) -> Iterator[list[int]]:
        """Numbers of samples that share a forward pass: those with as many images."""
        waiting = list(range(len(samples)))
        while waiting:
            count = len(samples[waiting[0]].images)
            # what the first sample finds out decides about the others
            alone = not self._head_alone
            group = [at for at in waiting if len(samples[at].images) == count]
            group = group[:1] if alone else group
            yield group
            waiting = [at for at in waiting if at not in group]

    def _together(self, images: list[tuple], prompted: list[Prompted]) -> list[TokenLosses]:
        """Losses of samples that have as many images each."""
        with typed(f"{self.name}: fails on a batch of {len(images)}"):
            inputs = self._inputs(images, prompted)
            rows = list(self._places(inputs, prompted))
            losses = self._losses(inputs, rows)
        out = []
        for one, (places, _), own in zip(prompted, rows, losses, strict=True):
            if not own.isfinite().all():
                wrong = "its losses are not finite"
                right = "choose --dtype float32 or bfloat16, or whole weights"
                raise InputError(f"{self.name}: {wrong}; {right}")
            whole = np.full(len(one.spans), np.nan, np.float32)
            whole[len(one.spans) - len(places) :] = own.float().cpu().numpy()
            out.append(TokenLosses(whole, one.spans))
        return out

    def _inputs(self, images: list[tuple], prompted: list[Prompted]) -> dict[str, Tensor]:
        """Tensors of a batch, as the processor makes them."""
        from PIL import Image

        pictures = [[Image.fromarray(pixels) for pixels in own] for own in images]
        made = self.processor(
            text=[one.prompt for one in prompted],
            images=pictures if any(pictures) else None,
            padding=True,
            add_special_tokens=not self.prompt.starts_itself(prompted[0].prompt),
            return_tensors="pt",
        )
        inputs = {name: part.to(self.model.device) for name, part in made.items()}
        dtype = self.model.dtype
        return {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}

    def _places(self, inputs: dict[str, Tensor], prompted: list[Prompted]):
        """Places and ids of every row's scored tokens; a first token of a row is none of them."""
        rows = rows_of(self.model)
        for ids, mask, one in zip(
            inputs["input_ids"], inputs["attention_mask"], prompted, strict=True
        ):
            there = mask.nonzero()[:, 0]
            tail = torch.from_numpy(one.ids).to(ids.device)
            places = there[len(there) - len(tail) :]
            if len(there) < len(tail) or not torch.equal(ids[places], tail):
                wrong = "its processor writes a text in other tokens than its tokenizer"
                raise InputError(f"{self.name}: {wrong}, so that their places are not known")
            if (most := int(ids.max())) >= rows:
                wrong = f"the tokenizer writes token {most}, the model has {rows}"
                raise InputError(f"{self.name}: {wrong}; use the model's own processor")
            places = places[: len(one.spans)]
            places = places[places > int(there[0])]
            yield places, ids[places]

    def _losses(
        self, inputs: dict[str, Tensor], rows: list[tuple[Tensor, Tensor]]
    ) -> list[Float[Tensor, " N"]]:
        """Losses of every row's scored tokens, each from the place before it."""
        if not any(len(places) for places, _ in rows):
            return [torch.zeros(0) for _ in rows]
        if self._head_alone is None:
            self._head_alone = self._is_head_alone(inputs, rows)
        if not self._head_alone:
            return self._losses_of_logits(inputs, rows)
        return self._losses_of_states(inputs, rows)

    def _losses_of_states(
        self, inputs: dict[str, Tensor], rows: list[tuple[Tensor, Tensor]]
    ) -> list[Float[Tensor, " N"]]:
        """Losses of last hidden states and the output layer's weight."""
        hidden = self.model.base_model(**inputs, use_cache=False).last_hidden_state
        weight = self.model.get_output_embeddings().weight
        states = [own[places - 1] for own, (places, _) in zip(hidden, rows, strict=True)]
        targets = torch.cat([wanted for _, wanted in rows]).to(weight.device)
        losses = token_losses(torch.cat(states).to(weight.device), weight, targets)
        return list(losses.split([len(places) for places, _ in rows]))

    def _losses_of_logits(
        self, inputs: dict[str, Tensor], rows: list[tuple[Tensor, Tensor]]
    ) -> list[Float[Tensor, " N"]]:
        """Losses of the model's own logits, in float32 for a piece of them at a time."""
        first = min(int(places.min()) for places, _ in rows if len(places)) - 1
        last = max(int(places.max()) for places, _ in rows if len(places))
        kept: dict[str, Any] = {}
        if self._keeps:
            kept["logits_to_keep"] = torch.arange(first, last, device=self.model.device)
        logits = self.model(**inputs, **kept, use_cache=False).logits
        offset = first + 1 if self._keeps else 1
        return [
            _in_pieces(own, places - offset, wanted)
            for own, (places, wanted) in zip(logits, rows, strict=True)
        ]

    def _is_head_alone(self, inputs: dict[str, Tensor], rows: list[tuple[Tensor, Tensor]]) -> bool:
        """Whether losses of states and the output weight are those of the model's own logits."""
        head = self.model.get_output_embeddings()
        plain = type(head) is nn.Linear and head.bias is None
        if not plain or self.model.base_model is self.model:
            return False
        slack = max(CLOSE, 8 * torch.finfo(self.model.dtype).eps)
        pairs = zip(
            self._losses_of_states(inputs, rows), self._losses_of_logits(inputs, rows), strict=True
        )
        return all(torch.allclose(one, other, rtol=slack, atol=slack) for one, other in pairs)


def _in_pieces(
    logits: Float[Tensor, "T V"], places: Int64[Tensor, " N"], targets: Int64[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Cross-entropy at some places, nats, with no more than a piece of logits in float32."""
    pieces = max(1, PIECE // logits.shape[-1])
    return torch.cat(
        [
            F.cross_entropy(logits[at].float(), wanted, reduction="none")
            for at, wanted in zip(
                places.to(logits.device).split(pieces),
                targets.to(logits.device).split(pieces),
                strict=True,
            )
        ]
    )

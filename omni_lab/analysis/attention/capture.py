"""Attention capture during a forward pass, through Hugging Face's attention interface.

Every layer's queries, keys and values reach a hook; the outputs stay those of the model. It works
for text decoders and for the towers that see and hear, whatever their masks: the mask function is
registered under the same name and evaluates nothing until it is asked (`mask.lazy_mask`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from omni_lab.analysis.attention.call import AttentionCall
from omni_lab.analysis.attention.mask import LazyMask, lazy_mask
from omni_lab.analysis.attention.weights import weighted
from omni_lab.errors import InputError, UsageError
from omni_lab.parallel.decoder_hook import SHARED

NAME = "omni_lab_sdpa_captured"
Hook = Callable[[AttentionCall], None]


@contextmanager
def capture_attention(part: nn.Module, hook: Hook, alters: bool = False) -> Iterator[None]:
    """Hook on every attention layer of a part of a model, for the length of a `with` block.

    The outputs stay those of the model; what was set before is set again at the end, also after an
    exception.

    Parameters
    ----------
    part : decoder, tower or whole model
    hook : called once per layer and forward pass; a layer over padded chunks calls it per chunk
    alters : the hook changes calls (`knockout`); it then comes before those that only look

    Raises
    ------
    InputError
        no layer of the part uses the attention interface; at the end, no layer has called it
    UsageError
        attention adds something that capture cannot express
    """
    capture = _Capture(part, hook)
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, lazy_mask)
    with ExitStack() as stack:
        for config in capture.configs:
            stack.callback(_set, config, config._attn_implementation)
            _set(config, NAME)
        _CAPTURES.insert(0 if alters else len(_CAPTURES), capture)
        stack.callback(_CAPTURES.remove, capture)
        for handle in (
            part.register_forward_pre_hook(capture.begin),
            part.register_forward_hook(capture.end, always_call=True),
        ):
            stack.callback(handle.remove)
        yield
    if capture.passes and not capture.calls:
        raise InputError(f"{type(part).__name__}: {_NO_INTERFACE}")


_CAPTURES: list[_Capture] = []  # that listen now: those that alter, then the outermost first
_NO_INTERFACE = (
    "its attention does not go through Hugging Face's attention interface, so nothing can be "
    "captured; models written for transformers 5 do"
)
# words of an attention call that change nothing here: the mask says it, or kernels want to know it
_HARMLESS = {
    "scaling", "dropout", "is_causal", "softcap", "s_aux", "row", "sliding_window", "position_ids",
    "cache_position", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx",
    "output_attentions", "output_hidden_states", "output_router_logits", "use_cache", "return_dict",
    "logits_to_keep",
}  # fmt: skip


class _Capture:
    """State of one capture: modules by number, how much of a sequence each has seen."""

    def __init__(self, part: nn.Module, hook: Hook) -> None:
        self.hook, self.active, self.calls, self.passes = hook, 0, 0, 0
        self.layers = {id(m): (_number(name), name) for name, m in part.named_modules()}
        self.seen: dict[int, int] = {}

        # models written before the interface would choke on a mask that is no tensor
        able = [m for m in part.modules() if isinstance(m, PreTrainedModel) and _through(m)]
        # a configuration that two modules share is set once
        self.configs = list({id(m.config): m.config for m in able}.values())
        self.before = {id(c): c._attn_implementation for c in self.configs}
        if not self.configs:
            raise InputError(f"{type(part).__name__}: {_NO_INTERFACE}")

    def begin(self, *_: Any) -> None:
        """Start of a forward pass: chunked towers count their tokens from 0 again."""
        self.active += 1
        self.passes += 1
        self.seen.clear()

    def end(self, *_: Any) -> None:
        """End of a forward pass: what follows is backward, which may compute layers once more."""
        self.active -= 1

    def hears(self, module: nn.Module) -> bool:
        """Whether the module is of this part, and in a forward pass of it."""
        return self.active > 0 and id(module) in self.layers

    def hear(self, module: nn.Module, call: AttentionCall) -> None:
        """One call of a layer, with its number and the tokens it stands for."""
        layer, call.name = self.layers[id(module)]
        index = getattr(module, "layer_idx", None)
        call.layer = layer if index is None else index
        if call.first_query is None:  # a tower, perhaps in chunks
            call.first_query = call.first_key = self.seen.get(id(module), 0)
            self.seen[id(module)] = call.first_query + call.query.shape[2]
        self.calls += 1
        self.hook(call)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor,
    attention_mask: LazyMask | Tensor | None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention function of the interface: all captures of the module, then its output."""
    unknown = [name for name, word in others.items() if name not in _HARMLESS and word is not None]
    if unknown:
        what = f"{type(module).__name__} adds {', '.join(unknown)} to its attention"
        raise UsageError(f"{what}, which capture cannot express")
    causal = others.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    causal = bool(causal) and query.shape[2] > 1
    if attention_mask is None and causal:  # an empty static cache: the rest is unwritten
        key, value = key[:, :, : query.shape[2]], value[:, :, : query.shape[2]]

    call = AttentionCall(
        query, key, value, causal, attention_mask, others.get("scaling"), others.get("softcap"),
        others.get("s_aux"), row=others.get("row"), engine=_engine(module),
    )  # fmt: skip
    for capture in _CAPTURES:
        if capture.hears(module):
            capture.hear(module, call)
    return _output(module, call, attention_mask, others), None


def _engine(module: nn.Module) -> str:
    """Engine of context-parallel attention that was set before any capture."""
    for capture in _CAPTURES:
        before = capture.before.get(id(module.config), NAME)
        if (before or NAME).startswith(SHARED):
            return before.removeprefix(SHARED)
    return "auto"


def _output(module: nn.Module, call: AttentionCall, mask: Any, others: dict[str, Any]) -> Tensor:
    """Output of attention as the model would have computed it."""
    grad, lazy = torch.is_grad_enabled(), isinstance(mask, LazyMask)
    if call.output is None:
        if call.softcap is not None and grad:
            raise UsageError("no gradient through soft-capped attention: capture without them")
        ours = (
            call.row is not None or call.softcap is not None or call.sinks is not None or call.cuts
        )
        if not ours and (grad or not lazy or call.mask is None):
            dense = mask.whole if lazy else mask
            parts = call.query, call.key, call.value
            return sdpa_attention_forward(module, *parts, dense, **others)[0]
        call.output = weighted(call, call.value)
    return call.output.transpose(1, 2).contiguous()


def _through(model: PreTrainedModel) -> bool:
    """Whether a model's own attention goes through the interface."""
    return model._can_set_attn_implementation()


def _set(config: PreTrainedConfig, implementation: str | None) -> None:
    """Attention implementation of one configuration alone, not of those inside it."""
    config._attn_implementation_internal = implementation


def _number(name: str) -> int:
    """Number of a layer, from its module's name."""
    found = re.findall(r"\.(\d+)(?=\.|$)", f".{name}")
    return int(found[-1]) if found else 0

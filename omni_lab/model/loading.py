"""Loading of Hugging Face models, and of PEFT adapters on them, whole or not at all.

What the files lack, what does not fit and what has no place is an error by name: a model that is
not the one that was saved gives numbers about nothing.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from omni_lab.errors import InputError, UsageError, reason, typed

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from omni_lab.model.omni import OmniModel

_ADAPTER = "adapter_config.json"
_TOKENIZER = ("tokenizer_config.json", "tokenizer.json")


def load_causal(
    source: str, device: str, dtype: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Causal language model and tokenizer of a folder or hub name: a model, or an adapter on one.

    An adapter's tokenizer is the one beside it, or else its base model's.

    Raises
    ------
    InputError
        model, adapter or tokenizer fails to load; weights are missing, of another shape, or there
        are some that the model has no place for
    UsageError
        the device does not exist, or peft is not installed
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_device(device)
    # loading fails in more ways than transformers documents; each becomes one line
    with typed(f"{source}: failed to load"):
        base = base_of(source)
        model = load_base(base or source, AutoModelForCausalLM, device, dtype)
        if base:
            model = adapt(model, source).get_base_model()
        own = base is None or any(file_of(source, name) for name in _TOKENIZER)
        tokenizer = AutoTokenizer.from_pretrained(source if own else base)
    return model, tokenizer


def check_device(device: str) -> None:
    """Refusal of a device that does not exist; "auto" is all there are.

    Raises
    ------
    UsageError
        there is no such device
    """
    try:
        torch.empty(0, device=None if device == "auto" else device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {device}: {reason(error)}") from None


def load_base(source: str, kind: Any, device: str, dtype: str, **options: Any) -> PreTrainedModel:
    """Model of a folder or hub name, with all the weights that it has a place for, and no others.

    Parameters
    ----------
    kind : auto class of transformers that reads it
    options : further arguments of its `from_pretrained`

    Raises
    ------
    InputError
        weights are missing, of another shape, or have no place in the model
    """
    model, found = kind.from_pretrained(
        source,
        device_map=device,
        dtype=dtype,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    _check_whole(source, found["missing_keys"], found["mismatched_keys"])
    _check_placed(source, found["unexpected_keys"], type(model).__name__)
    return model


def rows_of(model: PreTrainedModel) -> int:
    """Rows of a model's input embedding, also of one inside an adapter's layer."""
    table = model.get_input_embeddings()
    parts = (part for part in table.modules() if isinstance(part, torch.nn.Embedding))
    return next(parts, table).num_embeddings


def base_of(source: str) -> str | None:
    """Name of an adapter's base model; None for a model, also for one with an adapter inside."""
    if (file := file_of(source, _ADAPTER)) is None:
        return None
    if importlib.util.find_spec("peft") is None:
        raise UsageError(f"{source}: an adapter needs peft: pip install -e '.[real]'")
    if file_of(source, "config.json"):
        return None
    base = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise InputError(f"{source}: {_ADAPTER} has no base_model_name_or_path")
    return base


def file_of(source: str, name: str) -> Path | None:
    """File of a folder or hub name; None where there is none."""
    from transformers.utils import cached_file

    found = cached_file(
        source,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None


def adapt(model: PreTrainedModel, source: str) -> PeftModel:
    """Base model with an adapter in it, without dropout; its vocabulary becomes as large as its."""
    import peft

    config = peft.PeftConfig.from_pretrained(source)
    if config.is_prompt_learning:
        wrong = (
            f"{config.peft_type.value} puts prompts before the text, and no weights in the model"
        )
        raise InputError(f"{source}: {wrong}; merge it, or name another adapter")
    weights = peft.load_peft_weights(source, device="cpu")
    _resize(model, weights, source)

    config.inference_mode = True
    with warnings.catch_warnings():
        # peft asks transformers for what it calls by another name now
        warnings.simplefilter("ignore", FutureWarning)
        adapted = peft.get_peft_model(model, config)

    needed, possible = (
        peft.get_peft_model_state_dict(adapted, save_embedding_layers=tables).keys()
        for tables in (False, True)
    )
    _check_whole(source, needed - weights.keys(), [])
    _check_placed(source, weights.keys() - possible, "the base model")
    peft.set_peft_model_state_dict(adapted, weights)
    return adapted.eval()  # new layers begin in training


def adapt_decoder(model: OmniModel, source: str, base: str) -> None:
    """Put an adapter on a model's decoder, which counts as the base of that name.

    Raises
    ------
    InputError
        the adapter is not one on it
    """
    with typed(f"{source}: no adapter of {base}"):
        model.decoder.name_or_path = base  # peft compares them
        model.decoder = adapt(model.decoder, source)


def _resize(model: PreTrainedModel, weights: dict[str, torch.Tensor], source: str) -> None:
    """Vocabulary of a base model as large as that of its adapter, which must bring all its rows."""
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    names = [name for name, part in model.named_modules() if any(part is one for one in tables)]
    rows = {
        name: len(weight)
        for name in names
        for key, weight in weights.items()
        if f".{name}." in key and key.endswith(".weight") and "lora" not in key
    }
    if not rows or (most := max(rows.values())) == rows_of(model):
        return

    tied = model.config.get_text_config().tie_word_embeddings
    if lacking := [name for name in names if rows.get(name) != most and not tied]:
        wrong = f"brings {most} tokens, but no such rows of {lacking[0]}"
        raise InputError(f"{source}: {wrong}; save it with save_embedding_layers=True")
    model.resize_token_embeddings(most, mean_resizing=False)


def _check_whole(source: str, missing: Iterable, mismatched: Iterable) -> None:
    """Refusal of a model some of whose weights are not in its files, or of another shape there."""
    if missing:
        raise InputError(f"{source}: {len(missing)} weights are missing, such as {min(missing)}")
    if mismatched:
        name, there, here = min(mismatched)
        wrong = f"{len(mismatched)} weights do not fit, such as {name}"
        raise InputError(f"{source}: {wrong}: {list(there)}, where {list(here)} are expected")


def _check_placed(source: str, unused: Iterable, model: str) -> None:
    """Refusal of weights that a model has no place for: they are another model's."""
    if unused:
        wrong = f"{len(list(unused))} weights have no place in {model}, such as {min(unused)}"
        right = "give the model, or the base model, that they were saved from"
        raise InputError(f"{source}: {wrong}; {right}")

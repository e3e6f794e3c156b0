"""Any causal language model of Hugging Face, or an adapter on one, as a reader of text needles.

The answer is read with teacher forcing from one pass over the sequence; logits are made for the answer's tokens alone,
so that memory grows with the length and not with length × vocabulary.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from omni_lab.errors import InputError, UsageError
from omni_lab.evaluation.needles.interface import Trial
from omni_lab.evaluation.needles.passage import NUMBERS, lay_out, shortest, writes_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# how models without rotary positions name a table with one row per position
_TABLES = {"wpe", "embed_positions", "position_embeddings", "positions_embed", "pos_encoding"}


class CausalNeedleModel:
    """A causal language model that is asked for the number of a town (`adapters.passage`).

    Parameters
    ----------
    model : with a language-modelling head, as `AutoModelForCausalLM` gives it
    tokenizer : the model's own
    name : names the model, and what was changed about it

    Raises
    ------
    InputError
        the tokenizer cannot write numbers, or the model cannot give the logits of the answer alone
    """

    kinds = ("text",)

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
    ) -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        if not writes_numbers(tokenizer):
            raise InputError(
                f"{name}: its tokenizer cannot write numbers; are the tokenizer's files there?"
            )
        if "logits_to_keep" not in inspect.signature(model.forward).parameters:
            raise InputError(
                f"{name}: {type(model).__name__} gives logits for all tokens or none (no logits_to_keep)"
            )
        self.trained: int | None = getattr(
            model.config.get_text_config(), "max_position_embeddings", None
        )

    @classmethod
    def load(
        cls,
        source: str,
        device: str | None = None,
        dtype: str = "auto",
        rope_theta: float | None = None,
        rope_factor: float = 1.0,
    ) -> CausalNeedleModel:
        """Load a model, or an adapter and the model it was trained on, with its tokenizer.

        Parameters
        ----------
        source : folder or hub name of a causal language model, or of a PEFT adapter (extra `real`)
        device : such as "cpu" or "cuda"; None takes a GPU where there is one, "auto" spreads the model over all
        dtype : of weights and arithmetic, such as "bfloat16"; "auto" as they are stored
        rope_theta : base of the rotary positions instead of the model's own
        rope_factor : what every position is divided by (position interpolation)

        Raises
        ------
        InputError
            model, adapter or tokenizer cannot be loaded or used, or weights are missing
        UsageError
            there is no such device, or the model's rotary positions cannot be changed like this
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        changed = [f"θ {rope_theta:g}"] if rope_theta is not None else []
        changed += [f"positions / {rope_factor:g}"] if rope_factor != 1 else []
        changed += [dtype] if dtype != "auto" else []
        model, tokenizer = _load(source, device, dtype)
        if rope_theta is not None or rope_factor != 1:
            from omni_lab.model.rope import set_rope

            set_rope(model, rope_theta, rope_factor)
        return cls(model, tokenizer, ", ".join([source, *changed]))

    def chance(self, kind: str) -> float:
        """The share that an even guess gets right: of 9,000 numbers, one.

        Teacher forcing does not help a guess. A rule that does not look spells one number out of all of them, however
        many tokens a number has; and a guess drawn evenly, token by token, is right about each number with the same
        probability, because the shares of its tokens multiply to its own.
        """
        return 1 / len(NUMBERS)

    def shortest(self, kind: str) -> int:
        """The fewest tokens that a trial takes."""
        return self._shortest

    @cached_property
    def _shortest(self) -> int:
        return shortest(self.tokenizer)

    def check(self, length: int) -> None:
        """Refuse a length that the model cannot read at all; one that it was not trained on can be read.

        Raises
        ------
        UsageError
            the model looks positions up in a table that is shorter
        """
        if self._table is not None and length > self._table:
            raise UsageError(
                f"length {length}: {self.name} has a table of {self._table} positions, and none beyond"
            )

    @cached_property
    def _table(self) -> int | None:
        parts = chain(self.model.named_modules(), self.model.named_buffers())
        names = {name.rpartition(".")[2] for name, _ in parts}
        return self.trained if names & _TABLES and "rotary_emb" not in names else None

    def read(self, trials: Sequence[Trial]) -> list[bool]:
        """Which trials are answered right, one sequence at a time.

        Raises
        ------
        UsageError
            a trial is too short for needle and question, or too long for the model or for the device's memory
        InputError
            the tokenizer writes tokens that the model does not have
        """
        return [self._read(trial) for trial in trials]

    @torch.inference_mode()
    def _read(self, trial: Trial) -> bool:
        self.check(trial.length)
        passage = lay_out(trial, self.tokenizer)
        ids = torch.tensor([passage.ids])
        if ids.max() >= (rows := self.model.get_input_embeddings().num_embeddings):
            raise InputError(
                f"{self.name}: the tokenizer writes token {ids.max()}, the model has {rows}"
            )
        ids = ids.to(self.model.device)
        try:
            said = self.model(input_ids=ids[:, :-1], use_cache=False, logits_to_keep=passage.answer)
        except torch.OutOfMemoryError:
            raise UsageError(
                f"length {trial.length}: does not fit into the memory of {ids.device}"
            ) from None
        return bool((said.logits[0].argmax(-1) == ids[0, -passage.answer :]).all())


def _load(source: str, device: str, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and the tokenizer of a folder or hub name; an adapter has the tokenizer of its model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if (Path(source) / "adapter_config.json").exists() and importlib.util.find_spec("peft") is None:
        raise UsageError(f"{source}: an adapter needs peft: pip install -e '.[real]'")
    try:
        torch.empty(0, device=None if device == "auto" else device)
    except (RuntimeError, AssertionError) as fault:
        raise UsageError(f"device {device}: {_reason(fault)}") from None
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            source, device_map=device, dtype=dtype, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    except Exception as fault:
        raise InputError(f"{source}: cannot be loaded ({_reason(fault)})") from fault
    if missing := sorted(found["missing_keys"]):
        raise InputError(f"{source}: {len(missing)} weights are missing, such as {missing[0]}")
    return model, tokenizer


def _reason(fault: BaseException) -> str:
    """The first line of what a fault says."""
    return next(iter(str(fault).splitlines()), type(fault).__name__)

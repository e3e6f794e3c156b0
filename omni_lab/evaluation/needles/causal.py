"""Needle in a haystack for any causal language model of Hugging Face, or a PEFT adapter on one.

The answer is read under teacher forcing, in one forward pass over the sequence. Logits are computed
for the answer's tokens only, so that memory grows with length and not with length × vocabulary.
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

# names of learned position embeddings, a table with one row per position
_TABLES = {"wpe", "embed_positions", "position_embeddings", "positions_embed", "pos_encoding"}


class CausalNeedleModel:
    """Needle reader (`NeedleModel`) around a causal language model and its tokenizer.

    It is asked for the number that belongs to a town (`needles.passage`).

    Parameters
    ----------
    model : with a language-modelling head, as `AutoModelForCausalLM` loads it
    tokenizer : the model's
    name : of the model, with every change that affects its answers

    Raises
    ------
    InputError
        the tokenizer does not round-trip numbers, or the model has no `logits_to_keep`
    """

    kinds = ("text",)

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
    ) -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        if not writes_numbers(tokenizer):
            right = "the folder needs all of the tokenizer's files, and a vocabulary with digits"
            raise InputError(f"{name}: its tokenizer cannot write numbers; {right}")
        if "logits_to_keep" not in inspect.signature(model.forward).parameters:
            right = "its forward needs logits_to_keep, for logits of the answer only"
            raise InputError(f"{name}: {type(model).__name__} has no logits_to_keep; {right}")
        settings = model.config.get_text_config()
        self.trained: int | None = getattr(settings, "max_position_embeddings", None)

    @classmethod
    def load(
        cls,
        source: str,
        device: str | None = None,
        dtype: str = "auto",
        rope_theta: float | None = None,
        rope_factor: float = 1.0,
    ) -> CausalNeedleModel:
        """Needle reader from pretrained weights: a model, or an adapter with its base model.

        Parameters
        ----------
        source : folder or hub name of a causal language model, or of a PEFT adapter (extra `real`)
        device : such as "cpu" or "cuda"; None is a GPU where there is one, "auto" splits the model
            over all devices
        dtype : of weights and arithmetic, such as "bfloat16"; "auto" is that of the stored weights
        rope_theta : RoPE base θ; None keeps the model's
        rope_factor : position interpolation: every position is divided by it

        Raises
        ------
        InputError
            model, adapter or tokenizer fails to load or does not fit, or weights are missing
        UsageError
            the device does not exist, or the model's positions do not allow the RoPE changes
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
        """Accuracy of a uniform guess: one of 9,000 numbers.

        Teacher forcing does not help a guess. A rule that ignores the text spells one number out of
        all of them, however many tokens a number has; and a guess drawn token by token is right
        about each number with the same probability, because the conditional probabilities of its
        tokens multiply to that of the number.
        """
        return 1 / len(NUMBERS)

    def shortest(self, kind: str) -> int:
        """Minimum length of a trial, tokens."""
        return self._shortest

    @cached_property
    def _shortest(self) -> int:
        return shortest(self.tokenizer)

    def check(self, length: int) -> None:
        """Length limit of learned position embeddings; rotary positions have none.

        A length beyond the training length is no error: what happens there is what is measured.

        Raises
        ------
        UsageError
            `length`, in tokens, is more than the rows of the model's position table
        """
        if self._table is not None and length > self._table:
            limit = f"a table of {self._table} positions, and none beyond"
            raise UsageError(f"length {length}: {self.name} has {limit}")

    @cached_property
    def _table(self) -> int | None:
        parts = chain(self.model.named_modules(), self.model.named_buffers())
        names = {name.rpartition(".")[2] for name, _ in parts}
        return self.trained if names & _TABLES and "rotary_emb" not in names else None

    def read(self, trials: Sequence[Trial]) -> list[bool]:
        """Correctness of every trial, one sequence per forward pass.

        Raises
        ------
        UsageError
            a trial is too short for needle and question, or too long for the model or the memory
        InputError
            a token id of the tokenizer is outside the model's vocabulary
        """
        return [self._read(trial) for trial in trials]

    @torch.inference_mode()
    def _read(self, trial: Trial) -> bool:
        self.check(trial.length)
        passage = lay_out(trial, self.tokenizer)
        ids = torch.tensor([passage.ids])
        if ids.max() >= (rows := self.model.get_input_embeddings().num_embeddings):
            wrong = f"the tokenizer writes token {ids.max()}, the model has {rows}"
            raise InputError(f"{self.name}: {wrong}; use the model's own tokenizer")

        ids, kept = ids.to(self.model.device), passage.answer
        try:
            output = self.model(input_ids=ids[:, :-1], use_cache=False, logits_to_keep=kept)
        except torch.OutOfMemoryError:
            wrong = f"does not fit into the memory of {ids.device}; choose shorter --lengths"
            raise UsageError(f"length {trial.length}: {wrong}") from None
        return bool((output.logits[0].argmax(-1) == ids[0, -kept:]).all())


def _load(source: str, device: str, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a folder or hub name; an adapter's tokenizer is its base model's."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if (Path(source) / "adapter_config.json").exists() and importlib.util.find_spec("peft") is None:
        raise UsageError(f"{source}: an adapter needs peft: pip install -e '.[real]'")
    try:
        torch.empty(0, device=None if device == "auto" else device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {device}: {_reason(error)}") from None

    # loading fails in more ways than transformers documents; each becomes one line
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            source, device_map=device, dtype=dtype, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    except Exception as error:
        raise InputError(f"{source}: failed to load ({_reason(error)})") from error
    if missing := sorted(found["missing_keys"]):
        raise InputError(f"{source}: {len(missing)} weights are missing, such as {missing[0]}")
    return model, tokenizer


def _reason(error: BaseException) -> str:
    """First line of an error's message, or its type where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)

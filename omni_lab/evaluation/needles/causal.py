"""Needle in a haystack for any causal language model of Hugging Face, or a PEFT adapter on one.

The answer is read under teacher forcing, in one forward pass over the sequence. Logits are computed
for the answer's tokens only, so that memory grows with length and not with length × vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int

from omni_lab.errors import InputError, UsageError, reason, typed
from omni_lab.evaluation.needles.interface import Trial
from omni_lab.evaluation.needles.passage import NUMBERS, lay_out, lost, shortest
from omni_lab.model.contents import digest_of, digest_of_weights
from omni_lab.model.loading import load_causal, rows_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# names of learned position embeddings, a table with one row per position
_TABLES = {"wpe", "embed_positions", "position_embeddings", "positions_embed", "pos_encoding"}
# entries of a configuration that say where it comes from, not what it computes
_MADE_WITH = {"_name_or_path", "transformers_version", "base_model_name_or_path", "peft_version"}
PROBE = 128  # tokens, at most, on which causality is checked


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
        the tokenizer does not give back numbers, spaces and line breaks, or the model has no
        `logits_to_keep`
    """

    kinds = ("text",)

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
    ) -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        with typed(f"{name}: its tokenizer fails"):
            wrong = lost(tokenizer)
        if wrong:
            right = "the folder needs all of the tokenizer's files, and of its own kind"
            raise InputError(f"{name}: its tokenizer {wrong}; {right}")
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
        model, tokenizer = load_causal(source, device, dtype)
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
        with typed(f"{self.name}: its tokenizer fails"):
            return shortest(self.tokenizer)

    def contents(self) -> dict[str, str]:
        """Digests of the weights, of the settings around them, and of the tokenizer's work."""
        settings = self.model.config.to_diff_dict()
        adapters = getattr(self.model, "peft_config", {})
        around = [
            {key: value for key, value in part.items() if key not in _MADE_WITH}
            for part in (settings, *(adapter.to_dict() for adapter in adapters.values()))
        ]
        trials = [Trial("text", self._shortest + 512, 0.5, seed) for seed in range(8)]
        written = [self._laid_out(trial)[0].tolist() for trial in trials]
        return {
            "weights": digest_of_weights(self.model),
            "settings": digest_of(around),
            "tokenizer": digest_of([self.tokenizer.get_vocab(), written]),
        }

    def vet(self, trials: Sequence[Trial]) -> None:
        """Premises of a measurement: causal, with finite logits, up to the longest trials.

        Raises
        ------
        InputError
            the model fails on a short text, its logits are not finite, or later tokens move them
        UsageError
            the trials are too long for the model or the memory
        """
        self.check(max(trial.length for trial in trials))
        self._check_causal()
        self.read(trials)

    @torch.inference_mode()
    def _check_causal(self) -> None:
        """Refusal of a model whose logits change with tokens that come later."""
        text = self._laid_out(Trial("text", self._shortest, 0.5, 0))[0][-PROBE:]
        half = len(text) // 2
        other = torch.cat([text[:half], text[: len(text) - half].flip(0)])
        with typed(f"{self.name}: fails on a text of {len(text)} tokens"):
            alone, moved = (self._logits(ids[None], len(text))[0] for ids in (text, other))
            least, moved = 1e-5 * _spread(alone[:half]), _apart(alone[:half], moved[:half])
            if moved <= least:
                return
            # experts compute other numbers in other company, without seeing it
            both = self._logits(torch.stack([text, other]), len(text))[0]
        if moved > least + 4 * _apart(alone[:half], both[:half]):
            wrong = "is not causal: later tokens change its logits, so that it sees the answer"
            right = "an encoder needs is_decoder=true in its config, and training with it"
            raise InputError(f"{self.name}: {wrong}; {right}")

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
        ids, kept = self._laid_out(trial)
        try:
            logits = self._logits(ids[None, :-1], kept)
        except InputError:
            raise
        except Exception as error:
            wrong = f"{self.name} cannot read it ({reason(error)})"
            if _out_of_memory(error):
                wrong = f"does not fit into the memory of {self.model.device}"
            raise UsageError(f"length {trial.length}: {wrong}; choose shorter --lengths") from error
        return bool((logits[0].argmax(-1).cpu() == ids[-kept:]).all())

    def _laid_out(self, trial: Trial) -> tuple[Int[torch.Tensor, " T"], int]:
        """Token ids of a trial, and how many of them, at the end, are the answer."""
        with typed(f"{self.name}: its tokenizer fails"):
            passage = lay_out(trial, self.tokenizer)
        ids = torch.tensor(passage.ids)
        if ids.max() >= (rows := rows_of(self.model)):
            wrong = f"the tokenizer writes token {ids.max()}, the model has {rows}"
            raise InputError(f"{self.name}: {wrong}; use the model's own tokenizer")
        return ids, passage.answer

    def _logits(self, ids: Int[torch.Tensor, "B T"], kept: int) -> Float[torch.Tensor, "B t V"]:
        """Logits of the last `kept` tokens, all finite."""
        ids = ids.to(self.model.device)
        logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
        logits = logits[:, -kept:]
        # some models rule tokens out with -inf
        if not logits.amax(-1).isfinite().all():
            wrong = f"its logits for {ids.shape[1]} tokens are not finite in {logits.dtype}"
            right = "choose --dtype float32 or bfloat16, or whole weights"
            raise InputError(f"{self.name}: {wrong}; {right}")
        return logits


def _apart(one: Float[torch.Tensor, "T V"], other: Float[torch.Tensor, "T V"]) -> float:
    """Largest difference of each token's logits, mean over tokens."""
    return (one.float() - other.float()).abs().amax(-1).mean().item()


def _spread(logits: Float[torch.Tensor, "T V"]) -> float:
    """Standard deviation of each token's logits, mean over tokens."""
    return logits.float().std(-1).mean().item()


def _out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; on a CPU torch says so in words only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "alloc" in str(error)

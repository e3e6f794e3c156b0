"""Omni model: image and audio encoders, connectors, one causal decoder over interleaved tokens.

What is seen and heard takes its place among the words, and one decoder reads it all.

Glossary: B batch · T tokens · N supervised tokens · D decoder width · V vocabulary
· U units with a picture · A units with sound · F frames per unit · S picture side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, Qwen2Config, Qwen2Model
from transformers.utils import ModelOutput

from omni_lab.config import ModelConfig, SequenceConfig, section_from_dict, to_dict
from omni_lab.errors import InputError
from omni_lab.model.audio import AudioEncoder, LogMel
from omni_lab.model.connector import Connector
from omni_lab.model.image import ImageEncoder
from omni_lab.model.loss import token_losses
from omni_lab.model.pretrained import empty_part, load_parts
from omni_lab.model.rope import rope_of, set_rope
from omni_lab.progress import library_bars_off
from omni_lab.sequences.batch import IGNORED

Chooser = Callable[[Float[Tensor, " N"]], Bool[Tensor, " N"]]
ALIGNED = ("image", "audio", "text")  # modalities with a projection head for the contrastive loss


class OmniConfig(PretrainedConfig):
    """Hugging Face configuration of an omni model.

    Our settings (`model` and `sequence`) as dictionaries, the vocabulary's size, configurations of
    the parts that were pretrained, by name, and the decoder's rotary positions (theta, factor)
    where stages of training have changed them.
    """

    model_type = "omni_lab"

    def __init__(
        self,
        settings: dict | None = None,
        vocabulary: int = 0,
        parts: dict | None = None,
        rope: tuple[float, float] | list[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings or {}
        self.vocabulary = vocabulary
        self.parts = parts or {}
        self.rope = rope


@dataclass
class OmniOutput(ModelOutput):
    """Output of a forward pass.

    With labels, losses and last hidden states of supervised tokens, in row-major order, and no
    logits, so that memory does not grow with V · T (`OmniModel.logits` gives them); without, logits
    of the last `logits_to_keep` tokens of every row.
    """

    logits: Tensor | None = None  # B kept V
    states: Tensor | None = None  # N D: last hidden states
    targets: Tensor | None = None  # N
    losses: Tensor | None = None  # N: cross-entropy per supervised token, nats
    kept: Tensor | None = None  # N: whether a token's loss has a gradient, where some were chosen
    embeddings: Tensor | None = None  # B T D: what entered the decoder
    past_key_values: Any = None


class OmniModel(PreTrainedModel):
    """SigLIP and Whisper encoders, connectors, a Qwen decoder, projection heads.

    Parameters
    ----------
    config : settings, vocabulary and pretrained parts
    parts : pretrained towers and decoder by name, where they are loaded already
    """

    config_class = OmniConfig
    base_model_prefix = "omni"
    _supports_sdpa = True

    def __init__(self, config: OmniConfig, parts: dict[str, PreTrainedModel] | None = None) -> None:
        super().__init__(config)
        model = section_from_dict(ModelConfig, config.settings.get("model", {}))
        sequence = section_from_dict(SequenceConfig, config.settings.get("sequence", {}))
        self.model_settings, self.sequence_settings = model, sequence
        parts = parts or {name: empty_part(name, data) for name, data in config.parts.items()}

        self.image = ImageEncoder(model.image, sequence, parts.get("image"))
        self.audio = AudioEncoder(model.audio, sequence, parts.get("audio"))
        loaded = parts.get("decoder")
        self.decoder = loaded.model if loaded else self._new_decoder(config.vocabulary)
        width, rms = self.decoder.config.hidden_size, model.connector_rms
        if not model.decoder.tie_word_embeddings:
            head = loaded.lm_head if loaded else nn.Linear(width, config.vocabulary, bias=False)
            self.decoder.lm_head = head
        if config.rope:
            set_rope(self.decoder, *config.rope)

        self.connector = nn.ModuleDict(
            {
                "image": Connector(self.image.width, width, sequence.image_tokens, rms),
                "audio": Connector(self.audio.width, width, sequence.audio_tokens, rms),
            }
        )
        self.align = nn.ModuleDict({modality: nn.Linear(width, width) for modality in ALIGNED})
        self.align_scale = nn.Parameter(torch.tensor(2.3))  # log of the logit scale: 10 at first
        self.post_init()

    def _new_decoder(self, vocabulary: int) -> Qwen2Model:
        settings = self.model_settings.decoder
        return Qwen2Model(
            Qwen2Config(
                vocab_size=vocabulary,
                hidden_size=settings.width,
                intermediate_size=settings.mlp,
                num_hidden_layers=settings.layers,
                num_attention_heads=settings.heads,
                num_key_value_heads=settings.kv_heads,
                head_dim=settings.head_dim,
                max_position_embeddings=self.sequence_settings.max_tokens,
                rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
                use_cache=False,
            )
        )

    @classmethod
    def build(cls, model: ModelConfig, sequence: SequenceConfig, vocabulary: int) -> OmniModel:
        """New model: pretrained parts are loaded, the others initialised for their size."""
        parts = load_parts(model, sequence, vocabulary)
        if "decoder" in parts:  # it decides whether it has an output layer of its own
            tied = parts["decoder"].config.tie_word_embeddings
            model = replace(model, decoder=replace(model.decoder, tie_word_embeddings=tied))
        configs = {name: part.config.to_dict() for name, part in parts.items()}
        settings = {"model": to_dict(model), "sequence": to_dict(sequence)}
        built = cls(OmniConfig(settings, vocabulary, configs), parts)
        if model.wide_init:
            from omni_lab.model.initialise import initialise_wide

            initialise_wide(built, model)
        return built

    @classmethod
    def load(cls, folder: Path | str) -> OmniModel:
        """Trained model of a checkpoint folder (safetensors).

        Raises
        ------
        InputError
            its weights are not those of its configuration
        """
        with library_bars_off():
            model, found = cls.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True
            )
        for wrong in ("missing", "unexpected"):
            if names := sorted(found[f"{wrong}_keys"]):
                raise InputError(f"{folder}: {len(names)} weights are {wrong}, such as {names[0]}")
        return model.eval()

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Save weights, and the rotary positions that they were last trained with."""
        self.config.rope = rope_of(self.decoder)
        super().save_pretrained(*args, **kwargs)

    def _init_weights(self, module: nn.Module) -> None:
        """Towers and decoder initialise themselves; mel filters, in no checkpoint, are recomputed."""
        if isinstance(module, LogMel):
            module.fill()

    @property
    def output_weight(self) -> Float[Tensor, "V D"]:
        """Weight of the output layer: the decoder's own, or that of its token embedding."""
        if self.model_settings.decoder.tie_word_embeddings:
            return self.decoder.embed_tokens.weight
        return self.decoder.lm_head.weight

    def logits(self, states: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Next-token logits of last hidden states."""
        return states @ self.output_weight.T

    def see(self, frames: UInt8[Tensor, "U F S S 3"]) -> Float[Tensor, "U image_tokens D"]:
        """Image tokens of every unit's frames."""
        return self.connector["image"](self.image(frames))

    def hear(self, waves: Float32[Tensor, "A samples"]) -> Float[Tensor, "A audio_tokens D"]:
        """Audio tokens of every unit's sound, 16 kHz mono."""
        return self.connector["audio"](self.audio(waves))

    def embed(
        self,
        input_ids: Int64[Tensor, "B T"],
        image_mask: Bool[Tensor, "B T"] | None = None,
        image_tokens: Float[Tensor, "images D"] | None = None,
        audio_mask: Bool[Tensor, "B T"] | None = None,
        audio_tokens: Float[Tensor, "sounds D"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Token embeddings; image and audio tokens take the places that their masks mark."""
        states = self.decoder.embed_tokens(input_ids)
        for mask, tokens in ((image_mask, image_tokens), (audio_mask, audio_tokens)):
            if tokens is not None:
                places = mask.nonzero(as_tuple=True)
                states = states.index_put(places, tokens.to(states.dtype))
        return states

    def forward(
        self,
        input_ids: Int64[Tensor, "B T"] | None = None,
        image_mask: Bool[Tensor, "B T"] | None = None,
        image_tokens: Float[Tensor, "images D"] | None = None,
        audio_mask: Bool[Tensor, "B T"] | None = None,
        audio_tokens: Float[Tensor, "sounds D"] | None = None,
        attention_mask: Any = None,
        position_ids: Int64[Tensor, "B T"] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        inputs_embeds: Float[Tensor, "B T D"] | None = None,
        labels: Int64[Tensor, "B T"] | None = None,
        logits_to_keep: int = 0,
        choose: Chooser | None = None,
        **attention: Any,
    ) -> OmniOutput:
        """Next-token logits, or the loss of every supervised token.

        Parameters
        ----------
        image_mask, audio_mask : places of image and audio tokens
        image_tokens, audio_tokens : what `see` and `hear` gave, flattened, in row-major order
        attention_mask : as the decoder takes it: padding, or an additive bias B 1 T T
        past_key_values : cache of the tokens before; then `input_ids` are the new ones only
        labels : next token at every place, IGNORED where it is not supervised
        logits_to_keep : without labels, logits of so many last tokens; 0 is all
        choose : which supervised tokens to learn from, given their losses; the output layer runs
            with gradients on those alone
        attention : handed on to the attention function, such as a row that ranks share

        Returns
        -------
        output : with labels, losses and last hidden states of the N supervised tokens
        """
        embeddings = inputs_embeds
        if embeddings is None:
            embeddings = self.embed(input_ids, image_mask, image_tokens, audio_mask, audio_tokens)
        out = self.decoder(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **attention,
        )
        hidden = out.last_hidden_state
        if labels is None:
            logits = self.logits(hidden[:, -logits_to_keep:])
            return OmniOutput(logits, embeddings=embeddings, past_key_values=out.past_key_values)

        wanted = labels != IGNORED
        states, targets, kept = hidden[wanted], labels[wanted], None
        if choose is None:
            losses = token_losses(states, self.output_weight, targets)
        else:
            with torch.no_grad():
                losses = token_losses(states, self.output_weight, targets)
                kept = choose(losses)
            chosen = token_losses(states[kept], self.output_weight, targets[kept])
            losses = losses.index_put((kept,), chosen)
        return OmniOutput(None, states, targets, losses, kept, embeddings, out.past_key_values)

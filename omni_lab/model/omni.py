"""The omni model: what is seen and heard takes its place among the words, and one decoder reads it all.

Glossary: B batch · T tokens · N supervised tokens · D width · V vocabulary
· M modalities · G groups of units with all modalities.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel, Qwen2Config, Qwen2Model

from omni_lab.config import Config, from_dict, to_dict
from omni_lab.model.audio import AudioEncoder, LogMel
from omni_lab.model.connector import Connector
from omni_lab.model.image import ImageEncoder
from omni_lab.model.pretrained import empty_part, load_parts
from omni_lab.model.rope import rope_of, set_rope
from omni_lab.parallel.batch import Shard
from omni_lab.parallel.decoder_hook import NO_MASK
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.sequences.masking import attention_bias
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, TEXT_KIND


class OmniConfig(PretrainedConfig):
    """Hugging Face's side of our settings: the whole `Config` as a dictionary, the vocabulary's size, configurations of
    the parts that were pretrained, by name, and the decoder's rotary positions (theta, factor) where stages of
    training have changed them."""

    model_type = "omni_lab"

    def __init__(
        self,
        settings: dict | None = None,
        vocabulary: int = 0,
        parts: dict | None = None,
        rope: tuple[float, float] | list[float] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings or {}
        self.vocabulary = vocabulary
        self.parts = parts or {}
        self.rope = rope


@dataclass
class OmniOutput:
    """What one forward pass gives; logits exist at supervised tokens only, so that memory does not grow with V · T."""

    logits: Float[Tensor, "N V"]  # in row-major order of the batch's supervised tokens
    targets: Int64[Tensor, " N"]
    losses: Float[Tensor, " N"]  # cross-entropy per supervised token, nats
    embeddings: Float[Tensor, "B T D"]  # what entered the decoder


class OmniModel(PreTrainedModel):
    """SigLIP and Whisper encoders, their connectors, a Qwen2 decoder with tied output, and alignment heads."""

    config_class = OmniConfig
    base_model_prefix = "omni"
    _supports_sdpa = True

    def __init__(self, config: OmniConfig, parts: dict[str, PreTrainedModel] | None = None) -> None:
        super().__init__(config)
        self.settings: Config = from_dict(config.settings)
        decoder = self.settings.model.decoder
        parts = parts or {name: empty_part(name, data) for name, data in config.parts.items()}
        self.image = ImageEncoder(self.settings, parts.get("image"))
        self.audio = AudioEncoder(self.settings, parts.get("audio"))
        self.decoder = parts.get("decoder")
        if self.decoder is None:
            self.decoder = Qwen2Model(
                Qwen2Config(
                    vocab_size=config.vocabulary,
                    hidden_size=decoder.width,
                    intermediate_size=decoder.mlp,
                    num_hidden_layers=decoder.layers,
                    num_attention_heads=decoder.heads,
                    num_key_value_heads=decoder.kv_heads,
                    head_dim=decoder.head_dim,
                    max_position_embeddings=self.settings.sequence.max_tokens,
                    rope_parameters={"rope_type": "default", "rope_theta": decoder.rope_theta},
                    use_cache=False,
                )
            )
        if config.rope:
            set_rope(self.decoder, *config.rope)
        width, size = self.decoder.config.hidden_size, self.settings.model.connector_rms
        self.connector = nn.ModuleDict(
            {
                "image": Connector(
                    self.image.width, width, self.settings.sequence.image_tokens, size
                ),
                "audio": Connector(
                    self.audio.width, width, self.settings.sequence.audio_tokens, size
                ),
            }
        )
        self.align = nn.ModuleDict(
            {kind: nn.Linear(width, width) for kind in ("image", "audio", "text")}
        )
        self.align_scale = nn.Parameter(
            torch.tensor(2.3)
        )  # log of the similarity's scale: 10 at the start
        self.post_init()

    @classmethod
    def build(cls, settings: Config, vocabulary: int) -> OmniModel:
        """A new model from our settings: pretrained parts are loaded, the others initialised for their size."""
        parts = load_parts(settings, vocabulary)
        configs = {name: part.config.to_dict() for name, part in parts.items()}
        model = cls(OmniConfig(to_dict(settings), vocabulary, configs), parts)
        if settings.model.wide_init:
            from omni_lab.model.initialise import initialise_wide

            initialise_wide(model)
        return model

    @classmethod
    def load(cls, folder: Path | str) -> OmniModel:
        """A trained model from a checkpoint folder (safetensors)."""
        return cls.from_pretrained(folder, use_safetensors=True).eval()

    def save_pretrained(self, *args, **kwargs) -> None:
        """Save the weights, and the rotary positions that they were last trained with."""
        self.config.rope = rope_of(self.decoder)
        super().save_pretrained(*args, **kwargs)

    def _init_weights(self, module: nn.Module) -> None:
        """Towers and decoder initialise themselves; filters, which no checkpoint holds, are computed again."""
        if isinstance(module, LogMel):
            module.fill()

    def see(self, batch: Batch) -> Float[Tensor, "U image_tokens D"]:
        """Tokens of every unit's frames."""
        return self.connector["image"](self.image(batch.frames))

    def hear(self, batch: Batch) -> Float[Tensor, "A audio_tokens D"]:
        """Tokens of every unit's sound."""
        return self.connector["audio"](self.audio(batch.waves))

    def embed(
        self,
        batch: Batch,
        seen: Float[Tensor, "U image_tokens D"] | None = None,
        heard: Float[Tensor, "A audio_tokens D"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Token embeddings, with what is seen and heard put in its places.

        `seen` and `heard` are the encoded units that the batch points into, where they are not its own.
        """
        states = self.decoder.embed_tokens(batch.input_ids)
        for kind, at, encode, given in (
            (IMAGE_KIND, batch.seen, self.see, seen),
            (AUDIO_KIND, batch.heard, self.hear, heard),
        ):
            if len(at):
                units = encode(batch) if given is None else given
                tokens = units[at].flatten(0, 1)
                if (standing := batch.standing(kind)) is not None:
                    tokens = tokens[standing]
                states = states.index_put(
                    (batch.kind == kind).nonzero(as_tuple=True), tokens.to(states.dtype)
                )
        return states

    def forward(
        self,
        batch: Batch,
        seen: Float[Tensor, "U image_tokens D"] | None = None,
        heard: Float[Tensor, "A audio_tokens D"] | None = None,
        strength: Float[Tensor, "M M"] | None = None,
    ) -> OmniOutput:
        """Predict every supervised token from all that comes before it in its document.

        Rows are padded on the right, where causal attention never looks: a row that holds one document needs no mask.
        `strength` is how strongly modalities interact (`sequences.masking.strengths`). Of a batch that is shared out
        (`Shard`) this rank's tokens are predicted, and the strength stands in its row.
        """
        embeddings = self.embed(batch, seen, heard)
        places = {}
        if isinstance(batch, Shard):
            if (
                not embeddings.requires_grad and torch.is_grad_enabled()
            ):  # else other ranks wait for this one's backward
                embeddings.requires_grad_()
            places = {"attention_mask": NO_MASK, "position_ids": batch.position, "row": batch.row}
        elif (bias := attention_bias(batch, strength)) is not None:
            places = {"attention_mask": bias.to(embeddings.dtype), "position_ids": batch.position}
        hidden = self.decoder(inputs_embeds=embeddings, **places).last_hidden_state
        labels = batch.labels
        wanted = labels != IGNORED
        targets = labels[wanted]
        logits = hidden[wanted] @ self.decoder.embed_tokens.weight.T
        return OmniOutput(
            logits, targets, F.cross_entropy(logits.float(), targets, reduction="none"), embeddings
        )

    def pooled(
        self, embeddings: Float[Tensor, "B T D"], batch: Batch, units: int
    ) -> tuple[dict[str, Float[Tensor, "G D"]], Bool[Tensor, " groups"]]:
        """One unit vector per modality for every group of `units` units that has all three, and which groups have."""
        per_row = int(batch.unit.max()) // units + 1
        group = (
            torch.arange(len(batch.unit), device=batch.unit.device)[:, None] * per_row
            + batch.unit // units
        )
        out, complete = {}, None
        for kind, name in ((IMAGE_KIND, "image"), (AUDIO_KIND, "audio"), (TEXT_KIND, "text")):
            here = batch.kind == kind
            total = embeddings.new_zeros(len(batch.unit) * per_row, embeddings.shape[-1])
            states = F.gelu(self.align[name](embeddings[here])).to(total.dtype)
            total = total.index_add(0, group[here], states)
            has = torch.zeros(len(total), dtype=torch.bool, device=total.device)
            has[group[here]] = True
            complete = has if complete is None else complete & has
            out[name] = F.normalize(total, dim=-1)
        return {name: states[complete] for name, states in out.items()}, complete

    def alignment_loss(
        self, embeddings: Float[Tensor, "B T D"], batch: Batch, units: int
    ) -> Float[Tensor, ""]:
        """InfoNCE between image, audio and text of the same moment, mean of the three pairs (CLIP, section 2.3).

        Zero where no moment of the batch has all three.
        """
        pooled, complete = self.pooled(embeddings, batch, units)
        if not complete.any():  # the mean over nothing would be NaN
            return embeddings.sum() * 0
        here = torch.arange(len(pooled["text"]), device=embeddings.device)
        scale = self.align_scale.exp().clamp(max=100)
        losses = []
        for a, b in (("image", "text"), ("audio", "text"), ("image", "audio")):
            similarity = scale * pooled[a] @ pooled[b].T
            losses.append(
                (F.cross_entropy(similarity, here) + F.cross_entropy(similarity.T, here)) / 2
            )
        return torch.stack(losses).mean()

"""Pictures to tokens: a SigLIP vision tower, whose patches are merged to a few tokens per unit.

Glossary: U units with a picture · F frames per unit · S picture side · P patches per side
· D decoder width.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from omni_lab.config import ImageEncoderConfig, SequenceConfig
from omni_lab.errors import ConfigError


class ImageEncoder(nn.Module):
    """SigLIP over every frame; each image token then sees one cell of the picture in all frames of its unit."""

    def __init__(
        self,
        settings: ImageEncoderConfig,
        sequence: SequenceConfig,
        tower: nn.Module | None = None,
    ) -> None:
        from transformers import SiglipVisionConfig, SiglipVisionModel

        super().__init__()
        self.tower = tower or SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=settings.width,
                intermediate_size=settings.mlp,
                num_hidden_layers=settings.layers,
                num_attention_heads=settings.heads,
                image_size=settings.size,
                patch_size=settings.patch,
                vision_use_head=False,
            )
        )
        patches = settings.size // settings.patch
        self.cells = round(sequence.image_tokens**0.5)
        if patches % self.cells:
            raise ConfigError(
                f"sequence.image_tokens={sequence.image_tokens}: {patches} × {patches} patches do not divide into "
                f"{self.cells} × {self.cells} cells"
            )
        self.per_cell = patches // self.cells
        self.frames = sequence.frames_per_unit
        self.width = self.frames * self.per_cell**2 * self.tower.config.hidden_size

    def forward(self, frames: UInt8[Tensor, "U F S S 3"]) -> Float[Tensor, "U tokens merged"]:
        """Encode the frames of every unit; the connector takes the merged width to the decoder's."""
        count = frames.shape[1]
        pixels = frames.flatten(0, 1).movedim(-1, 1).to(self.tower.dtype) / 127.5 - 1
        states = self.tower(pixel_values=pixels).last_hidden_state  # (U F) (P P) width
        return rearrange(
            states,
            "(units frames) (rows high columns wide) width -> units (rows columns) (frames high wide width)",
            frames=count, rows=self.cells, columns=self.cells, high=self.per_cell, wide=self.per_cell,
        )  # fmt: skip

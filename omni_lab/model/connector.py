"""From an encoder's merged states to the decoder's width."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Connector(nn.Module):
    """Normalise, then two linear maps with a GELU between them, as in LLaVA-1.5."""

    def __init__(self, merged: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(merged)
        self.up = nn.Linear(merged, width)
        self.down = nn.Linear(width, width)

    def forward(self, states: Float[Tensor, "units tokens merged"]) -> Float[Tensor, "units tokens width"]:
        """Map every token."""
        return self.down(nn.functional.gelu(self.up(self.norm(states))))

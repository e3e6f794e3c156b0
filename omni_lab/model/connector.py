"""From an encoder's merged states to the decoder's width."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Connector(nn.Module):
    """Normalise, two linear maps with a GELU between (as in LLaVA-1.5), then say which token of its unit it is.

    Without the learned place of a token, a decoder that has found a thing can hardly tell where it stands.
    """

    def __init__(self, merged: int, width: int, tokens: int) -> None:
        super().__init__()
        self.place = nn.Embedding(tokens, width)
        self.norm = nn.LayerNorm(merged)
        self.up = nn.Linear(merged, width)
        self.down = nn.Linear(width, width)

    def forward(self, states: Float[Tensor, "units tokens merged"]) -> Float[Tensor, "units tokens width"]:
        """Map every token."""
        return self.down(nn.functional.gelu(self.up(self.norm(states)))) + self.place.weight

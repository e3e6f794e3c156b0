"""From an encoder's merged states to the decoder's width."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Connector(nn.Module):
    """Normalise, two linear maps with a GELU between (as in LLaVA-1.5), then say which token of its unit it is.

    Without the learned place of a token, a decoder that has found a thing can hardly tell where it stands.

    Parameters
    ----------
    size : root mean square that every token's numbers begin with, learned from there on; 0 leaves them as they come.
        They come tens of times larger than words, and what a layer adds to such a token is lost beside it: a model
        that has to know what was written before a picture does not learn it.
    """

    def __init__(self, merged: int, width: int, tokens: int, size: float = 0.0) -> None:
        super().__init__()
        self.place = nn.Embedding(tokens, width)
        self.norm = nn.LayerNorm(merged)
        self.up = nn.Linear(merged, width)
        self.down = nn.Linear(width, width)
        self.level = nn.RMSNorm(width) if size else nn.Identity()
        if size:
            nn.init.constant_(self.level.weight, size)

    def forward(
        self, states: Float[Tensor, "units tokens merged"]
    ) -> Float[Tensor, "units tokens width"]:
        """Map every token."""
        return self.level(
            self.down(nn.functional.gelu(self.up(self.norm(states)))) + self.place.weight
        )

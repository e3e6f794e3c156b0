"""Small exercises of notebook 11: a mixture's sampler, decay branches, and winners that are none."""

from omni_lab.check.mixture.decay import branch_rate
from omni_lab.check.mixture.merges import update_shares
from omni_lab.check.mixture.sampler import drawn, epochs
from omni_lab.check.mixture.winners import ends

__all__ = ["branch_rate", "drawn", "ends", "epochs", "update_shares"]

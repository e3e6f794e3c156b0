"""Exercise of the connector: usual mistakes are told apart, and what a token sees is found by probing."""

import pytest
import torch
from torch.nn import functional as F

from omni_lab import check
from omni_lab.check.connectors import _USUAL, by_stages, case_of, packaged


@pytest.mark.parametrize("sizes", [(2, 6, 2), (1, 3, 1), (3, 4, 4)])
def test_the_staged_way_is_the_packages_own(sizes):
    case = case_of(*sizes, seed=1)
    assert torch.allclose(by_stages(*case), packaged(*case), atol=1e-4)


@pytest.mark.parametrize(("changed", "why"), _USUAL, ids=lambda given: str(given)[:40])
def test_every_usual_mistake_is_named(changed, why):
    verdict = check.connected(lambda *given: by_stages(*given, **changed))
    assert verdict.right is False and verdict.message == why


def merged(states, cells):
    frames, patches, width = states.shape
    size = round(patches**0.5) // cells
    grid = states.reshape(frames, cells, size, cells, size, width)
    return grid.permute(1, 3, 0, 2, 4, 5).reshape(cells**2, -1)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda states, *rest: states, "your tokens have shape (2, 36, 3), not (4, 4)"),
        (lambda *given: "tokens", "return a tensor of shape (4, 4)"),
        (
            lambda states, cells, up, down, place: (
                F.gelu(F.layer_norm(merged(states[:1].expand_as(states), cells), up.shape[:1]) @ up)
                @ down
                + place
            ),
            "patch 0 of frame 1 reaches no token; it belongs to token 0 alone",
        ),
        (
            lambda states, cells, up, down, place: (
                F.gelu(F.layer_norm(merged(states.flip(1), cells), up.shape[:1]) @ up) @ down + place
            ),
            "patch 0 of frame 0 changes token 3; it belongs to token 0 alone",
        ),
        (
            lambda states, cells, up, down, place: torch.cat([packaged(states, cells, up, down, place)] * 2),
            "your tokens have shape (8, 4), not (4, 4): the frames of a unit share its tokens",
        ),
        (
            lambda states, cells, *rest: packaged(states, cells, *rest) * (1 if len(states) == 2 else 2),
            "right for 2 frames and 6 × 6 patches, but not for 1 and 4 × 4 with 2 cells a side",
        ),
    ],
)  # fmt: skip
def test_a_wrong_connector_is_told_what_is_wrong(attempt, message):
    verdict = check.connected(attempt)
    assert verdict.right is False
    assert verdict.message.startswith(message)


def test_the_gelu_of_siglip_is_right_too():
    assert check.connected(lambda *given: by_stages(*given, gelu="tanh")).right

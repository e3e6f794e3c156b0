"""Muon in batches: the same updates as torch's, one matrix at a time, to rounding."""

import pytest
import torch

from omni_lab.training.muon import Muon, orthogonalised

SHAPES = [(8, 8), (8, 8), (24, 8), (8, 24), (8, 24), (5, 7)]


def stepped(build, steps=4):
    torch.manual_seed(0)
    matrices = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    optimizer = build(matrices)
    for _ in range(steps):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape)
        optimizer.step()
    return matrices, optimizer


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_updates_are_those_of_torch_up_to_its_bfloat16(decay):
    ours, own = stepped(lambda m: Muon(m, 0.01, decay))
    theirs, other = stepped(
        lambda m: torch.optim.Muon(m, 0.01, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=4 * 0.01 * 0.02)
    torch.testing.assert_close(
        own.state_dict()["state"], other.state_dict()["state"], msg="either resumes the other"
    )


def test_a_matrix_is_orthogonalised_alike_alone_and_among_others():
    torch.manual_seed(1)
    matrices = [torch.randn(shape) for shape in SHAPES]
    together = orthogonalised(matrices)
    for matrix, one in zip(matrices, together, strict=True):
        assert one.shape == matrix.shape
        torch.testing.assert_close(orthogonalised([matrix])[0], one, rtol=1e-5, atol=1e-6)


def test_a_matrix_without_a_gradient_stays_as_it_is():
    matrix = torch.nn.Parameter(torch.ones(3, 3))
    Muon([matrix], 0.1, 0.5).step()
    assert torch.equal(matrix, torch.ones(3, 3))

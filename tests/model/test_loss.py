"""Cross-entropy in pieces: what it equals, in which precision, and what it never holds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from omni_lab.model import loss
from omni_lab.model.loss import token_losses

D = 6


def drawn(tokens, vocabulary, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(tokens, D, dtype=torch.float64, generator=generator)
    weight = torch.randn(vocabulary, D, dtype=torch.float64, generator=generator)
    targets = torch.randint(vocabulary, (tokens,), generator=generator)
    return states.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets


def plain(states, weight, targets):
    return F.cross_entropy(states @ weight.T, targets, reduction="none")


def both(states, weight, targets, upstream, losses):
    """Losses, and gradients under uneven upstream weights."""
    values = losses(states, weight, targets)
    return values, *torch.autograd.grad((values * upstream).sum(), (states, weight))


@given(st.integers(0, 40), st.integers(1, 30), st.integers(1, 200), st.integers(0, 99))
def test_losses_and_gradients_are_those_of_full_logits(tokens, vocabulary, piece, seed):
    given_ = drawn(tokens, vocabulary, seed=seed)
    upstream = torch.linspace(-2, 3, tokens, dtype=torch.float64)  # 0 and below too
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "PIECE", piece)
        ours = both(*given_, upstream, token_losses)
    for own, true in zip(ours, both(*given_, upstream, plain), strict=True):
        torch.testing.assert_close(own, true, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_finite_differences(monkeypatch):
    monkeypatch.setattr(loss, "PIECE", 20)
    states, weight, targets = drawn(7, 5)
    assert torch.autograd.gradcheck(lambda s, w: token_losses(s, w, targets), (states, weight))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_weights_are_not_rounded_to_half(half, monkeypatch):
    monkeypatch.setattr(loss, "PIECE", 300)
    states, weight, targets = drawn(64, 50, half)
    losses = token_losses(states, weight, targets)
    assert losses.dtype == torch.float32
    true = plain(*(x.detach().double() for x in (states, weight)), targets)
    assert (losses - true).abs().max() < 0.05, "logits are rounded to half, no more than that"
    assert not torch.equal(losses, losses.to(half).float())
    losses.sum().backward()
    assert states.grad.dtype == weight.grad.dtype == half


def test_mixed_precision_multiplies_in_half_and_keeps_gradients_of_full_weights(monkeypatch):
    states, weight, targets = drawn(64, 50, torch.float32)
    found = []
    for piece in (300, 10**6):  # several pieces, and plain PyTorch
        monkeypatch.setattr(loss, "PIECE", piece)
        with torch.autocast("cpu", torch.bfloat16):
            losses = token_losses(states, weight, targets)
        found.append((losses, *torch.autograd.grad(losses.sum(), (states, weight))))
    for own, true in zip(*found, strict=True):
        assert own.dtype == true.dtype == torch.float32
        torch.testing.assert_close(own, true, rtol=2e-2, atol=2e-2)
    assert torch.equal(found[0][0], found[1][0])


class Largest(TorchDispatchMode):
    """The largest tensor that any operation gives."""

    most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else (out,):
            if isinstance(one, torch.Tensor):
                self.most = max(self.most, one.numel())
        return out


def test_no_tensor_holds_all_logits(monkeypatch):
    monkeypatch.setattr(loss, "PIECE", 1000)
    states, weight, targets = drawn(500, 100, torch.float32)
    with Largest() as ours:
        token_losses(states, weight, targets).sum().backward()
    assert ours.most == 500 * D, "no logits of more than a piece, in forward or backward"
    with Largest() as full:
        plain(states, weight, targets).sum().backward()
    assert full.most == 500 * 100, "the measure sees them where they are"

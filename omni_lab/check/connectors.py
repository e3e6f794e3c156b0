"""Exercise of the connector: an encoder's grid of states becomes the image tokens of one unit.

Glossary: F frames per unit · patches of a frame · cells a side · D decoder width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from omni_lab.check.verdict import Verdict, tried

if TYPE_CHECKING:
    from torch import Tensor

_MOST = 1e-4  # largest error that counts as right; LayerNorm's 1e-5 in the variance is below it


class _Case(NamedTuple):
    """Arguments of an attempt."""

    states: Tensor  # F patches width
    cells: int
    up: Tensor  # merged D
    down: Tensor  # D D
    place: Tensor  # cells² D


def connected(attempt: Callable[[Tensor, int, Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Checker of the image connector: merge patches of all frames, then norm, map, GELU, map, place.

    Parameters
    ----------
    attempt : takes the states (F patches width) of one unit, the cells a side, and the weights `up`
        (merged D), `down` (D D) and `place` (tokens D); returns the tokens (tokens D)
    """
    cases = [case_of(*sizes, seed) for seed, sizes in enumerate(_SIZES)]
    answers = []
    for case in cases:
        value = tried(attempt, *(_copy(one) for one in case))
        if isinstance(value, Verdict):
            return value
        value = _as_tensor(value)
        if wrong := _misshapen(value, case):
            return Verdict(False, wrong)
        answers.append(value.detach().double())
    truths = [packaged(*case) for case in cases]
    if _near(answers, truths) or _near(answers, [by_stages(*case, gelu="tanh") for case in cases]):
        sizes = f"{len(cases)} grids, of 1 to 3 frames"
        return Verdict(True, f"right: {sizes}, as the package connects them")
    return Verdict(False, _usual(answers, cases) or _probed(attempt, answers, truths, cases[0]))


# frames, patches a side, cells a side; the plainest first
_SIZES = ((2, 6, 2), (1, 4, 2), (3, 4, 2), (2, 9, 3), (2, 3, 1), (2, 4, 4), (2, 8, 2))


def case_of(frames: int, side: int, cells: int, seed: int) -> _Case:
    """Random states and weights; states far from mean 0 and deviation 1."""
    import torch

    random = torch.Generator().manual_seed(seed)
    width, out = 3, 4
    merged = frames * (side // cells) ** 2 * width

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=random, dtype=torch.float64)

    states = 2 * normal(frames, side**2, width) + 3
    up, down = normal(merged, out) / merged**0.5, normal(out, out)
    return _Case(states, cells, up, down, normal(cells**2, out))


def merged_states(states: Tensor, cells: int) -> Tensor:
    """Merged states (tokens merged) of one unit by the package's own image encoder."""
    from types import SimpleNamespace

    import torch

    from omni_lab.config import ImageEncoderConfig, SequenceConfig
    from omni_lab.model.image import ImageEncoder

    class Tower(torch.nn.Module):
        """Tower that gives the states, whatever it is shown."""

        config, dtype = SimpleNamespace(hidden_size=states.shape[-1]), states.dtype

        def forward(self, pixel_values: Tensor) -> Any:
            return SimpleNamespace(last_hidden_state=states)

    frames, patches, _ = states.shape
    settings = ImageEncoderConfig(size=round(patches**0.5), patch=1)
    sequence = SequenceConfig(image_tokens=cells**2, frames_per_unit=frames)
    nothing = torch.zeros(1, frames, 1, 1, 3, dtype=torch.uint8)
    return ImageEncoder(settings, sequence, Tower())(nothing)[0]


def packaged(states: Tensor, cells: int, up: Tensor, down: Tensor, place: Tensor) -> Tensor:
    """Tokens (tokens D) by the package's own encoder and connector, without biases."""
    import torch

    from omni_lab.model.connector import Connector

    connector = Connector(len(up), up.shape[1], cells**2).double()
    with torch.no_grad():
        for layer, weight in ((connector.up, up), (connector.down, down)):
            layer.weight.copy_(weight.T)
            layer.bias.zero_()
        connector.place.weight.copy_(place)
        return connector(merged_states(states, cells)[None])[0]


def by_stages(
    states: Tensor,
    cells: int,
    up: Tensor,
    down: Tensor,
    place: Tensor,
    order: str = "rows columns frames high wide width",
    norm: str = "token",
    gelu: str = "none",
    add: str = "end",
) -> Tensor:
    """Tokens with one stage done otherwise: order of the merged numbers, norm, GELU, place."""
    import torch
    from einops import rearrange
    from torch.nn import functional as F

    side = round(states.shape[1] ** 0.5)
    if order == "runs":  # the first patches are the first token's, whatever their place
        merged = rearrange(states, "f (t p) w -> t (f p w)", t=cells**2)
    else:
        grid = "frames (rows high columns wide) width"
        if order.startswith("strided"):
            grid = "frames (high rows wide columns) width"
        parts = order.removeprefix("strided ").split()
        target = f"({' '.join(parts[:2])}) ({' '.join(parts[2:])})"
        merged = rearrange(
            states, f"{grid} -> {target}", rows=cells, columns=cells, high=side // cells
        )
    mean, std = merged.mean(1, keepdim=True), merged.std(1, keepdim=True, unbiased=False)
    normed = {
        "token": (merged - mean) / std,
        "none": merged,
        "unbiased": (merged - mean) / std * (1 - 1 / merged.shape[1]) ** 0.5,
        "mean": merged - mean,
        "std": merged / std,
        "variance": (merged - mean) / std**2,
        "times": (merged - mean) * std,
        "plus": (merged + mean) / std,
        "floor": (merged - mean) // std,
        "more": (merged - mean) / std * (1 + 1 / merged.shape[1]) ** 0.5,
        "across": (merged - merged.mean(0)) / merged.std(0, unbiased=False),
        "across mean": (merged - merged.mean(0)) / std,
        "across std": (merged - mean) / merged.std(0, unbiased=False),
        "all": (merged - merged.mean()) / merged.std(unbiased=False),
    }[norm]
    bent = {"tanh": lambda x: F.gelu(x, approximate="tanh"), "none": F.gelu, "relu": F.relu,
            "off": lambda x: x}.get(gelu, F.gelu)  # fmt: skip
    hidden = bent(normed @ up + (place if add == "before" else 0))
    if gelu == "early":
        hidden = F.gelu(normed) @ up
    out = (hidden + place if add == "early" else hidden) @ down
    if gelu == "late":
        out = F.gelu(normed @ up @ down)
    elif gelu == "twice":
        out = F.gelu(out)
    ends = {"minus": out - place, "off": out, "early": out, "before": out, "first": out + place[:1],
            "reverse": out + place.flip(0), "times": out * place}  # fmt: skip
    return ends.get(add, out + place).to(torch.float64)


_ORDER = "merge frame by frame, in each row by row, in a row patch by patch, as `up` was trained"
_USUAL: tuple[tuple[dict[str, str], str], ...] = (
    ({"order": "runs"},
     "your token takes patches that follow each other in the list: that is a strip of the picture, "
     "not a square cell; take the same columns of several rows"),
    ({"order": "columns rows frames high wide width"},
     "your tokens go down the columns of cells; cells are numbered row by row, like patches"),
    ({"order": "strided rows columns frames high wide width"},
     "your token takes patches spread evenly over the picture: a cell is a square of neighbours"),
    ({"order": "rows columns high wide frames width"},
     f"you put both frames of a patch side by side, patch after patch; {_ORDER}"),
    ({"order": "rows columns frames wide high width"},
     f"inside a cell you go column by column; {_ORDER}"),
    ({"order": "rows columns frames width high wide"},
     f"you put the first number of all patches first; keep each patch's numbers together: {_ORDER}"),
    ({"order": "rows columns width frames high wide"},
     f"you put the first number of all patches first; keep each patch's numbers together: {_ORDER}"),
    ({"norm": "none"}, "the norm is missing: encoder states come in any size, so subtract each token's "
     "mean and divide by its standard deviation first"),
    ({"norm": "unbiased"}, "the norm divides by the deviation of all the token's numbers: n, not n − 1 "
     "(in torch `unbiased=False`)"),
    ({"norm": "mean"}, "the norm subtracts the mean, and then divides by the standard deviation too"),
    ({"norm": "std"}, "the norm divides by the standard deviation, but subtracts the mean before that"),
    ({"norm": "variance"}, "the norm divides by the variance; its root, the standard deviation, is right"),
    ({"norm": "times"}, "the norm divides by the standard deviation; it does not multiply by it"),
    ({"norm": "plus"}, "the norm subtracts the mean; it does not add it"),
    ({"norm": "floor"}, "the norm divides with /: // cuts the fractions off"),
    ({"norm": "more"}, "the norm divides by the root of the mean square: the mean is over n numbers"),
    ({"norm": "across"}, "the norm goes down the tokens; each token is normed by itself, over its own numbers"),
    ({"norm": "across mean"}, "the norm subtracts the mean of all tokens; each has its own, over its numbers"),
    ({"norm": "across std"}, "the norm divides by the deviation over all tokens; each token has its own"),
    ({"norm": "all"}, "the norm takes mean and deviation of all tokens together; each token has its own"),
    ({"gelu": "off"}, "the GELU is missing: without it the two maps are one linear map"),
    ({"gelu": "relu"}, "ReLU stands where GELU should"),
    ({"gelu": "late"}, "the GELU comes after the second map; its place is between the two maps"),
    ({"gelu": "early"}, "the GELU comes before the first map; its place is between the two maps"),
    ({"gelu": "twice"}, "one GELU too many: nothing bends after the second map"),
    ({"add": "off"}, "the place is missing: without it the decoder hardly knows which cell a token saw"),
    ({"add": "early"}, "the place is added before the second map; it is added at the very end"),
    ({"add": "before"}, "the place is added before the GELU; it is added at the very end"),
    ({"add": "first"}, "every token gets the place of token 0; token i gets place i"),
    ({"add": "reverse"}, "the places are in the reverse order; token i gets place i"),
    ({"add": "minus"}, "the place is added, not subtracted"),
    ({"add": "times"}, "the place is added; you multiply by it"),
)  # fmt: skip


def _usual(answers: list, cases: list[_Case]) -> str | None:
    """Usual mistake that gives just these numbers, explained, or None."""
    for changed, why in _USUAL:
        if _near(answers, [by_stages(*case, **changed) for case in cases]):
            return why
    return None


def _probed(attempt: Callable, answers: list, truths: list, case: _Case) -> str:
    """Which patches a token sees that it should not, found by changing one; else what is left."""
    frames, patches, _ = case.states.shape
    for frame in range(frames):
        for patch in range(patches):
            mine, true = (
                _changed(function, case, frame, patch) for function in (attempt, packaged)
            )
            if mine is not None and mine != true:
                return _seen(mine, true, frame, patch)
    wrong = next(i for i, pair in enumerate(zip(answers, truths, strict=True)) if not _near(*pair))
    plain = _SIZES[wrong]
    if wrong:
        return (
            f"right for {_SIZES[0][0]} frames and {_SIZES[0][1]} × {_SIZES[0][1]} patches, but not for "
            f"{plain[0]} and {plain[1]} × {plain[1]} with {plain[2]} cells a side: use the sizes of what is given"
        )
    return (
        "each token sees the right patches, but its numbers are not right: "
        f"{_ORDER}; then norm, up, GELU, down, and place"
    )


def _changed(function: Callable, case: _Case, frame: int, patch: int) -> set[int] | None:
    """Tokens that change when one patch of one frame does."""
    import torch

    moved = case.states.clone()
    moved[frame, patch] += torch.tensor([5.0, -3.0, 1.0], dtype=moved.dtype)
    values = [
        _as_tensor(tried(function, states, *(_copy(one) for one in case[1:])))
        for states in (case.states.clone(), moved)
    ]
    if any(isinstance(value, Verdict) or _misshapen(value, case) for value in values):
        return None
    apart = (values[0] - values[1]).abs().amax(1)
    return {token for token, by in enumerate(apart.tolist()) if not by <= 1e-9}


def _seen(mine: set[int], true: set[int], frame: int, patch: int) -> str:
    """Wrong tokens for one patch, in words."""
    where = f"patch {patch} of frame {frame}"
    right = f"it belongs to token {min(true)} alone"
    if not mine:
        return f"{where} reaches no token; {right}: every token sees its cell in every frame"
    told = ", ".join(map(str, sorted(mine)))
    return f"{where} changes token {told}; {right}: a token sees one square cell, in every frame"


def _misshapen(value: Any, case: _Case) -> str | None:
    """Wrong type or shape of an answer, explained, or None."""
    import torch

    wanted = tuple(case.place.shape)
    if not isinstance(value, torch.Tensor):
        return f"return a tensor of shape {wanted}: a vector for every token; yours is a {type(value).__name__}"
    if tuple(value.shape) == wanted:
        return None
    tokens, width = wanted
    shape = f"your tokens have shape {tuple(value.shape)}, not {wanted}"
    if tuple(value.shape) == (len(case.states) * tokens, width):
        return f"{shape}: the frames of a unit share its tokens, so merge over frames too"
    return f"{shape}: {tokens} cells, each with a vector of the decoder's width"


def _as_tensor(value: Any) -> Any:
    """Array, or list of vectors, as a tensor; whatever else it is stays as it is."""
    import numpy as np
    import torch

    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, list | tuple) and value:
        parts = [torch.as_tensor(one) for one in value]
        return torch.stack(parts) if len({part.shape for part in parts}) == 1 else value
    return value


def _copy(value: Any) -> Any:
    return value.clone() if hasattr(value, "clone") else value


def _near(answers: Any, truths: Any) -> bool:
    """Agreement of tensors, or of lists of them."""
    if isinstance(answers, list):
        return all(map(_near, answers, truths))
    return answers.shape == truths.shape and bool(
        answers.allclose(truths, rtol=_MOST, atol=_MOST, equal_nan=True)
    )

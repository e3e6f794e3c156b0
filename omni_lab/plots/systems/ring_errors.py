"""Relative error of every token's output in ring attention, by what was computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from omni_lab.errors import UsageError
from omni_lab.plots.palette import INK
from omni_lab.plots.style import drawable, how_many, new_picture, styled

_LEAST, _MOST = 1e-17, 1.0  # relative errors: what has none is drawn at the bottom
_SEEN = 1e-9  # relative error above which a token is wrong, and not merely rounded
# later ones are hollow and larger, so that equal errors do not hide each other
_LOOKS = (("o", 4, "#117733"), ("s", 7, "#882255"), ("^", 10, "#332288"))


@styled
def draw_token_errors(
    errors: Mapping[str, Float[np.ndarray, " T"]], cu_seqlens: Sequence[int]
) -> Figure:
    """Relative error of every token's output on a logarithmic axis, with the documents' limits.

    Parameters
    ----------
    errors : name → relative error of every token; 0 is drawn at the bottom
    cu_seqlens : token indices at which documents begin, and at which the last one ends

    Raises
    ------
    UsageError
        there is nothing to draw, or too much, or the lengths do not match the documents

    >>> print(draw_token_errors({"exact": np.zeros(4)}, [0, 4]).alt)
    Relative error of the output of 4 tokens. exact: 0 wrong, at most 0%.
    """
    lengths = {len(error) for error in errors.values()}
    if not 1 <= len(errors) <= len(_LOOKS) or lengths != {cu_seqlens[-1]}:
        raise UsageError(
            f"errors of {len(errors)} ways over {sorted(lengths)} tokens: give 1 to {len(_LOOKS)} "
            f"ways, each with one error for each of the {cu_seqlens[-1]} tokens"
        )
    described = "; ".join(
        f"{name}: {int((error > _SEEN).sum())} wrong, at most {error.max():.0%}"
        for name, error in errors.items()
    )
    alt = f"Relative error of the output of {how_many(cu_seqlens[-1], 'token')}. {described}."
    picture = new_picture(9.6, 3.0, alt)
    ax = picture.subplots()
    for (name, error), (marker, size, colour) in zip(errors.items(), _LOOKS, strict=False):
        shown = np.clip(np.asarray(error), _LEAST, None)
        look = {
            "color": colour,
            "markersize": size,
            "markerfacecolor": "none" if size > 4 else colour,
        }
        (line,) = ax.plot(shown, marker, **look, label=drawable(name))
        line.set_gid(f"errors:{name}")

    for number, (start, end) in enumerate(pairwise(cu_seqlens)):
        if start:
            ax.axvline(start - 0.5, color=INK, linewidth=0.8, linestyle=":")
        ax.text((start + end - 1) / 2, 8 * _MOST, f"document {number}", ha="center", va="bottom")
    ax.set(yscale="log", ylim=(_LEAST / 2, 60 * _MOST), xlim=(-1, cu_seqlens[-1]))
    ax.set(xlabel="token", ylabel="relative error of its output")
    picture.legend(loc="outside upper center", ncols=len(errors))
    return picture

"""What each image and audio token sees: patches of a unit's frames, frames of its log-mel spectrogram.

Glossary: F frames per unit · S picture side · mels log-mel bands.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, INK, MODALITY_COLOURS
from omni_lab.plots.style import how_many, new_picture, styled

_BADGE = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


@styled
def draw_patches(
    frames: UInt8[np.ndarray, "F S S 3"], patch: int, cells: int, marked: int | None = None
) -> Figure:
    """Frames of one unit, cut into patches (thin lines), and the cells that tokens see (thick lines).

    Parameters
    ----------
    frames : of one unit
    patch : side of a patch in pixels
    cells : cells a side; each is one image token, numbered from 0 row by row
    marked : token whose cell is outlined in every frame

    Raises
    ------
    UsageError
        the patches of a side do not divide into so many cells
    """
    side = frames.shape[1]
    patches = side // patch
    if patches % cells:
        raise UsageError(f"cells={cells}: {patches} patches a side do not divide into them")
    wide = patch * (patches // cells)
    alt = (
        f"{how_many(len(frames), 'frame')} of {side} × {side} pixels in {patches} × {patches} patches, "
        f"{cells**2} tokens, each of {(patches // cells) ** 2} patches in every frame."
    )
    picture = new_picture(2.9 * len(frames) + 0.2, 3.4, alt)
    axes = np.atleast_1d(picture.subplots(1, len(frames)))
    for number, (ax, frame) in enumerate(zip(axes, frames, strict=True), 1):
        ax.imshow(frame, extent=(0, side, side, 0), interpolation="nearest")
        for at in range(0, patches * patch + 1, patch):
            cell = at % wide == 0
            look = {"color": INK if cell else FAINT, "linewidth": 2.0 if cell else 0.5}
            ax.plot([at, at], [0, patches * patch], **look)
            ax.plot([0, patches * patch], [at, at], **look)
        for token in range(cells**2):
            top, left = (wide * place for place in divmod(token, cells))
            spot = (left + 0.1 * wide, top + 0.12 * wide)
            ax.text(*spot, str(token), size=8, ha="center", va="center", bbox=_BADGE)
            if token == marked:
                look = {"edgecolor": MODALITY_COLOURS["image"], "linewidth": 4, "facecolor": "none"}
                ax.add_patch(Rectangle((left, top), wide, wide, **look, zorder=5))
        ax.set_title(f"frame {number} of {len(frames)}")
        ax.set(xlim=(-1, side + 1), ylim=(side + 1, -1))
        ax.set_axis_off()
    return picture


@styled
def draw_sound(
    wave: Float32[np.ndarray, " samples"], mel: Float[np.ndarray, "mels frames"], tokens: int
) -> Figure:
    """One unit of sound: its samples, its log-mel spectrogram, and which part each token hears.

    Parameters
    ----------
    wave : samples of the unit, 16 kHz mono
    mel : its log-mel spectrogram
    tokens : audio tokens of the unit, numbered from 0
    """
    bands, frames = mel.shape
    length = len(wave) / TICKS_PER_SECOND
    alt = (
        f"{length:g} s of sound: {len(wave):,} samples, {frames} log-mel frames of {bands} bands, "
        f"{tokens} tokens."
    )
    picture = new_picture(7.4, 3.5, alt)
    top, below = picture.subplots(2, 1, sharex=True, height_ratios=(1, 1.6))
    times = (np.arange(len(wave)) + 0.5) / TICKS_PER_SECOND
    top.plot(times, wave, color=MODALITY_COLOURS["audio"], linewidth=0.5)
    top.set(ylabel="amplitude", title=f"{len(wave):,} samples")
    below.imshow(
        mel, origin="lower", aspect="auto", extent=(0, length, 0, bands), cmap="magma",
        interpolation="nearest",
    )  # fmt: skip
    below.set(xlabel="time (s)", ylabel="mel band", title=f"{frames} frames × {bands} bands")
    for token in range(tokens):
        middle = (token + 0.5) * length / tokens
        below.text(middle, 0.9 * bands, str(token), size=8, ha="center", va="center", bbox=_BADGE)
        for ax, colour in ((top, INK), (below, "white")):
            if token:
                ax.axvline(token * length / tokens, color=colour, linewidth=0.8, linestyle="--")
    below.set_xlim(0, length)
    return picture

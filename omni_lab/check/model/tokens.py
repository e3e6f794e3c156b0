"""Tokens of pictures and sound: which token sees a patch, how much one hears (notebook 03)."""

from __future__ import annotations

import random
from types import SimpleNamespace

from omni_lab.check.connectors import merged_states
from omni_lab.check.step import Step

# --- which token sees a patch


def _token_of(patch: int, side: int, cells: int) -> int:
    """Token of a patch, by the package's own merge of patches that know their numbers."""
    import torch

    numbers = torch.arange(side**2, dtype=torch.float64).reshape(1, -1, 1)
    return int((merged_states(numbers, cells) == patch).any(1).nonzero())


def _patches(source: random.Random) -> tuple:
    cells, per_cell = source.randrange(1, 6), source.randrange(1, 5)
    side = cells * per_cell
    return source.randrange(side**2), side, cells


def _by(row, column):
    """Mistake that takes another row or column of the patch."""
    return lambda patch, side, cells: (
        row(patch, side, cells) // (side // cells) * cells
        + column(patch, side, cells) // (side // cells)
    )


token_of = Step(
    right=_token_of,
    cases=[(20, 6, 2), (3, 6, 2), (0, 6, 2), (35, 6, 2), (17, 6, 2), (11, 4, 4), (5, 4, 1),
           (400, 27, 9), (52, 9, 3), (2, 6, 3)],
    rule="find the patch's row and column, then the cell's, and number cells row by row",
    mistakes=[
        (
            lambda patch, side, cells: patch // (side // cells) ** 2,
            "this cuts the list of patches into equal runs: a strip of the picture, not a square; go by row and column",
        ),
        (
            lambda patch, side, cells: patch // 9,
            "this cuts the list of patches into runs of nine: a strip of the picture, not a square",
        ),
        (
            lambda patch, side, cells: patch // side // 3 * 2 + patch % side // 3,
            "cells of 3 × 3 patches in two columns are those of one grid: compute both from `side` and `cells`",
        ),
        (
            lambda patch, side, cells: patch // side / (side // cells) * cells
            + patch % side / (side // cells),
            "row and column of a cell are whole numbers: //, not /",
        ),
        (
            lambda patch, side, cells: patch % side // (side // cells) * cells
            + patch // side // (side // cells),
            "row and column have changed places: `patch // side` is the row, `patch % side` the column",
        ),
        (
            lambda patch, side, cells: patch // side * cells + patch % side,
            "these are row and column of the patch; divide each by the patches of a cell's side first",
        ),
        (
            lambda patch, side, cells: patch // side // cells * cells + patch % side // cells,
            "a cell is side // cells patches wide, not `cells` patches",
        ),
        (
            lambda patch, side, cells: patch // side // (side // cells) * side
            + patch % side // (side // cells),
            "a row of cells has `cells` tokens, not one for each patch of a row",
        ),
        (
            lambda patch, side, cells: patch // side // (side // cells)
            + patch % side // (side // cells),
            "row and column of the cell are added as they are: a cell one row down is `cells` tokens later",
        ),
        (
            lambda patch, side, cells: patch // side // (side // cells) * cells
            - patch % side // (side // cells),
            "add the column of the cell; to the right the numbers grow",
        ),
        (
            lambda patch, side, cells: patch // side // (side // cells) / cells
            + patch % side // (side // cells),
            "every row of cells above it has `cells` tokens: multiply, do not divide",
        ),
        (
            lambda patch, side, cells: patch // side // (side // cells) * patch
            + patch % side // (side // cells),
            "every row of cells above it has `cells` tokens: the row of the cell times `cells`",
        ),
        (
            lambda patch, side, cells: patch // side // (side // cells) * cells,
            "this is the first token of the right row of cells: add the cell's column",
        ),
        (
            lambda patch, side, cells: patch % side // (side // cells),
            "this is the cell's column alone: add `cells` tokens for each row of cells above it",
        ),
        (
            lambda patch, side, cells: patch // side // (side // cells),
            "this is the cell's row alone: every row of cells above it has `cells` tokens",
        ),
        (
            lambda patch, side, cells: patch // side % (side // cells) * cells
            + patch % side % (side // cells),
            "% gives the place inside a cell; which cell it is, // gives",
        ),
        (
            lambda patch, side, cells: patch / side // (side / cells) * cells
            + patch / side % (side / cells),
            "`patch / side` is a fraction: rows and columns are whole numbers, // and %",
        ),
        *(
            (_by(row, column), why)
            for row, column, why in (
                (lambda p, s, c: p % s, lambda p, s, c: p % s,
                 "the row of a patch is `patch // side`; what is left over, `patch % side`, is its column"),
                (lambda p, s, c: p // s, lambda p, s, c: p // s,
                 "the column of a patch is what is left over, `patch % side`; `patch // side` is its row"),
                (lambda p, s, c: p // c, lambda p, s, c: p % s,
                 "a row of the picture has `side` patches: the patch's row is `patch // side`"),
                (lambda p, s, c: p // s, lambda p, s, c: p % c,
                 "a row of the picture has `side` patches: the patch's column is `patch % side`"),
                (lambda p, s, c: p // c, lambda p, s, c: p % c,
                 "a row of the picture has `side` patches, not `cells`"),
                (lambda p, s, c: p // s, lambda p, s, c: p,
                 "the column starts anew in every row of patches: `patch % side`"),
                (lambda p, s, c: p, lambda p, s, c: p % s,
                 "the patch's row is its number divided by the patches of a row: `patch // side`"),
                (lambda p, s, c: 1, lambda p, s, c: p % s,
                 "every patch comes out in the same row: the row is `patch // side`"),
                (lambda p, s, c: 1, lambda p, s, c: 0,
                 "every patch comes out in the same place: its row is `patch // side`, its column `patch % side`"),
            )
        ),
    ],
    inputs=_patches,
    shows="10 patches of 6 grids find the token that sees them",
)  # fmt: skip

# --- numbers behind one audio token


def _sound_width(frames: int, tokens: int, width: int) -> int:
    """Width of what the package's own audio encoder hands to the connector, for a unit of 1 s."""
    from torch import nn

    from omni_lab.config import AudioEncoderConfig, SequenceConfig
    from omni_lab.model.audio import AudioEncoder

    tower = nn.Module()
    tower.config = SimpleNamespace(max_source_positions=frames // 2, d_model=width)
    settings = AudioEncoderConfig(mels=2, frames=frames, width=width)
    return AudioEncoder(settings, SequenceConfig(audio_tokens=tokens), tower).width


def _sounds(source: random.Random) -> tuple:
    frames = source.choice([20, 40, 50, 80, 100, 160, 200])
    most = frames // 2
    tokens = source.choice([n for n in range(1, most + 1) if most % n == 0])
    return frames, tokens, source.randrange(1, 2000)


sound_width = Step(
    right=_sound_width,
    cases=[(100, 5, 64), (100, 10, 384), (100, 25, 1024), (50, 5, 8), (200, 4, 3), (40, 1, 7)],
    rule="half as many positions as frames, shared evenly among the tokens, each position with `width` numbers",
    mistakes=[
        (
            lambda frames, tokens, width: frames // tokens * width,
            "the encoder halves the frames before tokens share them",
        ),
        (
            lambda frames, tokens, width: frames // 2 // tokens,
            "these are the positions of one token: each of them has `width` numbers",
        ),
        (
            lambda frames, tokens, width: frames // 2 * width,
            "these are the numbers of the whole second: the tokens share them",
        ),
        (
            lambda frames, tokens, width: frames * width,
            "these are the numbers of all frames: the encoder halves them, and the tokens share them",
        ),
        (
            lambda frames, tokens, width: 640,
            "640 are the numbers of tiny(): compute them from what is given",
        ),
        (
            lambda frames, tokens, width: 16_000 // tokens,
            "these are the samples of one token; numbers of the encoder's positions are asked for",
        ),
        (
            lambda frames, tokens, width: frames // 2 // width * tokens,
            "`tokens` and `width` have changed places",
        ),
        (lambda frames, tokens, width: width, "this is one position: a token takes several, side by side"),
        (
            lambda frames, tokens, width: frames // 2 * tokens * width,
            "tokens share the positions: divide by their number, do not multiply",
        ),
        (
            lambda frames, tokens, width: frames * 2 // tokens * width,
            "the encoder halves the frames; this doubles them",
        ),
        (
            lambda frames, tokens, width: frames // 3 // tokens * width,
            "the encoder takes every second frame, not every third: half as many positions",
        ),
        (
            lambda frames, tokens, width: frames // 2 // tokens / width,
            "each position has `width` numbers: multiply",
        ),
        (
            lambda frames, tokens, width: frames // 2 // tokens // width,
            "each position has `width` numbers: multiply",
        ),
        (
            lambda frames, tokens, width: frames // 2 // width * width,
            "the positions are shared among the tokens; you divided by the width",
        ),
        (
            lambda frames, tokens, width: frames // 2 // tokens * frames,
            "each position has `width` numbers, not one for each frame",
        ),
        (
            lambda frames, tokens, width: tokens // 2 // tokens * width,
            "start with the frames: half as many are the encoder's positions",
        ),
        (
            lambda frames, tokens, width: frames // 2 // tokens + width,
            "each of the positions has `width` numbers: multiply, do not add",
        ),
    ],
    inputs=_sounds,
    shows="in tiny() 10 positions of 64 numbers, 200 ms of sound, stand behind one audio token",
)  # fmt: skip

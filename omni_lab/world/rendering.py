"""Anti-aliased renderer of scripts, at any size: 48-pixel training pictures and films for people.

A picture of side `size` has 2 × 2 panels of side `size` / 2, in pixels. Lengths below are fractions
of a panel.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import ArrayLike

from omni_lab.errors import UsageError
from omni_lab.world.script import Room, Script, Thing

SIDE = 14 / 24  # a thing's side
HOP = 8 / 24  # length of a hop
HOP_START_S, HOP_END_S = 0.375, 0.625  # when, within each second, things hop
_FINE = 1024  # side of the drawing that masks are scaled down from


def _polygon(shape: str | None) -> list[tuple[float, float]]:
    """Polygon of a shape in the square [-1, 1]²; a blob for None."""
    if shape == "square":
        return [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)]
    if shape == "triangle":
        return [(0, -1), (1, 0.9), (-1, 0.9)]
    if shape == "diamond":
        return [(0, -1), (0.75, 0), (0, 1), (-0.75, 0)]
    if shape == "cross":
        a = 0.33
        arm = [(-a, -1), (a, -1), (a, -a)]  # turned by quarters, it makes the cross
        quarters = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
        return [(p * x + q * y, r * x + s * y) for p, q, r, s in quarters for x, y in arm]
    if shape == "star":
        points = [(math.radians(-90 + 36 * k), 1.05 if k % 2 == 0 else 0.42) for k in range(10)]
        return [(r * math.cos(a), r * math.sin(a) + 0.06) for a, r in points]
    return [_on_curve(shape, 2 * math.pi * k / 80) for k in range(80)]


def _on_curve(shape: str | None, t: float) -> tuple[float, float]:
    """Point of a curved outline at the angle `t`: heart, blob (None), or the circle."""
    if shape == "heart":
        waves = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        return math.sin(t) ** 3, -waves / 16
    if shape is None:
        across, down = 0.72 + 0.2 * math.sin(3 * t + 1), 0.62 + 0.2 * math.cos(2 * t)
        return across * math.cos(t), down * math.sin(t)
    return math.cos(t), math.sin(t)


@functools.lru_cache(maxsize=4096)
def _mask(shape: str | None, panel: int, x: float, y: float) -> Float32[np.ndarray, "panel panel"]:
    """Coverage mask (alpha) of a shape in a panel, centred at (x, y) in fractions of the panel."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (_FINE, _FINE))
    draw = ImageDraw.Draw(image)
    half = SIDE / 2 * _FINE
    corners = [(x * _FINE + half * px, y * _FINE + half * py) for px, py in _polygon(shape)]
    draw.polygon(corners, fill=255)
    if shape == "ring":
        inner = 0.5 * half
        hole = [(x * _FINE + inner * px, y * _FINE + inner * py) for px, py in _polygon(shape)]
        draw.polygon(hole, fill=0)
    return np.asarray(image.resize((panel, panel), Image.Resampling.BOX), np.float32) / 255


@functools.lru_cache(maxsize=256)
def _sign_masks(
    digits: str, panel: int
) -> tuple[Float32[np.ndarray, "panel panel"], Float32[np.ndarray, "panel panel"]]:
    """Coverage masks of a sign: its white board, and the digits on it."""
    from PIL import Image, ImageDraw, ImageFont

    board, ink = Image.new("L", (_FINE, _FINE)), Image.new("L", (_FINE, _FINE))
    ImageDraw.Draw(board).rounded_rectangle(
        [0.06 * _FINE, 0.14 * _FINE, 0.94 * _FINE, 0.86 * _FINE], 40, fill=255
    )
    font = ImageFont.load_default(size=0.66 * _FINE)
    draw = ImageDraw.Draw(ink)
    for digit, x in zip(digits, (0.29, 0.71), strict=True):
        draw.text(
            (x * _FINE, 0.5 * _FINE), digit, fill=255, font=font, anchor="mm", stroke_width=10
        )
    return tuple(
        np.asarray(m.resize((panel, panel), Image.Resampling.BOX), np.float32) / 255
        for m in (board, ink)
    )


def _place(thing: Thing, second: int, within_s: float) -> tuple[float, float]:
    """Centre of a thing, in fractions of its panel, `within_s` into a second of its room."""
    done = min(1.0, max(0.0, (within_s - HOP_START_S) / (HOP_END_S - HOP_START_S)))
    done = done * done * (3 - 2 * done)  # eased, so that films look alive
    before, after = thing.corners[second], thing.corners[second + 1]
    x, y = (((1 - done) * ((before >> k) & 1) + done * ((after >> k) & 1)) for k in (0, 1))
    return round(0.5 + HOP * (x - 0.5), 4), round(0.5 + HOP * (y - 0.5), 4)


def _wall(room: Room, panel: int) -> UInt8[np.ndarray, "2 panel 2 panel 3"]:
    """Background of a room: wall, four panels and sign, without things."""
    edge = max(1, panel // 24)
    canvas = np.empty((2, panel, 2, panel, 3), np.float32)
    canvas[:] = np.asarray(room.wall, np.float32) - 14
    canvas[:, edge : panel - edge, :, edge : panel - edge] = room.wall
    if room.sign:
        row, column = divmod(room.sign.cell, 2)
        board, ink = _sign_masks(room.sign.digits, panel)
        cell = canvas[row, :, column]
        cell += board[..., None] * (252 - cell)
        cell += ink[..., None] * (20 - cell)
    return np.round(canvas).astype(np.uint8)


def render(
    script: Script, times_s: ArrayLike, size: int
) -> UInt8[np.ndarray, "frames size size 3"]:
    """Frames of a script at the given times, without camera noise.

    Parameters
    ----------
    times_s : seconds from the film's start, each inside the film
    size : side of the square picture in pixels, even

    Raises
    ------
    UsageError
        the side is odd or too small, or a time lies outside the film
    """
    times = np.atleast_1d(np.asarray(times_s, np.float64))
    if size < 8 or size % 2:
        raise UsageError(f"size={size}: a picture's side is an even number of pixels, at least 8")
    if len(times) and (times.min() < 0 or times.max() >= script.seconds):
        wrong = f"times {times.min():.2f}–{times.max():.2f} s"
        raise UsageError(f"{wrong}: this film lasts from 0 to {script.seconds} s")
    if "image" in script.muted:
        return np.full((len(times), size, size, 3), 127, np.uint8)

    panel = size // 2
    out = np.empty((len(times), 2, panel, 2, panel, 3), np.uint8)
    walls = {
        index: _wall(script.rooms[index], panel)
        for index in {int(t) // script.room_s for t in times}
    }
    patches: dict[tuple, np.ndarray] = {}  # a thing that rests is drawn once

    for frame, time in zip(out, times, strict=True):
        index, second = divmod(int(time), script.room_s)
        frame[:] = walls[index]
        for thing in script.rooms[index].things:
            place = _place(thing, second, time - int(time))
            row, column = divmod(thing.cell, 2)
            if (patch := patches.get((index, thing.cell, place))) is None:
                ground = walls[index][row, :, column].astype(np.float32)
                mask = _mask(thing.shape, panel, *place)[..., None]
                blended = ground + mask * (np.asarray(thing.rgb, np.float32) - ground)
                patch = np.round(blended).astype(np.uint8)
                patches[index, thing.cell, place] = patch
            frame[row, :, column] = patch
    return out.reshape(len(times), size, size, 3)

"""Architecture of an omni model, drawn from its configuration, with the shape of what passes on.

Glossary: D decoder width.
"""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from omni_lab.config import TICKS_PER_SECOND, Config
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import in_few_letters, new_picture, styled

_WIDE, _HIGH, _GAP = 1.36, 0.98, 0.22  # a box and the gap to the next, inches
_LANES = {"image": 0.45, "audio": 1.87, "text": 3.29}  # tops of the lanes, inches
_MOST = 6  # tokens of one kind that are drawn one by one
_TALL = 4.7


class _Box(NamedTuple):
    """One part: a title, lines about it, and the shape of what leaves it."""

    title: str
    lines: tuple[str, ...]
    shape: str


@styled
def draw_architecture(config: Config, vocabulary: int | None = None) -> Figure:
    """Encoders, connectors and decoder of a configuration, from one unit of film to the next word.

    The line at the bottom of a box is the shape of what leaves it. Colours are modalities.

    Parameters
    ----------
    vocabulary : tokens of the vocabulary, written as V where it is not given
    """
    lanes, words = _lanes(config, vocabulary), f"{vocabulary:,}" if vocabulary else "V"
    decoder, sequence = config.model.decoder, config.sequence
    alt = (
        f"Architecture of {config.name}. "
        + " ".join(f"{name}: {', then '.join(b.shape for b in lane)}." for name, lane in lanes.items())
        + f" Decoder: {decoder.layers} blocks of width {decoder.width}, then {words} probabilities."
    )  # fmt: skip
    columns = max(map(len, lanes.values()))
    width = columns * (_WIDE + _GAP) + 3.35
    picture = new_picture(width, _TALL, alt, layout=None)
    ax = picture.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(_TALL, 0))
    ax.axis("off")
    ax.text(0.1, 0.22, f"{config.name} · one unit of {sequence.unit_s:g} s", size=10, va="center")

    line_x = columns * (_WIDE + _GAP) + 0.1
    for name, lane in lanes.items():
        top, colour = _LANES[name], MODALITY_COLOURS[name]
        for column, box in enumerate(lane):
            x = 0.1 + column * (_WIDE + _GAP)
            _draw_box(ax, box, x, top, _WIDE, _HIGH, colour)
            end = line_x if column == len(lane) - 1 else x + _WIDE + _GAP
            _arrow(ax, (x + _WIDE, top + _HIGH / 2), (end, top + _HIGH / 2), colour)

    right = _draw_tokens(ax, config, line_x)
    left, top, high = right + 0.3, _LANES["audio"], _LANES["text"] + _HIGH - _LANES["audio"]
    _arrow(ax, (right, top + high / 2), (left, top + high / 2), INK)
    _draw_box(ax, _decoder(config), left, top, 1.75, high, INK)
    out = _Box(
        "output", ("the next word:", "a probability", f"for each of {words}"), f"T × {words}"
    )
    _draw_box(ax, out, left, _LANES["image"], 1.75, _HIGH, INK)
    _arrow(ax, (left + 0.875, top), (left + 0.875, _LANES["image"] + _HIGH), INK)
    return picture


def _lanes(config: Config, vocabulary: int | None) -> dict[str, list[_Box]]:
    """Boxes of every lane, from what comes in to vectors of the decoder's width."""
    image, audio, sequence = config.model.image, config.model.audio, config.sequence
    width, frames, unit_s = config.model.decoder.width, sequence.frames_per_unit, sequence.unit_s
    side, cells = image.size // image.patch, round(sequence.image_tokens**0.5)
    per_cell = side // cells
    seen = frames * per_cell**2 * image.width
    mel, tokens = round(audio.frames * unit_s), sequence.audio_tokens
    span = mel // 2 // tokens
    blocks = _Box(
        "Whisper",
        (f"{_many(audio.layers, 'block')} of {_many(audio.heads, 'head')}", "halves the frames",
         *(("padded to 30 s",) if audio.pretrained else ())),
        f"{mel // 2} × {audio.width:,}",
    )  # fmt: skip
    words = f"{vocabulary:,}" if vocabulary else "V"
    return {
        "image": [
            _Box("frames", (_many(frames, "picture"), f"of {image.size} × {image.size} pixels"),
                 f"{frames} × {image.size} × {image.size} × 3"),
            _Box("patches", (f"{side} × {side} squares", f"of {image.patch} × {image.patch} pixels"),
                 f"{frames} × {side**2} × {3 * image.patch**2}"),
            _Box("SigLIP", (f"{_many(image.layers, 'block')} of {_many(image.heads, 'head')}",
                 "patches of a frame", "see each other"), f"{frames} × {side**2} × {image.width:,}"),
            _Box("merge", (f"{per_cell} × {per_cell} patches", f"of {_many(frames, 'frame')}",
                 "side by side"), f"{sequence.image_tokens} × {seen:,}"),
            _connector(seen, width, sequence.image_tokens),
        ],
        "audio": [
            _Box("sound", (f"{unit_s:g} s of sound at", f"{TICKS_PER_SECOND:,} samples/s"),
                 f"{round(TICKS_PER_SECOND * unit_s):,}"),
            _Box("log-mel", (f"every {1000 / audio.frames:g} ms:", f"loudness in {audio.mels} bands"),
                 f"{mel} × {audio.mels}"),
            blocks,
            _Box("merge", (f"{span} positions", "side by side"), f"{tokens} × {span * audio.width:,}"),
            _connector(span * audio.width, width, tokens),
        ],
        "text": [
            _Box("words", ("text and control", "tokens, such as", "<unit> <listen>"), "words"),
            _Box("numbers", ("each token's place", "in the vocabulary"), "T"),
            _Box("embedding", (f"a table of {words}", "vectors, one a token"), f"T × {width:,}"),
        ],
    }  # fmt: skip


def _connector(merged: int, width: int, tokens: int) -> _Box:
    """Connector of one sense."""
    lines = ("norm, linear,", "GELU, linear,", "+ place in the unit")
    return _Box("connector", lines, f"{tokens} × {width:,}")


def _decoder(config: Config) -> _Box:
    """The decoder, with all its sizes."""
    own = config.model.decoder
    lines = (
        _many(own.layers, "block"),
        "each token sees itself",
        "and all before it",
        "",
        f"{_many(own.heads, 'query head')},",
        f"{_many(own.kv_heads, 'key/value head')}",
        f"of width {own.head_dim}",
        f"gated MLP, {own.mlp:,} wide",
        f"RoPE, base {in_few_letters(own.rope_theta)}",
    )
    return _Box("Qwen decoder", lines, f"T × {own.width:,}")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _draw_box(
    ax: Axes, box: _Box, x: float, y: float, wide: float, high: float, colour: str
) -> None:
    """One part; its shape stands in a band at its bottom."""
    frame = FancyBboxPatch(
        (x, y), wide, high, boxstyle="round,pad=0,rounding_size=0.06", facecolor="white",
        edgecolor=colour, linewidth=1.2,
    )  # fmt: skip
    ax.add_patch(frame)
    middle = x + wide / 2
    look = {"ha": "center", "va": "center"}
    ax.text(middle, y + 0.14, box.title, size=9, weight="bold", color=INK, **look)
    for number, line in enumerate(box.lines):
        ax.text(middle, y + 0.31 + 0.15 * number, line, size=7.2, color=FAINT, **look)
    ax.plot([x + 0.1, x + wide - 0.1], [y + high - 0.21] * 2, color=LINE, linewidth=0.8)
    ax.text(middle, y + high - 0.1, box.shape, size=8, color=INK, **look)


def _draw_tokens(ax: Axes, config: Config, x: float) -> float:
    """The unit's row of tokens from top to bottom; its right edge."""
    top, wide = _LANES["image"], 0.78
    run = [("<unit>", "control", 1), ("image", "image", config.sequence.image_tokens),
           ("audio", "audio", config.sequence.audio_tokens), ("<listen>", "control", 1),
           ("words", "text", 5)]  # fmt: skip
    cells = sum(min(count, _MOST) for *_, count in run)
    high = (_LANES["text"] + _HIGH - top - 0.08 * (len(run) - 1)) / cells
    y = top
    for label, kind, count in run:
        shown = min(count, _MOST)
        for _ in range(shown):
            cell = Rectangle(
                (x, y), wide, high * 0.86, facecolor=MODALITY_COLOURS[kind], alpha=0.35
            )
            ax.add_patch(cell)
            y += high
        text = f"{label} × {count}" if kind in ("image", "audio") else label
        middle = y - (shown // 2 + 1) * high + 0.43 * high  # of a cell
        look = {"size": 7.2, "color": INK, "ha": "center", "va": "center"}
        ax.text(x + wide / 2, middle, text, **look)
        y += 0.08
    width = f"T × {config.model.decoder.width:,}"
    ax.text(x + wide / 2, _LANES["text"] + _HIGH + 0.14, width, size=8, ha="center", va="center")
    ax.text(x + wide / 2, top - 0.12, "one line of T tokens", size=7.2, color=FAINT, ha="center")
    return x + wide


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 8, "color": colour, "linewidth": 1}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **look))

"""Modality heat maps: attention mass by layer, cross-modal retrieval."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, MODALITY_COLOURS, MODALITY_ORDER
from omni_lab.plots.style import new_picture, notice, styled

_SENSES = ("image", "audio", "text")


@styled
def draw_attention(attention: dict[str, Any]) -> Figure:
    """Attention mass from each modality to each, one matrix per layer; a row sums to 1.

    Parameters
    ----------
    attention : `queries` and `keys` (names of modalities), `layers` [L][query][key]: mass as a
        fraction of the query's attention
    """
    queries, keys, layers = attention.get("queries"), attention.get("keys"), attention.get("layers")
    if not queries or not keys or not layers:
        return notice("Attention mass was not measured in this run.")
    masses = np.array(layers, dtype=np.float64)  # L query key

    mean = masses.mean(0)
    described = "; ".join(
        f"{q}: most to {keys[int(mean[i].argmax())]} {mean[i].max():.2f}"
        for i, q in enumerate(queries)
    )

    across = min(len(masses), 4)
    down = -(-len(masses) // across)
    size = (0.62 * len(keys) * across + 1.6, (0.48 * len(queries) + 0.85) * down + 0.35)
    picture = new_picture(
        *size, f"Attention mass in {len(masses)} layers, mean over layers: {described}."
    )
    axes = picture.subplots(down, across, squeeze=False)

    for layer, ax in enumerate(axes.flat):
        if layer >= len(masses):
            ax.set_visible(False)
            continue
        labels = [
            [f"{value:.2f}".lstrip("0") if value < 0.995 else "1" for value in line]
            for line in masses[layer]
        ]
        heat(ax, masses[layer], labels, size=8)

        first = layer % across == 0
        modality_names(ax, keys, queries if first else [""] * len(queries), queries)
        ax.set_title(f"layer {layer + 1}")
        if first:
            ax.set_ylabel("query")
    picture.supxlabel("key", fontsize=9)
    return picture


@styled
def draw_retrieval(retrieval: dict[str, Any]) -> Figure:
    """Cross-modal retrieval, recall@1: how often one modality of a clip ranks another first.

    Parameters
    ----------
    retrieval : `<from>_to_<to>` → `r1` (recall@1); optional: `r5`, `chance`, `n` (candidates)
    """
    found = {
        tuple(name.split("_to_")): score
        for name, score in retrieval.items()
        if "_to_" in name and score
    }
    if not found:
        return notice("Cross-modal retrieval was not measured in this run.")

    names = [m for m in MODALITY_ORDER if any(m in pair for pair in found)] or list(_SENSES)
    values = np.full((len(names), len(names)), np.nan)
    labels = [["" for _ in names] for _ in names]
    for (source, target), score in found.items():
        if source in names and target in names:
            r, c = names.index(source), names.index(target)
            values[r, c] = score["r1"]
            more = f"\nR@5 {score['r5']:.2f}" if score.get("r5") is not None else ""
            labels[r][c] = f"{score['r1']:.2f}{more}"

    described = ", ".join(f"{a} to {b} {s['r1']:.2f}" for (a, b), s in found.items())
    picture = new_picture(
        1.25 * len(names) + 1.9, 0.85 * len(names) + 1.35, f"Retrieval, recall@1: {described}."
    )
    ax = picture.subplots()
    heat(ax, values, labels)
    modality_names(ax, names, names, names)
    ax.set(xlabel="target", ylabel="query")

    chances = sorted({f"{s['chance']:.3f}" for s in found.values() if s.get("chance") is not None})
    counts = sorted({s["n"] for s in found.values() if s.get("n") is not None})
    among = f" among {' or '.join(map(str, counts))}" if counts else ""
    ax.set_title(
        f"recall@1{among}" + (f", chance {' or '.join(chances)}" if chances else ""),
        fontsize=9,
    )
    return picture


def heat(ax: Axes, values: np.ndarray, labels: list[list[str]], size: float = 9) -> None:
    """Heat map of fractions in [0, 1] with a label in every cell; NaN cells stay pale."""
    import seaborn

    ax.set_facecolor("#f3f4f6")
    seaborn.heatmap(
        values, mask=np.isnan(values), ax=ax, vmin=0, vmax=1, cmap="Blues", cbar=False,
        annot=np.array(labels), fmt="", annot_kws={"fontsize": size}, linewidths=1.5,
        linecolor="white",
    )  # fmt: skip
    ax.tick_params(length=0)


def modality_names(
    ax: Axes, columns: list[str], rows: list[str], row_modalities: list[str]
) -> None:
    """Tick labels of rows and columns, each with a bar in its modality's colour."""
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=0)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, rotation=0)
    bar = {"linewidth": 4, "clip_on": False, "solid_capstyle": "butt"}
    for c, name in enumerate(columns):
        ax.plot(
            (c + 0.03, c + 0.97),
            (len(rows), len(rows)),
            color=MODALITY_COLOURS.get(name, FAINT),
            **bar,
        )
    for r, name in enumerate(row_modalities):
        ax.plot((0, 0), (r + 0.04, r + 0.96), color=MODALITY_COLOURS.get(name, FAINT), **bar)

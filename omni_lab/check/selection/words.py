"""Types of a caption's words, and the loss of those that are kept (notebook 06)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.stopping import Stopping

_COLOURS = ("red", "green", "blue", "black")


def _types(words, shown) -> list:
    """Types by the world's own numbers: a word that only follows shows nothing."""
    from omni_lab.world.captions.pictures import FOLLOWS, SHOWN, WRONG

    pairs = zip(words, shown, strict=True)
    return [FOLLOWS if true is None else SHOWN if true == word else WRONG for word, true in pairs]


def _typed(of: Callable) -> Callable:
    """Mistake in the type of a word, given what the picture shows."""
    return lambda words, shown: [of(w, s) for w, s in zip(words, shown, strict=True)]


def _caption(source: random.Random) -> tuple:
    shown = [source.choice([None, *_COLOURS]) for _ in range(source.randrange(3, 9))]
    said = [source.choice(_COLOURS) if s is None or source.random() < 0.5 else s for s in shown]
    return said, shown


_TYPE = "2 where `shown` is None; else 1 where word and picture agree, and 3 where they do not"
word_types = Stopping(
    right=_types,
    cases=[
        (["top-left", "red", "star"], [None, "red", "ring"]),
        (["top-left", "nothing", "top-right", "blue", "cross"], [None, "nothing", None, "red", "cross"]),
        (["red"], ["green"]),
        (["red", "red"], ["red", None]),
    ],
    rule=_TYPE,
    mistakes=[
        (_typed(lambda w, s: 2 if s is None else 3 if w == s else 1), "1 and 3 are swapped: 1 is shown"),
        (_typed(lambda w, s: 1 if s is None else 2 if w == s else 3), "1 and 2 are swapped: 2 shows nothing"),
        (_typed(lambda w, s: 3 if s is None else 1 if w == s else 2), "2 and 3 are swapped: 3 contradicts"),
        (_typed(lambda w, s: 1 if w == s else 3), f"a word that follows contradicts nothing: {_TYPE}"),
        (_typed(lambda w, s: 2 if s is None else 1), f"nothing is compared: {_TYPE}"),
        (_typed(lambda w, s: 2 if s is None else 3), f"nothing is compared: {_TYPE}"),
        (_typed(lambda w, s: 2 if s is not None else 1 if w == s else 3), f"turned round: {_TYPE}"),
        (_typed(lambda w, s: w == s), f"a type is 1, 2 or 3, not True or False: {_TYPE}"),
        (_typed(lambda w, s: 1), f"every word gets a 1: {_TYPE}"),
        (_typed(lambda w, s: 2), f"every word gets a 2: {_TYPE}"),
        (_typed(lambda w, s: 3), f"every word gets a 3: {_TYPE}"),
        *(
            (_typed(lambda w, s, a=a, b=b, c=c: a if s is None else b if w == s else c), f"no such type: {_TYPE}")
            for a, b, c in (
                (1, 1, 3), (-2, 1, 3), (2, 0, 3), (2, 2, 3), (2, -1, 3), (2, 1, 4), (2, 1, 2), (2, 1, -3),
            )
        ),
    ],
    inputs=_caption,
    stops={"object is not callable": "walk with zip(words, shown)"},
    shows="only a word that says something can be wrong",
)  # fmt: skip


def _mean(processes) -> float:
    """Mean over the kept words of all processes, in torch."""
    import torch

    kept = [torch.tensor(marks, dtype=torch.bool) for _, marks in processes]
    losses = [torch.tensor(own, dtype=torch.float64) for own, _ in processes]
    total = sum(float(own[mark].sum()) for own, mark in zip(losses, kept, strict=True))
    return total / sum(int(mark.sum()) for mark in kept)


def _summed(
    counts: Callable = lambda losses, kept: sum(kept),
    adds: Callable = lambda losses, kept: sum(x for x, k in zip(losses, kept, strict=True) if k),
    over: Callable = lambda total, count: total / count,
) -> Callable:
    """Mistake in what is added up, or divided by."""

    def kept_loss(processes):
        total = sum(adds(*own) for own in processes)
        return over(total, sum(counts(*own) for own in processes))

    return kept_loss


def _drawn(source: random.Random) -> tuple:
    processes = []
    for _ in range(source.randrange(1, 4)):
        kept = [source.random() < 0.6 for _ in range(source.randrange(1, 6))]
        processes.append(([source.uniform(0.1, 4) for _ in kept], kept))
    processes[0][1][0] = True
    return (processes,)


_KEPT = (
    "the sum of the kept losses of all processes, over the number of kept words of all processes"
)
kept_loss = Stopping(
    right=_mean,
    cases=[
        ([([1.0, 4.0], [True, False])],),
        ([([1.0, 2.0, 3.0], [True, True, False]), ([5.0], [True])],),
        ([([1.0, 2.0], [False, False]), ([3.0, 4.0, 0.5], [True, True, True])],),
        ([([0.5, 0.25, 2.0, 1.0], [True, False, True, True]), ([3.0, 1.5], [False, True])],),
    ],
    rule=_KEPT,
    mistakes=[
        (_summed(counts=lambda losses, kept: len(kept)), f"divided by *all* words, so steps are smaller: {_KEPT}"),
        (_summed(adds=lambda losses, kept: sum(losses)), f"dropped words are added up, too: {_KEPT}"),
        (
            _summed(adds=lambda losses, kept: sum(losses), counts=lambda losses, kept: len(kept)),
            f"this is the standard loss, of all words: {_KEPT}",
        ),
        (
            _summed(
                adds=lambda losses, kept: sum(x for x, k in zip(losses, kept, strict=True) if not k),
                counts=lambda losses, kept: sum(kept) or 1,
            ),
            f"these are the words that were dropped: {_KEPT}",
        ),
        (
            lambda processes: (
                lambda means: sum(means) / len(means)
            )([
                sum(x for x, k in zip(losses, kept, strict=True) if k) / max(1, sum(kept))
                for losses, kept in processes
            ]),
            f"a mean of means: a process with few kept words counts as much as one with many. {_KEPT}",
        ),
        (
            lambda processes: (
                lambda means: sum(means) / len(means)
            )([
                sum(x for x, k in zip(losses, kept, strict=True) if k) / sum(kept)
                for losses, kept in processes if any(kept)
            ]),
            f"a mean of means: a process with few kept words counts as much as one with many. {_KEPT}",
        ),
        (
            lambda processes: sum(
                sum(x for x, k in zip(losses, kept, strict=True) if k) / max(1, sum(kept)) for losses, kept in processes
            ),
            f"a sum of means: {_KEPT}",
        ),
        (_summed(over=lambda total, count: total), f"nothing is divided: {_KEPT}"),
        (_summed(over=lambda total, count: total * count), f"multiplied by the number: {_KEPT}"),
        (_summed(over=lambda total, count: total // count), "// drops what is left over: divide with /"),
        (_summed(over=lambda total, count: count), f"this is how many are kept: {_KEPT}"),
        (_summed(over=lambda total, count: count / total), f"upside down: {_KEPT}"),
        (_summed(counts=lambda losses, kept: 1), f"divided by the number of processes: {_KEPT}"),
        (
            lambda processes: (1 + sum(x for ls, ks in processes for x, k in zip(ls, ks, strict=True) if k))
            / (1 + sum(sum(ks) for _, ks in processes)),
            "sum and count begin at 0",
        ),
        (
            lambda processes: sum(k for ls, ks in processes for x, k in zip(ls, ks, strict=True) if x)
            / sum(1 for ls, _ in processes for x in ls if x),
            f"losses and marks have changed places: {_KEPT}",
        ),
        *(
            (
                lambda processes, off=off: (
                    off + sum(x for ls, ks in processes for x, k in zip(ls, ks, strict=True) if k)
                ) / sum(sum(ks) for _, ks in processes),
                "the sum begins at 0",
            )
            for off in (1, -1)
        ),
        *(
            (
                lambda processes, off=off: sum(x for ls, ks in processes for x, k in zip(ls, ks, strict=True) if k)
                / (off + sum(sum(ks) for _, ks in processes)),
                "the count begins at 0",
            )
            for off in (1,)
        ),
    ],
    inputs=_drawn,
    stops={"division by zero": f"a process may keep nothing: divide once, at the end. {_KEPT}"},
    shows="one mean for all, wherever the kept words are",
)  # fmt: skip

"""Selection: the top fraction of a batch's words by excess loss (notebook 06)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.stopping import Stopping


def _kept(train, reference, keep, weight) -> list:
    """The package's own selection."""
    import torch

    from omni_lab.parallel.collectives import Collectives
    from omni_lab.training.selection import score, top_fraction

    losses = {"train": torch.tensor(train), "reference": torch.tensor(reference)}
    scores = score("excess", losses, weight)
    return top_fraction(scores, keep, Collectives(alone=True)).tolist()


def _choosing(
    scored: Callable = lambda train, reference, weight: train - weight * reference,
    number: Callable = lambda keep, count: int(keep * count + 0.5),
    ordered: Callable = lambda scores: sorted(range(len(scores)), key=lambda i: (-scores[i], i)),
    answer: Callable = lambda chosen, count: [i in chosen for i in range(count)],
) -> Callable:
    """Mistake in one line of the selection."""

    def kept(train, reference, keep, weight):
        scores = [scored(t, r, weight) for t, r in zip(train, reference, strict=True)]
        order = ordered(scores)
        return answer(order[: number(keep, len(scores))], len(scores))

    return kept


def _drawn(source: random.Random) -> tuple:
    count = source.randrange(3, 10)
    losses = [0.1, 0.4, 0.9, 1.5, 2.2, 3.1]
    train, reference = ([source.choice(losses) for _ in range(count)] for _ in range(2))
    return (
        train,
        reference,
        source.choice([0.2, 0.34, 0.5, 0.6, 0.8]),
        source.choice([0.5, 1.0, 2.0]),
    )


kept = Stopping(
    right=_kept,
    cases=[
        ([2.0, 1.0, 3.0, 0.5], [0.1, 0.2, 2.9, 0.3], 0.5, 1.0),
        ([2.0, 1.0, 3.0, 0.5], [0.1, 0.2, 2.9, 0.3], 0.25, 1.0),
        ([1.0, 2.5, 2.0, 0.3, 0.2], [0.1, 2.0, 0.2, 0.2, 0.1], 0.6, 1.0),
        ([1.0, 2.5, 2.0, 0.3, 0.2], [0.1, 1.2, 0.2, 0.2, 0.1], 0.4, 2.0),
        ([1.0, 2.5, 2.0, 0.3, 0.2], [0.1, 1.2, 0.2, 0.2, 0.1], 0.4, 0.5),
        ([1.0, 1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5, 0.5], 0.5, 1.0),
        ([0.5, 1.0, 3.0, 3.0], [0.0, 0.5, 2.5, 2.0], 0.5, 1.0),
        ([2.0, 4.0, 1.0], [1.0, 1.0, 3.0], 0.34, 1.0),
        ([2.2, 2.2, 0.1, 0.1, 3.1, 0.4], [0.9, 0.1, 0.1, 3.1, 0.1, 0.9], 0.6, 0.5),
    ],
    rule="score = train − weight · reference; the keep · N highest (halves up), of equal ones the first; "
    "True or False for each word, in the words' order",
    mistakes=[
        (
            _choosing(ordered=lambda s: sorted(range(len(s)), key=lambda i: (s[i], i))),
            "these are the *lowest* scores: keep the highest",
        ),
        (_choosing(scored=lambda t, r, w: t + w * r), "the two losses are added: subtract the reference's"),
        (_choosing(scored=lambda t, r, w: t - r), "the weight is missing: train − weight · reference"),
        (
            _choosing(scored=lambda t, r, w: t - r / w),
            "divided by the weight: multiply the reference's loss by it",
        ),
        (_choosing(scored=lambda t, r, w: t), "this is the trainee's loss alone: subtract the reference's"),
        (_choosing(scored=lambda t, r, w: -w * r), "this is the reference's loss alone: train − weight · reference"),
        (_choosing(scored=lambda t, r, w: w * r), "this is the reference's loss alone: train − weight · reference"),
        (_choosing(scored=lambda t, r, w: t * w * r), "multiplied: the reference's loss is subtracted"),
        (_choosing(scored=lambda t, r, w: t / (w * r or 1e-9)), "divided: the reference's loss is subtracted"),
        (
            _choosing(number=lambda keep, n: int(keep * n)),
            "the number kept is rounded to the nearest, halves up: int(keep * N + 0.5)",
        ),
        (
            _choosing(number=lambda keep, n: -int(-keep * n // 1)),
            "the number kept is rounded to the nearest, not always up",
        ),
        (
            _choosing(number=lambda keep, n: int(keep * n + 1)),
            "one word too many: int(keep * N + 0.5)",
        ),
        (
            _choosing(number=lambda keep, n: int(keep * n - 0.5) if keep * n > 0.5 else 0),
            "too few words: halves go *up*, so add 0.5 before you cut",
        ),
        (
            _choosing(number=lambda keep, n: int((1 - keep) * n + 0.5)),
            "`keep` is the fraction that stays, not the one that goes",
        ),
        (
            lambda train, reference, keep, weight: _choosing(
                number=lambda keep, n: int(weight * n + 0.5)
            )(train, reference, keep, weight),
            "weight is λ, of the reference's loss; how many are kept is `keep` times N",
        ),
        (_choosing(number=lambda keep, n: n), "every word is kept: take the first keep · N of the order"),
        (_choosing(number=lambda keep, n: 0), "no word is kept: take the first keep · N of the order"),
        (
            _choosing(ordered=lambda s: sorted(range(len(s)), key=lambda i: (s[i], i), reverse=True)),
            "of equal scores the first word is kept, and you keep the last",
        ),
        (
            _choosing(ordered=lambda s: list(range(len(s)))),
            "these are the first words, whatever their score: order by score before you cut",
        ),
        (
            _choosing(answer=lambda chosen, n: list(chosen)),
            "you return places, best first: return True or False for every word",
        ),
        (
            _choosing(answer=lambda chosen, n: sorted(chosen)),
            "you return places: return True or False for every word",
        ),
        (
            _choosing(answer=lambda chosen, n: [i not in chosen for i in range(n)]),
            "you return what is dropped: True is for the words that are kept",
        ),
    ],
    inputs=_drawn,
    stops={
        "can't multiply sequence": "lists do not multiply: go over pairs with zip(train, reference)",
        "unsupported operand type(s) for -: 'list'": "lists do not subtract: go over pairs with "
        "zip(train, reference)",
        "list index out of range": "more words are taken than there are: keep · N of them",
    },
    shows="which words are kept, by how much more the trainee is surprised than the reference",
)  # fmt: skip

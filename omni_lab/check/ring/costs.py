"""Small exercises of notebook 08 on cost: bytes that a rank sends backward, and the time of a pass."""

from __future__ import annotations

import numpy as np

from omni_lab.check.step import Step


def _sent(numbers: int, ranks: int) -> int:
    """Bytes that a rank sends in backward, by the package."""
    from omni_lab.parallel import ring_traffic

    return ring_traffic(numbers, ranks, kv_heads=1, head_dim=1).backward // 2


def _hops(of_keys, of_gradients, keys=2, gradients=4):
    """Bytes sent backward with other hops, or other bytes of a number; nothing on one rank."""

    def mistaken(numbers, ranks):
        return (ranks > 1) * numbers * (of_keys(ranks) * keys + of_gradients(ranks) * gradients)

    return mistaken


def _less(ranks):
    return ranks - 1


def _all(ranks):
    return ranks


_HOME = "the gradients make W hops, not W − 1: the last one brings them home to their own rank"
_AGAIN = "K and V make W − 1 hops, as in forward: nobody needs them after the last step"
_TWICE = "two kinds travel: K and V with 2 bytes a number, and their gradients, with 4, behind them"
_BLOCK = "every hop carries a whole block: multiply by its `numbers`"
_RANKS = "hops are counted in ranks: `numbers` is how many numbers a block has"
_ALONE = "a rank alone sends nothing, not even gradients: they are at home already"
backward_bytes = Step(
    right=_sent,
    cases=[(1000, 4), (8, 3), (100, 2), (7, 5), (1, 2), (16, 1)],
    rule="K and V make W − 1 hops with 2 bytes a number, their gradients W hops with 4; a rank "
    "alone sends nothing",
    mistakes=[
        (_hops(_less, _less), _HOME),
        (lambda n, w: n * ((w - 1) * 2 + (w - 1) * 4) if w > 1 else 4 * n, _HOME),
        (_hops(_all, _all), _AGAIN),
        (lambda n, w: 6 * n * w, f"{_AGAIN}; and a rank alone sends nothing at all"),
        (
            _hops(_all, _less),
            "yours is 2 bytes a number too few: K and V make W − 1 hops with 2 bytes, and their "
            "gradients W hops with 4, to come home",
        ),
        (lambda n, w: n * (2 * (w - 1) + 4 * w), _ALONE),
        (
            _hops(_less, _all, gradients=2),
            "the gradients are added up on the way in float32: 4 bytes a number, not 2",
        ),
        (_hops(_less, _all, keys=4), "K and V are bfloat16: 2 bytes a number, not 4"),
        (
            _hops(_less, _all, keys=4, gradients=8),
            "`numbers` counts K and V together already: twice is too often",
        ),
        (
            _hops(_less, _all, keys=1, gradients=1),
            "these are numbers, not bytes: 2 bytes for one of K and V, 4 for one of a gradient",
        ),
        (
            _hops(_less, lambda w: 0),
            "this is what forward sends; the gradients of K and V go round as well",
        ),
        (
            _hops(lambda w: 0, _all),
            "in backward K and V go round once more: the weights are computed again from them",
        ),
        (
            _hops(lambda w: 0, _less),
            "in backward K and V go round once more; and the gradients make W hops, to come home",
        ),
        (lambda n, w: 4 * n * w, "K and V go round once more; and a rank alone sends nothing"),
        (
            _hops(lambda w: 1, lambda w: 1),
            "these are the bytes of one step: K and V make W − 1 hops, their gradients W",
        ),
        (
            lambda n, w: w * _sent(n, w),
            "these are the bytes of all ranks together: count what *one* of them sends",
        ),
        (_hops(lambda w: w + 1, _all), _AGAIN),
        (_hops(_less, lambda w: -w), "the gradients are subtracted: their bytes are sent as well"),
        (_hops(_less, lambda w: w / 16), "bytes of a number are multiplied, not divided"),
        (_hops(lambda w: (w - 1) / 4, _all), "bytes of a number are multiplied, not divided"),
        (lambda n, w: 2 * (w - 1) + 4 * w if w > 1 else 0, _BLOCK),
        (lambda n, w: w * (2 * (w - 1) + 4 * w) if w > 1 else 0, _BLOCK),
        (lambda n, w: (2 * (w - 1) + 4 * w) / n if w > 1 else 0, _BLOCK),
        (lambda n, w: n / (2 * (w - 1) + 4 * w) if w > 1 else 0, _BLOCK),
        (
            lambda n, w: n * (2 * (w - 1) + 4 / w) if w > 1 else 0,
            "hops are multiplied, not divided",
        ),
        (lambda n, w: n * (2 * (n - 1) + 4 * w) if w > 1 else 0, _RANKS),
        (lambda n, w: n * (2 * (w - 1) + 4 * n) if w > 1 else 0, _RANKS),
        (lambda n, w: n * (2 * (w - 1) + 4 * w) if n > 1 else 0, _RANKS),
        (
            lambda n, w: 0 if w > 1 else 4 * n,
            "this is 0: on more than one rank, K, V and their gradients travel",
        ),
        (
            lambda n, w: n * (6 * w - 2) if w != 2 else 0,
            "two ranks are a ring already: only one rank alone sends nothing",
        ),
        (lambda n, w: _sent(n, w) if w > 1 else 1, _ALONE),
        (lambda n, w: _sent(n, w) if w > 1 else -1, _ALONE),
        (_hops(lambda w: 1 / (w - 1) if w > 1 else 0, _all), "hops are multiplied, not divided"),
        *((_hops(_less, _all, keys, 4), _TWICE) for keys in (1, 3)),
        *((_hops(_less, _all, 2, gradients), _TWICE) for gradients in (1, 3, 5)),
    ],
    inputs=lambda source: (source.randrange(1, 5000), source.randrange(1, 9)),
    shows="backward sends 5 times what forward does on two ranks, and tends to 3 times on many",
)


def _pass(work_s: float, travel_s: float, ranks: int) -> float:
    """Duration of an even ring's forward pass, by the package's simulation."""
    from omni_lab.planner import simulate_ring

    work, sent = np.full((ranks, ranks), float(work_s)), np.array([1] * (ranks - 1) + [0])
    return simulate_ring(work, sent, np.full(ranks, 1 / travel_s), latency_s=0.0).total_s


_TOGETHER = "work and travel are added: they go on at the same time, so a step takes the longer one"
_MIXED = "two of the arguments are mixed up: seconds of work, seconds of travel, number of ranks"
pass_seconds = Step(
    right=_pass,
    cases=[(2.0, 3.5, 4), (5.0, 3.5, 4), (3.25, 3.0, 3), (1.0, 9.0, 8), (2.0, 3.5, 1), (1.5, 6.0, 2)],
    rule="W − 1 steps of max(work, travel), and a last step of work alone",
    mistakes=[
        (
            lambda work, travel, w: w * max(work, travel),
            "in the last step nothing travels: W − 1 steps wait for their message, the last one is "
            "work alone",
        ),
        (lambda work, travel, w: (w - 1) * (work + travel) + work, _TOGETHER),
        (
            lambda work, travel, w: w * (work + travel),
            f"{_TOGETHER} (and in the last step nothing travels)",
        ),
        (
            lambda work, travel, w: w * work,
            "this is the work alone: a step does not end before its message has arrived",
        ),
        (
            lambda work, travel, w: (w - 1) * travel + work,
            "this counts travel alone: where the work takes longer, the work decides",
        ),
        (
            lambda work, travel, w: (w - 1) * min(work, travel) + work,
            "this takes the shorter of work and travel: a rank goes on when *both* are done",
        ),
        (
            lambda work, travel, w: (w - 1) * max(work, travel),
            "the last step is missing: W blocks take W steps, and the last one is work alone",
        ),
        (
            lambda work, travel, w: (w - 1) * max(work, travel) + travel,
            "the last step is work, not travel: nobody is left to pass a block to",
        ),
        (
            lambda work, travel, w: w * max(work, travel) + work,
            "one step too many: W − 1 steps with a message, then one without",
        ),
        (
            lambda work, travel, w: (w + 1) * max(work, travel) + work,
            "two steps too many: W − 1 steps with a message, then one without",
        ),
        (
            lambda work, travel, w: (w - 2) * max(work, travel) + work,
            "one step is missing: W − 1 steps with a message, then one without",
        ),
        (
            lambda work, travel, w: (w - 1) * max(work, travel) - work,
            "the last step is subtracted: its work comes on top",
        ),
        (
            lambda work, travel, w: max(work, travel),
            "this is one step with a message: a pass has W − 1 of them, and a last one without",
        ),
        (
            lambda work, travel, w: max(work, travel) + work,
            "this is one step with a message and one without: a pass has W − 1 with one",
        ),
        (
            lambda work, travel, w: (w - 1) / max(work, travel) + work,
            "the steps are divided by their time: W − 1 steps take W − 1 *times* as long as one",
        ),
        (
            lambda work, travel, w: max(w * work, (w - 1) * travel),
            "work and travel may overlap only within a step: a rank cannot begin a step before its "
            "block is there",
        ),
        (
            lambda work, travel, w: w * work + max(0, travel - work),
            "the wait comes once here: it comes in each of the W − 1 steps that have a message",
        ),
        (
            lambda work, travel, w: (w - 1) * max(0, travel - work),
            "this is the time that a rank waits: its work in every step comes on top",
        ),
        *(
            (mixed, _MIXED)
            for mixed in (
                lambda work, travel, w: (travel - 1) * max(work, w) + work,
                lambda work, travel, w: (work - 1) * max(work, travel) + work,
                lambda work, travel, w: (travel - 1) * max(work, travel) + work,
                lambda work, travel, w: (w - 1) * max(travel, w) + work,
                lambda work, travel, w: (w - 1) * max(work, w) + work,
                lambda work, travel, w: (w - 1) * max(work, travel) + w,
            )
        ),
    ],
    inputs=lambda source: (
        source.choice([0.5, 3.0, 9.0]), source.choice([0.25, 2.5, 7.0]), source.randrange(1, 9)
    ),
    shows="a long step hides its message, a short one waits for it",
)  # fmt: skip

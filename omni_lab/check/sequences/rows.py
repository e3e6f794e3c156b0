"""Small exercises of notebook 02 about rows: packing, what keeps documents apart."""

from __future__ import annotations

import math
import random
from functools import partial
from itertools import groupby

import numpy as np
import torch

from omni_lab.check.step import Step
from omni_lab.config import tiny
from omni_lab.sequences.batch import Batch, collate
from omni_lab.sequences.masking import attention_bias
from omni_lab.sequences.packing import best_fit as packed
from omni_lab.sequences.packing import concatenated
from omni_lab.sequences.tokens import NO_ROLE, TEXT_KIND, Tokens


def _placed(
    lengths, capacity, prefer=min, room=lambda free, length: free >= length, only_last=False, opens=None
):  # fmt: skip
    """Rows of document numbers, by a rule of which row a document goes to; the defaults are best fit."""
    rows: list[list[int]] = []
    free: list[int] = []
    for number, length in enumerate(lengths):
        fitting = [row for row in range(len(rows)) if room(free[row], length)]
        fitting = [row for row in fitting if row == len(rows) - 1] if only_last else fitting
        if fitting:
            row = prefer(fitting, key=lambda row: free[row])
        else:
            rows.append([])
            free.append(capacity)
            row = len(rows) - 1 if opens is None else opens(len(rows))
        rows[row].append(number)
        free[row] -= length
    return rows


def _largest_first(lengths, capacity):
    """Best fit of the documents in order of length, the longest first."""
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    return [
        [order[at] for at in row] for row in _placed([lengths[number] for number in order], capacity)
    ]  # fmt: skip


def _in_lengths(lengths, capacity):
    return [[lengths[number] for number in row] for row in _placed(lengths, capacity)]


def _first(rows, key):
    return rows[0]


_BEST = "a document goes into the fullest row that still holds it, and opens a new row only where none does"
best_fit = Step(
    right=lambda lengths, capacity: sorted(packed(lengths, capacity, max(1, len(lengths)))),
    cases=[
        ([6, 5, 4, 5], 10),
        ([3, 6, 8, 4, 2, 7, 3], 10),
        ([5, 7, 2, 3, 1], 9),
        ([8, 6, 1, 3, 2, 2], 10),
        ([4, 4, 4], 8),
        ([10], 10),
        ([2, 9, 4, 3, 1, 5], 9),
        ([], 10),
    ],
    rule=f"{_BEST}; rows in the order in which they were opened, documents by their number",
    mistakes=[
        (partial(_placed, prefer=max),
         "this is worst fit, the emptiest row: gaps stay in every row; take the fullest"),
        (partial(_placed, prefer=_first),
         "this is first fit: it takes the first row that holds the document, not the fullest"),
        (partial(_placed, prefer=lambda rows, key: rows[-1]),
         "this takes the last row that holds the document, not the fullest"),
        (partial(_placed, only_last=True),
         "this looks at the newest row only (next fit); earlier rows have room too"),
        (partial(_placed, room=lambda free, length: free > length),
         "a document that fills its row to the last place fits too: free >= length"),
        (partial(_placed, room=lambda free, length: free <= length),
         "this puts a document where it does not fit: a row fits if its free places are at least its "
         "length"),
        (partial(_placed, room=lambda free, length: free < length),
         "this puts a document where it does not fit: a row fits if its free places are at least its "
         "length"),
        (partial(_placed, room=lambda free, length: free > 0),
         "this overfills rows: a row has to hold the whole document"),
        (partial(_placed, room=lambda free, length: True), "this never asks whether a row holds the document"),
        (partial(_placed, room=lambda free, length: False),
         "every document has a row of its own: that is padding, not packing"),
        (partial(_placed, opens=lambda rows: rows - 2),
         "the document goes into the row that was just opened, the last one: len(rows) - 1"),
        (_largest_first, "documents come as in a stream, one after the other, and are not sorted first"),
        (_in_lengths, "rows hold the numbers of documents, 0 for the first, not their lengths"),
        (lambda lengths, capacity: [[n + 1 for n in row] for row in _placed(lengths, capacity)],
         "documents are counted from 0"),
        (lambda lengths, capacity: _placed(lengths, capacity)[::-1],
         "the rows stand in reverse: the row opened first comes first"),
        (lambda lengths, capacity: sorted(_placed(lengths, capacity), key=lambda row: -sum(lengths[n] for n in row)),
         "rows stand in the order in which they were opened, not the fullest first"),
        (lambda lengths, capacity: [[n for n, _, _ in row] for row in concatenated(lengths, capacity)],
         "this cuts documents in two where a row is full; a document that does not fit opens another row"),
        (lambda lengths, capacity: len(_placed(lengths, capacity)),
         "this counts the rows; return the rows, each a list of document numbers"),
        (lambda lengths, capacity: [r for r in _placed(lengths, capacity) if sum(lengths[n] for n in r) == capacity],
         "only full rows are returned; a row that is still open holds documents too"),
        (lambda lengths, capacity: _placed(lengths, capacity)[:-1],
         "the last row is missing: what is still open at the end belongs to the answer"),
    ],
    inputs=lambda source: ([source.randrange(1, 12) for _ in range(source.randrange(2, 12))], 12),
    shows="no document is torn, and a new row is opened only where none had room",
)  # fmt: skip


def _row(documents: list[int]) -> Batch:
    """Packed row of text, with the document of every token, as a batch."""
    count = len(documents)
    numbers = {name: np.zeros(count, np.int64) for name in ("ids", "unit", "time", "item")}
    row = Tokens(
        name="exercise", kind=np.full(count, TEXT_KIND), loss=np.ones(count, bool),
        role=np.full(count, NO_ROLE), document=np.array(documents, np.int64), roles=(), frames=[], waves=[],
        vocabulary=1, **numbers,
    )  # fmt: skip
    return collate([row], tiny().sequence, 8)


def _may_look(documents: list[int]) -> list[list[bool]]:
    """Which token may look at which, as the package has it."""
    bias = attention_bias(_row(documents))
    if bias is None:  # one document: plain causal attention
        return torch.ones(len(documents), len(documents), dtype=torch.bool).tril().tolist()
    return bias[0, 0].isfinite().tolist()


def _mask(rule):
    """Mistake that lets token i look at token j by `rule(i, j, documents)`."""
    return lambda documents: [
        [rule(i, j, documents) for j in range(len(documents))] for i in range(len(documents))
    ]


def _allowed(i, j, d):
    return j <= i and d[i] == d[j]


_MASK = "token i may look at token j if j is not later (j <= i) and of the same document"
document_mask = Step(
    right=_may_look,
    cases=[([0, 0, 1, 1, 1],), ([0, 1, 1],), ([0, 0, 0],), ([2, 2, 3],), ([0],), ([0, 0, 1, 2],)],
    rule=_MASK,
    mistakes=[
        (_mask(lambda i, j, d: j <= i),
         "this is a plain causal mask: the second document looks back into the first"),
        (_mask(lambda i, j, d: d[i] == d[j]),
         "this lets a token look at later ones: add that j is not after i"),
        (_mask(lambda i, j, d: j < i and d[i] == d[j]),
         "a token sees itself: else the first of a document would see nothing, and its softmax be empty"),
        (_mask(lambda i, j, d: j >= i and d[i] == d[j]),
         "this looks ahead: row i is the token that looks, column j the one it looks at, and j <= i"),
        (_mask(lambda i, j, d: j > i and d[i] == d[j]), "this looks ahead, and not at itself: j <= i"),
        (_mask(lambda i, j, d: j <= i or d[i] == d[j]), "both must hold, not earlier or same document: `and`"),
        (_mask(lambda i, j, d: j <= i and d[i] != d[j]),
         "this looks at the other documents only; their own is the one they may see"),
        (_mask(lambda i, j, d: j > i and d[i] != d[j]),
         "this looks ahead into other documents, the very pairs that must be closed"),
        (_mask(lambda i, j, d: not _allowed(i, j, d)),
         "True and False have changed places: True is where i may look"),
        (_mask(lambda i, j, d: 0.0 if _allowed(i, j, d) else -math.inf),
         "this is the bias that is added to the scores; here True is asked for where i may look, else "
         "False"),
        (_mask(lambda i, j, d: j <= i and d[j] == 0),
         "this keeps the first document alone; every document may look at itself"),
        (_mask(lambda i, j, d: j == i),
         "this lets a token see itself alone; it may look back within its document"),
        (_mask(lambda i, j, d: True), "everything looks at everything here"),
        (lambda d: [row[: i + 1] for i, row in enumerate(_mask(_allowed)(d))],
         "every row has a column for every token, False for those that come later"),
        (lambda d: [_allowed(len(d) - 1, j, d) for j in range(len(d))],
         "this is the last token's row; return a row for every token"),
        (lambda d: _mask(_allowed)(d)[:1],
         "this ends after the first row: `return` stands after the loop, not in it"),
    ],
    inputs=lambda source: (_documents(source),),
    shows="a block below the diagonal for each document, and nothing between them",
)  # fmt: skip


def _documents(source: random.Random) -> list[int]:
    """Document of every token of a packed row."""
    return [n for n in range(source.randrange(1, 4)) for _ in range(source.randrange(1, 4))]


def _within(documents: list[int], first: int = 0, step: int = 1) -> list[int]:
    """Number of every token within its document."""
    runs = [len([*run]) for _, run in groupby(documents)]
    return [first + step * place for run in runs for place in range(run)]


def _late(documents: list[int]) -> list[int]:
    """Positions that restart one token too late."""
    found = [0]
    for place in range(1, len(documents)):
        fresh = place >= 2 and documents[place - 1] != documents[place - 2]
        found.append(0 if fresh else found[-1] + 1)
    return found[: len(documents)]


_RESTART = "positions count 0, 1, 2, … and begin at 0 again where another document begins"
positions = Step(
    right=lambda documents: _row(documents).position[0].tolist(),
    cases=[([0, 0, 1, 1, 1],), ([0, 1, 1, 2],), ([2, 2, 2],), ([0],), ([3, 3, 3, 4, 5, 5],)],
    rule=_RESTART,
    mistakes=[
        (lambda d: [*range(len(d))],
         "these are places in the row: a document would stand elsewhere in every row; begin at 0 in each"),
        (partial(_within, first=1), "positions begin at 0, as in a row that holds one document"),
        (partial(_within, first=-1), "positions begin at 0: this begins at −1"),
        (partial(_within, step=-1), "positions count up within a document, not down"),
        (partial(_within, step=2), "positions count by 1, not by 2"),
        (partial(_within, step=0), "every position is 0: a token would not know which comes first"),
        (lambda d: list(d), "these are the documents; a position is the token's number within its document"),
        (_late, "this begins anew one token too late: the first token of a document has position 0"),
        (lambda d: [d.index(n) for n in d],
         "this is where the document begins; the position is what a token is away from there"),
        (lambda d: [sum(n == m for m in d) for n in d],
         "this is the length of each document; a position counts the tokens before"),
        (lambda d: [sum(n == m for m in d) - 1 - p for n, p in zip(d, _within(d), strict=True)],
         "this counts the tokens that are still to come; count those before"),
        (lambda d: [d[i] != d[i - 1] if i else 0 for i in range(len(d))],
         "this marks where a document begins; the positions count on from there"),
        (lambda d: [i % d.count(d[0]) for i in range(len(d))],
         "documents are not equally long: look where the number of the document changes"),
        (lambda d: [i and (0 if d[i] == d[i - 1] else i) for i in range(len(d))],
         "this begins anew where the document stays the same: the test is the wrong way round"),
        (lambda d: _reset(d, lambda i: i == 0 or d[i] == d[i - 1]),
         "this begins anew where the document stays the same: the test is the wrong way round"),
        (lambda d: _reset(d, lambda i: i and d[i] == d[i - 1]),
         "this begins anew where the document stays the same: the test is the wrong way round"),
        (lambda d: [0 if not i or d[i] != d[i - 1] else 1 for i in range(len(d))],
         "this is 1 for every token but the first of a document: add 1 to the position before"),
        (lambda d: _reset(d, lambda i: d[i] != d[i - 2]),
         "compare with the token just before, not with the one before that"),
        (lambda d: [n + (i < d.count(d[0])) for i, n in enumerate(_within(d))],
         "the first document begins at 1 here, and the others at 0: note a position before you count on"),
        (lambda d: _within(d)[:-1], "the last token is missing: every token has a position"),
        (lambda d: _within(d)[:1],
         "this ends after the first token: `return` stands after the loop, not in it"),
    ],
    inputs=lambda source: (_documents(source),),
    shows="a document has the same positions in any row, wherever it stands",
)  # fmt: skip


def _reset(documents, begins):
    """Positions that begin at 0 where `begins(place)`."""
    found: list[int] = []
    for place in range(len(documents)):
        found.append(0 if not found or begins(place) else found[-1] + 1)
    return found

"""Packing: short documents side by side in rows of the context's length, so that no token is padding and none is lost.

Best fit puts a document into the fullest row that still holds it (Ding et al. 2024, *Fewer truncations improve language
modeling*, does so over a whole data set; here a bounded number of rows is open at a time, so that a stream will do).
The plain way, `concatenated`, fills every row to the last token and cuts documents in two.

Documents of a row stay apart: positions begin again, attention does not cross, and the first token of each is no label,
since nothing of its own comes before it.

Glossary: T tokens · a row is one sequence of the context's length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from omni_lab.errors import UsageError
from omni_lab.sequences.blend import Blend
from omni_lab.sequences.items import SequenceError
from omni_lab.sequences.tokens import NO_ROLE, Tokens


class OpenRows:
    """Rows that still take documents, at most `most` at a time; `held` is whatever stands for a document."""

    def __init__(self, capacity: int, most: int) -> None:
        if capacity < 1 or most < 1:
            raise UsageError(
                f"rows of {capacity} tokens, {most} open at a time: both must be 1 or more"
            )
        self.capacity, self.most = capacity, most
        self.rows: list[list[Any]] = []
        self.free: list[int] = []

    def put(self, held: Any, length: int) -> list[Any] | None:
        """Put a document into the fullest row with room for it; give a row that had to be closed for a new one."""
        fitting = [(free, row) for row, free in enumerate(self.free) if free >= length]
        closed = None
        if fitting:
            _, row = min(fitting)
        else:
            if len(self.rows) == self.most:
                closed = self.close()
            self.rows.append([])
            self.free.append(self.capacity)
            row = len(self.rows) - 1
        self.rows[row].append(held)
        self.free[row] -= length
        return closed

    def close(self) -> list[Any]:
        """Take out the fullest row."""
        row = min(range(len(self.rows)), key=self.free.__getitem__)
        del self.free[row]
        return self.rows.pop(row)


def best_fit(lengths: Iterable[int], capacity: int, open_rows: int = 16) -> Iterator[list[int]]:
    """Give rows of documents by number, none longer than `capacity`, as soon as each is closed.

    >>> list(best_fit([6, 5, 4, 5], capacity=10))
    [[0, 2], [1, 3]]

    Raises
    ------
    UsageError
        a document is longer than a row
    """
    rows = OpenRows(capacity, open_rows)
    for number, length in enumerate(lengths):
        if length > capacity:
            raise UsageError(
                f"document {number} has {length} tokens, a row {capacity}: cut it, or take longer rows"
            )
        if (closed := rows.put(number, length)) is not None:
            yield closed
    while rows.rows:
        yield rows.close()


def concatenated(lengths: Iterable[int], capacity: int) -> Iterator[list[tuple[int, int, int]]]:
    """Give rows of pieces (document, first token, one past its last) that are filled to the end: the plain way.

    >>> list(concatenated([6, 5], capacity=10))
    [[(0, 0, 6), (1, 0, 4)], [(1, 4, 5)]]

    Raises
    ------
    UsageError
        rows have no room at all
    """
    if capacity < 1:
        raise UsageError(f"rows of {capacity} tokens: a row takes 1 or more")
    row, free = [], capacity
    for number, length in enumerate(lengths):
        start = 0
        while start < length:
            piece = min(free, length - start)
            row.append((number, start, start + piece))
            start, free = start + piece, free - piece
            if not free:
                yield row
                row, free = [], capacity
    if row:
        yield row


def join(documents: Sequence[Tokens]) -> Tokens:
    """Make one row of documents: numbered, the first token of each no label, units and items counted on.

    Raises
    ------
    SequenceError
        documents were written with different vocabularies
    """
    first = documents[0]
    for other in documents:
        if other.vocabulary != first.vocabulary:
            message = f"{other.vocabulary} tokens in its vocabulary, but {first.name} has {first.vocabulary}"
            raise SequenceError(
                f"clip {other.name}: {message}; pack only what one vocabulary has written"
            )
    lengths = [len(document.ids) for document in documents]
    roles = tuple(dict.fromkeys(role for document in documents for role in document.roles))

    def after_one_another(field: str) -> np.ndarray:
        """Numbers that count on from document to document."""
        counts = np.cumsum(
            [0, *(int(getattr(document, field).max()) + 1 for document in documents[:-1])]
        )
        return np.concatenate(
            [getattr(d, field) + count for d, count in zip(documents, counts, strict=True)]
        )

    def together(field: str) -> np.ndarray:
        return np.concatenate([getattr(document, field) for document in documents])

    loss = together("loss")
    loss[np.cumsum([0, *lengths[:-1]])] = False
    renamed = [
        np.array([*map(roles.index, document.roles), NO_ROLE]) for document in documents
    ]  # -1 reads the last
    return Tokens(
        name=" + ".join(document.name for document in documents),
        ids=together("ids"),
        kind=together("kind"),
        loss=loss,
        unit=after_one_another("unit"),
        time=together("time"),
        item=after_one_another("item"),
        role=np.concatenate(
            [new[document.role] for new, document in zip(renamed, documents, strict=True)]
        ),
        document=after_one_another("document"),
        roles=roles,
        frames=[unit for document in documents for unit in document.frames],
        waves=[wave for document in documents for wave in document.waves],
        vocabulary=first.vocabulary,
    )


class Packer:
    """Packed rows out of a blend of documents, in bounded memory: one iteration goes on where the last one stopped.

    No more than `open_rows` rows of documents are held. The state is a few numbers and names: on resuming, the
    documents of open rows are read again.

    Parameters
    ----------
    capacity : tokens in a row
    """

    def __init__(self, source: Blend, capacity: int, open_rows: int = 16) -> None:
        self.source = source
        self._rows = OpenRows(capacity, open_rows)

    def __iter__(self) -> Iterator[Tokens]:
        """Give rows until the source ends, then those still open.

        Raises
        ------
        SequenceError
            a document is longer than a row
        """
        rows = self._rows
        for address, document in self.source:
            if (length := len(document.ids)) > rows.capacity:
                message = f"{length} tokens, but a packed row has {rows.capacity}"
                raise SequenceError(
                    f"clip {document.name}: {message}; cut it into shorter clips, or take longer rows"
                )
            if closed := rows.put((address, document), length):
                yield join([held for _, held in closed])
        while rows.rows:
            yield join([held for _, held in rows.close()])

    def shares(self, rows: int, rank: int = 0, ranks: int = 1) -> Iterator[list[Tokens]]:
        """Batches of `rows` rows, and of each the rows of one rank, so that all ranks have about the same work.

        Every rank packs the same rows and so reads every document. Where reading is dear, give each rank a blend of its
        own instead: rows are nearly full, so that tokens are balanced all the same. A last batch that is not full is
        left out, as ranks would wait for one another.
        """
        if rows % ranks or not 0 <= rank < ranks:
            raise UsageError(
                f"{rows} rows over {ranks} ranks, rank {rank}: rows must divide over the ranks"
            )
        packed = iter(self)
        while len(batch := list(islice(packed, rows))) == rows:
            yield [
                batch[row] for row in balanced([attention_work(row) for row in batch], ranks)[rank]
            ]

    def state_dict(self) -> dict[str, Any]:
        """Say where to go on after the last row that was given, in plain JSON."""
        return {
            "source": self.source.state_dict(),
            "capacity": self._rows.capacity,
            "open": [
                [[*address, document.name] for address, document in row] for row in self._rows.rows
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises
        ------
        UsageError
            the state is of rows of another length, of more open rows than these, or of other documents
        """
        rows = OpenRows(self._rows.capacity, self._rows.most)
        if state["capacity"] != rows.capacity or len(state["open"]) > rows.most:
            theirs = f"{len(state['open'])} open rows of {state['capacity']} tokens"
            raise UsageError(
                f"the state has {theirs}, this packer at most {rows.most} of {rows.capacity}"
            )
        for row in state["open"]:
            held = [(tuple(address), self.source.read(*address)) for *address, _ in row]
            for (address, document), (*_, name) in zip(held, row, strict=True):
                if document.name != name:
                    message = f"document {address[1]} of {address[0]!r} was {name}, and now is {document.name}"
                    raise UsageError(
                        f"the state is of other documents: {message}; go on with the same streams"
                    )
            rows.rows.append(held)
            rows.free.append(rows.capacity - sum(len(document.ids) for _, document in held))
        self.source.load_state_dict(state["source"])
        self._rows = rows


def attention_work(row: Tokens) -> int:
    """Pairs of tokens that attention of a row looks at: the squares of its documents' lengths, halved."""
    return int((np.bincount(row.document).astype(np.int64) ** 2).sum()) // 2


def balanced(costs: Sequence[float], ranks: int) -> list[list[int]]:
    """Share things out over ranks: equally many each, and the dearest rank as cheap as greed finds it.

    The dearest go first, each to the cheapest rank that still takes one (longest processing time first, Graham 1969).

    >>> balanced([8, 7, 2, 1], ranks=2)
    [[0, 3], [1, 2]]
    """
    if len(costs) % ranks:
        raise UsageError(f"{len(costs)} things do not divide over {ranks} ranks")
    shares: list[list[int]] = [[] for _ in range(ranks)]
    total = [0.0] * ranks
    for thing in sorted(range(len(costs)), key=lambda i: -costs[i]):
        takes = min(
            (r for r in range(ranks) if len(shares[r]) < len(costs) // ranks), key=total.__getitem__
        )
        shares[takes].append(thing)
        total[takes] += costs[thing]
    return [sorted(share) for share in shares]

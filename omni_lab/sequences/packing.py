"""Sequence packing by best fit: short documents side by side in rows of the context's length.

Best fit puts a document into the fullest row that still holds it, uncut (Ding et al. 2024, *Fewer
truncations improve language modeling*, over a whole data set; here a bounded number of rows is open
at a time, so that a stream suffices). The baseline, `concatenated`, fills every row to the last
token and cuts documents in two.

Documents of a row stay apart: positions restart, attention does not cross, and the first token of
each is no label, since its document has nothing before it.

Glossary: T tokens · a row is one sequence of the context's length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float32

from omni_lab.errors import UsageError
from omni_lab.sequences.blend import Blend
from omni_lab.sequences.items import Fact, SequenceError
from omni_lab.sequences.tokens import NO_ROLE, Tokens


class OpenRows:
    """Open rows of online bin packing, at most `most` at a time, each of `capacity` tokens.

    Raises
    ------
    UsageError
        `capacity` or `most` is below 1
    """

    def __init__(self, capacity: int, most: int) -> None:
        if capacity < 1 or most < 1:
            raise UsageError(
                f"rows of {capacity} tokens, {most} open at a time: both must be 1 or more"
            )
        self.capacity, self.most = capacity, most
        self.rows: list[list[Any]] = []
        self.free: list[int] = []

    def put(self, held: Any, length: int) -> list[Any] | None:
        """Best-fit placement of a document of `length` tokens; gives the row it closed, if any.

        `held` stands for the document, in any form.
        """
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
        """Remove and return the fullest row."""
        row = min(range(len(self.rows)), key=self.free.__getitem__)
        del self.free[row]
        return self.rows.pop(row)


def best_fit(lengths: Iterable[int], capacity: int, open_rows: int = 16) -> Iterator[list[int]]:
    """Best-fit packing of documents by number into rows of at most `capacity` tokens.

    A row is given as soon as it is closed.

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
            wrong = f"document {number} has {length} tokens, a row {capacity}"
            raise UsageError(f"{wrong}: cut it, or take longer rows")
        if (closed := rows.put(number, length)) is not None:
            yield closed
    while rows.rows:
        yield rows.close()


def concatenated(lengths: Iterable[int], capacity: int) -> Iterator[list[tuple[int, int, int]]]:
    """Concatenate-and-split packing: full rows of pieces (document, first token, end).

    >>> list(concatenated([6, 5], capacity=10))
    [[(0, 0, 6), (1, 0, 4)], [(1, 4, 5)]]

    Raises
    ------
    UsageError
        `capacity` is below 1
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
    """Packed row of documents: numbered, with the first token of each unsupervised.

    Units and items count on from document to document.

    Raises
    ------
    SequenceError
        documents were tokenized with different vocabularies
    """
    first = documents[0]
    for other in documents:
        if other.vocabulary != first.vocabulary:
            wrong = f"{other.vocabulary} tokens in its vocabulary, {first.vocabulary} in that of"
            right = "pack documents of one vocabulary"
            raise SequenceError(f"clip {other.name}: {wrong} {first.name}; {right}")

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
    # NO_ROLE is -1, which indexes the last entry
    renamed = [np.array([*map(roles.index, document.roles), NO_ROLE]) for document in documents]

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
        facts=_facts(documents),
        known=_known(documents),
    )


def _known(documents: Sequence[Tokens]) -> dict[str, Float32[np.ndarray, " T"]]:
    """What is known of the tokens of a packed row, NaN where a document does not say."""
    return {
        name: np.concatenate(
            [d.known.get(name, np.full(len(d.ids), np.nan, np.float32)) for d in documents]
        )
        for name in dict.fromkeys(name for document in documents for name in document.known)
    }


def _facts(documents: Sequence[Tokens]) -> tuple[Fact | None, ...]:
    """Fact of every item of a packed row; nothing where no document knows any."""
    if not any(document.facts for document in documents):
        return ()
    counts = [int(document.item.max()) + 1 for document in documents]
    return tuple(
        fact
        for document, items in zip(documents, counts, strict=True)
        for fact in (document.facts or (None,) * items)[:items]
    )


class Packer:
    """Resumable stream of packed rows from a blend of documents, in bounded memory.

    An iteration continues where the last one stopped. The state is a few numbers and names: on
    resuming, the documents of open rows are read again.

    Parameters
    ----------
    capacity : tokens in a row
    open_rows : rows held in memory at a time
    """

    def __init__(self, source: Blend, capacity: int, open_rows: int = 16) -> None:
        self.source = source
        self._rows = OpenRows(capacity, open_rows)

    def __iter__(self) -> Iterator[Tokens]:
        """Packed rows until the source ends, then the rows still open.

        Raises
        ------
        SequenceError
            a document is longer than a row
        """
        rows = self._rows
        for address, document in self.source:
            if (length := len(document.ids)) > rows.capacity:
                wrong = f"{length} tokens, but a packed row has {rows.capacity}"
                right = "cut it into shorter clips, or take longer rows"
                raise SequenceError(f"clip {document.name}: {wrong}; {right}")
            if closed := rows.put((address, document), length):
                yield join([held for _, held in closed])
        while rows.rows:
            yield join([held for _, held in rows.close()])

    def shares(self, rows: int, rank: int = 0, ranks: int = 1) -> Iterator[list[Tokens]]:
        """Load-balanced shards of batches: of every `rows` rows those of one rank.

        Every rank packs the same rows and so reads every document. Where reading is costly, give
        each rank a separate blend instead: rows are nearly full, so that tokens balance all the
        same. A last batch that is not full is left out, as ranks would wait for one another.

        Raises
        ------
        UsageError
            rows do not divide over the ranks, or there is no such rank
        """
        if rows % ranks or not 0 <= rank < ranks:
            right = f"rows must be a multiple of ranks, and rank from 0 to {ranks - 1}"
            raise UsageError(f"{rows} rows over {ranks} ranks, rank {rank}: {right}")
        packed = iter(self)
        while len(batch := list(islice(packed, rows))) == rows:
            own = balanced([attention_work(row) for row in batch], ranks)[rank]
            yield [batch[row] for row in own]

    def state_dict(self) -> dict[str, Any]:
        """Resume state in plain JSON: the blend's state and the documents of open rows."""
        return {
            "source": self.source.state_dict(),
            "capacity": self._rows.capacity,
            "open": [
                [[*address, document.name] for address, document in row] for row in self._rows.rows
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a `state_dict`.

        Raises
        ------
        UsageError
            the state has rows of another length, more open rows than these, or other documents
        """
        rows = OpenRows(self._rows.capacity, self._rows.most)
        if state["capacity"] != rows.capacity or len(state["open"]) > rows.most:
            other = f"{len(state['open'])} open rows of {state['capacity']} tokens"
            own = f"at most {rows.most} of {rows.capacity}"
            raise UsageError(
                f"the state has {other}, this packer {own}; resume with the same sizes"
            )

        for row in state["open"]:
            held = [(tuple(address), self.source.read(*address)) for *address, _ in row]
            for (address, document), (*_, name) in zip(held, row, strict=True):
                if document.name != name:
                    stream, number = address
                    wrong = (
                        f"document {number} of {stream!r} was {name}, and now is {document.name}"
                    )
                    right = "resume with the same streams"
                    raise UsageError(f"the state is of other documents: {wrong}; {right}")
            rows.rows.append(held)
            rows.free.append(rows.capacity - sum(len(document.ids) for _, document in held))

        # only now, so that a refused state leaves the packer as it was
        self.source.load_state_dict(state["source"])
        self._rows = rows


def attention_work(row: Tokens) -> int:
    """Attention cost of a packed row in token pairs: half the sum of squared document lengths."""
    return int((np.bincount(row.document).astype(np.int64) ** 2).sum()) // 2


def balanced(costs: Sequence[float], ranks: int) -> list[list[int]]:
    """Load balancing over ranks by longest processing time first (Graham 1969), equally many each.

    The costliest goes first, each to the rank of least total that still takes one.

    >>> balanced([8, 7, 2, 1], ranks=2)
    [[0, 3], [1, 2]]

    Raises
    ------
    UsageError
        the number of costs is no multiple of `ranks`
    """
    if len(costs) % ranks:
        wrong = f"{len(costs)} things do not divide over {ranks} ranks"
        raise UsageError(f"{wrong}; give a multiple of {ranks}")
    shards: list[list[int]] = [[] for _ in range(ranks)]
    total = [0.0] * ranks
    for thing in sorted(range(len(costs)), key=lambda i: -costs[i]):
        open_ranks = (rank for rank in range(ranks) if len(shards[rank]) < len(costs) // ranks)
        takes = min(open_ranks, key=total.__getitem__)
        shards[takes].append(thing)
        total[takes] += costs[thing]
    return [sorted(shard) for shard in shards]

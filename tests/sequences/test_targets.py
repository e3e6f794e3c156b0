"""Targets: every label has the fact that it states and the sense that carries it, whatever packs it."""

import numpy as np
import torch
from streams import CONFIG, VOCABULARY

from omni_lab.parallel.batch import shard_batch
from omni_lab.parallel.collectives import Collectives
from omni_lab.sequences.batch import IGNORED, collate, make_batch
from omni_lab.sequences.packing import join
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.targets import NO_GROUP, SENSES, sense_of
from omni_lab.sequences.tokens import tokenize
from omni_lab.world.clips import described, from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import FACTS

SIZE = CONFIG.model.image.size
SCRIPTS = [write_script(seed, 4) for seed in range(6)]


def rows_of(scripts):
    streams = [omni_stream(from_script(s, SIZE), CONFIG.sequence) for s in scripts]
    return [tokenize(stream, VOCABULARY, CONFIG.sequence) for stream in streams]


def stated(batch, row):
    """Facts of a row as pairs of fact and the words of its labels, in order."""
    ids, fact = batch.labels[row], batch.targets.fact[row]
    places = (fact != NO_GROUP).nonzero()[:, 0].tolist()
    return [(batch.targets.facts[fact[p]], VOCABULARY.decode([int(ids[p])])) for p in places]


def test_every_answer_of_a_script_is_labelled_with_its_fact_and_nothing_else_is():
    batch = collate(rows_of(SCRIPTS), CONFIG.sequence, SIZE)
    for row, script in enumerate(SCRIPTS):
        expected = [
            (q.fact, word)
            for q in sorted(script.questions, key=lambda q: q.second)
            for answer in q.answer
            for word in VOCABULARY.decode(VOCABULARY.encode(answer)).split()
        ]
        # an answer may end with a mark that is no word
        found = [(fact, word) for fact, word in stated(batch, row) if word.strip(".")]
        assert sorted(found) == sorted(expected)
    assert (batch.labels[batch.targets.fact != NO_GROUP] != IGNORED).all()


def test_a_fact_has_the_sense_of_its_carriers():
    batch = collate(rows_of(SCRIPTS), CONFIG.sequence, SIZE)
    own = batch.targets
    for number, name in enumerate(own.facts):
        senses = own.sense[own.fact == number].unique().tolist()
        assert senses == [sense_of(FACTS[name][0])], name
    assert (own.sense[own.fact == NO_GROUP] == NO_GROUP).all()


def test_text_of_unknown_truth_has_the_sense_of_what_its_document_shows():
    clip = from_script(SCRIPTS[0], SIZE)
    for carrier in ("image", "audio"):
        part = described(clip, SCRIPTS[0], 0, carrier)
        batch = make_batch([omni_stream(part, CONFIG.sequence)], VOCABULARY, CONFIG.sequence, SIZE)
        found = set(batch.targets.sense.unique().tolist())
        assert found == {NO_GROUP, SENSES.index(carrier)} and not batch.targets.facts


def test_packed_rows_and_shards_have_the_targets_of_their_documents():
    rows = rows_of(SCRIPTS[:3])
    packed = collate([join(rows)], CONFIG.sequence, SIZE)
    apart = [collate([row], CONFIG.sequence, SIZE) for row in rows]
    pairs = [pair for one in apart for pair in stated(one, 0)]
    assert stated(packed, 0) == pairs

    for ranks in (1, 2):
        parts = [shard_batch(packed, _rank(rank, ranks)) for rank in range(ranks)]
        counts = torch.stack([
            torch.bincount(p.targets.fact[p.targets.fact >= 0], minlength=len(p.targets.facts))
            for p in parts
        ]).sum(0)  # fmt: skip
        whole = packed.targets.fact
        assert torch.equal(counts, torch.bincount(whole[whole >= 0]))
        for part in parts:
            assert (part.labels[part.targets.fact != NO_GROUP] != IGNORED).all()


def _rank(rank, ranks):
    group = Collectives(alone=True)
    group.rank, group.ranks = rank, ranks
    return group


def test_a_row_that_ends_without_text_keeps_its_facts_in_place():
    rows = rows_of(SCRIPTS[:2])
    short = rows[0]
    short.facts = (*short.facts, None)  # an item of the end that has no tokens
    joined = join([short, rows[1]])
    assert len(joined.facts) == int(joined.item.max()) + 1
    first = len(short.ids)
    names = [joined.facts[item] for item in joined.item[first:]]
    assert names == [rows[1].facts[item] for item in rows[1].item]
    assert np.array_equal(joined.ids[:first], short.ids)

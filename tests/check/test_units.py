"""Checker of the unit interleaver: the right order passes, every usual mistake is explained."""

from itertools import pairwise

import pytest
from attempts import unfilled

from omni_lab import check
from omni_lab.check import NOT_YET


def interleave(
    seen,
    heard,
    cues,
    unit_of=int,
    close=True,
    listen=True,
    late=True,
    fill=False,
    boundary=True,
    opens=True,
    names=None,
):
    """Solution, and with its switches the usual mistakes."""
    names = names or {"guide": "<speak>", "visitor": "<visitor>"}
    stream, last = [], len(seen) - 1
    for unit in range(len(seen)):
        senses = ["image"] * (seen[unit] or fill) + ["audio"] * (heard[unit] or fill)
        stream += ["<unit>"] * boundary + senses if opens else [*senses, "<unit>"]
        stream += ["<listen>"] * listen
        for start, role, text in cues:
            home = unit_of(start)
            if (min(home, last) if late else home) == unit:
                stream += [names[role], text] + ["<listen>"] * (close and role == "guide")
    return stream


def but(**switches):
    return lambda *given: interleave(*given, **switches)


def senses_first(seen, heard, cues):
    stream = interleave(seen, heard, cues)
    seen_or_heard = [w for w in stream if w in ("image", "audio")]
    return ["<unit>", *seen_or_heard, *(w for w in stream[1:] if w not in ("image", "audio"))]


def audio_first(seen, heard, cues):
    stream = interleave(seen, heard, cues)
    for i, (a, b) in enumerate(pairwise(stream)):
        if (a, b) == ("image", "audio"):
            stream[i : i + 2] = ["audio", "image"]
    return stream


def visitors_first(seen, heard, cues):
    """In every unit the visitor's texts before the guide's."""
    by_role = sorted(cues, key=lambda cue: (min(int(cue[0]), len(seen) - 1), cue[1] == "guide"))
    return interleave(seen, heard, by_role)


def text_before_senses(seen, heard, cues):
    stream = interleave(seen, heard, cues)
    at = stream.index("<visitor>")
    return [stream[0], *stream[at : at + 2], *stream[1:at], *stream[at + 2 :]]


def test_the_right_stream_passes_as_a_list_a_tuple_or_yielded():
    for attempt in (interleave, lambda *g: tuple(interleave(*g)), lambda *g: iter(interleave(*g))):
        verdict = check.interleaved(attempt)
        assert verdict.right is True and repr(verdict).startswith("✓ right: 4 units, 29 pieces")


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (but(late=False), "'Goodbye.' is missing: it begins after the last unit"),
        (but(fill=True), "a unit without image got one"),
        (but(close=False), "4 times <listen>, not 7"),
        (but(listen=False), "3 times <listen>, not 7"),
        (but(boundary=False), "0 times <unit>"),
        (but(unit_of=round), "belongs to unit 0, in which it begins"),
        (but(names={"guide": "<guide>", "visitor": "<visitor>"}), "opens with <speak>"),
        (but(names={"guide": "<speak>", "visitor": "<speak>"}), "every text opens with its role"),
        (
            but(unit_of=lambda start: int(start - 1e-6)),
            "a boundary belongs to the unit that it opens",
        ),
        (senses_first, "a unit is finished"),
        (but(opens=False), "the stream begins with 'image'"),
        (audio_first, "first what is seen, then what is heard"),
        (text_before_senses, "unit 0, piece 1"),
        (visitors_first, "then text by text as time goes by"),
        (lambda *g: print(end=""), "your function returns None"),
        (lambda *g: interleave(*g)[:-3], "is missing"),
        (lambda *g: [*interleave(*g), "Goodbye."], "stands there 2 times"),
        (lambda *g: [w for w in interleave(*g) if w != "audio"], "3 units lack their audio"),
        (lambda *g: "image audio", "return a list of words"),
        (lambda *g: [1, 2], "return a list of words"),
        (lambda *g: [*interleave(*g), "<end>"], "'<end>' is no piece"),
        (lambda *g: 1 / 0, "your function stopped with ZeroDivisionError"),
    ],
)
def test_usual_mistakes_are_named(attempt, message):
    verdict = check.interleaved(attempt)
    assert verdict.right is False and message in verdict.message, verdict.message


def test_an_empty_function_is_not_attempted():
    assert check.interleaved(unfilled) == NOT_YET

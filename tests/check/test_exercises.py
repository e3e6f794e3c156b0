"""Checkers of loss mask and rebasing: right answers pass, every usual mistake is explained."""

from dataclasses import replace

import numpy as np
import pytest
from attempts import unfilled

from omni_lab import check
from omni_lab.check import NOT_YET
from omni_lab.check.cues import _conversation
from omni_lab.media.subtitles.reader import Word

S = 16_000


def solution(tokens, roles):
    return [
        token in ("<listen>", "<speak>") or role == "guide"
        for token, role in zip(tokens, roles, strict=True)
    ]


def but(*changed, value):
    """Solution, with tokens of these words or roles marked `value` instead."""

    def attempt(tokens, roles):
        rows = zip(tokens, roles, solution(tokens, roles), strict=True)
        return [
            value if token in changed or role in changed else right for token, role, right in rows
        ]

    return attempt


def forgets_the_second_listen(tokens, roles):
    mask = solution(tokens, roles)
    return [
        right and not (t == "<listen>" and i and roles[i - 1])
        for i, (t, right) in enumerate(zip(tokens, mask, strict=False))
    ]


def test_the_right_mask_passes_as_any_kind_of_list():
    for attempt in (
        solution,
        lambda *given: tuple(solution(*given)),
        lambda *given: np.array(solution(*given)),
        lambda *given: iter(solution(*given)),
    ):
        verdict = check.loss_mask(attempt)
        assert verdict.right is True
        assert repr(verdict).startswith("✓ right: of a second with 17 tokens, 4 are learned")


@pytest.mark.parametrize("attempt", [unfilled, lambda *given: ...])
def test_an_empty_function_is_not_attempted_and_not_wrong(attempt):
    assert check.loss_mask(attempt) == NOT_YET
    assert repr(NOT_YET).startswith("○ not attempted yet")


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda tokens, roles: [True] * len(tokens), "everything is supervised"),
        (lambda tokens, roles: [False] * len(tokens), "nothing is supervised"),
        (lambda *given: [not v for v in solution(*given)], "the other way round"),
        (lambda *given: [*solution(*given)[1:], False], "one place too early"),
        (
            but("visitor", value=True),
            "place 12, 'where', is supervised, but these words are the visitor's",
        ),
        (but("<visitor>", value=True), "announces that the visitor speaks"),
        (but("<image>", value=True), "an image token stands for what is seen"),
        (but("<audio>", value=True), "an audio token stands for what is heard"),
        (but("<unit>", value=True), "the clock's tick"),
        (
            but("<listen>", value=False),
            "'<listen>', is not supervised, but the model has to learn to be silent",
        ),
        (
            forgets_the_second_listen,
            "is not supervised (1 of 2 times), but the model has to learn to be silent",
        ),
        (but("<speak>", value=False), "when it is its turn"),
        (but("guide", value=False), "it learns no answer"),
        (lambda *given: solution(*given)[1:], "17 were given, 16 came back"),
        (lambda *given: True, "yours is of type bool"),
        (lambda *given: ["yes"] * len(given[0]), "'yes' is neither"),
        (lambda *given: [right or None for right in solution(*given)], "None is neither"),
        (lambda *given: np.zeros((17, 2)), "array([0., 0.]) is neither"),
        (lambda *given: (1 // 0 for _ in given[0]), "stopped with ZeroDivisionError"),
        (lambda tokens, roles: roles["guide"], "stopped with TypeError"),
    ],
)
def test_a_usual_mistake_is_named_with_its_reason(attempt, message):
    verdict = check.loss_mask(attempt)
    assert verdict.right is False
    assert message in repr(verdict)


def test_the_gravest_mistake_comes_first():
    verdict = check.loss_mask(but("<image>", "visitor", value=True))
    assert "an image token" in verdict.message


def test_a_mask_that_is_right_for_one_second_only_is_seen_through():
    verdict = check.loss_mask(
        lambda tokens, roles: [i in (10, 14, 15, 16) for i in range(len(tokens))]
    )
    assert verdict.right is False


def rebase(cues, start, end):
    """Right answer to the exercise of rebasing, written as a learner might write it."""
    found = []
    for cue in cues:
        words = tuple(word for word in cue.words if start <= (word.start + word.end) / 2 < end)
        if words:
            times = {"start": max(cue.start, start), "end": min(cue.end, end)}
            text = " ".join(word.text for word in words)
            found.append(replace(cue, **times, text=text, words=words).moved(-start))
    return found


def then(change):
    """Right answer with every cue changed: `change` takes the cue and its clip's start and end."""

    def attempt(cues, start, end):
        return [change(cue, start, end) for cue in rebase(cues, start, end)]

    return attempt


def forced(cue, **fields):
    """Cue with values of the wrong type, as a notebook can make it: only tests check types."""
    cue = replace(cue)
    for name, value in fields.items():
        object.__setattr__(cue, name, value)
    return cue


def in_seconds(cue, start, end):
    return forced(cue, start=cue.start / 16_000)


def pops_what_is_done(cues, start, end):
    found = rebase(cues, start, end)
    while cues and cues[0].end <= end:
        cues.pop(0)
    return found


def by(place):
    """Attempt that puts a word where `place(word)` is, not its middle."""

    def attempt(cues, start, end):
        words = {word: place(word) for cue in cues for word in cue.words}
        moved = [
            replace(
                cue, words=tuple(Word(t, t, w.text) for w, t in words.items() if w in cue.words)
            )
            for cue in cues
        ]
        homes = {word.text for cue in rebase(moved, start, end) for word in cue.words}
        found = []
        for cue in cues:
            own = tuple(word for word in cue.words if word.text in homes)
            if own:
                times = {"start": max(cue.start, start), "end": min(cue.end, end)}
                text = " ".join(word.text for word in own)
                found.append(replace(cue, **times, text=text, words=own).moved(-start))
        return found

    return attempt


def whole(holds):
    """Attempt that never splits: cues for which `holds(cue, start, end)`, moved as they are."""
    return lambda cues, start, end: [cue.moved(-start) for cue in cues if holds(cue, start, end)]


def test_the_right_rebasing_passes_with_a_summary():
    assert repr(check.rebased(rebase)) == (
        "✓ right: 5 cues in 5 clips, every word in one clip, and on its clock"
    )
    assert check.rebased(lambda *given: tuple(rebase(*given))).right is True


@pytest.mark.parametrize("attempt", [unfilled, lambda *given: ...])
def test_empty_rebasing_is_not_attempted(attempt):
    assert check.rebased(attempt) == NOT_YET


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (then(lambda cue, start, end: cue.moved(start)),
         "10.3–20 s, 'beside the sign.': starts at 164800, as"),
        (whole(lambda cue, start, end: start <= cue.start < end),
         "'beside' is in clip 0–10.3 s, but spoken in 10.3–20 s"),
        (whole(lambda cue, start, end: start < cue.end <= end),
         "'Look' is in clip 10.3–20 s, but spoken in 0–10.3 s"),
        (whole(lambda cue, start, end: cue.start < end and cue.end > start),
         "'Look' is in clips 0–10.3 s and 10.3–20 s"),
        (whole(lambda cue, start, end: start <= cue.start and cue.end <= end),
         "'Look' is in no clip: a cut goes"),
        (lambda cues, start, end:
         rebase([c for c in cues if c.end != 20 * S], start, end),
         "'Thank' is in no clip: its cue ends where a clip ends"),
        (lambda cues, start, end: rebase([c for c in cues if c.start != start], start, end),
         "'Please' is in no clip: its cue begins where a clip begins"),
        (lambda cues, start, end: rebase([c for c in cues if c.end - c.start < 6 * S], start, end),
         "'Now' is in no clip: 2 cuts go through its cue"),
        (lambda *given: [], "'Where' is in no clip: no cut touches its cue"),
        (lambda cues, start, end:
         rebase(cues, start, end) + [c.moved(-start) for c in cues if c.start == end],
         "'Please' is in clips 10.3–20 s and 20–25.7 s: its cue begins where a clip begins"),
        (then(lambda cue, start, end: replace(cue, end=cue.end + 8000)), "not at 64000"),
        (then(lambda cue, start, end: replace(cue, end=cue.end + 20 * S)),
         "ends at 384000, after its clip of 164800"),
        (then(lambda cue, start, end: replace(cue, start=cue.start - 2 * S)),
         "starts at -16000, before its clip"),
        (then(lambda cue, start, end: replace(cue, start=cue.start + 1)),
         "starts at 16001, not at 16000"),
        (then(lambda cue, start, end: replace(cue, words=())), "its words are ''"),
        (then(lambda cue, start, end: replace(cue, words=cue.moved(start).words)),
         "its words have other times"),
        (then(lambda cue, start, end: replace(cue, role=None)),
         "its role or its marks changed (None, 'vtt_voice')"),
        (then(in_seconds), "1.0 is no whole number: times are ticks"),
        (then(lambda cue, start, end: replace(cue, text=cue.text.upper())),
         "'WHERE', which is no word of the film"),
        (lambda *given: rebase(*given)[::-1], "not in order of time"),
        (lambda *given: [replace(c, text=w) for c in rebase(*given) for w in c.text.split()],
         "one cue stays one"),
        (pops_what_is_done, "changed the film's list of cues"),
        (by(lambda word: word.start), "'beside' is in clip 0–10.3 s, but spoken in 10.3–20 s"),
        (by(lambda word: word.end - 1), "'walk' is in clip 25.7–34.5 s, but spoken in 20–25.7 s"),
        (then(lambda cue, start, end: replace(cue, end=cue.words[-1].end)),
         "a part of a split cue ends at the cut, not with its last word"),
        (then(lambda cue, start, end: replace(cue, start=max(0, cue.words[0].start))),
         "a part of a split cue starts at the cut"),
        (lambda *given: print(end="") or None, "your function returns None"),
        (lambda *given: 3, "yours is of type int"),
        (lambda *given: ["Where is it?"], "'Where is it?' in yours is of type str"),
        (then(lambda cue, start, end: forced(cue, text=None)),
         "text is a string; None is of type NoneType"),
        (then(lambda cue, start, end: forced(cue, words=["Where"])),
         "a tuple of `Word`; 'Where is it?' has ['Where']"),
        (then(lambda cue, start, end: forced(cue, words=None)),
         "a tuple of `Word`; 'Where is it?' has None"),
        (lambda cues, start, end: cues[99], "stopped with IndexError"),
    ],
)  # fmt: skip
def test_a_usual_mistake_in_rebasing_is_named_with_its_reason(attempt, message):
    verdict = check.rebased(attempt)
    assert verdict.right is False
    assert message in repr(verdict)


def test_the_exercise_of_rebasing_covers_every_position_of_a_cue_and_the_cuts():
    film = _conversation()
    words = [word for cue in film.cues for word in cue.text.split()]
    assert len(set(words)) == len(words), "the checker finds a word by its letters"
    homes = [
        {i for i, own in enumerate(film.by_clip) for piece in own if piece.text in cue.text}
        for cue in film.cues
    ]
    edges = {clip.start for clip in film.clips}
    assert [len(clips) for clips in homes] == [1, 2, 1, 1, 3]
    assert [(cue.start in edges, cue.end in edges) for cue in film.cues[2:4]] == [
        (False, True),
        (True, False),
    ]

"""Role-play dialogues: nothing lost or doubled, and no answer is heard before it is given."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talks import TALK, clip, drawn

from omni_lab.errors import UsageError
from omni_lab.triplets.dialogues.export import messages
from omni_lab.triplets.dialogues.roleplay import OWN_SOUND, dialogue, trimmed
from omni_lab.triplets.record import EncodedClip

PAUSES = st.sampled_from([0.0, 10 / 16_000, 1.0])
ANY = given(drawn(), st.sampled_from(OWN_SOUND), PAUSES)


def heard(parts, duration) -> np.ndarray:
    """Number of times that each sample is in a part."""
    count = np.zeros(duration, int)
    for part in parts:
        if part.kind == "audio":
            count[part.start : part.end] += 1
    return count


def own_cues(of: EncodedClip) -> list[dict]:
    return [cue for cue in of.record["cues"] if cue["role"] == "guide" and cue["text"].strip()]


@settings(deadline=None, max_examples=80)
@ANY
def test_everything_is_given_once_and_in_order(drawn, own_sound, pause_s):
    """Every frame, every real sample and every cue's text; no sample of padding."""
    made = clip(*drawn)
    parts = dialogue(made, "guide", own_sound, pause_s).parts
    assert [part.index for part in parts if part.kind == "image"] == list(range(len(made.jpegs)))
    assert [part.start for part in parts if part.kind == "image"] == made.record["frame_times"]

    cues = made.record["cues"]
    lines = [part for part in parts if part.kind == "text"]
    written = [i for i, cue in enumerate(cues) if cue["text"].strip()]
    assert sorted(part.index for part in lines) == written
    for part in lines:
        assert (part.start, part.end, part.text) == tuple(cues[part.index].values())[:3]
    assert [part.start for part in lines] == sorted(part.start for part in lines)

    duration = made.record["end"]
    film = np.zeros(duration, int)
    for start, end in made.record["quality"].get("audio_spans", []):
        film[start:end] = 1
    if own_sound == "never":
        for cue in own_cues(made):
            film[cue["start"] : cue["end"]] = 0
    np.testing.assert_array_equal(heard(parts, duration), film)
    sounds = [part for part in parts if part.kind == "audio"]
    assert all(part.start < part.end for part in sounds)
    assert all(a.end <= b.start for a, b in pairwise(sounds))


@settings(deadline=None, max_examples=80)
@ANY
def test_no_answer_is_seen_or_heard_before_it_is_given(drawn, own_sound, pause_s):
    """Nothing before a line of the model begins with it or after it, however cues overlap."""
    made = clip(*drawn)
    latest = 0
    for part in dialogue(made, "guide", own_sound, pause_s).parts:
        role = made.record["cues"][part.index]["role"] if part.kind == "text" else None
        if part.kind == "text" and role == "guide" and own_sound != "first":
            assert latest <= part.start
        if part.kind != "text":
            latest = max(latest, part.end, part.start + 1)


@settings(deadline=None, max_examples=80)
@ANY
def test_what_was_there_before_a_turn_comes_before_it(drawn, own_sound, pause_s):
    """Everything that lies before the start of a turn's first line precedes that line."""
    made = clip(*drawn)
    spoken = dialogue(made, "guide", own_sound, pause_s)
    before: list = []
    for turn in spoken.turns:
        first = next((part for part in turn.parts if part.kind == "text"), None)
        for part in turn.parts:
            if part is first:
                rest = [
                    other for other in spoken.parts if other.kind != "text" and other not in before
                ]
                assert all(other.start >= first.start for other in rest)
            before.append(part)


@settings(deadline=None, max_examples=80)
@ANY
def test_turns_change_hands(drawn, own_sound, pause_s):
    """Neighbours differ in role, the model's turns are text only, and messages alternate."""
    made = clip(*drawn)
    spoken = dialogue(made, "guide", own_sound, pause_s)
    assert all((a.role, a.speaker) != (b.role, b.speaker) for a, b in pairwise(spoken.turns))
    for turn in spoken.turns:
        assert turn.parts
        assert (turn.speaker == "assistant") == (turn.role == "guide")
        if turn.speaker == "assistant":
            assert {part.kind for part in turn.parts} == {"text"}
    assert all(a["role"] != b["role"] for a, b in pairwise(messages(spoken)))
    cut = trimmed(spoken)
    assert cut.answers == spoken.answers - (
        spoken.turns[:1] != () and spoken.turns[0].speaker == "assistant"
    )
    if cut.turns:
        assert (cut.turns[0].speaker, cut.turns[-1].speaker) == ("user", "assistant")


def outline(spoken) -> list[str]:
    """A line per turn: role, then i for a frame, start-end for audio, and the text."""
    shown = {
        "image": lambda p: f"i{p.index}",
        "audio": lambda p: f"{p.start}-{p.end}",
        "text": lambda p: p.text,
    }
    return [
        f"{turn.role}: {' '.join(shown[part.kind](part) for part in turn.parts)}"
        for turn in spoken.turns
    ]


def test_the_models_own_sound_comes_later_never_or_first():
    assert outline(dialogue(TALK, "guide")) == [
        "visitor: i0 5-40 Colour?", "guide: Red.", "visitor: i1 i2 40-80 85-120 Word? 120-130",
        "guide: Music. Louder now.", "None: i3 i4 130-200",
    ]  # fmt: skip
    assert outline(dialogue(TALK, "guide", "never")) == [
        "visitor: i0 5-40 Colour?", "guide: Red.", "visitor: i1 i2 60-80 85-120 Word? 120-130",
        "guide: Music. Louder now.", "None: i3 i4 150-155 170-200",
    ]  # fmt: skip
    assert outline(dialogue(TALK, "guide", "first")) == [
        "visitor: i0 5-40 Colour? i1 40-60", "guide: Red.",
        "visitor: i2 60-80 85-120 Word? i3 120-150",
        "guide: Music. Louder now.", "None: i4 150-200",
    ]  # fmt: skip


def test_the_model_looks_again_after_a_pause():
    """One role alone: close lines are one turn; frames and audio of a pause have no role."""
    talk = clip(
        [(0, 40, "guide", "A."), (45, 60, "guide", "b."), (90, 99, "guide", "C.")],
        [20, 70],
        [(0, 100)],
    )
    assert outline(dialogue(talk, "guide", pause_s=10 / 16_000)) == [
        "guide: A. b.", "None: i0 i1 0-90", "guide: C.", "None: 90-100",
    ]  # fmt: skip
    assert outline(dialogue(talk, "Guide ")) == ["guide: A. b. C.", "None: i0 i1 0-100"]
    text_only = clip([(0, 40, "guide", "A."), (90, 99, "guide", "C.")])
    assert outline(dialogue(text_only, "guide", pause_s=0.0)) == ["guide: A. C."]


def test_a_role_that_is_absent_gives_no_answers_and_a_wrong_call_is_refused():
    spoken = dialogue(TALK, "curator")
    assert (spoken.answers, trimmed(spoken).turns) == (0, ())
    assert {turn.speaker for turn in spoken.turns} == {"user"}
    assert dialogue(clip(), "guide").turns == ()
    with pytest.raises(UsageError, match="role is empty"):
        dialogue(TALK, " ")
    with pytest.raises(UsageError, match="one of later, never, first"):
        dialogue(TALK, "guide", "sometimes")

"""What a run has learned and what not, in words: nobody should have to find it in a table.

Runs of one recipe differ, by their seed and by the rounding of their machine, so that now and then
one has not learned a fact that all others have.
"""

from __future__ import annotations

from typing import Any

LEARNED = 0.9  # accuracy on unseen scenes from which a fact counts as learned
HALF = 0.5  # of the way from chance to 1; below it a fact counts as not learned


def unlearned(summary: dict[str, Any]) -> dict[str, str]:
    """Facts below `LEARNED` on unseen scenes, the weakest first: `not learned` or `learned in part`.

    >>> weak = {"motion": {"accuracy": 0.33, "chance": 0.2}, "word": {"accuracy": 0.8, "chance": 0.04}}
    >>> unlearned({"facts": weak | {"colour": {"accuracy": 0.99, "chance": 0.125}}})
    {'motion': 'not learned', 'word': 'learned in part'}
    """
    scores = {fact: score for fact, score in (summary.get("facts") or {}).items() if score}
    low = [fact for fact, score in scores.items() if score["accuracy"] < LEARNED]
    low.sort(key=lambda fact: scores[fact]["accuracy"])
    return {fact: "not learned" if _way(scores[fact]) < HALF else "learned in part" for fact in low}


def _way(score: dict[str, Any]) -> float:
    """How far an accuracy is on the way from chance to 1."""
    chance = score.get("chance") or 0.0
    return (score["accuracy"] - chance) / (1 - chance)


def learned_in_words(summary: dict[str, Any]) -> list[str]:
    """What was not learned, a line for each fact; one line where all was learned.

    >>> for line in learned_in_words({"facts": {"motion": {"accuracy": 0.33, "chance": 0.2}}}):
    ...     print(line)
    ✗ NOT LEARNED: motion. Right are .33 of its answers on unseen scenes; guessing gives .20
    >>> learned_in_words({"facts": {"colour": {"accuracy": 0.99, "chance": 0.125}}})
    ['✓ all 1 facts learned: each has .90 or more of its answers right on unseen scenes']
    """
    scores = summary.get("facts") or {}
    lines = [
        f"✗ {verdict.upper()}: {fact}. Right are {_short(scores[fact]['accuracy'])} of its answers "
        f"on unseen scenes; guessing gives {_short(scores[fact].get('chance') or 0.0)}"
        for fact, verdict in unlearned(summary).items()
    ]
    if not scores:
        return ["○ no questions about unseen scenes were asked"]
    each = f"each has {_short(LEARNED)} or more of its answers right on unseen scenes"
    return lines or [f"✓ all {len(scores)} facts learned: {each}"]


def _short(value: float) -> str:
    """Fraction with two decimals and no leading zero, as in this project's texts."""
    return f"{value:.2f}".removeprefix("0")

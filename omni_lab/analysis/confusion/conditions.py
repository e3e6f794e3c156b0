"""Conditions of a question: which modalities were swapped, dropped or kept, told by a word or two.

`original`, `swap_image`, `drop_image_audio`, `only_text`, `image+text`, `blind`.
"""

from __future__ import annotations

from dataclasses import dataclass

from omni_lab.analysis.confusion.names import SENSES, senses_in
from omni_lab.analysis.logs.names import words
from omni_lab.errors import InputError

_VERBS = {
    "swap": "swap swapped permute permuted permutation shuffle shuffled random randomised "
    "randomized mismatch mismatched counterfactual flip flipped replace replaced",
    "drop": "drop dropped no without remove removed mask masked ablate ablated blank blanked zero "
    "zeroed silence silenced mute muted missing minus",
    "keep": "keep kept only just with",
}
_VERB_OF = {word: verb for verb, many in _VERBS.items() for word in many.split()}
_ORIGINAL = {
    "original",
    "orig",
    "full",
    "all",
    "clean",
    "intact",
    "unchanged",
    "baseline",
    "factual",
}
_NOTHING = {"blind", "nothing", "empty"}  # `none` could mean that nothing was changed
_RIGHT = "original, swap_image, drop_image_audio, only_text are; --column condition= ignores all"
_FILLERS = {"and", "the", "modality", "modalities", "senses", "of"}


@dataclass(frozen=True)
class Condition:
    """Condition by its words, what was done (original, swap, drop or keep), and to which senses."""

    name: str
    kind: str
    senses: frozenset[str]

    def intact(self, senses: tuple[str, ...]) -> frozenset[str]:
        """Of these senses, those that are as they were."""
        if self.kind == "keep":
            return self.senses & set(senses)
        return frozenset(senses) - self.senses


def condition_of(name: str) -> Condition:
    """Condition that a word or two say.

    >>> condition_of("no audio"), condition_of("image+text").kind
    (Condition(name='no_audio', kind='drop', senses=frozenset({'audio'})), 'keep')

    Raises
    ------
    InputError
        it says no condition that is known
    """
    said = [word for word in words(name) if word not in _FILLERS]
    whole = "_".join(words(name))
    if len(said) == 1 and said[0] in _ORIGINAL:
        return Condition("original", "original", frozenset())
    if len(said) == 1 and said[0] in _NOTHING:
        return Condition(whole, "keep", frozenset())
    verbs = list(dict.fromkeys(_VERB_OF[word] for word in said if word in _VERB_OF))
    rest = [word for word in said if word not in _VERB_OF]
    senses = frozenset(SENSES) if rest == ["all"] else frozenset(senses_in(rest))
    known = rest == ["all"] or all(senses_in([word]) for word in rest)
    if not senses or not known or len(verbs) > 1:
        raise InputError(f"condition {name[:60]!r} is not known; {_RIGHT}")
    return Condition(whole, verbs[0] if verbs else "keep", senses)

"""Area under the ROC curve: how well scores tell wrong words from right ones (notebook 06)."""

from __future__ import annotations

import random

from omni_lab.check.stopping import Stopping


def _auc(scores, wrong) -> float:
    """The area, by the library that measures it.

    Another way than `auc` in `omni_lab/reproduce/runs/svlm.py`, which adds up ranks itself: a judge
    that shared its code would share its mistakes. A test holds them against each other.
    """
    import numpy as np
    from scipy.stats import mannwhitneyu

    scores, wrong = np.array(scores, float), np.array(wrong, bool)
    above = mannwhitneyu(scores[wrong], scores[~wrong]).statistic
    return float(above / (wrong.sum() * (~wrong).sum()))


def _pairs(
    of_a_pair=lambda high, low: 0.5 if high == low else high > low,
    counts=lambda wrong, other: wrong and not other,
    number=lambda wrong, words: wrong * (words - wrong),
    over=lambda above, pairs: above / pairs,
    outer=lambda scores, wrong: (scores, wrong),
    inner=lambda scores, wrong: (scores, wrong),
    first=0,
):
    """Mistake in how pairs are counted."""

    def auc(scores, wrong):
        above = first
        for high, is_wrong in zip(*outer(scores, wrong), strict=True):
            for low, other in zip(*inner(scores, wrong), strict=True):
                if counts(is_wrong, other):
                    above += of_a_pair(high, low)
        return over(above, number(sum(wrong), len(wrong)))

    return auc


def _drawn(source: random.Random) -> tuple:
    count = source.randrange(4, 12)
    wrong = [True, False] + [source.random() < 0.4 for _ in range(count - 2)]
    source.shuffle(wrong)
    return [source.choice([0.2, 0.5, 1.0, 1.7, 2.6]) for _ in wrong], wrong


_RULE = "of all pairs (a wrong word, a right word): the share in which the wrong one scores higher, ties half"
_TIE = "a pair counts 1 where the wrong word is higher, one half where both are equal, else 0"
_WHO = "a pair is one wrong word and one right word"
_HOW_MANY = "divide by the number of pairs, wrong words times right words"
_LISTS = "walk with zip(scores, wrong), twice"
auc = Stopping(
    right=_auc,
    cases=[
        ([3.0, 2.0, 1.0], [True, False, False]),
        ([3.0, 1.0, 2.0, 0.5], [True, False, True, False]),
        ([1.0, 2.0, 3.0, 4.0, 2.5], [True, False, True, False, False]),
        ([1.0, 1.0, 2.0], [True, False, False]),
        ([2.0, 2.0, 2.0, 1.0], [True, False, True, False]),
        ([0.5, 0.25, 4.0, 4.0, 3.0, 1.0], [False, True, True, False, False, True]),
    ],
    rule=_RULE,
    mistakes=[
        (
            _pairs(lambda high, low: 0.5 if high == low else high < low),
            "this counts pairs in which the wrong word scores *lower*",
        ),
        (_pairs(lambda high, low: high > low), f"a tie counts 0: {_TIE}"),
        (_pairs(lambda high, low: high >= low), f"a tie counts 1: {_TIE}"),
        (_pairs(lambda high, low: high < low), f"pairs in which the wrong word is lower; and {_TIE}"),
        (_pairs(lambda high, low: high <= low), f"pairs in which the wrong word is lower; and {_TIE}"),
        (
            _pairs(lambda high, low: 0.5 if high != low else high > low),
            f"every pair *without* a tie counts one half: {_TIE}",
        ),
        (
            _pairs(lambda high, low: high > low if high == low else 0.5),
            f"every pair *without* a tie counts one half: {_TIE}",
        ),
        (_pairs(lambda high, low: 0.5 if high < low else high > low), f"too much for a lower one: {_TIE}"),
        (_pairs(lambda high, low: 0.5 if high <= low else 1), f"too much for a lower one: {_TIE}"),
        (_pairs(lambda high, low: 0.5 if high > low else high > low), f"too little for a higher one: {_TIE}"),
        (_pairs(lambda high, low: 0.5 if high >= low else 0), f"too little for a higher one: {_TIE}"),
        (_pairs(lambda high, low: 0.5 if high == low else 0), "only ties are counted, and no win"),
        (_pairs(lambda high, low: high == low), "only ties are counted, and no win"),
        (
            _pairs(lambda high, low: 0.5 if high == low else 1),
            "every pair without a tie counts 1: compare the two scores",
        ),
        (_pairs(lambda high, low: 1), "every pair counts 1: compare the two scores"),
        (_pairs(lambda high, low: high - low), "how far apart two scores are does not count, only which is higher"),
        (
            _pairs(counts=lambda wrong, other: wrong and other),
            f"two wrong words are compared: {_WHO}",
        ),
        (
            _pairs(counts=lambda wrong, other: not wrong and not other),
            f"two right words are compared: {_WHO}",
        ),
        (
            _pairs(counts=lambda wrong, other: wrong or not other),
            f"`or` lets in pairs that are none: {_WHO}",
        ),
        (_pairs(counts=lambda wrong, other: wrong), f"a wrong word is compared with wrong ones too: {_WHO}"),
        (_pairs(counts=lambda wrong, other: not other), f"right words are compared with right ones too: {_WHO}"),
        (_pairs(counts=lambda wrong, other: True), f"all words are compared with all: {_WHO}"),
        (
            _pairs(counts=lambda wrong, other: True, number=lambda wrong, words: words * words),
            f"all words are compared with all: {_WHO}",
        ),
        (_pairs(number=lambda wrong, words: 1), f"this is a number of pairs: {_HOW_MANY}"),
        (_pairs(over=lambda above, pairs: above * pairs), f"multiplied by the number of pairs: {_HOW_MANY}"),
        (_pairs(over=lambda above, pairs: above // pairs), "// drops what is left over: divide with /"),
        (_pairs(number=lambda wrong, words: words), f"divided by the number of words: {_HOW_MANY}"),
        (_pairs(number=lambda wrong, words: wrong), f"divided by the number of wrong words: {_HOW_MANY}"),
        (_pairs(number=lambda wrong, words: words - wrong), f"divided by the number of right words: {_HOW_MANY}"),
        (_pairs(number=lambda wrong, words: wrong * wrong), f"divided by wrong · wrong: {_HOW_MANY}"),
        (_pairs(number=lambda wrong, words: wrong * words), f"divided by wrong · all words: {_HOW_MANY}"),
        (_pairs(number=lambda wrong, words: words * words), f"divided by all · all words: {_HOW_MANY}"),
        (_pairs(number=lambda wrong, words: words * (words - 1)), f"divided by all pairs of words: {_HOW_MANY}"),
        (_pairs(number=lambda wrong, words: wrong / (words - wrong)), f"a ratio is no number of pairs: {_HOW_MANY}"),
        (
            _pairs(number=lambda wrong, words: wrong * (words + wrong)),
            f"right words are all words *minus* the wrong ones: {_HOW_MANY}",
        ),
        (
            lambda scores, wrong: _pairs(number=lambda w, n: sum(scores) * (n - w))(scores, wrong),
            f"scores are added up where wrong words are to be counted: {_HOW_MANY}",
        ),
        (
            lambda scores, wrong: _pairs(number=lambda w, n: w * (n - sum(scores)))(scores, wrong),
            f"scores are added up where wrong words are to be counted: {_HOW_MANY}",
        ),
        (_pairs(outer=lambda s, w: (w, s)), f"scores and marks have changed places: {_LISTS}"),
        (_pairs(inner=lambda s, w: (w, s)), f"scores and marks have changed places: {_LISTS}"),
        (_pairs(first=1), "counting begins at 0"),
        (_pairs(first=-1), "counting begins at 0"),
        (
            lambda scores, wrong: sum(s for s, w in zip(scores, wrong, strict=True) if w) / sum(wrong),
            "this is the mean score of the wrong words: count pairs",
        ),
    ],
    inputs=_drawn,
    stops={"division by zero": _HOW_MANY},
    shows="0.5 is guessing, 1 tells every wrong word, 0 tells them too, upside down",
)  # fmt: skip

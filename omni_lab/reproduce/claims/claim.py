"""A claim of an article: what it says, who else says so, and which of our experiments bear on it."""

from __future__ import annotations

from dataclasses import dataclass

# who else says so
MAINTAINER, PAPER, ARTICLE = "maintainer", "paper", "article"


@dataclass(frozen=True)
class Evidence:
    """Experiment that bears on a claim: it judges the claim, or works with what is claimed.

    Parameters
    ----------
    words : what was compared, or what was done without comparing; no numbers, the record has them
    part : key of the record's `claims` that judges this claim; empty where no criterion does
    """

    experiment: str
    words: str
    part: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim of an article, in our own words.

    Parameters
    ----------
    support : who says so, of `MAINTAINER`, `PAPER`, `ARTICLE` (nobody else); several where parts of
        the claim differ
    note : what the support covers, and what is left open
    ours : how the project does it, or why it does not yet
    code : where, as paths of the project
    """

    id: str
    title: str
    text: str
    support: tuple[str, ...]
    note: str = ""
    ours: str = ""
    code: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

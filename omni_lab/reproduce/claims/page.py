"""The page `docs/claims.md`: every claim, who supports it, where it is met, what was measured.

Verdicts and numbers are read from `results/<id>/record.json`, the notebooks from their own sections
on claims, so that a new record or notebook changes the page the next time it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from omni_lab.errors import InputError
from omni_lab.reproduce.claims.claim import ARTICLE, MAINTAINER, PAPER, Claim, Evidence
from omni_lab.reproduce.claims.omchat import OMCHAT
from omni_lab.reproduce.claims.omni_stages import OMNI_STAGES
from omni_lab.reproduce.claims.omni_training import OMNI_TRAINING
from omni_lab.reproduce.claims.omnilmm import OMNILMM
from omni_lab.reproduce.record import read_record

CLAIMS: tuple[Claim, ...] = (
    *sorted((*OMNILMM, *OMNI_STAGES, *OMNI_TRAINING), key=lambda claim: int(claim.id[1:])),
    *OMCHAT,
)
UNTESTED = "not yet tested"
SUPPORT = {
    MAINTAINER: "a maintainer, or the code of the model",
    PAPER: "the paper",
    ARTICLE: "the article alone",
}
_ROOT = Path(__file__).parents[3]  # of the checkout
_HEAD = """\
# Claims

<!-- Written by `make docs` from omni_lab/reproduce/claims and results/; changes by hand are lost. -->

This project goes back to two articles in Chinese, each about one system.

- **O** is [an article on the Omni pretraining stage of OpenBMB's OmniLMM]\
(https://blog.gitcode.com/9618e6dbc0598d981b38536fb5e57316.html)
  (“OpenBMB/OmniLMM项目中的Omni预训练阶段技术解析”, GitCode, May 2025). The system is called
  [MiniCPM-o](https://github.com/OpenBMB/MiniCPM-o) today. Its papers are *MiniCPM-V: A GPT-4V Level MLLM on Your Phone*
  ([Yao et al. 2024](https://arxiv.org/abs/2408.01800)) and *MiniCPM-o 4.5*
  ([Cui et al. 2026](https://arxiv.org/abs/2604.27393)).
- **C** is [a summary of OmChat](https://freewechat.com/a/MzIwMTc4ODE0Mw==/2247673845/1)
  (“联汇科技OmChat：突破长视频理解极限的多模态大模型”, WeChat; the link is a mirror).
  The paper is *OmChat: A Recipe to Train Multimodal Language Models with Strong Long Context and Video Understanding*
  ([Zhao et al. 2024](https://arxiv.org/abs/2407.04923)).

Here is every claim of the two, in our own words: who else says so, where you meet it, and what we have measured.
As far as we know, the training code of these stages has not been published, so we test the claims with our own.

**Support** tells who says so: *a maintainer* of the system, or its published code · *the paper* · *the article alone*.
What only an article says is a hypothesis, to be tested.

**At our scale** is the verdict of an experiment over several seeds, by criteria that were written down before it ran.
It is about a small model in a small world: it says what we found there, never how the large system behaves.

- *reproduced*: every criterion holds. *not reproduced*: one fails. *undecided*: the seeds differ more than the effect.
- *not yet tested*: no criterion of ours is about this claim. Where an experiment does what is claimed, and compares it
  with nothing else, it is named; its verdict is about its own question. Many claims describe a practice, such as sound
  at 16 kHz. To follow one is not to test it.

A criterion is given with its mean over seeds and the worst value that counts: an end of the 95 % interval, or the worst
seed.

How the verdicts are made: [results/README.md](../results/README.md). Words: [glossary](glossary.md).

## All claims

| | in short | support | at our scale |
|---|---|---|---|
"""
_PARTS = {
    "O": "## Article O: the Omni stage of OmniLMM (MiniCPM-o)",
    "C": "## Article C: OmChat",
}


def claims_page() -> str:
    """Markdown of the page, from the claims, the records, and the notebooks of the checkout."""
    met = notebooks_by_claim()
    lines = [_HEAD.rstrip("\n"), *map(_row, CLAIMS), ""]
    for letter, title in _PARTS.items():
        lines += [title, ""]
        for claim in CLAIMS:
            if claim.id.startswith(letter):
                lines += _section(claim, met.get(claim.id, []))
    return "\n".join(lines).rstrip("\n") + "\n"


def notebooks_by_claim() -> dict[str, list[str]]:
    """Claim → names of the notebooks that name it under *Which claims this bears on*."""
    met: dict[str, list[str]] = {}
    for path in sorted((_ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        section = text.partition("## Which claims this bears on")[2].partition("\n## ")[0]
        for name in dict.fromkeys(re.findall(r"\b[OC]\d{1,2}\b", section)):
            met.setdefault(name, []).append(path.name)
    return met


def verdict_of(evidence: Evidence) -> str:
    """Verdict of the record: on the claim's part where it has one, else on its own question."""
    try:
        record = read_record(evidence.experiment)
    except InputError:
        return UNTESTED
    return record["claims"][evidence.part] if evidence.part else record["verdict"]


def _row(claim: Claim) -> str:
    """Row of the table of all claims."""
    judged = [f"{_asked(e)}: **{verdict_of(e)}**" for e in claim.evidence if e.part]
    used = ", ".join(e.experiment for e in claim.evidence if not e.part)
    scale = "<br>".join(judged) or (f"{UNTESTED} (used in {used})" if used else UNTESTED)
    support = ", ".join(claim.support)
    return f"| [{claim.id}](#{claim.id.lower()}) | {claim.title} | {support} | {scale} |"


def _asked(evidence: Evidence) -> str:
    """Part of a record that judges a claim, as a question: its key without the claim's number."""
    return re.sub(r"^[OC]\d+ ", "", evidence.part)


def _section(claim: Claim, notebooks: list[str]) -> list[str]:
    """Lines of a claim's own section, with the anchor that notebooks link to."""
    support = "; ".join(SUPPORT[s] for s in claim.support)
    met = " · ".join(f"[{name[:2]}](../notebooks/{name})" for name in notebooks)
    code = " · ".join(f"[`{path}`](../{path})" for path in claim.code)
    lines = [
        f'<a id="{claim.id.lower()}"></a>',
        "",
        f"### {claim.id} · {claim.title}",
        "",
        claim.text,
        "",
        f"- **Support:** {support}.{' ' + claim.note if claim.note else ''}",
        f"- **In the project:** {claim.ours or 'not yet there.'}{' ' + code if code else ''}",
        f"- **Notebooks:** {met or 'none yet'}",
        "- **At our scale:**" + ("" if any(e.part for e in claim.evidence) else f" {UNTESTED}"),
    ]
    for evidence in claim.evidence:
        lines += [f"  - {line}" for line in _measured(evidence)]
    return [*lines, ""]


def _measured(evidence: Evidence) -> Iterator[str]:
    """What a record says: verdict, what it is on, and the criteria with their numbers."""
    name = evidence.experiment
    try:
        record = read_record(name)
    except InputError:
        part = f", {_asked(evidence)}" if evidence.part else ""
        yield f"`{name}`{part}: no record yet. {_sentence(evidence.words)}"
        return

    link = f"[{name}](../results/{name}/record.json)"
    seeds = f"{len(record['seeds'])} seeds"
    criteria = [c for c in record["criteria"] if c.get("claim", "") == evidence.part]
    if evidence.part:
        yield (
            f"{_asked(evidence)}: **{verdict_of(evidence)}** ({link}, {seeds}). "
            f"{_sentence(evidence.words)} {_listed(record, criteria)}"
        )
        return
    missed = [c for c in record["criteria"] if not c["holds"]]
    held = f"{len(record['criteria']) - len(missed)} of {len(record['criteria'])} criteria hold"
    fails = f"; those that do not: {_listed(record, missed)}" if missed else "."
    yield (
        f"{link} ({seeds}): {evidence.words}. Its verdict is about its own claim, "
        f"“{record['claim']}”: **{record['verdict']}**; {held}{fails}"
    )


def _listed(record: dict, criteria: list[dict]) -> str:
    """Criteria with their mean over seeds, and the worst value that counts."""
    shown = []
    for criterion in criteria:
        name = criterion["metric"]
        bound = criterion["must_be"].replace(">=", "at least").replace("<=", "at most")
        numbers = f"{record['metrics'][name]['mean']:.3f}, worst {criterion['worst']:.3f}"
        shown.append(f"`{name}` {numbers}, must be {bound}")
    return "; ".join(shown) + "."


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."

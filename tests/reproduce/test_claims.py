"""The page on the source articles' claims: complete, up to date, and no more than records say."""

import json
import re
from pathlib import Path

import pytest

from omni_lab.cli.main import main
from omni_lab.reproduce.claims.claim import ARTICLE, MAINTAINER, PAPER, Claim, Evidence
from omni_lab.reproduce.claims.page import CLAIMS, claims_page, notebooks_by_claim, verdict_of
from omni_lab.reproduce.record import VERDICTS
from omni_lab.reproduce.registry import EXPERIMENTS

ROOT = Path(__file__).resolve().parents[2]
IDS = [*(f"O{n}" for n in range(1, 23)), *(f"C{n}" for n in range(1, 16))]
JUDGED = [(claim, evidence) for claim in CLAIMS for evidence in claim.evidence if evidence.part]


def page():
    return (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")


def section(name):
    """The section of one claim, from its anchor to the next."""
    return page().partition(f'<a id="{name.lower()}"></a>')[2].partition("<a id=")[0]


def test_the_committed_page_is_what_the_records_and_notebooks_make_it():
    assert page() == claims_page(), "a record, a notebook or a claim has changed: run make docs"


def test_the_command_writes_the_same_page(tmp_path):
    assert main(["reproduce", "--claims", str(tmp_path / "new" / "claims.md")]) == 0
    assert (tmp_path / "new" / "claims.md").read_text(encoding="utf-8") == page()


def test_every_claim_of_both_articles_is_there_once_with_an_anchor():
    assert [claim.id for claim in CLAIMS] == IDS
    assert re.findall(r'^<a id="(.+)"></a>$', page(), re.M) == [name.lower() for name in IDS]
    assert re.findall(r"^\| \[\w+\]\(#(\w+)\)", page(), re.M) == [name.lower() for name in IDS]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_says_who_supports_it_and_names_only_files_that_exist(claim):
    assert claim.text and claim.title
    assert claim.support and set(claim.support) <= {MAINTAINER, PAPER, ARTICLE}
    assert not [path for path in claim.code if not (ROOT / path).is_file()]


def test_links_of_the_page_lead_somewhere():
    targets = set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", page()))
    assert not [t for t in targets if not (ROOT / "docs" / t.partition("#")[0]).exists()]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_bears_on_the_claims_that_the_registry_names(name):
    named = re.findall(r"\b[OC]\d+\b", EXPERIMENTS[name][1])
    bearing = [c.id for c in CLAIMS if name in {evidence.experiment for evidence in c.evidence}]
    assert bearing == sorted(named, key=IDS.index)


@pytest.mark.parametrize(("claim", "evidence"), JUDGED)
def test_a_verdict_is_the_records_own(claim, evidence):
    path = ROOT / "results" / evidence.experiment / "record.json"
    if not path.exists():
        assert f"`{evidence.experiment}`" in section(claim.id) and "no record yet" in section(
            claim.id
        )
        return
    said = json.loads(path.read_text())["claims"][evidence.part]
    assert said in VERDICTS
    question = re.sub(r"^[OC]\d+ ", "", evidence.part)
    assert f"{question}: **{said}**" in section(claim.id)
    assert f"{question}: **{said}**" in page().partition(f"| [{claim.id}](")[2].splitlines()[0]


def test_every_part_of_a_record_that_judges_a_claim_is_on_the_page():
    shown = {(evidence.experiment, evidence.part) for _, evidence in JUDGED}
    judging = {experiment for experiment, _ in shown}
    for path in (ROOT / "results").glob("*/record.json"):
        if path.parent.name not in judging:  # its parts are about a question of our own
            continue
        for part in json.loads(path.read_text()).get("claims", {}):
            assert (path.parent.name, part) in shown, f"{path.parent.name} judges {part!r}"


def test_a_claim_that_no_criterion_is_about_is_not_yet_tested_whatever_a_record_says():
    for claim in CLAIMS:
        if not any(evidence.part for evidence in claim.evidence):
            row = page().partition(f"| [{claim.id}](")[2].splitlines()[0]
            assert "not yet tested" in row and "**" not in row


def test_an_experiment_without_a_record_has_tested_nothing():
    assert verdict_of(Evidence("no_such_record", "words", "O1 part")) == "not yet tested"
    assert Claim("O1", "title", "text", (ARTICLE,)).evidence == ()


def test_notebooks_are_found_by_their_own_section_on_claims():
    met = notebooks_by_claim()
    assert set(met) <= set(IDS)
    assert "01_triplets.ipynb" in met["O13"] and "08_ring_attention.ipynb" in met["C6"]
    assert "](../notebooks/01_triplets.ipynb)" in section("O13")

"""`omni-lab doctor`: it sees what is there, says what is missing and how to get it, and its exit code follows."""

import importlib.metadata
import json

import pytest

from omni_lab import doctor
from omni_lab.cli.main import main
from omni_lab.doctor import Package, examine, lacking, satisfies, written


def test_where_the_tests_pass_the_core_is_whole(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["whole"] is True
    assert report["parts"]["torch"]["device"] in ("cpu", "cuda", "mps")
    assert set(report["parts"]["pyav"]["libraries"]) >= {"libavcodec", "libavformat"}
    assert report["parts"]["espeak"]["languages"] > 50
    groups = {package["name"]: package["group"] for package in report["packages"]}
    assert groups["torch"] == "core" and groups["pytest"] == "dev"


def test_the_text_names_what_a_bug_report_needs(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for word in (
        "python",
        "os",
        "cpu",
        "cores",
        "memory_gb",
        "torch",
        "ffmpeg",
        "espeak",
        "the core is whole",
    ):
        assert word in said


def test_a_missing_core_package_is_named_with_the_command_that_gets_it(monkeypatch, capsys):
    version = importlib.metadata.version

    def without_av(name):
        if name == "av":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0" if name == "numpy" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_av)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "MISSING: av" in said and "MISSING: numpy>=" in said and "(1.0 is installed)" in said
    assert f"get it with: {doctor.INSTALL}" in said


def test_an_uninstalled_checkout_is_missing_itself(monkeypatch):
    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", nothing)
    report = examine()
    assert not report.whole
    assert "omni_lab itself is not installed" in written(report)


def test_a_part_that_cannot_load_is_reported_and_the_rest_goes_on(monkeypatch):
    def broken():
        raise OSError("libavcodec.so: cannot open shared object file")

    monkeypatch.setattr(doctor, "film_codecs", broken)
    report = examine()
    assert "libavcodec.so" in report.parts["pyav"]["error"]
    assert "device" in report.parts["torch"]
    assert not report.whole


def test_a_missing_extra_is_optional():
    found = [Package("ray", ">=2.50", "scale", None), Package("numpy", ">=2.0", "core", "2.4.6")]
    (missing,) = lacking(found)
    assert not missing.core
    assert missing.get == "pip install -e '.[scale]'"


@pytest.mark.parametrize(
    ("version", "needed", "fits"),
    [
        ("2.13.0+cpu", ">=2.13", True),
        ("2.9", ">=2.13", False),
        ("18.1.0", ">=15,<19", True),
        ("19.0.0", "<19,>=15", False),
        ("5.0.0rc1", ">=5.0", True),
        ("1.2.3", "", True),
        ("2.0", "==2.0.0", True),
        ("1.4.2", "~=1.4", True),
        ("2.0", "~=1.4", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version, needed, fits):
    assert satisfies(version, needed) is fits

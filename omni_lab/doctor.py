"""Environment check, `omni-lab doctor`: versions, hardware, and missing packages with their remedy.

Everything is looked up at the moment of the call: nothing is cached, nothing is sent anywhere. Its
text is what a bug report should quote.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omni_lab import __version__

EXTRAS = ("dev", "scale", "gpu", "real")
INSTALL = "pip install -c constraints-cpu.txt -e '.[dev]'"  # in the repository's folder


@dataclass(frozen=True)
class Package:
    """Declared dependency: the version range needed and the version installed."""

    name: str
    needed: str  # such as ">=2.0"; empty where any version will do
    group: str  # "core" or the extra that declares it
    installed: str | None

    @property
    def fits(self) -> bool:
        """Whether an allowed version is installed."""
        return self.installed is not None and satisfies(self.installed, self.needed)


@dataclass(frozen=True)
class Missing:
    """Missing part of the environment, and the command that gets it."""

    what: str
    get: str
    core: bool  # whether omni_lab's own commands need it


@dataclass
class Report:
    """Report of the environment: system, packages, parts, and what is missing."""

    system: dict[str, Any]
    packages: list[Package]
    parts: dict[str, dict[str, Any]]
    missing: list[Missing] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Completeness: whether everything is there that omni_lab's own commands need."""
        return not any(missing.core for missing in self.missing)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        packages = [{**asdict(package), "fits": package.fits} for package in self.packages]
        missing = [asdict(missing) for missing in self.missing]
        found = {"whole": self.whole, "system": self.system, "parts": self.parts}
        return found | {"packages": packages, "missing": missing}


def examine() -> Report:
    """Examination of this machine and this environment."""
    report = Report(system=system(), packages=packages(), parts={})
    if not report.packages:
        report.missing.append(Missing("omni_lab itself is not installed", INSTALL, core=True))
    report.missing += lacking(report.packages)
    for name, look, get in (
        ("torch", torch_device, INSTALL),
        ("pyav", film_codecs, "pip install --force-reinstall --no-cache-dir av"),
        ("espeak", voices, "pip install --force-reinstall --no-cache-dir espeakng-loader"),
    ):
        try:
            report.parts[name] = look()
        except (ImportError, OSError, AttributeError) as caught:
            report.parts[name] = {"error": f"{type(caught).__name__}: {caught}"}
        if error := report.parts[name].get("error"):
            report.missing.append(Missing(f"{name} does not work: {error}", get, core=True))
    return report


def system() -> dict[str, Any]:
    """System information: versions, processor, memory and free disk space (in GB)."""
    # in a container the process may be limited to some of the machine's cores
    limited = hasattr(os, "sched_getaffinity")
    found = {
        "omni_lab": __version__,
        "python": platform.python_version(),
        "environment": "virtual" if sys.prefix != sys.base_prefix else "system or conda",
        "os": _os_name(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if limited else os.cpu_count(),
        "memory_gb": None,
        "memory_free_gb": None,
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
    }

    try:
        import psutil
    except ImportError:
        return found
    memory = psutil.virtual_memory()
    return found | {
        "memory_gb": round(memory.total / 1e9, 1),
        "memory_free_gb": round(memory.available / 1e9, 1),
    }


def packages() -> list[Package]:
    """Declared dependencies with their installed versions; none where omni_lab is not installed."""
    try:
        declared = importlib.metadata.requires("omni_lab") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = []
    for line in declared:
        requirement, _, marker = line.partition(";")
        name, _, needed = re.match(r"([\w.-]+)(\[[^]]*\])?\s*(.*)", requirement.strip()).groups()
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        found.append(
            Package(
                name, needed.strip("() "), extra.group(1) if extra else "core", _installed(name)
            )
        )
    return found


def lacking(found: Iterable[Package]) -> list[Missing]:
    """Missing packages: one entry per core package, one per extra as a whole."""
    missing, extras = [], {}
    for package in found:
        if package.fits:
            continue
        has = f"{package.installed} is installed" if package.installed else "not installed"
        what = f"{package.name}{package.needed} ({has})"
        if package.group == "core":
            missing.append(Missing(what, INSTALL, core=True))
        else:
            extras.setdefault(package.group, []).append(what)
    for extra, what in extras.items():
        missing.append(
            Missing(
                f"extra {extra!r}: {', '.join(what)}", f"pip install -e '.[{extra}]'", core=False
            )
        )
    return missing


def satisfies(version: str, needed: str) -> bool:
    """Version check: whether a version lies in a range such as `>=15,<19`.

    >>> satisfies("2.13.0+cpu", ">=2.13"), satisfies("19.0", ">=15,<19")
    (True, False)
    """
    holds = {
        ">=": lambda have, want: have >= want,
        "<=": lambda have, want: have <= want,
        "==": lambda have, want: have == want,
        "!=": lambda have, want: have != want,
        "~=": lambda have, want: have >= want and have[: len(want) - 1] == want[:-1],
        ">": lambda have, want: have > want,
        "<": lambda have, want: have < want,
    }

    for operator, bound in re.findall(r"(>=|<=|==|!=|~=|>|<)\s*([\w.+!*-]+)", needed):
        have, want = _numbers(version), _numbers(bound)
        if operator == "~=":
            fits = holds[operator](have, want)
        else:
            # 2.0 equals 2.0.0
            length = max(len(have), len(want))
            have, want = (parts + (0,) * (length - len(parts)) for parts in (have, want))
            fits = holds[operator](have, want)
        if not fits:
            return False
    return True


def torch_device() -> dict[str, Any]:
    """Torch device that training would use, and torch's version."""
    import torch

    found = {"version": torch.__version__, "device": "cpu", "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        memory = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)
        found |= {
            "device": "cuda",
            "name": torch.cuda.get_device_name(0),
            "count": torch.cuda.device_count(),
        }
        return found | {"cuda": torch.version.cuda, "memory_gb": memory}
    if torch.backends.mps.is_available():
        found["device"] = "mps"
    return found


def film_codecs() -> dict[str, Any]:
    """Film codecs: the FFmpeg libraries inside PyAV, and the codecs they lack."""
    import av

    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    found = {"ffmpeg": av.ffmpeg_version_info, "libraries": libraries}
    lacks = [name for name in ("libx264", "aac", "h264") if name not in av.codecs_available]
    return found | ({"error": f"this build of PyAV lacks {', '.join(lacks)}"} if lacks else {})


def voices() -> dict[str, Any]:
    """Speech synthesis of the world's films: the espeak-ng library and its voice data."""
    import espeakng_loader

    library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    found = {"library": library.name, "data": data.name}
    for path in (library, data / "phontab"):
        if not path.exists():
            return found | {"error": f"{path} does not exist"}
    return found | {"languages": sum(1 for path in (data / "lang").rglob("*") if path.is_file())}


def written(report: Report) -> str:
    """Text of a report, for a terminal and for a bug report."""
    lines = [f"{name:<16}{value}" for name, value in report.system.items() if value is not None]
    for name, part in report.parts.items():
        line = ", ".join(f"{key} {_short(value)}" for key, value in part.items())
        lines.append(f"{name:<16}{line}")

    for group in ("core", *EXTRAS):
        inside = [package for package in report.packages if package.group == group]
        if inside:
            lines += ["", f"{group}:", *map(_line, inside)]

    lines.append("")
    for missing in report.missing:
        mark = "MISSING" if missing.core else "optional"
        lines.append(f"{mark}: {missing.what}\n    get it with: {missing.get}")
    lines.append("the core is whole" if report.whole else "the core is not whole: see MISSING")
    return "\n".join(lines)


def _line(package: Package) -> str:
    mark = "" if package.fits else "<-"
    return f"  {package.name:<20}{package.installed or '-':<16}{package.needed:<12}{mark}".rstrip()


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {version}" for name, version in value.items())
    return str(value)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.match(r"\d+(?:\.\d+)*", version).group().split(".")))


def _os_name() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
        return f"{name}, {platform.system()} {platform.release()}"
    except (OSError, KeyError):
        return platform.platform()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        return found.group(1)
    return platform.processor() or platform.machine()

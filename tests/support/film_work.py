"""Failing film builders, selected by the film's name; worker processes import them from here."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from omni_lab.config import TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media import probe
from omni_lab.triplets.cutting.film import clips_of_film

built = []


def stumbling(path: Path, config: TripletConfig, source_id: str | None = None):
    """Failure by the film's name: hang, memory overrun, crash, missing package, full disk."""
    if "hangs" in path.name:
        Path("hanging").touch()
        time.sleep(60)

    if "eats" in path.name:
        held = []
        while True:
            held.append(b"x" * 20_000_000)
            time.sleep(0.005)  # slow enough for the parent to see it grow

    if "dies" in path.name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "bug" in path.name:
        raise ZeroDivisionError("division\n  by zero")
    if "package" in path.name:
        raise UsageError("triplets.recogniser: no such checkpoint")
    if "full" in path.name:
        raise OSError(errno.ENOSPC, "No space left on device")

    return clips_of_film(path, config, source_id)


def unhashed(path: Path, config: TripletConfig, source_id: str | None = None):
    """Build without content hashing: the id has to come from the parent process."""
    probe.content_id = None
    return clips_of_film(path, config, source_id)


def once(path: Path, config: TripletConfig, source_id: str | None = None):
    """Crash at the second film of a process, as leftovers of the first one would cause it."""
    built.append(path)
    if len(built) > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return clips_of_film(path, config, source_id)

"""The two kinds of fault a person can meet, and the exit codes they end in; foreign exceptions as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class OmniLabError(Exception):
    """Base of every error this package raises on purpose: its message is one clear line."""

    exit_code = 1


class InputError(OmniLabError):
    """The input (a file, a record, a run folder) is at fault; exit code 1."""

    exit_code = 1


class UsageError(OmniLabError):
    """The call (an argument, a config key, a value) is at fault; exit code 2."""

    exit_code = 2


class ConfigError(UsageError):
    """A config key does not exist or its value cannot be; the message names the nearest right one."""


def reason(error: BaseException) -> str:
    """One line about a foreign exception: its type, and what its message begins with.

    >>> reason(ValueError("no such layer")), reason(KeyError())
    ('ValueError: no such layer', 'KeyError')
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # a heading alone says nothing
    told = lines[: 2 if lines and lines[0].endswith(":") else 1]
    return " ".join([f"{type(error).__name__}:", *told]) if told else type(error).__name__


@contextmanager
def typed(wrong: str, kind: type[OmniLabError] = InputError) -> Iterator[None]:
    """Foreign exceptions raised inside as one typed line, `wrong (reason)`; ours pass as they are."""
    try:
        yield
    except OmniLabError:
        raise
    except Exception as error:
        raise kind(f"{wrong} ({reason(error)})") from error

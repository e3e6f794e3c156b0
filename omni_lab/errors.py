"""The two kinds of fault a person can meet, and the exit codes they end in."""


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

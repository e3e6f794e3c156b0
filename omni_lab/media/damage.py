"""Log of what is wrong in a media file: each kind of damage once, with where, how often, and FFmpeg's reason."""

from __future__ import annotations

from omni_lab.media.clock import stamp

MAX_ERRORS = 20  # named one by one; the rest is counted


class DamageLog:
    """Damage met while decoding, counted by kind."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[int | None]] = {}

    def note(self, what: str, at: int | None = None, why: str = "") -> None:
        """Record of what is wrong near a tick, and why as FFmpeg has it."""
        self._times.setdefault((what, why), []).append(at)

    def lines(self) -> tuple[str, ...]:
        """One line per kind of damage: first place, reason, count."""
        lines = []
        for (what, why), times in self._times.items():
            first, last = (
                "" if time is None else f" near {stamp(time)}" for time in (times[0], times[-1])
            )
            again = f" ({len(times)} times, the last{last})" if len(times) > 1 else ""
            lines.append(f"{what}{first}{f': {why}' if why else ''}{again}")

        more = len(lines) - MAX_ERRORS
        return (*lines[:MAX_ERRORS], f"and {more} more errors") if more > 0 else tuple(lines)

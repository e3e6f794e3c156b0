"""Log of decoding errors in a media file: each kind once, with place, count and FFmpeg's reason."""

from __future__ import annotations

from omni_lab.media.clock import stamp

MAX_ERRORS = 20  # named one by one; the rest is counted


class DamageLog:
    """Decoding errors of one file, counted by kind."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[int | None]] = {}

    def note(self, what: str, at: int | None = None, why: str = "") -> None:
        """Record one decoding error.

        Parameters
        ----------
        what : the kind of error
        at : the tick near which it was met, None where there is none
        why : FFmpeg's reason
        """
        self._times.setdefault((what, why), []).append(at)

    def lines(self) -> tuple[str, ...]:
        """Error report: one line per kind with first place, reason and count."""
        lines = []
        for (what, why), times in self._times.items():
            first, last = (
                "" if time is None else f" near {stamp(time)}" for time in (times[0], times[-1])
            )
            again = f" ({len(times)} times, the last{last})" if len(times) > 1 else ""
            lines.append(f"{what}{first}{f': {why}' if why else ''}{again}")

        more = len(lines) - MAX_ERRORS
        return (*lines[:MAX_ERRORS], f"and {more} more errors") if more > 0 else tuple(lines)

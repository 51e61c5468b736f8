"""Durations in a unit that can be grasped."""

from __future__ import annotations

OTHER_CLOCK_S = 60.0
"""Stamps that are further than this from a clock are those of another one, not late or early by it."""

_UNITS = (("years", 365.25 * 86400), ("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("s", 1.0))


def in_words(seconds: float) -> str:
    """Like "10.0 years", "7.0 hours" or "0.2 s"; without a sign."""
    name, unit = next(((name, unit) for name, unit in _UNITS if abs(seconds) >= unit), _UNITS[-1])
    return f"{abs(seconds) / unit:.1f} {name}"

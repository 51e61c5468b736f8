"""What the doctor says: one thing that is wrong or worth knowing, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How much a finding matters; the greater the worse."""

    NOTE = 0
    """Worth knowing; nothing has to be done."""
    WARNING = 1
    """Poses are worse, later or fewer than they could be."""
    ERROR = 2
    """There are no poses, or wrong ones."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: see `Severity`.
        what: is wrong, in one line that names the thing.
        value: that was found, with its unit; empty where `what` says it all.
        remedy: what to do; empty where nothing has to be done.
    """

    severity: Severity
    what: str
    value: str = ""
    remedy: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether something has to be done about it."""
        return self.severity > Severity.NOTE


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sorted by severity; those of one severity keep their order, and none is said twice."""
    return sorted(dict.fromkeys(findings), key=lambda finding: -finding.severity)

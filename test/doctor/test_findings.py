"""doctor.findings: order."""

from __future__ import annotations

from ros2_raxels.doctor.findings import Finding, Severity, worst_first


def test_errors_come_first_and_nothing_is_said_twice() -> None:
    note, warning, error = (Finding(severity, severity.name) for severity in Severity)
    other = Finding(Severity.WARNING, "another")
    assert worst_first([note, warning, error, other, warning]) == [error, warning, other, note]


def test_a_note_is_nothing_wrong() -> None:
    assert [Finding(severity, "x").is_wrong for severity in Severity] == [False, True, True]

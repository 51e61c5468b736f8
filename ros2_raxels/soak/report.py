"""The numbers of a soak, and what they show to be broken."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.diagnostics import kind_of_line
from ros2_raxels.soak.faults import AFTERMATH_S, FAULTS, NONE, Event, fault_at
from ros2_raxels.soak.record import Ended, Record
from ros2_raxels.soak.truth import WRONG, pose_errors

POSE_PATIENCE_S = 10.0
"""The longest time without a pose that is not attributed to a fault."""

_WARM_UP_S, _WARM_UP_SHARE = 600.0, 0.4
"""Keyframes accumulate until all places are known, again after each reset; the allocator adds arenas until every kind
of work was done once. As measured over an hour."""

_FEWEST_MINUTES = 4
_MOST_WRONG = 0.01
_GROWTH_MB = 20.0
"""A slope counts only once memory has grown by so much: an allocator is no leak."""

_BROKEN_OUTCOMES = ("INTERNAL", "ENGINE_FAILED", "no answer")
_MOST_LINES = 20
_MOST_KINDS = 30
_LONGEST = 160
_ALARM = re.compile(r"Traceback \(most recent|\[(ERROR|FATAL)\]|internal error|terminate called|Segmentation fault")
_WARNING = re.compile(r"\[WARN\] \[[\d.]+\] \[([^]]*)\]: (.*)")
_MB = 1e-6


def summarise(record: Record) -> dict[str, Any]:
    """For soak.json: names carry their units, None is unknown."""
    return {
        "seconds": round(record.seconds, 1),
        "frames": _frames(record),
        **_percentiles(record.latencies()[:, 1]),
        "poses": _poses(record),
        "by_fault": _by_fault(record),
        "minutes": _minutes(record),
        "memory": {name: _memory(samples) for name, samples in record.memory.items()},
        "goals": _goals(record.goals),
        "longest_without_pose_s": round(_longest_gap(record)[0], 2),
        "log": {"alarms": _alarms(record.logs), "warnings": _warnings(record.logs)},
        "events": [
            {"fault": e.fault.name, "begin_s": round(e.begin_s, 2), "end_s": round(e.end_s, 2)} for e in record.events
        ],
    }


def _frames(record: Record) -> dict[str, int]:
    """The fate of the frames, beside the counts of the node."""
    sent = [s for s in record.sent if s.stamp_ns is not None]
    answers = [answer for s in sent if (answer := record.answer(s))]
    return {
        "due": len(record.sent),
        "withheld_by_faults": len(record.sent) - len(sent),
        "sent": len(sent),
        "sent_too_late": sum(not s.expected for s in sent),
        "answered": len(answers),
        "tracked": sum(a.tracked for a in answers),
        "unanswered": sum(s.expected for s in sent) - sum(record.answer(s) is not None for s in sent if s.expected),
        "bad_sent": record.bad_sent,
        **{f"node_{name}": count for name, count in asdict(record.counts).items()},
        "never_arrived": len(sent) + record.bad_sent - record.counts.received,
    }


def _poses(record: Record) -> dict[str, Any]:
    """Position errors, % of the extent of the true path."""
    error = 100 * pose_errors(record)
    spread = [round(float(e), 2) for e in np.percentile(error, (50, 95, 100))] if len(error) else [None] * 3
    names = ("error_p50_percent", "error_p95_percent", "highest_percent")
    return {"compared": len(error), "wrong": int((error > 100 * WRONG).sum()), **dict(zip(names, spread, strict=True))}


def _by_fault(record: Record) -> dict[str, dict[str, Any]]:
    """By the fault that was active, or had just been, when a frame was due."""
    found = {}
    for name in (NONE, *(fault.name for fault in FAULTS)):
        sent = [s for s in record.sent if s.fault == name and s.stamp_ns is not None and s.expected]
        answers = [answer for s in sent if (answer := record.answer(s))]
        events = [e for e in record.events if e.fault.name == name and e.end_s < record.seconds]
        if sent or events:
            found[name] = {
                "events": len(events),
                "sent": len(sent),
                "answered": len(answers),
                "tracked": sum(a.tracked for a in answers),
                "recovered_after_s": _recovery(record, events),
            }
    return found


def _recovery(record: Record, events: Sequence[Event]) -> float | None:
    """The longest time from the end of a fault to the next pose; None without such a fault."""
    tracked = _tracked_at(record)
    waits = []
    for event in events:
        later = tracked[tracked >= event.end_s]
        waits.append(float(later[0] - event.end_s) if len(later) else float(record.seconds - event.end_s))
    return round(max(waits), 2) if waits else None


def _tracked_at(record: Record) -> FloatArray:
    """Times at which frames with a pose were sent, s."""
    return np.array([s.at_s for s in record.sent if (answer := record.answer(s)) and answer.tracked])


def _longest_gap(record: Record) -> tuple[float, float]:
    """The longest time without a pose, not counting faults and their aftermath, and its start; s."""
    edges = np.concatenate([[0.0], _tracked_at(record), [record.seconds]])
    worst = (0.0, 0.0)
    for begin, end in itertools.pairwise(edges):
        if end - begin > worst[0]:
            excused = sum(max(0.0, min(end, e.end_s + AFTERMATH_S) - max(begin, e.begin_s)) for e in record.events)
            worst = max(worst, (float(end - begin - excused), float(begin)))
    return worst


def _minutes(record: Record) -> list[dict[str, Any]]:
    """The numbers of each minute; a last one of less than a second is left out."""
    latencies = record.latencies()
    tracked = _tracked_at(record)
    return [
        {
            "minute": minute,
            "sent": sum(s.stamp_ns is not None for s in record.sent if minute <= s.at_s / 60 < minute + 1),
            "tracked": int(_within(tracked, minute).sum()),
            **_percentiles(latencies[_within(latencies[:, 0], minute), 1]),
            "memory_mb": {
                name: _median([value * _MB for at, value in samples if minute <= at / 60 < minute + 1])
                for name, samples in record.memory.items()
            },
            "goals": dict(Counter(g.outcome for g in record.goals if minute <= g.at_s / 60 < minute + 1)),
        }
        for minute in range(int(np.ceil((record.seconds - 1.0) / 60)))
    ]


def _within(at_s: FloatArray, minute: int) -> Any:
    return (at_s >= 60 * minute) & (at_s < 60 * (minute + 1))


def _percentiles(latency_s: FloatArray) -> dict[str, float | None]:
    if not len(latency_s):
        return {"latency_p50_s": None, "latency_p95_s": None}
    p50, p95 = np.percentile(latency_s, (50, 95))
    return {"latency_p50_s": round(float(p50), 5), "latency_p95_s": round(float(p95), 5)}


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None


def _memory(samples: Sequence[tuple[float, int]]) -> dict[str, float | None]:
    """First, last and highest, MB, and the slope after the warm-up, MB per hour; None where the run was too short."""
    values = [value * _MB for _, value in samples]
    slope, grown = slope_of(samples)
    rounded = {"slope_mb_per_h": slope, "grown_mb": grown}
    if values:
        rounded |= {"first_mb": values[0], "last_mb": values[-1], "highest_mb": max(values)}
    return {name: None if value is None else round(value, 2) for name, value in rounded.items()}


def slope_of(samples: Sequence[tuple[float, int]]) -> tuple[float | None, float | None]:
    """Growth after the warm-up, MB per hour and MB in all: the median of all slopes between medians of minutes.

    Unlike a least-squares line it is not tilted by a single step or by the work of one goal.
    """
    last_s = samples[-1][0] if samples else 0.0
    warm = max(_WARM_UP_S, _WARM_UP_SHARE * last_s)
    minutes: dict[int, list[float]] = {}
    for at, value in samples:
        if at >= warm:
            minutes.setdefault(int(at // 60), []).append(value * _MB)
    if len(minutes) < _FEWEST_MINUTES:
        return None, None
    at_h = np.array(list(minutes)) / 60
    medians = np.array([np.median(values) for values in minutes.values()])
    first, second = np.triu_indices(len(at_h), 1)
    slope = float(np.median((medians[second] - medians[first]) / (at_h[second] - at_h[first])))
    return slope, slope * float(at_h[-1] - at_h[0])


def _goals(goals: Sequence[Ended]) -> dict[str, Any]:
    outcomes: dict[str, dict[str, int]] = {}
    for goal in goals:
        outcomes.setdefault(goal.kind, Counter())[goal.outcome] += 1
    seconds = [goal.seconds for goal in goals if goal.outcome == "NONE"]
    words = {goal.outcome: goal.words for goal in goals if goal.words}
    served = {"seconds_median": _median(seconds), "seconds_longest": round(max(seconds), 2) if seconds else None}
    return {"outcomes": outcomes, **served, "last_words": words}


def _alarms(logs: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{name}: {line}" for name, lines in logs.items() for line in lines if _ALARM.search(line)][:_MOST_LINES]


def _warnings(logs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Number of warnings of each kind."""
    kinds: Counter[str] = Counter()
    for lines in logs.values():
        for found in filter(None, map(_WARNING.search, lines)):
            kinds[f"{found[1]}: {kind_of_line(found[2])[:_LONGEST]}"] += 1
    return dict(kinds.most_common(_MOST_KINDS))


def broken(
    record: Record, report: Mapping[str, Any], slope_max_mb_per_h: float, least_poses_percent: float
) -> list[str]:
    """What is broken, a line each; none if all is well."""
    words = [
        *record.died,
        *([f"raxels_pose published a pose that cannot be used: {record.unusable}"] if record.unusable else ()),
        *_missing_poses(record, report, least_poses_percent),
        *_wrong_poses(report["poses"]),
        *_growing(report, slope_max_mb_per_h),
        *(
            f"a goal ({goal.kind}) at second {goal.at_s:.0f} ended with {goal.outcome}: {goal.words}"
            for goal in record.goals
            if goal.outcome in _BROKEN_OUTCOMES
        ),
        *(f"in the log of {alarm}" for alarm in report["log"]["alarms"]),
    ]
    return words[:_MOST_LINES]


def _missing_poses(record: Record, report: Mapping[str, Any], least_percent: float) -> Iterator[str]:
    if not report["frames"]["tracked"]:
        yield f"no pose at all in {report['frames']['sent']} frames: see the log of the pose node"
        return
    gap_s, begin_s = _longest_gap(record)
    if gap_s > POSE_PATIENCE_S:
        before = fault_at(record.events, begin_s, AFTERMATH_S)
        yield f"no pose for {gap_s:.1f} s from second {begin_s:.1f} on, which no fault explains (fault then: {before})"
    quiet = report["by_fault"].get(NONE, {"sent": 0, "tracked": 0})
    percent = 100 * quiet["tracked"] / max(1, quiet["sent"])
    if quiet["sent"] and percent < least_percent:
        yield (
            f"only {percent:.1f} % of the undisturbed frames have a pose, at least {least_percent:g} % should "
            "(--least-poses): the machine is too busy or too slow for this rate"
        )


def _wrong_poses(poses: Mapping[str, Any]) -> Iterator[str]:
    if poses["wrong"] > _MOST_WRONG * poses["compared"]:
        yield (
            f"{poses['wrong']} of {poses['compared']} poses are off by more than {100 * WRONG:g} % of the path's "
            f"extent, the worst by {poses['highest_percent']:g} %; at most {100 * _MOST_WRONG:g} % of them may be"
        )


def _growing(report: Mapping[str, Any], slope_max_mb_per_h: float) -> Iterator[str]:
    for name, memory in report["memory"].items():
        slope, grown = memory["slope_mb_per_h"], memory["grown_mb"]
        if slope is not None and slope > slope_max_mb_per_h and grown > _GROWTH_MB:
            yield (
                f"memory of {name} grows by {slope:.0f} MB an hour, {grown:.0f} MB so far; the limit is "
                f"{slope_max_mb_per_h:g} (--memory-slope)"
            )

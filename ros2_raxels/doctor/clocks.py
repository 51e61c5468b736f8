"""Judges stamps against the clock, and simulated time."""

from __future__ import annotations

from statistics import median

from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.seen import Arrivals, Clocks, Graph, ImageTopic, named
from ros2_raxels.utils.durations import OTHER_CLOCK_S, in_words

_LATE_S = 1.0
_EARLY_S = 0.1


def judge_clocks(graph: Graph) -> list[Finding]:
    """What is wrong with them."""
    found = _judge_simulated(graph.clocks, graph.ours)
    name = "the wall clock" if graph.clocks.newest_ns is None else "/clock"
    for image in graph.heard_images:
        found += _judge_stamps(image, name)
    for edge in graph.edges.values():
        off_s = (edge.clock_ns - edge.stamp_ns) * 1e-9
        if not edge.is_static and abs(off_s) > OTHER_CLOCK_S:
            found.append(
                Finding(
                    Severity.WARNING,
                    f"TF edge {edge.parent} -> {edge.child} is stamped by another clock than {name}",
                    _how_far(off_s),
                    f"correct the clock of {named(sorted(edge.owners))}, or see use_sim_time of both sides",
                )
            )
    return found


def _judge_simulated(clocks: Clocks, ours: tuple[str, ...]) -> list[Finding]:
    if clocks.users and not clocks.publishers:
        return [
            Finding(
                Severity.ERROR,
                "use_sim_time is set but nobody publishes /clock, so that time stands still",
                named(clocks.users),
                "start the simulator, play the bag with --clock, or set use_sim_time to false",
            )
        ]
    if clocks.publishers and clocks.newest_ns is None:
        return [
            Finding(
                Severity.WARNING,
                "/clock has a publisher but nothing arrived, so that simulated time stands still",
                named(clocks.publishers),
                "let the simulator or the bag go on",
            )
        ]
    without = [name for name in ours if name not in clocks.users]
    if clocks.publishers and without:
        return [
            Finding(
                Severity.WARNING,
                f"there is simulated time on /clock, but {named(without)} goes by the wall clock",
                f"/clock comes from {named(clocks.publishers)}",
                "set use_sim_time to true on our nodes",
            )
        ]
    return []


def _judge_stamps(image: ImageTopic, clock: str) -> list[Finding]:
    arrivals = image.arrivals
    if not any(arrivals.stamps_ns):
        return [
            Finding(
                Severity.ERROR,
                f"images of {image.topic} are not stamped",
                "all stamps are 0",
                "let the driver stamp every image with the time of its exposure",
            )
        ]
    return [*_judge_offset(image, clock), *_judge_order(image.topic, arrivals)]


def _judge_offset(image: ImageTopic, clock: str) -> list[Finding]:
    arrivals = image.arrivals
    off_s = median((now - at) * 1e-9 for at, now in zip(arrivals.stamps_ns, arrivals.clock_ns, strict=True))
    if abs(off_s) > OTHER_CLOCK_S:
        return [
            Finding(
                Severity.WARNING,
                f"images of {image.topic} are stamped by another clock than {clock}",
                _how_far(off_s),
                "for a recording play the bag with --clock and set use_sim_time; else let the driver stamp with the "
                "system's time (chrony, PTP)",
            )
        ]
    if off_s > _LATE_S or off_s < -_EARLY_S:
        return [
            Finding(
                Severity.WARNING,
                f"the stamps of {image.topic} are not those of {clock}: poses and TF are late, or ahead of it",
                _how_far(off_s),
                "synchronise the clocks of both machines (chrony, PTP), or look for what delays the images",
            )
        ]
    return []


def _judge_order(topic: str, arrivals: Arrivals) -> list[Finding]:
    steps = [b - a for a, b in zip(arrivals.stamps_ns, arrivals.stamps_ns[1:], strict=False)]
    wrong = sum(step <= 0 for step in steps)
    if not wrong:
        return []
    return [
        Finding(
            Severity.WARNING,
            f"stamps of {topic} repeat or run backwards, and such images are dropped",
            f"{wrong} of {arrivals.count}",
            "let the driver stamp every image anew; with two publishers end one",
        )
    ]


def _how_far(off_s: float) -> str:
    """How far stamps lie behind a clock."""
    return f"{in_words(off_s)} {'behind' if off_s > 0 else 'ahead of'} it"

"""The command: looks at the machine, listens to the graph, judges both and prints it, worst first."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from ros2_raxels.doctor.engines import judge_engines, look_at_engines
from ros2_raxels.doctor.findings import Finding, Severity, worst_first
from ros2_raxels.doctor.hardware import judge_frame_time, judge_hardware, look_at_hardware
from ros2_raxels.doctor.shared_memory import judge_shared_memory, look_at_shared_memory
from ros2_raxels.doctor.software import Software, judge_software, look_at_software
from ros2_raxels.utils.argument_types import above_zero
from ros2_raxels.utils.terminal import INTERRUPTED, StatusLine, interruptible

if TYPE_CHECKING:
    from ros2_raxels.doctor.report import Examined
    from ros2_raxels.doctor.seen import Graph

_SECONDS = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``raxels doctor``."""
    parser.add_argument(
        "--seconds", type=above_zero, default=_SECONDS, help="listen to the ROS graph so long (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found to this file")
    parser.add_argument("--base-frame", default="base_link", metavar="NAME", help="TF frame of the robot (%(default)s)")
    parser.add_argument("--no-ros", action="store_true", help="look at this machine only")
    parser.epilog = "exit status: 0 nothing is wrong, 1 something is, 2 wrong options"


def run(args: argparse.Namespace) -> int:
    """Exit status of the doctor: 0, 1 where something is wrong, or 130 after Ctrl-C.

    Raises:
        FileError: the file cannot be written.
    """
    with interruptible() as interrupted:
        try:
            return _run(args, interrupted)
        except KeyboardInterrupt:
            print("\nraxels doctor: interrupted", file=sys.stderr)
            return INTERRUPTED


def _run(args: argparse.Namespace, interrupted: Event) -> int:
    problem = "" if args.no_ros else _loaded_ros()
    software = look_at_software(os.environ)
    if software.missing:
        # Hardly any of our modules can be imported then.
        return _say_alone(judge_software(software))
    from ros2_raxels.doctor.report import Examined, record_of, text_of
    from ros2_raxels.utils.files import check_writable, write_json

    if args.json is not None:
        check_writable(args.json)
    line, graph = StatusLine(), None
    if not args.no_ros and not problem:
        graph, problem = _listened(args.seconds, interrupted, line)
    line.keep("looking at this machine")
    examined = Examined(
        software,
        look_at_shared_memory(os.environ),
        look_at_hardware([] if graph is None else graph.frame_ms),
        look_at_engines(software.versions),
        graph,
    )
    findings = worst_first([*_said_of_ros(software, problem), *judge(examined, args.base_frame)])
    print(text_of(examined, findings))
    if args.json is not None:
        write_json(args.json, record_of(examined, findings), indent=1)
    return int(any(finding.is_wrong for finding in findings))


def _loaded_ros() -> str:
    """Load rclpy; why that cannot be, empty where it can."""
    # Wheels find their packages by it; an installed ROS has set it.
    os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    try:
        # First of all, because the wheels start the whole process anew on it.
        import rclpy  # noqa: F401
    except ImportError as error:
        return " ".join(str(error).split())
    return ""


def _say_alone(findings: list[Finding]) -> int:
    for finding in worst_first(findings):
        print(f"{finding.severity.name:<9}{finding.what}: {finding.remedy}")
    return 1


def _said_of_ros(software: Software, problem: str) -> list[Finding]:
    """What kept the graph from being looked at, unless a missing package says it already."""
    if not problem or any("rclpy" in what for what, _ in software.missing_ros):
        return []
    return [
        Finding(
            Severity.ERROR,
            "ROS cannot be used by this Python",
            problem,
            "source your ROS 2 (`. /opt/ros/$ROS_DISTRO/setup.bash`), with the Python that it was made for",
        )
    ]


def _listened(seconds: float, interrupted: Event, line: StatusLine) -> tuple[Graph | None, str]:
    """What was seen, or why nothing could be."""
    try:
        from ros2_raxels.doctor.graph import GraphListener

        listener = GraphListener(interrupted)
    except Exception as error:  # whatever a ROS that is half installed raises, the machine is still to be looked at
        return None, " ".join(str(error).split())
    try:
        return listener.listen(seconds, lambda passed: line.show(f"listening: {passed:.0f} of {seconds:g} s")), ""
    finally:
        listener.close()


def judge(examined: Examined, base: str) -> list[Finding]:
    """All that is wrong, in no order.

    Args:
        examined: see there.
        base: TF frame of the robot.
    """
    from ros2_raxels.doctor.cameras import judge_cameras
    from ros2_raxels.doctor.clocks import judge_clocks
    from ros2_raxels.doctor.frames import judge_frames
    from ros2_raxels.doctor.seen import MOST_LOST
    from ros2_raxels.doctor.topics import judge_topics

    graph = examined.graph
    found = judge_software(examined.software)
    if graph is None:
        found += judge_shared_memory(examined.shared_memory)
    else:
        found += judge_shared_memory(examined.shared_memory, graph.largest_image_bytes, graph.lost > MOST_LOST)
    found += [*judge_hardware(examined.hardware), *judge_engines(examined.engines)]
    if graph is not None:
        found += [*judge_topics(graph), *judge_cameras(graph), *judge_clocks(graph), *judge_frames(graph, base)]
        for image in graph.heard_images:
            found += judge_frame_time(examined.hardware, image.arrivals.rate_hz, image.topic)
    return found

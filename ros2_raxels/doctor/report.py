"""The doctor's report: as text for people, and as a record of everything that was found."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ros2_raxels.doctor.engines import Engines
from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.hardware import Hardware
from ros2_raxels.doctor.seen import Graph, ImageTopic, named
from ros2_raxels.doctor.shared_memory import SharedMemory
from ros2_raxels.doctor.software import Software, at_home

_WIDTH = 110
_INDENT = " " * 9


@dataclass(frozen=True)
class Examined:
    """All facts.

    Attributes:
        software, shared_memory, hardware, engines: of this machine.
        graph: of ROS; None where it could not be looked at.
    """

    software: Software
    shared_memory: SharedMemory
    hardware: Hardware
    engines: Engines
    graph: Graph | None


def text_of(examined: Examined, findings: list[Finding]) -> str:
    """The report as lines of text, findings in the order given."""
    return "\n".join([*_facts(examined), "", *(_lines_of(finding) for finding in findings), _verdict(findings)])


def _lines_of(finding: Finding) -> str:
    parts = [
        (f"{finding.severity.name:<9}", at_home(finding.what)),
        (_INDENT, at_home(finding.value)),
        (f"{_INDENT}-> ", at_home(finding.remedy)),
    ]
    return "\n".join(
        textwrap.fill(
            text,
            _WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for head, text in parts
        if text
    )


def _verdict(findings: list[Finding]) -> str:
    counts = {
        severity: sum(finding.severity == severity for finding in findings)
        for severity in (Severity.ERROR, Severity.WARNING)
    }
    if not any(counts.values()):
        return "nothing wrong was found"
    return ", ".join(f"{n} {severity.name.lower()}{'s' * (n != 1)}" for severity, n in counts.items() if n)


def _facts(examined: Examined) -> list[str]:
    software, memory = examined.software, examined.shared_memory
    wheels = f"wheels of rclpy {software.versions.get('rclpy', '(not installed)')}"
    distribution = software.variables.get("ROS_DISTRO", wheels)
    lines = [
        f"ros2_raxels {software.version}, Python {software.python}, {software.system}",
        f"ROS 2: {distribution}, {memory.rmw}, domain {software.variables.get('ROS_DOMAIN_ID', '0')}",
        f"packages: {', '.join(f'{name} {version}' for name, version in software.versions.items())}",
        f"Fast DDS profile: {at_home(memory.profiles.get(memory.variable, f'none ({memory.variable} is not set)'))}",
    ]
    lines += [
        _line_of_hardware(examined.hardware),
        f"engine: {examined.engines.chosen or 'none'}; plans in the cache: {len(examined.engines.plans)}",
    ]
    if (graph := examined.graph) is not None:
        lines.append(f"graph: nodes {len(graph.nodes)} (ours: {named(graph.ours)}), TF edges {len(graph.edges)}")
        lines += [_line_of_images(image) for image in graph.images.values()]
    return lines


def _line_of_hardware(hardware: Hardware) -> str:
    free = "unknown" if hardware.memory_bytes is None else f"{hardware.memory_bytes / 1e9:.1f} GB free"
    cost = "" if hardware.frame_ms is None else f", a frame takes {hardware.frame_ms:.0f} ms ({hardware.measured_by})"
    return f"machine: {hardware.cpu}, {hardware.cores} cores, load {hardware.load:.1f}, memory {free}{cost}"


def _line_of_images(image: ImageTopic) -> str:
    if not image.is_listened_to:
        return f"  {image.topic}: from {named(image.publishers)}, not listened to"
    size = f"{image.width}x{image.height} px {image.encoding}, " if image.width else ""
    return f"  {image.topic}: from {named(image.publishers)}, {size}{image.arrivals.rate_hz:.1f} Hz"


def record_of(examined: Examined, findings: list[Finding]) -> dict[str, Any]:
    """The report for machines; paths are relative to the user's home folder."""
    record = {
        "findings": [{**asdict(finding), "severity": finding.severity.name.lower()} for finding in findings],
        "software": _plain(examined.software),
        "shared_memory": asdict(examined.shared_memory),
        "hardware": asdict(examined.hardware),
        "engines": asdict(examined.engines),
        "graph": None if examined.graph is None else _record_of_graph(examined.graph),
    }
    return {name: _without_home(value) for name, value in record.items()}


def _plain(software: Software) -> dict[str, Any]:
    return {**asdict(software), "missing_ros": [what for what, _ in software.missing_ros]}


def _record_of_graph(graph: Graph) -> dict[str, Any]:
    return {
        "rmw": graph.rmw,
        "seconds": round(graph.seconds, 2),
        "nodes": graph.nodes,
        "ours": list(graph.ours),
        "topics": graph.topics,
        "images": [_record_of_images(image) for image in graph.images.values()],
        "camera_infos": [
            {
                "topic": info.topic,
                "publishers": list(info.publishers),
                "latched": info.is_latched,
                "count": info.arrivals.count,
                "rate_hz": round(info.arrivals.rate_hz, 2),
                **({} if info.newest is None else _record_of_info(info.newest)),
            }
            for info in graph.infos.values()
        ],
        "tf": [
            {"parent": edge.parent, "child": edge.child, "static": edge.is_static, "owners": sorted(edge.owners)}
            for edge in graph.edges.values()
        ],
        "clock": asdict(graph.clocks),
        "frame_ms": [round(value, 1) for value in graph.frame_ms],
    }


def _record_of_images(image: ImageTopic) -> dict[str, Any]:
    arrivals = image.arrivals
    return {
        "topic": image.topic,
        "type": image.kind,
        "publishers": list(image.publishers),
        "readers": list(image.readers),
        "camera_info": image.info_topic,
        "listened_to": image.is_listened_to,
        "frame": image.frame,
        "width": image.width,
        "height": image.height,
        "encoding": image.encoding,
        "bytes": image.size_bytes,
        "count": arrivals.count,
        "sent": arrivals.sent,
        "rate_hz": round(arrivals.rate_hz, 2),
        "newest_stamp_ns": arrivals.stamps_ns[-1] if arrivals.count else None,
    }


def _record_of_info(info: Any) -> dict[str, Any]:
    return {
        "frame": info.header.frame_id,
        "width": int(info.width),
        "height": int(info.height),
        "distortion_model": info.distortion_model,
        **{name: [float(value) for value in getattr(info, name)] for name in ("d", "k", "p")},
    }


def _without_home(value: Any) -> Any:
    if isinstance(value, str):
        return at_home(value)
    if isinstance(value, Mapping):
        return {name: _without_home(item) for name, item in value.items()}
    return [_without_home(item) for item in value] if isinstance(value, (list, tuple)) else value

"""The reference of messages: what every node and command can say, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from ros2_raxels.manual.made import MadeError, Part, table
from ros2_raxels.manual.messages import Message, messages

NODES: Mapping[str, Sequence[str]] = {
    "lifecycle": (
        "nodes/common/lifecycle.py",
        "nodes/common/rclpy_compat.py",
        "nodes/common/diagnostics.py",
        "nodes/common/parameters.py",
        "nodes/common/interfaces.py",
        "nodes/common/runner.py",
        "nodes/pose/parameters.py",
        "nodes/pose/pose_node.py",
        "nodes/pose/worker.py",
        "nodes/camera_player.py",
    ),
    "images": (
        "nodes/common/subscription.py",
        "nodes/common/messages.py",
        "nodes/pose/intake.py",
        "nodes/pose/intrinsics.py",
        "tracking/image_field.py",
        "tracking/focal_check.py",
        "tracking/shutter_check.py",
    ),
    "clocks": ("nodes/pose/stamp_clock.py",),
    "sensors": (
        "nodes/pose/depth.py",
        "nodes/pose/imu.py",
        "nodes/pose/odometry.py",
        "tracking/depth_check.py",
        "tracking/depth_image.py",
        "tracking/depth_prior.py",
        "tracking/inertial.py",
        "tracking/visual_inertial.py",
        "tracking/motion_sensors.py",
        "tracking/metric_scale.py",
        "tracking/wheels.py",
    ),
    "frames": (
        "nodes/common/tf_broadcaster.py",
        "nodes/common/tf_listener.py",
        "nodes/pose/frame_changes.py",
        "nodes/pose/placement.py",
        "nodes/pose/outputs.py",
    ),
    "services": ("nodes/pose/services.py", "tracking/map_file.py"),
    "views": ("nodes/views", "client.py"),
    "tracking": ("nodes/pose", "nodes/common", "tracking"),
}
"""Modules by section, for which every message has a meaning. A module counts where it is named first, so that the last
section holds all that no other does."""

COMMANDS: Mapping[str, Sequence[str]] = {
    "recordings": ("recordings",),
    "lenses and poses": ("geometry", "matching", "estimation"),
    "views of programs": ("view_synthesis",),
    "engines": ("engine", "factory.py"),
    "files and arguments": ("utils",),
}
"""Rooms whose messages speak for themselves."""

REPORTING: Mapping[str, Sequence[str]] = {
    "commands": ("cli", "evaluation", "demo", "soak", "harness", "scenes", "training", "visualization"),
}
"""Rooms that also write reports and pictures: only what they raise or hand to a log counts."""

_NO_MESSAGES = ("nodes/parameter_yaml.py",)


@dataclass(frozen=True)
class Meaning:
    """Of a message.

    Attributes:
        means: what has happened.
        remedy: what to do; empty where the message says it.
    """

    means: str
    remedy: str


def read_meanings(path: Path) -> dict[str, Meaning]:
    """By the text of the message.

    Raises:
        MadeError: an entry has another form.
    """
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    meanings = {}
    for text, entry in found.items():
        if not isinstance(entry, dict) or "means" not in entry or not set(entry) <= {"means", "do"}:
            raise MadeError(f"{path.name}: {text!r} must have `means`, and may have `do`; correct it")
        meanings[text] = Meaning(entry["means"], entry.get("do", ""))
    return meanings


def parts(package: Path, words: Path) -> dict[str, Part]:
    """All sections, by the names that the page gives in its marks.

    Args:
        package: folder of the package.
        words: file of the meanings.
    """
    made: dict[str, Part] = {f"messages of nodes: {name}": partial(_of_nodes, package, words, name) for name in NODES}
    made |= {f"messages: {name}": partial(_speaking, package, rooms, False) for name, rooms in COMMANDS.items()}
    made |= {f"messages: {name}": partial(_speaking, package, rooms, True) for name, rooms in REPORTING.items()}
    return made


def of_nodes(package: Path) -> dict[str, list[Message]]:
    """Messages by section, each in one."""
    found: dict[str, list[Message]] = {}
    seen: set[str] = set()
    for name, places in NODES.items():
        listed = {message.text: message for place in places for message in messages(package, place)}
        others = {module for other, modules in NODES.items() if other != name for module in modules}
        found[name] = [
            message
            for message in listed.values()
            if message.text not in seen and message.module not in _NO_MESSAGES and _is_of(message, places, others)
        ]
        seen |= {message.text for message in found[name]}
    return found


def _is_of(message: Message, places: Sequence[str], others: set[str]) -> bool:
    """Whether a module is named by a section, or lies in a folder of it and is named by no other."""
    return message.module in places or message.module not in others


def lacking(package: Path, words: Path) -> tuple[list[str], list[str]]:
    """Messages of nodes without a meaning or a remedy, each with its place, and entries that no node says."""
    meanings = read_meanings(words)
    said = [message for section in of_nodes(package).values() for message in section]
    without = [
        f"{message.module}:{message.line}: {message.text}"
        for message in said
        if message.text not in meanings or not (meanings[message.text].remedy or message.remedy)
    ]
    texts = {message.text for message in said}
    return without, [text for text in meanings if text not in texts]


def _of_nodes(package: Path, words: Path, name: str) -> str:
    meanings = read_meanings(words)
    rows = []
    for message in sorted(of_nodes(package)[name], key=lambda message: message.text.strip("…;:, ").lower()):
        meaning = meanings.get(message.text, Meaning("", ""))
        rows.append([_shown(message.text), meaning.means, meaning.remedy or message.remedy])
    return table(["message", "means", "what to do"], rows)


def _speaking(package: Path, rooms: Sequence[str], said_only: bool) -> str:
    listed = {message.text: message for room in rooms for message in messages(package, room, said_only)}
    rows = [
        [_shown(message.text), f"`{message.module}`"]
        for message in sorted(listed.values(), key=lambda message: message.text.strip("…;:, ").lower())
    ]
    return table(["message", "said by"], rows)


def _shown(text: str) -> str:
    """Without what Markdown would take for emphasis."""
    return text.strip().replace("*", "\\*").replace("_", "\\_") if "`" not in text else text.strip()

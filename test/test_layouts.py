"""config/raxels.rviz and config/foxglove.json show what is there: topics, fields, frames and panels."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ros2_raxels.nodes.parameter_yaml import TABLES
from ros2_raxels.nodes.pose.parameters import POSE_NODE

ROOT = Path(__file__).resolve().parent.parent
RVIZ: dict[str, Any] = yaml.safe_load((ROOT / "config" / "raxels.rviz").read_text())["Visualization Manager"]
FOXGLOVE: dict[str, Any] = json.loads((ROOT / "config" / "foxglove.json").read_text())
OF_THE_CAMERA = {"/camera/image_raw", "/camera/camera_info"}


def strings(value: object) -> Iterator[str]:
    """All texts of a record, keys among them."""
    if isinstance(value, dict):
        yield from (text for item in value.items() for part in item for text in strings(part))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings(item))
    elif isinstance(value, str):
        yield value


def topics_of_the_pose_node() -> set[str]:
    """Those in the SROS2 policy, which is compared with the running node."""
    root = ET.parse(ROOT / "config" / "sros2_policy.xml").getroot()
    names = [topic.text or "" for topic in root.iterfind(f".//profile[@node='{POSE_NODE}']/topics/topic")]
    return {name.strip().replace("~", f"/{POSE_NODE}") for name in names}


def default(name: str) -> object:
    return next(row.default for row in TABLES[POSE_NODE] if row.name == name)


def test_rviz_shows_topics_that_are_there_in_the_frame_that_is() -> None:
    shown = {part["Topic"]["Value"] for part in (*RVIZ["Displays"], *RVIZ["Tools"]) if "Topic" in part}
    assert {"/raxels_pose/path", "/raxels_pose/pose", "/raxels_pose/raxels/image", "/initialpose"} <= shown
    assert shown <= topics_of_the_pose_node() | OF_THE_CAMERA
    assert RVIZ["Global Options"]["Fixed Frame"] == default("tf.world_frame")


def test_rviz_takes_the_path_that_was_published_before_it_came() -> None:
    (path,) = (display for display in RVIZ["Displays"] if display["Name"] == "Path")
    assert path["Topic"]["Durability Policy"] == "Transient Local"


def test_foxglove_shows_topics_that_are_there() -> None:
    shown = {text.split(".")[0] for text in strings(FOXGLOVE["configById"]) if text.startswith("/")}
    assert {"/raxels_pose/path", "/raxels_pose/status", "/diagnostics"} <= shown
    # Tools that are not chosen have topics, too.
    assert shown - {"/move_base_simple/goal", "/clicked_point"} <= topics_of_the_pose_node() | OF_THE_CAMERA
    assert FOXGLOVE["configById"]["3D!raxels"]["followTf"] == default("tf.world_frame")


def test_foxglove_plots_fields_that_are_there() -> None:
    status = pytest.importorskip("raxels_interfaces.msg").PoseStatus
    plotted = re.findall(r'"/raxels_pose/status\.(\w+)"', json.dumps(FOXGLOVE))
    assert {"latency_s", "confidence", "state"} <= set(plotted)
    assert set(plotted) <= set(status.get_fields_and_field_types())


def test_every_panel_of_foxglove_has_its_place() -> None:
    placed = [text for text in strings(FOXGLOVE["layout"]) if "!" in text]
    assert sorted(placed) == sorted(FOXGLOVE["configById"])

"""Bags of several cameras, all of one lens and at 20 Hz."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bags_rig import FIRST_NS, STORE, image_message, info_message, rosbag2, static_message
from recordings_rig import picture
from rig_walk import RigWalk

from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, make_pose

STEP_NS = 50_000_000
MOUNT: FloatArray = make_pose(OPTICAL_TO_BODY[:3, :3], (0.2, 0.06, 0.5))
BASELINE_M = 0.12
INFO = info_message([30.0, 31.0, 15.5, 11.5])


def beside(k: int) -> FloatArray:
    """camera_to_base of the k-th of cameras that look ahead."""
    return MOUNT @ make_pose(np.eye(3), (BASELINE_M * k, 0.0, 0.0))


def images(name: str, count: int = 4, *, first: int = 0, late_ns: int = 0, **options: Any) -> list[Any]:
    """Of a camera, the number of the moment in each."""
    moments = range(first, first + count)
    return [
        image_message(FIRST_NS + STEP_NS * k + late_ns, picture(k), frame=f"{name}_optical", **options) for k in moments
    ]


def cameras(*names: str, **topics: list[Any]) -> dict[str, list[Any]]:
    """Topics of cameras that stand in a row; `topics` are those of images that are not as usual."""
    found: dict[str, list[Any]] = {}
    for name in names:
        found[f"/{name}/image_raw"] = topics.get(name, images(name))
        found[f"/{name}/camera_info"] = [INFO]
    return found


def mounts(*names: str) -> list[Any]:
    """Of /tf_static."""
    return [static_message("base_link", f"{name}_optical", beside(k)) for k, name in enumerate(names)]


def with_baseline(baseline_m: float) -> Any:
    """camera_info of the right one of a pair."""
    p = INFO.p.copy()
    p[0], p[5], p[3] = 30.0, 31.0, -30.0 * baseline_m
    return replace(INFO, p=p)


def write_rig_bag(folder: Path, topics: Mapping[str, list[Any]], late_ns: Mapping[str, int] | None = None) -> Path:
    """Messages at the time of their stamps, 7 ms late; `late_ns` is how much later a topic is recorded."""
    with rosbag2.Writer(folder, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for message in messages:
                stamp_ns = _stamp_ns(message) or FIRST_NS
                log_ns = stamp_ns + 7_000_000 + (late_ns or {}).get(topic, 0)
                writer.write(connection, log_ns, STORE.serialize_cdr(message, kind))
    return folder


def _stamp_ns(message: Any) -> int:
    stamp = (message.header if hasattr(message, "header") else message.transforms[0].header).stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def write_walk_bag(folder: Path, walk: RigWalk, count: int) -> Path:
    """The first moments of a walk, mounts on /tf_static."""
    topics: dict[str, list[Any]] = {}
    static = []
    for name in walk.rig.names:
        lens, frame = walk.rig[name].camera, f"{name}_optical"
        moments = enumerate(walk.images[:count])
        topics[f"/{name}/image_raw"] = [image_message(walk.stamp_ns(k), seen[name], frame=frame) for k, seen in moments]
        info = info_message([lens.fx, lens.fy, lens.cx, lens.cy])
        topics[f"/{name}/camera_info"] = [replace(info, width=lens.width, height=lens.height)]
        static.append(static_message("base_link", frame, walk.rig[name].camera_to_base))
    return write_rig_bag(folder, {**topics, "/tf_static": static})

"""Bags as rosbag2 writes them, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from recordings_rig import HEIGHT_PX, WIDTH_PX, picture

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, quaternion_from_rotation
from ros2_raxels.recordings.source import FrameSource

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")
STORE = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
FIRST_NS = 1_700_000_000_123_456_789


def header(stamp_ns: int, frame: str = "camera") -> Any:
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)


def geometry(name: str, *values: Any) -> Any:
    return STORE.types[f"geometry_msgs/msg/{name}"](*values)


def transform_message(parent: str, child: str, child_to_parent: FloatArray) -> Any:
    turn = geometry("Quaternion", *map(float, quaternion_from_rotation(child_to_parent[:3, :3])))
    transform = geometry("Transform", geometry("Vector3", *map(float, child_to_parent[:3, 3])), turn)
    return geometry("TransformStamped", header(0, parent), child, transform)


def static_message(parent: str, child: str, child_to_parent: FloatArray) -> Any:
    """Of /tf_static."""
    return STORE.types["tf2_msgs/msg/TFMessage"]([transform_message(parent, child, child_to_parent)])


def image_message(stamp_ns: int, rgb: np.ndarray, encoding: str = "rgb8", frame: str = "camera") -> Any:
    pixels = {"rgb8": rgb, "bgr8": rgb[..., ::-1], "mono8": rgb[..., 0]}[encoding]
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    data = np.concatenate([rows, np.zeros((len(rows), 5), np.uint8)], axis=1)
    return STORE.types["sensor_msgs/msg/Image"](
        header=header(stamp_ns, frame),
        height=len(rgb),
        width=rgb.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.shape[1],
        data=data.ravel(),
    )


def compressed_message(stamp_ns: int, rgb: np.ndarray) -> Any:
    _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    kind = STORE.types["sensor_msgs/msg/CompressedImage"]
    return kind(header=header(stamp_ns), format="png", data=png.ravel())


def info_message(k: list[float], *, d: list[float] | None = None, model: str = "plumb_bob", p: float = 0.0) -> Any:
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    projection = np.array([p, 0, 16.0, 0, 0, p, 12.0, 0, 0, 0, 1, 0])
    return STORE.types["sensor_msgs/msg/CameraInfo"](
        header=header(FIRST_NS),
        height=HEIGHT_PX,
        width=WIDTH_PX,
        distortion_model=model,
        d=np.array(d or [], float),
        k=np.array([k[0], 0, k[2], 0, k[1], k[3], 0, 0, 1 if any(k) else 0], float),
        r=np.eye(3).ravel(),
        p=projection,
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def write_bag(path: Path, topics: dict[str, list[Any]], storage: str = "mcap") -> Path:
    plugin = {"mcap": rosbag2.StoragePlugin.MCAP, "sqlite3": rosbag2.StoragePlugin.SQLITE3}[storage]
    with rosbag2.Writer(path, version=9, storage_plugin=plugin) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__ if messages else "sensor_msgs/msg/Image"
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for index, message in enumerate(messages):
                log_ns = FIRST_NS + 50_000_000 * index + 7_000_000
                writer.write(connection, log_ns, STORE.serialize_cdr(message, kind))
    return path


def image_messages(count: int = 4, encoding: str = "rgb8") -> list[Any]:
    return [image_message(FIRST_NS + 50_000_000 * i, picture(i), encoding) for i in range(count)]


def check_bag(source: FrameSource, camera: PinholeCamera | None) -> None:
    frames = list(source)
    assert [f.stamp_ns for f in frames] == [FIRST_NS + 50_000_000 * i for i in range(4)]
    assert source.kind == "rosbag2"
    assert source.length == 4
    assert source.rate_hz == pytest.approx(20.0)
    assert source.camera == camera
    assert not source.has_truth
    for frame in frames:
        np.testing.assert_array_equal(frame.image, picture(frame.index))
        assert frame.camera == camera

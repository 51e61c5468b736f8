"""bag_depth: the depth of a bag by stamp, with its own camera, and depth that is not registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags_rig import FIRST_NS, STORE, header, image_messages, info_message, write_bag
from recordings_rig import CAMERA, HEIGHT_PX, WIDTH_PX, refusal

from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import DepthOptions

STEP_NS = 50_000_000
TOPIC = "/cam/depth/image_raw"


def depth_message(stamp_ns: int, value: int, frame: str = "camera") -> Any:
    stamped = header(stamp_ns)
    stamped.frame_id = frame
    data = np.full((HEIGHT_PX, WIDTH_PX), value, "<u2").view(np.uint8).ravel()
    kind = STORE.types["sensor_msgs/msg/Image"]
    return kind(
        header=stamped, height=HEIGHT_PX, width=WIDTH_PX, encoding="16UC1", is_bigendian=0, step=2 * WIDTH_PX, data=data
    )


def bag_of(folder: Path, depths: list[Any], more: dict[str, list[Any]] | None = None) -> Path:
    colour = {"/cam/image_raw": image_messages(), "/cam/camera_info": [info_message([30.0, 31.0, 15.5, 11.5])]}
    return write_bag(folder / "bag", {**colour, TOPIC: depths, **(more or {})})


def test_each_image_has_the_depth_nearest_to_its_stamp(tmp_path: Path) -> None:
    """Depth comes 5 ms later, twice as often, and the third is 30 ms late."""
    late = [5_000_000, 5_000_000, 30_000_000, 5_000_000]
    depths = [depth_message(FIRST_NS + k * STEP_NS + late[k], 1000 * (k + 1)) for k in range(4)]
    depths += [depth_message(FIRST_NS + k * STEP_NS + STEP_NS // 2, 9000) for k in (0, 1)]
    bag = bag_of(tmp_path, sorted(depths, key=lambda m: (m.header.stamp.sec, m.header.stamp.nanosec)))
    source = open_source(bag, depth=DepthOptions(topic=TOPIC))
    assert source.has_depth
    assert f"6 depth images of {WIDTH_PX}x{HEIGHT_PX} px on {TOPIC}" in source.notes
    found = [None if f.depth is None else float(f.depth.depth_m[0, 0]) for f in source]
    np.testing.assert_allclose(np.array(found, float), [1.0, 2.0, np.nan, 4.0])
    assert source.remarks == (f"1 images without a depth image of {TOPIC} within 20 ms",)
    assert all(f.depth is None for f in open_source(bag))


def test_depth_has_a_camera_of_its_own(tmp_path: Path) -> None:
    depths = [depth_message(FIRST_NS + k * STEP_NS, 1000) for k in range(4)]
    info = {"/cam/depth/camera_info": [info_message([30.0, 31.0, 15.5, 11.5])]}
    for frame in open_source(bag_of(tmp_path, depths, info), depth=DepthOptions(topic=TOPIC)):
        assert frame.depth is not None
        assert frame.depth.camera == CAMERA


def test_depth_that_is_not_registered_or_not_there_is_refused(tmp_path: Path) -> None:
    bag = bag_of(tmp_path, [depth_message(FIRST_NS, 1000, "camera_depth_optical_frame")])
    message = refusal(bag, depth=DepthOptions(topic=TOPIC))
    assert f"{TOPIC} is in frame camera_depth_optical_frame but /cam/image_raw in camera, so that" in message
    assert f"has no depth images on '/depth'; choose one of {TOPIC}" in refusal(bag, depth=DepthOptions(topic="/depth"))


def test_what_is_no_depth_is_named(tmp_path: Path) -> None:
    pytest.importorskip("rosbags.rosbag2")
    bag = bag_of(tmp_path, [depth_message(FIRST_NS, 1000)])
    assert "'rgb8' is not supported; depth images are" in refusal(bag, depth=DepthOptions(topic="/cam/image_raw"))

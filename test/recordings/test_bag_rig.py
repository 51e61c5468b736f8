"""bag_rig: names, lenses and mounts of the cameras of a bag, and why one of them cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags_rig import FIRST_NS, image_messages, info_message, static_message
from recordings_rig import CAMERA
from rig_bags import BASELINE_M, INFO, beside, cameras, images, mounts, with_baseline, write_rig_bag

from ros2_raxels.recordings.bag_files import BagFile
from ros2_raxels.recordings.bag_reader import reading
from ros2_raxels.recordings.bag_rig import BagRig, find_rig, in_order_of_names, names_of

TWO = ("left", "right")


def found(
    folder: Path, topics: Mapping[str, list[Any]], *names: str, late_ns: Mapping[str, int] | None = None
) -> BagRig:
    path = write_rig_bag(folder / "bag", topics, late_ns)
    with reading(path, BagFile(path)) as bag:
        return find_rig(bag, {name: f"/{name}/image_raw" for name in names or TWO})


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (["/left/image_raw", "/right/image_raw"], ["left", "right"]),
        (["/camera/infra1/image_rect_raw", "/camera/infra2/image_rect_raw"], ["infra1", "infra2"]),
        (
            ["/zed/zed_node/left_raw/image_raw_color", "/zed/zed_node/right_raw/image_raw_color"],
            ["left_raw", "right_raw"],
        ),
        (["/front/camera/image/compressed", "/back/camera/image"], ["front", "back"]),
        (["/cam/image_left", "/cam/image_right"], ["image_left", "image_right"]),
        (["/image", "/left/image"], ["image", "left"]),
        (["/only/image_raw"], ["only_image_raw"]),
    ],
)
def test_a_camera_is_called_by_what_its_topic_does_not_share(topics: list[str], names: list[str]) -> None:
    assert names_of(topics) == dict(zip(names, topics, strict=True))


def test_the_camera_ahead_leads_and_after_it_the_left_one() -> None:
    assert list(in_order_of_names(dict.fromkeys(["back", "front", "right", "left"], ""))) == [
        "front",
        "left",
        "back",
        "right",
    ]
    assert list(in_order_of_names(dict.fromkeys(["infra2", "infra1"], ""))) == ["infra1", "infra2"]


def test_mounts_come_from_tf_static(tmp_path: Path) -> None:
    rig = found(tmp_path, {**cameras(*TWO), "/tf_static": mounts(*TWO)})
    assert (rig.said, rig.left_out, rig.tolerance_ns) == ([], {}, 5_000_000)
    np.testing.assert_allclose(rig.camera_to_base, beside(0), atol=1e-9)
    assert rig.rig is not None
    assert rig.rig.names == TWO
    for k, name in enumerate(TWO):
        assert rig.rig[name].camera == CAMERA
        np.testing.assert_allclose(rig.rig[name].camera_to_base, beside(k), atol=1e-9)


def test_where_tf_tells_nothing_p_of_the_pair_does_and_that_is_said(tmp_path: Path) -> None:
    topics = {**cameras(*TWO), "/left/camera_info": [with_baseline(0.0)], "/right/camera_info": [with_baseline(0.12)]}
    rig = found(tmp_path, topics)
    assert rig.rig is not None
    assert rig.rig.baseline_m(*TWO) == pytest.approx(BASELINE_M)
    assert rig.camera_to_base is None
    (said,) = rig.said
    assert said.startswith("camera 'right' stands 120.0 mm from 'left' by P of their camera_info, because /tf_static")


def test_p_that_contradicts_tf_is_said(tmp_path: Path) -> None:
    infos = {"/left/camera_info": [with_baseline(0.0)], "/right/camera_info": [with_baseline(0.06)]}
    rig = found(tmp_path, {**cameras(*TWO), **infos, "/tf_static": mounts(*TWO)})
    assert rig.said[0].startswith(
        "camera 'right' and 'left': TF puts them 120.0 mm apart and P of their camera_info 60.0"
    )
    assert rig.rig is not None
    assert rig.rig.baseline_m(*TWO) == pytest.approx(BASELINE_M)


def test_a_mount_that_tf_static_changes_is_where_it_was_first_and_said(tmp_path: Path) -> None:
    static = [*mounts(*TWO), static_message("base_link", "right_optical", beside(2))]
    rig = found(tmp_path, {**cameras(*TWO), "/tf_static": static})
    assert rig.said == ["/tf_static moves camera 'right' on its base; it is taken to be where it was first"]
    assert rig.rig is not None
    assert rig.rig.baseline_m(*TWO) == pytest.approx(BASELINE_M)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"/right/camera_info": [info_message([0, 0, 0, 0])]},
            "which holds zeros alone, so that the camera is unknown",
        ),
        (
            {"/right/camera_info": [info_message([30, 31, 15, 11], d=[0.1] * 4, model="omni")]},
            "'omni' is not supported",
        ),
        ({"/right/image_raw": images("right", late_ns=24_000_000)}, "images are 24.0 ms apart from those of 'left'"),
        ({"/tf_static": mounts("left")}, "where it stands is not known: TF has never heard of frame 'right_optical'"),
        ({"/tf_static": mounts("left", "right", "left")[1:]}, ""),
        (
            {"/tf_static": [*mounts("left"), static_message("base_link", "right_optical", beside(0))]},
            "in the same place",
        ),
    ],
)
def test_a_camera_that_cannot_be_used_is_left_out_with_the_reason(
    tmp_path: Path, change: dict[str, list[Any]], why: str
) -> None:
    rig = found(tmp_path, {**cameras(*TWO), "/tf_static": mounts(*TWO), **change})
    assert why in rig.left_out.get("right", "")
    assert bool(rig.left_out) is bool(why)


def test_clocks_that_differ_are_told_by_the_time_of_recording(tmp_path: Path) -> None:
    topics = {**cameras(*TWO, right=images("right", late_ns=-3_210_000_000)), "/tf_static": mounts(*TWO)}
    rig = found(tmp_path, topics, late_ns={"/right/image_raw": 3_210_000_000})
    assert rig.left_out["right"].startswith("its clock is 3.21 s behind that of 'left', by the times of recording")


def test_cameras_that_are_not_triggered_together_widen_what_is_one_moment(tmp_path: Path) -> None:
    rig = found(tmp_path, {**cameras(*TWO, right=images("right", late_ns=12_000_000)), "/tf_static": mounts(*TWO)})
    assert rig.tolerance_ns == 18_000_000
    (said,) = rig.said
    assert said == (
        "images of camera 'right' are 12.0 ms apart from those of 'left', and taken to be of one moment: turns are "
        "less sure"
    )


def test_another_form_of_the_same_images_is_no_second_camera(tmp_path: Path) -> None:
    rectified = {"/left_rect/image_raw": images("left"), "/left_rect/camera_info": [INFO]}
    topics = {**cameras(*TWO), **rectified, "/tf_static": mounts(*TWO)}
    rig = found(tmp_path, topics, "left", "left_rect", "right")
    assert rig.left_out == {"left_rect": "images of camera 'left' in another form, by their frame 'left_optical'"}
    assert list(rig.cameras) == ["left", "right"]


def test_cameras_whose_drivers_give_one_frame_are_told_apart_by_p(tmp_path: Path) -> None:
    infos = {"/left/camera_info": [with_baseline(0.0)], "/right/camera_info": [with_baseline(0.12)]}
    topics = {**cameras(*TWO, left=image_messages(), right=image_messages()), **infos}
    rig = found(tmp_path, topics)
    assert rig.rig is not None
    assert "are in one frame, 'camera'" in rig.said[0]
    assert rig.cameras["left"].stamps_ns[0] == FIRST_NS

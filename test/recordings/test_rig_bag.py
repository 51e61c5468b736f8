"""rig_bag: images of one moment together, whoever is missing, and topics that are no rig."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bags_rig import FIRST_NS, image_messages
from recordings_rig import CAMERA, picture, refusal
from rig_bags import STEP_NS, beside, cameras, images, mounts, write_rig_bag

from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import EndedEarlyError, Frame

TWO = ("left", "right")


def moment(image: np.ndarray) -> int:
    """Its number by the picture; -1 of a black one."""
    return next((k for k in range(9) if np.array_equal(image, picture(k))), -1)


def seen(frames: list[Frame]) -> list[tuple[int, int, dict[str, int]]]:
    """Of each frame: its time in periods, the moment of the first camera and those of the others."""
    return [
        ((f.stamp_ns - FIRST_NS) // STEP_NS, moment(f.image), {n: moment(i) for n, i in f.others.items()})
        for f in frames
    ]


def test_a_bag_of_two_cameras_is_a_rig(tmp_path: Path) -> None:
    source = open_source(write_rig_bag(tmp_path / "bag", {**cameras(*TWO), "/tf_static": mounts(*TWO)}))
    assert source.kind == "rosbag2"
    assert source.rig is not None
    assert source.rig.names == TWO
    np.testing.assert_allclose(source.camera_to_base, beside(0), atol=1e-9)
    assert (source.length, source.camera, source.rate_hz) == (4, CAMERA, pytest.approx(20.0))
    assert source.notes[0] == (
        "cameras left (/left/image_raw), right (/right/image_raw); poses are answered at those of 'left'"
    )
    for _ in range(2):
        frames = list(source)
        assert seen(frames) == [(k, k, {"right": k}) for k in range(4)]
        assert source.remarks == ()
    assert len(list(open_source(tmp_path / "bag", limit=3))) == 3


def test_one_camera_of_it_or_another_order_can_be_chosen(tmp_path: Path) -> None:
    bag = write_rig_bag(tmp_path / "bag", {**cameras(*TWO), "/tf_static": mounts(*TWO)})
    for options in ({"camera_name": "right"}, {"image_topic": "/right/image_raw"}):
        source = open_source(bag, **options)  # type: ignore[arg-type]
        assert source.rig is None
        assert seen(list(source)) == [(k, k, {}) for k in range(4)]
    source = open_source(bag, image_topic="/right/image_raw,/left/image_raw")
    assert source.rig is not None
    assert source.rig.names == ("right", "left")
    assert "has no camera 'top'; choose from left, right" in refusal(bag, camera_name="top")
    assert "has no image topic '/top'; choose from /left" in refusal(bag, image_topic="/left/image_raw,/top")


def test_moments_that_a_camera_misses_are_those_of_the_others(tmp_path: Path) -> None:
    """Nothing is seen before the first image of the camera that leads; later a black one stands for it."""
    left = images("left", first=1, count=6)
    right = images("right", count=7, late_ns=3_000_000)
    del left[2], right[5]
    source = open_source(
        write_rig_bag(tmp_path / "bag", {**cameras(*TWO, left=left, right=right), "/tf_static": mounts(*TWO)})
    )
    frames = list(source)
    assert [frame.leader_missing for frame in frames] == [False, False, True, False, False, False]
    assert seen(frames) == [
        (1, 1, {"right": 1}),
        (2, 2, {"right": 2}),
        (3, -1, {"right": 3}),
        (4, 4, {"right": 4}),
        (5, 5, {}),
        (6, 6, {"right": 6}),
    ]
    assert "camera 'right' has no image at 1 moments, and 0 that came late" in source.remarks


def test_cameras_of_different_rates_meet_where_they_can(tmp_path: Path) -> None:
    topics = {**cameras(*TWO, left=images("left", 8), right=images("right", 8)[::2]), "/tf_static": mounts(*TWO)}
    found = seen(list(open_source(write_rig_bag(tmp_path / "bag", topics))))
    assert [(k, m) for k, m, _ in found] == [(k, k) for k in range(8)]
    assert [others for _, _, others in found[::2]] == [{"right": k} for k in (0, 2, 4, 6)]


def test_an_image_of_another_size_leaves_its_camera_out_at_that_moment(tmp_path: Path) -> None:
    right = images("right")
    right[2] = replace(image_messages(1)[0], header=right[2].header, height=12, width=16, step=53)
    right[2].data = right[2].data[: 12 * 53]
    source = open_source(write_rig_bag(tmp_path / "bag", {**cameras(*TWO, right=right), "/tf_static": mounts(*TWO)}))
    assert [others for _, _, others in seen(list(source))] == [{"right": 0}, {"right": 1}, {}, {"right": 3}]
    (remark,) = source.remarks
    assert remark.startswith("1 images of camera 'right' left out; the first: an image of camera 'right'")
    assert "16x12" in remark


def test_topics_that_are_no_rig_are_listed_with_the_reason(tmp_path: Path) -> None:
    message = refusal(write_rig_bag(tmp_path / "bag", cameras(*TWO)))
    assert "has 2 image topics; choose one of /left/image_raw (4), /right/image_raw (4) by --image-topic" in message
    assert "They are not followed as one rig: right: where it stands is not known" in message
    topics = {**cameras("left", "right", "top"), "/tf_static": mounts(*TWO)}
    bag = write_rig_bag(tmp_path / "three", topics)
    assert "camera 'top' is left out: where it stands is not known" in str(open_source(bag).notes)
    assert "top: where it stands" in refusal(bag, image_topic="/left/image_raw,/top/image_raw")
    assert open_source(bag, image_topic="/top/image_raw").rig is None


def test_a_bag_of_a_rig_that_breaks_off_gives_its_moments(tmp_path: Path) -> None:
    bag = write_rig_bag(tmp_path / "bag", {**cameras(*TWO), "/tf_static": mounts(*TWO)})
    source = open_source(bag)
    source._counts["/right/image_raw"] += 1  # type: ignore[attr-defined]
    frames = iter(source)
    assert [next(frames).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(EndedEarlyError, match="right/image_raw ends after 4 of 5 images"):
        next(frames)

"""play: what the nodes are told, and which frame a stamp belongs to; playing is in the tests of demo and node_run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ros2_raxels.harness.play import Play, _camera_arguments, _pose_arguments, frame_numbers
from ros2_raxels.recordings.source import FrameSource

RECORDED_NS = [round(k * 1e9 / 30) for k in range(300)]


def source(**changes: Any) -> FrameSource:
    known: dict[str, Any] = {"camera": object(), "length": 40, "rig": None}
    return cast(FrameSource, SimpleNamespace(**(known | changes)))


def test_as_many_frames_are_expected_as_there_are_and_may_be() -> None:
    assert Play("a", source()).frames == 40
    assert Play("a", source(), max_frames=30).frames == 30
    assert Play("a", source(length=None)).frames is None


def test_the_camera_is_told_what_to_play_and_to_wait_for_both(tmp_path: Path) -> None:
    told = _camera_arguments(Play(str(tmp_path), source(), 30, 2.0, "/eye", True))
    settings = {f'source:="{tmp_path}"', "speed:=2.0", "limit:=30", 'image_topic:="/eye"', "use_source_stamps:=true"}
    assert settings | {"wait_for_subscribers:=2"} <= set(told)
    assert 'size:="320x180"' in _camera_arguments(Play("0", source(), size=(320, 180)))
    assert not any("size" in word for word in told)
    assert 'source:="0"' in _camera_arguments(Play("0", source()))


def test_the_pose_node_waits_for_intrinsics_that_come_alone() -> None:
    assert "camera_info_timeout_s:=0.0" not in _pose_arguments(Play("a", source()))
    assert "camera_info_timeout_s:=0.0" in _pose_arguments(Play("a", source(camera=None)))


def test_the_pose_node_hears_every_camera_of_a_rig_by_name() -> None:
    rig = SimpleNamespace(names=("left", "2nd eye"))
    told = _pose_arguments(Play("a", source(rig=rig), as_rig=True))
    assert 'cameras:=["left", "camera_2nd_eye"]' in told
    assert "left/image:=/camera/left/image_raw" in told
    assert "camera_2nd_eye/camera_info:=/camera/camera_2nd_eye/camera_info" in told
    assert "image:=/camera/image_raw" not in told
    # The first camera alone otherwise.
    assert "image:=/camera/image_raw" in _pose_arguments(Play("a", source(rig=rig)))


def stamps(speed: float, late_ns: Any = 0) -> np.ndarray:
    return np.array(RECORDED_NS) // speed + 1_700_000_000_000_000_000 + late_ns


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_frames_whose_stamps_were_missed_shift_no_others(speed: float) -> None:
    jitter = np.random.default_rng(0).integers(0, 8_000_000, 300)
    kept = [*range(7, 100), *range(103, 300)]
    published = [int(stamp) for stamp in stamps(speed, jitter)[kept]]
    found = frame_numbers(published, RECORDED_NS, 300, speed)
    assert [found[stamp] for stamp in published] == kept


def test_a_last_frame_that_is_late_shifts_no_others() -> None:
    late = np.zeros(300, np.int64)
    late[-1] = 25_000_000
    published = [int(stamp) for stamp in stamps(1.0, late)[5:]]
    found = frame_numbers(published, RECORDED_NS, 300, 1.0)
    assert [found[stamp] for stamp in published][:-1] == list(range(5, 299))


def test_when_all_stamps_are_heard_they_are_counted() -> None:
    assert frame_numbers([30, 10, 20], RECORDED_NS, 3, 1.0) == {10: 0, 20: 1, 30: 2}
    assert frame_numbers([30, 10], [], 3, 1.0) == {10: 0, 30: 1}
    assert frame_numbers([], RECORDED_NS, 3, 1.0) == {}

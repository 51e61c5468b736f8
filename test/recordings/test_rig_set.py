"""rig_set: one camera of a robot with its lens, mount and true poses, and every wrong field refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posed_sets import CAMERA
from recordings_rig import refusal
from rig_sets import CAMERA_TO_BASE, write_rig_set

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.rig_set import RigSet, RigSetSource
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.scenes.trajectories import handheld_loop


def changed(folder: Path, change: dict[str, Any]) -> Path:
    """A rig set whose file says something else."""
    file = write_rig_set(folder, count=2) / "rig.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    return folder


def test_the_camera_of_a_robot_comes_with_its_lens_its_mount_and_its_true_poses(tmp_path: Path) -> None:
    source = open_source(write_rig_set(tmp_path / "rig", count=3))
    assert (source.name, source.kind, source.length, source.rate_hz) == ("robot", "rig set", 3, pytest.approx(10.0))
    assert (source.has_truth, source.is_metric) == (True, True)
    assert source.notes == ("3 images of camera 'front' listed in rig.json",)
    np.testing.assert_array_equal(source.camera_to_base, CAMERA_TO_BASE)
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    for frame, pose in zip(frames, handheld_loop(6.0, 10.0, seed=3), strict=False):
        assert frame.camera == CAMERA
        assert frame.camera_to_world is not None
        np.testing.assert_allclose(frame.camera_to_world, pose, atol=1e-12)


def test_one_of_several_cameras_is_chosen_by_name(tmp_path: Path) -> None:
    folder = write_rig_set(tmp_path / "rig", "left", "right", count=1, K=[99.0, 99.0, 79.5, 59.5])
    right, left = (open_source(folder, camera_name=name).camera for name in ("right", "left"))
    assert right == CAMERA
    assert left == PinholeCamera(160, 120, 99.0, 99.0, 79.5, 59.5)
    with pytest.raises(SourceError, match=r"has 2 cameras \(left, right\).*choose it with --camera NAME"):
        open_source(folder, camera=CAMERA)
    with pytest.raises(SourceError, match="has no camera 'top'; choose from left, right"):
        open_source(folder, camera_name="top")


def test_all_cameras_are_read_together_and_one_may_miss_an_image(tmp_path: Path) -> None:
    folder = write_rig_set(tmp_path / "rig", "left", "right", count=3)
    record = json.loads((folder / "rig.json").read_text())
    record["cameras"][1]["folder"] = "right"
    (folder / "rig.json").write_text(json.dumps(record))
    (folder / "right").mkdir()
    for index in (0, 2):
        shutil.copy(folder / "images" / f"{2 - index:06d}.png", folder / "right" / f"{index:06d}.png")
    source = open_source(folder)
    assert source.rig is not None
    assert source.rig.names == ("left", "right")
    assert source.rig.baseline_m("left", "right") == pytest.approx(0.1)
    np.testing.assert_array_equal(source.camera_to_base, CAMERA_TO_BASE)
    assert source.notes == (
        "3 images of each of the cameras left, right listed in rig.json; poses are answered at those of 'left'",
        "camera 'right' has no image at 1 of 3 moments",
    )
    frames = list(source)
    assert [list(frame.others) for frame in frames] == [["right"], [], ["right"]]
    np.testing.assert_array_equal(frames[0].others["right"], frames[2].image)
    assert [list(frame.others) for frame in open_source(folder, camera_name="left")] == [[], [], []]


def test_a_camera_without_any_image_and_one_entered_twice_are_named(tmp_path: Path) -> None:
    folder = write_rig_set(tmp_path / "rig", "left", "right", count=1)
    record = json.loads((folder / "rig.json").read_text())
    record["cameras"][1]["folder"] = "nowhere"
    (folder / "rig.json").write_text(json.dumps(record))
    with pytest.raises(SourceError, match="nowhere holds no image of camera 'right'; choose another with --camera"):
        open_source(folder)
    record["cameras"][1] |= {"folder": "images", "camera_to_base": record["cameras"][0]["camera_to_base"]}
    (folder / "rig.json").write_text(json.dumps(record))
    with pytest.raises(SourceError, match="cameras 'left' and 'right' of the rig are mounted in the same place"):
        open_source(folder)


def test_a_lens_that_cannot_be_tracked_with_is_named_unless_another_is_given(tmp_path: Path) -> None:
    folder = write_rig_set(tmp_path / "rig", count=1, distortion_model="omni", D=[0.1, 0.0, 0.0, 0.0])
    with pytest.raises(SourceError, match=r"cameras\[0\] 'front': distortion_model 'omni' is not supported"):
        open_source(folder)
    assert open_source(folder, ignore_calibration=True).camera is None
    assert open_source(folder, camera=CAMERA).camera == CAMERA


def test_distortion_is_read_and_zeros_are_none(tmp_path: Path) -> None:
    bent = open_source(write_rig_set(tmp_path / "rig", count=1, D=[-0.28, 0.07, 0.0, 0.0, 0.0])).camera
    assert bent is not None
    assert bent.distortion == (-0.28, 0.07, 0.0, 0.0, 0.0)


def test_a_rig_without_truth_is_read(tmp_path: Path) -> None:
    frames = [{"timestamp": None, "file": "000000.png"}, {"timestamp": None, "file": "000001.png"}]
    source = open_source(changed(tmp_path / "rig", {"frames": frames, "metric_scale": False}))
    assert (source.has_truth, source.is_metric) == (False, False)
    assert [(frame.stamp_ns, frame.camera_to_world) for frame in source] == [(0, None), (100_000_000, None)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cameras": []}, "cameras is empty; it must list at least one"),
        ({"frames": []}, "frames is empty; it must list at least one"),
        ({"cameras": [{"name": "a", "folder": "b"}]}, "cameras[0] has no 'camera_to_base'; add it"),
        (
            {"cameras": [{"name": "a", "folder": "b", "camera_to_base": np.zeros((4, 4)).tolist()}]},
            "cameras[0].camera_to_base = [[0.0",
        ),
        ({"cameras": [{"folder": "b"}]}, "cameras[0] has no 'name'; add it"),
        ({"frames": [{"file": 3}]}, "frames[0].file = 3 must be a text"),
        ({"frame_rate": -1}, "frame_rate = -1 must be a positive number"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    assert words in refusal(changed(tmp_path / "rig", change))


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    frames = [{"timestamp": 0.0, "file": "gone.png"}]
    assert "gone.png does not exist; restore the image" in refusal(changed(tmp_path / "rig", {"frames": frames}))


def test_frames_beyond_the_limit_are_not_looked_at(tmp_path: Path) -> None:
    frames = [{"timestamp": 0.0, "file": "000000.png"}, {"file": 3}]
    folder = changed(tmp_path / "rig", {"frames": frames})
    assert len(RigSet.read(folder / "rig.json", limit=1).images) == 1
    assert RigSetSource(folder, limit=1).length == 1

"""map_file: keyframes that were saved are found again, files that hold none are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keyframes_on_a_line import CAMERA, MATCHER, map_of, numbers, on_a_line
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from walk import (
    BLACK,
    LOST,
    TRACKING,
    Walk,
    follow,
    states,
)

from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import make_pose
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.keyframe_map import KeyframeMap, Link
from ros2_raxels.tracking.map_file import load, save
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose
from ros2_raxels.utils.files import FileError


def test_keyframes_are_kept_and_a_known_place_is_found_in_them(
    walk: Walk, walked: tuple[Tracker, list[TrackedPose]], scale: float, tmp_path: Path
) -> None:
    path = tmp_path / "kitchen.safetensors"
    count = walked[0].save_keyframes(path)
    assert count == len(walked[0]._live.keyframes.all) > 5
    tracker = Tracker()
    assert tracker.load_keyframes(path) == count
    for old, new in zip(walked[0]._live.keyframes.all, tracker._live.keyframes.all, strict=True):
        np.testing.assert_array_equal(old.camera_to_world, new.camera_to_world)
        np.testing.assert_array_equal(old.covariance, new.covariance)
        np.testing.assert_array_equal(old.features.grey, new.features.grey)
        assert (old.number, old.parent, old.frame.stamp_ns) == (new.number, new.parent, new.frame.stamp_ns)
        assert old.camera == new.camera
        assert old.trajectory == new.trajectory
    assert tracker._live.keyframes.trajectories == walked[0]._live.keyframes.trajectories
    assert states(follow(tracker, [BLACK])) == [LOST]
    found = follow(tracker, walk[30:36])
    begun = states(found).index(TRACKING)
    assert begun < 2
    assert found[begun].corrected
    off, turn = walk.error(found[begun:], list(range(30 + begun, 36)), scale)
    assert off < 0.02
    assert turn < 1.0


LINK = Link(0, 2, make_pose(np.eye(3), [3.0, 0.0, 0.0]), 0.25, np.diag([0.04] * 3 + [0.01] * 3), (0.0, 0.0))


def small_map() -> KeyframeMap:
    """Three keyframes on a line and a loop; lengths around the first have doubled since it was measured."""
    keyframes = map_of(with_depths(on_a_line([0.0, 1.0, 2.0], variance=0.1)))
    keyframes.loops = [LINK]
    keyframes.grow(0, 2.0)
    return keyframes


def with_depths(keyframes: list[Keyframe]) -> list[Keyframe]:
    points = len(MATCHER.grid((120, 160)))
    return [replace(k, inverse_depth=np.linspace(0.1, 1.0, points)) for k in keyframes]


def test_keyframes_keep_their_lens_and_those_of_old_files_are_pinholes(tmp_path: Path) -> None:
    path, lens = tmp_path / "wide.safetensors", FisheyeCamera(160, 120, 60.0, 61.0, 79.5, 59.5, (0.1, 0.0, 0.0, 0.0))
    wide, plain = with_depths(on_a_line([0.0, 1.0]))
    save(path, map_of([replace(wide, frame=replace(wide.frame, camera=lens)), plain]))
    assert [k.camera for k in load(path, MATCHER).all] == [lens, CAMERA]
    save(path, map_of(with_depths(on_a_line([0.0, 1.0]))))
    with safe_open(path, "numpy") as file:
        metadata = dict(file.metadata())
    facts = json.loads(metadata["facts"])
    for entry in facts["cameras"]:
        del entry["lens"]
    save_file(load_file(path), path, {**metadata, "facts": json.dumps(facts)})
    assert [k.camera for k in load(path, MATCHER).all] == [CAMERA, CAMERA]


def test_loops_are_kept_as_they_were_measured_in_the_units_of_now(tmp_path: Path) -> None:
    path = tmp_path / "map.safetensors"
    save(path, small_map())
    known = load(path, MATCHER)
    (loop,) = known.loops
    assert (loop.first, loop.second, loop.log_growth) == (0, 2, (0.0, 0.0))
    np.testing.assert_allclose(loop.pose, make_pose(np.eye(3), [6.0, 0.0, 0.0]))
    assert loop.log_scale == pytest.approx(0.25 + np.log(2.0))
    np.testing.assert_allclose(np.diag(loop.covariance), [0.16] * 3 + [0.01] * 3)
    assert (known.window, known.present) == ([], 0)
    np.testing.assert_allclose(known.keyframes[0].inverse_depth, np.linspace(0.05, 0.5, len(MATCHER.grid((120, 160)))))


def rewritten(path: Path, file_format: str, without: str = "nothing") -> None:
    """The same file as another version of this package would have written it."""
    with safe_open(path, "numpy") as file:
        header = file.metadata()
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith(without)}
    save_file(tensors, path, metadata={**header, "format": file_format})


def test_a_file_from_before_loops_were_measured_is_read_with_loops_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "map.safetensors"
    save(path, small_map())
    rewritten(path, "raxels keyframes 3", without="loop_")
    known = load(path, MATCHER)
    assert numbers(known.all) == [0, 1, 2]
    (loop,) = known.loops
    assert (loop.first, loop.second, loop.log_scale) == (0, 2, 0.0)
    np.testing.assert_allclose(loop.pose, make_pose(np.eye(3), [2.0, 0.0, 0.0]))


@pytest.mark.parametrize("file_format", ["raxels keyframes 2", "raxels keyframes 5"])
def test_a_file_of_another_version_is_refused_with_that_version(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "map.safetensors"
    save(path, small_map())
    rewritten(path, file_format)
    with pytest.raises(FileError, match=rf"\('{file_format}', not 'raxels keyframes 4'\); save them again"):
        load(path, MATCHER)


def test_files_that_hold_no_keyframes_are_refused_and_nothing_changes(
    walk: Walk, walked: tuple[Tracker, list[TrackedPose]], tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    walked[0].save_keyframes(good)
    tracker = Tracker()
    follow(tracker, walk[:14])
    before = tracker._live.keyframes.all
    with pytest.raises(FileError, match="cannot be used as keyframes"):
        tracker.load_keyframes(bad)
    bad.write_bytes(good.read_bytes()[:-1000])
    with pytest.raises(FileError, match="cannot be used as keyframes"):
        tracker.load_keyframes(bad)
    save_file({"x": np.zeros(3)}, bad)
    with pytest.raises(FileError, match="holds no keyframes"):
        tracker.load_keyframes(bad)
    for name, spoil in (
        ("camera_to_world", lambda t: t * np.nan),
        ("camera_to_world", lambda t: t * 2),
        ("camera_to_world", lambda t: t * np.array([1.0, 1.0, -1.0, 1.0])),
        ("number", lambda t: t * 0),
        ("number", lambda t: t.astype(float)),
        ("parent", lambda t: t + 1),
        ("trajectory", lambda t: t + 1),
        ("stamp_ns", lambda t: t[1:]),
        ("loops", lambda t: np.array([[0, 10_000]])),
        ("covariance", lambda t: t[:, :3]),
        ("loop_log_scale", lambda t: np.array([np.nan])),
        (f"image.{before[0].number}", lambda t: t[:10]),
    ):
        tensors = load_file(good)
        with safe_open(good, "numpy") as file:
            header = file.metadata()
        save_file({n: spoil(t) if n == name else t for n, t in tensors.items()}, bad, metadata=header)
        with pytest.raises(FileError, match="cannot be used as keyframes"):
            tracker.load_keyframes(bad)
    for part, word in (
        ('"unit": ', "-"),
        ('"unit": ', '1e999, "was": '),
        ('"sigma": ', "-"),
        ('"metres_per_unit": ', '1e999, "was": '),
        ('"scale": ', '[], "was": '),
        ('"fx": ', '0, "was": '),
    ):
        spoilt = {**header, "facts": header["facts"].replace(part, part + word)}
        save_file(load_file(good), bad, metadata=spoilt)
        with pytest.raises(FileError, match="cannot be used as keyframes"):
            tracker.load_keyframes(bad)
    assert [k.number for k in tracker._live.keyframes.all] == [k.number for k in before]
    assert all(a is b for a, b in zip(tracker._live.keyframes.all, before, strict=True))
    assert states(follow(tracker, walk[14:16])) == [TRACKING] * 2
    with pytest.raises(FileError, match="there are no keyframes yet"):
        Tracker().save_keyframes(good)

"""rig_map_file: the map of a rig is that of all its cameras, in the same rig; in another one what differs is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rig_walk import LENS, RigWalk, mounted, stereo
from safetensors.numpy import load_file, save_file

from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking import map_file
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackState
from ros2_raxels.utils.files import FileError

COUNT = 14


@pytest.fixture(scope="module")
def walk() -> RigWalk:
    return stereo()


def follow(tracker: Tracker, walk: RigWalk, moments: range, blind: bool = False) -> list[TrackedPose]:
    """Answers; `blind` leaves the first camera without a picture."""
    found = []
    for k in moments:
        left, right = (walk.images[k][name] for name in ("left", "right"))
        image = np.zeros_like(left) if blind else left
        others = {} if tracker._rig is None else {"right": right}
        found.append(tracker.track(image, walk.stamp_ns(k), LENS, others=others))
        tracker.improve()
    return found


@pytest.fixture(scope="module")
def saved(walk: RigWalk, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tracker, Path]:
    tracker = Tracker(rig=walk.rig)
    follow(tracker, walk, range(COUNT))
    path = tmp_path_factory.mktemp("map") / "room.safetensors"
    assert tracker.save_keyframes(path) >= 2
    return tracker, path


def test_what_the_other_camera_has_measured_is_kept(saved: tuple[Tracker, Path], walk: RigWalk) -> None:
    before, path = saved
    tracker = Tracker(rig=walk.rig)
    tracker.load_keyframes(path)
    assert tracker.map_remark == ""
    old, new = before._live.mapper.rig, tracker._live.mapper.rig
    assert old is not None
    assert new is not None
    assert new.scale == old.scale
    views = [t.views("right", m._live.keyframes.all) for t, m in ((old, before), (new, tracker))]
    assert len(views[0]) == len(views[1]) >= 2
    for a, b in zip(*views, strict=True):
        np.testing.assert_array_equal(a.features.grey, b.features.grey)
        np.testing.assert_allclose(a.inverse_depth, b.inverse_depth)
        np.testing.assert_allclose(a.camera_to_world, b.camera_to_world)
        assert a.camera == b.camera
    assert np.isfinite(views[1][0].inverse_depth).mean() > 0.1


def test_a_rig_goes_on_in_its_map_with_all_cameras(saved: tuple[Tracker, Path], walk: RigWalk) -> None:
    """Once it has found itself, the second camera alone holds it for a moment."""
    tracker = Tracker(rig=walk.rig)
    tracker.load_keyframes(saved[1])
    found = follow(tracker, walk, range(9, 13))
    assert found[-1].state is TrackState.TRACKING
    assert found[-1].scale.is_metric
    away = np.linalg.norm(found[-1].camera_to_world[:3, 3] - walk.truth([12])[0][:3, 3])
    assert away < 0.02
    (alone,) = follow(tracker, walk, range(13, 14), blind=True)
    assert alone.state is TrackState.TRACKING
    assert np.linalg.norm(alone.camera_to_world[:3, 3] - walk.truth([13])[0][:3, 3]) < 0.03


@pytest.mark.parametrize(
    ("rig", "words"),
    [
        (
            None,
            "the map was made with another rig ('right': there is one camera now): what its first camera 'left' saw",
        ),
        (
            {"left": mounted(0.0, 0.15, 0.06), "right": mounted(0.0, 0.15, -0.09)},
            "'right': it stands 30.0 mm and 0.00",
        ),
        ({"left": mounted(0.0, 0.15, 0.06), "top": mounted(0.0, 0.15, -0.06)}, "'right': it is none of the rig now"),
        ({"right": mounted(0.0, 0.15, -0.06), "left": mounted(0.0, 0.15, 0.06)}, "'right' leads now, and 'left' did"),
        (
            {
                "left": mounted(0.0, 0.15, 0.06),
                "right": MountedCamera(LENS.resized(320, 240), mounted(0.0, 0.15, -0.06).camera_to_base),
            },
            "'right': its lens is another one now",
        ),
    ],
)
def test_another_rig_is_told_what_of_the_map_it_cannot_use(
    saved: tuple[Tracker, Path], rig: dict[str, MountedCamera] | None, words: str
) -> None:
    tracker = Tracker(rig=None if rig is None else Rig(rig))
    assert tracker.load_keyframes(saved[1]) >= 2
    assert words in tracker.map_remark
    assert all(not keyframe.frame.sides for keyframe in tracker._live.keyframes.all)
    tracker.reset()
    assert tracker.map_remark == ""


def test_a_map_that_was_loaded_before_the_rig_was_known_is_read_again_with_it(
    saved: tuple[Tracker, Path], walk: RigWalk
) -> None:
    """As in a node, which finds its cameras when their first images come."""
    tracker = Tracker()
    tracker.load_keyframes(saved[1])
    assert "there is one camera now" in tracker.map_remark
    tracker.use_rig(walk.rig)
    assert tracker.map_remark == ""
    assert set(tracker._live.keyframes.all[0].frame.sides) == {"right"}
    tracker.reset()
    tracker.use_rig(walk.rig)
    assert not tracker._live.keyframes.all


def test_a_map_of_one_camera_is_one_for_a_rig_too(walk: RigWalk, saved: tuple[Tracker, Path], tmp_path: Path) -> None:
    path = tmp_path / "mono.safetensors"
    map_file.save(path, saved[0]._live.keyframes)
    tracker = Tracker(rig=walk.rig)
    tracker.load_keyframes(path)
    assert tracker.map_remark == ""
    assert follow(tracker, walk, range(9, 12))[-1].state is TrackState.TRACKING


@pytest.mark.parametrize("change", ["side.right.image", "side.right.inverse_depth"])
def test_a_broken_file_is_refused(saved: tuple[Tracker, Path], walk: RigWalk, tmp_path: Path, change: str) -> None:
    from safetensors import safe_open

    with safe_open(saved[1], "numpy") as file:
        metadata = file.metadata()
    tensors = load_file(saved[1])
    name = next(name for name in tensors if name.startswith(change))
    tensors[name] = tensors[name][:-1]
    path = tmp_path / "broken.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(FileError, match="cannot be used as keyframes"):
        map_file.load_all(path, Matcher(), walk.rig)

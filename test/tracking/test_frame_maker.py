"""frame_maker: intrinsics that are estimated, and other resolutions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rig_walk import stereo
from walk import (
    CAMERA,
    TRACKING,
    Walk,
    follow,
    path_m,
    similarity,
    solved_from,
    states,
)

from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame_maker import FrameMaker
from ros2_raxels.tracking.tracker import Tracker


def test_focal_length_without_intrinsics(walk: Walk) -> None:
    tracker = Tracker()
    found = follow(tracker, walk[:24], None)
    begun = solved_from(found)
    assert states(found[begun:]) == [TRACKING] * (24 - begun)
    assert tracker.camera is not None
    assert tracker.camera.fx == pytest.approx(256.0, rel=0.15)
    positions = np.array([f.camera_to_world[:3, 3] for f in found[begun:]])
    assert similarity(positions, walk.poses[begun:24, :3, 3])[1] < 0.03 * path_m(walk.poses[begun:24])


def test_a_camera_that_changes_its_resolution_is_followed(walk: Walk, scale: float) -> None:
    tracker = Tracker()
    follow(tracker, walk[:14])
    small = [cv2.resize(image, (256, 192), interpolation=cv2.INTER_AREA) for image in walk[14:26]]
    found = follow(tracker, small, CAMERA.resized(256, 192))
    assert set(states(found)) == {TRACKING}
    off, turn = walk.error(found, list(range(14, 26)), scale)
    assert off < 0.01
    assert turn < 0.6


def test_a_mask_of_another_camera_of_the_rig_is_used_in_its_image_from_then_on() -> None:
    walk = stereo()
    frames = FrameMaker(Matcher(), None, walk.rig)
    mask = np.zeros((180, 240), bool)
    mask[:90] = True

    def usable(camera: str) -> float:
        lens, others = walk.rig["left"].camera, {"right": walk.images[0]["right"]}
        frame = frames.make(0, walk.images[0]["left"], 0, lens, None, others, False)
        features = frame.features if camera == "left" else frame.sides[camera].features
        return 1.0 if features.usable is None else float(features.usable.mean())

    assert (usable("left"), usable("right")) == (1.0, 1.0)
    frames.use_mask(mask, "right")
    assert usable("left") == 1.0
    assert 0.3 < usable("right") < 0.5
    # Also of a camera that comes later.
    frames.use_rig(None)
    frames.use_rig(walk.rig)
    assert 0.3 < usable("right") < 0.5
    frames.use_mask(mask)
    frames.use_mask(None, "right")
    assert 0.3 < usable("left") < 0.5
    assert usable("right") == 1.0


def test_frames_have_the_focal_length_that_is_used_and_not_the_stated_one() -> None:
    walk = stereo()
    frames, lens = FrameMaker(Matcher(), None, None), walk.rig["left"].camera
    frames.zoom = 0.95
    frame = frames.make(0, walk.images[0]["left"], 0, lens, None, {}, False)
    assert frame.camera.fx == pytest.approx(0.95 * frame.features.working_camera(lens).fx)
    assert frames.stated_px == lens.fx
    # What first cameras are solved with is told in use as well.
    frames.know(frame.camera)
    assert frames.in_use is not None
    assert frames.in_use.fx == pytest.approx(frame.camera.fx)

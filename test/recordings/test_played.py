"""Recordings played backwards, in a mirror, and with every second frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from posed_sets import CAMERA, write_rendered_set

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.played import PLAYED, PlayedSource
from ros2_raxels.recordings.source import Frame, FrameSource

FRAMES = 6
POINT: FloatArray = np.array([0.3, -0.2, 1.7])


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> FrameSource:
    return open_source(write_rendered_set(Path(tmp_path_factory.mktemp("data")) / "room", FRAMES))


def _pose(frame: Frame) -> FloatArray:
    assert frame.camera_to_world is not None
    return frame.camera_to_world


def test_backwards_the_last_frame_comes_first_and_time_goes_on(room: FrameSource) -> None:
    whole, played = list(room), list(PlayedSource(room, "backwards"))
    assert [f.index for f in played] == list(range(FRAMES))
    assert np.diff([f.stamp_ns for f in played]).tolist() == np.diff([f.stamp_ns for f in whole]).tolist()[::-1]
    assert played[0].stamp_ns == whole[0].stamp_ns
    for forth, back in zip(whole, reversed(played), strict=True):
        np.testing.assert_array_equal(forth.image, back.image)
        np.testing.assert_array_equal(_pose(forth), _pose(back))


def test_a_mirror_shows_a_mirrored_point_at_the_mirrored_place(room: FrameSource) -> None:
    mirrored = PlayedSource(room, "mirrored")
    assert mirrored.camera is not None
    assert mirrored.camera.cx == CAMERA.width - 1 - CAMERA.cx
    for before, after in zip(room, mirrored, strict=True):
        np.testing.assert_array_equal(after.image, before.image[:, ::-1])
        assert np.linalg.det(_pose(after)[:3, :3]) == pytest.approx(1.0)
        world = _pose(before)[:3, :3] @ POINT + _pose(before)[:3, 3]
        in_mirror = _pose(after)[:3, :3].T @ (world * (-1, 1, 1) - _pose(after)[:3, 3])
        assert before.camera is not None
        assert after.camera is not None
        (was,), (now,) = before.camera.project(POINT[None]), after.camera.project(in_mirror[None])
        np.testing.assert_allclose(now, (CAMERA.width - 1 - was[0], was[1]), atol=1e-9)


def test_every_second_frame_has_half_the_rate(room: FrameSource) -> None:
    whole, played = list(room), PlayedSource(room, "every_second")
    assert (played.rate_hz, played.length) == (room.rate_hz / 2, 3)
    assert [f.index for f in played] == [0, 1, 2]
    assert [f.stamp_ns for f in played] == [f.stamp_ns for f in whole[::2]]


@pytest.mark.parametrize("way", PLAYED)
def test_a_recording_can_be_played_again_and_is_named(room: FrameSource, way: str) -> None:
    played = PlayedSource(room, way)
    once, again = list(played), list(played)
    assert [f.stamp_ns for f in once] == [f.stamp_ns for f in again]
    assert (played.has_truth, len(once)) == (True, played.length)
    assert played.name == ("room" if way == "as_it_is" else f"room {way}")

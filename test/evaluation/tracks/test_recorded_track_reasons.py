"""recorded_track: which frames of a track count as solved, and why the others were not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.calibration import Calibration, CalibrationError
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState

IMAGE = np.zeros((60, 80, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(index, index, IMAGE, None, None, f"{index}.png")


def track_of(answers: Sequence[tuple[TrackState, str]]) -> Track:
    track = Track()
    for index, (state, message) in enumerate(answers):
        pose = TrackedPose(index, np.eye(4), np.eye(6), state, SolveQuality(), message=message)
        track.add(frame(index), pose, 0.001)
    return track


def test_tracked_frames_and_those_found_again_are_solved() -> None:
    states = (TrackState.INITIALISING, TrackState.TRACKING, TrackState.HELD, TrackState.LOST)
    track = track_of([(state, "") for state in states])
    assert track.solved() == [1]
    track.found_again = {3}
    assert track.solved() == [1, 3]


def test_the_reason_is_what_was_said_most_often_whatever_the_numbers_in_it() -> None:
    track = track_of(
        [
            (TrackState.TRACKING, ""),
            (TrackState.HELD, "pose held: blurred"),
            (TrackState.LOST, "lost for 2 frames: 3 of 40 agree"),
            (TrackState.LOST, "lost for 3 frames: 4.5 of 41 agree"),
        ]
    )
    assert track.reason() == "lost for 3 frames: 4.5 of 41 agree"
    track.found_again = {2, 3}
    assert track.reason() == "pose held: blurred"
    assert track_of([(TrackState.TRACKING, "")]).reason() == ""


def test_waiting_for_motion_is_a_reason_only_where_nothing_was_tried() -> None:
    waiting = [
        (TrackState.INITIALISING, "first frame; waiting for motion"),
        (TrackState.INITIALISING, "image moved 1.5 % of its width; 5.0 % needed to start"),
        (TrackState.INITIALISING, "image moved 2.5 % of its width; 5.0 % needed to start"),
    ]
    assert track_of(waiting).reason() == "image moved 2.5 % of its width; 5.0 % needed to start"
    tried = (TrackState.INITIALISING, "first cameras are too uncertain (confidence 0.03); move sideways, not only turn")
    assert track_of([*waiting, tried]).reason() == tried[1]


class Still(FrameSource):
    """Two black frames, whose camera is known."""

    name, kind, length, rate_hz, camera = "still", "image folder", 2, 30.0, PinholeCamera(80, 60, 70, 70, 39.5, 29.5)

    def __iter__(self):  # type: ignore[no-untyped-def]
        for index in range(2):
            yield Frame(index, index, IMAGE, self.camera, None, f"{index}.png")


def test_a_calibration_replaces_that_of_the_recording_at_the_size_of_its_images() -> None:
    track = Track()
    calibration = Calibration.of("x", (120.0, 121.0, 79.5, 59.5), size=(160, 120))
    assert len(list(follow(track, Still(), Tracker(), calibration))) == 2
    assert track.camera is not None
    assert (track.camera.width, track.camera.fx, track.camera.fy, track.camera.cx) == (80, 60.0, 60.5, 39.5)
    assert track.camera_given
    with pytest.raises(CalibrationError, match="x is of 160x90 px, but the images are 80x60 px"):
        next(follow(Track(), Still(), Tracker(), Calibration.of("x", (120.0, 121.0, 79.5, 44.5), size=(160, 90))))

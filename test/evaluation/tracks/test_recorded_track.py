"""What is kept of a recording while it is tracked, and what is taken over at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.recordings.calibration import Calibration
from ros2_raxels.recordings.source import Frame, FrameSource, SourceError
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState

CAMERA = PinholeCamera(8, 6, 7.0, 7.0, 3.5, 2.5)
TRACKING, HELD, LOST = TrackState.TRACKING, TrackState.HELD, TrackState.LOST


def at(x: float) -> FloatArray:
    return make_pose(np.eye(3), (x, 0.0, 0.0))


class Made(FrameSource):
    """Black frames; the truth goes 10 along x with each."""

    name, kind, rate_hz, camera, has_truth = "made", "posed set", 10.0, CAMERA, True

    def __init__(self, count: int, **changes: Any) -> None:
        self.length, self._changes = count, changes

    def __iter__(self) -> Iterator[Frame]:
        image = np.zeros((6, 8, 3), np.uint8)
        for k in range(self.length or 0):
            yield replace(Frame(k, 100 * k, image, CAMERA, at(10.0 * k), f"frame {k}"), **self._changes)


def standing(stamp_ns: int) -> TrackedPose:
    return TrackedPose(stamp_ns, at(0.0), np.eye(6), TRACKING, has_depth=False, message="image moved")


def test_where_a_camera_stood_counts_once_there_are_depths() -> None:
    track, frames = Track(), list(Made(4))
    for frame in frames[:3]:
        track.add(frame, standing(frame.stamp_ns), 0.01)
    assert track.states == [TrackState.INITIALISING] * 3
    assert track.solved() == []
    assert track.reason() == "image moved"
    track.add(frames[3], TrackedPose(300, at(1.0), np.eye(6), TRACKING), 0.01)
    assert track.solved() == [0, 1, 2, 3]


class Scripted:
    """A tracker that starts with its third frame, and knows all frames one further along at the end."""

    missed = 3

    def __init__(self, error: Mapping[int, Exception] | None = None) -> None:
        self.cameras: list[PinholeCamera | None] = []
        self.camera: PinholeCamera | None = PinholeCamera(4, 3, 5.0, 5.0, 1.5, 1.0)
        self.improved = 0
        self._error = error or {}

    def track(self, image: Any, stamp_ns: int, camera: PinholeCamera | None, *_: Any, **more: Any) -> TrackedPose:
        number = len(self.cameras)
        if number in self._error:
            raise self._error[number]
        self.cameras.append(camera)
        state = TRACKING if number >= 2 else TrackState.INITIALISING
        earlier = ((0, at(0.0)), (100, at(1.0))) if number == 2 else ()
        pose = at(float(number) if number >= 2 else 0.0)
        beside = KeyframePose(2, at(0.5), 1.0) if number >= 2 else None
        return TrackedPose(
            stamp_ns,
            pose,
            np.eye(6),
            state,
            SolveQuality(1.0),
            keyframe=number == 2,
            keyframe_pose=beside,
            earlier=earlier,
        )

    def improve(self) -> None:
        self.improved += 1

    def look_again(self) -> Iterator[bool]:
        yield from (True, False, True)

    def found_later(self, answer: TrackedPose) -> bool:
        return answer.stamp_ns in (0, 200)

    def pose_now(self, answer: TrackedPose) -> FloatArray:
        return answer.camera_to_world @ at(1.0)


def followed(source: FrameSource, tracker: Scripted, **options: Any) -> Track:
    track = Track()
    for _ in follow(track, source, cast(Tracker, tracker), **options):
        pass
    return track


def x_of(poses: list[FloatArray]) -> list[float]:
    return [float(pose[0, 3]) for pose in poses]


def test_losses_are_counted() -> None:
    known = Track(states=[LOST, LOST, TRACKING, HELD, LOST, TRACKING, LOST, LOST])
    assert known.losses == 3
    assert known.share(TRACKING) == 0.25
    assert known.count(HELD) == 1
    assert Track().share(TRACKING) == 0.0


def test_every_frame_has_an_entry_and_those_solved_later_get_their_pose() -> None:
    tracker = Scripted()
    track = followed(Made(5), tracker)
    assert track.stamps_ns == [0, 100, 200, 300, 400]
    assert x_of(track.poses) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert track.states == [TRACKING] * 5
    assert (track.keyframes, tracker.improved) == (1, 5)
    assert len(track.frame_s) == len(track.between_s) == 5
    assert min(*track.frame_s, *track.between_s) > 0.0
    # Of an answer that came later the pose beside a keyframe is worked out again.
    beside = track.answers[1].keyframe_pose
    assert beside is not None
    np.testing.assert_allclose(beside.pose, at(-1.0))


def test_stamps_that_repeat_are_taken_from_the_newest_back() -> None:
    track = followed(Made(2), Scripted())
    track.stamps_ns[0] = 100
    late = TrackedPose(200, at(2.0), np.eye(6), TRACKING, SolveQuality(1.0), earlier=((100, at(7.0)),))
    track.add(Frame(2, 200, np.zeros((6, 8, 3), np.uint8), None, None, "last"), late, 0.1)
    assert x_of(track.poses) == [0.0, 7.0, 2.0]


def test_at_the_end_what_was_answered_live_is_kept_beside_what_is_known_by_then() -> None:
    tracker = Scripted()
    track = followed(Made(4), tracker)
    track.settle(cast(Tracker, tracker))
    assert track.found_again == {0, 2}
    assert x_of(track.live) == [0.0, 1.0, 2.0, 3.0]
    assert x_of(track.poses) == [1.0, 2.0, 3.0, 4.0]
    track.settle(cast(Tracker, tracker), look=False)
    assert track.found_again == {0, 2}


def test_true_poses_are_those_of_all_frames_or_none() -> None:
    track = followed(Made(3), Scripted())
    truth = track.true_poses()
    assert truth is not None
    assert x_of(list(truth)) == [0.0, 10.0, 20.0]
    track.truth[1] = None
    assert track.true_poses() is None
    assert Track().true_poses() is None
    drawn = track.drawn("title")
    assert (drawn.title, drawn.truth) == ("title", None)
    assert not drawn.missed.any()


@pytest.mark.parametrize(
    ("given", "recorded", "used"),
    [
        (None, CAMERA, CAMERA),
        (Calibration("by hand", 9.0, 9.0, 3.5, 2.5), CAMERA, PinholeCamera(8, 6, 9.0, 9.0, 3.5, 2.5)),
        (Calibration("by hand", 9.0, 9.0, 3.5, 2.5), None, PinholeCamera(8, 6, 9.0, 9.0, 3.5, 2.5)),
    ],
)
def test_intrinsics_that_are_given_replace_those_of_the_recording(
    given: Calibration | None, recorded: PinholeCamera | None, used: PinholeCamera
) -> None:
    tracker = Scripted()
    track = followed(Made(1, camera=recorded), tracker, calibration=given)
    assert tracker.cameras == [used]
    assert (track.camera, track.camera_given) == (used, True)


def test_without_intrinsics_the_camera_is_the_tracker_s_in_the_size_of_the_images() -> None:
    track = followed(Made(1, camera=None), Scripted())
    assert track.camera == PinholeCamera(4, 3, 5.0, 5.0, 1.5, 1.0).resized(8, 6)
    assert not track.camera_given


def test_what_the_tracker_refuses_names_the_frame_and_what_came_before_is_kept() -> None:
    track, tracker = Track(), Scripted({2: ValueError("image is empty")})
    with pytest.raises(SourceError, match=r"^frame 2: image is empty$"):
        list(follow(track, Made(4), cast(Tracker, tracker)))
    assert len(track.poses) == len(track.between_s) == 2
    with pytest.raises(SourceError, match=r"^frame 0: "):
        list(follow(Track(), Made(1), cast(Tracker, Scripted({0: ValueError("no image")}))))

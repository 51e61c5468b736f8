"""A recording run through the tracker: its answers frame by frame, and what is known at the end."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm import tqdm

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.recordings.calibration import Calibration
from ros2_raxels.recordings.source import Frame, FrameSource, SourceError
from ros2_raxels.tracking.depth_image import DepthImage, DepthImageError
from ros2_raxels.tracking.initializer import NO_TROUBLE
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackState
from ros2_raxels.visualization.trajectory_plot import DrawnTrack


@dataclass
class Track:
    """What is known of a recording's frames so far, one entry a frame.

    Attributes:
        stamps_ns: as recorded.
        poses: (4, 4) camera_to_world each; held ones included.
        live: the poses as first answered; empty until `settle`.
        found_again: numbers of the missed frames that `settle` has solved.
        answers: of the tracker.
        truth: true camera_to_world each, or None.
        states: of the tracker; frames that were solved later count as TRACKING.
        before_depths: numbers of the frames in which the camera stood or turned, and there are no depths yet.
        keyframes: number of keyframes.
        frame_s: wall time from image to pose, s.
        between_s: wall time of the work that a frame leaves for after its pose, s.
        cpu_s: processor time of both, of all threads of the process, s.
        camera: intrinsics of the last frame, px.
        camera_given: whether they were given, not estimated.
        depth_fault: why the first depth image was left out that was; empty where none was.
    """

    stamps_ns: list[int] = field(default_factory=list)
    poses: list[FloatArray] = field(default_factory=list)
    live: list[FloatArray] = field(default_factory=list)
    found_again: set[int] = field(default_factory=set)
    answers: list[TrackedPose] = field(default_factory=list)
    truth: list[FloatArray | None] = field(default_factory=list)
    states: list[TrackState] = field(default_factory=list)
    before_depths: list[int] = field(default_factory=list)
    keyframes: int = 0
    frame_s: list[float] = field(default_factory=list)
    between_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    camera: Camera | None = None
    camera_given: bool = False
    depth_fault: str = ""

    def depth_of(self, frame: Frame) -> DepthImage | None:
        """The depth image of a frame for the tracker; None where it has none, or one that cannot be used with it."""
        if frame.depth is None:
            return None
        try:
            return DepthImage(frame.depth, frame.image.shape[1], frame.image.shape[0])
        except DepthImageError as error:
            self.depth_fault = self.depth_fault or f"{frame.name}: {error}"
            return None

    def add(self, frame: Frame, found: TrackedPose, seconds: float) -> None:
        """Add the answer for the newest frame, and what it says about earlier ones."""
        self.stamps_ns.append(found.stamp_ns)
        self.poses.append(found.camera_to_world)
        self.answers.append(found)
        self.truth.append(frame.camera_to_world)
        self.states.append(found.state)
        self._hold_back(found)
        self.keyframes += found.keyframe
        self.frame_s.append(seconds)
        for stamp_ns, pose in found.earlier:
            self._replace(stamp_ns, pose, found)

    def _hold_back(self, found: TrackedPose) -> None:
        """Where a camera stood or turned before there were depths counts once there are: alone it is no trajectory."""
        if found.state is not TrackState.TRACKING:
            return
        if found.has_depth:
            for index in self.before_depths:
                self.states[index] = TrackState.TRACKING
            self.before_depths.clear()
        else:
            self.before_depths.append(len(self.states) - 1)
            self.states[-1] = TrackState.INITIALISING

    def settle(self, tracker: Tracker, look: bool = True) -> None:
        """Replace all poses by what is known at the end; the poses as first answered are kept as `live`.

        Args:
            tracker: that gave the answers.
            look: whether it looks once more for missed frames, with progress on a terminal.
        """
        if look:
            looks = tqdm(
                tracker.look_again(), "missed frames", tracker.missed, unit="look", disable=not sys.stderr.isatty()
            )
            for _ in looks:
                pass
        self.found_again = {index for index, answer in enumerate(self.answers) if tracker.found_later(answer)}
        self.live = self.poses
        self.poses = [tracker.pose_now(answer) for answer in self.answers]

    def _replace(self, stamp_ns: int, pose: FloatArray, found: TrackedPose) -> None:
        # From the newest back: the stamps of a bag may repeat.
        for index in reversed(range(len(self.stamps_ns))):
            if self.stamps_ns[index] == stamp_ns:
                self.poses[index], self.states[index] = pose, TrackState.TRACKING
                beside = found.keyframe_pose and replace(
                    found.keyframe_pose, pose=relative_pose(found.camera_to_world, pose)
                )
                self.answers[index] = replace(self.answers[index], camera_to_world=pose, keyframe_pose=beside)
                return

    def solved(self) -> list[int]:
        """Numbers of the frames whose pose is an estimate, at their time or later; the others' are held or unknown."""
        return [
            index
            for index, state in enumerate(self.states)
            if state is TrackState.TRACKING or index in self.found_again
        ]

    def reason(self) -> str:
        """Why frames were not solved: what the tracker said most often, with its last numbers; empty when all were."""
        solved = set(self.solved())
        said = [answer.message for index, answer in enumerate(self.answers) if index not in solved and answer.message]
        # Waiting for motion comes before every attempt, and only explains why none was made.
        said = [message for message in said if not message.startswith(NO_TROUBLE)] or said
        kinds = [re.sub(r"[\d.]+", "", message.split(": ", 1)[-1]) for message in said]
        if not kinds:
            return ""
        commonest = Counter(kinds).most_common(1)[0][0]
        return next(message for message, kind in zip(reversed(said), reversed(kinds), strict=True) if kind == commonest)

    def share(self, state: TrackState) -> float:
        """Share of the frames in a state, 0 to 1."""
        return self.count(state) / max(1, len(self.states))

    def true_poses(self) -> FloatArray | None:
        """(N, 4, 4) of all frames; None when one of them is unknown."""
        known = [pose for pose in self.truth if pose is not None]
        return np.array(known) if len(known) == len(self.poses) > 0 else None

    def drawn(self, title: str) -> DrawnTrack:
        """For a picture."""
        missed = np.array([state is not TrackState.TRACKING for state in self.states])
        return DrawnTrack(title, self.stamps_ns, np.array(self.poses), missed, self.true_poses())

    def count(self, state: TrackState) -> int:
        """Number of frames in a state."""
        return sum(s is state for s in self.states)

    @property
    def losses(self) -> int:
        """How often tracking was lost."""
        return sum(
            now is TrackState.LOST and before is not TrackState.LOST
            for before, now in zip([TrackState.WAITING, *self.states], self.states, strict=False)
        )


def follow(
    track: Track,
    source: FrameSource,
    tracker: Tracker,
    calibration: Calibration | None = None,
) -> Iterator[tuple[Frame, TrackedPose]]:
    """Track frame by frame into ``track``, which is complete up to the last answer wherever the caller stops.

    Args:
        track: filled.
        source: the recording.
        tracker: a fresh one.
        calibration: replaces that of the recording.

    Raises:
        SourceError: an image cannot be read, or does not fit its camera.
    """
    for frame in source:
        found = answer(track, frame, tracker, calibration)
        improve(track, tracker)
        yield frame, found


def answer(track: Track, frame: Frame, tracker: Tracker, calibration: Calibration | None = None) -> TrackedPose:
    """Track one frame into ``track``; the work that it leaves for after its pose is that of `improve`.

    Raises:
        SourceError: the image does not fit its camera.
    """
    camera = frame.camera if calibration is None else _camera(frame, calibration)
    begin, begin_cpu = time.perf_counter(), time.process_time()
    try:
        found = tracker.track(frame.image, frame.stamp_ns, camera, track.depth_of(frame), others=frame.others)
    except ValueError as error:
        raise SourceError(f"{frame.name}: {error}") from error
    track.add(frame, found, time.perf_counter() - begin)
    track.cpu_s.append(time.process_time() - begin_cpu)
    height, width = frame.image.shape[:2]
    in_use = camera or tracker.camera
    track.camera, track.camera_given = in_use and in_use.resized(width, height), camera is not None
    return found


def improve(track: Track, tracker: Tracker) -> None:
    """What the last frame has left for after its pose."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    try:
        tracker.improve()
    finally:
        track.between_s.append(time.perf_counter() - begin)
        track.cpu_s[-1] += time.process_time() - begin_cpu


def _camera(frame: Frame, calibration: Calibration) -> Camera:
    height, width = frame.image.shape[:2]
    return calibration.fitted(width, height)[0]

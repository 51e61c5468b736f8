"""The walk shown by all figures: a rendered room, tracked frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.factory import make_tracker
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.trajectory import AbsoluteError, absolute_error
from ros2_raxels.harness.recording import Walk, shown_walk
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.open import open_source


@dataclass(frozen=True, eq=False)
class TrackedWalk:
    """A recording with truth, and the tracked poses of its beginning.

    Attributes:
        images: of all N frames.
        camera: of them.
        rate_hz: frames a second.
        truth: (N, 4, 4) camera_to_world, m, world z up.
        estimate: (K, 4, 4) of the first K frames, in the frame and unit of the truth.
        error: of the estimate.
        covariance: (K, 3, 3) of the positions as answered live, in the frame and unit of the truth; None where nobody
            has estimated any.
    """

    images: list[ImageArray]
    camera: PinholeCamera
    rate_hz: float
    truth: FloatArray
    estimate: FloatArray
    error: AbsoluteError
    covariance: FloatArray | None = None


def tracked_walk(frames: int) -> TrackedWalk:
    """The walk of the demo, with its first frames tracked."""
    walk = Walk()
    folder = str(shown_walk(walk))
    recorded = list(open_source(folder))
    truth = np.array([frame.camera_to_world for frame in recorded])
    track, tracker = Track(), make_tracker("")
    live = [found.covariance[:3, :3] for _, found in follow(track, open_source(folder, limit=frames), tracker)]
    track.settle(tracker)
    error = absolute_error(track.poses, truth[:frames])
    # The alignment turns all poses alike.
    turn = error.scale * error.aligned[0, :3, :3] @ np.asarray(track.poses[0])[:3, :3].T
    images = [frame.image for frame in recorded]
    covariance = turn @ np.array(live) @ turn.T
    return TrackedWalk(images, walk.camera, walk.rate_hz, truth, error.aligned, error, covariance)

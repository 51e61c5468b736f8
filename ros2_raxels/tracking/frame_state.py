"""What was answered for each frame at its time, as a file of one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray, quaternion_from_rotation
from ros2_raxels.utils.files import replacing

DROPPED = "DROPPED"
"""State of a frame that a newer one replaced before it was looked at; the others are names of `TrackState`."""


@dataclass(frozen=True, eq=False)
class FrameState:
    """One frame as it was answered.

    Attributes:
        stamp_ns: of the image, as recorded.
        state: name of a `TrackState`, or `DROPPED`.
        pose: 4x4 of the camera (optical axes) or the base in the world; None where none was published.
        covariance: 6x6 of (x, y, z, rotation about world x, y, z); None where nothing is known.
        confidence: 0 to 1.
        metric: whether the pose is in metres.
        stated: error of the place, in the unit of the pose, that the confidence speaks of; None where nothing was said.
    """

    stamp_ns: int
    state: str
    pose: FloatArray | None = None
    covariance: FloatArray | None = None
    confidence: float = 0.0
    metric: bool = False
    stated: float | None = None

    def line(self) -> str:
        """As JSON: stamp in s, pose as x, y, z, qx, qy, qz, qw or null, covariance as 36 numbers row by row."""
        covariance = np.eye(6) * UNKNOWN_VARIANCE if self.covariance is None else self.covariance
        pose = None
        if self.pose is not None:
            pose = [*self.pose[:3, 3].tolist(), *np.asarray(quaternion_from_rotation(self.pose[:3, :3])).tolist()]
        record = {
            "stamp": self.stamp_ns * 1e-9,
            "state": self.state,
            "pose": pose,
            "covariance": np.asarray(covariance).ravel().tolist(),
            "confidence": float(self.confidence),
            "metric": bool(self.metric),
            "stated": self.stated,
        }
        return json.dumps(record)


@contextmanager
def writing_states(path: Path) -> Iterator[Callable[[FrameState], None]]:
    """Writes a line at once for each state it is given; the file takes its name when the block ends well.

    Raises:
        FileError: it cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:

        def write(state: FrameState) -> None:
            file.write(state.line() + "\n")
            file.flush()

        yield write

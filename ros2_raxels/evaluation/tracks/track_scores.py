"""Scores of the tracker on whole recordings, and of peers on the same frames in the same run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from ros2_raxels.evaluation.clips.colmap_peer import MOST_FRAMES, map_offline
from ros2_raxels.evaluation.clips.peers import PeerTrajectory, chain_two_view
from ros2_raxels.evaluation.machine.machine import cores
from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.trajectory import TrajectoryScore, path_length, score_trajectory
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackState
from ros2_raxels.utils.files import FileError
from ros2_raxels.visualization.trajectory_plot import DrawnTrack

UNKNOWN = "-"
"""In tables."""

_OURS = "raxels"


@dataclass(frozen=True)
class PeerScore:
    """A peer on the same frames.

    Attributes:
        frames: number of frames with a pose.
        seconds: wall time in total.
        note: how it was run.
        error: None where too few frames have a pose.
    """

    frames: int
    seconds: float
    note: str
    error: TrajectoryScore | None


@dataclass(frozen=True)
class TrackScore:
    """The tracker on a whole set.

    Attributes:
        frames: of the set.
        path: length of the true path, in the set's unit.
        tracked, held, lost: number of frames in this state at the end.
        losses: how often tracking was lost.
        keyframes: number of keyframes.
        error: over all frames, as known at the end; frames held or lost count with the held pose.
        live: the same of the poses as first answered.
        image_to_pose: ms.
        whole: the same with the work that follows the pose.
        peers: by name.
    """

    name: str
    frames: int
    path: float
    tracked: int
    held: int
    lost: int
    losses: int
    keyframes: int
    error: TrajectoryScore | None
    live: TrajectoryScore | None
    image_to_pose: Spread
    whole: Spread
    peers: dict[str, PeerScore] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As ``report.json`` holds it."""
        return asdict(self)


PEERS = ("chain", "colmap")
"""Names of the methods for whole recordings."""


def run_peer(name: str, source: FrameSource, most: int = MOST_FRAMES) -> PeerTrajectory:
    """A peer on a recording.

    Args:
        name: one of `PEERS`.
        source: the recording; of known length.
        most: frames given to the offline peer.

    Raises:
        FileError: a frame has no intrinsics, or what the peer needs is missing.
    """
    return chain_two_view(source) if name == "chain" else map_offline(source, source.length or 0, cores(), most)


def evaluate_track(
    source: FrameSource, tracker: Tracker, peers: Sequence[str], most: int = MOST_FRAMES
) -> tuple[TrackScore, DrawnTrack]:
    """Track a recording from its beginning, and run the peers on it.

    Args:
        source: with true poses of all frames, and intrinsics for peers.
        tracker: a fresh one.
        peers: of `PEERS`.
        most: frames that the offline peer is given.

    Raises:
        FileError: a frame has no true pose, or a peer cannot be run on the recording.
        SourceError: an image cannot be read, or does not fit its camera.
    """
    track = Track()
    followed = follow(track, source, tracker)
    for _ in tqdm(followed, source.name, source.length, unit="frame", disable=not sys.stderr.isatty()):
        pass
    track.settle(tracker)
    truth = track.true_poses()
    if truth is None:
        raise FileError(f"--tracks: {source.name} has frames without a true pose; choose another set")
    found = {name: run_peer(name, source, most) for name in peers}
    score = TrackScore(
        name=source.name,
        frames=len(track.poses),
        path=path_length(truth),
        tracked=track.count(TrackState.TRACKING),
        held=track.count(TrackState.HELD),
        lost=track.count(TrackState.LOST),
        losses=track.losses,
        keyframes=track.keyframes,
        error=score_trajectory(np.array(track.poses), truth, source.rate_hz),
        live=score_trajectory(np.array(track.live), truth, source.rate_hz),
        image_to_pose=Spread.of(track.frame_s),
        whole=Spread.of(np.add(track.frame_s, track.between_s)),
        peers={name: _peer_score(peer, truth, source.rate_hz) for name, peer in found.items()},
    )
    beside = {name: (peer.indices, peer.poses) for name, peer in found.items()}
    return score, replace(track.drawn(source.name), beside=beside)


def _peer_score(peer: PeerTrajectory, truth: FloatArray, rate_hz: float) -> PeerScore:
    error = score_trajectory(peer.poses, truth, rate_hz, peer.indices)
    return PeerScore(len(peer.indices), peer.seconds, peer.note, error)


# ------------------------------------------------------------------------------------------------------------- tables


def accuracy_table(tracks: Sequence[TrackScore]) -> Table:
    """One row for each set and method."""
    errors = ["ATE Sim(3)", "% of path", "ATE SE(3)", "RPE frame", "deg", "RPE 1 s", "deg", "scale drift", "range"]
    rows: Table = [["set", "method", "frames", "posed", "lost", "losses", *errors, "s in all", "how"]]
    for t in tracks:
        ours_s = t.whole.mean * t.frames / 1e3
        state = [str(t.tracked), str(t.lost), str(t.losses)]
        rows.append([t.name, _OURS, str(t.frames), *state, *_error_cells(t.live), f"{ours_s:.0f}", "frame by frame"])
        rows.append(["", f"{_OURS}, at the end", "", *state, *_error_cells(t.error), "", "as known at the end"])
        for name, peer in t.peers.items():
            state = [str(peer.frames), "", ""]
            rows.append(["", name, "", *state, *_error_cells(peer.error), f"{peer.seconds:.0f}", peer.note])
    return rows


def _error_cells(error: TrajectoryScore | None) -> list[str]:
    if error is None:
        return [UNKNOWN] * 9
    values = (
        (error.ate, ".4g"),
        (error.ate_percent, ".2f"),
        (error.ate_se3, ".4g"),
        (error.rpe_frame, ".4f"),
        (error.rpe_frame_deg, ".3f"),
        (error.rpe_second, ".4f"),
        (error.rpe_second_deg, ".3f"),
        (error.scale_drift, ".3f"),
        (error.scale_range, ".3f"),
    )
    return [UNKNOWN if value is None else format(value, form) for value, form in values]


def time_table(tracks: Sequence[TrackScore]) -> Table:
    """Times of ours: from image to pose, and with the work that follows the pose."""
    rows: Table = [["set", "keyframes", "p50", "p95", "max", "whole p50", "whole p95", "whole max", "whole mean"]]
    for t in tracks:
        ms = [t.image_to_pose.p50, t.image_to_pose.p95, t.image_to_pose.max]
        ms += [t.whole.p50, t.whole.p95, t.whole.max, t.whole.mean]
        rows.append([t.name, str(t.keyframes), *(f"{value:.1f}" for value in ms)])
    return rows

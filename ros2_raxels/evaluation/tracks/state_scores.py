"""Errors of poses as they were answered live, of this package and of peers that write the same file of states."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_quaternion
from ros2_raxels.geometry.trajectory import score_trajectory
from ros2_raxels.tracking.frame_state import FrameState
from ros2_raxels.tracking.types import TrackState
from ros2_raxels.utils.files import FileError, numbers, of_kind, take

_SAME_FRAME_NS = 20_000_000


@dataclass(frozen=True)
class StateScore:
    """How much of a recording has a pose, and how good it is.

    Attributes:
        frames: of the recording.
        tracked: share of them with a pose of their own, 0 to 1.
        ate_percent: ATE after Sim(3), % of the true path; None without truth or with too few poses.
        longest_gap_s: longest time between two such poses, by stamps, from the first pose to the end.
    """

    frames: int
    tracked: float
    ate_percent: float | None
    longest_gap_s: float | None


def score_states(
    states: Sequence[FrameState], stamps_ns: Sequence[int], truth: FloatArray | None, rate_hz: float
) -> StateScore:
    """Score the frames that were solved at their time.

    Args:
        states: of the frames that were answered, in any number.
        stamps_ns: of all frames.
        truth: (N, 4, 4) of what the states are of; None where unknown.
        rate_hz: of the recording.
    """
    stamps = np.array(stamps_ns, np.int64)
    found: dict[int, FloatArray] = {}
    for state in states:
        if state.state == TrackState.TRACKING.name and state.pose is not None:
            nearest = int(np.abs(stamps - state.stamp_ns).argmin())
            if abs(int(stamps[nearest]) - state.stamp_ns) < _SAME_FRAME_NS:
                found[nearest] = state.pose
    indices = sorted(found)
    error = None
    if truth is not None and indices:
        error = score_trajectory(np.array([found[k] for k in indices]), truth, rate_hz, indices)
    gap_s = float(np.diff([*stamps[indices], stamps[-1]]).max()) * 1e-9 if indices else None
    return StateScore(len(stamps), len(indices) / len(stamps), None if error is None else error.ate_percent, gap_s)


def read_states(path: Path) -> list[FrameState]:
    """States of a file, in its order.

    Raises:
        FileError: it cannot be read, or a line of it is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}; check the path") from error
    return [_read(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _read(line: str, where: str) -> FrameState:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise FileError(f"{where} is not JSON ({error}); write it again") from error
    stamp_s = float(numbers(take(record, "stamp", where), (), f"{where}: stamp"))
    pose = None
    if record.get("pose") is not None:
        values = numbers(record["pose"], (7,), f"{where}: pose")
        pose = make_pose(rotation_from_quaternion(values[3:]), values[:3])
    return FrameState(round(stamp_s * 1e9), of_kind(take(record, "state", where), str, f"{where}: state"), pose)


def run_peer(command: str, folder: Path, timeout_s: float) -> tuple[list[FrameState], str]:
    """Run a peer on a set; its states, and the last line that it printed, with the same names for both.

    Args:
        command: words of a shell, in which ``{set}`` stands for the folder and ``{out}`` for the file to write.
        folder: of the set.
        timeout_s: it is ended after so long.

    Raises:
        FileError: it cannot be run, fails, takes too long, or writes no states.
    """
    with tempfile.TemporaryDirectory(prefix="raxels_peer_") as temporary:
        out = Path(temporary) / "states.jsonl"
        told = [word.replace("{set}", str(folder)).replace("{out}", str(out)) for word in shlex.split(command)]
        try:
            done = subprocess.run(told, capture_output=True, text=True, check=False, timeout=timeout_s)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FileError(f"--peer {command!r}: {error}; correct the command") from error
        words = (done.stdout.strip().splitlines() or [""])[-1]
        if done.returncode:
            # One that kept up with few frames may say so by its status; what it answered counts all the same.
            words = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
            if not out.exists():
                raise FileError(
                    f"--peer {command!r} ended with exit status {done.returncode}: {words}; correct the command"
                )
        return read_states(out), words.replace(str(out), "{out}").replace(str(folder), "{set}")

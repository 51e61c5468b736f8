"""What ``raxels track`` says of a track: how much was solved and how well, with which camera, and the errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.evaluation.tracks.recorded_track import Track
from ros2_raxels.geometry.camera import USUAL_FOCAL, Camera
from ros2_raxels.geometry.lens_names import coefficient_names, lens_name
from ros2_raxels.geometry.trajectory import path_length, score_trajectory
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.tracking.types import TrackState

ENOUGH = 0.5
"""Share of the frames that must be solved for a track to count as done."""

_STATES = (TrackState.TRACKING, TrackState.HELD, TrackState.LOST, TrackState.INITIALISING)


def failure(track: Track, dropped: int = 0) -> str:
    """Why the track counts as failed, with the tracker's own reason; empty when enough of it was solved.

    Args:
        track: at its end.
        dropped: frames that the tracker never saw because newer ones replaced them.
    """
    frames, solved = len(track.stamps_ns) + dropped, len(track.solved())
    if solved and solved >= ENOUGH * frames:
        return ""
    share = f"only {solved} of {frames} frames were tracked" if solved else f"none of {frames} frames was tracked"
    if dropped > len(track.stamps_ns) - solved:
        return f"{share}: {dropped} were replaced by newer ones; this machine is too slow or too busy for their rate"
    return f"{share}: {track.reason() or 'the tracker gave no reason'}"


def summary(track: Track, source: FrameSource, calibration: str) -> list[str]:
    """Lines for people.

    Args:
        track: at its end.
        source: that was tracked.
        calibration: where the intrinsics are from, where the tracker was given some.
    """
    p50, p95 = np.percentile(np.array(track.frame_s) * 1e3, (50, 95))
    whole_ms = 1e3 * (np.array(track.frame_s) + track.between_s)
    return [
        f"{source.name} ({source.kind}): {len(track.poses)} frames, {track.keyframes} keyframes",
        _states(track),
        *_quality(track),
        f"image to pose: {p50:.1f} ms p50, {p95:.1f} ms p95; with the keyframes {whole_ms.mean():.1f} ms on average",
        camera_words(track.camera, track.camera_given, calibration),
        *_errors(track, source.rate_hz),
    ]


def _states(track: Track) -> str:
    shares = ", ".join(f"{100 * track.share(state):.1f} % {_word(state)}" for state in _STATES)
    losses = f"{track.count(TrackState.LOST)} frames lost, {track.losses} times"
    again = f"; {len(track.found_again)} of the missed ones were found again at the end" if track.found_again else ""
    return f"{shares} ({losses}){again}"


def _word(state: TrackState) -> str:
    return "tracked" if state is TrackState.TRACKING else state.name.lower()


def _quality(track: Track) -> list[str]:
    """Medians over the frames that were solved at their time."""
    solves = [answer.solve for answer in track.answers if answer.state is TrackState.TRACKING]
    if not solves:
        return []
    residual_px = np.array([solve.residual_px for solve in solves])
    residual = f"{np.nanmedian(residual_px):.2f} px" if np.isfinite(residual_px).any() else "unknown"
    confidence = np.median([solve.confidence for solve in solves])
    return [f"residual {residual}, confidence {confidence:.2f} (medians of the tracked frames)"]


def camera_words(camera: Camera | None, given: bool, calibration: str) -> str:
    """Intrinsics in px, where they are from and how far they may be believed."""
    if camera is None:
        return "intrinsics unknown"
    values = f"fx {camera.fx:.1f}, fy {camera.fy:.1f}, cx {camera.cx:.1f}, cy {camera.cy:.1f} px"
    if given:
        names = zip(coefficient_names(type(camera)), camera.distortion, strict=False)
        distortion = ", ".join(f"{name} {value:g}" for name, value in names if value) or "no distortion"
        if not camera.is_flat:
            distortion = f"{lens_name(camera)}, {distortion}"
        return f"intrinsics given: {values}, {distortion}; from {calibration}"
    if np.isclose(camera.fx, USUAL_FOCAL * max(camera.width, camera.height)):
        return f"intrinsics assumed: {values}, no distortion; an ordinary lens, as the motion tells none apart"
    return (
        f"intrinsics estimated: {values}; the focal length from the motion, the centre and no distortion assumed: "
        "--intrinsics or --calibration is surer"
    )


def _errors(track: Track, rate_hz: float) -> list[str]:
    truth, solved = track.true_poses(), track.solved()
    score = None if truth is None else score_trajectory(np.array(track.poses)[solved], truth, rate_hz, solved)
    if truth is None or score is None:
        return []
    # No rotation error after alignment: on a straight path the alignment may turn about the path at will.
    lines = [
        f"true path: {path_length(truth):.4g} units",
        f"ATE after Sim(3): {score.ate:.4g} units ({score.ate_percent:.2f} % of the path)",
        f"ATE after SE(3): {score.ate_se3:.4g} units ({score.ate_se3_percent:.2f} % of the path)",
    ]
    for name, error, error_deg in (
        ("frame", score.rpe_frame, score.rpe_frame_deg),
        ("second", score.rpe_second, score.rpe_second_deg),
    ):
        if error is not None:
            lines.append(f"RPE over one {name}: {error:.4g} units, {error_deg:.3f} deg")
    if score.scale_drift is not None and score.scale_range is not None:
        lines.append(
            f"scale: {score.scale_drift:.3f} times that of the first fifth of the path in the last, up to a factor of "
            f"{score.scale_range:.3f} between fifths"
        )
    return lines


def rows(track: Track, all_frames: bool) -> tuple[list[int], dict[int, str]]:
    """Which frames become rows of a trajectory, one for a stamp and ascending, and remarks on those not solved.

    Args:
        track: at its end.
        all_frames: those that were not solved too.

    Returns:
        Numbers of frames, and remarks by number.
    """
    solved = set(track.solved())
    wanted: Sequence[int] = range(len(track.poses)) if all_frames else sorted(solved)
    # A solved frame outranks another of the same stamp, and the later one outranks the earlier.
    by_stamp = {track.stamps_ns[k]: k for k in sorted(wanted, key=lambda k: (k in solved, k))}
    numbers = [by_stamp[stamp_ns] for stamp_ns in sorted(by_stamp)]
    remarks = {k: f"not solved ({track.states[k].name.lower()}): the next row is a guess" for k in numbers}
    return numbers, {k: remark for k, remark in remarks.items() if k not in solved}

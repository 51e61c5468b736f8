"""Whether the sensor reads its rows one after the other (rolling shutter), by what bundle adjustment leaves.

A row that is read ``s T`` after the middle one sees a point where the motion of its image has carried it by then: ``T``
is the readout time of the whole image, ``s`` the row's share of the height from the middle, -.5 to .5. Poses and depths
take up most of that as long as the camera moves evenly. What they cannot take up is proportional to T, and to nothing
else that is known of the keyframes: T is the one unknown of a linear least squares problem, poses and depths eliminated
(Hedborg et al., Rolling Shutter Bundle Adjustment, CVPR 2012, solve for all of them together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

_AGREES_PX = 1.5
"""Residual of observations that are believed."""

_TRACKS = 150
"""So many are enough, and take two milliseconds."""

_KEPT, _ENOUGH = 30, 10
"""Keyframes whose readout times are averaged, and how many it takes to say something."""

_LEAST_S, _MOST_S = 0.004, 0.07
"""Readout times that are told. Shorter ones move poses by less than their noise, and cameras have no longer ones."""

_SURE = 5.0
"""Standard deviations of the average; keyframes share what they see, so that these are half of what they seem."""

_LEAST_INFORMATION = 1e4
"""Of a keyframe, px^2 over s^2: less is a camera that stands, or moves so evenly that poses take up all."""


@dataclass(frozen=True)
class ShutterCheck:
    """What the keyframes so far say of the shutter.

    Attributes:
        told: readout time, s, and its information, px^2/s^2, of the newest keyframes that tell.
    """

    told: tuple[tuple[float, float], ...] = ()

    @property
    def readout_s(self) -> tuple[float, float]:
        """Readout time of the image and its standard deviation, s; infinite where too little is known."""
        if len(self.told) < _ENOUGH:
            return 0.0, float("inf")
        seconds, information = np.array(self.told).T
        # One keyframe with much motion is not to decide.
        weight = np.minimum(information, 4.0 * np.median(information))
        weight = weight / weight.sum()
        mean = float(weight @ seconds)
        return mean, float(np.sqrt((weight**2 * (seconds - mean) ** 2).sum()))

    @property
    def trouble(self) -> str:
        """What is wrong with the images, in a line; empty where nothing is."""
        mean, sigma = self.readout_s
        if not (_LEAST_S < mean < _MOST_S and mean > _SURE * sigma):
            return ""
        return (
            f"rolling shutter: rows are read one after the other, some {1e3 * mean:.0f} ms from the first to the last, "
            "which bends poses in fast turns; use a global shutter, a shorter readout or slower motion"
        )

    def seen(
        self,
        evidence: Evidence,
        camera_to_world: FloatArray,
        inverse_depth: FloatArray,
        velocities: Sequence[FloatArray | None],
        heights: Sequence[int],
    ) -> ShutterCheck:
        """The check after one more keyframe.

        Args:
            evidence: P tracks over N keyframes.
            camera_to_world: (N, 4, 4) of them, as bundle adjustment has left them.
            inverse_depth: (P,) likewise.
            velocities: (6,) of each: turn, rad/s, and translation, world units/s, both about the camera's axes; None
                where it is not known.
            heights: of the images, px.
        """
        told = readout_time(evidence, camera_to_world, inverse_depth, velocities, heights)
        if told is None or told[1] < _LEAST_INFORMATION:
            return self
        return ShutterCheck((*self.told, told)[-_KEPT:])


def readout_time(
    evidence: Evidence,
    camera_to_world: FloatArray,
    inverse_depth: FloatArray,
    velocities: Sequence[FloatArray | None],
    heights: Sequence[int],
) -> tuple[float, float] | None:
    """Readout time, s, that explains the residuals of some keyframes best, and its information, px^2/s^2.

    None where it cannot be told: through a lens that is not flat, or where little is seen.

    Args:
        evidence, camera_to_world, inverse_depth, velocities, heights: see `ShutterCheck.seen`.
    """
    if evidence.lens is not None and not evidence.lens.is_flat.all():
        return None
    moving = np.array([velocity is not None for velocity in velocities])
    speed = np.array([np.zeros(6) if velocity is None else velocity for velocity in velocities])
    usable = np.flatnonzero(moving[evidence.anchor] & (inverse_depth > 0))
    usable = usable[:: max(1, len(usable) // _TRACKS)]
    seen = evidence.seen[usable] & moving
    seen[np.arange(len(usable)), evidence.anchor[usable]] = False
    track, frame = np.nonzero(seen)
    anchor = evidence.anchor[usable][track]
    rows = _linearised(
        evidence, camera_to_world, inverse_depth, usable[track], anchor, frame, speed, np.asarray(heights, float)
    )
    agrees = np.linalg.norm(rows.residual, axis=1) < _AGREES_PX
    if agrees.sum() < _TRACKS // 2:
        return None
    return _solved(rows.of(agrees), track[agrees], anchor[agrees], frame[agrees], len(camera_to_world))


@dataclass(frozen=True, eq=False)
class _Rows:
    """O observations, linearised: derivatives are of the place in the image, px.

    Attributes:
        residual: (O, 2) px, where a track should be less where it was seen.
        readout: (O, 2) by the readout time, px/s.
        depth: (O, 2) by the inverse depth.
        own, other: (O, 2, 6) by the motion (turn in the camera, translation in the world) of the frame that sees the
            track, and of its anchor.
    """

    residual: FloatArray
    readout: FloatArray
    depth: FloatArray
    own: FloatArray
    other: FloatArray

    def of(self, chosen: npt.NDArray[np.bool_]) -> _Rows:
        """Some of them."""
        return _Rows(*(value[chosen] for value in vars(self).values()))


def _linearised(
    evidence: Evidence,
    camera_to_world: FloatArray,
    inverse_depth: FloatArray,
    track: npt.NDArray[np.integer],
    anchor: npt.NDArray[np.integer],
    frame: npt.NDArray[np.integer],
    speed: FloatArray,
    heights: FloatArray,
) -> _Rows:
    rotation, centre = camera_to_world[:, :3, :3], camera_to_world[:, :3, 3]
    rho = inverse_depth[track][:, None]
    ray = np.column_stack([evidence.plane[track, anchor], np.ones(len(track))])
    back = np.swapaxes(rotation[frame], 1, 2)
    turn = back @ rotation[anchor]
    offset = (back @ (centre[anchor] - centre[frame])[..., None])[..., 0]
    point = (turn @ ray[..., None])[..., 0] + rho * offset
    by_point = _by_point(point, evidence.focal_px[frame])
    residual = (point[:, :2] / point[:, 2:] - evidence.plane[track, frame]) * evidence.focal_px[frame][:, None]
    late = evidence.pixels[track, :, 1][np.arange(len(track)), frame] / heights[frame] - 0.5
    late_there = evidence.pixels[track, :, 1][np.arange(len(track)), anchor] / heights[anchor] - 0.5
    # The anchor's ray was read late as well, and points elsewhere in its plane.
    moved_there = _drift(ray, rho, speed[anchor]) * late_there[:, None]
    moved_there -= ray * moved_there[:, 2:]
    moved = (turn @ moved_there[..., None])[..., 0] - _drift(point, rho, speed[frame]) * late[:, None]
    eye = np.eye(3)
    crossed = np.cross(point[:, None], eye[None])
    crossed_there = turn[:, None] @ np.cross(eye[None], ray[:, None])[..., None]
    own = np.concatenate([np.swapaxes(crossed, 1, 2), -rho[..., None] * back], axis=2)
    other = np.concatenate([np.swapaxes(crossed_there[..., 0], 1, 2), rho[..., None] * back], axis=2)
    return _Rows(
        residual,
        (by_point @ moved[..., None])[..., 0],
        (by_point @ offset[..., None])[..., 0],
        by_point @ own,
        by_point @ other,
    )


def _by_point(point: FloatArray, focal_px: FloatArray) -> FloatArray:
    """(O, 2, 3) derivative of the place in the image, px, by a point (O, 3), up to the length of that."""
    u, v = point[:, 0] / point[:, 2], point[:, 1] / point[:, 2]
    found = np.zeros((len(point), 2, 3))
    found[:, 0, 0] = found[:, 1, 1] = 1.0
    found[:, 0, 2], found[:, 1, 2] = -u, -v
    return np.asarray(found * (focal_px / point[:, 2])[:, None, None])


def _drift(point: FloatArray, rho: FloatArray, speed: FloatArray) -> FloatArray:
    """How points (O, 3) in the camera, times their inverse depth, move while the camera does, 1/s."""
    return np.asarray(-np.cross(speed[:, :3], point) - rho * speed[:, 3:])


def _solved(
    rows: _Rows,
    track: npt.NDArray[np.integer],
    anchor: npt.NDArray[np.integer],
    frame: npt.NDArray[np.integer],
    frames: int,
) -> tuple[float, float]:
    """The readout time and its information, with depths and poses eliminated."""
    count = len(track)
    poses = np.zeros((count, 2, frames, 6))
    poses[np.arange(count), :, frame] += rows.own
    poses[np.arange(count), :, anchor] += rows.other
    columns = np.concatenate(
        [poses.reshape(count, 2, 6 * frames), rows.readout[..., None], rows.residual[..., None]], axis=2
    )
    # Depths, which are of one track each: what they can explain is taken out of its rows.
    _, own = np.unique(track, return_inverse=True)
    squared = np.bincount(own, (rows.depth**2).sum(axis=1))
    shared = np.zeros((len(squared), columns.shape[2]))
    np.add.at(shared, own, (rows.depth[..., None] * columns).sum(axis=1))
    shared /= np.maximum(squared, 1e-12)[:, None]
    columns = (columns - rows.depth[..., None] * shared[own][:, None]).reshape(2 * count, -1)
    product = columns.T @ columns
    inverse = np.linalg.pinv(product[:-2, :-2], rcond=1e-10, hermitian=True)
    left = product[-2:, -2:] - product[-2:, :-2] @ inverse @ product[:-2, -2:]
    information = max(float(left[0, 0]), 1e-12)
    return float(left[0, 1]) / information, information

"""Whether two cameras of a rig stand where they are said to, by what both see at one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector, rotation_vector
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.stereo import StereoDepths, stereo_depths

_FEWEST = 30
_LITTLE = 0.2
"""Share of the points that are found: with less the cameras may have been exchanged."""

_MORE = 2.0
"""Times as many points are found by exchanged cameras that were exchanged."""

_OFF_PX = 0.6
_TO_SIGMA = 1.4826
_WIDTH_PX = 1.0
_ROUNDS = 4
_LOOKS = 4
_LEAST_TOLD = 0.02
"""Of the largest information about a turn: one of which the images say less is left at zero."""


@dataclass(frozen=True)
class StereoCheck:
    """How well two cameras agree.

    Attributes:
        points: so many were found in both.
        asked: of so many.
        off_px: how far they typically lie from where the geometry of the cameras allows them (epipolar residual).
        turn_deg: by which turn of what the second camera sees, about its x, y and z, that is explained best; parts
            that images of one moment do not tell are 0.
        left_px: what is left of `off_px` then.
        exchanged: whether the images are those of the other camera each.
        upside_down: whether the image of the second camera is upside down.
    """

    points: int
    asked: int
    off_px: float
    turn_deg: tuple[float, float, float]
    left_px: float
    exchanged: bool
    upside_down: bool = False

    @property
    def is_sure(self) -> bool:
        """Whether enough is seen by both to say anything."""
        return self.points >= _FEWEST or self.exchanged or self.upside_down

    @property
    def contradicts(self) -> bool:
        """Whether the calibration cannot be right."""
        return self.exchanged or self.upside_down or (self.is_sure and self.off_px > _OFF_PX)

    def words(self, first: str, second: str) -> str:
        """For people, of two cameras by name."""
        if self.exchanged:
            return (
                f"the images of {first!r} and {second!r} are exchanged, by what they show; exchange their names, "
                "topics or folders"
            )
        if self.upside_down:
            return (
                f"the images of {second!r} are upside down, by what {first!r} shows; turn them in its driver, or its "
                "place on the robot by 180 deg about the optical axis"
            )
        if not self.is_sure:
            return (
                f"{first!r} and {second!r} see {self.points} of {self.asked} points in common, too few to compare them"
            )
        stated = (
            f"{self.points} points that {first!r} and {second!r} see lie {self.off_px:.2f} px off (epipolar residual)"
        )
        if not self.contradicts:
            return stated
        turn = ", ".join(f"{angle:.2f}" for angle in self.turn_deg)
        return (
            f"{stated}: {second!r} does not stand where its calibration says; points turned by ({turn}) deg about its "
            f"x, y, z would leave {self.left_px:.2f} px; calibrate the cameras again"
        )


def check_stereo(
    here: Features,
    here_camera: Camera,
    there: Features,
    there_camera: Camera,
    here_to_there: FloatArray,
    pixels: FloatArray,
) -> StereoCheck:
    """Compare two cameras; arguments as of `stereo_depths`."""
    found = stereo_depths(here, here_camera, there, there_camera, here_to_there, pixels)
    known = np.isfinite(found.inverse_depth)
    points, asked = int(known.sum()), len(pixels)
    if points < _LITTLE * asked:
        back = stereo_depths(there, here_camera, here, there_camera, here_to_there, pixels)
        swapped = int(np.isfinite(back.inverse_depth).sum())
        if swapped >= max(_FEWEST, _MORE * points):
            return StereoCheck(points, asked, float("nan"), (0.0, 0.0, 0.0), float("nan"), True)
        turned = stereo_depths(here, here_camera, _upside_down(there), there_camera, here_to_there, pixels)
        if int(np.isfinite(turned.inverse_depth).sum()) >= max(_FEWEST, _MORE * points):
            return StereoCheck(points, asked, float("nan"), (0.0, 0.0, 0.0), float("nan"), False, True)
    if points < _FEWEST:
        return StereoCheck(points, asked, float("nan"), (0.0, 0.0, 0.0), float("nan"), False)
    full = there.full.image.shape
    lens = there_camera.resized(full[1], full[0])
    typical = left = _typical_px(found)
    best, mount = np.eye(3), here_to_there
    for _ in range(_LOOKS if typical > _OFF_PX else 0):
        # Matched again where they are thought to be now: what is far off is not found at first.
        off, by_turn = _across(found, lens, there, mount)
        turn = rotation_from_vector(_fitted(off, by_turn))
        mount = make_pose(turn @ mount[:3, :3], turn @ mount[:3, 3])
        found = stereo_depths(here, here_camera, there, there_camera, mount, pixels)
        if np.isfinite(found.inverse_depth).sum() >= points and _typical_px(found) < left:
            left, best = _typical_px(found), mount[:3, :3] @ here_to_there[:3, :3].T
    x, y, z = np.degrees(rotation_vector(best)).tolist()
    return StereoCheck(points, asked, typical, (x, y, z), left, False)


def _upside_down(seen: Features) -> Features:
    grey, full = (np.ascontiguousarray(image[::-1, ::-1]) for image in (seen.grey, seen.full.image))
    return Features(grey, full)


def _typical_px(found: StereoDepths) -> float:
    return _TO_SIGMA * float(np.nanmedian(np.abs(found.off_curve_px)))


def _across(
    found: StereoDepths, lens: Camera, there: Features, here_to_there: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How far (K,) px points lie from their curves, and what a small turn of the second camera does to that (K, 3)."""
    known = np.isfinite(found.inverse_depth)
    rays = lens.rays(there.full.to_full(found.pixels[known]))
    jacobian = lens.jacobian(rays)
    # Towards the first camera a point moves along its curve.
    towards = here_to_there[:3, 3] / np.linalg.norm(here_to_there[:3, 3])
    along = jacobian @ towards
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    across = np.column_stack([-along[:, 1], along[:, 0]])
    moved = jacobian @ np.cross(np.eye(3)[None], rays[:, None]).transpose(0, 2, 1)
    return found.off_curve_px[known], np.asarray(np.einsum("ki,kij->kj", across, moved))


def _fitted(off: FloatArray, by_turn: FloatArray) -> FloatArray:
    """The turn (3,) rad that explains most, robust to wrong matches."""
    turn: FloatArray = np.zeros(3)
    for _ in range(_ROUNDS):
        weight = 1.0 / (1.0 + ((off - by_turn @ turn) / _WIDTH_PX) ** 2)
        strength, axes = np.linalg.eigh((by_turn * weight[:, None]).T @ by_turn)
        told = axes[:, strength > _LEAST_TOLD * strength[-1]]
        matrix = (by_turn @ told * weight[:, None]).T @ (by_turn @ told)
        turn = told @ np.linalg.solve(matrix, (by_turn @ told * weight[:, None]).T @ off)
    return turn

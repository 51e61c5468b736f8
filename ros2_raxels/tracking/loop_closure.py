"""Loop closure: finds the keyframe that shows a place known from long ago, and measures where it stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ros2_raxels.geometry.covariance import compounded, with_unit
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, relative_pose, rotation_angle_rad, rotation_vector
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking.eye import Eye
from ros2_raxels.tracking.frame import Keyframe, grown
from ros2_raxels.tracking.gravity import Up
from ros2_raxels.tracking.keyframe_map import KeyframeMap, Link
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.loop_correction import close_loop
from ros2_raxels.tracking.mapping import Mapper
from ros2_raxels.tracking.resection import FrameSolve, FrameSolver

_VOTES = 15
_COMMON_KEYPOINTS = 25
_INLIERS = 40
_CONFIDENCE = 0.6
_RECENT = 12
"""Newest keyframes, in which nothing is looked for: frames are solved against these anyhow."""

_PAUSE = 4
"""Keyframes between two looks, of which each costs as much as a few frames."""

_DRIFT, _LEAST_DRIFT = 0.15, 0.1
"""How far the places found may lie apart, per length of the path between them and per depth of the scene. More is two
places that look alike."""

_TURN_DRIFT, _LEAST_TURN_RAD = 0.05, 0.1
_NEAR, _MOST_OF_WAY = 0.1, 2.0 / np.pi
"""How far the two places of a loop may lie apart, in units of length, and else as a share of the way between them: that
of a half circle, after which a camera begins to come back.

What is seen again from afar is measured worse than the steps of the way, of which each is seen from near. The wide lens
of a robot that turns on the spot sees everything again.
"""

_NEAR_PX = 12.0
_COMMON_DEPTHS = 15
_DEPTHS_AGREE = 0.3
_UNIT_DRIFT = 0.15
"""Between the units of two keyframes whose depths were measured: more is no error of a sensor."""

_LEAST_KNOWN, _MOST_SIGMAS = (0.02, 0.01, 0.009), 8.0
"""Standard deviations of drift that are allowed for at least, in units of length, of the way between, and in rad; and
how many of them a loop may find. The first loop of a recording shows drift that nothing has told of before."""

_LEAST_TILT_RAD, _TILT_SIGMAS = 0.009, 3.0
"""By which a loop may tilt the camera against gravity: half a degree, and so many standard deviations."""

_WITNESS = 25
"""Inliers of a second solve that has a say."""

_SAME_RAD, _SAME_PLACE, _SAME_SIGMAS = 0.0175, 0.03, 2.0
"""How far two solves of one loop may be apart: in rotation, and in units of length and deviations of both solves. Those
of a true loop differ by less than two thirds of that, of furniture that stands in two places by more than twice."""


@dataclass(frozen=True)
class _Look:
    """How a place is looked at: by which camera, and what gives the evidence of keyframes as that camera sees them."""

    eye: Eye
    evidence: Callable[[Sequence[Keyframe], Keyframe], Evidence | None]


class LoopCloser:
    """Looks for known places among the keyframes of a map.

    Args:
        solver: places a keyframe among older ones.
        matcher: of the keyframes.
        learned: asked about places that look alike and are not sure to be the same otherwise; None leaves them.
    """

    def __init__(self, solver: FrameSolver, matcher: Matcher, learned: LearnedLook | None = None) -> None:
        self._solver, self._matcher, self._learned = solver, matcher, learned
        self._pause = _PAUSE

    def close(self, mapper: Mapper, keyframe: Keyframe) -> float | None:
        """Look for the place that the newest keyframe shows, and let all keyframes give way.

        Args:
            mapper: of the map that is looked through and corrected.
            keyframe: its newest one.

        Returns:
            Factor by which distances around it have grown; None when no loop was closed.
        """
        self._pause -= 1
        if self._pause > 0:
            return None
        recent = mapper.keyframes.lately(keyframe, _RECENT)
        known, votes = mapper.most_alike(keyframe, recent)
        if known is None or votes < _VOTES:
            return None
        self._pause = _PAUSE
        loop, eye, learned = None, mapper.eye(keyframe), self._learned
        seen = eye.views([known, keyframe])
        if len(seen) == 2 and self._matcher.common_keypoints(*(k.features for k in seen)) >= _COMMON_KEYPOINTS:
            loop = self._verified(mapper, known, keyframe, recent, _Look(eye, eye.shared.between))
        if loop is None and learned is not None:
            loop = self._verified(mapper, known, keyframe, recent, _Look(eye, partial(learned.between, eye.shared)))
        if loop is not None and _tells_less(loop, known, keyframe):
            return None
        drift = None if loop is None else _drift(mapper.keyframes, loop)
        effect = None if loop is None else close_loop(mapper.keyframes, loop, mapper.settings.bundle)
        if loop is None or effect is None:
            return None
        if drift is not None:
            mapper.keyframes.drift_seen.append(drift)
        _give_certainty(mapper.keyframes, known.number, loop.covariance)
        return effect.growth

    def _verified(
        self, mapper: Mapper, known: Keyframe, keyframe: Keyframe, recent: Sequence[Keyframe], look: _Look
    ) -> Link | None:
        """The loop as it was measured, if others say the same."""
        anchors = mapper.around(known, recent)
        loop = self._measure(mapper, known, keyframe, anchors, look)
        if loop is None or _is_no_return(mapper.keyframes, loop) or not _is_drift(mapper.keyframes, loop):
            return None
        if leans(mapper.keyframes, loop, mapper.up):
            return None
        return loop if self._is_seconded(mapper, loop, [*recent, *anchors], look) else None

    def _measure(
        self, mapper: Mapper, known: Keyframe, keyframe: Keyframe, anchors: Sequence[Keyframe], look: _Look
    ) -> Link | None:
        """Where the keyframe stands among older ones; None where that is not sure or not plausible."""
        views, seen = look.eye.views(anchors), look.eye.views([keyframe])
        evidence = look.evidence(views, seen[0]) if views and seen else None
        if evidence is None or (len(views) < 2 and evidence.known is None):
            # One keyframe alone, whose depths nobody has measured, tells a direction and no length.
            return None
        step = 0.1 * mapper.keyframes.unit_of(known)
        starts = [look.eye.pose_of(k.camera_to_world) for k in (known, keyframe)]
        solved = self._solver.solve(starts, views, evidence, step)
        if solved is None or solved.quality.confidence < _CONFIDENCE or solved.quality.inliers < _INLIERS:
            return None
        ratio = self._depth_ratio(solved, views, evidence, seen[0])
        solved = look.eye.as_leader(solved)
        if ratio is None or not _plausible(mapper.keyframes, known, keyframe, solved.camera_to_world):
            return None
        # A sensor tells both the same unit: where their depths are apart, they are of two places that look alike.
        same_unit = mapper.has_one_unit(known, keyframe)
        if same_unit and abs(float(np.log(ratio))) > _UNIT_DRIFT:
            return None
        return Link(
            known.number,
            keyframe.number,
            relative_pose(known.camera_to_world, solved.camera_to_world),
            0.0 if same_unit else float(np.log(ratio)),
            solved.covariance,
            (known.log_growth, keyframe.log_growth),
        )

    def _is_seconded(self, mapper: Mapper, loop: Link, asked: Sequence[Keyframe], look: _Look) -> bool:
        """Whether the old place sees the new keyframe where that sees itself, and so do other keyframes of that place.

        Where things look alike a solve settles on some of them; from the other side, or with other keyframes, it
        settles on others.

        Args:
            mapper: of the map.
            loop: as it was measured.
            asked: keyframes whose word is known.
            look: see there.
        """
        keyframes = mapper.keyframes
        known, keyframe = keyframes.keyframes[loop.first], keyframes.keyframes[loop.second]
        others = keyframes.around(known, mapper.settings.window, asked)
        from_others = self._solved_apart(others, keyframe, known.camera_to_world @ loop.pose, look)
        if len(others) > 1 and from_others is not None:
            found = relative_pose(known.camera_to_world, from_others.camera_to_world)
            if not _is_same(loop, found, from_others.covariance, keyframes.unit_of(known)):
                return False
        window = [*keyframes.before(keyframe, mapper.settings.window - 1), keyframe]
        back = inverse_pose(loop.pose)
        start = keyframe.camera_to_world @ grown(back, -loop.log_scale)
        from_here = self._solved_apart(window, known, start, look)
        if from_here is None:
            return False
        found = grown(relative_pose(from_here.camera_to_world, keyframe.camera_to_world), loop.log_scale)
        spread = from_here.covariance * np.exp(2.0 * loop.log_scale)
        return _is_same(loop, found, spread, keyframes.unit_of(known))

    def _solved_apart(
        self, anchors: Sequence[Keyframe], frame: Keyframe, start: FloatArray, look: _Look
    ) -> FrameSolve | None:
        """A keyframe against others, from a start (4x4); None where that says little. What was matched is forgotten."""
        views, seen = look.eye.views(anchors), look.eye.views([frame])
        if not views or not seen:
            return None
        before = look.eye.shared.known_of(frame.number)
        try:
            evidence = look.evidence(views, seen[0])
        finally:
            look.eye.shared.put_back(frame.number, before)
        if evidence is None or len(evidence.anchor) < _WITNESS:
            return None
        solved = self._solver.solve_from([look.eye.pose_of(start)], views, evidence)
        return look.eye.as_leader(solved) if solved.quality.inliers >= _WITNESS else None

    def _depth_ratio(
        self, solved: FrameSolve, anchors: Sequence[Keyframe], evidence: Evidence, keyframe: Keyframe
    ) -> float | None:
        """Depths in the frame as old keyframes have them, over those that it has; None where few can be compared."""
        chosen = np.flatnonzero(solved.agrees & (solved.inverse_depth > 0) & (evidence.anchor < len(anchors)))
        anchor = evidence.anchor[chosen]
        to_frame = relative_pose(solved.camera_to_world, np.array([f.camera_to_world for f in anchors]))[anchor]
        points = evidence.rays(chosen, anchor) / solved.inverse_depth[chosen, None]
        depth = keyframe.camera.depth((to_frame[:, :3, :3] @ points[:, :, None])[..., 0] + to_frame[:, :3, 3])
        grid, pixels = self._matcher.grid(keyframe.features.grey.shape), evidence.pixels[chosen, len(anchors)]
        apart = np.linalg.norm(grid[:, None] - pixels, axis=-1)
        apart[~np.isfinite(keyframe.inverse_depth)] = np.inf
        nearest = apart.argmin(axis=0)
        ratio = depth * keyframe.inverse_depth[nearest]
        ratio = ratio[(apart[nearest, np.arange(len(chosen))] < _NEAR_PX) & (ratio > 0)]
        if len(ratio) < _COMMON_DEPTHS:
            return None
        middle = float(np.median(ratio))
        spread = float(np.median(np.abs(np.log(ratio / middle))))
        return middle if spread < _DEPTHS_AGREE else None


def _is_same(loop: Link, found: FloatArray, covariance: FloatArray, unit: float) -> bool:
    """Whether a second solve puts the second keyframe where the loop puts it, in the first one (4x4)."""
    off = inverse_pose(loop.pose) @ found
    left_open = float(np.sqrt(np.trace(loop.covariance[:3, :3]) + np.trace(covariance[:3, :3])))
    return bool(
        rotation_angle_rad(off[:3, :3]) < _SAME_RAD
        and np.linalg.norm(off[:3, 3]) < _SAME_PLACE * unit + _SAME_SIGMAS * left_open
    )


def _plausible(keyframes: KeyframeMap, known: Keyframe, keyframe: Keyframe, found: FloatArray) -> bool:
    """Whether drift can have brought the place where it seems to be."""
    if known.number not in keyframes.joined(keyframe):
        # Another trajectory was begun in between, and nobody knows where.
        return True
    between = keyframes.way(known, keyframe)
    poses = np.array([f.camera_to_world for f in between])
    steps = relative_pose(poses[:-1], poses[1:])
    path = float(np.linalg.norm(steps[:, :3, 3], axis=1).sum())
    turn = float(rotation_angle_rad(steps[:, :3, :3]).sum())
    off = inverse_pose(keyframe.camera_to_world) @ found
    return bool(
        np.linalg.norm(off[:3, 3]) < _DRIFT * path + _LEAST_DRIFT * keyframes.unit
        and rotation_angle_rad(off[:3, :3]) < _TURN_DRIFT * turn + _LEAST_TURN_RAD
    )


def _is_no_return(keyframes: KeyframeMap, loop: Link) -> bool:
    """Whether a loop spans so much of the way between its ends that the way itself tells better where they are."""
    known, keyframe = keyframes.keyframes[loop.first], keyframes.keyframes[loop.second]
    if known.number not in keyframes.joined(keyframe):
        return False
    apart = float(np.linalg.norm(loop.pose[:3, 3]))
    return apart > max(_NEAR * keyframes.unit_of(known), _MOST_OF_WAY * _length(keyframes.way(known, keyframe)))


def _length(way: Sequence[Keyframe]) -> float:
    """Of a path along keyframes."""
    centres = np.array([keyframe.camera_to_world[:3, 3] for keyframe in way])
    return float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum())


def _is_drift(keyframes: KeyframeMap, loop: Link) -> bool:
    """Whether what a loop finds the camera off by is what it can be off by, as far as the map knows.

    In translation and rotation apart, since one may hide the other. The unit may have changed by any factor: in a turn
    on the spot nothing holds it.
    """
    known, keyframe = keyframes.keyframes[loop.first], keyframes.keyframes[loop.second]
    if known.number not in keyframes.joined(keyframe):
        return True
    way = keyframe.covariance - compounded(known.covariance, known.camera_to_world, keyframe.camera_to_world)
    way = way[:6, :6]
    # After a loop the newer one may be known better than the older one.
    variance, directions = np.linalg.eigh((way + way.T) / 2.0)
    spread = (directions * np.abs(variance)) @ directions.T + loop.covariance
    place, share, turn_rad = _LEAST_KNOWN
    path = _length(keyframes.way(known, keyframe))
    spread += np.diag([(place * keyframes.unit_of(known) + share * path) ** 2] * 3 + [turn_rad**2] * 3)
    found = known.camera_to_world @ loop.pose
    shift = found[:3, 3] - keyframe.camera_to_world[:3, 3]
    turn = rotation_vector(found[:3, :3] @ keyframe.camera_to_world[:3, :3].T)
    squared = [d @ np.linalg.solve(c, d) for d, c in ((shift, spread[:3, :3]), (turn, spread[3:, 3:]))]
    return bool(max(squared) < _MOST_SIGMAS**2)


def leans(keyframes: KeyframeMap, loop: Link, up: Up | None) -> bool:
    """Whether a loop would tilt its newer keyframe by more than what gravity and the rotations so far leave open.

    Args:
        keyframes: of the map.
        loop: as it was measured.
        up: against gravity, in the world of the present trajectory; None where that is not known.
    """
    known, keyframe = keyframes.keyframes[loop.first], keyframes.keyframes[loop.second]
    if up is None or known.trajectory != keyframe.trajectory:
        return False
    found = known.camera_to_world[:3, :3] @ loop.pose[:3, :3]
    by_loop, as_known = found.T @ up.direction, keyframe.camera_to_world[:3, :3].T @ up.direction
    tilt_rad = float(np.linalg.norm(np.cross(by_loop, as_known)))
    variance = up.sigma_rad**2 + float(np.trace(keyframe.covariance[3:6, 3:6] + loop.covariance[3:, 3:])) / 3.0
    return tilt_rad > _LEAST_TILT_RAD + _TILT_SIGMAS * float(np.sqrt(variance))


def _drift(keyframes: KeyframeMap, loop: Link) -> tuple[float, float] | None:
    """By which a loop finds the camera off, in units of length and rad; None between two trajectories."""
    known, keyframe = keyframes.keyframes[loop.first], keyframes.keyframes[loop.second]
    if known.number not in keyframes.joined(keyframe):
        return None
    off = inverse_pose(loop.pose) @ relative_pose(known.camera_to_world, keyframe.camera_to_world)
    return float(np.linalg.norm(off[:3, 3])) / keyframes.unit_of(known), float(rotation_angle_rad(off[:3, :3]))


def _tells_less(loop: Link, known: Keyframe, keyframe: Keyframe) -> bool:
    """Whether the way between two keyframes is known better than the loop has measured it."""
    grown_by = np.diag(keyframe.covariance - known.covariance)[:6]
    left_open = np.diag(loop.covariance)
    return bool(left_open[:3].sum() > grown_by[:3].sum() or left_open[3:].sum() > grown_by[3:].sum())


def _give_certainty(keyframes: KeyframeMap, known: int, covariance: FloatArray) -> None:
    """The newest keyframes are known as well as the old one (by its number), and what the solve left open."""
    certain_one = keyframes.keyframes[known]
    for newest in keyframes.window:
        certain = compounded(certain_one.covariance, certain_one.camera_to_world, newest.camera_to_world)
        certain += with_unit(covariance, 0.0)
        if np.trace(newest.covariance) > np.trace(certain):
            keyframes.know_covariance(newest.number, certain)

"""From hypotheses to the cameras of a clip: annealed bundle adjustment, further motions, the choice of the world."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import BundleProblem, Refined, RefineSettings, refine
from ros2_raxels.estimation.hypotheses import PoseHypotheses, possible
from ros2_raxels.estimation.inliers import FEWEST_MATCHES, INLIER_PX
from ros2_raxels.estimation.motions import (
    FOLLOWS,
    BoolArray,
    Picture,
    agreement,
    most_like_the_world,
    moving_as_a_plane,
    only_one_explains,
)
from ros2_raxels.estimation.two_view import pairs_by_use, propose
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence, IntArray

_SETTLED, _FINALISTS = 4, 2
"""Hypotheses that are kept after the wide steps, and in the end."""

_LEAST_NOISE_PX = 0.3
_WIDTH_PER_NOISE = 1.65
"""Width of the loss in the end, in standard deviations of the matches of the clip; sharp pictures have the least."""

_MEDIAN_PER_NOISE = 1.18
"""Median distance of two normal errors, in standard deviations of one."""

_NARROWING = (1.4, 1.4, 1.0, 1.0), (0.7, 0.7, 0.5, 0.5, 0.5, 0.5, 0.5)
"""Widths, px, of the steps after the wide ones, in two parts: the noise is measured before each."""

_AMONG_THE_REST = (1.4, 1.0, 1.0, 0.7, 0.7)
_BACK_IN_ALL = (1.0, 1.0, 0.7, 0.7, 0.5, 0.5, 0.5, 0.5)
_POLISH_STEPS = 4

_LEAST_REST, _LEAST_TRACKS = 0.1, 15
"""Share of the picture, and number of tracks, that no motion explains, from which on another one is looked for."""

_WORTH_A_LOOK = 0.15
"""Share of the picture: where less is unexplained, as in most static worlds, no other motion is looked for."""

_LEAST_TOGETHER, _LEAST_FOR_LONG = 0.1, 0.04
"""Shares of the picture: unless so much of what is unexplained moves together, or so much of it through more than two
frames, it is wrong matches. In static training clips they reach .12 and .03, in clips with slabs .1 to .4."""

_SIDE = 0.25
"""Of the picture's width."""

_REMAINDERS, _PLANES = 2, 3
"""How often what is unexplained is looked at, and how many moving planes are put aside."""

_FIRST_PAIRS = 3
"""Pairs of frames from which a first further motion is proposed: mostly there is none."""

_RIVALS = 3
_APART, _TOGETHER = 3.0, 2.0
"""Residuals, in widths of the loss, of an observation of a second motion: more in the world, less in that motion."""


@dataclass(frozen=True)
class Settled:
    """Hypotheses after annealing.

    Attributes:
        refined: best first, at the width in the end.
        width_px: that of the loss, by the noise of the clip.
    """

    refined: Refined
    width_px: float

    @property
    def agreement(self) -> FloatArray:
        """(H, P) of the tracks with each hypothesis."""
        return agreement(self.refined.residual_px, self.width_px)


@dataclass(frozen=True)
class Guided:
    """The cameras of a clip, and what moves in front of them.

    Attributes:
        refined: hypotheses of the motion that is taken for the world's, best first; costs and information are those of
            a loss of `INLIER_PX`, without the observations of second motions.
        second_motion: (P, N) observations that another motion explains and the world does not.
        width_px: of the loss that the poses were solved with.
    """

    refined: Refined
    second_motion: BoolArray
    width_px: float


def guide(problem: BundleProblem, hypotheses: PoseHypotheses, settings: RefineSettings) -> Guided:
    """Refine hypotheses against the evidence, look for what moves on its own, and choose.

    Inlier probabilities of the hypotheses only help to choose: near the answer the residuals are the better judge.
    Settings without iterations take the hypotheses as they are.
    """
    if not settings.iterations:
        refined = refine(problem, hypotheses.camera_to_first, settings)
        return Guided(refined, np.zeros(problem.evidence.seen.shape, bool), settings.widths_px[-1])
    return choose_world(problem, settle(problem, hypotheses.camera_to_first, settings), hypotheses.inlier)


def guide_widely(problem: BundleProblem, hypotheses: PoseHypotheses, settings: RefineSettings) -> Guided:
    """Refine hypotheses with the loss of the settings alone, and choose by cost: all that the evidence holds is static.

    Inlier probabilities weigh the observations. In the end they only rule out what is surely wrong.
    """
    nothing, width = np.zeros(problem.evidence.seen.shape, bool), settings.widths_px[-1]
    poses, inlier = hypotheses.camera_to_first, hypotheses.inlier
    if inlier is None:
        return Guided(refine(problem, poses, settings), nothing, width)
    widths, steps = settings.widths_px, settings.iterations
    believed = problem.weighted(inlier)
    wide = replace(settings, widths_px=widths[:-1] or widths, iterations=steps // 3)
    found = refine(believed, poses, wide).best(_SETTLED)
    narrow = replace(settings, widths_px=widths[-2:], iterations=steps - steps // 3)
    found = refine(believed, found.camera_to_first, narrow, inverse_depth=found.inverse_depth).best(_FINALISTS)
    polish = replace(settings, widths_px=widths[-1:], iterations=steps // 2)
    static = problem.weighted(possible(inlier))
    return Guided(refine(static, found.camera_to_first, polish, inverse_depth=found.inverse_depth), nothing, width)


def settle(problem: BundleProblem, camera_to_first: FloatArray, settings: RefineSettings) -> Settled:
    """Anneal hypotheses (H, N, 4, 4): wide steps for all of them, then ever narrower ones for the best."""
    wide = replace(settings, iterations=len(settings.widths_px) + 1)
    found, width = refine(problem, camera_to_first, wide).best(_SETTLED), settings.widths_px[-1]
    for part in _NARROWING:
        least = _suitable_width_px(found)
        widths = tuple(w for w in part if w >= 0.99 * least)
        if not widths:
            break
        found, width = _narrowed(problem, found, widths), widths[-1]
    return Settled(found.best(_FINALISTS), width)


def explained(problem: BundleProblem, refined: Refined, width_px: float) -> float:
    """Share of what the evidence covers of the picture that follows the best hypothesis, by a loss of some width."""
    residual = refined.residual_px[0]
    area = Picture(problem.evidence).area * np.isfinite(residual).any(axis=1)
    return float((area * (agreement(residual, width_px) > FOLLOWS)).sum() / max(area.sum(), 1e-9))


@dataclass(frozen=True)
class Candidates:
    """Motions of a clip, one of which is the world's.

    Attributes:
        picture: of P tracks.
        every: hypotheses, against all tracks.
        follows: (H, P) agreement of the tracks with each.
        presumed: index of the one that explains most.
    """

    picture: Picture
    every: Refined
    follows: FloatArray
    presumed: int


def candidates(problem: BundleProblem, settled: Settled) -> Candidates:
    """A settled hypothesis for all of the evidence, and further motions in what it leaves unexplained."""
    picture = Picture(problem.evidence)
    finalists = [settled.refined, *_further_motions(problem, picture, settled)]
    every = _side_by_side(problem, finalists, settled.width_px)
    presumed = int(np.flatnonzero(every.order == 0)[0])
    return Candidates(picture, every, agreement(every.residual_px, settled.width_px), presumed)


def choose_world(problem: BundleProblem, settled: Settled, inlier: FloatArray | None = None) -> Guided:
    """Look for further motions in what a settled hypothesis leaves unexplained, and tell the world from them.

    Args:
        problem: P tracks over N frames.
        settled: hypotheses for all of it.
        inlier: (P, N) probability of each observation to be of the world; None where nothing has judged them.
    """
    width, found = settled.width_px, candidates(problem, settled)
    belief = None if inlier is None else _belief(inlier, problem.evidence.seen)
    world = most_like_the_world(found.picture, found.follows, found.presumed, belief)
    second = _second_motion(found.picture, found.every, found.follows, world, width)
    return Guided(_polished(problem.weighted(1.0 - second), found.every, world, width), second, width)


def _suitable_width_px(refined: Refined) -> float:
    """Width of the loss for the noise of the best hypothesis' inliers."""
    residual = refined.residual_px[0]
    close = residual[residual < INLIER_PX]
    if len(close) < FEWEST_MATCHES:
        return INLIER_PX
    return _WIDTH_PER_NOISE * max(float(np.median(close)) / _MEDIAN_PER_NOISE, _LEAST_NOISE_PX)


def _narrowed(problem: BundleProblem, start: Refined, widths_px: tuple[float, ...]) -> Refined:
    settings = RefineSettings(widths_px=widths_px, iterations=len(widths_px))
    return refine(problem, start.camera_to_first, settings, inverse_depth=start.inverse_depth)


def _further_motions(problem: BundleProblem, picture: Picture, settled: Settled) -> list[Refined]:
    """Motions of what the best hypothesis leaves, of what moving planes leave, and of either side of the picture.

    The best hypothesis may be a compromise between two motions, so that what it leaves is only a part of either. A
    thing seldom covers both sides.
    """
    rest: BoolArray = settled.agreement[0] < FOLLOWS
    if picture.area[rest].sum() < _WORTH_A_LOOK:
        return []
    found = _motions_of_remainders(problem, picture, rest, settled.width_px)
    if not found:
        return []
    return found + _motions_beside_planes(problem, picture) + _motions_of_sides(problem, picture)


def _motions_of_remainders(problem: BundleProblem, picture: Picture, rest: BoolArray, width_px: float) -> list[Refined]:
    """Motions of tracks (P,) that nothing explains. Where none of them move together, those are wrong matches."""
    found: list[Refined] = []
    while len(found) < _REMAINDERS and _many(picture, rest):
        motion = _motion_of(problem, picture, rest, None if found else _FIRST_PAIRS)
        if motion is None:
            break
        follows = agreement(motion.residual_px[0], width_px) >= FOLLOWS
        # Alone they could have any depth: among all tracks fewer agree by chance.
        if not _move_together(problem.evidence, picture, np.flatnonzero(rest & follows)):
            break
        found.append(motion)
        rest = rest & ~follows
    return found


def _motions_beside_planes(problem: BundleProblem, picture: Picture) -> list[Refined]:
    found: list[Refined] = []
    rest = np.ones(len(picture.area), bool)
    for _ in range(_PLANES):
        plane = moving_as_a_plane(problem.evidence, rest)
        if plane is None or not _many(picture, rest := rest & ~plane):
            break
        motion = _motion_of(problem, picture, rest)
        found += [] if motion is None else [motion]
    return found


def _motions_of_sides(problem: BundleProblem, picture: Picture) -> list[Refined]:
    across = picture.place[:, 0]
    sides = [side for side in (across < _SIDE, across > 1 - _SIDE) if _many(picture, side)]
    found = [_motion_of(problem, picture, side) for side in sides]
    return [motion for motion in found if motion is not None]


def _many(picture: Picture, tracks: BoolArray) -> bool:
    return bool(picture.area[tracks].sum() > _LEAST_REST and tracks.sum() >= _LEAST_TRACKS)


def _motion_of(problem: BundleProblem, picture: Picture, tracks: BoolArray, pairs: int | None = None) -> Refined | None:
    """The motion of some of the tracks, refined against all of them in the end; None where they have none in common."""
    index = np.flatnonzero(tracks)
    alone = BundleProblem.of(problem.evidence.of_tracks(index))
    poses = propose(alone, pairs_by_use(alone.evidence.frames)[:pairs])
    if not len(poses):
        return None
    wide = RefineSettings()
    found = refine(alone, poses, replace(wide, iterations=len(wide.widths_px) + 2)).best(_FINALISTS)
    found = _narrowed(alone, found, _AMONG_THE_REST)
    follows = agreement(found.residual_px[0], _AMONG_THE_REST[-1]) >= FOLLOWS
    if not _move_together(problem.evidence, picture, index[follows]):
        return None
    return refine(problem, found.camera_to_first, RefineSettings(_BACK_IN_ALL, len(_BACK_IN_ALL)))


def _move_together(evidence: Evidence, picture: Picture, tracks: IntArray) -> bool:
    """Whether tracks that one motion explains are too many to be wrong matches that agree by chance."""
    for_long = tracks[evidence.seen[tracks].sum(axis=1) > 2]
    return bool(picture.area[tracks].sum() >= _LEAST_TOGETHER or picture.area[for_long].sum() >= _LEAST_FOR_LONG)


def _side_by_side(problem: BundleProblem, found: list[Refined], width_px: float) -> Refined:
    poses, depths = (np.concatenate([getattr(f, name) for f in found]) for name in ("camera_to_first", "inverse_depth"))
    return refine(problem, poses, RefineSettings((width_px,), 0), inverse_depth=depths)


def _belief(inlier: FloatArray, seen: BoolArray) -> FloatArray:
    """(P,) mean probability of each track's observations."""
    return np.asarray((inlier * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def _second_motion(picture: Picture, every: Refined, follows: FloatArray, world: int, width_px: float) -> BoolArray:
    """(P, N) observations of tracks that follow another motion of some size, and not the world."""
    second = np.zeros(every.residual_px.shape[1:], bool)
    beyond = every.residual_px[world] > _APART * width_px
    for other in np.flatnonzero(np.arange(len(follows)) != world):
        own = only_one_explains(follows[other], follows[world])[0] > 0
        own &= (follows[other] > FOLLOWS) & (follows[world] < FOLLOWS)
        if _many(picture, own):
            second |= own[:, None] & beyond & (every.residual_px[other] < _TOGETHER * width_px)
    return second


def _polished(problem: BundleProblem, every: Refined, world: int, width_px: float) -> Refined:
    """The world's cameras solved once more, first, and others that may explain as much, at a loss of `INLIER_PX`."""
    chosen = [world, *(k for k in range(len(every.order)) if k != world)][: 1 + _RIVALS]
    settings = RefineSettings((width_px,), _POLISH_STEPS)
    poses, depths = every.camera_to_first[chosen], every.inverse_depth[chosen]
    found = refine(problem, poses, settings, inverse_depth=depths)
    judged = RefineSettings((INLIER_PX,), 0)
    refined = refine(problem, found.camera_to_first, judged, inverse_depth=found.inverse_depth)
    return refined.led_by(int(np.flatnonzero(found.order[refined.order] == 0)[0]))

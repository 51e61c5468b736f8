"""What the cameras beside the first one see of the keyframes: matches and depths of their own, poses of the rig."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, SeenByOne, Tie, refine, refine_rig
from ros2_raxels.estimation.inliers import FEWEST_MATCHES, INLIER_PX
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import FLOW, Evidence
from ros2_raxels.tracking.frame import Keyframe, Seen, StreamFrame
from ros2_raxels.tracking.frame_pose import Beside
from ros2_raxels.tracking.rig_scale import RigScale
from ros2_raxels.tracking.shared_matches import SharedMatches
from ros2_raxels.tracking.stereo_prior import partners_of
from ros2_raxels.tracking.what_is_wrong import nearly_constant

_DEPTHS_ALONE = RefineSettings(widths_px=(INLIER_PX,), iterations=0)

_WIDTHS_PX, _WIDTH_OVER_MEDIAN = (0.3, 0.6), 2.0
"""Of the loss at the end of a refinement that seeks the unit, by what half of the observations miss by: a wrong match
that misses by little bends it, where turns tell little."""

_NOISE_PX, _NOISE_OVER_MEDIAN = (0.2, 0.5), 1.2
"""Standard deviation of an observation, likewise, with what the errors of neighbours have in common."""

_USUAL_MEDIAN_PX = 0.15
"""Before there was a refinement."""

_SEEN_ALREADY = 0.5
"""Tracks in a frame of a camera that sees what the first one sees, over those of that: it adds little to them."""

_TOLERANCE = 1e-6
"""Of a refinement that seeks the unit, which changes the cost of all by little."""


@dataclass(frozen=True, eq=False)
class SeenBeside:
    """Evidence of one camera for one frame.

    Attributes:
        name: of the camera.
        keyframes: its own, in which the tracks start.
        beside: for the solve.
    """

    name: str
    keyframes: Sequence[Keyframe]
    beside: Beside


@dataclass(frozen=True, eq=False)
class _Depths:
    """Inverse depths (G,) of a flow grid, and `Keyframe.log_growth` when they held."""

    inverse: FloatArray
    log_growth: float

    def at(self, log_growth: float) -> FloatArray:
        return self.inverse / float(np.exp(log_growth - self.log_growth))


class RigTracks:
    """The other cameras' part of a map. The poses are those of the map's keyframes.

    Args:
        matcher: of all frames.
        rig: cameras and mounts, m.

    Attributes:
        scale: what is known of the unit of the world.
    """

    def __init__(self, matcher: Matcher, rig: Rig) -> None:
        self.rig, self.scale = rig, RigScale()
        self._matcher, self._partners = matcher, partners_of(rig)
        self._shared = {name: SharedMatches(matcher) for name in rig.others}
        self._depths: dict[str, dict[int, _Depths]] = {name: {} for name in rig.others}
        self._median_px = _USUAL_MEDIAN_PX

    def copy(self, matcher: Matcher) -> RigTracks:
        """The same in a store of its own, which goes on with another matcher."""
        copied = RigTracks(matcher, self.rig)
        copied.scale, copied._median_px = self.scale, self._median_px
        copied._shared = {name: shared.copy(matcher) for name, shared in self._shared.items()}
        copied._depths = {name: dict(depths) for name, depths in self._depths.items()}
        return copied

    def take_over(self, grown_copy: RigTracks) -> None:
        """Add what a copy has found; depths that were learned here meanwhile stay where the copy knows none."""
        self.scale, self._median_px = grown_copy.scale, grown_copy._median_px
        for name, shared in self._shared.items():
            shared.take_over(grown_copy._shared[name])
            for number, new in grown_copy._depths[name].items():
                old = self._depths[name].get(number)
                known = np.isfinite(new.inverse)
                inverse = new.inverse if old is None else np.where(known, new.inverse, old.at(new.log_growth))
                self._depths[name][number] = replace(new, inverse=inverse)

    def forget_all_but(self, frames: Iterable[int], keyframes: Mapping[int, Keyframe]) -> None:
        """Keep only what these frames, given by number, have in common, and the depths of keyframes."""
        kept = list(frames)
        for name, shared in self._shared.items():
            shared.forget_all_but(kept)
            self._depths[name] = {n: depths for n, depths in self._depths[name].items() if n in keyframes}

    def know(self, name: str, number: int, inverse_depth: FloatArray) -> None:
        """Depths (G,) of a camera in a keyframe, which has not grown since."""
        self._depths[name][number] = _Depths(inverse_depth, 0.0)

    def shared(self, name: str) -> SharedMatches:
        """What the images of one of the other cameras have in common."""
        return self._shared[name]

    def among(self, shared: SharedMatches, frames: Sequence[Seen], tracks: int) -> Evidence:
        """At most so many tracks of one camera for `refine`: while the unit is sought of flow, which misses by less."""
        return (shared.among if self.scale.is_given else shared.flow_among)(frames, tracks)

    def lit(self, frames: Sequence[StreamFrame]) -> str:
        """Name of another camera that shows something in all frames, where the first one does not; empty for none."""
        if all(shows(frame) for frame in frames):
            return ""
        return next((name for name in self.rig.others if all(shows(frame, name) for frame in frames)), "")

    def mount(self, name: str) -> FloatArray:
        """camera_to_leader (4x4) in the unit of the world."""
        mount = self.rig.to_leader(name)
        mount[:3, 3] *= self.scale.units
        return mount

    def views(self, name: str, keyframes: Sequence[Keyframe]) -> list[Keyframe]:
        """Those keyframes in which a camera has an image, as that camera's."""
        return [self._view(name, keyframe) for keyframe in keyframes if name in keyframe.frame.sides]

    def _view(self, name: str, keyframe: Keyframe) -> Keyframe:
        frame = side_frame(keyframe.frame, name)
        known = self._depths[name].get(keyframe.number)
        count = len(self._matcher.grid(frame.features.grey.shape))
        depths = np.full(count, np.nan) if known is None else known.at(keyframe.log_growth)
        pose = keyframe.camera_to_world @ self.mount(name)
        return replace(keyframe, frame=frame, camera_to_world=pose, inverse_depth=depths)

    @property
    def has_partners(self) -> bool:
        """Whether a camera sees what the leader sees."""
        return bool(self._partners)

    def expected(
        self, anchors: Sequence[Keyframe], frame: StreamFrame, camera_to_world: FloatArray, partners: bool = True
    ) -> list[SeenBeside]:
        """What the other cameras see of their keyframes if the leader is there (4x4); only those that see enough.

        Without `partners` those that see what the leader sees are not asked.
        """
        found = []
        sees = shows(frame)
        for name in frame.sides:
            views = self.views(name, anchors)
            if not views or (name in self._partners and not partners):
                continue
            mount, share = self.mount(name), _SEEN_ALREADY if sees and name in self._partners else 1.0
            evidence = self._shared[name].expected(views, side_frame(frame, name), camera_to_world @ mount, share)
            if evidence is not None and len(evidence.anchor) >= FEWEST_MATCHES:
                found.append(SeenBeside(name, views, Beside(evidence, [v.camera_to_world for v in views], mount)))
        return found

    def learn(self, seen: SeenBeside, inverse_depth: FloatArray, sure: npt.NDArray[np.bool_]) -> None:
        """Take over the depths (P,) of the tracks of a camera that are sure."""
        self._learn(seen.name, seen.keyframes, seen.beside.evidence, inverse_depth, sure)

    def _learn(
        self,
        name: str,
        views: Sequence[Keyframe],
        evidence: Evidence,
        inverse_depth: FloatArray,
        sure: npt.NDArray[np.bool_],
    ) -> None:
        for position, view in enumerate(views):
            mine = sure & (evidence.anchor == position) & (evidence.kind == FLOW)
            depths = view.inverse_depth.copy()
            depths[evidence.index[mine]] = inverse_depth[mine]
            self._depths[name][view.number] = _Depths(depths, view.log_growth)

    def begin(self, keyframes: Sequence[Keyframe], in_metres: bool = False) -> None:
        """The first keyframes of a trajectory, as they stand, in metres or in a unit of which nothing is known."""
        self.scale = RigScale(is_given=in_metres)
        for name, shared in self._shared.items():
            views = self.views(name, keyframes)
            if len(views) < 2:
                continue
            shared.connect(views)
            evidence = shared.among(views, 2 * self._matcher.settings.tracks)
            if len(evidence.anchor) >= FEWEST_MATCHES:
                found = refine(evidence, np.array([[v.camera_to_world for v in views]]), _DEPTHS_ALONE)
                agrees = np.nanmedian(found.residual_px[0], axis=1) < INLIER_PX
                self._learn(name, views, evidence, found.inverse_depth[0], agrees & (found.inverse_depth[0] > 0))

    def measure(self, others: Sequence[Keyframe], keyframe: Keyframe, keypoints: bool = True) -> None:
        """A new keyframe: look for it in others, and in it for their points, by flow and, if wanted, keypoints."""
        sees = shows(keyframe.frame)
        for name in keyframe.frame.sides:
            views, view, shared = self.views(name, others), self._view(name, keyframe), self._shared[name]
            if not views:
                continue
            # Keypoints cost the most, and add little to those of a first camera that sees the same.
            shared.both_ways(views, view, view.camera_to_world, keypoints and not (sees and name in self._partners))
            evidence = shared.starting_in_last([*views, view])
            if len(evidence.anchor) < FEWEST_MATCHES:
                continue
            poses = np.array([[k.camera_to_world for k in (*views, view)]])
            found = refine(evidence, poses, _DEPTHS_ALONE)
            agrees = np.nanmedian(found.residual_px[0], axis=1) < INLIER_PX
            self._learn(name, [*views, view], evidence, found.inverse_depth[0], agrees)

    def connect(self, keyframes: Sequence[Keyframe]) -> None:
        """See that what the next frame is solved against is compared with each other."""
        for name, shared in self._shared.items():
            shared.connect(self.views(name, keyframes))

    def refine(
        self,
        keyframes: Sequence[Keyframe],
        leading: Evidence,
        tracks: int,
        settings: RefineSettings,
        fixed: npt.NDArray[np.bool_],
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Keyframes by what all cameras see, and the unit of the world where they turn.

        Args:
            keyframes: G of the map.
            leading: evidence of the first camera over them.
            tracks: at most so many of each other camera.
            settings: of the refinement.
            fixed: (G,) which of them stay.

        Returns:
            camera_to_world (G, 4, 4); inverse depths (P,) and residuals (P, G) of the leading tracks, px. None where no
            other camera sees anything, and nothing has changed.
        """
        parts = [SeenByOne(0, np.arange(len(keyframes)), leading)]
        seen: list[tuple[str, list[Keyframe]]] = []
        numbers = {keyframe.number: k for k, keyframe in enumerate(keyframes)}
        for c, name in enumerate(self.rig.others, start=1):
            views = self.views(name, keyframes)
            if len(views) < 2:
                continue
            evidence = self.among(self._shared[name], views, tracks)
            if len(evidence.anchor) >= FEWEST_MATCHES:
                parts.append(SeenByOne(c, np.array([numbers[v.number] for v in views]), evidence))
                seen.append((name, views))
        if not seen:
            return None
        mounts = np.array([self.rig.to_leader(name) for name in self.rig.names])
        poses: FloatArray = np.array([k.camera_to_world for k in keyframes])
        tie, prior = Tie(mounts, self.scale.units), None
        if not self.scale.is_given:
            # Two poses that stay would say how the cameras have turned between them, right or wrong.
            prior, fixed = self.scale.prior, fixed & (np.cumsum(fixed) == 1)
            settings = self._narrowed(settings)
        found = refine_rig(parts, poses, tie, settings, fixed, prior)
        self._median_px = float(np.nanmedian(np.concatenate([r.ravel() for r in found.residual_px])))
        self.scale = self.scale.after(found.units, found.units_information, len(keyframes))
        own = zip(seen, parts[1:], found.inverse_depth[1:], found.residual_px[1:], strict=True)
        for (name, views), part, inverse_depth, residual_px in own:
            agrees = np.nanmin(residual_px, axis=1) < INLIER_PX
            self._learn(name, views, part.evidence, inverse_depth, agrees)
        return found.leader_to_world, found.inverse_depth[0], found.residual_px[0]

    def _narrowed(self, settings: RefineSettings) -> RefineSettings:
        """With the last width of the loss, and the noise, by what was seen so far."""
        width = float(np.clip(_WIDTH_OVER_MEDIAN * self._median_px, *_WIDTHS_PX))
        noise_px = float(np.clip(_NOISE_OVER_MEDIAN * self._median_px, *_NOISE_PX))
        return replace(settings, widths_px=(*settings.widths_px, width), noise_px=noise_px, tolerance=_TOLERANCE)


def side_frame(frame: StreamFrame, name: str) -> StreamFrame:
    """The image of another camera at the moment of a frame, as a frame of its own of the same number."""
    side = frame.sides[name]
    return StreamFrame(frame.number, frame.stamp_ns, side.features, side.camera)


def shows(frame: StreamFrame, name: str = "") -> bool:
    """Whether a camera, by default the first one, has an image at the moment of a frame on which something is seen."""
    if name and name not in frame.sides:
        return False
    return not nearly_constant((frame.sides[name] if name else frame).features)

"""Classical two-view geometry as a baseline: SIFT, dense flow checked both ways, five-point with MAGSAC for each pair.

Deliberately shares nothing with `matching` and `estimation`, so that changes there do not move the baseline.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer
from ros2_raxels.geometry.camera import PinholeCamera, unit_bearings
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose
from ros2_raxels.recordings.source import Frame
from ros2_raxels.utils.files import FileError

GreyImage = npt.NDArray[np.uint8]

_KEYPOINTS = 2000
_RATIO = 0.8
_GRID_PX, _MARGIN_PX = 8, 6
_CHECK_PX = 1.5
_MIN_MATCHES = 8
_CONFIDENCE = 0.999
_MAX_ERROR_PX = 1.0

_KEYFRAME_MOTION_PX = 8.0
_KEYFRAME_GAP = 10
_MIN_COMMON = 20
_SCALE_STEP = (0.05, 20.0)


@dataclass(frozen=True, eq=False)
class Matches:
    """M points of one image and where they are in another: (M, 2) px each."""

    first: FloatArray
    second: FloatArray

    def __add__(self, other: Matches) -> Matches:
        return Matches(np.concatenate([self.first, other.first]), np.concatenate([self.second, other.second]))


@dataclass(frozen=True, eq=False)
class _Keypoints:
    pixels: FloatArray
    descriptors: npt.NDArray[np.float32] | None


class TwoViewMatcher:
    """SIFT and dense flow of OpenCV; the detectors are created once."""

    def __init__(self) -> None:
        self._sift = cv2.SIFT_create(_KEYPOINTS)
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._brute = cv2.BFMatcher()

    def keypoints(self, image: GreyImage) -> _Keypoints:
        """SIFT of an image (H, W)."""
        found, descriptors = self._sift.detectAndCompute(image, None)
        return _Keypoints(np.array([k.pt for k in found], float).reshape(-1, 2), descriptors)

    def match_keypoints(self, a: _Keypoints, b: _Keypoints) -> Matches:
        """Nearest neighbours that pass the ratio test."""
        good: list[Any] = []
        if a.descriptors is not None and b.descriptors is not None and len(b.pixels) > 1:
            nearest = self._brute.knnMatch(a.descriptors, b.descriptors, k=2)
            good = [best for best, next_best in nearest if best.distance < _RATIO * next_best.distance]
        return Matches(
            a.pixels[np.array([m.queryIdx for m in good], int)], b.pixels[np.array([m.trainIdx for m in good], int)]
        )

    def flow(self, a: GreyImage, b: GreyImage) -> FloatArray:
        """Dense flow (H, W, 2) px from one image to another of the same size."""
        return np.asarray(self._dis.calc(a, b, None))

    def match_flow(self, a: GreyImage, b: GreyImage, ahead: FloatArray | None = None) -> Matches:
        """Grid points from which the flow leads back to where it started.

        Args:
            a, b: images; those of different sizes have no matches.
            ahead: flow from a to b, where it is known already.
        """
        if a.shape != b.shape:
            return Matches(np.zeros((0, 2)), np.zeros((0, 2)))
        height, width = a.shape
        ahead = self.flow(a, b) if ahead is None else ahead
        back = self.flow(b, a)
        inside = slice(_MARGIN_PX, height - _MARGIN_PX, _GRID_PX), slice(_MARGIN_PX, width - _MARGIN_PX, _GRID_PX)
        rows, columns = np.mgrid[inside].reshape(2, -1)
        first = np.stack([columns, rows], axis=1).astype(float)
        moved = ahead[rows, columns]
        second = first + moved
        at = np.clip(second.round().astype(int), 0, (width - 1, height - 1))
        returned = np.linalg.norm(moved + back[at[:, 1], at[:, 0]], axis=1) < _CHECK_PX
        return Matches(first[returned], second[returned])


def two_view(matches: Matches, first: PinholeCamera, second: PinholeCamera) -> FloatArray:
    """Pose (4, 4) of the second camera in the first, of unit baseline; the identity where there is no solution."""
    if len(matches.first) < _MIN_MATCHES:
        return np.eye(4)
    a, b = first.normalise(matches.first), second.normalise(matches.second)
    essential: npt.NDArray[Any] | None
    essential, mask = cv2.findEssentialMat(a, b, np.eye(3), cv2.USAC_MAGSAC, _CONFIDENCE, _MAX_ERROR_PX / first.fx)
    if essential is None or essential.shape != (3, 3):
        return np.eye(4)
    _, rotation, translation, _ = cv2.recoverPose(essential, a, b, np.eye(3), mask=mask)
    return make_pose(rotation.T, -rotation.T @ np.ravel(translation))


class TwoViewPeer:
    """Solves every pair of a clip by itself."""

    name = "opencv-both"

    def __init__(self) -> None:
        self._matcher = TwoViewMatcher()

    def answer(self, clip: Clip) -> ClipAnswer:
        """Poses of all pairs, timed from image paths to poses.

        Raises:
            FileError: the clip has no intrinsics, or an image cannot be read.
            GeometryError: intrinsics that cannot belong to a camera.
        """
        begin = time.perf_counter()
        images = [_read_grey(path) for path in clip.images]
        if clip.intrinsics is None:
            raise FileError(f"clip {clip.id} has no 'intrinsics'; two-view geometry needs them")
        cameras = [
            PinholeCamera(image.shape[1], image.shape[0], *k)
            for image, k in zip(images, clip.intrinsics.tolist(), strict=True)
        ]
        keypoints = [self._matcher.keypoints(image) for image in images]
        pairs = {}
        for i, j in itertools.combinations(range(len(images)), 2):
            matches = self._matcher.match_keypoints(keypoints[i], keypoints[j])
            matches += self._matcher.match_flow(images[i], images[j])
            pairs[i, j] = two_view(matches, cameras[i], cameras[j])
        return ClipAnswer(clip.id, pairs=pairs, seconds=time.perf_counter() - begin)


def _read_grey(path: Path) -> GreyImage:
    # Not imread, which writes lines of its own on stderr; the pixels are the same.
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error) as error:
        raise FileError(f"{path} cannot be read ({' '.join(str(error).split())}); restore it") from error
    if image is None:
        raise FileError(f"{path} cannot be read as an image; restore it")
    return np.asarray(image, np.uint8)


# ------------------------------------------------------------------------------------------------------- trajectories


@dataclass(frozen=True, eq=False)
class _Keyframe:
    image: GreyImage
    camera: PinholeCamera
    keypoints: _Keypoints
    index: int


@dataclass(frozen=True, eq=False)
class PeerTrajectory:
    """Poses that a peer has found for some frames of a recording.

    Attributes:
        indices: numbers of the K frames that have a pose, ascending.
        poses: (K, 4, 4) camera_to_world, in a world and a unit of the peer's own.
        seconds: wall time it took.
        note: how it was run.
    """

    indices: list[int]
    poses: FloatArray
    seconds: float
    note: str


def chain_two_view(frames: Iterable[Frame]) -> PeerTrajectory:
    """Two-view poses from keyframe to keyframe, each scaled so that common points keep their depth.

    The world is the first frame, its unit the first baseline; only keyframes have a pose.

    Raises:
        FileError: a frame has no intrinsics.
    """
    begin = time.perf_counter()
    matcher = TwoViewMatcher()
    world = np.eye(4)
    indices: list[int] = []
    poses: list[FloatArray] = []
    last: _Keyframe | None = None
    before: tuple[_Keyframe, FloatArray] | None = None
    for frame in frames:
        image, camera = _grey_and_camera(frame)
        if last is not None:
            if image.shape != last.image.shape:
                continue
            flow = matcher.flow(last.image, image)
            still = np.median(np.linalg.norm(flow, axis=2)) < _KEYFRAME_MOTION_PX
            if still and frame.index - last.index < _KEYFRAME_GAP:
                continue
        current = _Keyframe(image, camera, matcher.keypoints(image), frame.index)
        if last is not None:
            step = _scaled_step(matcher, last, current, flow, before)
            world, before = world @ step, (last, inverse_pose(step))
        indices.append(frame.index)
        poses.append(world)
        last = current
    seconds = time.perf_counter() - begin
    return PeerTrajectory(indices, np.array(poses).reshape(-1, 4, 4), seconds, "keyframes, image files read included")


def _grey_and_camera(frame: Frame) -> tuple[GreyImage, PinholeCamera]:
    if frame.camera is None:
        raise FileError(f"{frame.name} has no intrinsics; two-view geometry needs them")
    if not isinstance(frame.camera, PinholeCamera):
        raise FileError(f"{frame.name} is of a fisheye, which this peer does not know; undistort the images first")
    return np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), np.uint8), frame.camera


def _scaled_step(
    matcher: TwoViewMatcher,
    last: _Keyframe,
    current: _Keyframe,
    flow: FloatArray,
    before: tuple[_Keyframe, FloatArray] | None,
) -> FloatArray:
    """Pose of the current keyframe in the last one; `before` is the one before that and its pose in the last."""
    ahead = matcher.match_flow(last.image, current.image, flow)
    step = two_view(ahead + matcher.match_keypoints(last.keypoints, current.keypoints), last.camera, current.camera)
    if before is None:
        return step
    earlier, earlier_to_last = before
    behind = matcher.match_flow(last.image, earlier.image)
    i, j = _common(ahead.first, behind.first)
    if len(i) <= _MIN_COMMON:
        return step
    depth_ahead = _depths(ahead.first[i], ahead.second[i], step, last.camera, current.camera)
    depth_behind = _depths(behind.first[j], behind.second[j], earlier_to_last, last.camera, earlier.camera)
    good = (depth_ahead > 0) & (depth_behind > 0)
    if good.sum() > _MIN_COMMON:
        step[:3, 3] *= np.clip(np.median(depth_behind[good] / depth_ahead[good]), *_SCALE_STEP)
    return step


def _common(a: FloatArray, b: FloatArray) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Positions of equal rows in two lists (A, 2), (B, 2) of grid points."""
    place = {tuple(point): index for index, point in enumerate(b.tolist())}
    both = [(i, place[tuple(point)]) for i, point in enumerate(a.tolist()) if tuple(point) in place]
    found = np.array(both, int).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _depths(
    first: FloatArray,
    second: FloatArray,
    second_to_first: FloatArray,
    first_camera: PinholeCamera,
    second_camera: PinholeCamera,
) -> FloatArray:
    """Distances (M,) along the rays of the first camera at which they pass the rays of the second, by cross products.

    Only ratios of these count, so the length of a ray is left out.
    """
    a = unit_bearings(first_camera.normalise(first))
    b = unit_bearings(second_camera.normalise(second)) @ second_to_first[:3, :3].T
    normal = np.cross(a, b)
    crossed = np.cross(np.broadcast_to(second_to_first[:3, 3], b.shape), b)
    return np.asarray((crossed * normal).sum(axis=1) / ((normal * normal).sum(axis=1) + 1e-12))

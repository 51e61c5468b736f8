"""Clips of random worlds seen by a moving camera, with exact truth: poses, depth, flow and raxels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, interpolate_pose, relative_pose
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.motion import KINDS, Motion, sample_motion
from ros2_raxels.scenes.procedural import ProceduralWorld, exposed, random_world
from ros2_raxels.scenes.random_textures import TexturePool
from ros2_raxels.scenes.renderer import depth_map, render
from ros2_raxels.scenes.trajectories import look_at

NEAR = 0.1
"""Nothing comes closer to a camera than this share of the median depth seen by the first one."""

_FOV_LIMITS_DEG, _FOV_MEDIAN_DEG, _FOV_SPREAD = (25.0, 95.0), 58.0, 0.27
_PROBE_COLUMNS = 32
_WORLDS, _MOTIONS, _VIEWPOINTS = 50, 6, 6
_LEAST_OVERLAP = 0.3
_LEAST_MEDIAN, _MOST_MEDIAN = 0.15, 8.0
_ORBIT_CENTRE = (0.7, 1.4)
_ORBIT = KINDS.index("orbit")
_OCCLUDED_BY = 0.02
_BRIGHTNESS = (90.0, 180.0)
_HIGHLIGHT = 250.0
_DIM = 0.3


@dataclass(frozen=True, eq=False)
class RenderedClip:
    """A clip and its truth. The unit of length is the median depth of frame 0; frames are optical (OpenCV axes).

    Attributes:
        images: (N, H, W, 3) RGB uint8.
        camera: of all frames.
        camera_to_first: (N, 4, 4) float64.
        depth: (N, H, W) float32 z-depth of the first surface on the ray through each pixel's centre.
        world_kind: key of `procedural.WORLD_KINDS`.
        motion_kind: one of `motion.KINDS`.
    """

    images: ImageArray
    camera: PinholeCamera
    camera_to_first: FloatArray
    depth: FloatArray
    world_kind: str
    motion_kind: str

    def flow(self, source: int, target: int) -> FloatArray:
        """(H, W, 2) displacement of each pixel from one frame to another, px; NaN where it is not seen there."""
        moved = relative_pose(self.camera_to_first[target], self.camera_to_first[source])
        return exact_flow(self.camera, self.depth[source], self.depth[target], moved)

    def raxels(self, rows: int | None = None, columns: int | None = None) -> FloatArray:
        """(N, rows, columns, 3) of all frames in the frame of the first; by default one for each pixel."""
        bearings = self.camera.bearings(rows, columns)
        return np.stack([encode_raxels(bearings, pose) for pose in self.camera_to_first])


def exact_flow(
    camera: PinholeCamera, depth: FloatArray, other_depth: FloatArray, camera_to_other: FloatArray
) -> FloatArray:
    """Flow between two views of one camera model from their depths.

    Args:
        camera: of both views.
        depth, other_depth: (H, W) z-depth of the view flowed from and the one flowed to, in the unit of the pose.
        camera_to_other: 4x4.

    Returns:
        (H, W, 2) float32, px; NaN where the point is outside of the other view or hidden there.
    """
    shape = depth.shape
    bearings = camera.bearings()
    points = (bearings / bearings[..., 2:] * depth[..., None]).reshape(-1, 3)
    there = points @ camera_to_other[:3, :3].T + camera_to_other[:3, 3]
    place = camera.project(there).reshape(*shape, 2).astype(np.float32)
    hidden = ~_is_seen(place, there[:, 2].reshape(shape), other_depth)
    here = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), axis=-1)
    flow = np.asarray(place - here, np.float32)
    flow[hidden] = np.nan
    return flow


def _is_seen(place: FloatArray, expected: FloatArray, depth: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether points at these pixels and depths are no deeper than the surfaces there."""
    height, width = depth.shape
    with np.errstate(invalid="ignore"):
        inside = ((place > -0.5) & (place < (width - 0.5, height - 0.5))).all(axis=-1)
        # Between pixels the depth of a slanted surface lies between those of its neighbours.
        deepest = cv2.dilate(depth, np.ones((3, 3), np.uint8))
        x, y = (np.where(inside, place[..., k], 0.0).astype(np.float32) for k in (0, 1))
        around = cv2.remap(deepest, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(inside & (expected <= around * (1 + _OCCLUDED_BY)))


def random_camera(generator: np.random.Generator, width: int, height: int) -> PinholeCamera:
    """A camera of 25 to 95 degrees horizontally, mostly 45 to 75, with its principal point near the middle."""
    fov_deg = 0.0
    while not _FOV_LIMITS_DEG[0] <= fov_deg <= _FOV_LIMITS_DEG[1]:
        fov_deg = float(np.exp(generator.normal(np.log(_FOV_MEDIAN_DEG), _FOV_SPREAD)))
    focal = width / 2 / np.tan(np.radians(fov_deg) / 2)
    cx, cy = (np.array([width, height]) - 1) / 2 + generator.normal(0, 0.01, 2) * width
    return PinholeCamera(width, height, focal, focal * generator.normal(1, 0.005), cx, cy)


def render_clip(
    generator: np.random.Generator, frames: int, width: int, height: int, pool: TexturePool | None = None
) -> RenderedClip:
    """A clip of a random world, seen by a random camera with realistic motion.

    With several BLAS threads (see `ros_environment.ONE_BLAS_THREAD`) it takes up to three times as long.

    Args:
        generator: source of everything but the tiles.
        frames: two or more.
        width, height: px.
        pool: tiles, see `random_world`.

    Raises:
        ValueError: fewer than two frames.
        RuntimeError: no world had room for the camera; practically impossible.
    """
    camera = random_camera(generator, width, height)
    for _ in range(_WORLDS):
        world = random_world(generator, pool)
        motion = sample_motion(generator, _MOTIONS, frames)
        for first, index in _promising(generator, world, camera, motion):
            clip = _try_to_render(generator, world, camera, first, motion, index)
            if clip is not None:
                return clip
    raise RuntimeError(f"none of {_WORLDS} worlds has room for a camera that moves over {frames} frames")


def probe_of(camera: PinholeCamera) -> PinholeCamera:
    """The same camera with few pixels, to test whether a viewpoint is worth rendering in full."""
    return camera.resized(_PROBE_COLUMNS, max(8, round(_PROBE_COLUMNS * camera.height / camera.width)))


def _promising(
    generator: np.random.Generator, world: ProceduralWorld, camera: PinholeCamera, motion: Motion
) -> Iterator[tuple[FloatArray, int]]:
    """First poses (camera to world) and the index of a motion that fits them, as far as a few pixels show."""
    probe = probe_of(camera)
    for index in range(len(motion.kind)):
        for _ in range(_VIEWPOINTS):
            first = _viewpoint(generator, world)
            depth = depth_map(world, probe, first)
            unit_m = float(np.median(depth))
            if not np.isfinite(unit_m) or depth.min() < NEAR * unit_m:
                continue
            if motion.kind[index] == _ORBIT and not _centre_is_near(depth / unit_m):
                continue
            poses = _in_world(first, motion.camera_to_first[index], unit_m)
            if _is_clear(world, poses, unit_m) and _sees_enough(world, probe, poses, unit_m):
                yield first, index


def _viewpoint(generator: np.random.Generator, world: ProceduralWorld) -> FloatArray:
    """camera_to_world of a random viewpoint that looks at a target, upright to within some degrees."""
    eye = generator.uniform(world.eye_low_m, world.eye_high_m)
    target = world.targets_m[generator.integers(len(world.targets_m))]
    aside = generator.normal(0, 0.1, 3) * np.linalg.norm(target - eye)
    return look_at(eye, target + aside, float(generator.normal(0, 0.08)))


def _centre_is_near(depth: FloatArray) -> bool:
    rows, columns = depth.shape
    centre = np.median(depth[rows * 3 // 8 : rows * 5 // 8, columns * 3 // 8 : columns * 5 // 8])
    return bool(_ORBIT_CENTRE[0] < centre < _ORBIT_CENTRE[1])


def _in_world(first: FloatArray, camera_to_first: FloatArray, unit_m: float) -> FloatArray:
    """camera_to_world (N, 4, 4), m."""
    scaled = camera_to_first.copy()
    scaled[:, :3, 3] *= unit_m
    return np.asarray(first @ scaled)


def _is_clear(world: ProceduralWorld, poses: FloatArray, unit_m: float) -> bool:
    """Whether the camera keeps clear of all surfaces on its path."""
    between = [interpolate_pose(a, b, share) for a, b in itertools.pairwise(poses) for share in (0.25, 0.5, 0.75)]
    return bool(world.clearance_m(np.array([*poses, *between])[:, :3, 3]).min() > NEAR * unit_m)


def _sees_enough(world: ProceduralWorld, probe: PinholeCamera, poses: FloatArray, unit_m: float) -> bool:
    """Whether no frame is filled by a wall, and each overlaps with the one before."""
    depths = [depth_map(world, probe, pose) for pose in poses]
    if not all(_LEAST_MEDIAN * unit_m < np.median(depth) < _MOST_MEDIAN * unit_m for depth in depths):
        return False
    for k in range(1, len(poses)):
        flow = exact_flow(probe, depths[k - 1], depths[k], relative_pose(poses[k], poses[k - 1]))
        if np.isfinite(flow[..., 0]).mean() < _LEAST_OVERLAP:
            return False
    return True


def _try_to_render(
    generator: np.random.Generator,
    world: ProceduralWorld,
    camera: PinholeCamera,
    first: FloatArray,
    motion: Motion,
    index: int,
) -> RenderedClip | None:
    """The clip at full size, or None where the probe missed a near surface."""
    unit_m = float(np.median(depth_map(world, camera, first)))
    poses = _in_world(first, motion.camera_to_first[index], unit_m)
    if not _is_clear(world, poses, unit_m):
        return None
    lit = well_lit(generator, world, camera, first)
    images, depths = zip(*(render(lit, camera, pose) for pose in poses), strict=True)
    depth = (np.array(depths) / unit_m).astype(np.float32)
    if depth.min() < NEAR / 2:
        return None
    return RenderedClip(
        np.array(images), camera, motion.camera_to_first[index], depth, world.kind, KINDS[motion.kind[index]]
    )


def well_lit(
    generator: np.random.Generator, world: ProceduralWorld, camera: PinholeCamera, first: FloatArray
) -> ProceduralWorld:
    """Expose the world as a camera would: the first image neither black nor, except for highlights, white."""
    # Measured in dim light, where nothing is clipped.
    dim = exposed(world, _DIM)
    seen = render(dim, probe_of(camera), first)[0].max(axis=2)
    wanted = float(generator.uniform(*_BRIGHTNESS)) / max(2.0, float(seen.mean()))
    return exposed(dim, min(wanted, _HIGHLIGHT / max(2.0, float(np.percentile(seen, 97)))))


def augment(generator: np.random.Generator, images: ImageArray) -> ImageArray:
    """Apply what a real camera does to images (N, H, W, 3): exposure, colour, vignette, blur, noise and JPEG.

    Colour, vignette, sharpness and noise level are those of the clip; exposure varies from frame to frame.
    """
    shape = images.shape
    pixels = images.astype(np.float32) / 255.0
    pixels **= np.float32(np.exp(generator.normal(0, 0.15)))
    exposure = np.exp(generator.normal(0, generator.choice([0.0, 0.02, 0.08]), (shape[0], 1, 1, 1)))
    pixels *= (exposure * np.exp(generator.normal(0, 0.06, 3))).astype(np.float32)
    pixels *= _vignette(shape[1], shape[2], generator.uniform(0, 0.35))[..., None]
    sigma = generator.uniform(0, 0.8) * shape[2] / 320
    if sigma > 0.15:
        pixels = np.array([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in pixels])
    shot, read = 10 ** generator.uniform(-3.0, -1.6, 2)
    deviation = np.sqrt(shot**2 * np.maximum(pixels, 0) + (read / 2) ** 2)
    pixels += deviation * generator.standard_normal(shape, np.float32)
    clean = (255 * pixels + 0.5).clip(0, 255).astype(np.uint8)
    return _compressed(clean, int(generator.integers(60, 100))) if generator.random() < 0.5 else clean


def _vignette(height: int, width: int, strength: float) -> FloatArray:
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(1 - strength * (x * x + y * y) / 2, np.float32)


def _compressed(images: ImageArray, quality: int) -> ImageArray:
    frames = []
    for image in images:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        frames.append(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return np.array(frames, np.uint8)

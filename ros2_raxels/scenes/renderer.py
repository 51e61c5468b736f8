"""Ray caster: colours and exact depth of a world through any lens. NumPy, one thread.

Textures are averaged over the footprint of each pixel; only pixels at outlines are traced again with several rays.
Shading does not depend on the position of the camera, so that brightness is constant from frame to frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.world import FaceTable, World, face_table

_NEAR_M = 1e-3
_CONTACT_REACH_M = 0.35
_NOTHING = -1
_SKY = np.array([28.0, 31.0, 38.0], np.float32)
_SUB_RAYS = np.array([(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)])
_WHOLE = (slice(None), slice(None))
_ACROSS = np.array([(1, 2), (2, 0), (0, 1)])

Region = tuple[slice, slice] | tuple[slice, npt.NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class _Rays:
    """Rays from one point; (3, H, W) directions of depth 1 in the camera, turned into the world; float32."""

    origin_m: FloatArray
    planar: FloatArray

    @staticmethod
    def of(pose: FloatArray, directions: FloatArray) -> _Rays:
        """From a pose and directions (3, H, W) in its frame."""
        turned = pose[:3, :3].astype(np.float32) @ directions.reshape(3, -1)
        return _Rays(pose[:3, 3].astype(np.float32), turned.reshape(directions.shape))

    def along(self, axes: FloatArray, region: Region = (slice(None), slice(None))) -> FloatArray:
        """Components (..., h, w) along axes (..., 3) of the rays in a region."""
        part = self.planar[(slice(None), *region)]
        return np.asarray((axes.astype(np.float32) @ part.reshape(3, -1)).reshape(*axes.shape[:-1], *part.shape[1:]))


@dataclass(eq=False)
class _Hits:
    """Nearest hit of each ray so far: (H, W) depth as the camera counts it, m, and number of the surface."""

    depth_m: FloatArray
    surface: npt.NDArray[np.intp]

    def keep_nearer(self, region: Region, depth_m: FloatArray, hit: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Keep hits that are nearer; returns where they are."""
        known = self.depth_m[region]
        nearer: npt.NDArray[np.bool_] = hit & (depth_m < known)
        np.copyto(known, depth_m, where=nearer)
        self.depth_m[region] = known
        return nearer

    def name(self, region: Region, nearer: npt.NDArray[np.bool_], surface: npt.NDArray[np.intp] | int) -> None:
        """Store the number of the surface (one, or one for each place) where a nearer hit was kept."""
        known = self.surface[region]
        known[nearer] = surface
        self.surface[region] = known


def render(world: World, camera: Camera, camera_to_world: npt.ArrayLike) -> tuple[ImageArray, FloatArray]:
    """Image and depth of a world.

    Args:
        world: the scene.
        camera: any lens; black where it sees nothing.
        camera_to_world: 4x4 pose of the optical frame (x right, y down, z forward) in the world, m.

    Returns:
        RGB (H, W, 3) uint8, and the depth (H, W) float32, m, as `Camera.depth` counts it, of the first surface on the
        ray through each pixel's centre (infinite where there is none).
    """
    pose = np.asarray(camera_to_world, float)
    faces = face_table(world)
    rays, framing = _Rays.of(pose, _directions(camera)), _Framing(camera, pose)
    hits = _trace(world, rays, framing)
    colour = _shade(world, faces, rays, hits, camera, framing)
    rough = _outline(hits.surface)
    if rough.any():
        colour[rough] = _smooth(world, faces, camera, pose, np.argwhere(rough))
    if not camera.sees_whole_image:
        blind = ~camera.valid_mask()
        colour[blind], hits.depth_m[blind] = 0.0, np.inf
    return (colour + 0.5).clip(0, 255).astype(np.uint8), hits.depth_m


def depth_map(world: World, camera: Camera, camera_to_world: npt.ArrayLike) -> FloatArray:
    """The depth of `render` alone, in a fraction of the time."""
    pose = np.asarray(camera_to_world, float)
    return _trace(world, _Rays.of(pose, _directions(camera)), _Framing(camera, pose)).depth_m


@lru_cache(maxsize=8)
def _directions(camera: Camera) -> FloatArray:
    """(3, H, W) float32 of depth 1 in the camera; straight ahead where it sees nothing."""
    bearings = np.moveaxis(camera.bearings(), 2, 0)
    bearings = np.where(np.isfinite(bearings), bearings, np.array([0.0, 0.0, 1.0])[:, None, None])
    return np.ascontiguousarray(bearings / camera.depth(np.moveaxis(bearings, 0, 2)), np.float32)


class _Framing:
    """Bounds things in the image, so that only the rays there are tried.

    Args:
        camera: intrinsics.
        camera_to_world: its pose.
        pixels: (N, 2: row, column) to which the rays (K, N) belong; None means all, (H, W).
    """

    def __init__(self, camera: Camera, camera_to_world: FloatArray, pixels: npt.NDArray[np.intp] | None = None) -> None:
        self._camera, self._pixels, self._world_to_camera = camera, pixels, inverse_pose(camera_to_world)

    def in_reach(self, corners_m: FloatArray) -> Iterator[tuple[int, Region]]:
        """As `visible`, for things that extend a little beyond their hulls: chosen pixels, being few, are all tried."""
        for index, rows, columns in self._rectangles(corners_m):
            yield index, (rows, columns) if self._pixels is None else _WHOLE

    def visible(self, corners_m: FloatArray) -> Iterator[tuple[int, Region]]:
        """Of convex hulls (B, K, 3) in the world, the index of each in sight and the region that covers it."""
        for index, rows, columns in self._rectangles(corners_m):
            region = self._within(rows, columns)
            if region is not None:
                yield index, region

    def _rectangles(self, corners_m: FloatArray) -> Iterator[tuple[int, slice, slice]]:
        points = corners_m @ self._world_to_camera[:3, :3].T + self._world_to_camera[:3, 3]
        size = np.array([self._camera.width, self._camera.height])
        pixels = self._camera.project(points.reshape(-1, 3)).reshape(*points.shape[:2], 2)
        depth = points[..., 2]
        unclear = (depth < 0.05).any(axis=1) | self._camera.is_distorted
        low, high = np.floor(pixels.min(axis=1)), np.ceil(pixels.max(axis=1)) + 1
        low[unclear], high[unclear] = 0, size
        low, high = low.clip(0, size).astype(int), high.clip(0, size).astype(int)
        in_sight = (low < high).all(axis=1) & ((depth >= _NEAR_M).any(axis=1) | (not self._camera.is_flat))
        for index in np.flatnonzero(in_sight):
            (left, top), (right, bottom) = low[index], high[index]
            yield int(index), slice(top, bottom), slice(left, right)

    def _within(self, rows: slice, columns: slice) -> Region | None:
        if self._pixels is None:
            return rows, columns
        row, column = self._pixels.T
        within = (row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop)
        chosen = np.flatnonzero(within)
        return (slice(None), chosen) if len(chosen) else None


def _trace(world: World, rays: _Rays, framing: _Framing) -> _Hits:
    shape = rays.planar.shape[1:]
    hits = _Hits(np.full(shape, np.inf, np.float32), np.full(shape, _NOTHING, np.intp))
    with np.errstate(divide="ignore", invalid="ignore"):
        _meet_planes(world, rays, hits)
        first = len(world.planes.normal)
        for index, region in framing.visible(world.boxes.corners_m):
            _meet_box(world, rays, hits, index, first + 6 * index, region)
        first += 6 * len(world.boxes.centre_m)
        for index, region in framing.visible(world.spheres.corners_m):
            _meet_sphere(world, rays, hits, index, first + index, region)
    return hits


def _meet_planes(world: World, rays: _Rays, hits: _Hits) -> None:
    for index, (normal, offset) in enumerate(zip(world.planes.normal, world.planes.offset_m, strict=True)):
        height = np.float32(normal @ rays.origin_m - offset)
        if height <= 0:
            continue
        approach = rays.along(normal)
        hits.name(_WHOLE, hits.keep_nearer(_WHOLE, -height / approach, approach < 0), index)


def _meet_box(world: World, rays: _Rays, hits: _Hits, index: int, first: int, region: Region) -> None:
    boxes = world.boxes
    axes = boxes.box_to_world[index].astype(np.float32)
    origin = ((rays.origin_m - boxes.centre_m[index].astype(np.float32)) @ axes)[:, None, None]
    inverse = 1.0 / rays.along(axes.T, region)
    # A ray in the positive direction of an axis enters through the low face.
    half = np.copysign(boxes.half_size_m[index].astype(np.float32)[:, None, None], inverse)
    near, far = (-half - origin) * inverse, (half - origin) * inverse
    enter = np.maximum(np.maximum(near[0], near[1]), near[2])
    leave = np.minimum(np.minimum(far[0], far[1]), far[2])
    nearer = hits.keep_nearer(region, enter, (enter < leave) & (enter > _NEAR_M))
    if nearer.any():
        axis = near[:, nearer].argmax(axis=0)
        upward = np.take_along_axis(inverse[:, nearer], axis[None], axis=0)[0] > 0
        hits.name(region, nearer, first + 2 * axis + ~upward)


def _meet_sphere(world: World, rays: _Rays, hits: _Hits, index: int, surface: int, region: Region) -> None:
    # Hanner's form: from the point of closest approach, where float32 does not cancel.
    centre, radius = world.spheres.centre_m[index].astype(np.float32), np.float32(world.spheres.radius_m[index])
    apart = rays.origin_m - centre
    direction = rays.planar[(slice(None), *region)]
    squared = (direction * direction).sum(axis=0)
    closest = -rays.along(apart, region) / squared
    offset = closest * direction + apart[:, None, None]
    inside = radius * radius - (offset * offset).sum(axis=0)
    depth = closest - np.sqrt(inside / squared)
    hits.name(region, hits.keep_nearer(region, depth, (inside > 0) & (depth > _NEAR_M)), surface)


def _shade(world: World, faces: FaceTable, rays: _Rays, hits: _Hits, camera: Camera, framing: _Framing) -> FloatArray:
    """Colours (H, W, 3) float32."""
    shape = hits.surface.shape
    surface, direction = hits.surface.ravel(), np.ascontiguousarray(rays.planar.reshape(3, -1).T)
    seen = surface != _NOTHING
    depth = np.where(seen, hits.depth_m.ravel(), np.float32(1.0))
    points = direction * depth[:, None] + rays.origin_m
    normal, uv, texture = _surface_properties(world, faces, points, surface)
    cosine = -np.einsum("ni,ni->n", normal, direction) / np.sqrt(np.einsum("ni,ni->n", direction, direction))
    # Geometric mean of both sides of the footprint: the long side alone would blur slanted surfaces.
    footprint = depth / np.float32(np.sqrt(camera.fx * camera.fy)) / np.sqrt(np.maximum(cosine, 0.02))
    colour = world.atlas.sample(texture, uv, footprint)
    brightness = _brightness(world, points, normal)
    if world.light.contact_shade > 0:
        brightness *= _contact_shade(world, points.reshape(*shape, 3), normal.reshape(*shape, 3), framing).ravel()
    colour *= brightness[:, None]
    colour[~seen] = _SKY
    return colour.reshape(*shape, 3)


def _surface_properties(
    world: World, faces: FaceTable, points: FloatArray, surface: npt.NDArray[np.intp]
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.intp]]:
    """Normal (N, 3), texture coordinates (N, 2), m, and texture (N,) at points on surfaces."""
    flat = np.where(surface < faces.count, surface, faces.count)
    normal, texture = faces.normal[flat], faces.texture[flat]
    uv = np.empty((len(points), 2), np.float32)
    for column, axis in enumerate((faces.u, faces.v)):
        row = axis[flat]
        uv[:, column] = np.einsum("ni,ni->n", points, row[:, :3]) + row[:, 3]
    is_round = np.flatnonzero(surface >= faces.count)
    if len(is_round):
        which = surface[is_round] - faces.count
        normal[is_round], uv[is_round] = _on_sphere(world, points[is_round], which)
        texture[is_round] = world.spheres.texture[which]
    return normal, uv, texture


def _on_sphere(world: World, points: FloatArray, which: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Normals and texture coordinates; the texture is mapped as on the six sides of a cube, without poles."""
    radius = world.spheres.radius_m[which].astype(np.float32)
    normal = (points - world.spheres.centre_m[which].astype(np.float32)) / radius[:, None]
    axis = np.abs(normal).argmax(axis=1)
    rows = np.arange(len(normal))
    main = normal[rows, axis]
    first, second = _ACROSS[axis].T
    side = 2 * axis + (main > 0) + 7 * which
    uv = np.stack([np.arctan(normal[rows, k] / np.abs(main)) * radius + 0.61 * side for k in (first, second)], axis=1)
    return normal, uv


def _brightness(world: World, points: FloatArray, normal: FloatArray) -> FloatArray:
    light = world.light
    towards = np.array(light.position_m, np.float32) - points
    squared = np.einsum("ni,ni->n", towards, towards)
    cosine = np.einsum("ni,ni->n", towards, normal) / np.sqrt(squared)
    lit = light.diffuse * np.maximum(cosine, 0) / (1 + squared / np.float32(light.fade_m**2))
    if world.shadows is not None:
        lit *= world.shadows.lit(points, normal)
    return np.asarray((light.ambient + lit) * _corner_shade(world, points, normal))


def _corner_shade(world: World, points: FloatArray, normal: FloatArray) -> FloatArray:
    """Darker near planes, which block ambient light; a plane does not shade itself."""
    shade = np.ones(len(points), np.float32)
    for plane, offset in zip(world.planes.normal.astype(np.float32), world.planes.offset_m, strict=True):
        facing = 1.0 - np.abs(normal @ plane)
        height = np.maximum(points @ plane - np.float32(offset), 0)
        shade *= 1.0 - np.float32(world.light.corner_shade) * facing * np.exp(-height / np.float32(0.22))
    return shade


def _contact_shade(world: World, points: FloatArray, normal: FloatArray, framing: _Framing) -> FloatArray:
    """(H, W) darker beside and below things that stand on a surface facing up: without it they seem to float."""
    shade = np.ones(points.shape[:2], np.float32)
    boxes, spheres = world.boxes, world.spheres
    margin = np.array([_CONTACT_REACH_M, _CONTACT_REACH_M, 0.02])
    for index, region in framing.in_reach(_grown(boxes.corners_m, margin)):
        centre, half = (a[index].astype(np.float32) for a in (boxes.centre_m, boxes.half_size_m))
        local = np.abs((points[region] - centre) @ boxes.box_to_world[index].astype(np.float32)) - half
        beyond = np.hypot(np.maximum(local[..., 0], 0), np.maximum(local[..., 1], 0))
        _darken(shade, region, points, normal, beyond, centre[2], world.light.contact_shade)
    for index, region in framing.in_reach(_grown(spheres.corners_m, margin)):
        centre, radius = spheres.centre_m[index].astype(np.float32), np.float32(spheres.radius_m[index])
        away = points[region] - centre
        beyond = np.maximum(np.sqrt(np.einsum("...i,...i->...", away, away)) - radius, 0)
        _darken(shade, region, points, normal, beyond, centre[2], world.light.contact_shade)
    return shade


def _grown(corners_m: FloatArray, margin_m: FloatArray) -> FloatArray:
    outward = np.sign(corners_m - corners_m.mean(axis=1, keepdims=True))
    return np.asarray(corners_m + outward * margin_m)


def _darken(
    shade: FloatArray,
    region: Region,
    points: FloatArray,
    normal: FloatArray,
    beyond_m: FloatArray,
    height_m: float,
    strength: float,
) -> None:
    below = (points[region][..., 2] < height_m) & (normal[region][..., 2] > 0.9)
    shade[region] *= np.where(below, 1 - strength * np.exp(-beyond_m * (3 / _CONTACT_REACH_M)), 1)


def _outline(surface: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Pixels whose surface differs from that of a neighbour."""
    edge = np.zeros(surface.shape, bool)
    beside, below = surface[:, 1:] != surface[:, :-1], surface[1:] != surface[:-1]
    edge[:, 1:] |= beside
    edge[:, :-1] |= beside
    edge[1:] |= below
    edge[:-1] |= below
    return edge


def _smooth(
    world: World, faces: FaceTable, camera: Camera, pose: FloatArray, pixels: npt.NDArray[np.intp]
) -> FloatArray:
    """Colours (N, 3) of pixels (N, 2: row, column) averaged over several rays each."""
    spots = pixels[:, ::-1] + _SUB_RAYS[:, None]
    ahead = camera.rays(spots.reshape(-1, 2))
    ahead = np.where(np.isfinite(ahead), ahead, (0.0, 0.0, 1.0)).astype(np.float32)
    rays, framing = _Rays.of(pose, ahead.T.reshape(3, *spots.shape[:2])), _Framing(camera, pose, pixels)
    colour = _shade(world, faces, rays, _trace(world, rays, framing), camera, framing)
    return np.asarray(colour.mean(axis=0))

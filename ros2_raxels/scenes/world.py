"""A world of planes, boxes and spheres as arrays, so that rays are intersected with all of a kind at once.

World axes: z up, metres. Surfaces are numbered consecutively: planes, then six faces per box, then spheres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, rotation_from_vector
from ros2_raxels.scenes.textures import PATTERNS, TEXEL_M, TILE_PX, TextureAtlas

IndexArray = npt.NDArray[np.intp]

_SHADOW_BIAS_PX = 1.5

ROOM_HALF_M = (3.0, 2.5)
"""Half extent of the furnished room in x and y, m."""
ROOM_HEIGHT_M = 2.7

_FLOOR, _FAR_WALL, _SIDE_WALL, _BRICK_WALL = range(4)
_CARTONS, _MARBLES = range(4, 9), range(9, 12)
_SURFACES = (
    ("planks", 0),
    ("plaster", 0),
    ("plaster", 1),
    ("bricks", 0),
    *(("carton", variant) for variant in range(len(_CARTONS))),
    *(("marble", variant) for variant in range(len(_MARBLES))),
)


@dataclass(frozen=True, eq=False)
class Planes:
    """Infinite planes ``normal . x = offset_m``, visible from the side that the normal points to.

    Attributes:
        normal: (P, 3) unit.
        offset_m: (P,).
        tangent: (P, 3) unit, in the plane: the direction of the texture's rows, to the right as seen from the front.
        texture: (P,) index into the atlas.
    """

    normal: FloatArray
    offset_m: FloatArray
    tangent: FloatArray
    texture: IndexArray


@dataclass(frozen=True, eq=False)
class Boxes:
    """Oriented boxes; their faces are numbered 2 * axis + (normal is positive).

    Attributes:
        centre_m: (B, 3).
        half_size_m: (B, 3).
        box_to_world: (B, 3, 3) rotations.
        texture: (B,) index into the atlas.
    """

    centre_m: FloatArray
    half_size_m: FloatArray
    box_to_world: FloatArray
    texture: IndexArray

    @property
    def corners_m(self) -> FloatArray:
        """(B, 8, 3) in the world."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
        local = signs * self.half_size_m[:, None]
        return np.asarray(local @ np.swapaxes(self.box_to_world, 1, 2) + self.centre_m[:, None])


@dataclass(frozen=True, eq=False)
class Spheres:
    """Spheres; one that is sunk into a plane is a bump.

    Attributes:
        centre_m: (S, 3).
        radius_m: (S,).
        texture: (S,) index into the atlas.
    """

    centre_m: FloatArray
    radius_m: FloatArray
    texture: IndexArray

    @property
    def corners_m(self) -> FloatArray:
        """(S, 8, 3) corners of the enclosing cubes in the world."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
        return np.asarray(self.centre_m[:, None] + signs * self.radius_m[:, None, None])


@dataclass(frozen=True)
class Light:
    """A lamp and ambient light.

    Attributes:
        position_m: in the world.
        ambient: brightness of every surface.
        diffuse: additional brightness of a surface directly below the lamp and close to it.
        fade_m: distance at which the share of the lamp has halved.
        corner_shade: darkening where surfaces meet, 0 to 1.
        contact_shade: darkening beside and below things that stand on something, 0 to 1.
    """

    position_m: tuple[float, float, float]
    ambient: float = 0.42
    diffuse: float = 0.85
    fade_m: float = 3.0
    corner_shade: float = 0.4
    contact_shade: float = 0.55


@dataclass(frozen=True, eq=False)
class ShadowMap:
    """Depth seen from the lamp: a surface that the lamp does not see lies in shadow.

    Attributes:
        camera: at the lamp.
        world_to_lamp: 4x4, m.
        depth_m: (H, W) z-depth seen from there.
    """

    camera: PinholeCamera
    world_to_lamp: FloatArray
    depth_m: FloatArray

    def lit(self, points_m: FloatArray, normal: FloatArray) -> FloatArray:
        """Share (N,) of light that reaches points (N, 3) on surfaces of these normals (N, 3); 1 beyond the map."""
        camera, pose = self.camera, self.world_to_lamp.astype(np.float32)
        there = points_m @ pose[:3, :3].T + pose[:3, 3]
        # A surface must not shade itself where it is slanted within a cell of the map.
        there += normal @ pose[:3, :3].T * (_SHADOW_BIAS_PX / np.float32(camera.fx) * np.abs(there[:, 2:]))
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = (there[:, k] / there[:, 2] * camera.fx + c for k, c in enumerate((camera.cx, camera.cy)))
        inside = (there[:, 2] > 0) & (x >= 0) & (y >= 0) & (x < camera.width - 1) & (y < camera.height - 1)
        x, y = (np.where(inside, a, 0) for a in (x, y))
        left, top = x.astype(np.intp), y.astype(np.intp)
        right_share, low_share = x - left, y - top
        light = np.zeros(len(points_m), np.float32)
        for across, x_share in ((0, 1 - right_share), (1, right_share)):
            for down, y_share in ((0, 1 - low_share), (1, low_share)):
                light += x_share * y_share * (there[:, 2] <= self.depth_m[top + down, left + across])
        return np.where(inside, light, np.float32(1.0))


@dataclass(frozen=True, eq=False)
class World:
    """A scene to render; see the module."""

    planes: Planes
    boxes: Boxes
    spheres: Spheres
    light: Light
    atlas: TextureAtlas
    shadows: ShadowMap | None = None

    def clearance_m(self, points_m: npt.ArrayLike) -> FloatArray:
        """Distance (N,) of points (N, 3) to the nearest surface, m; negative inside of things or behind a plane."""
        points = np.asarray(points_m, float)
        to_planes = points @ self.planes.normal.T - self.planes.offset_m
        local = np.einsum("nbi,bij->nbj", points[:, None] - self.boxes.centre_m, self.boxes.box_to_world)
        beyond = np.abs(local) - self.boxes.half_size_m
        to_boxes = np.linalg.norm(np.maximum(beyond, 0), axis=2) + np.minimum(beyond.max(axis=2), 0)
        to_spheres = np.linalg.norm(points[:, None] - self.spheres.centre_m, axis=2) - self.spheres.radius_m
        return np.asarray(np.concatenate([to_planes, to_boxes, to_spheres], axis=1).min(axis=1))


@dataclass(frozen=True, eq=False)
class FaceTable:
    """All flat faces of a world (planes, then boxes' sides) in the order of their surface numbers.

    A last row of zeros stands for everything that is not flat, so that any surface number can be looked up.

    Attributes:
        normal: (F + 1, 3) unit, outward.
        u, v: (F + 1, 4): first three are the texture axis, the last its constant, so that ``u . (x, 1)`` is in m.
        texture: (F + 1,).
    """

    normal: FloatArray
    u: FloatArray
    v: FloatArray
    texture: IndexArray

    @property
    def count(self) -> int:
        """Number of flat faces, and so the surface number of the first sphere."""
        return len(self.texture) - 1


def face_table(world: World) -> FaceTable:
    """Normals and texture coordinates of every flat face; each face shows another part of its texture."""
    planes, boxes = world.planes, world.boxes
    # Columns: of a box's axes, those of its faces in order.
    sides = np.kron(np.eye(3), [-1.0, 1.0])
    upright = np.array([[0, -1, 0], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [1, 0, 0], [1, 0, 0]], float).T
    box_normal, box_u = (np.swapaxes(boxes.box_to_world @ m, 1, 2).reshape(-1, 3) for m in (sides, upright))
    normal, u = np.concatenate([planes.normal, box_normal]), np.concatenate([planes.tangent, box_u])
    v = np.cross(u, normal)
    anchor = np.concatenate([np.zeros((len(planes.normal), 3)), np.repeat(boxes.centre_m, 6, axis=0)])
    shift = _texture_shift_m(len(normal))
    us, vs = (
        np.column_stack([axis, shift[:, k] - (axis * anchor).sum(axis=1)]).astype(np.float32)
        for k, axis in enumerate((u, v))
    )
    texture = np.concatenate([planes.texture, np.repeat(boxes.texture, 6)])
    return FaceTable(*(_with_zeros(a) for a in (normal.astype(np.float32), us, vs, texture)))


def _with_zeros(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([rows, np.zeros_like(rows, shape=(1, *rows.shape[1:]))])


def _texture_shift_m(count: int) -> FloatArray:
    """(count, 2) offsets that spread evenly over a tile (the plastic number's low-discrepancy sequence)."""
    steps = np.array([0.7548776662466927, 0.5698402909980532])
    return np.asarray((np.arange(1, count + 1)[:, None] * steps % 1.0) * TILE_PX * TEXEL_M)


@lru_cache(maxsize=2)
def furnished_room(seed: int = 0) -> World:
    """A room of 6 x 5 x 2.7 m with boxes, stacks, balls and bumps; the space at ``x < 0`` is free for a camera.

    The last two rooms are kept, because it takes seconds to draw their textures; they are not to be written to.
    """
    generator = np.random.default_rng(seed)
    shade = int(generator.integers(12))
    atlas = TextureAtlas.build([PATTERNS[kind](generator, shade + variant) for kind, variant in _SURFACES])
    boxes, tops = _place_boxes(generator)
    light = Light((float(generator.uniform(-1.0, 0.5)), float(generator.uniform(-1.2, 1.2)), ROOM_HEIGHT_M - 0.3))
    return World(_room(), boxes, _place_spheres(generator, tops), light, atlas)


def _room() -> Planes:
    half_x, half_y = ROOM_HALF_M
    normal = np.array([[0, 0, 1], [0, 0, -1], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]], float)
    tangent = np.array([[1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 1, 0], [1, 0, 0], [-1, 0, 0]], float)
    offset = -np.array([0.0, ROOM_HEIGHT_M, half_x, half_x, half_y, half_y])
    texture = [_FLOOR, _SIDE_WALL, _FAR_WALL, _BRICK_WALL, _BRICK_WALL, _SIDE_WALL]
    return Planes(normal, offset, tangent, np.array(texture))


def _place_boxes(generator: np.random.Generator) -> tuple[Boxes, FloatArray]:
    """Boxes on a loose grid in the far half, some with a smaller one on top; and the free centres on top of them."""
    centres, halves, yaws, tops = [], [], [], []
    for x, y in ((0.5, -1.9), (0.6, 1.8), (1.2, -0.6), (1.3, 0.8), (2.2, -1.6), (2.3, 0.1), (2.2, 1.7)):
        at = np.array([x, y]) + generator.uniform(-0.15, 0.15, 2)
        half = generator.uniform((0.18, 0.18, 0.16), (0.36, 0.36, 0.48))
        centres.append([*at, half[2]])
        halves.append(half)
        yaws.append(generator.uniform(0, np.pi))
        top = 2 * half[2]
        if generator.random() < 0.6:
            small = half[:2].min() * generator.uniform(0.45, 0.7, 3)
            centres.append([*at, top + small[2]])
            halves.append(small)
            yaws.append(generator.uniform(0, np.pi))
            top += 2 * small[2]
        tops.append([*at, top])
    rotations = rotation_from_vector(np.column_stack([np.zeros((len(yaws), 2)), yaws]))
    texture = generator.choice(_CARTONS, len(yaws))
    return Boxes(np.array(centres), np.array(halves), rotations, texture), np.array(tops)


def _place_spheres(generator: np.random.Generator, tops: FloatArray) -> Spheres:
    """A ball on every second stack, balls on the floor, and bumps that rise a little out of floor and far wall."""
    spheres: list[tuple[float, float, float, float, int]] = []
    for top in tops[::2]:
        radius = generator.uniform(0.09, 0.17)
        spheres.append((top[0], top[1], top[2] + radius, radius, int(generator.choice(_MARBLES))))
    for x, y in ((0.7, 0.1), (1.7, -1.9), (1.8, 1.2)):
        radius = generator.uniform(0.15, 0.26)
        spheres.append((x, y, radius, radius, int(generator.choice(_MARBLES))))
    for x, y in ((0.1, -0.9), (0.2, 1.0), (1.0, -1.4), (1.7, 0.3)):
        radius, height = generator.uniform(0.5, 0.8), generator.uniform(0.05, 0.11)
        spheres.append((x, y, height - radius, radius, _FLOOR))
    for y, z in ((-1.3, 1.7), (0.6, 2.0), (1.6, 1.3)):
        radius, height = generator.uniform(0.4, 0.7), generator.uniform(0.08, 0.16)
        spheres.append((ROOM_HALF_M[0] + radius - height, y, z, radius, _FAR_WALL))
    table = np.array(spheres)
    return Spheres(table[:, :3], table[:, 3], table[:, 4].astype(np.intp))

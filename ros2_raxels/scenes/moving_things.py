"""Rendered clips in which something else moves as well: slabs, boxes and walkers before the camera, with exact masks.

A thing moves as it pleases in the picture, whatever the camera does, which is what two-view geometry cannot tell from
a near part of the world and another motion of the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, rotation_from_vector
from ros2_raxels.scenes.clips import RenderedClip
from ros2_raxels.scenes.random_textures import TexturePool, Wardrobe, texture_pool
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.world import Boxes, IndexArray, Light, Planes, Spheres, World

_NEAR, _FAR = 0.25, 0.5
"""Depths of things, in units of the clip: before nearly everything."""

_STEP_PX = (4.0, 14.0)
"""How far a thing moves in the picture from frame to frame, of a width of `_WIDTH_PX`."""

_WIDTH_PX = 320.0
_METRES = 3.0
"""Per unit of the clip, for textures."""

_EVEN = Light((0.0, 0.0, 0.0), ambient=1.0, diffuse=0.0, corner_shade=0.0, contact_shade=0.0)


@dataclass(frozen=True, eq=False)
class MovingClip:
    """A clip with a moving thing.

    Attributes:
        clip: with the thing in its images and depths.
        moving: (N, H, W) where it is.
        kind: one of `MOVING_KINDS`.
    """

    clip: RenderedClip
    moving: npt.NDArray[np.bool_]
    kind: str


@dataclass(frozen=True, eq=False)
class _Part:
    """A box of a thing: (N, 3) centres and (N, 3, 3) axes in the frame of the camera of each frame; half sizes (3,)."""

    centre: FloatArray
    turn: FloatArray
    half: FloatArray


def with_moving_thing(
    generator: np.random.Generator, clip: RenderedClip, kind: str, share: float, pool: TexturePool | None = None
) -> MovingClip:
    """The clip with one thing that moves on its own.

    Args:
        generator: source of everything but the tiles.
        clip: the static world.
        kind: one of `MOVING_KINDS`.
        share: of the picture that it covers, roughly, 0 to 1.
        pool: tiles, see `random_world`.

    Raises:
        KeyError: another kind.
    """
    wardrobe = Wardrobe(pool or texture_pool(0), generator)
    parts = MOVING_KINDS[kind](_Path.of(generator, clip), share)
    texture = np.array([wardrobe.anything(0.3 * _METRES) for _ in parts])
    atlas = wardrobe.atlas()
    images, depths = clip.images.copy(), clip.depth.copy()
    moving = np.zeros(depths.shape, bool)
    nothing: IndexArray = np.zeros(0, int)
    none = np.zeros((0, 3))
    for k in range(len(images)):
        boxes = Boxes(
            np.array([p.centre[k] for p in parts]) * _METRES,
            np.array([p.half for p in parts]) * _METRES,
            np.array([p.turn[k] for p in parts]),
            texture,
        )
        world = World(Planes(none, none[:, 0], none, nothing), boxes, Spheres(none, none[:, 0], nothing), _EVEN, atlas)
        image, depth = render(world, clip.camera, np.eye(4))
        moving[k] = np.isfinite(depth)
        images[k][moving[k]] = image[moving[k]]
        depths[k][moving[k]] = depth[moving[k]] / _METRES
    return MovingClip(replace(clip, images=images, depth=depths), moving, kind)


@dataclass(frozen=True, eq=False)
class _Path:
    """Of a thing through the pictures of a clip.

    Attributes:
        generator: for what else is drawn.
        centre: (N, 3) in the frame of each camera.
        size: (2,) of the picture at the depth of the thing.
    """

    generator: np.random.Generator
    centre: FloatArray
    size: FloatArray

    @staticmethod
    def of(generator: np.random.Generator, clip: RenderedClip) -> _Path:
        """A steady path across the picture, slightly uneven, slightly nearer or further with time."""
        camera, frames = clip.camera, len(clip.images)
        time = np.arange(frames) - (frames - 1) / 2
        depth = generator.uniform(_NEAR, _FAR) * generator.uniform(0.97, 1.03) ** time
        pace = generator.uniform(*_STEP_PX) * camera.width / _WIDTH_PX * generator.choice([-1, 1])
        step = np.array([pace, pace * generator.normal(0, 0.25)])
        middle = np.array([camera.width, camera.height]) * (generator.uniform(0.2, 0.8), generator.uniform(0.45, 0.6))
        pixels = middle + time[:, None] * step + generator.normal(0, 0.5, (frames, 2))
        plane = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
        size = np.array([camera.width / camera.fx, camera.height / camera.fy]) * depth.mean()
        return _Path(generator, np.column_stack([plane, np.ones(frames)]) * depth[:, None], size)

    def turns(self, most_deg: float) -> FloatArray:
        """(N, 3, 3) axes of a thing that turns steadily about the vertical."""
        begin, step = self.generator.uniform(-0.6, 0.6), np.radians(self.generator.uniform(-most_deg, most_deg))
        angle = begin + step * np.arange(len(self.centre))
        return rotation_from_vector(np.column_stack([0 * angle, angle, 0 * angle]))


def _slab(path: _Path, share: float) -> list[_Part]:
    """A wall from top to bottom of the picture that slides by; it does not turn."""
    half = np.array([share * path.size[0] / 2, 1.5 * path.size[1], 0.02])
    return [_Part(path.centre, np.tile(np.eye(3), (len(path.centre), 1, 1)), half)]


def _box(path: _Path, share: float) -> list[_Part]:
    """A crate that is carried past, turning a little."""
    height = path.generator.uniform(0.6, 1.0)
    half = np.array([share * path.size[0] / height, height * path.size[1], 0.0]) / 2
    half[2] = half[0] * path.generator.uniform(0.4, 1.0)
    turns = path.turns(5.0)
    # Its front face is where the path is.
    return [_Part(path.centre + np.array([0.0, 0.0, half[2]]), turns, half)]


def _walker(path: _Path, share: float) -> list[_Part]:
    """Torso, head and two legs that swing."""
    width, height = share * path.size[0] / 0.8, path.size[1]
    frames = len(path.centre)
    torso = np.array([0.5 * width, 0.28 * height, 0.3 * width])
    upright = path.turns(3.0)
    head = np.array([0.2 * width, 0.1 * height, 0.2 * width])
    parts = [
        _Part(path.centre + np.array([0.0, -0.1 * height, 0.0]), upright, torso),
        _Part(path.centre + np.array([0.0, -0.45 * height, 0.0]), upright, head),
    ]
    phase, rate = path.generator.uniform(0, 2 * np.pi), path.generator.uniform(0.4, 1.2)
    swing = np.sin(phase + rate * np.arange(frames)) * 0.35
    for side in (-1, 1):
        tilt = rotation_from_vector(np.column_stack([np.zeros((frames, 2)), side * swing]))
        half = np.array([0.2 * width, 0.25 * height, 0.2 * width])
        hip = path.centre + np.array([side * 0.25 * width, 0.15 * height, 0.0])
        parts.append(_Part(hip + tilt[:, :, 1] * half[1], tilt, half))
    return parts


MOVING_KINDS: dict[str, Callable[[_Path, float], list[_Part]]] = {"slab": _slab, "box": _box, "walker": _walker}
"""What moves, by name."""

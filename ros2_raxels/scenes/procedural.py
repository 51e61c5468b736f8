"""Random worlds: rooms, corridors, streets, table tops, rough ground and clutter, each different.

For camera motion it does not matter what things are, but how near, thin, repetitive, flat or textured they are. So the
variety lies in these properties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, rotation_from_vector
from ros2_raxels.scenes.random_textures import TexturePool, Wardrobe, texture_pool
from ros2_raxels.scenes.shadows import with_shadows
from ros2_raxels.scenes.world import Boxes, IndexArray, Light, Planes, Spheres, World

_UP = (0.0, 0.0, 1.0)
_SUN_M = 600.0
_SHADOW_REACH_M = 25.0
_CONTACT_SHADE = 0.25
_NO_FADE_M = 1e7
_FAR_M = (40.0, 160.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProceduralWorld(World):
    """A world, and where in it a camera may be.

    Attributes:
        kind: a key of `WORLD_KINDS`.
        eye_low_m, eye_high_m: (3,) corners of the space of viewpoints.
        targets_m: (T, 3) points to look at.
    """

    kind: str
    eye_low_m: FloatArray
    eye_high_m: FloatArray
    targets_m: FloatArray


def random_world(
    generator: np.random.Generator, pool: TexturePool | None = None, kind: str | None = None
) -> ProceduralWorld:
    """A random world.

    Args:
        generator: source of everything but the tiles.
        pool: tiles for its surfaces; None uses `texture_pool(0)`.
        kind: a key of `WORLD_KINDS`; None draws one.
    """
    kind = kind or str(generator.choice(list(WORLD_KINDS)))
    site = _Site(generator, Wardrobe(pool or texture_pool(0), generator))
    eye_low, eye_high = WORLD_KINDS[kind](site)
    return _shadowed(site, site.finished(kind, eye_low, eye_high))


class _Site:
    """A world under construction."""

    def __init__(self, generator: np.random.Generator, wardrobe: Wardrobe) -> None:
        self.generator, self.wardrobe = generator, wardrobe
        self.light = Light((0.0, 0.0, 0.0))
        self._planes: list[tuple[FloatArray, float, FloatArray, int]] = []
        self._boxes: list[tuple[FloatArray, FloatArray, FloatArray, int]] = []
        self._spheres: list[tuple[FloatArray, float, int]] = []
        self._targets: list[FloatArray] = []

    # ------------------------------------------------------------------------------------------------- primitives

    def plane(self, normal: npt.ArrayLike, offset_m: float, tangent: npt.ArrayLike, material: int) -> None:
        self._planes.append((np.asarray(normal, float), offset_m, np.asarray(tangent, float), material))

    def box(self, centre: npt.ArrayLike, half: npt.ArrayLike, material: int, turn: FloatArray | None = None) -> None:
        self._boxes.append(
            (np.asarray(centre, float), np.asarray(half, float), np.eye(3) if turn is None else turn, material)
        )

    def sphere(self, centre: npt.ArrayLike, radius: float, material: int) -> None:
        self._spheres.append((np.asarray(centre, float), radius, material))

    def target(self, point: npt.ArrayLike) -> None:
        """Something worth looking at."""
        self._targets.append(np.asarray(point, float))

    # ------------------------------------------------------------------------------------------------------ chance

    def between(self, low: float, high: float) -> float:
        return float(self.generator.uniform(low, high))

    def log_between(self, low: float, high: float) -> float:
        return float(np.exp(self.generator.uniform(np.log(low), np.log(high))))

    def count(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.generator.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.generator.random() < share)

    def yaw(self) -> FloatArray:
        """A rotation about the vertical; none in two of five cases."""
        return rotation_from_vector(np.multiply(_UP, 0.0 if self.chance(0.4) else self.between(0, np.pi)))

    def any_turn(self) -> FloatArray:
        return rotation_from_vector(self.generator.normal(0, 1.5, 3))

    # ------------------------------------------------------------------------------------------------------ result

    def finished(self, kind: str, eye_low: FloatArray, eye_high: FloatArray) -> ProceduralWorld:
        planes, boxes, spheres = (list(zip(*rows, strict=True)) for rows in (self._planes, self._boxes, self._spheres))
        normal, offset, tangent, plane_material = planes
        centre, half, turn, box_material = boxes or ((),) * 4
        middle, radius, ball_material = spheres or ((),) * 3
        return ProceduralWorld(
            Planes(np.array(normal), np.array(offset), np.array(tangent), _indices(plane_material)),
            Boxes(_rows(centre, 3), _rows(half, 3), _rows(turn, 3, 3), _indices(box_material)),
            Spheres(_rows(middle, 3), np.array(radius, float), _indices(ball_material)),
            self.light,
            self.wardrobe.atlas(),
            kind=kind,
            eye_low_m=eye_low,
            eye_high_m=eye_high,
            targets_m=np.array(self._targets),
        )


def _rows(values: Sequence[FloatArray], *shape: int) -> FloatArray:
    return np.array(values, float).reshape(-1, *shape)


def _indices(values: tuple[int, ...]) -> IndexArray:
    return np.array(values, np.intp)


# --------------------------------------------------------------------------------------------------------- things


def _above(at: FloatArray, height: float) -> FloatArray:
    return np.asarray(at + np.array([0.0, 0.0, height]))


def _crate(site: _Site, at: FloatArray, size: float) -> None:
    half = size * site.generator.uniform(0.15, 0.5, 3)
    site.box(_above(at, half[2]), half, site.wardrobe.anything(size), site.yaw())


def _stack(site: _Site, at: FloatArray, size: float) -> None:
    top = at.copy()
    for level in range(site.count(2, 4)):
        half = size * 0.75**level * site.generator.uniform(0.12, 0.3, 3)
        site.box(_above(top, half[2]), half, site.wardrobe.anything(size), site.yaw())
        top[2] += 2 * half[2]
    if site.chance(0.4):
        radius = size * site.between(0.06, 0.15)
        site.sphere(_above(top, radius), radius, site.wardrobe.anything(size))


def _ball(site: _Site, at: FloatArray, size: float) -> None:
    radius = size * site.between(0.15, 0.5)
    site.sphere(_above(at, radius), radius, site.wardrobe.anything(size))


def _table(site: _Site, at: FloatArray, size: float) -> None:
    """A plate on four legs, sometimes with a back like a chair's."""
    turn, leg = site.yaw(), size * site.log_between(0.015, 0.06)
    width, depth, height = size * site.generator.uniform(0.3, 0.6, 3)
    wood, top = site.wardrobe.anything(size), site.wardrobe.anything(size)
    site.box(_above(at, height), (width, depth, leg), top, turn)
    for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        foot = turn @ (x * (width - leg), y * (depth - leg), height / 2)
        site.box(at + foot, (leg, leg, height / 2), wood, turn)
    if site.chance(0.4):
        site.box(at + turn @ (0, depth - leg, 1.5 * height), (width, leg, height / 2), top, turn)
    else:
        _crate(site, _above(at, height + leg), size * 0.4)


def _shelf(site: _Site, at: FloatArray, size: float) -> None:
    """Boards between two sides, with similar things on them."""
    turn, board = site.yaw(), size * 0.02
    width, depth, height = size * site.generator.uniform((0.3, 0.12, 0.6), (0.7, 0.25, 1.2))
    wood, levels = site.wardrobe.anything(size), site.count(2, 4)
    goods = [site.wardrobe.anything(size * 0.5) for _ in range(2)]
    for side in (-width, width):
        site.box(at + turn @ (side, 0, height / 2), (board, depth, height / 2), wood, turn)
    for level in range(levels + 1):
        z = board + (height - 2 * board) * level / levels
        site.box(at + turn @ (0, 0, z), (width, depth, board), wood, turn)
        if level < levels:
            half = np.array([0.2 * width, 0.6 * depth, site.between(0.2, 0.42) * height / levels])
            x = site.between(-0.6, 0.6) * width
            site.box(at + turn @ (x, 0, z + board + half[2]), half, goods[level % 2], turn)


def _pole(site: _Site, at: FloatArray, size: float) -> None:
    half = size * np.array([1, 1, 0]) * site.log_between(0.006, 0.06)
    half[2] = size * site.between(0.4, 0.9)
    turn = rotation_from_vector(site.generator.normal(0, 0.35, 3)) if site.chance(0.4) else site.yaw()
    site.box(at + turn @ (0, 0, half[2]), half, site.wardrobe.anything(size), turn)


def _plate(site: _Site, at: FloatArray, size: float) -> None:
    half = size * np.array([site.between(0.2, 0.7), site.log_between(0.005, 0.02), site.between(0.2, 0.6)])
    site.box(_above(at, half[2]), half, site.wardrobe.anything(size), site.yaw())


def _slab(site: _Site, at: FloatArray, size: float) -> None:
    """A rug, a step, a patch of road."""
    half = size * np.array([site.between(0.3, 1.2), site.between(0.3, 1.2), site.log_between(0.005, 0.06)])
    site.box(_above(at, half[2] / 2), half, site.wardrobe.anything(size), site.yaw())


def _wire_frame(site: _Site, at: FloatArray, size: float) -> None:
    """The twelve edges of a box, which the background shows through."""
    half, wire = size * site.generator.uniform(0.2, 0.5, 3), size * site.log_between(0.008, 0.03)
    turn, material = site.yaw(), site.wardrobe.anything(size)
    for axis in range(3):
        along, a, b = np.roll(np.eye(3), -axis, axis=0)
        for p, q in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            beam = along * half + (1 - along) * wire
            offset = (p * a + q * b) * (half - wire)
            site.box(_above(at, half[2]) + turn @ offset, beam, material, turn)


def _tree(site: _Site, at: FloatArray, size: float) -> None:
    height, trunk = size * site.between(0.5, 1.0), size * site.log_between(0.02, 0.06)
    site.box(_above(at, height / 2), (trunk, trunk, height / 2), site.wardrobe.anything(size), site.yaw())
    material = site.wardrobe.of(str(site.generator.choice(["strokes", "leaves", "noise", "speckle"])), size)
    for _ in range(site.count(1, 4)):
        offset = size * site.generator.normal(0, 0.15, 3)
        site.sphere(_above(at, height) + offset, size * site.between(0.15, 0.35), material)


def _fence(site: _Site, at: FloatArray, size: float) -> None:
    """Equal bars at equal distances, each easily mistaken for its neighbour."""
    turn, count, gap = site.yaw(), site.count(5, 11), size * site.between(0.08, 0.3)
    bar, material = size * site.log_between(0.01, 0.04), site.wardrobe.anything(size)
    for k in range(count):
        site.box(at + turn @ ((k - count / 2) * gap, 0, size * 0.3), (bar, bar, size * 0.3), material, turn)
    site.box(at + turn @ (-gap / 2, 0, size * 0.5), (count * gap / 2, bar / 2, bar), material, turn)


_THINGS = (_crate, _stack, _ball, _table, _shelf, _pole, _plate, _slab, _wire_frame, _tree, _fence)
_ROOM_SHARES = np.array([5, 4, 2, 4, 2, 2, 3, 2, 0.7, 0.7, 0.7])
_STREET_SHARES = np.array([4, 1, 1, 1, 0, 4, 2, 3, 0.7, 5, 2])


def _scatter(site: _Site, places: FloatArray, size: tuple[float, float], shares: FloatArray) -> None:
    """Put one thing of log-uniform size, m, at each place (N, 3); all of them become targets."""
    chosen = site.generator.choice(len(_THINGS), len(places), p=shares / shares.sum())
    for place, which in zip(places, chosen, strict=True):
        extent = site.log_between(*size)
        _THINGS[which](site, place, extent)
        site.target(_above(place, 0.35 * extent))


def _on_floor(site: _Site, count: int, half: FloatArray) -> FloatArray:
    """(count, 3) places on z = 0 within +- half (2)."""
    return np.column_stack([site.generator.uniform(-1, 1, (count, 2)) * half, np.zeros(count)])


# --------------------------------------------------------------------------------------------------------- lights


def _shine_inside(site: _Site, half: FloatArray, height: float) -> None:
    """A lamp below the ceiling, light through a window, or light from everywhere."""
    corner = site.between(0.15, 0.55)
    if site.chance(0.15):
        site.light = Light((0.0, 0.0, height), 1.0, 0.0, 1.0, corner)
    elif site.chance(0.3):
        _shine_from_afar(site, corner)
    else:
        x, y = site.generator.uniform(-0.7, 0.7, 2) * half
        fade = site.between(0.5, 1.5) * float(np.hypot(*half))
        ambient = site.between(0.15, 0.5)
        site.light = Light((x, y, height * site.between(0.75, 0.95)), ambient, 1.2 - ambient, fade, corner)


def _shine_from_afar(site: _Site, corner_shade: float = 0.3) -> None:
    """The sun, high or low."""
    azimuth, elevation = site.between(0, 2 * np.pi), site.between(0.25, 1.3)
    flat = np.cos(elevation)
    x, y, z = _SUN_M * np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    ambient = site.between(0.25, 0.7)
    site.light = Light((float(x), float(y), float(z)), ambient, 1.1 - ambient, _NO_FADE_M, corner_shade)


def _shadowed(site: _Site, world: ProceduralWorld) -> ProceduralWorld:
    """Add cast shadows where there is a lamp, but not always: under an overcast sky there are none."""
    casts = world.light.diffuse > 0 and not site.chance(0.25)
    lit = replace(world, light=replace(world.light, contact_shade=0.0 if casts else _CONTACT_SHADE))
    if not casts:
        return lit
    low, high = world.eye_low_m, world.eye_high_m
    middle = np.array([*(low + high)[:2] / 2 + site.generator.normal(0, 0.2, 2), low[2]])
    return with_shadows(lit, middle, min(_SHADOW_REACH_M, 1.4 * float(np.linalg.norm((high - low)[:2] / 2))))


# --------------------------------------------------------------------------------------------------------- worlds


def _enclose(site: _Site, half: FloatArray, height: float, walls: list[int], floor: int, ceiling: int) -> None:
    """Floor at z = 0, ceiling, and four walls."""
    site.plane(_UP, 0.0, (1, 0, 0), floor)
    site.plane((0, 0, -1), -height, (1, 0, 0), ceiling)
    for k, (x, y) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
        site.plane((x, y, 0), -half[0] if x else -half[1], (-y, x, 0), walls[k % len(walls)])


def _hang(site: _Site, half: FloatArray, height: float, count: int) -> None:
    """Pictures, doors, windows and ducts on the walls of a room, some of them in a row of equals."""
    for _ in range(count):
        side, turned = site.generator.choice([-1.0, 1.0]), site.chance(0.5)
        size = height * site.generator.uniform(0.08, 0.3, 2)
        z, thick = site.between(0.2, 0.8) * height, height * site.log_between(0.004, 0.05)
        material, repeat = site.wardrobe.anything(height * 0.3), site.count(2, 5) if site.chance(0.35) else 1
        start = site.between(-0.9, 0.4)
        for k in range(repeat):
            along = (start + 0.3 * k) * half[1 if turned else 0]
            centre = (side * half[0], along, z) if turned else (along, side * half[1], z)
            reach = (thick, size[0], size[1]) if turned else (size[0], thick, size[1])
            site.box(centre, reach, material)
            site.target(centre)


def _pillars(site: _Site, half: FloatArray, height: float) -> None:
    """Equal pillars at equal distances along both long walls."""
    count, thick, material = site.count(3, 6), height * site.between(0.03, 0.1), site.wardrobe.wall(height)
    for x in np.linspace(-0.9, 0.9, count) * half[0]:
        for y in (-0.8 * half[1], 0.8 * half[1]):
            site.box((x, y, height / 2), (thick, thick, height / 2), material)


def _room(site: _Site) -> tuple[FloatArray, FloatArray]:
    half, height = np.array([site.log_between(1.0, 6.0), site.log_between(1.0, 6.0)]), site.between(2.2, 4.0)
    walls = [site.wardrobe.wall(2 * half.max()) for _ in range(site.count(1, 3))]
    _enclose(site, half, height, walls, site.wardrobe.wall(half.max()), site.wardrobe.wall(half.max()))
    _hang(site, half, height, site.count(3, 9))
    if site.chance(0.2):
        _pillars(site, half, height)
    _scatter(site, _on_floor(site, site.count(7, 18), 0.85 * half), (0.2, 1.4), _ROOM_SHARES)
    _shine_inside(site, half, height)
    return np.array([*(-0.85 * half), 0.15 * height]), np.array([*(0.85 * half), 0.85 * height])


def _corridor(site: _Site) -> tuple[FloatArray, FloatArray]:
    half, height = np.array([site.log_between(4.0, 14.0), site.between(0.8, 1.8)]), site.between(2.0, 3.5)
    walls = [site.wardrobe.wall(half[1] * 3) for _ in range(site.count(1, 3))]
    _enclose(site, half, height, walls, site.wardrobe.wall(half[1]), site.wardrobe.wall(half[1] * 2))
    door, lamp = site.wardrobe.anything(1.0), site.wardrobe.of("faint", 1.0)
    for x in np.arange(-half[0] + 1, half[0] - 1, site.between(1.5, 3.5)):
        for y in (-half[1], half[1]):
            site.box((x, y, 1.0), (0.45, site.between(0.02, 0.06), 1.0), door)
            site.target((x, y, 1.2))
        site.box((x, 0, height), (0.3, 0.3, 0.04), lamp)
    if site.chance(0.4):
        _pillars(site, half, height)
    _scatter(site, _on_floor(site, site.count(5, 14), 0.9 * half), (0.2, 0.9), _ROOM_SHARES)
    for end in (-half[0], half[0]):
        site.target((end, 0.0, height * site.between(0.3, 0.6)))
    _shine_inside(site, half, height)
    return np.array([-0.95 * half[0], -0.6 * half[1], 0.4]), np.array([0.95 * half[0], 0.6 * half[1], 0.8 * height])


def _outdoors(site: _Site, ground: int) -> float:
    """Ground, sky and a distant backdrop all round; returns the distance of the backdrop, m."""
    far = site.log_between(*_FAR_M)
    backdrop = site.wardrobe.of(str(site.generator.choice(["clouds", "noise", "strokes", "leaves"])), 0.9 * far)
    sky = site.wardrobe.of("clouds", 1.5 * far)
    _enclose(site, np.array([far, far]), site.between(0.3, 0.7) * far, [backdrop], ground, sky)
    _shine_from_afar(site)
    return far


def _street(site: _Site) -> tuple[FloatArray, FloatArray]:
    far = _outdoors(site, site.wardrobe.wall(6.0))
    width, length = site.between(3.0, 10.0), min(0.8 * far, 60.0)
    site.box((0, 0, 0), (length, width * site.between(0.4, 0.7), 0.03), site.wardrobe.of("speckle", site.between(2, 8)))
    facades = [site.wardrobe.of("panels", site.between(5, 14)) for _ in range(2)]
    facades += [site.wardrobe.wall(8.0) for _ in range(2)]
    for side in (-1, 1):
        x = -length
        while x < length:
            half = site.generator.uniform((2.5, 2.0, 2.0), (8.0, 5.0, 9.0))
            if site.chance(0.85):
                y = side * (width + half[1] + site.between(0, 1.5))
                site.box((x + half[0], y, half[2]), half, int(site.generator.choice(facades)))
                site.target((x + half[0], side * width, 0.6 * half[2]))
            x += 2 * half[0] + site.between(0.0, 2.0)
    _scatter(site, _on_floor(site, site.count(10, 24), np.array([0.35 * length, width])), (0.6, 3.5), _STREET_SHARES)
    return np.array([-0.4 * length, -0.7 * width, 0.3]), np.array([0.4 * length, 0.7 * width, 3.5])


def _rough_ground(site: _Site) -> tuple[FloatArray, FloatArray]:
    """Bumps like those of a height field, rocks and trees."""
    earth = site.wardrobe.anything(3.0)
    _outdoors(site, earth)
    extent = site.log_between(3.0, 15.0)
    square = np.array([extent, extent])
    for x, y, _ in _on_floor(site, site.count(12, 30), square):
        radius, height = extent * site.log_between(0.1, 0.6), extent * site.log_between(0.01, 0.12)
        site.sphere((x, y, height - radius), radius, earth if site.chance(0.6) else site.wardrobe.anything(extent))
    for place in _on_floor(site, site.count(4, 12), square):
        half = extent * site.log_between(0.02, 0.08) * site.generator.uniform(0.5, 1.5, 3)
        site.box(place, half, site.wardrobe.anything(half.max()), site.any_turn())
        site.target(place)
    _scatter(site, _on_floor(site, site.count(4, 12), square), (0.06 * extent, 0.4 * extent), _STREET_SHARES)
    return np.array([-extent, -extent, 0.1 * extent]), np.array([extent, extent, 0.8 * extent])


def _table_top(site: _Site) -> tuple[FloatArray, FloatArray]:
    """One or a few objects in the middle of a plane, with a room or a cloth behind."""
    half, height = np.array([site.log_between(2.0, 8.0), site.log_between(2.0, 8.0)]), site.between(2.0, 5.0)
    walls = [site.wardrobe.wall(2 * half.max()) for _ in range(2)]
    _enclose(site, half, height, walls, site.wardrobe.wall(site.between(0.8, 4.0)), site.wardrobe.wall(half.max()))
    count = site.count(1, 12)
    spread = 0.12 * np.sqrt(count) * np.ones(2)
    _scatter(site, _on_floor(site, count, spread), (0.3, 1.0), _ROOM_SHARES)
    _hang(site, half, height, site.count(0, 3))
    _shine_inside(site, half, height)
    reach = np.minimum(0.8 * half, 2.2)
    return np.array([*-reach, 0.15]), np.array([*reach, 1.6])


def _clutter(site: _Site) -> tuple[FloatArray, FloatArray]:
    """Floating things at every depth and in every attitude: geometry without regularities."""
    half, height = site.generator.uniform(2.5, 6.0, 2), site.between(4.0, 9.0)
    walls = [site.wardrobe.anything(half.max()) for _ in range(4)]
    _enclose(site, half, height, walls, site.wardrobe.anything(half.max()), site.wardrobe.anything(half.max()))
    for _ in range(site.count(20, 45)):
        place = site.generator.uniform((*-half, 0), (*half, height))
        size = site.log_between(0.1, 1.0)
        shape = size * np.exp(site.generator.normal(-0.7, 0.8, 3).clip(-3.5, 0.3))
        site.box(place, shape, site.wardrobe.anything(size), site.any_turn())
        site.target(place)
    for _ in range(site.count(0, 10)):
        place, radius = site.generator.uniform((*-half, 0), (*half, height)), site.log_between(0.1, 0.7)
        site.sphere(place, radius, site.wardrobe.anything(radius))
    _shine_inside(site, half, height)
    return np.array([*(-0.8 * half), 0.1 * height]), np.array([*(0.8 * half), 0.9 * height])


WORLD_KINDS: dict[str, Callable[[_Site], tuple[FloatArray, FloatArray]]] = {
    "room": _room,
    "corridor": _corridor,
    "street": _street,
    "rough_ground": _rough_ground,
    "table_top": _table_top,
    "clutter": _clutter,
}
"""Every kind of world by name: furnishes a site and returns the corners (3,) of the space of viewpoints, m."""


def exposed(world: ProceduralWorld, factor: float) -> ProceduralWorld:
    """The same world in brighter or darker light."""
    light = replace(world.light, ambient=world.light.ambient * factor, diffuse=world.light.diffuse * factor)
    return replace(world, light=light)

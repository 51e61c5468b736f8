"""Which cameras make up the rig: their lenses, and where they stand to the first one. Free of rclpy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.frame_tree import FrameError
from ros2_raxels.geometry.poses import FloatArray, GeometryError, inverse_pose, rotation_angle_rad
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.nodes.pose.placement import Transforms
from ros2_raxels.recordings.stereo_info import contradiction, stereo_mount

_LOOK_AGAIN_S = 1.0
_MOVED_M, _MOVED_RAD = 0.002, 0.005
"""A mount that differs by more from what it was is not the same any more."""


@dataclass(frozen=True)
class SeenBy:
    """What is known of one camera when its image comes.

    Attributes:
        frame: its optical frame.
        camera: its lens; None while that is not known.
        info: its CameraInfo; None without one.
        why_no_camera: in words, where the lens is not known.
    """

    frame: str
    camera: Camera | None
    info: Any = None
    why_no_camera: str = ""


class RigFinder:
    """Puts the rig together from what comes with the images, and says of every camera why it is not in it.

    Args:
        names: of all cameras, the leader first.
        transforms: TF.
        rectified: whether the images are.
        warn: told once of what is assumed, in one line.
        clock: steady, s.

    Attributes:
        rig: of all cameras that are known; None while that is the leader alone. Exchanged as a whole.
        left_out: why a camera is not in it, or not as it should be, by name. Exchanged as a whole.
    """

    def __init__(
        self,
        names: Sequence[str],
        transforms: Transforms,
        rectified: bool,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names, self._transforms, self._rectified = tuple(names), transforms, rectified
        self._warn, self._clock = warn, clock
        self.forget()

    def forget(self) -> None:
        """Images come from other cameras."""
        self.rig: Rig | None = None
        self.left_out: Mapping[str, str] = {}
        self._mounts: dict[str, FloatArray] = {}
        self._looked_at: dict[str, float] = {}
        self._said: set[str] = set()

    @property
    def is_complete(self) -> bool:
        """Whether all cameras are in the rig."""
        return self.rig is not None and len(self.rig.names) == len(self._names)

    def see(self, leader: SeenBy, others: Mapping[str, SeenBy], stamp_ns: int) -> bool:
        """Take what came with the images of a moment; whether the rig is another one now.

        Args:
            leader: of the first camera, whose lens is known.
            others: of those cameras that have an image.
            stamp_ns: of the images.
        """
        if leader.camera is None:
            return False
        left_out = {name: why for name, why in self.left_out.items() if name not in others}
        cameras = {self._names[0]: MountedCamera(leader.camera, np.eye(4))}
        for name in self._names[1:]:
            seen = others.get(name)
            if seen is None:
                if self.rig is not None and name in self.rig.cameras:
                    cameras[name] = self.rig[name]
                continue
            if seen.camera is None:
                left_out[name] = seen.why_no_camera or "its lens is not known"
                continue
            mount, why = self._mount(name, leader, seen, stamp_ns)
            if why:
                left_out[name] = why
            if mount is not None:
                cameras[name] = MountedCamera(seen.camera, mount)
        self.left_out = left_out
        return self._exchange(cameras)

    def _exchange(self, cameras: Mapping[str, MountedCamera]) -> bool:
        if len(cameras) < 2 or (self.rig is not None and _same(self.rig.cameras, cameras)):
            return False
        try:
            self.rig = Rig(cameras)
        except GeometryError as error:
            self._warn_once(str(error))
            self.left_out = {**self.left_out, **dict.fromkeys(list(cameras)[1:], str(error))}
            return False
        return True

    def _mount(self, name: str, leader: SeenBy, seen: SeenBy, stamp_ns: int) -> tuple[FloatArray | None, str]:
        """camera_to_leader (4x4, m) as it was found first, and what is wrong with it; looked at now and then."""
        known, now = self._mounts.get(name), self._clock()
        if now - self._looked_at.get(name, -_LOOK_AGAIN_S) < _LOOK_AGAIN_S:
            return known, self.left_out.get(name, "")
        self._looked_at[name] = now
        try:
            found = self._transforms.lookup(leader.frame, seen.frame, stamp_ns)
        except FrameError as error:
            if known is not None:
                return known, ""
            return self._by_projection(name, leader, seen, str(error))
        if known is None:
            self._mounts[name] = found
            return found, self._contradiction(name, leader, seen, found)
        moved = inverse_pose(known) @ found
        away, turned = float(np.linalg.norm(moved[:3, 3])), float(rotation_angle_rad(moved[:3, :3]))
        if away < _MOVED_M and turned < _MOVED_RAD:
            return known, self._contradiction(name, leader, seen, known)
        why = (
            f"TF has moved it by {1e3 * away:.1f} mm and {np.degrees(turned):.2f} deg on its base; cameras of a rig "
            "are fixed: it is taken to be where it was first"
        )
        self._warn_once(f"camera {name!r}: {why}")
        return known, why

    def _contradiction(self, name: str, leader: SeenBy, seen: SeenBy, mount: FloatArray) -> str:
        """What P of a stereo pair says against TF."""
        by_p = None if None in (leader.info, seen.info) else stereo_mount(leader.info, seen.info, self._rectified)
        words = "" if by_p is None else contradiction(mount, by_p)
        if words:
            self._warn_once(f"cameras {self._names[0]!r} and {name!r}: {words}")
        return words

    def _by_projection(self, name: str, leader: SeenBy, seen: SeenBy, why: str) -> tuple[FloatArray | None, str]:
        """By P of a stereo pair, where TF knows nothing."""
        if leader.info is not None and seen.info is not None:
            mount = stereo_mount(leader.info, seen.info, self._rectified)
            if mount is not None:
                self._mounts[name] = mount
                self._warn_once(
                    f"camera {name!r} stands {1e3 * np.linalg.norm(mount[:3, 3]):.1f} mm from {self._names[0]!r} by P "
                    f"of their camera_info, because TF does not tell: {why}"
                )
                return mount, ""
        words = f"where it stands is not known: {why}; publish it on /tf_static, or P of a stereo pair in camera_info"
        self._warn_once(f"camera {name!r}: {words}")
        return None, words

    def _warn_once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._warn(words)


def _same(known: Mapping[str, MountedCamera], now: Mapping[str, MountedCamera]) -> bool:
    return list(known) == list(now) and all(
        known[name].camera == now[name].camera and np.array_equal(known[name].camera_to_base, now[name].camera_to_base)
        for name in known
    )

"""From the images of a moment to those that the tracker of a rig is given. For the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sensor_msgs.msg import CameraInfo

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.nodes.common.messages import image_array, stamp_ns
from ros2_raxels.nodes.pose.intake import NotCalibratedError
from ros2_raxels.nodes.pose.intrinsics import Intrinsics
from ros2_raxels.nodes.pose.rig_finder import RigFinder, SeenBy
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.tracking.rig_check import rig_checks


@dataclass(frozen=True)
class Beside:
    """An image of another camera as it came, with the camera_info of its stamp."""

    message: Any
    info: CameraInfo | None


class Moment(Protocol):
    """What has come of one moment."""

    @property
    def message(self) -> Any:
        """Image of the first camera."""

    @property
    def info(self) -> CameraInfo | None:
        """Its camera_info."""

    @property
    def others(self) -> Mapping[str, Beside]:
        """Of the other cameras, by name."""


class RigIntake:
    """Lenses and mounts of the cameras that have an image, and those images.

    Args:
        finder: puts the rig together.
        intrinsics: of the other cameras, by name.
        patience_s: for so long the tracker waits for a complete rig.
        report: told of what goes wrong, in one line.
        clock: steady, s.
        say: told how well the cameras agree, in one line.

    Attributes:
        intrinsics: see above.
        contradicts: what the images say against the calibration of the rig. Exchanged as a whole.
    """

    def __init__(
        self,
        finder: RigFinder,
        intrinsics: Mapping[str, Intrinsics],
        patience_s: float,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._say, self._to_check = say, False
        self.contradicts: tuple[str, ...] = ()
        self.finder, self.intrinsics = finder, intrinsics
        self._patience_s, self._report, self._clock = patience_s, report, clock
        self._stretches = {name: Stretch() for name in intrinsics}
        self._since: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cameras of the rig as it is known."""
        return () if self.finder.rig is None else self.finder.rig.names

    def forget(self) -> None:
        """Images come from other cameras."""
        self.finder.forget()
        for intrinsics in self.intrinsics.values():
            intrinsics.forget()
        self._since = None

    def images(self, moment: Moment, optical: str, camera: Camera | None) -> tuple[dict[str, np.ndarray], bool]:
        """Images of the other cameras that are in the rig, by name, and whether that is another rig now.

        Args:
            moment: what has come.
            optical: frame of the first camera.
            camera: its lens.

        Raises:
            NotCalibratedError: the rig is waited for.
        """
        seen = {name: self._seen(name, beside) for name, beside in moment.others.items()}
        leader = SeenBy(optical, camera, moment.info)
        changed = self.finder.see(leader, seen, stamp_ns(moment.message.header.stamp))
        if not self.finder.is_complete:
            self._wait()
        rig, images = self.finder.rig, {}
        for name, beside in moment.others.items():
            if rig is None or name not in rig.others:
                continue
            try:
                image = image_array(beside.message, self._stretches[name], grey=True)
                rig[name].camera.check_fits(image, f"the image of camera {name!r}")
                images[name] = image
            except (ImageError, ValueError) as error:
                self._report(f"camera {name!r} is left out: {error}")
        return images, changed

    def check(self, leader: np.ndarray, others: Mapping[str, np.ndarray], changed: bool) -> None:
        """Compare the cameras of a rig by what they see, once, at the first moment at which all that do see something.

        Args:
            leader: image of the first camera.
            others: of the other cameras, by name.
            changed: whether this is another rig than before.
        """
        rig = self.finder.rig
        if changed:
            self._to_check, self.contradicts = True, ()
        if rig is None or not self._to_check or not leader.any() or set(rig.others) - set(others):
            return
        self._to_check = False
        found = list(rig_checks(rig, {rig.leader: leader, **others}))
        for name, checked in found:
            self._say(checked.words(rig.leader, name))
        self.contradicts = tuple(c.words(rig.leader, name) for name, c in found if c.contradicts)
        for words in self.contradicts:
            self._report(words)

    def _wait(self) -> None:
        """For a while; then what is known is gone on with."""
        self._since = self._clock() if self._since is None else self._since
        if self._clock() - self._since < self._patience_s:
            why = "; ".join(f"{name}: {words}" for name, words in self.finder.left_out.items())
            raise NotCalibratedError(f"waiting for all cameras of the rig{why and ': '}{why}")

    def _seen(self, name: str, beside: Beside) -> SeenBy:
        frame = str(beside.message.header.frame_id)
        try:
            camera = self.intrinsics[name].of(beside.message.header, beside.info)
        except NotCalibratedError as error:
            return SeenBy(frame, None, beside.info, str(error))
        missing = self.intrinsics[name].missing
        return SeenBy(frame, camera, beside.info, missing and f"{missing}; a rig needs calibrated cameras")

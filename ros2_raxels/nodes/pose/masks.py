"""Which pixels of each camera are used: by files that parameters name, and by masks that are published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from rclpy.node import Node
from sensor_msgs.msg import Image

from ros2_raxels.nodes.common.messages import check_image, image_array
from ros2_raxels.nodes.common.parameters import ParameterError, Parameters
from ros2_raxels.nodes.common.subscription import FollowingSubscription
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.recordings.image_mask import BlackMaskError, Mask, mask_of, read_mask

FIRST = ""
"""Name by which the mask of the first camera is known; the others have their own."""


class Masked(Protocol):
    """What uses masks."""

    def use_mask(self, mask: Mask | None, camera: str = FIRST) -> None:
        """Of a camera, from the next image on; None for all of the image."""


def mask_files(settings: Parameters, report: Callable[[str], None]) -> dict[str, Mask]:
    """Masks of the files that `mask` and `rig.masks` name, by camera; a black one is left out with a word.

    Raises:
        ParameterError: a file cannot be read, or is of no camera.
    """
    names, wanted = settings.texts("cameras"), {FIRST: ("mask", settings.text("mask"))}
    for entry in settings.texts("rig.masks"):
        name, _, file = entry.partition("=")
        if name not in names or not file:
            listed = ", ".join(names) or "none"
            raise ParameterError(f"rig.masks has {entry!r}, which is no NAME=FILE of one of the cameras ({listed})")
        wanted[FIRST if name == names[0] else name] = "rig.masks", file
    found: dict[str, Mask] = {}
    for camera, (parameter, file) in wanted.items():
        try:
            if file:
                found[camera] = read_mask(Path(file).expanduser())
        except BlackMaskError as error:
            report(f"{parameter} = {file!r} is left out: {error}")
        except ValueError as error:
            raise ParameterError(f"{parameter} = {file!r}: {error}") from error
    return found


class Masks:
    """Masks of all cameras, the newest of each.

    Subscriptions are for the executor's thread, `use` for the worker's.

    Args:
        files: see `mask_files`.
        names: of the cameras of a rig, the first one leads; none of a single camera.
        report: told of masks that cannot be used, in one line.

    Attributes:
        left_out: why the mask of a camera is not used, by camera. Exchanged as a whole.
    """

    def __init__(self, files: Mapping[str, Mask], names: Sequence[str], report: Callable[[str], None]) -> None:
        self._masks: Mapping[str, Mask] = dict(files)
        self._names, self._report = tuple(names), report
        # With that of the first camera the tracker was made.
        self._used: dict[str, Mask | None] = {FIRST: files.get(FIRST)}
        self.left_out: Mapping[str, str] = {}
        self._listeners: list[FollowingSubscription] = []

    def listen(self, node: Node) -> None:
        """Subscribe to ``~/mask``, and of a rig to ``~/NAME/mask`` of each camera, also latched."""
        topics = {"~/mask": FIRST} | {f"~/{n}/mask": n if k else FIRST for k, n in enumerate(self._names)}
        self._listeners = [
            FollowingSubscription(node, Image, topic, partial(self._on_mask, camera), kept=True)
            for topic, camera in topics.items()
        ]

    def _on_mask(self, camera: str, message: Image) -> None:
        try:
            check_image(message)
            self._masks = {
                **self._masks,
                camera: mask_of(image_array(message, grey=True), f"the mask of {_of(camera)}"),
            }
        except (ImageError, BlackMaskError) as error:
            self._leave_out(camera, str(error))

    def _leave_out(self, camera: str, why: str) -> None:
        self.left_out = {**self.left_out, camera: why}
        self._report(why)

    def use(self, tracker: Masked, camera: str, height: int, width: int, *, of: str = FIRST) -> None:
        """Give the tracker what is known for images of this size of a camera, where that is something else now.

        Args:
            tracker: is given it.
            camera: as the tracker knows it.
            height, width: of its images.
            of: by which its mask is known, where it takes the place of the first one.
        """
        name = of or camera
        known = self._masks.get(name)
        mask = known if known is not None and known.shape == (height, width) else None
        if known is not None and mask is None:
            why = (
                f"the mask of {_of(name)} is {known.shape[1]}x{known.shape[0]} px and its images {width}x{height} "
                "px; it is left out: give one of the size of the images"
            )
            if self.left_out.get(name) != why:
                self._leave_out(name, why)
        if mask is not self._used.get(camera):
            self._used[camera] = mask
            tracker.use_mask(mask, camera)
            if mask is not None:
                self.left_out = {c: why for c, why in self.left_out.items() if c != name}

    def update(self) -> None:
        """As `FollowingSubscription.update`."""
        for listener in self._listeners:
            listener.update()

    def destroy(self) -> None:
        """Hear no more."""
        for listener in self._listeners:
            listener.destroy()
        self._listeners = []


def _of(camera: str) -> str:
    return f"camera {camera!r}" if camera else "the first camera"

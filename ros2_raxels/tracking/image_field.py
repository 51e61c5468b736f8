"""Which pixels of a stream's images are used: not the robot's own parts, nor what lies beyond the lens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.matching.matcher import Matcher

Mask = npt.NDArray[np.bool_]


class ImageField:
    """The mask of a stream, and the field of its lens.

    Args:
        matcher: whose working images they are for.
        mask: (height, width) of the images as given, true where they are to be used; None for everywhere.
    """

    def __init__(self, matcher: Matcher, mask: Mask | None) -> None:
        self._matcher, self._mask = matcher, mask
        self._known: tuple[tuple[int, ...], Camera | None, Mask | None] = ((), None, None)
        self._of_working: dict[Camera, Mask | None] = {}

    def usable(self, shape: tuple[int, ...], camera: Camera | None) -> Mask | None:
        """Pixels of the working image that are used; None for all.

        Args:
            shape: height and width of the image as given.
            camera: of the image as given; None where it is not known.

        Raises:
            ValueError: the mask is of another size.
        """
        if self._mask is not None and self._mask.shape != shape:
            raise ValueError(
                f"the mask is {self._mask.shape[1]}x{self._mask.shape[0]} px but the image {shape[1]}x{shape[0]} px; "
                "give a mask of the size of the images"
            )
        known_shape, known_camera, known = self._known
        if (known_shape, known_camera) != (shape, camera):
            known = self._worked_out(camera)
            self._known = shape, camera, known
        return known

    def usable_in_working(self, camera: Camera) -> Mask | None:
        """The same for a working image that was written without it, by its own camera.

        A mask of images of another size is left out.
        """
        if camera not in self._of_working:
            usable = None if camera.sees_whole_image else self._matcher.working_mask(camera.valid_mask())
            masked = None if self._mask is None else self._matcher.working_mask(self._mask)
            if masked is not None and masked.shape == (camera.height, camera.width):
                usable = masked if usable is None else masked & usable
            self._of_working[camera] = usable
        return self._of_working[camera]

    def _worked_out(self, camera: Camera | None) -> Mask | None:
        sees_all = camera is None or camera.sees_whole_image
        if self._mask is None and sees_all:
            return None
        field = np.ones(1, bool) if camera is None or sees_all else camera.valid_mask()
        return self._matcher.working_mask(field if self._mask is None else self._mask & field)

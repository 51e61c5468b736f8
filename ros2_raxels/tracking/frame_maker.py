"""From the images of a moment to a frame of the stream: features, intrinsics, and depths by other cameras."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera, ordinary_camera
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.depth_prior import DepthPrior
from ros2_raxels.tracking.frame import Side, StreamFrame
from ros2_raxels.tracking.image_field import ImageField, Mask
from ros2_raxels.tracking.stereo_prior import Partner, StereoPrior, partners_of

Image = npt.NDArray[np.uint8]
"""(height, width) or (height, width, 3) RGB."""


class FrameMaker:
    """Makes frames of images.

    Args:
        matcher: of all frames.
        mask: (height, width) of the images as given, true where they are to be used; None for everywhere.
        rig: of cameras fixed to each other, whose images come together; None for one camera.

    Attributes:
        camera: intrinsics as stated or estimated, of the working image; None before the first frame.
        is_focal_found: whether they were estimated; until then they are a guess where none are given.
        zoom: what frames have of their focal length: the true one may be another.
        stated_px: fx of the image as given, where it is stated; None elsewhere.
    """

    def __init__(self, matcher: Matcher, mask: Mask | None, rig: Rig | None) -> None:
        self._matcher = matcher
        self._side_masks: dict[str, Mask | None] = {}
        self.use_mask(mask)
        self.use_rig(rig)
        self.forget()

    def use_rig(self, rig: Rig | None) -> None:
        """Go on with other cameras; None for one alone."""
        self._rig = rig
        self._partners = () if rig is None else partners_of(rig)
        others = rig.others if rig else ()
        self._side_fields = {name: ImageField(self._matcher, self._side_masks.get(name)) for name in others}

    def use_mask(self, mask: Mask | None, camera: str = "") -> None:
        """Use this one from the next image on; of the first camera, or of another one of the rig by name."""
        field = ImageField(self._matcher, mask)
        if not camera:
            self._field = field
            return
        self._side_masks[camera] = mask
        if self._rig is not None and camera in self._rig.others:
            self._side_fields[camera] = field

    def forget(self) -> None:
        """Begin anew."""
        self.camera: Camera | None = None
        self.is_focal_found = False
        self.zoom = 1.0
        self.stated_px: float | None = None

    @property
    def in_use(self) -> Camera | None:
        """Intrinsics in use, of the working image; None before the first frame."""
        return self.camera if self.camera is None or self.zoom == 1.0 else self.camera.zoomed(self.zoom)

    def know(self, camera: Camera) -> None:
        """Intrinsics, of the working image, were found."""
        self.camera, self.is_focal_found = camera.zoomed(1.0 / self.zoom), True

    def make(
        self,
        number: int,
        image: Image,
        stamp_ns: int,
        camera: Camera | None,
        depth: DepthPrior | None,
        others: Mapping[str, Image],
        takes_depths: bool,
    ) -> StreamFrame:
        """A frame.

        Args:
            number: in the stream.
            image: of the first camera.
            stamp_ns: of the image.
            camera: intrinsics of it; None where they are not known.
            depth: what a sensor has measured; None for nothing.
            others: images of the other cameras of the rig, by name; not looked at without a rig.
            takes_depths: whether depths by other cameras are wanted.

        Raises:
            ValueError: a camera or mask is of another size than its image, or an image is of no camera of the rig.
        """
        self.stated_px = None if camera is None else camera.fx
        features = self._matcher.look(image, self._field.usable(image.shape[:2], camera))
        intrinsics = self._intrinsics(features, None if camera is None else features.working_camera(camera))
        sides = self._look_aside(others)
        depth = depth or (self._stereo_prior(features, sides) if takes_depths else None)
        return StreamFrame(number, stamp_ns, features, intrinsics, depth, sides)

    def mask_again(self, features: Features, camera: Camera) -> None:
        """Use the mask with features that were written without it, by the camera of their working image."""
        features.usable = self._field.usable_in_working(camera)

    def _intrinsics(self, features: Features, given: Camera | None) -> Camera:
        if given is not None:
            self.camera = given
        height, width = features.grey.shape
        if self.camera is None or (self.camera.height, self.camera.width) != (height, width):
            self.camera, self.is_focal_found = ordinary_camera(width, height), False
        return self.in_use or self.camera

    def _look_aside(self, images: Mapping[str, Image]) -> dict[str, Side]:
        """The images of the other cameras of the rig."""
        rig = self._rig
        sides: dict[str, Side] = {}
        if rig is None:
            return sides
        for name, image in images.items():
            if name not in rig.others:
                raise ValueError(f"an image of camera {name!r}, which is none of the rig; give the rig of all cameras")
            camera = rig[name].camera
            camera.check_fits(image, f"image of {name!r}")
            features = self._matcher.look(image, self._side_fields[name].usable(image.shape[:2], camera))
            sides[name] = Side(features, features.working_camera(camera))
        return sides

    def _stereo_prior(self, features: Features, sides: Mapping[str, Side]) -> StereoPrior | None:
        """Depths by the cameras that see what the first one sees; None without one."""
        if self._rig is None:
            return None
        leader = self._rig.leader
        partners = [
            Partner(side, self._rig.between(leader, name)) for name, side in sides.items() if name in self._partners
        ]
        return StereoPrior(features, partners) if partners else None

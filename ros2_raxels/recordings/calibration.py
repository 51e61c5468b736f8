"""What a calibration says of a camera, from any of the usual files or from numbers, fitted to the images at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.double_sphere import DoubleSphereCamera
from ros2_raxels.geometry.lens_names import coefficient_names, lens_of, make_camera
from ros2_raxels.geometry.poses import GeometryError
from ros2_raxels.recordings.source import SourceError

PLUMB_BOB = "plumb_bob"
"""The lens where none is named: a pinhole with any distortion of OpenCV."""

_LENGTHS = (4, 5, 8, 12, 14)
"""Numbers of coefficients of a pinhole; those of the thin prism and the tilted sensor come last."""

_RATIONAL = 8


_SAME_ASPECT_PX = 1.0
"""A scaled image is rounded to whole pixels, so its height may be off by so much."""

_FOCAL_OVER_SIDE = (0.15, 30.0)
"""Focal lengths over the longer side that are believed: 147 to 2 degrees of view."""

_FOCAL_RATIO = 3.0
"""Between fx and fy, beyond which they are taken for other numbers."""

_OTHER_SIZE = (0.6, 1.4)
"""Twice the principal point over the image size, outside which both belong to a picture of another size."""

_SAME_FACTOR = 0.1
"""How far these factors of width and height may lie apart for that, as a share."""


class CalibrationError(SourceError):
    """A calibration that cannot be used; the message is one line: where it is from, the value and the remedy."""


@dataclass(frozen=True)
class Calibration:
    """Intrinsics of one camera.

    Attributes:
        source: where they are from, in words, such as "--intrinsics" or "camchain.yaml, cam0 (Kalibr)".
        fx, fy, cx, cy: px; pixel (0, 0) is the centre of the top-left pixel.
        distortion: coefficients in the order of the lens; OpenCV's for a pinhole.
        size: width and height of the images that they hold for, px; None where that is not said.
        lens: any name that `lens_of` knows.

    Raises:
        CalibrationError: on construction, when they belong to no camera that is supported.
    """

    source: str
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    size: tuple[int, int] | None = None
    lens: str = PLUMB_BOB

    def __post_init__(self) -> None:
        self._camera(*(self.size or (1, 1)))

    @classmethod
    def of(
        cls,
        source: str,
        intrinsics: Sequence[float],
        distortion: Sequence[float] = (),
        size: tuple[int, int] | None = None,
        lens: str = PLUMB_BOB,
    ) -> Calibration:
        """From fx, fy, cx, cy in px, and any number of coefficients in the order of the lens.

        Raises:
            CalibrationError: coefficients that are not supported, or values that belong to no camera.
        """
        fx, fy, cx, cy = intrinsics
        return cls(source, fx, fy, cx, cy, _supported(distortion, source, lens), size, lens)

    def fitted(self, width: int, height: int) -> tuple[Camera, str]:
        """The camera of images of a size in px, and what was done for that, in words; empty for nothing.

        Raises:
            CalibrationError: it belongs to images of another shape, or cannot belong to images of this size.
        """
        if self.size is None:
            self._check_plausible(width, height)
            return self._camera(width, height), ""
        if self.size == (width, height):
            self._check_inside(width, height)
            return self._camera(width, height), ""
        have_width, have_height = self.size
        if abs(have_height * width / have_width - height) > _SAME_ASPECT_PX:
            raise CalibrationError(
                f"{self.source} is of {have_width}x{have_height} px, but the images are {width}x{height} px, which is "
                "another shape; give the calibration of this image size"
            )
        self._check_inside(have_width, have_height)
        scaled = self._camera(have_width, have_height).resized(width, height)
        return scaled, f"scaled from {have_width}x{have_height} to {width}x{height} px"

    def _camera(self, width: int, height: int) -> Camera:
        try:
            intrinsics = (self.fx, self.fy, self.cx, self.cy)
            return make_camera(self.lens, (width, height), intrinsics, self.distortion)
        except GeometryError as error:
            raise CalibrationError(f"{self.source}: {error}") from error

    def _check_inside(self, width: int, height: int) -> None:
        """See that the principal point lies in the picture, and that the focal lengths are believable."""
        for name, value, side in (("cx", self.cx, width), ("cy", self.cy, height)):
            if not -0.5 <= value <= side - 0.5:
                raise CalibrationError(
                    f"{self.source}: {name} = {value:g} px lies outside of the {width}x{height} px image; "
                    "give the intrinsics of this image size, in the order fx, fy, cx, cy"
                )
        lowest, highest = (share * max(width, height) for share in _FOCAL_OVER_SIDE)
        for name, value in (("fx", self.fx), ("fy", self.fy)):
            if not lowest <= value <= highest:
                raise CalibrationError(
                    f"{self.source}: {name} = {value:g} px does not suit {width}x{height} px images (from {lowest:g} "
                    f"to {highest:g} px do); give the focal length in px of this image size"
                )
        if not 1 / _FOCAL_RATIO <= self.fx / self.fy <= _FOCAL_RATIO:
            raise CalibrationError(
                f"{self.source}: fx = {self.fx:g} and fy = {self.fy:g} px are of no real lens; "
                "give the numbers in the order fx, fy, cx, cy"
            )

    def _check_plausible(self, width: int, height: int) -> None:
        """`_check_inside`, and that the principal point is not the centre of a picture of another size."""
        self._check_inside(width, height)
        across, down = (2 * self.cx + 1) / width, (2 * self.cy + 1) / height
        low, high = _OTHER_SIZE
        if abs(across / max(down, 1e-9) - 1) < _SAME_FACTOR and not low <= across <= high:
            raise CalibrationError(
                f"{self.source}: cx = {self.cx:g}, cy = {self.cy:g} px is the centre of a "
                f"{2 * self.cx + 1:.0f}x{2 * self.cy + 1:.0f} px image, but the images are {width}x{height} px; give "
                "the intrinsics of this image size, or --calibration with a file that states its own"
            )


def _supported(distortion: Sequence[float], source: str, lens: str) -> tuple[float, ...]:
    """Coefficients as the camera model takes them: zeros that say nothing are dropped.

    Raises:
        CalibrationError: more than the model has, or not finite.
    """
    kind = lens_of(lens) or PinholeCamera
    names = coefficient_names(kind)
    for index, value in enumerate(distortion):
        name = names[index] if index < len(names) else f"coefficient {index + 1}"
        if not math.isfinite(value):
            raise CalibrationError(f"{source}: {name} = {value} is not finite; calibrate the camera again")
        if index >= len(names) and value:
            raise CalibrationError(
                f"{source}: {name} = {value:g} is not supported ({', '.join(names)} are); give those of this lens "
                "alone, or undistort the images"
            )
    if kind is DoubleSphereCamera:
        return tuple(map(float, distortion))
    if not any(distortion):
        return ()
    lengths = _LENGTHS if kind is PinholeCamera else (len(names),)
    used = max(index for index, value in enumerate(distortion) if value) + 1
    # OpenCV's rational calibration writes 12 or 14 numbers; those of the thin prism are usually unused.
    wanted = max(used, min(len(distortion), _RATIONAL if kind is PinholeCamera else len(names)))
    padded = [*map(float, distortion), *[0.0] * len(names)]
    return tuple(padded[: next(length for length in lengths if length >= wanted)])

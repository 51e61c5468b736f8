"""One frame as the matcher sees it: a working image and its keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import AnyCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.alignment import Patches, cut_patches

GreyImage = npt.NDArray[np.uint8]


class FullImage:
    """The image in which the points of a frame are measured, and patches of it, which are cut when they are asked for.

    Never changed but for that: several threads may measure in it.

    Args:
        image: (height, width) uint8.
        shape: height and width of the working image.
    """

    def __init__(self, image: GreyImage, shape: tuple[int, ...]) -> None:
        self.image = image
        self._enlarged = np.array([image.shape[k] / shape[k] for k in (1, 0)])
        self._patches: Patches | None = None

    def to_full(self, pixels: FloatArray) -> FloatArray:
        """Pixels (..., 2) of the full image, from those of the working image."""
        return np.asarray((pixels + 0.5) * self._enlarged - 0.5)

    def from_full(self, pixels: FloatArray) -> FloatArray:
        """Inverse of `to_full`."""
        return np.asarray((pixels + 0.5) / self._enlarged - 0.5)

    def patches(self, grid: FloatArray) -> Patches:
        """Patches around points (G, 2) px of the working image; always the same points."""
        if self._patches is None:
            self._patches = cut_patches(self.image, self.to_full(grid))
        return self._patches


class Features:
    """One frame, prepared once to be matched with any other.

    Attributes:
        grey: (height, width) uint8, the working image: as given, or smaller (`EvidenceSettings.working_pixels`).
            All pixel coordinates of the matcher belong to it.
        full: the image as given, or shrunk less (`EvidenceSettings.full_pixels`): where points are measured. The
            working image itself where that is not smaller, or once `forget_details` was called. To be read once for
            each measurement: another thread may exchange it.
        usable: (height, width) pixels of the working image that may be used, not those of the robot's own parts or
            beyond the lens; None for all.
        keypoints: of the working image; None until `Matcher.keypoints` has found them.
        learned: those of `LearnedMatcher`, as well.
    """

    def __init__(
        self, grey: GreyImage, full: GreyImage | None = None, usable: npt.NDArray[np.bool_] | None = None
    ) -> None:
        self.grey = grey
        self.full = FullImage(grey if full is None else full, grey.shape)
        self.usable = usable
        self.keypoints: Keypoints | None = None
        self.learned: Keypoints | None = None

    def forget_details(self) -> None:
        """Keep the working image alone; keypoints are found again where they are needed, and they take megabytes."""
        self.full, self.keypoints, self.learned = FullImage(self.grey, self.grey.shape), None, None

    def may_use(self, pixels: FloatArray) -> npt.NDArray[np.bool_]:
        """(N,) whether pixels (N, 2) may be used; false outside the image and for NaN."""
        height, width = self.grey.shape
        inside = np.asarray(((pixels > -0.5) & (pixels < (width - 0.5, height - 0.5))).all(axis=1))
        if self.usable is not None:
            column, row = np.where(inside[:, None], pixels, 0.0).round().astype(int).T
            inside &= self.usable[row, column]
        return inside

    def working_camera(self, camera: AnyCamera) -> AnyCamera:
        """The camera of the working image, from that of the image as given."""
        height, width = self.grey.shape
        return camera if (width, height) == (camera.width, camera.height) else camera.resized(width, height)


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of one frame, SIFT's or those of another detector.

    Attributes:
        pixels: (K, 2) px of the working image.
        descriptors: (K, D) float32.
        strength: (K,) response of the detector.
    """

    pixels: FloatArray
    descriptors: npt.NDArray[np.float32]
    strength: FloatArray


def to_grey(image: npt.NDArray[np.uint8]) -> GreyImage:
    """A grey image (height, width) uint8, from grey or from RGB (height, width, 3), uint8.

    Raises:
        ValueError: another shape or dtype, or an empty image.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"image of shape {image.shape} and type {image.dtype}: give uint8, (h, w) or (h, w, 3) RGB")
    if 0 in image.shape:
        raise ValueError(f"image of shape {image.shape} is empty")
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

"""Views at the size of the camera: known frames, warped by the depth of a small view, over its own pixels.

The network sees and makes small pictures. It knows well what colour is where; what it cannot show is fine structure.
That is in the known frames. So its picture is taken apart into what it could show and what it could not: the first is
a mean of its own pixels and the warped frames, by how well the two agree, the second comes from the warped frames
wherever they have seen the place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.context import Mask
from ros2_raxels.view_synthesis.view_depth import Float32Array, Projection, matched_depth, shown_at, towards_frames

_AGREEING_LEVELS = 40.0
"""Difference between a small view and warped frames, in levels of 0 to 255, at which both count the same."""

_SPREAD_PX = 2.0
_MADE_UP, _EDGE = 0.4, 25.0
"""Share of a pixel that may be made up before its fine structure is too, and how sharp that bound is."""

_ALONE = 0.2
"""How far warped pixels are trusted where one frame is known: no other tells its depths, which are a guess."""

SURE = 1.0
"""Trust in pixels that are warped by the depths of several frames, or by depths that need not be those of a scene."""

_UNSEEN = 1e-6
_MATCHED_PX = 320
"""Widest image on which known frames are matched: what that tells of a larger one is not worth the time."""


@dataclass(frozen=True, eq=False)
class SmallView:
    """A view at the size of the network, of any size here.

    Attributes:
        picture: (h, w, 3) RGB uint8.
        made_up: (h, w) share of each pixel that no known frame has shown.
        inverse_depth: (h, w) in the unit of the poses.
        weights: (K, h, w) how much each known frame counts; those of a pixel add up to 1 or less.
    """

    picture: ImageArray
    made_up: FloatArray
    inverse_depth: Float32Array
    weights: Float32Array


@dataclass(frozen=True, eq=False)
class SizedView:
    """A view of the size asked for.

    Attributes:
        picture: (H, W, 3) RGB uint8.
        inverse_depth: (H, W) in the unit of the poses.
    """

    picture: ImageArray
    inverse_depth: Float32Array


class SizedContext:
    """Known frames at the size of the views.

    Args:
        images: K known frames (H, W, 3) RGB uint8.
        camera: of all of them, without distortion.
        camera_to_world: K of 4x4, optical frames.
        size: width and height of the views, px.
        trust: how far warped pixels are trusted, 0 to 1; None for what the number of frames allows.
        seen: (H, W) of each frame, where it shows anything; None where all do everywhere.
    """

    def __init__(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: Sequence[FloatArray],
        size: tuple[int, int],
        trust: float | None = None,
        seen: Sequence[Mask] | None = None,
    ) -> None:
        self.camera = camera.resized(*size)
        self._poses = list(camera_to_world)
        usual = SURE if len(self._poses) > 1 else _ALONE
        self._trust = usual if trust is None else trust
        self._images = [_smaller(image, size) for image in images]
        shown = [np.ones(image.shape[:2], bool) for image in images] if seen is None else seen
        self._seen = [_smaller_mask(mask, size) for mask in shown]
        matched_width = min(size[0], _MATCHED_PX)
        matched = (matched_width, max(1, round(size[1] * matched_width / size[0])))
        self._matched_camera = camera.resized(*matched)
        self._matched_images = [_smaller(image, matched) for image in self._images]
        self._matched_seen = None if seen is None else [_smaller_mask(mask, matched) for mask in seen]

    def view(self, small: SmallView, target_to_world: FloatArray) -> SizedView:
        """The view of a camera (4x4) whose small view is known."""
        size = (self.camera.width, self.camera.height)
        moved = towards_frames(self._poses, target_to_world)
        inverse_depth = self.inverse_depth(small.inverse_depth, small.weights, target_to_world)
        warped, seen = self._warped(inverse_depth, small, moved)
        own, made_up = _enlarged(small.picture.astype(np.float32), size), resized(small.made_up, size)
        coarse = _coarse(warped, small.picture.shape[1::-1])
        difference = coarse - own
        apart = np.sqrt(cv2.GaussianBlur((difference * difference).mean(axis=2), (0, 0), _SPREAD_PX))
        agreed = self._trust * seen * _AGREEING_LEVELS / (_AGREEING_LEVELS + apart)
        known = self._trust * seen / (1.0 + np.exp(_EDGE * (made_up - _MADE_UP)))
        picture = own + agreed[..., None] * difference + known[..., None] * (warped - coarse)
        return SizedView(np.rint(picture).clip(0, 255).astype(np.uint8), inverse_depth)

    def inverse_depth(self, rough: Float32Array, weights: Float32Array, target_to_world: FloatArray) -> Float32Array:
        """(H, W) of a camera (4x4), near a rough one (h, w), where the known frames agree best.

        Args:
            rough: in the unit of the poses.
            weights: as of a `SmallView`.
            target_to_world: 4x4.
        """
        size = (self._matched_camera.width, self._matched_camera.height)
        shares = [resized(weight, size) for weight in weights]
        moved = towards_frames(self._poses, target_to_world)
        found = matched_depth(
            resized(rough, size), shares, self._matched_images, self._matched_camera, moved, self._matched_seen
        )
        return resized(found, (self.camera.width, self.camera.height))

    def _warped(
        self, inverse_depth: Float32Array, small: SmallView, moved: Sequence[FloatArray]
    ) -> tuple[Float32Array, Float32Array]:
        """(H, W, 3) what the known frames show of the view, and (H, W) 1 where any of them does."""
        size = (self.camera.width, self.camera.height)
        total = np.zeros((*inverse_depth.shape, 3), np.float32)
        count, seen = np.zeros(inverse_depth.shape, np.float32), np.zeros(inverse_depth.shape, bool)
        for image, mask, weight, pose in zip(self._images, self._seen, small.weights, moved, strict=True):
            column, row, inside = Projection(self.camera, pose).at(inverse_depth)
            inside &= shown_at(mask, column, row)
            # What nobody sees is as the edges of the images.
            share = resized(weight, size) * inside + _UNSEEN
            # Linear interpolation would take away a tenth of the fine structure.
            shown = cv2.remap(image, column, row, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            total += share[..., None] * shown
            count += share
            seen |= inside
        return np.asarray(total / count[..., None], np.float32), seen.astype(np.float32)


def _smaller(image: ImageArray, size: tuple[int, int]) -> ImageArray:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _smaller_mask(mask: Mask, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), np.uint8)


def resized(values: FloatArray | Float32Array, size: tuple[int, int]) -> Float32Array:
    """(H, W, ...) values at another size, width and height; float32."""
    values = values.astype(np.float32, copy=False)
    shrinks = size[0] <= values.shape[1]
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _coarse(picture: Float32Array, size: tuple[int, int]) -> Float32Array:
    """As much of a picture as one of another size can show."""
    own = (picture.shape[1], picture.shape[0])
    return picture if own[0] <= size[0] else _enlarged(resized(picture, size), own)


def _enlarged(values: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Smooth, where values grow."""
    shrinks = size[0] <= values.shape[1]
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))

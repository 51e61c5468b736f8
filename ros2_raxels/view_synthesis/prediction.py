"""What the view predictor is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.context import Mask, check_images

UNSEEN_SHARE = 0.5
"""A pixel of which more than this share is made up was never seen."""

Proceed = Callable[[int, int], bool]
"""Called before each denoising step with the number of steps done and of steps in all; False cancels the rest."""


class PredictionCancelledError(RuntimeError):
    """The prediction was cancelled before its first denoising step: there is nothing to return."""


@dataclass(frozen=True, eq=False)
class PredictionRequest:
    """Views along a trajectory, from context frames whose poses are known.

    Poses are those of optical frames (x right, y down, z ahead). Context and trajectory share one world and one unit
    of length, which need not be the metre.

    Attributes:
        images: K context frames, one or more, (H, W, 3) RGB uint8, oldest first; of more than the predictor
            takes, those that show most of the views are used, see `context_choice`.
        camera: of all context frames, without distortion; the views have its field of view.
        camera_to_world: (K, 4, 4) of the context frames.
        trajectory: (T, 4, 4) camera_to_world of the views, one or more.
        seed: of the noise; the same seed gives the same views.
        steps: denoising steps, one or more; None takes the predictor's settings.
        size: width and height of the views, px, at most those of the camera; None is the network's own, 128 wide, and
            gives the network's own pixels.
        is_free: the poses were imagined, so that their unit is free: whatever depth a single known frame is taken to
            have, some scene has it, and the frame is shown as sharp as it is.
        seen: (H, W) of each image, where it shows anything, see `context.shown_in`; None where all do everywhere.

    Raises:
        ValueError: no image or no pose, an image that `context.check_images` refuses, a size of zero or above the
            camera's, shapes that do not fit each other, or poses that are not finite.
    """

    images: Sequence[ImageArray]
    camera: PinholeCamera
    camera_to_world: FloatArray
    trajectory: FloatArray
    seed: int = 0
    steps: int | None = None
    size: tuple[int, int] | None = None
    is_free: bool = False
    seen: Sequence[Mask] | None = None

    def __post_init__(self) -> None:
        images, views = len(self.images), len(self.trajectory)
        if not images or not views:
            raise ValueError(f"{images} images and {views} poses of views; give one or more of both")
        if images != len(self.camera_to_world):
            raise ValueError(f"{images} images but {len(self.camera_to_world)} poses; give one for each")
        check_images(self.images, self.camera)
        check_seen(self.seen, self.images)
        if self.size is not None:
            check_size(self.size, self.camera)
        for name, poses in (("camera_to_world", self.camera_to_world), ("trajectory", self.trajectory)):
            if np.shape(poses)[1:] != (4, 4) or not np.isfinite(poses).all():
                raise ValueError(f"{name} of shape {np.shape(poses)} must be finite 4x4 poses")


def check_seen(seen: Sequence[Mask] | None, images: Sequence[ImageArray]) -> None:
    """Refuse masks that are not those of the images.

    Raises:
        ValueError: there is not one for each, of its size.
    """
    if seen is not None and [mask.shape for mask in seen] != [image.shape[:2] for image in images]:
        raise ValueError(f"{len(seen)} masks for {len(images)} images; give one for each, of its size")


def check_size(size: tuple[int, int], camera: PinholeCamera) -> None:
    """Refuse a size of views that the camera's images have no pixels for.

    Raises:
        ValueError: a side is not positive, or above the camera's.
    """
    if not (0 < size[0] <= camera.width and 0 < size[1] <= camera.height):
        raise ValueError(
            f"views of {size[0]}x{size[1]} px, but the known images are {camera.width}x{camera.height} px: ask for at "
            "most their size"
        )


@dataclass(frozen=True, eq=False)
class PredictedViews:
    """T predicted views.

    Attributes:
        images: (T, H, W, 3) RGB uint8.
        camera: of the images, without distortion.
        camera_to_world: (T, 4, 4) optical frames, as asked for or as imagined.
        expected_error: (T, H, W) error that the model expects of each pixel: the root mean square over the channels,
            0 to 1 of full range.
        made_up: (T, H, W) share of each pixel that no context frame has shown, 0 to 1.
        confidence: (T,) 0 to 1, see `confidence.probability`.
        signs: what the confidence rests on.
        steps: denoising steps that were taken, fewer than asked for where the prediction was cancelled.
        seed: of the noise.
        depth: (T, H, W) float32 z-depth of what each pixel shows, in the unit of the poses; infinite where it is too
            far to tell. What is made up has a depth that is made up. None where it was not computed.
    """

    images: ImageArray
    camera: PinholeCamera
    camera_to_world: FloatArray
    expected_error: FloatArray
    made_up: FloatArray
    confidence: FloatArray
    signs: Signs
    steps: int
    seed: int
    depth: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class FrameDepth:
    """Depth of a known frame, everywhere in it.

    Attributes:
        camera: of the frame, without distortion.
        inverse_depth: (H, W) of z-depth, in 1 / unit of the poses; 0 where it is too far to tell.
        error: (H, W) standard error of the inverse depth.
    """

    camera: PinholeCamera
    inverse_depth: npt.NDArray[np.float32]
    error: npt.NDArray[np.float32]

    @property
    def depth(self) -> npt.NDArray[np.float32]:
        """(H, W) z-depth, in the unit of the poses; infinite where it is too far to tell."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / self.inverse_depth, np.float32)

    @property
    def sigma(self) -> npt.NDArray[np.float32]:
        """(H, W) standard error of `depth`; infinite where that is."""
        with np.errstate(divide="ignore", invalid="ignore"):
            sigma = self.error / self.inverse_depth**2
        return np.asarray(np.where(self.inverse_depth > 0.0, sigma, np.inf), np.float32)

"""A clip as the joint model takes it and gives it back: padded images, poses of unit reach, tensors by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.context import Mask

WIDTH_PX = 128
"""Width of the images that the model sees and makes."""

_TALLEST = 4
"""Most heights of a width: the width is fixed, so memory grows with the height."""

_PATCH_PX = 16
_LEAST_MOTION = 1e-9
_WHOLE = 0.999

Float32Array = npt.NDArray[np.float32]
Tensors = dict[str, npt.NDArray[Any]]
"""Inputs or outputs of a graph, by name."""


@dataclass(frozen=True, eq=False)
class ModelClip:
    """Context frames, newest first, and after them the T frames to predict: N = K + T in all.

    Attributes:
        images: (K, H, W, 3) RGB uint8 of the context; H is a whole number of patches, and rows beyond `height` repeat
            the last one.
        camera: of the padded images, without distortion.
        height: rows of the images that are not padding.
        poses: (N, 4, 4) camera_to_world of all frames, in the world of the first one's optical frame, in which the
            furthest camera is at distance 1.
        bearings: (N, rows, columns, 3) unit rays of the raxel grid.
        unit: length 1 of `poses`, in that of the world they came from.
        alphas: (K, H, W) uint8, 255 where a context frame shows anything, else 0.
    """

    images: ImageArray
    camera: PinholeCamera
    height: int
    poses: FloatArray
    bearings: FloatArray
    unit: float
    alphas: npt.NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        seen: Sequence[Mask] | None = None,
    ) -> ModelClip:
        """Bring a clip to the size and the unit of the model.

        Args:
            images: K context frames (H, W, 3) RGB uint8, newest first.
            camera: of all frames, without distortion.
            camera_to_world: (N, 4, 4) of all frames, optical frames in any world and unit.
            seen: (H, W) of each context frame, where it shows anything; None where all do everywhere.

        Raises:
            ValueError: images are more than four times as high as wide.
        """
        if camera.height > _TALLEST * camera.width:
            raise ValueError(
                f"images of {camera.width}x{camera.height} px are more than {_TALLEST} times as high as wide; crop them"
            )
        height = max(1, round(camera.height * WIDTH_PX / camera.width))
        padded = -(-height // _PATCH_PX) * _PATCH_PX
        small = [cv2.resize(image, (WIDTH_PX, height), interpolation=cv2.INTER_AREA) for image in images]
        edged = [cv2.copyMakeBorder(i, 0, padded - height, 0, 0, cv2.BORDER_REPLICATE) for i in small]
        view = camera.resized(WIDTH_PX, height)
        whole = PinholeCamera(WIDTH_PX, padded, view.fx, view.fy, view.cx, view.cy)
        poses = relative_pose(camera_to_world[0], camera_to_world)
        shown = [np.ones(image.shape[:2], bool) for image in images] if seen is None else seen
        return cls(
            np.array(edged),
            whole,
            height,
            unit_reach(poses),
            clip_bearings([whole] * len(poses)),
            _unit(poses),
            np.array([_alpha(mask, (WIDTH_PX, height), padded) for mask in shown]),
        )

    @property
    def contexts(self) -> int:
        """K, the number of context frames."""
        return len(self.images)

    @property
    def frames(self) -> int:
        """N, the number of all frames."""
        return len(self.poses)

    @property
    def view_camera(self) -> PinholeCamera:
        """Camera of the predicted views, without the padding."""
        c = self.camera
        return PinholeCamera(c.width, self.height, c.fx, c.fy, c.cx, c.cy)

    # ---------------------------------------------------------------------------------------------------- inputs

    def noise(self, generator: np.random.Generator) -> FloatArray:
        """(1, N, 3, H, W) a video of noise."""
        shape = (1, self.frames, 3, self.camera.height, self.camera.width)
        return np.asarray(generator.normal(size=shape))

    def joint_inputs(
        self,
        rays: FloatArray,
        ray_time: float,
        video: FloatArray,
        video_time: float,
        swept: dict[str, Float32Array] | None,
    ) -> Tensors:
        """Inputs of the joint graph for a denoising step.

        Args:
            rays: (N, rows, columns, 3) whitened, at `ray_time`.
            ray_time: 0 (noise) to 1 (clean).
            video: (1, N, 3, H, W) -1 to 1, at `video_time`; the context frames are put in place of its first K.
            video_time: of the frames to predict, 0 to 1; the context is clean.
            swept: see `swept_inputs`; None where nothing was swept.
        """
        times = np.full((1, self.frames), video_time, np.float32)
        times[0, : self.contexts] = 1.0
        return {
            "rays": rays[None].astype(np.float32),
            "ray_time": np.full((1, self.frames), ray_time, np.float32),
            "bearings": self.bearings[None].astype(np.float32),
            "known": np.ones(1, np.float32),
            "video": self._with_context(video),
            "video_time": times,
            **(swept or self._nothing_swept()),
        }

    def swept_inputs(self, swept: Tensors) -> dict[str, Float32Array]:
        """Outputs of the sweep's graph for the T frames to predict, as the joint graph takes them for all N frames."""
        padded = {
            name: np.concatenate([np.zeros((self.contexts, *v.shape[1:]), v.dtype), v]) for name, v in swept.items()
        }
        return {
            "colour": padded["colour"][None],
            "gate": padded["gate"][None],
            "colour_log_error": padded["log_error"][None],
            "given": np.ones(1, np.float32),
        }

    def _with_context(self, video: FloatArray) -> Float32Array:
        whole = np.array(video, np.float32)
        whole[0, : self.contexts] = self.images.transpose(0, 3, 1, 2) / 127.5 - 1.0
        return whole

    def _nothing_swept(self) -> dict[str, Float32Array]:
        planes = np.zeros((1, self.frames, self.camera.height, self.camera.width), np.float32)
        colour = np.repeat(planes[:, :, None], 3, axis=2)
        return {"colour": colour, "gate": planes, "colour_log_error": planes, "given": np.zeros(1, np.float32)}

    # --------------------------------------------------------------------------------------------------- outputs

    def pictures(self, out: Tensors) -> ImageArray:
        """(T, height, W, 3) RGB uint8: the predicted frames of an answer of the joint graph."""
        video = self._predicted(out["clean_video"]).transpose(0, 2, 3, 1)
        return np.asarray(((video + 1.0) * 127.5).round().clip(0, 255).astype(np.uint8))

    def expected_error(self, out: Tensors) -> FloatArray:
        """(T, height, W) see `prediction.PredictedViews`."""
        # The network's unit is half the range.
        log_error = self._predicted(out["video_log_error"]).astype(float)
        return np.asarray(np.exp(log_error.clip(max=np.log(2.0))) / 2.0)

    def made_up(self, out: Tensors) -> FloatArray:
        """(T, height, W) see `prediction.PredictedViews`."""
        return np.asarray(self._predicted(out["made_up"]).astype(float))

    def depth(self, inverse_depth: Float32Array) -> Float32Array:
        """Depth of the same shape, in the unit of the world that the poses came from; infinite where it is 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.unit / inverse_depth, np.float32)

    def spread(self, a: Tensors, b: Tensors) -> FloatArray:
        """(T,) root mean square difference between two samples, 0 to 1 of full range."""
        difference = self._predicted(a["clean_video"] - b["clean_video"]).astype(float) / 2.0
        return np.asarray(np.sqrt((difference**2).mean(axis=(1, 2, 3))))

    def _predicted(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of (1, N, ..., H, W) the predicted frames, without the rows of padding."""
        return values[0, self.contexts :, ..., : self.height, :]


def _alpha(seen: Mask, size: tuple[int, int], padded: int) -> npt.NDArray[np.uint8]:
    """(padded, W) 255 where all of a pixel is seen, else 0."""
    share = cv2.resize(seen.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    alpha = np.where(share > _WHOLE, 255, 0).astype(np.uint8)
    return np.asarray(cv2.copyMakeBorder(alpha, 0, padded - size[1], 0, 0, cv2.BORDER_REPLICATE), np.uint8)


def unit_reach(poses: FloatArray) -> FloatArray:
    """Poses (N, 4, 4) scaled so that the furthest camera is at distance 1 of the origin; as they are if none moves."""
    scaled = poses.copy()
    scaled[:, :3, 3] /= _unit(poses)
    return scaled


def _unit(poses: FloatArray) -> float:
    """Distance of the furthest camera from the origin; 1 if none moves."""
    reach = float(np.linalg.norm(poses[:, :3, 3], axis=1).max())
    return 1.0 if reach < _LEAST_MOTION else reach

"""The view server with a predictor that paints what it was asked. Run as a process by the tests."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ros2_raxels.engine import EngineError
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.runner import run
from ros2_raxels.nodes.views.view_server import ViewServer
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.prediction import (
    FrameDepth,
    PredictedViews,
    PredictionCancelledError,
    PredictionRequest,
    Proceed,
)
from ros2_raxels.view_synthesis.seen_space import FrameDepths

RAISE_SEED = 666
STEP_S = 0.1
"""Of each denoising step, where more than one is asked for."""

BATCH = 2
SIZE = (32, 24)
MADE_UP, DEPTH = 0.25, 2.5
AHEAD = 0.5
"""How far apart imagined frames are, along z."""


def painted(seed: int, context: int, pose: FloatArray) -> ImageArray:
    """A view: red tells the seed, green how many context frames there were, blue the position along x in cm."""
    colour = [seed % 251, context, int(np.clip(128 + round(100 * pose[0, 3]), 0, 255))]
    return np.tile(np.array(colour, np.uint8), (SIZE[1], SIZE[0], 1))


class PaintingPredictor:
    """Two views at a time; fails when the seed asks for it."""

    def __init__(self, model: str) -> None:
        if model == "broken":
            raise EngineError("no such model")

    def describe(self) -> str:
        return "painter"

    def predict_in_batches(self, request: PredictionRequest, *, proceed: Proceed) -> Iterator[PredictedViews]:
        seed, steps, trajectory = request.seed, request.steps, request.trajectory
        assert steps is not None
        total = steps * -(-len(trajectory) // BATCH)
        for batch, first in enumerate(range(0, len(trajectory), BATCH)):
            poses = trajectory[first : first + BATCH]
            done = self._work(seed, steps, batch * steps, total, proceed)
            if not done:
                return
            yield self._views(seed, len(request.images), request.camera, poses, done)
            if done < steps:
                return

    def imagine(
        self,
        image: ImageArray,
        camera: PinholeCamera,
        frames: int,
        *,
        seed: int,
        steps: int,
        size: tuple[int, int] | None,
        proceed: Proceed,
    ) -> PredictedViews:
        poses = np.tile(np.eye(4), (frames, 1, 1))
        poses[:, 2, 3] = AHEAD * (1 + np.arange(frames))
        done = self._work(seed, steps, 0, steps, proceed)
        if not done:
            raise PredictionCancelledError
        return self._views(seed, 1, camera, poses, done)

    def _work(self, seed: int, steps: int, begun: int, total: int, proceed: Proceed) -> int:
        for done in range(steps):
            if not proceed(begun + done, total):
                return done
            if seed == RAISE_SEED:
                raise MemoryError("as the seed asked")
            time.sleep(STEP_S if steps > 1 else 0.0)
        return steps

    def _views(self, seed: int, context: int, camera: PinholeCamera, poses: FloatArray, steps: int) -> PredictedViews:
        count = len(poses)
        images = np.array([painted(seed, context, pose) for pose in poses])
        made_up = np.full((count, SIZE[1], SIZE[0]), MADE_UP)
        signs = Signs(*np.full((4, count), MADE_UP))
        confidence = self.confidence_of(signs)
        depth = np.full(made_up.shape, DEPTH, np.float32)
        # On the right half nothing was seen.
        made_up[:, :, SIZE[0] // 2 :] += 0.5
        camera = camera.resized(*SIZE)
        return PredictedViews(images, camera, poses, made_up / 2, made_up, confidence, signs, steps, seed, depth)

    def frame_depths(
        self, images: list[ImageArray], camera: PinholeCamera, camera_to_world: FloatArray, views: FloatArray, seen: Any
    ) -> FrameDepths:
        """A wall before each frame."""
        inverse = np.full((len(images), SIZE[1], SIZE[0]), 1.0 / DEPTH, np.float32)
        return FrameDepths(camera.resized(*SIZE), camera_to_world, inverse, 0.01 * inverse)

    def frame_depth(
        self, images: list[ImageArray], camera: PinholeCamera, camera_to_world: FloatArray, frame: int, seen: Any
    ) -> FrameDepth:
        """As far away as there are known frames, in metres; on the left nothing is near enough to tell."""
        inverse = np.full((camera.height, camera.width), 1.0 / len(images), np.float32)
        inverse[:, : camera.width // 2] = 0.0
        return FrameDepth(camera, inverse, 0.02 * inverse)

    def confidence_of(self, signs: Signs) -> FloatArray:
        return 1.0 - signs.made_up


if __name__ == "__main__":
    sys.exit(run(lambda: ViewServer(PaintingPredictor)))

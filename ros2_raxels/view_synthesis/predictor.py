"""Views along a trajectory, and video with a trajectory of its own: the generating half of the joint model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Engine, EngineError
from ros2_raxels.engine.choose import EngineOptions, open_engines
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.geometry.raxel_grid import clip_bearings, decode_clip
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.model.flow import sample, schedule, step_towards
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.confidence import Signs, probability
from ros2_raxels.view_synthesis.dense_points import KnownPoints, evidence_of_view, find_points

SHIPPED = "compact_views"
"""Name of the model that ships for views: of the same build as the one for poses, trained on pixels too."""

WIDTH_PX = 128
"""Of the images that the model sees and makes."""

BATCH = 4
"""Views that are made together: as many as in training. Memory grows with their square."""

_PATCH_PX = 16
_LEAST_MOTION = 1e-9
_OTHER_SAMPLE = 1
"""Beside the seed: of the noise of the sample that is there to be compared with."""

_TALLEST = 4
"""Heights of a width: memory grows with the height of views, whose width is fixed."""

_Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PredictorSettings:
    """How views are made.

    Attributes:
        steps: denoising steps of views; one gives the mean of what may be seen, which is closest on average.
        imagine_steps: denoising steps of joint generation.
    """

    steps: int = 1
    imagine_steps: int = 8


@dataclass(frozen=True, eq=False)
class PredictedViews:
    """Views of T cameras.

    Attributes:
        images: (T, H, W, 3) RGB uint8.
        camera: of the images.
        camera_to_world: (T, 4, 4) as asked for, or as imagined.
        expected_error: (T, H, W) 0 to 1 of full range, root of the mean over channels, as the model expects it.
        made_up: (T, H, W) share of each pixel that no known frame has shown.
        confidence: (T,) 0 to 1, see `confidence.probability`.
        signs: what it rests on.
        steps: that were done, fewer than asked for when it was cancelled.
        seed: of the noise.
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


class PredictionCancelledError(RuntimeError):
    """The work was cancelled before the first denoising step was done: there is nothing to return."""


class ViewPredictor:
    """A trained model that makes views. Not for use from two threads at once.

    Args:
        card: what it is.
        swept, joint: engines of its graphs.
        settings: see there.
    """

    def __init__(
        self, card: ModelCard, swept: Engine, joint: Engine, settings: PredictorSettings | None = None
    ) -> None:
        self.card, self.settings = card, settings or PredictorSettings()
        self._sweep, self._joint = swept, joint
        self._matcher = Matcher()
        self._planes, self._contexts = int(card.size["sweep_depths"]), int(card.size["sweep_contexts"])

    @classmethod
    def load(
        cls, card_path: Path, settings: PredictorSettings | None = None, options: EngineOptions | None = None
    ) -> ViewPredictor:
        """Read and verify a model, and make its engines ready.

        Raises:
            EngineError: it is missing or damaged, makes no views, or no engine that is asked for can run it.
        """
        card = ModelCard.read(card_path)
        if "joint" not in card.graphs:
            raise EngineError(f"model {card.name} was not trained on pixels and makes no views; give another model")
        engines = open_engines(card, card_path.parent, ("sweep", "joint"), options)
        return cls(card, engines["sweep"], engines["joint"], settings)

    @property
    def most_context(self) -> int:
        """How many known frames are used at most."""
        return self._contexts

    def describe(self) -> str:
        """In a line: model, backend."""
        return f"{self.card.name}: {self._joint.describe()}"

    def predict_in_batches(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        trajectory: FloatArray,
        *,
        seed: int = 0,
        steps: int | None = None,
        proceed: Callable[[int, int], bool] | None = None,
    ) -> Iterator[PredictedViews]:
        """`predict` for a few poses of the trajectory at a time, so that memory is bounded and the first come soon.

        Args:
            images, camera, camera_to_world, trajectory, seed, steps: as for `predict`.
            proceed: the same, with steps counted over all batches; after it said no there are no more batches.

        Raises:
            ValueError: as `predict`.
        """
        count, begun = self.settings.steps if steps is None else steps, 0
        total = count * -(-len(trajectory) // BATCH)
        for first in range(0, len(trajectory), BATCH):
            batch = trajectory[first : first + BATCH]
            allowed = None if proceed is None else partial(_proceed_from, proceed, begun, total)
            try:
                views = self.predict(images, camera, camera_to_world, batch, seed=seed, steps=count, proceed=allowed)
            except PredictionCancelledError:
                return
            yield views
            if views.steps < count:
                return
            begun += count

    def predict(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        trajectory: FloatArray,
        *,
        seed: int = 0,
        steps: int | None = None,
        proceed: Callable[[int, int], bool] | None = None,
    ) -> PredictedViews:
        """Views along a trajectory from frames whose poses are known.

        Args:
            images: one or more (H, W, 3) RGB uint8, oldest first; the newest few are used.
            camera: of all images, without distortion; views have its field of view.
            camera_to_world: (K, 4, 4) optical frames.
            trajectory: (T, 4, 4) optical frames of the views, same world and unit.
            seed: of the noise; the same seed gives the same views.
            steps: denoising steps; None takes the settings'.
            proceed: called with steps done and steps in all before each; False cancels.

        Raises:
            ValueError: no image or pose, shapes that do not fit, poses that are not finite, fewer than one step.
            PredictionCancelledError: `proceed` said no before the first step.
        """
        _check(images, camera, camera_to_world, trajectory)
        newest = slice(None, -self._contexts - 1, -1)
        known, poses = list(images)[newest], np.asarray(camera_to_world, float)[newest]
        clip = _Clip.of(known, camera, np.concatenate([poses, trajectory]))
        swept = self._swept(clip, find_points(self._matcher, known, camera, clip.poses[: len(known)]))
        video, count = clip.noise(np.random.default_rng(seed)), self.settings.steps if steps is None else steps
        rays = (encode_raxels(clip.bearings, clip.poses) - clip.bearings) / self.card.ray_spread
        done = 0
        first: dict[str, npt.NDArray[Any]] = {}
        out = first
        for now, later in _steps(count, proceed):
            out = self._denoise(clip, rays, 1.0, video, now, swept.inputs)
            video = step_towards(out["clean_video"], video, now, later)
            first = first or out
            done += 1
        # Later steps expect the error of what is left of the noise, not that of the view.
        error, made_up = _doubts(clip, first)
        noise = clip.noise(np.random.default_rng([seed, _OTHER_SAMPLE]))
        spread = _apart(clip, first, self._denoise(clip, rays, 1.0, noise, 0.0, swept.inputs))
        signs = Signs(np.sqrt((error**2).mean(axis=(1, 2))), made_up.mean(axis=(1, 2)), swept.agreed, spread)
        c = clip.camera
        return PredictedViews(
            _pictures(clip, out),
            PinholeCamera(c.width, clip.height, c.fx, c.fy, c.cx, c.cy),
            np.asarray(trajectory, float),
            *(error, made_up, self.confidence_of(signs), signs, done, seed),
        )

    def confidence_of(self, signs: Signs) -> FloatArray:
        """(T,) of `PredictedViews.signs`, to which poses estimated back may have been added."""
        return probability(self.card.confidence, signs)

    def imagine(
        self,
        image: ImageArray,
        camera: PinholeCamera,
        frames: int,
        *,
        seed: int = 0,
        steps: int | None = None,
        proceed: Callable[[int, int], bool] | None = None,
    ) -> PredictedViews:
        """Video and trajectory together, from one frame.

        Rays and pixels are denoised side by side, and the pixels once more with the cameras that came of it, with the
        frame swept into them. The world is the frame's optical frame; no image tells the unit, so it is the reach of
        the trajectory.

        Args:
            image: (H, W, 3) RGB uint8.
            camera, seed, steps, proceed: as for `predict`.
            frames: how many to imagine.

        Raises:
            ValueError, PredictionCancelledError: as `predict`; no frame asked for.
        """
        if frames < 1:
            raise ValueError(f"{frames} frames to imagine; ask for one or more")
        still = np.tile(np.eye(4), (1 + frames, 1, 1))
        _check([image], camera, still[:1], still[1:])
        clip = _Clip.of([image], camera, still)
        generator, count = np.random.default_rng(seed), self.settings.imagine_steps if steps is None else steps
        video, rays = clip.noise(generator), generator.normal(size=clip.bearings.shape)
        done, clean = 0, rays
        for now, later in _steps(count, proceed):
            # The source's own rays are noise like the others': the model says where they belong.
            out = self._denoise(clip, rays, now, video, now, None)
            clean = out["clean"][0].astype(float)
            rays, video = step_towards(clean, rays, now, later), step_towards(out["clean_video"], video, now, later)
            done += 1
        poses = self._poses(clip, clean)
        views = self.predict([image], camera, np.eye(4)[None], poses[1:], seed=seed, steps=1)
        return replace(views, steps=done)

    def trajectory(
        self, images: Sequence[ImageArray], camera: PinholeCamera, *, seed: int = 0, steps: int = 1
    ) -> FloatArray:
        """Cameras (N, 4, 4) of a clip from its pixels alone, in the first one's frame, the furthest at distance 1.

        The paper's model without evidence; `estimator.Estimator` is far more accurate at this size.

        Raises:
            ValueError: as `predict`; fewer than two images.
        """
        if len(images) < 2:
            raise ValueError(f"a clip of {len(images)} image(s) has no motion; give two or more")
        still = np.tile(np.eye(4), (len(images), 1, 1))
        _check(images, camera, still, still)
        clip = _Clip.of(images, camera, still)
        rays: FloatArray = np.random.default_rng(seed).normal(size=clip.bearings.shape)

        def predict(x: FloatArray, time: float) -> FloatArray:
            clean = self._denoise(clip, x, time, clip.noise(np.random.default_rng(seed)), 1.0, None)["clean"]
            return np.asarray(clean[0], float)

        clean = sample(predict, rays, steps)
        return self._poses(clip, clean)

    def _poses(self, clip: _Clip, clean: FloatArray) -> FloatArray:
        """(N, 4, 4) that whitened rays mean, in the first frame's, the furthest at distance 1."""
        return _unit_reach(decode_clip(clip.bearings, clip.bearings + clean * self.card.ray_spread))

    def _swept(self, clip: _Clip, points: KnownPoints) -> _Swept:
        """What the sweep says of all frames of a clip."""
        images, size = list(clip.images), (clip.camera.height, clip.camera.width)
        sources, targets = list(clip.poses[: len(images)]), clip.poses[len(images) :]
        stacks = np.zeros((len(targets), self._contexts, 4, self._planes, *size), np.uint8)
        votes = np.zeros((len(targets), self._planes, *size), np.float32)
        for stack, vote, pose in zip(stacks, votes, targets, strict=True):
            known = evidence_of_view(points, images, sources, clip.camera, pose, self._planes)
            stack[: len(images)], vote[:] = known.swept, known.votes
        out = self._sweep.run({"swept": stacks, "votes": votes})
        padded = {name: np.concatenate([np.zeros((len(images), *v.shape[1:]), v.dtype), v]) for name, v in out.items()}
        inputs = {
            "colour": padded["colour"][None],
            "gate": padded["gate"][None],
            "colour_log_error": padded["log_error"][None],
            "given": np.ones(1, np.float32),
        }
        agreed = votes.sum(axis=1)[:, : clip.height].clip(max=1.0).mean(axis=(1, 2))
        return _Swept(inputs, np.asarray(agreed, float))

    def _denoise(
        self,
        clip: _Clip,
        rays: FloatArray,
        ray_time: float,
        video: FloatArray,
        video_time: float,
        swept: dict[str, _Float32] | None,
    ) -> dict[str, npt.NDArray[Any]]:
        times = np.full((1, clip.frames), video_time, np.float32)
        times[0, : len(clip.images)] = 1.0
        inputs: dict[str, npt.NDArray[Any]] = {
            "rays": rays[None].astype(np.float32),
            "ray_time": np.full((1, clip.frames), ray_time, np.float32),
            "bearings": clip.bearings[None].astype(np.float32),
            "known": np.ones(1, np.float32),
            "video": clip.with_sources(video),
            "video_time": times,
            **(swept or clip.nothing_swept()),
        }
        return self._joint.run(inputs)


@dataclass(frozen=True, eq=False)
class _Swept:
    """What the sweep says.

    Attributes:
        inputs: of the joint graph, for all frames of a clip.
        agreed: (T,) of `Signs`.
    """

    inputs: dict[str, _Float32]
    agreed: FloatArray


@dataclass(frozen=True, eq=False)
class _Clip:
    """Sources, newest first, and the cameras of the frames to make, as the model takes them.

    Attributes:
        images: (K, H, W, 3) uint8, whole patches high; rows beyond `height` repeat the last one.
        camera: of these.
        height: rows that are seen.
        poses: (N, 4, 4) of all frames in the first one's, the furthest at distance 1.
        bearings: (N, rows, columns, 3).
    """

    images: ImageArray
    camera: PinholeCamera
    height: int
    poses: FloatArray
    bearings: FloatArray

    @classmethod
    def of(cls, images: Sequence[ImageArray], camera: PinholeCamera, camera_to_world: FloatArray) -> _Clip:
        height = max(1, round(camera.height * WIDTH_PX / camera.width))
        padded = -(-height // _PATCH_PX) * _PATCH_PX
        small = [cv2.resize(image, (WIDTH_PX, height), interpolation=cv2.INTER_AREA) for image in images]
        edged = [cv2.copyMakeBorder(i, 0, padded - height, 0, 0, cv2.BORDER_REPLICATE) for i in small]
        seen = camera.resized(WIDTH_PX, height)
        whole = PinholeCamera(WIDTH_PX, padded, seen.fx, seen.fy, seen.cx, seen.cy)
        poses = relative_pose(camera_to_world[0], camera_to_world)
        return cls(np.array(edged), whole, height, _unit_reach(poses), clip_bearings([whole] * len(poses)))

    @property
    def frames(self) -> int:
        return len(self.poses)

    def noise(self, generator: np.random.Generator) -> FloatArray:
        shape = (1, self.frames, 3, self.camera.height, self.camera.width)
        return np.asarray(generator.normal(size=shape))

    def with_sources(self, video: FloatArray) -> _Float32:
        whole = np.array(video, np.float32)
        whole[0, : len(self.images)] = self.images.transpose(0, 3, 1, 2) / 127.5 - 1.0
        return whole

    def nothing_swept(self) -> dict[str, _Float32]:
        planes = np.zeros((1, self.frames, self.camera.height, self.camera.width), np.float32)
        colour = np.repeat(planes[:, :, None], 3, axis=2)
        return {"colour": colour, "gate": planes, "colour_log_error": planes, "given": np.zeros(1, np.float32)}


def _unit_reach(poses: FloatArray) -> FloatArray:
    """The same with the furthest camera at distance 1, where one moves."""
    reach = np.linalg.norm(poses[:, :3, 3], axis=1).max()
    if reach < _LEAST_MOTION:
        return poses
    scaled = poses.copy()
    scaled[:, :3, 3] /= reach
    return scaled


def _steps(count: int, proceed: Callable[[int, int], bool] | None) -> Iterator[tuple[float, float]]:
    """Time of each denoising step and of the next, until `proceed` says no.

    Raises:
        PredictionCancelledError: it said so before the first.
    """
    for done, (now, later) in enumerate(itertools.pairwise(schedule(count))):
        if proceed is not None and not proceed(done, count):
            if not done:
                raise PredictionCancelledError(f"cancelled before the first of {count} denoising steps")
            return
        yield now, later


def _proceed_from(proceed: Callable[[int, int], bool], begun: int, total: int, done: int, _: int) -> bool:
    return proceed(begun + done, total)


def _pictures(clip: _Clip, out: dict[str, npt.NDArray[Any]]) -> ImageArray:
    """(T, H, W, 3) of the frames that were made."""
    video = out["clean_video"][0, len(clip.images) :, :, : clip.height].transpose(0, 2, 3, 1)
    return np.asarray(((video + 1.0) * 127.5).round().clip(0, 255).astype(np.uint8))


def _doubts(clip: _Clip, out: dict[str, npt.NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
    """(T, H, W) `PredictedViews.expected_error` and `made_up`."""
    made = slice(len(clip.images), None)
    # The network's unit is half the range.
    error = np.exp(out["video_log_error"][0, made, : clip.height].astype(float).clip(max=np.log(2.0))) / 2.0
    return np.asarray(error), np.asarray(out["made_up"][0, made, : clip.height].astype(float))


def _apart(clip: _Clip, a: dict[str, npt.NDArray[Any]], b: dict[str, npt.NDArray[Any]]) -> FloatArray:
    """(T,) root of the mean square difference between two samples, of full range."""
    made = slice(len(clip.images), None)
    difference = (a["clean_video"] - b["clean_video"])[0, made, :, : clip.height].astype(float) / 2.0
    return np.asarray(np.sqrt((difference**2).mean(axis=(1, 2, 3))))


def _check(
    images: Sequence[ImageArray], camera: PinholeCamera, camera_to_world: FloatArray, trajectory: FloatArray
) -> None:
    if not len(images) or not len(trajectory):
        raise ValueError(f"{len(images)} images and {len(trajectory)} poses of views; give one or more of both")
    if len(images) != len(camera_to_world):
        raise ValueError(f"{len(images)} images but {len(camera_to_world)} poses; give one for each")
    if camera.is_distorted:
        raise ValueError(f"camera with distortion {camera.distortion}; undistort the images first")
    if camera.height > _TALLEST * camera.width:
        raise ValueError(
            f"images of {camera.width}x{camera.height} px are more than {_TALLEST} times as high as wide; crop them"
        )
    for index, image in enumerate(images):
        if image.dtype != np.uint8:
            raise ValueError(f"image {index} is of {image.dtype}; give uint8, 0 to 255")
        if image.shape != (camera.height, camera.width, 3):
            raise ValueError(
                f"image {index} has shape {image.shape}, its camera is {camera.width}x{camera.height} px; give RGB "
                "images of the camera's size"
            )
    for name, poses in (("camera_to_world", camera_to_world), ("trajectory", trajectory)):
        if np.shape(poses)[1:] != (4, 4) or not np.isfinite(poses).all():
            raise ValueError(f"{name} of shape {np.shape(poses)} must be finite 4x4 poses")

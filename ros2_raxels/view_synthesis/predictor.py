"""Views along a trajectory, and video with a trajectory of its own: the generating half of the joint model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import numpy as np

from ros2_raxels.engine import Engine, EngineError
from ros2_raxels.engine.choose import EngineOptions, open_engines
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxel_grid import decode_clip
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.model.flow import sample
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.confidence import Signs, probability
from ros2_raxels.view_synthesis.context import Mask, check_images
from ros2_raxels.view_synthesis.context_choice import choose_frames
from ros2_raxels.view_synthesis.dense_points import KnownPoints, find_points
from ros2_raxels.view_synthesis.model_clip import Float32Array, ModelClip, Tensors, unit_reach
from ros2_raxels.view_synthesis.prediction import (
    FrameDepth,
    PredictedViews,
    PredictionCancelledError,
    PredictionRequest,
    Proceed,
    check_size,
)
from ros2_raxels.view_synthesis.seen_space import FrameDepths
from ros2_raxels.view_synthesis.sized_view import SURE, SizedContext, SmallView, resized
from ros2_raxels.view_synthesis.view_depth import LARGEST_ERROR, chosen_depth
from ros2_raxels.view_synthesis.view_evidence import evidence_of_view

SHIPPED = "compact_views"
"""Name of the shipped model for views: built like the one for poses, and trained on pixels too."""

BATCH = 4
"""Views that are made together: as many as in training. Memory grows with their square."""

_LEAST_TELLING = 0.2
"""Share of the points that must be known to be nearer than infinity: of a camera that turns on the spot, none is."""

_OTHER_SAMPLE = 1
"""Second part of the seed of the sample that the view is compared with."""

_Step = TypeVar("_Step")


@dataclass(frozen=True)
class PredictorSettings:
    """How many denoising steps the predictor takes.

    Attributes:
        steps: for views; one step gives the mean of what may be seen, which has the smallest error on average.
        imagine_steps: for video and trajectory together.
    """

    steps: int = 1
    imagine_steps: int = 8


class ViewPredictor:
    """A trained model that predicts views. Calls from several threads wait for each other.

    Args:
        card: of the model.
        swept, joint: engines of its graphs "sweep" and "joint".
        settings: see there.
    """

    def __init__(
        self, card: ModelCard, swept: Engine, joint: Engine, settings: PredictorSettings | None = None
    ) -> None:
        self.card, self.settings = card, settings or PredictorSettings()
        self._sweep, self._joint = swept, joint
        self._matcher, self._one_at_a_time = Matcher(), threading.RLock()
        self._planes, self._contexts = int(card.size["sweep_depths"]), int(card.size["sweep_contexts"])

    @classmethod
    def load(
        cls, card_path: Path, settings: PredictorSettings | None = None, options: EngineOptions | None = None
    ) -> ViewPredictor:
        """Read and verify a model, and open its engines.

        Raises:
            EngineError: the model is missing or damaged, makes no views, or cannot be run by the engine asked for.
        """
        card = ModelCard.read(card_path)
        if "joint" not in card.graphs:
            raise EngineError(f"model {card.name} was not trained on pixels and makes no views; give another model")
        engines = open_engines(card, card_path.parent, ("sweep", "joint"), options)
        return cls(card, engines["sweep"], engines["joint"], settings)

    def describe(self) -> str:
        """In a line: model, backend."""
        return f"{self.card.name}: {self._joint.describe()}"

    def predict_in_batches(
        self, request: PredictionRequest, *, proceed: Proceed | None = None
    ) -> Iterator[PredictedViews]:
        """`predict` for `BATCH` poses of the trajectory at a time: memory is bounded, and the first views come soon.

        Args:
            request: what to predict.
            proceed: as for `predict`, with steps counted over all batches; once it says no, no further batch comes.

        Raises:
            ValueError: as `predict`.
        """
        count, begun = self.settings.steps if request.steps is None else request.steps, 0
        total = count * -(-len(request.trajectory) // BATCH)
        for first in range(0, len(request.trajectory), BATCH):
            batch = replace(request, trajectory=request.trajectory[first : first + BATCH], steps=count)
            allowed = None if proceed is None else partial(_proceed_from, proceed, begun, total)
            try:
                views = self.predict(batch, proceed=allowed)
            except PredictionCancelledError:
                return
            yield views
            if views.steps < count:
                return
            begun += count

    def predict(self, request: PredictionRequest, *, proceed: Proceed | None = None) -> PredictedViews:
        """Views along a trajectory from frames whose poses are known, all made together.

        Args:
            request: what to predict.
            proceed: see `prediction.Proceed`.

        Raises:
            ValueError: fewer than one step, or images that are more than four times as high as wide.
            PredictionCancelledError: `proceed` said no before the first step.
        """
        with self._one_at_a_time:
            return self._predicted(request, proceed)

    def _predicted(self, request: PredictionRequest, proceed: Proceed | None) -> PredictedViews:
        camera, seed, steps = request.camera, request.seed, request.steps
        trajectory = np.asarray(request.trajectory, float)
        known, poses, seen = self._chosen(request.images, camera, request.camera_to_world, trajectory, request.seen)
        clip = ModelClip.of(known, camera, np.concatenate([poses, trajectory]), seen)
        swept = self._swept(clip, find_points(self._matcher, known, camera, clip.poses[: len(known)], seen))
        video, count = clip.noise(np.random.default_rng(seed)), self.settings.steps if steps is None else steps
        rays = (encode_raxels(clip.bearings, clip.poses) - clip.bearings) / self.card.ray_spread

        def predict(x: FloatArray, time: float) -> Tensors:
            return self._joint.run(clip.joint_inputs(rays, 1.0, x, time, swept.inputs))

        first, out, done = _taken(sample(predict, video, count, itemgetter("clean_video")), count, proceed)
        # Later steps expect the error of what is left of the noise, not that of the view.
        error, made_up = clip.expected_error(first), clip.made_up(first)
        noise = clip.noise(np.random.default_rng([seed, _OTHER_SAMPLE]))
        spread = clip.spread(first, self._joint.run(clip.joint_inputs(rays, 1.0, noise, 0.0, swept.inputs)))
        signs = Signs(np.sqrt((error**2).mean(axis=(1, 2))), made_up.mean(axis=(1, 2)), swept.agreed, spread)
        small = PredictedViews(
            images=clip.pictures(out),
            camera=clip.view_camera,
            camera_to_world=trajectory,
            expected_error=error,
            made_up=made_up,
            confidence=self.confidence_of(signs),
            signs=signs,
            steps=done,
            seed=seed,
            depth=clip.depth(swept.inverse_depth),
        )
        if request.size is None:
            return small
        context = SizedContext(
            known, camera, list(clip.poses[: clip.contexts]), request.size, SURE if request.is_free else None, seen
        )
        return _sized(small, swept, clip, context)

    def _chosen(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        trajectory: FloatArray,
        seen: Sequence[Mask] | None,
    ) -> tuple[list[ImageArray], FloatArray, list[Mask] | None]:
        """As many known frames as the network takes, the most telling first: images, poses, masks."""
        poses, count = np.asarray(camera_to_world, float), len(images)
        # The network expects the newest first, because on a way ahead it looks most like the views.
        newest = list(range(count))[::-1]
        chosen = newest if count <= self._contexts else choose_frames(camera, poses, trajectory, self._contexts)
        return [images[k] for k in chosen], poses[chosen], None if seen is None else [seen[k] for k in chosen]

    def confidence_of(self, signs: Signs) -> FloatArray:
        """(T,) probability that views are good, see `confidence.probability`.

        Args:
            signs: `PredictedViews.signs`, with or without the poses estimated back from the finished views.
        """
        return probability(self.card.confidence, signs)

    def imagine(
        self,
        image: ImageArray,
        camera: PinholeCamera,
        frames: int,
        *,
        seed: int = 0,
        steps: int | None = None,
        size: tuple[int, int] | None = None,
        proceed: Proceed | None = None,
    ) -> PredictedViews:
        """Video and trajectory together, from one frame.

        Rays and pixels are denoised side by side. Then the pixels are predicted once more for the cameras that came
        of it, with the frame swept into them. The world is the frame's optical frame. No image shows the scale, so
        the unit of length is the distance of the furthest camera.

        Args:
            image: (H, W, 3) RGB uint8.
            camera: of the image, without distortion.
            frames: number of frames to imagine, one or more.
            seed: of the noise.
            steps: denoising steps, one or more; None takes the settings.
            size: of the frames, see `PredictionRequest`.
            proceed: see `prediction.Proceed`.

        Raises:
            ValueError: no frame or no step asked for, a size above the image's, or an image that
                `context.check_images` refuses or that is more than four times as high as wide.
            PredictionCancelledError: `proceed` said no before the first step.
        """
        if frames < 1:
            raise ValueError(f"{frames} frames to imagine; ask for one or more")
        still = np.tile(np.eye(4), (1 + frames, 1, 1))
        check_images([image], camera)
        if size is not None:
            check_size(size, camera)
        clip = ModelClip.of([image], camera, still)
        generator, count = np.random.default_rng(seed), self.settings.imagine_steps if steps is None else steps
        video, rays = clip.noise(generator), generator.normal(size=clip.bearings.shape)

        def predict(x: tuple[FloatArray, FloatArray], time: float) -> Tensors:
            # The source's own rays are noise like the others': the model says where they belong.
            noisy_rays, noisy_video = x
            return self._joint.run(clip.joint_inputs(noisy_rays[0], time, noisy_video, time, None))

        both = itemgetter("clean", "clean_video")
        with self._one_at_a_time:
            _, out, done = _taken(sample(predict, (rays[None], video), count, both), count, proceed)
        poses = self._poses(clip, out["clean"][0].astype(float))
        origin = np.eye(4)[None]
        views = self.predict(PredictionRequest([image], camera, origin, poses[1:], seed, 1, size, is_free=True))
        return replace(views, steps=done)

    def trajectory(
        self, images: Sequence[ImageArray], camera: PinholeCamera, *, seed: int = 0, steps: int = 1
    ) -> FloatArray:
        """Camera poses of a clip from its pixels alone: the paper's model, which sees no correspondences.

        `estimator.Estimator` is far more accurate at this size of model.

        Args:
            images: N, two or more, (H, W, 3) RGB uint8.
            camera: of all images, without distortion.
            seed: of the noise.
            steps: denoising steps, one or more.

        Returns:
            (N, 4, 4) camera_to_first, optical frames; the furthest camera is at distance 1.

        Raises:
            ValueError: fewer than two images or no step, or an image that `context.check_images` refuses or that is
                more than four times as high as wide.
        """
        if len(images) < 2:
            raise ValueError(f"a clip of {len(images)} image(s) has no motion; give two or more")
        still = np.tile(np.eye(4), (len(images), 1, 1))
        check_images(images, camera)
        clip = ModelClip.of(images, camera, still)
        rays: FloatArray = np.random.default_rng(seed).normal(size=clip.bearings.shape)

        def predict(x: FloatArray, time: float) -> FloatArray:
            inputs = clip.joint_inputs(x, time, clip.noise(np.random.default_rng(seed)), 1.0, None)
            return np.asarray(self._joint.run(inputs)["clean"][0], float)

        with self._one_at_a_time:
            *_, clean = sample(predict, rays, steps)
        return self._poses(clip, clean)

    def frame_depths(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        views: FloatArray | None = None,
        seen: Sequence[Mask] | None = None,
    ) -> FrameDepths:
        """Depths of known frames, each from all of them, at the size of the network.

        Args:
            images: K frames, two or more, (H, W, 3) RGB uint8, oldest first; of more than the network takes those that
                show most of the views are used.
            camera: of all frames, without distortion.
            camera_to_world: (K, 4, 4) optical frames.
            views: (T, 4, 4) optical frames of cameras that the depths are for; None for the newest frame's.
            seen: as for a `PredictionRequest`.

        Raises:
            ValueError: fewer than two frames, or frames that stand in one place, so that nothing tells how far things
                are; images that `predict` refuses.
        """
        _check_several(images, camera)
        wanted = np.asarray(camera_to_world, float)[-1:] if views is None else views
        known, poses, shown = self._chosen(images, camera, camera_to_world, wanted, seen)
        clip = ModelClip.of(known, camera, np.concatenate([poses, poses]), shown)
        with self._one_at_a_time:
            swept = self._swept(clip, self._telling_points(known, camera, clip, shown))
        error = np.minimum(swept.error, LARGEST_ERROR * swept.inverse_depth)
        return FrameDepths(clip.view_camera, poses, swept.inverse_depth / clip.unit, error / clip.unit)

    def frame_depth(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        frame: int = -1,
        seen: Sequence[Mask] | None = None,
    ) -> FrameDepth:
        """Depth of one known frame, from itself and those of the others that show most of it, at its size.

        Args:
            images, camera, camera_to_world: as for `frame_depths`.
            frame: which of them; the newest by default.
            seen: as for a `PredictionRequest`.

        Raises:
            ValueError: as `frame_depths`.
        """
        _check_several(images, camera)
        target = np.asarray(camera_to_world, float)[frame]
        known, poses, shown = self._chosen(images, camera, camera_to_world, target[None], seen)
        clip = ModelClip.of(known, camera, np.concatenate([poses, target[None]]), shown)
        with self._one_at_a_time:
            swept = self._swept(clip, self._telling_points(known, camera, clip, shown))
        size = (camera.width, camera.height)
        context = SizedContext(known, camera, list(clip.poses[: clip.contexts]), size, seen=shown)
        matched = context.inverse_depth(swept.inverse_depth[0], swept.weights[0], clip.poses[-1])
        error = resized(swept.error[0], size)
        return FrameDepth(camera, matched / np.float32(clip.unit), error / np.float32(clip.unit))

    def _telling_points(
        self, known: Sequence[ImageArray], camera: PinholeCamera, clip: ModelClip, seen: Sequence[Mask] | None
    ) -> KnownPoints:
        """Points of the known frames of a clip, which must tell depths."""
        points = find_points(self._matcher, known, camera, clip.poses[: len(known)], seen)
        if points.telling < _LEAST_TELLING:
            raise ValueError("the known frames agree on no depth; they must be of different places that show the same")
        return points

    def _poses(self, clip: ModelClip, clean: FloatArray) -> FloatArray:
        """(N, 4, 4) camera_to_first of whitened rays, the furthest camera at distance 1."""
        return unit_reach(decode_clip(clip.bearings, clip.bearings + clean * self.card.ray_spread))

    def _swept(self, clip: ModelClip, points: KnownPoints) -> _Swept:
        """The context frames of a clip swept into the frames to predict."""
        images, alphas, poses = list(clip.images), list(clip.alphas), list(clip.poses)
        known_poses, targets = poses[: clip.contexts], poses[clip.contexts :]
        size = (clip.camera.height, clip.camera.width)
        stacks = np.zeros((len(targets), self._contexts, 4, self._planes, *size), np.uint8)
        votes = np.zeros((len(targets), self._planes, *size), np.float32)
        depths = []
        for stack, vote, pose in zip(stacks, votes, targets, strict=True):
            known = evidence_of_view(points, images, known_poses, clip.camera, pose, self._planes, alphas)
            stack[: clip.contexts], vote[:] = known.swept, known.votes
            depths.append(known.inverse_depths)
        out = self._sweep.run({"swept": stacks, "votes": votes})
        if not {"planes", "weights"} <= out.keys():
            raise EngineError(f"model {self.card.name} does not tell depths; export it again with this version")
        rows = slice(clip.height)
        chosen = [chosen_depth(p[:, rows], d) for p, d in zip(out["planes"], depths, strict=True)]
        agreed = votes.sum(axis=1)[:, rows].clip(max=1.0).mean(axis=(1, 2))
        return _Swept(
            clip.swept_inputs(out),
            np.asarray(agreed, float),
            np.array([inverse_depth for inverse_depth, _ in chosen]),
            np.array([error for _, error in chosen]),
            np.asarray(out["weights"][:, : clip.contexts, rows], np.float32),
        )


def _check_several(images: Sequence[ImageArray], camera: PinholeCamera) -> None:
    if len(images) < 2:
        raise ValueError(f"{len(images)} known frame(s) show no depth; give two or more from different places")
    check_images(images, camera)


@dataclass(frozen=True, eq=False)
class _Swept:
    """What the plane sweep says of the T frames to predict.

    Attributes:
        inputs: of the joint graph, for all frames of a clip; see `ModelClip.swept_inputs`.
        agreed: (T,) see `Signs`.
        inverse_depth, error: (T, height, W) in the unit of the clip, and its standard error.
        weights: (T, K, height, W) how much each context frame counts.
    """

    inputs: dict[str, Float32Array]
    agreed: FloatArray
    inverse_depth: Float32Array
    error: Float32Array
    weights: Float32Array


def _sized(small: PredictedViews, swept: _Swept, clip: ModelClip, context: SizedContext) -> PredictedViews:
    """The same views at a size that their context frames have pixels for."""
    size = (context.camera.width, context.camera.height)
    views = [
        context.view(SmallView(picture, made_up, inverse_depth, weights), pose)
        for picture, made_up, inverse_depth, weights, pose in zip(
            small.images,
            small.made_up,
            swept.inverse_depth,
            swept.weights,
            clip.poses[clip.contexts :],
            strict=True,
        )
    ]
    return replace(
        small,
        images=np.array([view.picture for view in views]),
        camera=context.camera,
        expected_error=np.array([resized(error, size) for error in small.expected_error]),
        made_up=np.array([resized(share, size) for share in small.made_up]),
        depth=clip.depth(np.array([view.inverse_depth for view in views])),
    )


def _taken(steps: Iterator[_Step], count: int, proceed: Proceed | None) -> tuple[_Step, _Step, int]:
    """First and last of `count` denoising steps, and how many were taken until `proceed` said no.

    Raises:
        PredictionCancelledError: it said so before the first.
    """
    taken: list[_Step] = []
    while len(taken) < count and (proceed is None or proceed(len(taken), count)):
        taken.append(next(steps))
    if not taken:
        raise PredictionCancelledError(f"cancelled before the first of {count} denoising steps")
    return taken[0], taken[-1], len(taken)


def _proceed_from(proceed: Callable[[int, int], bool], begun: int, total: int, done: int, _: int) -> bool:
    return proceed(begun + done, total)

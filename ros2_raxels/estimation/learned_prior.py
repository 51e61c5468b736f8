"""The learned prior in serving: a trained model that judges evidence and proposes cameras, as raxels, from noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Engine, EngineError
from ros2_raxels.engine.choose import EngineOptions, open_engines
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings, refine
from ros2_raxels.estimation.hypotheses import PoseHypotheses
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxel_grid import decode_clip
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.matching.tracks import FLOW, Evidence
from ros2_raxels.model.flow import sample, step_towards
from ros2_raxels.utils.ros_environment import shipped_file

SHIPPED = "compact"
"""Name of the model that ships."""

_SEED = 0
_BETWEEN_STEPS = RefineSettings(widths_px=(6.0, 4.0), iterations=4)

_Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DenoiseSettings:
    """How the model is used.

    Attributes:
        samples: hypotheses from pure noise, one sample each.
        steps: denoising steps; one is best for poses.
        guided: whether every step is followed by a short bundle adjustment.
        alone: whether the given hypotheses are left out of the answer.
        warm_samples: further hypotheses, which start from noise blended with the first given one; in a stream that is
            the expected pose.
        warm_time: time at which those start; 0 is pure noise, 1 clean data.
    """

    samples: int = 4
    steps: int = 1
    guided: bool = True
    alone: bool = False
    warm_samples: int = 0
    warm_time: float = 0.5


STREAM = DenoiseSettings(samples=2, warm_samples=2)
"""For a tracker, which expects the camera at a certain pose."""


@dataclass(frozen=True)
class Judged:
    """The model's reading of a clip's evidence, before any pose.

    Attributes:
        inlier: (P, N) probability that an observation shows the point seen in the anchor; 1 at the anchor.
        focal: estimated focal length over the one that the evidence was given with.
        tokens: inputs of the ray graph, by name.
    """

    inlier: FloatArray
    focal: float
    tokens: dict[str, npt.NDArray[Any]]


class LearnedDenoiser:
    """A trained model, ready to run; a `hypotheses.Denoiser`.

    Args:
        card: of the model.
        encode, rays: engines of its two graphs.
        settings: how it is used.
    """

    def __init__(self, card: ModelCard, encode: Engine, rays: Engine, settings: DenoiseSettings | None = None) -> None:
        self.card, self.settings = card, settings or DenoiseSettings()
        self._encode, self._rays = encode, rays

    @classmethod
    def load(
        cls, card_path: Path, settings: DenoiseSettings | None = None, options: EngineOptions | None = None
    ) -> LearnedDenoiser:
        """Read and verify a model, and open its engines.

        Raises:
            EngineError: it is missing, damaged or of another version, or none of the requested engines can run it.
        """
        card = ModelCard.read(card_path)
        graphs = open_engines(card, card_path.parent, ("encode", "rays"), options)
        return cls(card, graphs["encode"], graphs["rays"], settings)

    def used_as(self, settings: DenoiseSettings) -> LearnedDenoiser:
        """The same model with other settings, on the same engines."""
        return LearnedDenoiser(self.card, self._encode, self._rays, settings)

    def describe(self) -> str:
        """Model and backend, in one line."""
        return f"{self.card.name}: {self._rays.describe()}"

    def judge(self, evidence: Evidence, bearings: FloatArray, *, focal_known: bool = True) -> Judged:
        """Judge the evidence of a clip.

        Args:
            evidence: P tracks over N frames.
            bearings: (N, rows, columns, 3) of the cameras that the evidence was given with.
            focal_known: whether those are calibrated, not guessed.
        """
        known = np.array([float(focal_known)], np.float32)
        tokens = self._encode.run({**track_arrays(evidence, bearings), "known": known})
        inlier = 1.0 / (1.0 + np.exp(-tokens.pop("inlier")[0].astype(float)))
        inlier[np.arange(len(inlier)), evidence.anchor] = 1.0
        inlier[evidence.seen & ~np.isfinite(evidence.plane[..., 0])] = 1.0
        return Judged(inlier, float(np.exp(tokens.pop("log_focal")[0])), {**tokens, "known": known})

    def denoise(self, evidence: Evidence, bearings: FloatArray, hypotheses: PoseHypotheses) -> PoseHypotheses:
        """The given hypotheses and samples of the model, with the inlier probabilities of the evidence.

        Args:
            evidence: P tracks over N frames.
            bearings: (N, rows, columns, 3) unit rays of each camera in its own frame.
            hypotheses: of two-view geometry; kept, and first, unless the settings leave them out.
        """
        judged = self.judge(evidence, bearings)
        noise = np.random.default_rng(_SEED).normal(size=(self.settings.samples, *bearings.shape))
        # The first sample starts from the mean of the noise: the most likely answer when there is one.
        noise[0] = 0.0
        after = _Guidance(evidence, bearings, judged.inlier) if self.settings.guided else None
        raxels, _ = self.sample(judged, bearings, noise, self.settings.steps, after)
        if self.settings.warm_samples:
            expected = encode_raxels(bearings, hypotheses.camera_to_first[0])
            raxels = np.concatenate([raxels, self._warm(judged, bearings, expected, after)])
        poses = decode_clip(bearings, raxels)
        if not self.settings.alone:
            poses = np.concatenate([hypotheses.camera_to_first, poses])
        return PoseHypotheses(poses, judged.inlier)

    def _warm(
        self,
        judged: Judged,
        bearings: FloatArray,
        expected: FloatArray,
        after: Callable[[FloatArray], FloatArray] | None,
    ) -> FloatArray:
        """Raxels of samples that start near the expected ones (N, rows, columns, 3)."""
        s, clean = self.settings, (expected - bearings) / self.card.ray_spread
        noise = np.random.default_rng(_SEED + 1).normal(size=(s.warm_samples, *bearings.shape))
        begin = step_towards(clean, noise, 0.0, s.warm_time)
        return self.sample(judged, bearings, begin, s.steps, after, s.warm_time)[0]

    def sample(
        self,
        judged: Judged,
        bearings: FloatArray,
        noise: FloatArray,
        steps: int = 1,
        after: Callable[[FloatArray], FloatArray] | None = None,
        begin: float = 0.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Raxels of hypotheses, from noise.

        Args:
            judged: by `judge`.
            bearings: (N, rows, columns, 3) as given there.
            noise: (H, N, rows, columns, 3) of unit variance, one sample for each hypothesis.
            steps: denoising steps.
            after: changes the raxels (H, N, rows, columns, 3) that each step predicts, for example guidance.
            begin: time of `noise`, if it is a blend of noise and whitened raxels; 0 is pure noise.

        Returns:
            Raxels (H, N, rows, columns, 3), and the error (H, N, rows, columns) that the model expects of each.
        """
        told = bearings.astype(np.float32)[None]
        spread = self.card.ray_spread

        def predict(x: FloatArray, time: float) -> dict[str, npt.NDArray[Any]]:
            arrays = {"rays": x.astype(np.float32), "bearings": told, **judged.tokens}
            arrays["ray_time"] = np.full(x.shape[:2], time, np.float32)
            out = self._rays.run(arrays)
            clean = np.asarray(out["clean"], float)
            return out | {"clean": clean if after is None else (after(clean * spread + bearings) - bearings) / spread}

        *_, out = sample(predict, noise, steps, itemgetter("clean"), begin)
        return out["clean"] * spread + bearings, (np.exp(out["log_error"]) * spread).astype(float)


def load_denoiser(
    model: str, settings: DenoiseSettings | None = None, options: EngineOptions | None = None
) -> LearnedDenoiser | None:
    """The denoiser of a model card; the shipped one for an empty name, None for ``none``.

    Raises:
        EngineError: the model is missing, damaged or cannot be run.
    """
    return None if model == "none" else LearnedDenoiser.load(named_card(model), settings, options)


def named_card(model: str, shipped: str = SHIPPED) -> Path:
    """The model card that an option or a parameter names; an empty name means the shipped one.

    Raises:
        EngineError: none is installed.
    """
    card = Path(model) if model else shipped_model(shipped)
    if card is None:
        raise EngineError("no model is installed with this package; install it again")
    return card


def shipped_model(name: str = SHIPPED) -> Path | None:
    """The card of a model that is installed with the package; None if it is not."""
    return shipped_file(f"engines/{name}.json")


class _Guidance:
    """A short bundle adjustment of what a denoising step predicts.

    Args:
        evidence: P tracks over N frames.
        bearings: (N, rows, columns, 3).
        inlier: (P, N) weights of the observations.
    """

    def __init__(self, evidence: Evidence, bearings: FloatArray, inlier: FloatArray) -> None:
        self._problem, self._bearings = BundleProblem.of(evidence).weighted(inlier), bearings

    def __call__(self, raxels: FloatArray) -> FloatArray:
        """Raxels (H, N, rows, columns, 3) of the cameras nearby that satisfy the evidence, in the order given."""
        refined = refine(self._problem, decode_clip(self._bearings, raxels), _BETWEEN_STEPS)
        return encode_raxels(self._bearings, refined.camera_to_first[np.argsort(refined.order)])


def track_arrays(evidence: Evidence, bearings: FloatArray) -> dict[str, _Float32]:
    """Evidence of one clip as the encode graph reads it, a batch of one; see `training.batch.Tracks`."""
    # Of a wide lens the model is shown what a pinhole in its middle would see.
    seen = evidence.seen & np.isfinite(evidence.plane[..., 0])
    anchor = np.zeros(seen.shape)
    anchor[np.arange(len(anchor)), evidence.anchor] = 1.0
    arrays = {
        "plane": np.where(seen[..., None], evidence.plane, 0.0),
        "place": np.where(seen[..., None], _places(evidence.plane, bearings), 0.0),
        "seen": seen,
        "anchor": anchor,
        "is_flow": evidence.kind == FLOW,
        "score": np.where(seen, evidence.score, 0.0),
        "pixel": 1.0 / evidence.focal_px,
    }
    return {name: np.ascontiguousarray(value, np.float32)[None] for name, value in arrays.items()}


def _places(plane: FloatArray, bearings: FloatArray) -> FloatArray:
    """Positions of plane points (P, N, 2) in their images, -1 to 1 from edge to edge, distortion left aside."""
    grid = bearings[..., :2] / bearings[..., 2:]
    rows, columns = grid.shape[1:3]
    low = np.stack([grid[:, rows // 2, 0, 0], grid[:, 0, columns // 2, 1]], axis=-1)
    high = np.stack([grid[:, rows // 2, -1, 0], grid[:, -1, columns // 2, 1]], axis=-1)
    # The outermost rays are half a cell inside the image.
    half = (high - low) / 2 * np.array([columns / (columns - 1), rows / (rows - 1)])
    return np.asarray((plane - (low + high) / 2) / half).clip(-1.5, 1.5)

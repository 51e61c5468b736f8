"""The learned prior in serving: evidence to raxel hypotheses, inlier probabilities and a focal length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Engine, EngineError
from ros2_raxels.engine.choose import EngineOptions, open_engines
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.estimation.hypotheses import RaxelHypotheses
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxel_grid import decode_clip, encode_clip
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
        samples: hypotheses, one sample of noise each.
        steps: denoising steps; one is best for poses.
        guided: whether the evidence pulls the raxels between two steps.
        alone: whether the hypotheses of two-view geometry are left out.
        warm_samples: more hypotheses, that start from the first one given instead of from noise alone; in a stream
            that is what the window before leads to expect.
        warm_time: how far towards clean data those start.
    """

    samples: int = 4
    steps: int = 1
    guided: bool = True
    alone: bool = False
    warm_samples: int = 0
    warm_time: float = 0.5


STREAM = DenoiseSettings(samples=2, warm_samples=2)
"""For `tracker.Tracker`, which knows about where the camera is."""


@dataclass(frozen=True)
class Judged:
    """What the model thinks of a clip's evidence, before any pose.

    Attributes:
        inlier: (P, N) probability that an observation is of the point that the anchor saw; 1 at the anchor.
        focal: true focal length over the one that the evidence was given with.
        tokens: inputs of the ray graph, by name.
    """

    inlier: FloatArray
    focal: float
    tokens: dict[str, npt.NDArray[Any]]


class LearnedDenoiser:
    """A trained model, ready to run; an `estimator.Denoiser`.

    Args:
        card: what it is.
        encode, rays: engines of its graphs.
        settings: see there.
    """

    def __init__(self, card: ModelCard, encode: Engine, rays: Engine, settings: DenoiseSettings | None = None) -> None:
        self.card, self.settings = card, settings or DenoiseSettings()
        self._encode, self._rays = encode, rays

    @classmethod
    def load(
        cls, card_path: Path, settings: DenoiseSettings | None = None, options: EngineOptions | None = None
    ) -> LearnedDenoiser:
        """Read and verify a model, and make its engines ready.

        Raises:
            EngineError: it is missing, damaged or of another version, or no engine that is asked for can run it.
        """
        card = ModelCard.read(card_path)
        graphs = open_engines(card, card_path.parent, ("encode", "rays"), options)
        return cls(card, graphs["encode"], graphs["rays"], settings)

    def used_as(self, settings: DenoiseSettings) -> LearnedDenoiser:
        """The same model used in another way, on the engines of this one."""
        return LearnedDenoiser(self.card, self._encode, self._rays, settings)

    def describe(self) -> str:
        """In a line: model, backend."""
        return f"{self.card.name}: {self._rays.describe()}"

    def judge(self, evidence: Evidence, bearings: FloatArray, *, focal_known: bool = True) -> Judged:
        """Judge the evidence of a clip.

        Args:
            evidence: P tracks over N frames.
            bearings: (N, rows, columns, 3) of the cameras that the evidence was given with.
            focal_known: whether those are the true ones.
        """
        known = np.array([float(focal_known)], np.float32)
        tokens = self._encode.run({**track_arrays(evidence, bearings), "known": known})
        inlier = 1.0 / (1.0 + np.exp(-tokens.pop("inlier")[0].astype(float)))
        inlier[np.arange(len(inlier)), evidence.anchor] = 1.0
        return Judged(inlier, float(np.exp(tokens.pop("log_focal")[0])), {**tokens, "known": known})

    def denoise(self, evidence: Evidence, bearings: FloatArray, hypotheses: RaxelHypotheses) -> RaxelHypotheses:
        """The given hypotheses and samples of the model, with the inlier probabilities of the evidence.

        Args:
            evidence: P tracks over N frames.
            bearings: (N, rows, columns, 3) unit rays of each camera in its own frame.
            hypotheses: those of two-view geometry; left out where the settings say so.
        """
        judged = self.judge(evidence, bearings)
        noise = np.random.default_rng(_SEED).normal(size=(self.settings.samples, *bearings.shape))
        # The first sample starts from the mean of the noise: the most likely answer when there is one.
        noise[0] = 0.0
        after = (lambda raxels: _guided(evidence, bearings, raxels, judged.inlier)) if self.settings.guided else None
        raxels, _ = self.sample(judged, bearings, noise, self.settings.steps, after)
        if self.settings.warm_samples:
            raxels = np.concatenate([raxels, self._warm(judged, bearings, hypotheses.raxels[0], after)])
        if not self.settings.alone:
            raxels = np.concatenate([hypotheses.raxels, raxels])
        return RaxelHypotheses(raxels, judged.inlier)

    def _warm(
        self,
        judged: Judged,
        bearings: FloatArray,
        expected: FloatArray,
        after: Callable[[FloatArray], FloatArray] | None,
    ) -> FloatArray:
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
        """Raxel hypotheses from noise.

        Args:
            judged: of `judge`.
            bearings: (N, rows, columns, 3) as given there.
            noise: (H, N, rows, columns, 3) of unit variance, one sample a hypothesis.
            steps: denoising steps.
            after: changes the raxels (H, N, rows, columns, 3) of each step before the next, for example guidance.
            begin: time at which `noise` stands, whitened, when it is not noise alone.

        Returns:
            Raxels (H, N, rows, columns, 3), and the distance (H, N, rows, columns) from the truth that the model
            expects of each.
        """
        told = bearings.astype(np.float32)[None]
        spread = self.card.ray_spread
        expected = np.zeros(noise.shape[:-1])

        def predict(x: FloatArray, time: float) -> FloatArray:
            arrays = {"rays": x.astype(np.float32), "bearings": told, **judged.tokens}
            arrays["ray_time"] = np.full(x.shape[:2], time, np.float32)
            out = self._rays.run(arrays)
            np.multiply(np.exp(out["log_error"]), spread, out=expected)
            return np.asarray(out["clean"], float)

        def guided(clean: FloatArray) -> FloatArray:
            assert after is not None
            return (after(clean * spread + bearings) - bearings) / spread

        clean = sample(predict, noise, steps, None if after is None else guided, begin)
        return clean * spread + bearings, expected


def load_denoiser(
    model: str, settings: DenoiseSettings | None = None, options: EngineOptions | None = None
) -> LearnedDenoiser | None:
    """The denoiser of a card; None for ``none``, the shipped one for empty.

    Raises:
        EngineError: the model is missing, damaged or cannot be run.
    """
    return None if model == "none" else LearnedDenoiser.load(named_card(model), settings, options)


def named_card(model: str, shipped: str = SHIPPED) -> Path:
    """The card that an option or a parameter names; empty is the shipped one.

    Raises:
        EngineError: none is installed.
    """
    card = Path(model) if model else shipped_model(shipped)
    if card is None:
        raise EngineError("no model is installed with this package; install it again")
    return card


def shipped_model(name: str = SHIPPED) -> Path | None:
    """The card of a model that is installed with the package; None where there is none."""
    return shipped_file(f"engines/{name}.json")


def _guided(evidence: Evidence, bearings: FloatArray, raxels: FloatArray, inlier: FloatArray) -> FloatArray:
    """Raxels of the cameras nearby that satisfy the evidence, in the order given."""
    refined = refine(evidence, decode_clip(bearings, raxels), _BETWEEN_STEPS, weights=inlier)
    return encode_clip(bearings, refined.camera_to_first[np.argsort(refined.order)])


def track_arrays(evidence: Evidence, bearings: FloatArray) -> dict[str, _Float32]:
    """Evidence of one clip as the encode graph takes it, a batch of one; see `training.batch.Tracks`."""
    seen = evidence.seen
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
    """Where points of the planes (P, N, 2) lie in the images, -1 to 1 from edge to edge, distortion left aside."""
    grid = bearings[..., :2] / bearings[..., 2:]
    rows, columns = grid.shape[1:3]
    low = np.stack([grid[:, rows // 2, 0, 0], grid[:, 0, columns // 2, 1]], axis=-1)
    high = np.stack([grid[:, rows // 2, -1, 0], grid[:, -1, columns // 2, 1]], axis=-1)
    # The outermost rays are half a cell inside the image.
    half = (high - low) / 2 * np.array([columns / (columns - 1), rows / (rows - 1)])
    return np.asarray((plane - (low + high) / 2) / half).clip(-1.5, 1.5)

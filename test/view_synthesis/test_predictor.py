"""predictor: views of a scene that is known exactly, video with a trajectory of its own, cancelling, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from views_scene import (
    TexturedPlane,
    TorchEngine,
    depth_of_plane,
    engines_of,
    fresh_model,
    perturbed_model,
    predictor_of,
    psnr_db,
    shifted,
)

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from ros2_raxels.engine import EngineError  # noqa: E402
from ros2_raxels.estimation.learned_prior import named_card  # noqa: E402
from ros2_raxels.geometry.camera import PinholeCamera  # noqa: E402
from ros2_raxels.geometry.poses import FloatArray  # noqa: E402
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS  # noqa: E402
from ros2_raxels.geometry.raxels import decode_raxels  # noqa: E402
from ros2_raxels.recordings.image_codec import ImageArray  # noqa: E402
from ros2_raxels.view_synthesis.confidence import probability  # noqa: E402
from ros2_raxels.view_synthesis.context import ContextFrame, as_seen_by, shown_in  # noqa: E402
from ros2_raxels.view_synthesis.context_choice import choose_frames  # noqa: E402
from ros2_raxels.view_synthesis.prediction import PredictionCancelledError, PredictionRequest  # noqa: E402
from ros2_raxels.view_synthesis.predictor import SHIPPED, PredictorSettings, ViewPredictor  # noqa: E402

Arrays = dict[str, npt.NDArray[Any]]

CAMERA = PinholeCamera(256, 192, 230.0, 230.0, 120.0, 100.0)
POSES = np.array([shifted(-0.4), shifted(-0.3, -0.05, turn_deg=(1, 1, 0)), shifted(-0.2, 0.05), shifted(-0.1)])
"""Of the context, oldest first."""
AHEAD = np.array([shifted(0.0, 0.05), shifted(0.0, -0.05)])
"""Both as far from the oldest context, so that both sweeps have the same depths."""
PLANE = TexturedPlane(depth_of_plane(CAMERA, float(np.hypot(0.4, 0.05)), 8, 4))
CONTEXT = PLANE.views(CAMERA, POSES)
REQUEST = PredictionRequest(CONTEXT, CAMERA, POSES, AHEAD)
CARD = named_card("", SHIPPED)


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def fresh() -> ViewPredictor:
    """Of an untrained model, which sees what plane-sweep stereo sees."""
    return predictor_of(fresh_model())


@pytest.fixture(scope="module")
def perturbed() -> ViewPredictor:
    """Of a model to which every input counts."""
    return predictor_of(perturbed_model())


def levels_apart(a: ImageArray, b: ImageArray) -> float:
    """Mean grey levels."""
    return float(np.abs(a.astype(float) - b).mean())


# ---------------------------------------------------------------------------------------------------------- views


def test_an_untrained_model_predicts_what_plane_sweep_stereo_sees(fresh: ViewPredictor) -> None:
    """Far better than repeating the newest frame, though only eight depths are tried."""
    views = fresh.predict(REQUEST)
    assert views.images.shape == (2, 96, 128, 3)
    assert views.images.dtype == np.uint8
    for image, pose in zip(views.images, AHEAD, strict=True):
        truth = PLANE.view(views.camera, pose)
        found, repeated = psnr_db(image, truth), psnr_db(PLANE.view(views.camera, POSES[-1]), truth)
        assert found > 25.5
        assert found > repeated + 4.0
    # Each shows its own pose.
    for image, pose, other in zip(views.images, AHEAD, AHEAD[::-1], strict=True):
        own, others = (psnr_db(image, PLANE.view(views.camera, p)) for p in (pose, other))
        assert own > others + 3.0
    np.testing.assert_array_equal(views.camera_to_world, AHEAD)
    assert (views.steps, views.seed) == (1, 0)


def test_a_rotation_of_one_image_is_exact(fresh: ViewPredictor) -> None:
    """Nothing moves, so all depths agree; what is left is the share of 1.8 % that is made up, as grey."""
    target = shifted(-0.1, turn_deg=(2, -3, 4))
    views = fresh.predict(PredictionRequest(CONTEXT[-1:], CAMERA, POSES[-1:], target[None]))
    truth = PLANE.view(views.camera, target)
    # Without the edges, beyond which nothing was seen.
    inner = np.s_[14:-14, 14:-14]
    made_up = 1 / (1 + np.exp(4.0))
    expected = (1 - made_up) * truth[inner] + made_up * 127.5
    np.testing.assert_allclose(views.made_up, made_up, atol=1e-6)
    assert np.abs(views.images[0][inner] - expected).mean() < 1.0


def test_context_frames_are_given_oldest_first(fresh: ViewPredictor) -> None:
    """Where no depth fits better than another, each frame is weighted by its age."""
    greys = [40, 80, 120, 201]
    images = [np.full((192, 256, 3), grey, np.uint8) for grey in greys]
    views = fresh.predict(PredictionRequest(images, CAMERA, np.tile(np.eye(4), (4, 1, 1)), np.eye(4)[None]))
    made_up = 1 / (1 + np.exp(4.0))
    mean = np.average(greys, weights=np.linspace(0.3, 1.0, 4))
    expected = (1 - made_up) * mean + made_up * 127.5
    assert expected == pytest.approx(133.61, abs=0.01)
    np.testing.assert_array_equal(views.images, 134)


def test_of_many_context_frames_those_that_show_the_views_are_used(perturbed: ViewPredictor) -> None:
    """The newest three look the other way. To the network the most telling frame is what the newest of four is."""
    newer = list(np.random.default_rng(0).integers(0, 256, (3, 192, 256, 3), dtype=np.uint8))
    poses = np.concatenate([POSES, [shifted(0.1 * k, turn_deg=(0, 170, 0)) for k, _ in enumerate(newer)]])
    order = choose_frames(CAMERA, poses, AHEAD, 4)
    assert set(order) == {0, 1, 2, 3}
    few = perturbed.predict(REQUEST)
    told = [CONTEXT[k] for k in order[::-1]]
    same = perturbed.predict(replace(REQUEST, images=told, camera_to_world=POSES[order[::-1]]))
    many = perturbed.predict(replace(REQUEST, images=CONTEXT + newer, camera_to_world=poses))
    np.testing.assert_array_equal(many.images, same.images)
    np.testing.assert_array_equal(many.expected_error, same.expected_error)
    # The oldest of those that are used does count.
    fewer = perturbed.predict(replace(REQUEST, images=CONTEXT[1:], camera_to_world=POSES[1:]))
    assert levels_apart(fewer.images, few.images) > 0.5


def test_the_same_seed_gives_the_same_views(perturbed: ViewPredictor) -> None:
    first, again, other = (perturbed.predict(replace(REQUEST, seed=seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.confidence, first.confidence)
    assert levels_apart(other.images, first.images) > 0.1
    assert (first.seed, other.seed) == (3, 4)


def test_more_steps_change_the_views(perturbed: ViewPredictor) -> None:
    one, three = (perturbed.predict(replace(REQUEST, steps=steps)) for steps in (None, 3))
    assert (one.steps, three.steps) == (1, 3)
    assert levels_apart(one.images, three.images) > 0.1


def test_a_loaded_model_predicts_in_the_steps_of_its_settings_where_none_are_asked_for() -> None:
    settings = PredictorSettings(steps=3, imagine_steps=2)
    predictor = ViewPredictor.load(CARD, settings)
    assert predictor.describe().startswith("compact_views: ONNX Runtime ")
    assert predictor.settings == settings
    assert predictor.predict(REQUEST).steps == 3
    assert predictor.imagine(CONTEXT[0], CAMERA, 1).steps == 2


@pytest.mark.parametrize("unit", [1e-3, 0.3, 39.37])
def test_the_unit_of_length_does_not_matter(fresh: ViewPredictor, perturbed: ViewPredictor, unit: float) -> None:
    scale = np.ones((4, 4))
    scale[:3, 3] = unit
    for predictor in (fresh, perturbed):
        here = predictor.predict(REQUEST)
        there = predictor.predict(PredictionRequest(CONTEXT, CAMERA, POSES * scale, AHEAD * scale))
        assert levels_apart(there.images, here.images) < 0.05
        np.testing.assert_allclose(there.confidence, here.confidence, atol=1e-3)
        np.testing.assert_array_equal(there.camera_to_world, AHEAD * scale)


def test_the_origin_of_the_world_does_not_matter(perturbed: ViewPredictor) -> None:
    elsewhere = shifted(40.0, -30.0, 20.0, turn_deg=(50, -70, 110))
    here = perturbed.predict(REQUEST)
    there = perturbed.predict(PredictionRequest(CONTEXT, CAMERA, elsewhere @ POSES, elsewhere @ AHEAD))
    assert levels_apart(there.images, here.images) < 0.05


@pytest.mark.parametrize(
    ("width", "height", "rows"), [(320, 97, 39), (240, 426, 227), (640, 480, 96), (64, 48, 96), (128, 16, 16)]
)
def test_views_are_128_wide_with_the_same_field_of_view(
    fresh: ViewPredictor, width: int, height: int, rows: int
) -> None:
    camera = PinholeCamera(width, height, 0.9 * width, 0.95 * width, 0.52 * width, 0.45 * height)
    poses, target = np.array([shifted(-0.2), shifted(-0.1)]), shifted(0.0, turn_deg=(0, 1, 0))
    scene = TexturedPlane(1.5, detail=8.0)
    views = fresh.predict(PredictionRequest(scene.views(camera, poses), camera, poses, target[None]))
    assert views.images.shape == (1, rows, 128, 3)
    for values in (views.expected_error, views.made_up):
        assert values.shape == (1, rows, 128)
    found = views.camera
    assert (found.width, found.height) == (128, rows)
    assert found.horizontal_fov_rad == pytest.approx(camera.horizontal_fov_rad, abs=1e-12)
    # The edges of the image on the plane z = 1.
    for row in (0, 1):
        at = (row * found.height - 0.5 - found.cy) / found.fy
        assert at == pytest.approx((row * camera.height - 0.5 - camera.cy) / camera.fy, abs=1e-12)
    middle = np.s_[rows // 4 : -(rows // 4), 32:-32]
    assert psnr_db(views.images[0][middle], scene.view(found, target)[middle]) > 24.0


def test_the_last_row_is_repeated_below_an_image_that_does_not_fill_its_patches(fresh: ViewPredictor) -> None:
    """39 rows of 48 are seen. Were the rest black, a view that looks lower would be black there."""
    camera = PinholeCamera(320, 97, 280.0, 280.0, 159.5, 48.0)
    image = np.full((97, 320, 3), 255, np.uint8)
    lower = shifted(0.0, turn_deg=(-2, 0, 0))
    views = fresh.predict(PredictionRequest([image], camera, np.eye(4)[None], lower[None]))
    assert views.images[0, -1, 8:-8].min() > 250


def test_views_at_the_size_of_the_camera_have_its_detail_and_the_confidence_of_the_small_ones(
    fresh: ViewPredictor,
) -> None:
    fine = TexturedPlane(PLANE.depth, detail=60.0)
    request = replace(REQUEST, images=fine.views(CAMERA, POSES))
    small, large = fresh.predict(request), fresh.predict(replace(request, size=(256, 192)))
    assert large.images.shape == (2, 192, 256, 3)
    assert large.camera == CAMERA
    assert large.depth is not None
    for values in (large.expected_error, large.made_up, large.depth):
        assert values.shape == (2, 192, 256)
    np.testing.assert_array_equal(large.confidence, small.confidence)
    for own, sized, pose in zip(small.images, large.images, AHEAD, strict=True):
        truth = fine.view(CAMERA, pose)[20:-20, 40:-20]
        enlarged = cv2.resize(own, (256, 192), interpolation=cv2.INTER_CUBIC)[20:-20, 40:-20]
        assert psnr_db(sized[20:-20, 40:-20], truth) > psnr_db(enlarged, truth) + 3.0


@pytest.mark.parametrize("unit", [1.0, 20.0])
def test_depth_is_in_the_unit_of_the_poses(fresh: ViewPredictor, unit: float) -> None:
    scale = np.ones((4, 4))
    scale[:3, 3] = unit
    request = PredictionRequest(CONTEXT, CAMERA, POSES * scale, AHEAD * scale)
    for size in (None, (256, 192)):
        depth = fresh.predict(replace(request, size=size)).depth
        assert depth is not None
        assert np.median(np.abs(depth / (PLANE.depth * unit) - 1.0)) < 0.05


def test_depths_of_known_frames_are_those_of_what_they_show(fresh: ViewPredictor) -> None:
    scale = np.ones((4, 4))
    scale[:3, 3] = 3.0
    found = fresh.frame_depths(CONTEXT, CAMERA, POSES * scale)
    assert found.camera == CAMERA.resized(128, 96)
    np.testing.assert_allclose(found.camera_to_world, (POSES * scale)[::-1], atol=1e-12)
    off = np.abs(found.inverse_depth * 3.0 * PLANE.depth - 1.0)
    assert np.median(off) < 0.05
    assert (found.error <= 0.0501 * found.inverse_depth).all()


def test_depths_are_those_of_the_frames_that_show_the_views(fresh: ViewPredictor) -> None:
    """The newest frame looks away from where a path goes."""
    away = shifted(turn_deg=(0, 170, 0))
    images, poses = [*CONTEXT, CONTEXT[0]], np.concatenate([POSES, away[None]])
    found = fresh.frame_depths(images, CAMERA, poses, AHEAD)
    assert sorted(found.camera_to_world[:, 0, 3]) == sorted(POSES[:, 0, 3])
    newest = fresh.frame_depths(images, CAMERA, poses)
    np.testing.assert_array_equal(newest.camera_to_world[0], away)


@pytest.mark.parametrize("unit", [1.0, 20.0])
def test_the_depth_of_a_known_frame_is_that_of_each_of_its_pixels(fresh: ViewPredictor, unit: float) -> None:
    """The plane is turned against the frame that is asked for."""
    scale = np.ones((4, 4))
    scale[:3, 3] = unit
    found = fresh.frame_depth(CONTEXT, CAMERA, POSES * scale, 1)
    rays = CAMERA.bearings() @ POSES[1, :3, :3].T
    truth = unit * (PLANE.depth - POSES[1, 2, 3]) / rays[..., 2] * CAMERA.bearings()[..., 2]
    inner = np.s_[20:-20, 20:-20]
    off = found.depth / truth - 1.0
    assert found.camera == CAMERA
    assert off.shape == (CAMERA.height, CAMERA.width)
    assert np.median(np.abs(off[inner])) < 0.03
    assert (np.abs(off[inner]) * truth[inner] < 3.0 * found.sigma[inner]).mean() > 0.9


def test_frames_of_one_place_show_no_depth(fresh: ViewPredictor) -> None:
    """A camera that turns on the spot."""
    poses = np.array([shifted(turn_deg=(0, 4 * k, 0)) for k in range(4)])
    for ask in (fresh.frame_depths, fresh.frame_depth):
        with pytest.raises(ValueError, match="the known frames agree on no depth; they must be of different places"):
            ask(PLANE.views(CAMERA, poses), CAMERA, poses)


def test_one_known_frame_shows_no_depth(fresh: ViewPredictor) -> None:
    for ask in (fresh.frame_depths, fresh.frame_depth):
        with pytest.raises(ValueError, match=r"1 known frame\(s\) show no depth; give two or more"):
            ask(CONTEXT[:1], CAMERA, POSES[:1])


@pytest.mark.parametrize("size", [(257, 192), (256, 193), (0, 10), (10, -1)])
def test_a_size_that_the_camera_has_no_pixels_for_is_refused(size: tuple[int, int]) -> None:
    words = rf"views of {size[0]}x{size[1]} px, but the known images are 256x192 px: ask for at most their size"
    with pytest.raises(ValueError, match=words):
        replace(REQUEST, size=size)


def test_a_model_that_tells_no_depths_is_refused() -> None:
    class Older(Recorder):
        def run(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
            return {name: value for name, value in super().run(arrays).items() if name not in ("planes", "weights")}

    model = fresh_model()
    engines, predictor = engines_of(model), predictor_of(model)
    older = ViewPredictor(predictor.card, Older(engines["sweep"]), engines["joint"])
    with pytest.raises(EngineError, match="does not tell depths; export it again with this version"):
        older.predict(REQUEST)


def test_confidence_and_errors_are_within_0_and_1(fresh: ViewPredictor, perturbed: ViewPredictor) -> None:
    away = POSES[-1] @ shifted(0.0, turn_deg=(0, 90, 0))
    for predictor in (fresh, perturbed):
        views = predictor.predict(replace(REQUEST, trajectory=np.array([POSES[-1], away])))
        for values in (views.confidence, views.made_up, views.expected_error):
            assert np.isfinite(values).all()
            assert values.min() >= 0
            assert values.max() <= 1
        assert views.confidence.shape == (2,)


def test_confidence_falls_with_the_expected_error() -> None:
    """Over the whole range, from certainly right to certainly wrong."""
    found = []
    for log_error in (-15.0, -3.0, -1.0, 3.0):
        model = fresh_model()
        assert model.sweep is not None
        with torch.no_grad():
            model.sweep.bias[-1] = log_error
        views = predictor_of(model).predict(REQUEST)
        np.testing.assert_allclose(views.expected_error, min(np.exp(log_error) / 2, 1.0), rtol=1e-4)
        found.append(views.confidence)
        np.testing.assert_allclose(views.signs.expected_error, np.sqrt((views.expected_error**2).mean(axis=(1, 2))))
        np.testing.assert_allclose(views.confidence, probability({}, views.signs))
    assert (np.diff(found, axis=0) < -0.005).all()
    assert np.all(found[0] > 0.99)
    assert np.all(found[-1] < 0.01)


def test_the_weights_of_the_card_set_the_confidence(perturbed: ViewPredictor) -> None:
    card = replace(perturbed.card, confidence={"alone": {"one": 1.0, "made_up": -3.0, "spread": 0.2}})
    told = ViewPredictor(card, perturbed._sweep, perturbed._joint)
    views = told.predict(REQUEST)
    odds = 1.0 - 3.0 * views.made_up.mean(axis=(1, 2)) + 0.2 * np.log(views.signs.spread + 0.002)
    np.testing.assert_allclose(views.confidence, 1.0 / (1.0 + np.exp(-odds)))


def test_samples_differ_where_noise_counts_and_points_agree_where_frames_overlap(
    fresh: ViewPredictor, perturbed: ViewPredictor
) -> None:
    away = POSES[-1] @ shifted(0.0, turn_deg=(0, 90, 0))
    for predictor, least in ((fresh, 0.0), (perturbed, 1e-4)):
        signs = predictor.predict(replace(REQUEST, trajectory=np.array([AHEAD[0], away]))).signs
        assert (signs.spread >= least).all()
        assert signs.spread.max() < 1.0
        assert signs.agreed[0] > 0.3
        assert signs.agreed[1] == 0.0


def test_an_open_gate_is_reported_as_made_up() -> None:
    model = fresh_model()
    assert model.sweep is not None
    with torch.no_grad():
        model.sweep.bias[-2] = 20.0
    views = predictor_of(model).predict(REQUEST)
    np.testing.assert_allclose(views.made_up, 1.0, atol=1e-6)
    # What an untrained model makes up is grey.
    assert set(np.unique(views.images)) <= {127, 128}


# ---------------------------------------------------------------------------------------------------------- steps


class Recorder:
    """An engine that notes what it was given and what it said."""

    def __init__(self, engine: TorchEngine) -> None:
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._engine = engine
        self.calls: list[tuple[Arrays, Arrays]] = []

    def run(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        out = self._engine.run(arrays)
        self.calls.append((dict(arrays), out))
        return out

    def describe(self) -> str:
        return self._engine.describe()


def recorded() -> tuple[ViewPredictor, Recorder]:
    model = perturbed_model()
    engines, predictor = engines_of(model), predictor_of(model)
    recorder = Recorder(engines["joint"])
    return ViewPredictor(predictor.card, engines["sweep"], recorder), recorder


def on_the_way(clean: npt.NDArray[Any], x: npt.NDArray[Any], now: float, later: float) -> npt.NDArray[Any]:
    """With noise such that ``x = (1 - now) noise + now clean``: the same of it, later."""
    noise = (x - now * clean) / (1 - now)
    return np.asarray((1 - later) * noise + later * clean)


def test_views_are_denoised_beside_clean_context_frames() -> None:
    predictor, recorder = recorded()
    views = predictor.predict(replace(REQUEST, steps=4))
    assert len(recorder.calls) == 5
    # Another sample of the first step, which only says how far apart samples are.
    given, said = recorder.calls.pop()
    (first, answer), *_ = recorder.calls
    assert all((given[name] == first[name]).all() == (name != "video") for name in given)
    apart = (said["clean_video"] - answer["clean_video"])[0, 4:] / 2.0
    np.testing.assert_allclose(views.signs.spread, np.sqrt((apart**2).mean(axis=(1, 2, 3))), rtol=1e-5)
    # So do expected errors: later steps only speak of what is left of the noise.
    np.testing.assert_allclose(
        views.expected_error, np.exp(answer["video_log_error"][0, 4:]).clip(max=2.0) / 2.0, rtol=1e-4
    )
    np.testing.assert_allclose(views.made_up, answer["made_up"][0, 4:], rtol=1e-5)
    newest_first = np.array([cv2.resize(image, (128, 96), interpolation=cv2.INTER_AREA) for image in CONTEXT[::-1]])
    relative = np.linalg.inv(POSES[-1]) @ np.concatenate([POSES[::-1], AHEAD])
    relative[:, :3, 3] /= np.linalg.norm(relative[:, :3, 3], axis=1).max()
    bearings = CAMERA.bearings(RAXEL_ROWS, RAXEL_COLUMNS)
    raxels = np.array([bearings @ pose[:3, :3].T + pose[:3, 3] for pose in relative])
    for step, (given, _) in enumerate(recorder.calls):
        np.testing.assert_allclose(given["bearings"][0], np.tile(bearings, (6, 1, 1, 1)), atol=1e-6)
        np.testing.assert_allclose(given["rays"][0], (raxels - bearings) / predictor.card.ray_spread, atol=1e-5)
        np.testing.assert_array_equal(given["ray_time"], np.ones((1, 6)))
        np.testing.assert_allclose(given["video_time"], [[1, 1, 1, 1, step / 4, step / 4]])
        np.testing.assert_allclose((given["video"][0, :4] + 1) * 127.5, newest_first.transpose(0, 3, 1, 2), atol=1e-3)
        assert given["known"] == 1
        assert given["given"] == 1
        # Of the sources nothing is swept.
        for name in ("colour", "gate", "colour_log_error"):
            assert np.abs(given[name][0, :4]).max() == 0
            assert np.abs(given[name][0, 4:]).max() > 0.1
    for step, ((given, said), (then, _)) in enumerate(pairwise(recorder.calls)):
        expected = on_the_way(said["clean_video"], given["video"], step / 4, (step + 1) / 4)
        np.testing.assert_allclose(then["video"][0, 4:], expected[0, 4:], atol=1e-4)
    last = (recorder.calls[-1][1]["clean_video"][0, 4:].transpose(0, 2, 3, 1) + 1) * 127.5
    np.testing.assert_allclose(views.images, last.clip(0, 255), atol=0.501)


def test_rays_and_pixels_are_denoised_side_by_side() -> None:
    predictor, recorder = recorded()
    views = predictor.imagine(CONTEXT[0], CAMERA, 2, steps=3)
    *together, (final, _), _ = recorder.calls
    assert len(together) == 3
    for step, (given, _) in enumerate(together):
        np.testing.assert_allclose(given["ray_time"], np.full((1, 3), step / 3), atol=1e-6)
        np.testing.assert_allclose(given["video_time"], [[1, step / 3, step / 3]], atol=1e-6)
        assert given["given"] == 0
    for step, ((given, said), (then, _)) in enumerate(pairwise(together)):
        rays = on_the_way(said["clean"], given["rays"], step / 3, (step + 1) / 3)
        np.testing.assert_allclose(then["rays"], rays, atol=1e-4)
        video = on_the_way(said["clean_video"], given["video"], step / 3, (step + 1) / 3)
        np.testing.assert_allclose(then["video"][0, 1:], video[0, 1:], atol=1e-4)
    bearings = CAMERA.bearings(RAXEL_ROWS, RAXEL_COLUMNS)
    raxels = bearings + together[-1][1]["clean"][0].astype(float) * predictor.card.ray_spread
    poses = np.array([decode_raxels(frame, bearings) for frame in raxels])
    expected = (np.linalg.inv(poses[0]) @ poses)[1:]
    expected[:, :3, 3] /= np.linalg.norm(expected[:, :3, 3], axis=1).max()
    np.testing.assert_allclose(views.camera_to_world, expected, atol=1e-9)
    # Once more with these cameras, and with the image swept into them.
    np.testing.assert_array_equal(final["ray_time"], np.ones((1, 3)))
    assert final["given"] == 1


# ----------------------------------------------------------------------------------------------------- cancelling


def stopping_at(asked: list[tuple[int, int]], last: int) -> Callable[[int, int], bool]:
    def proceed(done: int, count: int) -> bool:
        asked.append((done, count))
        return done < last

    return proceed


def test_proceed_is_asked_before_each_step(perturbed: ViewPredictor) -> None:
    asked: list[tuple[int, int]] = []
    views = perturbed.predict(replace(REQUEST, steps=3), proceed=stopping_at(asked, 99))
    assert asked == [(0, 3), (1, 3), (2, 3)]
    assert views.steps == 3
    plain = perturbed.predict(replace(REQUEST, steps=3))
    np.testing.assert_array_equal(views.images, plain.images)
    asked.clear()
    assert perturbed.imagine(CONTEXT[0], CAMERA, 2, steps=2, proceed=stopping_at(asked, 99)).steps == 2
    assert asked == [(0, 2), (1, 2)]


def test_cancelling_before_the_first_step_is_an_error(perturbed: ViewPredictor) -> None:
    asked: list[tuple[int, int]] = []
    with pytest.raises(PredictionCancelledError, match="cancelled before the first of 4 denoising steps"):
        perturbed.predict(replace(REQUEST, steps=4), proceed=stopping_at(asked, 0))
    with pytest.raises(PredictionCancelledError, match="cancelled before the first of 5 denoising steps"):
        perturbed.imagine(CONTEXT[0], CAMERA, 1, steps=5, proceed=stopping_at(asked, 0))
    assert asked == [(0, 4), (0, 5)]


def test_cancelling_later_returns_the_views_of_the_steps_taken(perturbed: ViewPredictor) -> None:
    asked: list[tuple[int, int]] = []
    views = perturbed.predict(replace(REQUEST, steps=4), proceed=stopping_at(asked, 2))
    assert asked == [(0, 4), (1, 4), (2, 4)]
    assert views.steps == 2
    assert views.images.shape == (2, 96, 128, 3)
    # The first step is the same however many are to come.
    one = perturbed.predict(replace(REQUEST, steps=4), proceed=stopping_at(asked, 1))
    np.testing.assert_array_equal(one.images, perturbed.predict(REQUEST).images)
    imagined = perturbed.imagine(CONTEXT[0], CAMERA, 2, steps=4, proceed=stopping_at(asked, 3))
    assert imagined.steps == 3


def test_batches_are_the_views_of_consecutive_parts_of_the_trajectory(perturbed: ViewPredictor) -> None:
    ahead, asked = np.concatenate([AHEAD, AHEAD[::-1], AHEAD]), []
    request = replace(REQUEST, trajectory=ahead, seed=4, steps=2)
    batches = list(perturbed.predict_in_batches(request, proceed=stopping_at(asked, 99)))
    assert asked == [(0, 4), (1, 4), (2, 4), (3, 4)]
    np.testing.assert_array_equal(np.concatenate([views.camera_to_world for views in batches]), ahead)
    for views, part in zip(batches, (ahead[:4], ahead[4:]), strict=True):
        alone = perturbed.predict(replace(request, trajectory=part))
        np.testing.assert_array_equal(views.images, alone.images)


@pytest.mark.parametrize(("last", "steps"), [(0, []), (1, [1]), (2, [2]), (3, [2, 1])])
def test_batches_end_when_cancelled(perturbed: ViewPredictor, last: int, steps: list[int]) -> None:
    ahead = np.concatenate([AHEAD, AHEAD, AHEAD])
    request = replace(REQUEST, trajectory=ahead, steps=2)
    batches = perturbed.predict_in_batches(request, proceed=stopping_at([], last))
    assert [views.steps for views in batches] == steps


# --------------------------------------------------------------------------------------------------------- errors


def test_zero_or_fewer_steps_are_refused(fresh: ViewPredictor) -> None:
    for steps in (0, -1):
        with pytest.raises(ValueError, match=f"{steps} denoising steps; take 1 or more"):
            fresh.predict(replace(REQUEST, steps=steps))
    with pytest.raises(ValueError, match="0 denoising steps; take 1 or more"):
        fresh.imagine(CONTEXT[0], CAMERA, 1, steps=0)


def changed_card(tmp_path: Path, graphs: set[str]) -> Path:
    """A copy of the shipped card that has only these graphs."""
    record = json.loads(CARD.read_text())
    record["graphs"] = {role: graph for role, graph in record["graphs"].items() if role in graphs}
    (tmp_path / "other.json").write_text(json.dumps(record))
    return tmp_path / "other.json"


def test_a_model_without_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="model compact_views was not trained on pixels and makes no views; give ano"):
        ViewPredictor.load(changed_card(tmp_path, {"encode", "rays"}))


def test_an_incomplete_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="model compact_views has no graph 'sweep'"):
        ViewPredictor.load(changed_card(tmp_path, {"joint"}))
    path, sweep = changed_card(tmp_path, {"joint", "sweep"}), "compact_views_sweep.onnx"
    with pytest.raises(EngineError, match=rf"{sweep} cannot be read .No such file or directory."):
        ViewPredictor.load(path)
    (tmp_path / sweep).write_bytes((CARD.parent / sweep).read_bytes()[:-1])
    with pytest.raises(EngineError, match=rf"{sweep} is not the file that its card means"):
        ViewPredictor.load(path)
    with pytest.raises(EngineError, match=r"gone.json is not a model card"):
        ViewPredictor.load(tmp_path / "gone.json")


# ------------------------------------------------------------------------------------------------------- imagining


def assert_rigid(poses: FloatArray) -> None:
    assert np.isfinite(poses).all()
    rotation = poses[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ np.swapaxes(rotation, 1, 2), np.tile(np.eye(3), (len(poses), 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-9)
    np.testing.assert_array_equal(poses[:, 3], np.tile([0.0, 0.0, 0.0, 1.0], (len(poses), 1)))


@pytest.mark.parametrize("frames", [1, 3])
def test_imagined_frames_are_the_views_of_the_imagined_cameras(perturbed: ViewPredictor, frames: int) -> None:
    views = perturbed.imagine(CONTEXT[0], CAMERA, frames, seed=5)
    assert views.images.shape == (frames, 96, 128, 3)
    assert views.camera_to_world.shape == (frames, 4, 4)
    assert_rigid(views.camera_to_world)
    assert np.linalg.norm(views.camera_to_world[:, :3, 3], axis=1).min() > 1e-3
    assert (views.steps, views.seed) == (8, 5)
    # Predicting views for these cameras from the image gives the same pixels.
    request = PredictionRequest([CONTEXT[0]], CAMERA, np.eye(4)[None], views.camera_to_world, seed=5, steps=1)
    told = perturbed.predict(request)
    np.testing.assert_array_equal(told.images, views.images)


def test_imagined_frames_of_the_images_size_are_as_sharp_as_the_image(fresh: ViewPredictor) -> None:
    """Whatever depth it is taken to have is right for some scene. The poses are those of the small frames."""
    fine = TexturedPlane(PLANE.depth, detail=120.0).view(CAMERA, POSES[0])
    small, large = (fresh.imagine(fine, CAMERA, 2, size=size) for size in (None, (256, 192)))
    np.testing.assert_array_equal(large.camera_to_world, small.camera_to_world)
    assert large.camera == CAMERA
    assert levels_apart(large.images[1], fine) < 0.5
    enlarged = cv2.resize(small.images[1], (256, 192), interpolation=cv2.INTER_CUBIC)
    assert levels_apart(enlarged, fine) > 1.5


def test_a_size_of_imagined_frames_above_the_images_is_refused(fresh: ViewPredictor) -> None:
    with pytest.raises(ValueError, match=r"views of 257x192 px, but the known images are 256x192 px"):
        fresh.imagine(CONTEXT[0], CAMERA, 1, size=(257, 192))


def test_what_an_untrained_model_imagines_does_not_move(fresh: ViewPredictor) -> None:
    """Its rays are those of the first camera, whose frame is the world, so it shows the image again."""
    views = fresh.imagine(CONTEXT[0], CAMERA, 2)
    np.testing.assert_allclose(views.camera_to_world, np.tile(np.eye(4), (2, 1, 1)), atol=1e-6)
    truth = PLANE.view(views.camera, POSES[0])
    assert psnr_db(views.images, np.array([truth, truth])) > 38.0


def test_imagination_depends_on_the_seed_and_the_image(perturbed: ViewPredictor) -> None:
    first, again, seed = (perturbed.imagine(CONTEXT[0], CAMERA, 2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.camera_to_world, first.camera_to_world)
    other = perturbed.imagine(CONTEXT[-1], CAMERA, 2, seed=1)
    for views in (seed, other):
        assert levels_apart(views.images, first.images) > 0.1
        assert np.abs(views.camera_to_world - first.camera_to_world).max() > 1e-4


@pytest.mark.parametrize("frames", [0, -2])
def test_zero_or_fewer_frames_to_imagine_are_refused(fresh: ViewPredictor, frames: int) -> None:
    with pytest.raises(ValueError, match=f"{frames} frames to imagine; ask for one or more"):
        fresh.imagine(CONTEXT[0], CAMERA, frames)


def test_imagining_from_an_image_of_another_size_is_refused(fresh: ViewPredictor) -> None:
    with pytest.raises(ValueError, match=r"image 0 has shape \(192, 255, 3\), its camera is 256x192 px"):
        fresh.imagine(CONTEXT[0][:, 1:], CAMERA, 1)


# ------------------------------------------------------------------------------------------------------ trajectory


@pytest.mark.parametrize("count", [2, 4, 6])
def test_poses_of_a_clip_are_in_the_first_cameras_frame(perturbed: ViewPredictor, count: int) -> None:
    images = PLANE.views(CAMERA, np.array([shifted(0.1 * k) for k in range(count)]))
    poses = perturbed.trajectory(images, CAMERA)
    assert poses.shape == (count, 4, 4)
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-9)
    assert_rigid(poses)


def test_the_furthest_camera_of_a_clip_is_at_distance_one(perturbed: ViewPredictor) -> None:
    poses = perturbed.trajectory(CONTEXT, CAMERA)
    assert np.linalg.norm(poses[:, :3, 3], axis=1).max() == pytest.approx(1.0, abs=1e-9)


def test_poses_of_a_clip_depend_on_pixels_seed_and_steps(perturbed: ViewPredictor) -> None:
    poses = perturbed.trajectory(CONTEXT, CAMERA)
    np.testing.assert_array_equal(perturbed.trajectory(CONTEXT, CAMERA), poses)
    for other in (
        perturbed.trajectory(CONTEXT[::-1], CAMERA),
        perturbed.trajectory(CONTEXT, CAMERA, seed=1),
        perturbed.trajectory(CONTEXT, CAMERA, steps=2),
    ):
        assert np.abs(other - poses).max() > 1e-4


def test_a_clip_of_one_image_is_refused(fresh: ViewPredictor) -> None:
    with pytest.raises(ValueError, match=r"a clip of 1 image\(s\) has no motion; give two or more"):
        fresh.trajectory(CONTEXT[:1], CAMERA)
    with pytest.raises(ValueError, match=r"image 1 has shape \(192, 256\)"):
        fresh.trajectory([CONTEXT[0], CONTEXT[1][..., 0]], CAMERA)


# ---------------------------------------------------------------------------------------------- several lenses


def test_what_a_narrow_lens_does_not_show_is_seen_by_the_wide_one_beside_it(fresh: ViewPredictor) -> None:
    """Without a mask, the black around the narrow images counts as seen."""
    narrow = PinholeCamera(256, 192, 460.0, 460.0, 120.0, 100.0)
    cameras = [CAMERA, narrow, narrow, CAMERA]
    frames = [
        ContextFrame(PLANE.view(camera, pose), camera, 0, "", pose) for camera, pose in zip(cameras, POSES, strict=True)
    ]
    request = PredictionRequest(as_seen_by(CAMERA, frames), CAMERA, POSES, AHEAD[:1], size=(256, 192))
    truth = PLANE.view(CAMERA, AHEAD[0])
    # Of the part of the view that both wide frames show and no narrow one does.
    outer = np.zeros((192, 256), bool)
    outer[16:36, 40:220] = True

    def quality_db(one: PredictionRequest) -> float:
        return psnr_db(fresh.predict(one).images[0][outer], truth[outer])

    masked = replace(request, seen=shown_in(CAMERA, cameras))
    assert quality_db(masked) > quality_db(request) + 6.0

    def depth_error(seen: list[np.ndarray] | None) -> float:
        depth = fresh.frame_depth(request.images, CAMERA, POSES, 3, seen).depth
        return float(np.median(np.abs(depth[outer] / PLANE.depth - 1.0)))

    assert depth_error(masked.seen) < 0.8 * depth_error(None)

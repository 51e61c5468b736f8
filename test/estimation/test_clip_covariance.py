"""Covariances of a clip against the scatter that noise makes, and hypotheses that compete, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tracks import cameras, moved, picked, tracks_of
from scipy.spatial.transform import Rotation

from ros2_raxels.estimation import clip_covariance
from ros2_raxels.estimation.bundle_adjustment import Refined, RefineSettings, refine
from ros2_raxels.estimation.clip_covariance import FLOOR_ROTATION_RAD, FLOOR_TRANSLATION, TEMPERATURE, pose_covariance
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector, rotation_vector

DRAWS = 150

NOISE_PX = RefineSettings().noise_px
POLISH = RefineSettings(widths_px=(2.0,), iterations=8)


@pytest.fixture
def bare() -> Iterator[None]:
    """What the information alone says: no inflation, no doubt, no floor."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("INFLATION", 1.0),
            ("DOUBT", 0.0),
            ("FLOOR_ROTATION_RAD", 0.0),
            ("FLOOR_TRANSLATION", 0.0),
        ):
            patch.setattr(clip_covariance, name, value)
        yield


def hypotheses(poses: FloatArray, cost: npt.ArrayLike, information: FloatArray | None = None) -> Refined:
    """Hypotheses (H, N, 4, 4) as `refine` returns them; unknowns are known to 1e-3 unless said otherwise."""
    count, frames = poses.shape[:2]
    if information is None:
        information = np.diag(np.repeat(np.arange(frames) > 0, 6) * 1e6)
    nothing = np.zeros((count, 0))
    return Refined(np.arange(count), poses, nothing, np.asarray(cost, float), nothing[..., None], lambda _: information)


def deviations(covariance: FloatArray) -> FloatArray:
    """(N, 6) standard deviations."""
    return np.asarray(np.sqrt(np.einsum("nii->ni", covariance).clip(min=0.0)))


def semidefinite(matrices: FloatArray) -> bool:
    scale = np.abs(matrices).max() + 1e-30
    return bool(np.linalg.eigvalsh(matrices).min() > -1e-7 * scale)


# ------------------------------------------------------------------------------------------------------ information


@pytest.fixture(scope="module", params=range(2))
def scattered(request: pytest.FixtureRequest) -> tuple[FloatArray, FloatArray, Refined]:
    """The truth, errors (DRAWS, N, 6) of refined poses under noise, and the noise-free solve."""
    rng = np.random.default_rng(request.param)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 120)
    errors = []
    for _ in range(DRAWS):
        noisy = moved(evidence, NOISE_PX * rng.normal(size=evidence.plane.shape))
        found = refine(noisy, truth[None], POLISH).camera_to_first[0]
        turns = [rotation_vector(f[:3, :3] @ t[:3, :3].T) for f, t in zip(found, truth, strict=True)]
        errors.append(np.concatenate([found[:, :3, 3] - truth[:, :3, 3], turns], axis=1))
    return truth, np.array(errors), refine(evidence, truth[None])


def check_spread(errors: FloatArray, covariance: FloatArray) -> None:
    """150 draws know a deviation to 6 %, so 4 of these are 1.26; the loss adds some 8 % to noise of a quarter width.

    Correlations are known to .08.
    """
    ratio = errors.std(axis=0) / deviations(covariance[None])[0]
    assert ratio.min() > 1 / 1.26
    assert ratio.max() < 1.26 * 1.08
    scale = deviations(covariance[None])[0]
    np.testing.assert_allclose(np.corrcoef(errors.T), covariance / np.outer(scale, scale), atol=4 * 0.08)


@pytest.mark.usefixtures("bare")
def test_rotations_scatter_as_stated(scattered: tuple[FloatArray, FloatArray, Refined]) -> None:
    _, errors, solved = scattered
    covariance = pose_covariance(solved, 1.0)
    for camera in (1, 2, 3):
        check_spread(errors[:, camera, 3:], covariance[camera, 3:, 3:])


@pytest.mark.usefixtures("bare")
def test_whole_poses_scatter_as_stated(scattered: tuple[FloatArray, FloatArray, Refined]) -> None:
    """Translation and rotation together; of the furthest camera, whose distance is 1, the rotation and across it."""
    truth, errors, solved = scattered
    covariance = pose_covariance(solved, 1.0)
    for camera in (1, 2):
        check_spread(errors[:, camera], covariance[camera])
    across = np.eye(6)[1:].copy()
    across[:2, :3] = np.linalg.svd(truth[3, None, :3, 3])[2][1:]
    across[:2, 3:] = 0.0
    check_spread(errors[:, 3] @ across.T, across @ covariance[3] @ across.T)


@pytest.mark.usefixtures("bare")
def test_scale_is_no_unknown(scattered: tuple[FloatArray, FloatArray, Refined]) -> None:
    """The furthest camera lies at distance 1 whatever the noise, so nothing is open along its direction."""
    truth, errors, solved = scattered
    direction = truth[3, :3, 3]
    assert np.linalg.norm(direction) == pytest.approx(1.0)
    assert np.abs(errors[:, 3, :3] @ direction).max() < 1e-3
    stated = pose_covariance(solved, 1.0)[3, :3, :3]
    assert np.sqrt(np.maximum(direction @ stated @ direction, 0.0)) < 0.05 * np.sqrt(np.trace(stated))


@pytest.mark.usefixtures("bare")
def test_twice_the_noise_is_four_times_the_covariance() -> None:
    rng = np.random.default_rng(3)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 80)
    one, two = (
        pose_covariance(refine(evidence, truth[None], replace(POLISH, noise_px=noise)), 1.0) for noise in (0.5, 1.0)
    )
    np.testing.assert_allclose(two, 4 * one, rtol=1e-2, atol=1e-12)
    assert deviations(one)[1:].min() > 1e-4


@pytest.mark.usefixtures("bare")
def test_axes_are_those_of_the_first_camera() -> None:
    """A camera that looks along the first one's x axis; it is unsure of the turn about its own optical axis."""
    poses = np.tile(np.eye(4), (1, 2, 1, 1))
    poses[0, 1] = make_pose(rotation_from_vector([0.0, np.pi / 2, 0.0]), (1.0, 0.0, 0.0))
    np.testing.assert_allclose(poses[0, 1, :3, 2], (1.0, 0.0, 0.0), atol=1e-12)
    information = np.diag([0.0] * 6 + [1e6, 1e6, 1e2, 1e6, 1e4, 1e4])
    found = deviations(pose_covariance(hypotheses(poses, [1.0], information), 1.0))[1]
    np.testing.assert_allclose(found[3:], (1e-1, 1e-3, 1e-3), rtol=1e-2)
    np.testing.assert_allclose(found[1:3], (1e-2, 1e-2), rtol=1e-2)


def test_the_first_camera_has_no_covariance() -> None:
    rng = np.random.default_rng(4)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 80)
    starts = np.array([truth, truth @ make_pose(rotation_from_vector([0.0, 0.01, 0.0]), (0, 0, 0))])
    starts = np.linalg.inv(starts[:, :1]) @ starts
    covariance = pose_covariance(refine(evidence, starts, replace(POLISH, iterations=1)), 0.3)
    assert not covariance[0].any()
    assert (deviations(covariance)[1:] >= np.array([FLOOR_TRANSLATION] * 3 + [FLOOR_ROTATION_RAD] * 3)).all()


def test_cameras_without_evidence_are_unknown() -> None:
    """A camera that no track was found in, and positions where everything is infinitely far."""
    rng = np.random.default_rng(5)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 80)
    unseen = np.where(np.arange(4)[:, None] == 2, np.nan, evidence.plane)
    keep = evidence.anchor != 2
    blind = picked(replace(evidence, plane=unseen, pixels=unseen), keep)
    stated = deviations(pose_covariance(refine(blind, truth[None], POLISH), 1.0))
    assert stated[1, 3:].max() < 0.05
    assert stated[2].min() > 0.1
    turning = truth.copy()
    turning[:, :3, 3] = 0.0
    far, _ = tracks_of(rng, turning, 80)
    stated = deviations(pose_covariance(refine(far, turning[None], POLISH), 1.0))
    assert stated[1:, 3:].max() < 0.05
    assert stated[1:, :3].min() > 0.1


# ------------------------------------------------------------------------------------------------------------ rivals


def two_apart() -> tuple[FloatArray, FloatArray]:
    """Two hypotheses, and how far the second lies from the first: (N, 6)."""
    rng = np.random.default_rng(6)
    best = cameras(rng)
    apart = np.concatenate([rng.normal(0, 0.2, (4, 3)), rng.normal(0, 0.1, (4, 3))], axis=1)
    apart[0] = 0.0
    other = best.copy()
    other[:, :3, 3] += apart[:, :3]
    other[:, :3, :3] = Rotation.from_rotvec(apart[:, 3:]).as_matrix() @ best[:, :3, :3]
    return np.array([best, other]), apart


@pytest.mark.parametrize(("worse", "weight"), [(-5.0, 0.5), (0.0, 0.5), (TEMPERATURE, np.exp(-1) / (1 + np.exp(-1)))])
def test_a_rival_widens_by_its_distance_and_its_weight(worse: float, weight: float) -> None:
    poses, apart = two_apart()
    alone = pose_covariance(hypotheses(poses[:1], [7.0]), 0.8)
    both = pose_covariance(hypotheses(poses, [7.0, 7.0 + worse]), 0.8)
    np.testing.assert_allclose(both - alone, weight * np.einsum("ni,nj->nij", apart, apart), atol=1e-12)


def test_a_rival_that_explains_far_less_does_not_count() -> None:
    poses, _ = two_apart()
    alone = pose_covariance(hypotheses(poses[:1], [7.0]), 0.8)
    both = pose_covariance(hypotheses(poses, [7.0, 7.0 + 40 * TEMPERATURE]), 0.8)
    np.testing.assert_allclose(both, alone, atol=1e-15)


def test_a_rival_that_is_the_same_adds_nothing() -> None:
    poses, _ = two_apart()
    same = np.array([poses[0], poses[0]])
    np.testing.assert_allclose(
        pose_covariance(hypotheses(same, [7.0, 7.0]), 0.8),
        pose_covariance(hypotheses(poses[:1], [7.0]), 0.8),
        atol=1e-15,
    )


# --------------------------------------------------------------------------------------------------------- properties


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(2, 5),
    st.integers(0, 24),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_covariances_are_semidefinite_and_doubt_never_narrows_them(
    seed: int, count: int, frames: int, rank: int, a: float, b: float
) -> None:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, frames, 1, 1))
    poses[:, 1:, :3, :3] = rotation_from_vector(rng.normal(0, 1, (count, frames - 1, 3)))
    poses[:, 1:, :3, 3] = rng.normal(0, 1, (count, frames - 1, 3))
    root = np.zeros((6 * frames, rank))
    root[6:] = rng.normal(size=(6 * frames - 6, rank)) * 10.0 ** rng.uniform(0, 4)
    refined = hypotheses(poses, np.sort(rng.uniform(0, 20, count)), root @ root.T)
    unsure, sure = (pose_covariance(refined, confidence) for confidence in sorted((a, b)))
    for covariance in (unsure, sure):
        assert covariance.shape == (frames, 6, 6)
        assert np.isfinite(covariance).all()
        np.testing.assert_allclose(covariance, np.swapaxes(covariance, 1, 2), atol=1e-7 * np.abs(covariance).max())
        assert semidefinite(covariance)
        assert not covariance[0].any()
    assert semidefinite(unsure - sure)


def test_confidence_widens_as_its_inverse_square_up_to_a_limit() -> None:
    poses, _ = two_apart()
    floor = np.array([FLOOR_TRANSLATION] * 3 + [FLOOR_ROTATION_RAD] * 3) ** 2

    def widths(confidence: float) -> FloatArray:
        covariance = pose_covariance(hypotheses(poses[:1], [1.0]), confidence)[2]
        return np.asarray(np.sqrt(np.diag(covariance) - floor)[3:])

    np.testing.assert_allclose(widths(1.0), 1e-3 * clip_covariance.INFLATION, rtol=1e-4)
    np.testing.assert_allclose(widths(0.5), 1e-3 * clip_covariance.INFLATION / 0.5**clip_covariance.DOUBT, rtol=1e-4)
    for confidence in (0.05, 0.0):
        np.testing.assert_allclose(widths(confidence), 1e-3 * clip_covariance.MOST_INFLATION, rtol=1e-4)

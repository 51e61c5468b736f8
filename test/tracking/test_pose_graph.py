"""pose_graph: relaxation against closed-form cases and a general solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from ros2_raxels.geometry.poses import FloatArray, make_pose, relative_pose, rotation_angle_rad, rotation_from_vector
from ros2_raxels.tracking.pose_graph import Edge, relax


def chain(rng: np.random.Generator, count: int) -> tuple[FloatArray, FloatArray]:
    """Poses (N, 4, 4) of a wandering camera, and the logarithm of the unit of each."""
    poses = [np.eye(4)]
    for _ in range(count - 1):
        poses.append(poses[-1] @ make_pose(rotation_from_vector(rng.normal(0, 0.2, 3)), rng.normal(0, 1, 3)))
    return np.array(poses), np.concatenate([[0.0], np.cumsum(rng.normal(0, 0.05, count - 1))])


def measured(poses: FloatArray, grown: FloatArray, first: int, second: int, variance: float = 1.0) -> Edge:
    """What two keyframes see of each other, lengths in the unit of the first, which is to grow by exp(grown)."""
    pose = relative_pose(poses[first], poses[second])
    pose[:3, 3] /= np.exp((grown[first] + grown[second] - (grown[second] - grown[first])) / 2)
    return Edge(first, second, pose, float(grown[second] - grown[first]), variance)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_measurements_that_agree_are_met_from_any_start(seed: int) -> None:
    rng = np.random.default_rng(seed)
    poses, grown = chain(rng, 9)
    pairs = [(k, k + 1) for k in range(8)] + [(0, 8), (2, 6)]
    edges = [measured(poses, grown, a, b, float(rng.uniform(0.1, 10))) for a, b in pairs]
    astray = poses.copy()
    astray[1:, :3, :3] = rotation_from_vector(rng.normal(0, 0.3, (8, 3))) @ poses[1:, :3, :3]
    astray[1:, :3, 3] += rng.normal(0, 1, (8, 3))
    found, log_scale = relax(astray, edges, held=0)
    np.testing.assert_allclose(log_scale, grown, atol=1e-9)
    np.testing.assert_allclose(found, poses, atol=1e-6)


def test_what_disagrees_gives_way_by_its_variance() -> None:
    """Positions on a line: a chain of two steps of 1 m, and a loop that says 2.6 m in all."""
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = [0.0, 1.0, 2.0]
    step = make_pose(np.eye(3), [1.0, 0.0, 0.0])
    loop = make_pose(np.eye(3), [2.6, 0.0, 0.0])
    edges = [Edge(0, 1, step, 0.0, 1.0), Edge(1, 2, step, 0.0, 2.0), Edge(0, 2, loop, 0.0, 3.0)]
    found, _ = relax(poses, edges, held=0)
    # .6 m are shared 1 : 2 : 3.
    np.testing.assert_allclose(found[:, 0, 3], [0.0, 1.1, 2.3], atol=1e-12)


def test_positions_and_turns_agree_with_a_general_solver() -> None:
    """Small disagreements, no scale: the stages must come to the optimum of a solver for positions given the turns."""
    rng = np.random.default_rng(1)
    poses, _ = chain(rng, 7)
    none = np.zeros(7)
    pairs = [(k, k + 1) for k in range(6)] + [(0, 6), (1, 4)]
    edges = []
    for a, b in pairs:
        edge = measured(poses, none, a, b, float(rng.uniform(0.5, 2)))
        off = make_pose(rotation_from_vector(rng.normal(0, 0.01, 3)), rng.normal(0, 0.02, 3))
        edges.append(Edge(a, b, edge.pose @ off, 0.0, edge.variance))
    found, _ = relax(poses, edges, held=0)

    def turns(values: FloatArray) -> FloatArray:
        turned = rotation_from_vector(np.concatenate([np.zeros((1, 3)), values.reshape(6, 3)])) @ poses[:, :3, :3]
        rest = [turned[e.first] @ e.pose[:3, :3] @ turned[e.second].T for e in edges]
        return np.concatenate(
            [rotation_angle_rad(r) * _axis(r) / np.sqrt(e.variance) for r, e in zip(rest, edges, strict=True)]
        )

    best = least_squares(turns, np.zeros(18)).x.reshape(6, 3)
    np.testing.assert_allclose(found[1:, :3, :3], rotation_from_vector(best) @ poses[1:, :3, :3], atol=1e-4)

    def positions(values: FloatArray) -> FloatArray:
        at = np.concatenate([poses[:1, :3, 3], values.reshape(6, 3)])
        rest = [at[e.second] - at[e.first] - found[e.first, :3, :3] @ e.pose[:3, 3] for e in edges]
        return np.concatenate([r / np.sqrt(e.variance) for r, e in zip(rest, edges, strict=True)])

    np.testing.assert_allclose(found[1:, :3, 3].ravel(), least_squares(positions, np.zeros(18)).x, atol=1e-6)


def _axis(rotation: FloatArray) -> FloatArray:
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    return skew / max(float(np.linalg.norm(skew)), 1e-12)


def test_drift_round_a_ring_is_taken_out() -> None:
    """Each step turns a little too much and is a little too long, as a camera's scale drifts."""
    count = 40
    true = [np.eye(4)]
    step = make_pose(rotation_from_vector([0.0, 2 * np.pi / count, 0.0]), [0.0, 0.0, 1.0])
    biased = [np.eye(4)]
    bias = rotation_from_vector([0.0, 0.004, 0.0])
    for k in range(count):
        true.append(true[-1] @ step)
        biased.append(biased[-1] @ make_pose(step[:3, :3] @ bias, step[:3, 3] * np.exp(0.01 * k)))
    poses, truth = np.array(biased), np.array(true)
    edges = [Edge(k, k + 1, relative_pose(poses[k], poses[k + 1]), 0.0, 1.0) for k in range(count)]
    edges.append(Edge(0, count, np.eye(4), -0.01 * count, 0.02))
    before = np.linalg.norm(poses[:, :3, 3] - truth[:, :3, 3], axis=1).max()
    found, log_scale = relax(poses, edges, held=0)
    after = np.linalg.norm(found[:, :3, 3] - truth[:, :3, 3], axis=1).max()
    assert after < before / 10
    np.testing.assert_allclose(log_scale, -0.01 * np.arange(count + 1), atol=0.01)


def test_the_held_keyframe_stays() -> None:
    poses, _ = chain(np.random.default_rng(2), 4)
    edges = [measured(poses, np.zeros(4), k, k + 1) for k in range(3)]
    edges.append(Edge(0, 3, np.eye(4), 0.3, 1.0))
    found, log_scale = relax(poses, edges, held=2)
    np.testing.assert_allclose(found[2], poses[2], atol=1e-12)
    assert log_scale[2] == pytest.approx(0.0)

"""nodes.views.path_ranker: requests checked, poses placed, scores told, with a predictor that sees a wall."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.srv")

import scripted_views as script
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from std_msgs.msg import Header
from view_bench import T0, Bench, S
from views_rig import BASE, CAMERA, EYE, MAP, WORLD, at

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.interfaces import PredictViews, RankPaths
from ros2_raxels.nodes.common.messages import pose_message
from ros2_raxels.nodes.views.goal import GoalError, code_name
from ros2_raxels.nodes.views.path_ranker import PathRanker, _placed, refused
from ros2_raxels.nodes.views.view_maker import Scene
from ros2_raxels.view_synthesis.context import ContextFrame

pytestmark = pytest.mark.ros

OPTICAL = PredictViews.Goal.POSE_OF_OPTICAL


class Stand:
    """A ranker beside a maker, whose camera stood at x = .3 and .5 in the world, 2.5 before a wall at z = 2.5."""

    def __init__(self, probe: Probe) -> None:
        self.bench = Bench(probe)
        frames = [
            ContextFrame(np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8), CAMERA, T0 + k * S, EYE, at(x))
            for k, x in enumerate((0.3, 0.5))
        ]
        self.bench.live.until = lambda _: ([], tuple(self.frames))  # type: ignore[method-assign]
        self.frames = frames
        self.bench.now_ns = T0 + S
        self.predictor: Any = script.PaintingPredictor("")

    def rank(self, *paths: Path, radius: float = 0.2, **fields: Any) -> Any:
        request = RankPaths.Request(paths=list(paths), radius=radius, pose_of=OPTICAL)
        for name, value in fields.items():
            setattr(request, name, value)
        response = RankPaths.Response()
        ranker = PathRanker(
            self.bench.maker(self.predictor),
            self.predictor,
            lambda frame: self.bench.reader.lookup(frame, frame),
            lambda: self.bench.metric,
        )
        ranker.rank(request, response)
        ranker.close()
        return response


@pytest.fixture
def stand(module_probe: Probe) -> Iterator[Stand]:
    instance = Stand(module_probe)
    yield instance
    instance.bench.close()


def path(*poses: FloatArray, frame: str = WORLD) -> Path:
    return Path(header=Header(frame_id=frame), poses=[PoseStamped(pose=pose_message(pose)) for pose in poses])


def said(response: Any) -> tuple[str, str]:
    return code_name(response.error_code), response.error_msg


def test_each_path_has_a_score_in_its_order_whatever_its_length(stand: Stand):
    response = stand.rank(path(at(0.5, 0, 1)), path(at(0.5), at(0.5, 0, 1.2), at(0.5, 0, 2.5)), path(at(0.5), at(0.5)))
    assert said(response) == ("NONE", "")
    free = [score.free_probability for score in response.scores]
    assert free[0] > 0.9
    assert free[1] < 0.3
    assert response.scores[0].closest_obstacle == pytest.approx(1.5, abs=0.1)
    assert response.scores[1].closest_pose == 2
    for score in response.scores:
        assert score.seen_share + score.never_seen_share == pytest.approx(1.0)
    assert response.scores[2].expected_quality > 0.9
    assert (response.stamp.sec, response.is_metric) == (T0 // S + 1, False)
    assert response.scoring_time.nanosec > 0


def test_poses_of_the_base_are_placed_through_tf(stand: Stand):
    """The base is .5 behind its camera, and looks along x."""
    mount = make_pose(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), (0.5, 0.0, 0.0))
    reader = stand.bench.reader
    reader.place(BASE, EYE, mount)
    reader.place(MAP, WORLD, mount)
    stand.bench.metric = True
    # In the map the wall is at x = 3; the base that stands at x = 2 is 1 away from it.
    found = stand.rank(path(at(0.0, -0.5), at(2.0, -0.5), frame=MAP), pose_of=PredictViews.Goal.POSE_OF_BASE)
    assert said(found) == ("NONE", "")
    assert found.scores[0].closest_obstacle == pytest.approx(1.0, abs=0.1)
    assert found.is_metric


def test_the_camera_whose_mount_is_known_tells_where_the_body_has_been() -> None:
    mount = make_pose(rotation_from_vector([0.0, 0.4, 0.0]), (0.5, 0.0, 0.1))
    bodies = np.array([at(0.0), at(1.0), at(2.0)])
    to_world = np.array([bodies[0] @ mount, at(7.0), bodies[1] @ mount])
    trajectory = bodies[2:] @ mount
    scene = Scene([], to_world, [0, 2], None, CAMERA, EYE, trajectory, np.eye(4), WORLD, T0, mount)
    been, (candidate,) = _placed(scene, [1])
    np.testing.assert_allclose(been, bodies[:2], atol=1e-12)
    np.testing.assert_allclose(candidate.body, bodies[2:], atol=1e-12)


def test_metres_need_a_scale(stand: Stand):
    stand.bench.reader.place(MAP, WORLD, np.eye(4))
    code, words = said(stand.rank(path(at(0.5), frame=MAP)))
    assert code == "UNKNOWN_SCALE"
    assert words.startswith("map is in metres, but the scale of raxels_world is not known")


def test_one_image_is_not_enough(stand: Stand):
    del stand.frames[0]

    def refuse(*_: Any) -> Any:
        raise ValueError("1 known frame(s) show no depth; give two or more from different places")

    stand.predictor.frame_depths = refuse
    assert said(stand.rank(path(at(0.5))))[0] == "NO_CONTEXT"


@pytest.mark.parametrize(
    ("paths", "fields", "code", "words"),
    [
        (0, {}, "TOO_MANY_POSES", "0 paths: give 1 to 64 at once"),
        (65, {}, "TOO_MANY_POSES", "65 paths: give 1 to 64 at once"),
        (10_000, {}, "TOO_MANY_POSES", "10000 paths: give 1 to 64 at once"),
        (1, {"radius": 0.0}, "INVALID_GOAL", "radius = 0 must be above 0 and at most 50; give it in m"),
        (1, {"radius": 1000.0}, "INVALID_GOAL", "radius = 1000 must be above 0 and at most 50; give it in m"),
        (1, {"radius": float("nan")}, "INVALID_GOAL", "radius = nan must be above 0 and at most 50; give it in m"),
        (1, {"height_min": 0.5}, "INVALID_GOAL", "heights from 0.5 to 0 must rise, within 50; both 0 are a ball"),
        (1, {"horizon": -1.0}, "INVALID_GOAL", "horizon = -1 must be 0 to 1000; 0 means ten radii"),
        (1, {"pose_of": 7}, "INVALID_GOAL", "pose_of = 7 is neither POSE_OF_BASE (0) nor POSE_OF_OPTICAL (1)"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    stand: Stand, paths: int, fields: dict[str, Any], code: str, words: str
):
    response = stand.rank(*[path(at(0.5))] * paths, **fields)
    assert said(response) == (code, words)
    assert not response.scores


def test_paths_that_are_empty_too_long_not_finite_or_nowhere_are_refused(stand: Stand):
    assert said(stand.rank(path(at()), path())) == ("INVALID_GOAL", "paths[1] has 0 poses: give 1 to 256")
    assert said(stand.rank(path(*[at()] * 257))) == ("TOO_MANY_POSES", "paths[0] has 257 poses: give 1 to 256")
    assert said(stand.rank(path(at(float("nan")))))[0] == "INVALID_GOAL"
    assert said(stand.rank(path(at(), frame="kitchen")))[0] == "UNKNOWN_FRAME"
    far = make_pose(rotation_from_vector([0.0, 0.0, 0.0]), (0.0, 0.0, 1e4))
    assert "the bound is 100 (max_distance)" in said(stand.rank(path(far)))[1]


def test_without_a_model_and_with_one_that_fails_the_reason_is_told(stand: Stand):
    def fail(*_: Any) -> Any:
        raise MemoryError("no room")

    stand.predictor.frame_depths = fail
    code, words = said(stand.rank(path(at(0.5))))
    assert (code, words) == ("INTERNAL", "internal error: MemoryError: no room")
    stand.predictor = None
    assert said(stand.rank(path(at(0.5)))) == ("ENGINE_FAILED", "no model is loaded; /diagnostics says why")


def test_a_refusal_has_no_scores():
    response = refused(RankPaths.Response(scoring_time=RankPaths.Response().scoring_time), GoalError(300, "late"))
    assert said(response) == ("TIMEOUT", "late")

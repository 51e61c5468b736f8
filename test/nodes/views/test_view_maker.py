"""nodes.views.view_maker: from a goal to poses, pictures, codes and words, with a predictor that paints."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from ros_testing import Probe, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

import scripted_views as script
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header
from view_bench import T0, Bench, S
from views_rig import BASE, CAMERA, EYE, MAP, WORLD, Tree, at, with_context

from ros2_raxels.client import make_goal
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import camera_info_message, pose_array, stamp_message
from ros2_raxels.nodes.views.goal import code_name
from ros2_raxels.nodes.views.job import STATES
from ros2_raxels.recordings.image_codec import encode_compressed
from ros2_raxels.view_synthesis.prediction import PredictedViews, PredictionRequest

pytestmark = pytest.mark.ros

TURN = make_pose(rotation_from_vector([0.0, 0.0, np.pi / 2]), (10.0, 0.0, 0.0))


@pytest.fixture
def bench(module_probe: Probe) -> Iterator[Bench]:
    instance = Bench(module_probe)
    yield instance
    instance.close()


def asked(poses: Any = (), frame: str = WORLD, stamps: tuple[int, ...] = (T0,), **options: Any) -> Any:
    """A goal that brings its context."""
    return with_context(make_goal(list(poses), frame, seed=7, **options), list(stamps))


def said(result: Any) -> tuple[str, str]:
    return code_name(result.error_code), result.error_msg


def poses_of(result: Any) -> FloatArray:
    return np.array([pose_array(stamped.pose) for stamped in result.view_poses])


# ------------------------------------------------------------------------------------------------------------- poses


def test_views_of_poses_in_the_world_have_those_poses(bench: Bench):
    poses = [at(-0.3), at(0.1, 2.0), make_pose(rotation_from_vector([0.0, 0.3, 0.0]), (0.2, 0.0, 1.0))]
    result = bench.make(asked(poses))
    assert said(result) == ("NONE", "")
    np.testing.assert_allclose(poses_of(result), poses, atol=1e-12)
    assert {(p.header.frame_id, p.header.stamp.sec) for p in result.view_poses} == {(WORLD, T0 // S)}
    for view, pose in zip(result.views, poses, strict=True):
        image = cv2.imdecode(np.frombuffer(view.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(image, script.painted(7, 1, pose))
        assert (view.header.frame_id, view.format) == (EYE, "png")
    assert (result.seed_used, result.model_id) == (7, "painter")
    assert list(result.confidence) == pytest.approx([1.0 - script.MADE_UP] * 3)
    assert np.isnan(result.self_consistency_rotation).all()
    assert len(result.self_consistency_translation) == 3


def test_poses_of_the_base_in_several_frames_are_transformed_and_answered_in_the_frame_of_the_trajectory(bench: Bench):
    mount = make_pose(rotation_from_vector([0.0, 0.3, 0.0]), (0.2, 0.0, 0.5))
    # A base that is where its camera was seen.
    bench.reader.tree = Tree().tree
    bench.reader.place(MAP, WORLD, TURN)
    bench.reader.place(WORLD, BASE, at(0.5) @ np.linalg.inv(mount), T0)
    bench.reader.place(BASE, EYE, mount)
    bench.metric = True
    goal = asked([at(10.0, 0.7), at(0.4)], MAP, place_base=True)
    goal.trajectory.poses[1].header.frame_id = WORLD
    result = bench.make(goal)
    assert said(result) == ("NONE", "")
    expected = [at(10.0, 0.7) @ mount, TURN @ at(0.4) @ mount]
    np.testing.assert_allclose(poses_of(result), expected, atol=1e-9)
    assert {p.header.frame_id for p in result.view_poses} == {MAP}


def test_without_a_trajectory_views_continue_from_the_newest_image(bench: Bench):
    result = bench.make(asked(views=2, steps=3))
    np.testing.assert_allclose(poses_of(result), [at(0.5, 0.0, script.AHEAD * k) for k in (1, 2)], atol=1e-12)
    assert {p.header.frame_id for p in result.view_poses} == {WORLD}


def test_imagining_does_not_need_the_pose_of_the_camera(bench: Bench):
    bench.reader.tree.clear()
    result = bench.make(asked(views=2, steps=1))
    np.testing.assert_allclose(poses_of(result), [at(0.0, 0.0, script.AHEAD * k) for k in (1, 2)], atol=1e-12)
    assert {p.header.frame_id for p in result.view_poses} == {EYE}


def test_images_later_than_the_reference_are_left_out(bench: Bench):
    stamps = tuple(T0 + k * S for k in range(8))
    goal = asked([at(0.1)], stamps=stamps, reference_ns=stamps[6] + 1)
    result = bench.make(goal)
    image = cv2.imdecode(np.frombuffer(result.views[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert int(image[0, 0, 1]) == 7, "the predictor chooses among all that there are"
    assert result.view_poses[0].header.stamp.nanosec == 1
    goal = asked([at(0.1)], reference_ns=T0 - 1)
    words = f"all context images are later than reference_time = {T0 - 1} ns; give a later time, or 0"
    assert said(bench.make(goal)) == ("NO_CONTEXT", words)


def test_views_have_the_size_and_the_camera_that_were_asked_for(bench: Bench):
    bench.set(image_format="jpeg")
    result = bench.make(asked([at(0.1)], size=(100, 60)))
    assert result.views[0].format == "jpeg"
    assert cv2.imdecode(np.frombuffer(result.views[0].data, np.uint8), cv2.IMREAD_COLOR).shape == (60, 100, 3)
    camera = CAMERA.resized(100, 60)
    assert (result.camera_info.width, result.camera_info.height, result.camera_info.k[0]) == (100, 60, camera.fx)


def test_a_result_has_depth_error_and_mask_of_each_view_only_where_they_are_wanted(bench: Bench):
    plain = bench.make(asked([at(0.1), at(0.2)]))
    assert [len(images) for images in (plain.depths, plain.errors, plain.unseen)] == [0, 0, 0]
    wanted = {"depth": True, "depth_in_units": True, "error": True, "unseen": True}
    result = bench.make(asked([at(0.1), at(0.2)], size=(64, 40), **wanted))
    assert said(result) == ("NONE", "")
    for images, encoding in ((result.depths, "32FC1"), (result.errors, "32FC1"), (result.unseen, "mono8")):
        assert [(i.encoding, i.width, i.height, i.header.frame_id) for i in images] == [(encoding, 64, 40, EYE)] * 2
    depth, error = (np.frombuffer(bytes(i[1].data), np.float32) for i in (result.depths, result.errors))
    np.testing.assert_array_equal(depth, script.DEPTH)
    assert error[0] == pytest.approx(script.MADE_UP / 2)
    mask = np.frombuffer(bytes(result.unseen[0].data), np.uint8).reshape(40, 64)
    np.testing.assert_array_equal(mask, np.where(np.arange(64) < 32, 0, 255)[None].repeat(40, axis=0))
    assert not result.depth_is_metric
    bench.metric = True
    assert bench.make(asked([at(0.1)], depth=True)).depth_is_metric


def test_depth_in_metres_needs_a_scale(bench: Bench):
    code, words = said(bench.make(asked([at(0.1)], depth=True)))
    assert code == "UNKNOWN_SCALE"
    assert words == (
        f"depth is wanted in m, but the scale of {WORLD} is not known: let the pose node find it, or set "
        "depth_in_units to take it in the unit of the poses"
    )
    bench.metric = True
    code, words = said(bench.make(asked(views=2, depth=True)))
    assert (code, words.split(":")[0]) == ("UNKNOWN_SCALE", "what is imagined has no scale, so its depth is not in m")
    assert not bench.make(asked(views=2, depth=True, depth_in_units=True)).depth_is_metric


def test_points_of_a_result_are_offered_in_the_frame_of_the_answer(bench: Bench):
    offered: list[Any] = []
    bench.make(asked([at(0.1)]), show_points=offered.append)
    (made,) = offered
    cloud = made()
    assert (cloud.header.frame_id, cloud.header.stamp.sec) == (WORLD, T0 // S)
    assert cloud.width == script.SIZE[0] * script.SIZE[1]


class Sized(script.PaintingPredictor):
    """Notes the size that it was asked for."""

    size: Any = "none"

    def predict_in_batches(self, request: Any, *, proceed: Any) -> Iterator[Any]:
        self.size = request.size
        return super().predict_in_batches(request, proceed=proceed)


def test_views_are_made_in_the_size_that_was_asked_for_up_to_the_cameras(bench: Bench):
    predictor = Sized("")
    for size, made in (((0, 0), None), ((40, 30), (40, 30)), ((256, 20), (CAMERA.width, 20))):
        bench.make(asked([at(0.1)], size=size), predictor)
        assert predictor.size == made


def test_a_seed_of_0_draws_one_and_returns_it(bench: Bench):
    goals = [with_context(make_goal([at(0.1)], WORLD), [T0]) for _ in range(2)]
    seeds = [bench.make(goal).seed_used for goal in goals]
    assert min(seeds) > 0
    assert seeds[0] != seeds[1]


# ---------------------------------------------------------------------------------------------------------- refusals


def test_without_a_model_every_goal_ends_with_the_reason(bench: Bench):
    assert said(bench.make(asked([at()]), predictor=None)) == ("ENGINE_FAILED", "no model is loaded: no card")


def test_without_an_image_there_is_no_context(bench: Bench):
    code, words = said(bench.make(make_goal([at()], WORLD)))
    assert code == "NO_CONTEXT"
    assert words.startswith("no image with camera_info yet: no publisher on /camera_info")


def test_an_old_image_is_not_context_unless_its_time_is_asked_for(bench: Bench):
    bench.now_ns = T0 + 3 * S
    code, words = said(bench.make(asked([at()])))
    assert (code, words.partition(":")[0]) == (
        "STALE_CONTEXT",
        "the newest image is 3.000 s old, the bound is 2 s (context.max_age_s)",
    )
    assert said(bench.make(asked([at()], reference_ns=T0 + S))) == ("NONE", "")


def test_metric_goals_are_refused_while_the_scale_is_unknown(bench: Bench):
    bench.reader.place(MAP, WORLD, TURN)
    code, words = said(bench.make(asked([at(10.0)], MAP)))
    assert (code, words.partition(":")[0]) == (
        "UNKNOWN_SCALE",
        f"map is in metres, but the scale of {WORLD} is not known",
    )
    bench.metric = True
    assert said(bench.make(asked([at(10.0)], MAP)))[0] == "NONE"


def test_a_pose_too_far_away_is_named(bench: Bench):
    code, words = said(bench.make(asked([at(), at(0.5, 0.0, 100.1)])))
    assert code == "INVALID_GOAL"
    assert words.startswith("trajectory.poses[1] is 100.1 away from the newest context frame, the bound is 100")


def test_a_frame_unknown_to_tf_at_that_time_is_named(bench: Bench):
    bench.reader.place(WORLD, "platform", at(), T0)
    bench.metric = True
    code, words = said(bench.make(asked([at()], "platform", reference_ns=T0 + S)))
    assert code == "NO_TRANSFORM"
    assert "platform" in words


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (MemoryError("full"), "the engine failed: MemoryError: full"),
        (RuntimeError("driver\n  gone"), "the engine failed: RuntimeError: driver gone"),
    ],
)
def test_whatever_an_engine_raises_ends_the_goal_in_one_line(bench: Bench, raised: Exception, words: str):
    class Failing(script.PaintingPredictor):
        def predict_in_batches(self, *_: Any, **__: Any) -> Any:
            raise raised

    assert said(bench.make(asked([at()]), Failing(""))) == ("ENGINE_FAILED", words)


def test_an_unexpected_exception_is_an_internal_error(bench: Bench):
    class Unnamed(script.PaintingPredictor):
        def describe(self) -> str:
            raise KeyError("name")

    assert said(bench.make(asked([at()]), Unnamed(""))) == ("INTERNAL", "internal error: KeyError: 'name'")


# ------------------------------------------------------------------------------------------------------ being stopped


def test_a_goal_that_was_stopped_before_it_began_has_no_views(bench: Bench):
    goal = asked([at(), at(0.1)])
    job = bench.job(goal)
    job.preempt("a newer goal took over")
    result = bench.make(goal, job=job)
    assert said(result) == ("PREEMPTED", "a newer goal took over; 0 of 2 views are there")
    assert job.handle.states == []


def test_a_goal_that_is_stopped_while_running_has_the_finished_views(bench: Bench):
    class Stopping(script.PaintingPredictor):
        def predict_in_batches(self, *arguments: Any, **options: Any) -> Any:
            for batch in super().predict_in_batches(*arguments, **options):
                yield batch
                job.handle.is_cancel_requested = True

    goal = asked([at(0.1 * k) for k in range(5)])
    job = bench.job(goal)
    result = bench.make(goal, Stopping(""), job)
    assert said(result) == ("CANCELLED", "cancelled by the client; 2 of 5 views are there")
    np.testing.assert_allclose(poses_of(result)[:, 0, 3], [0.0, 0.1], atol=1e-12)
    assert STATES.STATE_CHECKING not in job.handle.states


def test_a_goal_that_waits_for_a_transform_can_be_cancelled(bench: Bench):
    bench.set(tf_timeout_s=60.0)
    bench.reader.place(WORLD, "platform", at(), T0)
    bench.metric = True
    goal = asked([at()], "platform", reference_ns=T0 + S)
    job, results = bench.job(goal), []
    worker = threading.Thread(target=lambda: results.append(bench.make(goal, job=job)))
    worker.start()
    wait_until(lambda: job.handle.states == [STATES.STATE_PREPARING], what="a goal at work")
    job.handle.is_cancel_requested = True
    worker.join(5.0)
    assert said(results[0]) == ("CANCELLED", "cancelled by the client")


def test_a_transform_that_arrives_while_the_goal_waits_is_used(bench: Bench):
    bench.set(tf_timeout_s=60.0)
    bench.reader.place(WORLD, "platform", at(1.0), T0)
    bench.metric = True
    goal = asked([at()], "platform", reference_ns=T0 + S)
    job, results = bench.job(goal), []
    worker = threading.Thread(target=lambda: results.append(bench.make(goal, job=job)))
    worker.start()
    wait_until(lambda: job.handle.states == [STATES.STATE_PREPARING], what="a goal at work")
    bench.reader.place(WORLD, "platform", at(3.0), T0 + 2 * S)
    worker.join(10.0)
    assert said(results[0]) == ("NONE", "")
    image = cv2.imdecode(np.frombuffer(results[0].views[0].data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(image, script.painted(7, 1, at(2.0)))


def test_blank_views_keep_their_confidence_and_have_a_self_consistency_of_nan(bench: Bench):
    bench.set(self_consistency=True)
    goal = asked([at(0.1)])
    job = bench.job(goal)
    result = bench.make(goal, job=job)
    assert said(result) == ("NONE", "")
    assert list(dict.fromkeys(job.handle.states)) == [
        STATES.STATE_PREPARING,
        STATES.STATE_DENOISING,
        STATES.STATE_CHECKING,
    ]
    assert np.isnan([result.self_consistency_rotation[0], result.self_consistency_translation[0]]).all()
    assert result.confidence[0] == pytest.approx(1.0 - script.MADE_UP)


# --------------------------------------------------------------------------------------------------------------- rigs


class Seeing:
    """A predictor that says what it was given."""

    def predict_in_batches(self, request: PredictionRequest, *, proceed: Any) -> Iterator[PredictedViews]:
        self.asked = request
        yield from script.PaintingPredictor("").predict_in_batches(request, proceed=proceed)

    def describe(self) -> str:
        return "seeing"


MOUNTED = make_pose(rotation_from_vector([0.0, 0.2, 0.0]), (0.12, 0.0, 0.0))
OTHER = PinholeCamera(80, 48, 50.0, 52.0, 40.0, 23.0)


def of_two_cameras(stamps: dict[str, list[int]], **options: Any) -> Any:
    """A goal that brings white images of the right camera and grey ones of the left one."""
    goal = make_goal([at(0.1)], WORLD, seed=7, **options)
    images = [(stamp, frame) for frame, some in stamps.items() for stamp in some]
    for stamp, frame in sorted(images):
        camera, shade = (OTHER, 250) if frame == "right_optical" else (CAMERA, 90)
        header = Header(frame_id=frame, stamp=stamp_message(stamp))
        pixels = np.full((camera.height, camera.width, 3), shade, np.uint8)
        image = CompressedImage(header=header, format="png", data=encode_compressed(pixels, "png"))
        goal.context.append(image)
        goal.context_camera_info.append(camera_info_message(camera, header))
    return goal


@pytest.mark.parametrize("asked_for", ["", EYE, "right_optical"])
def test_all_cameras_are_context_for_the_one_whose_views_are_wanted(bench: Bench, asked_for: str):
    bench.reader.place(EYE, "right_optical", MOUNTED)
    seeing = Seeing()
    goal = of_two_cameras({EYE: [T0, T0 + 2 * S], "right_optical": [T0 + S]}, camera=asked_for)
    result = bench.make(goal, seeing)
    assert said(result) == ("NONE", "")
    own = OTHER if asked_for == "right_optical" else CAMERA
    assert seeing.asked.camera == own
    assert result.camera_info.header.frame_id == (asked_for or EYE)
    np.testing.assert_allclose(
        seeing.asked.camera_to_world, [at(0.5), at(0.5) @ MOUNTED, at(0.5)], atol=1e-12, err_msg="by time"
    )
    middle = [int(image[own.height // 2, own.width // 2, 0]) for image in seeing.asked.images]
    assert middle == [90, 250, 90]
    # The right lens is the wider one.
    whole = [True, True, True] if own is CAMERA else [False, True, False]
    assert [bool(mask.all()) for mask in seeing.asked.seen or ()] == whole
    np.testing.assert_allclose(poses_of(result), [at(0.1)], atol=1e-12)


def test_a_base_carries_the_camera_whose_views_are_wanted(bench: Bench):
    bench.reader.place(EYE, "right_optical", MOUNTED)
    bench.metric = True
    goal = of_two_cameras({EYE: [T0], "right_optical": [T0]}, camera="right_optical", place_base=True)
    bench.set(base_frame=EYE)
    result = bench.make(goal)
    assert said(result) == ("NONE", "")
    np.testing.assert_allclose(poses_of(result), [at(0.1) @ MOUNTED], atol=1e-12)


def test_context_of_the_camera_that_is_later_than_the_reference_is_named(bench: Bench):
    bench.reader.place(EYE, "right_optical", MOUNTED)
    goal = of_two_cameras({EYE: [T0], "right_optical": [T0 + S]}, camera="right_optical", reference_ns=T0)
    words = f"all context images of right_optical are later than reference_time = {T0} ns; give a later time, or 0"
    assert said(bench.make(goal)) == ("NO_CONTEXT", words)

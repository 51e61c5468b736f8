"""The view server as a process over DDS, with a predictor that paints what it was asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from ros_testing import Probe, Spawn, be_slow, paced, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

import scripted_views as script
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from std_msgs.msg import Header
from views_rig import BASE, CAMERA, EYE, MAP, PARAMETERS, WORLD, ViewsRig, at, with_context

from raxels_interfaces.action import PredictViews
from raxels_interfaces.msg import PoseStatus
from raxels_interfaces.srv import RankPaths
from ros2_raxels.client import ViewClient, ViewClientError, make_goal
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import pose_message

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def shared(module_spawn: Spawn, module_probe: Probe) -> Iterator[ViewsRig]:
    rig = ViewsRig(module_probe, module_spawn("scripted_views.py", *PARAMETERS))
    yield rig
    rig.close()


@pytest.fixture
def rig(shared: ViewsRig) -> ViewsRig:
    """With an image that has just been taken half a metre to the right of the origin."""
    shared.stamp = shared.settle()
    return shared


# -------------------------------------------------------------------------------------------------------- success


def test_views_have_the_requested_poses(rig: ViewsRig):
    turned = make_pose(rotation_from_vector([0.0, 0.3, 0.0]), (0.2, 0.0, 1.0))
    poses = [at(-0.3), at(0.1, 2.0), turned]
    found = rig.client.predict(make_goal(poses, WORLD, seed=42))
    assert (found.code_name, found.message, found.seed, found.model_id) == ("NONE", "", 42, "painter")
    assert found.ended == "succeeded"
    np.testing.assert_allclose(found.poses, poses, atol=1e-12)
    assert (found.frame_id, found.stamp_ns, found.optical_frame) == (WORLD, rig.stamp, EYE)
    for image, pose in zip(found.images, poses, strict=True):
        context = int(image[0, 0, 1])
        np.testing.assert_array_equal(image, script.painted(42, context, pose))
        assert context >= 1
    assert found.camera == CAMERA.resized(*script.SIZE)
    np.testing.assert_allclose(found.confidence, 1.0 - script.MADE_UP)
    assert np.isnan(found.rotation_rad).all()
    assert found.rotation_rad.shape == found.translation.shape == (3,)


def test_views_are_spread_over_the_arc_and_have_the_requested_size(rig: ViewsRig):
    evenly = rig.client.predict(make_goal([at(0), at(0.1), at(0.9)], WORLD, views=3))
    np.testing.assert_allclose(evenly.poses[:, 0, 3], [0.0, 0.45, 0.9], atol=1e-12)
    found = rig.client.predict(make_goal([at(0), at(0.1), at(0.9)], WORLD, views=4, size=(100, 60)))
    np.testing.assert_allclose(found.poses[:, 0, 3], [0.0, 0.3, 0.6, 0.9], atol=1e-12)
    assert [image.shape for image in found.images] == [(60, 100, 3)] * 4
    assert found.camera == CAMERA.resized(100, 60)
    assert found.seed > 0


def test_poses_of_the_base_in_metric_frames_are_transformed_once_the_scale_is_known(rig: ViewsRig):
    optical_in_base = at(0.2, 0.0, 0.5) @ OPTICAL_TO_BODY
    world_in_map = make_pose(rotation_from_vector([0.0, 0.0, math.pi / 2]), (10.0, 0.0, 0.0))
    rig.place(MAP, WORLD, world_in_map, static=True)
    rig.place(EYE, BASE, np.linalg.inv(optical_in_base), static=True)
    goal = make_goal([at(10.0, 0.7)], MAP, place_base=True)
    unknown = wait_until(lambda: _served(rig, goal), what="known frames")
    assert unknown.code_name == "UNKNOWN_SCALE"
    assert "map is in metres, but the scale of raxels_world is not known" in unknown.message
    rig.tell(metric=True)
    found = wait_until(lambda: (v := rig.client.predict(goal)) and v.ok and v, what="a known scale")
    rig.tell(metric=False)
    expected = at(10.0, 0.7) @ optical_in_base
    np.testing.assert_allclose(found.poses[0], expected, atol=1e-9)
    assert found.frame_id == MAP
    in_world = np.linalg.inv(world_in_map) @ expected
    np.testing.assert_array_equal(found.images[0][0, 0, 2], script.painted(1, 1, in_world)[0, 0, 2])
    wait_until(lambda: rig.client.predict(goal).code_name == "UNKNOWN_SCALE", what="scale lost again")


def _served(rig: ViewsRig, goal: Any) -> Any:
    rig.stamp = rig.look(at(0.5))
    try:
        return rig.client.predict(goal)
    except ViewClientError:
        return None


def test_the_same_seed_gives_the_same_pictures(rig: ViewsRig):
    drawn = rig.client.predict(make_goal([at(0.1)], WORLD))
    again = rig.client.predict(make_goal([at(0.1)], WORLD, seed=drawn.seed))
    other = rig.client.predict(make_goal([at(0.1)], WORLD, seed=drawn.seed % 2**32 + 1))
    np.testing.assert_array_equal(drawn.images[0], again.images[0])
    assert (drawn.images[0] != other.images[0]).any()


def test_without_a_trajectory_one_is_imagined_from_where_the_camera_is(rig: ViewsRig):
    found = rig.client.predict(make_goal(views=3, steps=1, seed=5))
    assert found.ok, found.message
    expected = [at(0.5, 0.0, script.AHEAD * k) for k in (1, 2, 3)]
    np.testing.assert_allclose(found.poses, expected, atol=1e-12)
    assert found.frame_id == WORLD


@pytest.mark.parametrize("news", [{"state": PoseStatus.STATE_INITIALISING}, {"frames_processed": 1}, {"resets": 1}])
def test_frames_seen_from_elsewhere_are_kept_as_context_until_a_new_world_begins(rig: ViewsRig, news: dict[str, int]):
    def with_three() -> bool:
        places = (0.0, 0.3, 0.5)
        # The server looks at the newest image ten times a second.
        for number in paced(7.0, len(places)):
            rig.look(at(places[number]))
        return int(rig.client.predict(make_goal([at()], WORLD, seed=1)).images[0][0, 0, 1]) >= 3

    wait_until(with_three, what="three context frames")
    # A camera that was silent for a while goes on in the same world.
    rig.tell(metric=False, state=PoseStatus.STATE_WAITING)
    rig.taken()
    rig.look(at(0.5))
    assert int(rig.client.predict(make_goal([at()], WORLD, seed=1)).images[0][0, 0, 1]) >= 3
    rig.tell(metric=False, **news)

    def with_one() -> bool:
        rig.look(at(0.5))
        return int(rig.client.predict(make_goal([at()], WORLD, seed=1)).images[0][0, 0, 1]) == 1

    wait_until(with_one, what="frames of the new world alone", every_s=0.05)


def test_a_reference_time_in_the_past_is_honoured(rig: ViewsRig):
    stamps = []
    # The server looks at the newest image ten times a second.
    for _ in paced(7.0, 6):
        stamps.append(rig.look(at(0.5)))
        rig.taken()
    found = rig.client.predict(make_goal([at(0.1)], WORLD, reference_ns=stamps[3] + 10**6))
    assert found.ok, found.message
    assert found.stamp_ns == stamps[3] + 10**6


def test_where_the_newest_image_has_no_pose_the_one_before_is_used(rig: ViewsRig):
    goal = make_goal([at(0.1)], WORLD)

    def served() -> bool:
        image = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
        # The server looks at the newest image ten times a second.
        placed, unplaced = (rig.send(image) if number else rig.look(at(0.5)) for number in paced(7.0, 2))
        rig.taken()
        assert unplaced > placed
        found = rig.client.predict(goal)
        assert found.stamp_ns in (0, placed), "an image that is not placed"
        return found.ok and found.stamp_ns == placed

    wait_until(served, what="views from the image before")


def test_feedback_counts_steps_and_views_and_carries_each_finished_view(rig: ViewsRig):
    heard: list[Any] = []
    found = rig.client.predict(
        make_goal([at(0.1), at(0.2), at(0.3)], WORLD, steps=3, stream=True), on_feedback=heard.append
    )
    states = [message.state for message in heard]
    assert states[0] == PredictViews.Feedback.STATE_PREPARING
    steps = [(m.step, m.steps) for m in heard if m.state == PredictViews.Feedback.STATE_DENOISING]
    assert list(dict.fromkeys(steps)) == [(k, 6) for k in range(6)]
    previews = [m for m in heard if len(m.preview.data)]
    assert [m.views_done for m in previews] == [1, 2, 3]
    assert {m.views_total for m in heard} == {3}
    assert [m.preview_pose.pose.position.x for m in previews] == pytest.approx([0.1, 0.2, 0.3])
    assert cv2.imdecode(np.frombuffer(previews[0].preview.data, np.uint8), 1)[0, 0, 0] == found.images[0][0, 0, 2]
    fifth = next(m for m in heard if m.step == 5)
    elapsed_s, remaining_s = (d.sec + d.nanosec * 1e-9 for d in (fifth.elapsed, fifth.remaining))
    assert elapsed_s >= 5 * script.STEP_S
    assert script.STEP_S <= remaining_s <= elapsed_s / 5


def test_context_of_the_goal_itself_is_used(rig: ViewsRig):
    found = rig.client.predict(with_context(make_goal([at(0.1)], WORLD, seed=9), [rig.stamp]))
    assert found.ok, found.message
    np.testing.assert_array_equal(found.images[0], script.painted(9, 1, at(0.1)))


# ------------------------------------------------------------------------------------------------------- refusals


def _with(**changes: Any) -> Callable[[Any], None]:
    def change(goal: Any) -> None:
        for name, value in changes.items():
            setattr(goal, name, value)

    return change


def _pose(**changes: float) -> Callable[[Any], None]:
    def change(goal: Any) -> None:
        pose = goal.trajectory.poses[1].pose
        for name, value in changes.items():
            setattr(pose.orientation if name.startswith("q") else pose.position, name[-1], value)

    return change


def _negative(goal: Any) -> None:
    goal.max_duration.sec = -1


def _no_frame(goal: Any) -> None:
    goal.trajectory.poses[0].header.frame_id, goal.trajectory.header.frame_id = WORLD, "/"


def _unknown_frame(goal: Any) -> None:
    goal.trajectory.poses[1].header.frame_id = "raxels_word"


def _before_time(goal: Any) -> None:
    goal.reference_time.sec = -5


REJECTED = [
    pytest.param(_pose(px=math.nan), "INVALID_GOAL: trajectory.poses[1] has position [nan", id="nan"),
    pytest.param(_pose(pz=math.inf), "INVALID_GOAL: trajectory.poses[1] has position", id="inf"),
    pytest.param(_pose(qw=0.0), "INVALID_GOAL: trajectory.poses[1]: quaternion (x, y, z, w) = [0.0", id="no_turn"),
    pytest.param(_pose(qx=math.nan), "not of unit norm", id="nan_turn"),
    pytest.param(_no_frame, "UNKNOWN_FRAME: trajectory.poses[1] is in no frame", id="no_frame"),
    pytest.param(
        _unknown_frame,
        "UNKNOWN_FRAME: TF has never heard of frame 'raxels_word'; did you mean raxels_world",
        id="unknown_frame",
    ),
    pytest.param(_with(width=64), "INVALID_SIZE: size 64x0 px", id="one_side"),
    pytest.param(_with(width=4, height=4), "INVALID_SIZE: size 4x4 px", id="tiny"),
    pytest.param(_with(width=257, height=64), "INVALID_SIZE: size 257x64 px: both sides must be 16 to 256", id="large"),
    pytest.param(_with(width=2**32 - 1, height=2**32 - 1), "INVALID_SIZE: size 4294967295x4294967295", id="absurd"),
    pytest.param(
        _with(num_views=33), "TOO_MANY_POSES: 33 views are requested, the server makes at most 32", id="views"
    ),
    pytest.param(_with(num_views=2**32 - 1), "TOO_MANY_POSES: 4294967295 views", id="absurd_views"),
    pytest.param(_with(steps=65), "INVALID_GOAL: steps = 65 is more than max_steps = 64", id="steps"),
    pytest.param(_with(pose_of=7), "INVALID_GOAL: pose_of = 7 is neither", id="pose_of"),
    pytest.param(_negative, "INVALID_GOAL: max_duration = -1.000 s is negative", id="duration"),
    pytest.param(_before_time, "INVALID_GOAL: reference_time = -5.000 s is before 1970", id="reference"),
    pytest.param(lambda goal: goal.trajectory.poses.clear(), "trajectory is empty and num_views is 0", id="nothing"),
    pytest.param(lambda goal: with_context(goal, [2, 1]), "context images must be ordered by stamp", id="order"),
    pytest.param(lambda goal: with_context(goal, [0]), "context[0] has stamp 0 ns", id="no_stamp"),
    pytest.param(
        lambda goal: with_context(goal, [1], data=b""), "context[0] has no data; give an encoded image", id="no_data"
    ),
    pytest.param(lambda goal: with_context(goal, [1], frame=""), "context[0] has no frame_id", id="context_frame"),
    pytest.param(
        lambda goal: with_context(goal, range(1, 18)), "context has 17 images, the server accepts 16", id="many"
    ),
    pytest.param(
        lambda goal: goal.context_camera_info.extend(with_context(goal, [1, 2, 3]).context_camera_info),
        "3 context images need as many context_camera_info, or one; got 2",
        id="infos",
    ),
]


@pytest.mark.parametrize(("spoil", "words"), REJECTED)
def test_an_invalid_goal_is_rejected_and_the_log_says_why(rig: ViewsRig, spoil: Callable[[Any], None], words: str):
    goal = make_goal([at(0.1), at(0.2)], WORLD)
    spoil(goal)
    with pytest.raises(ViewClientError, match="rejected the goal; the server's log and /diagnostics say why"):
        rig.client.predict(goal)
    rig.warned(words)
    assert "Traceback" not in rig.node.log


def test_a_trajectory_of_100_000_poses_is_rejected_and_the_next_goal_served(rig: ViewsRig):
    goal = make_goal([at(0.1)], WORLD)
    goal.trajectory.poses = goal.trajectory.poses * 100_000
    with pytest.raises(ViewClientError, match="rejected"):
        rig.client.send(goal, timeout_s=60.0)
    rig.warned("TOO_MANY_POSES: trajectory has 100000 poses, the server accepts 1000")
    rig.look(at(0.5))
    assert rig.client.predict(make_goal([at(0.1)], WORLD)).code_name in ("NONE", "STALE_CONTEXT")


def test_a_time_unknown_to_tf_ends_the_goal_with_a_reason(rig: ViewsRig):
    rig.place(WORLD, "platform", at(), rig.stamp)
    goal = make_goal([at(0.1)], "platform", reference_ns=rig.stamp + 10**9)
    rig.tell(metric=True)
    found = wait_until(lambda: (v := _served(rig, goal)) and v.code_name == "NO_TRANSFORM" and v, what="a coded answer")
    rig.tell(metric=False)
    assert "no pose of raxels_world -> platform" in found.message
    assert "after its newest" in found.message
    assert found.images == []


def test_a_pose_a_kilometre_away_is_refused_with_a_reason_and_one_behind_the_camera_is_served(rig: ViewsRig):
    far = rig.client.predict(make_goal([at(0.1), at(0.0, 0.0, 1000.0)], WORLD))
    assert far.code_name == "INVALID_GOAL"
    assert "trajectory.poses[1] is 1000 away from the newest context frame, the bound is 100" in far.message
    behind = make_pose(rotation_from_vector([0.0, math.pi, 0.0]), (0.0, 0.0, -1.0))
    assert rig.client.predict(make_goal([behind], WORLD)).ok


def test_a_context_image_that_cannot_be_decoded_is_an_invalid_goal(rig: ViewsRig):
    found = rig.client.predict(with_context(make_goal([at(0.1)], WORLD), [rig.stamp], data=b"no picture"))
    assert found.code_name == "INVALID_GOAL"
    assert "context image cannot be used: compressed image" in found.message


def test_context_later_than_the_reference_is_refused(rig: ViewsRig):
    found = rig.client.predict(with_context(make_goal([at(0.1)], WORLD, reference_ns=rig.stamp - 1), [rig.stamp]))
    words = f"all context images are later than reference_time = {rig.stamp - 1} ns; give a later time, or 0"
    assert (found.code_name, found.message) == ("NO_CONTEXT", words)


def test_an_engine_failure_is_reported_and_the_next_goal_served(rig: ViewsRig):
    found = rig.client.predict(make_goal([at(0.1)], WORLD, seed=script.RAISE_SEED))
    assert (found.code_name, found.message) == ("ENGINE_FAILED", "the engine failed: MemoryError: as the seed asked")
    assert found.seed == script.RAISE_SEED
    rig.warned("goal ended with ENGINE_FAILED")
    assert rig.client.predict(make_goal([at(0.1)], WORLD)).ok


def test_images_that_are_too_old_are_not_context(rig: ViewsRig):
    old = rig.client.predict(with_context(make_goal([at(0.1)], WORLD), [rig.stamp - 60 * 10**9]))
    assert old.code_name == "STALE_CONTEXT"
    assert "60." in old.message
    assert "the bound is 4 s (context.max_age_s)" in old.message


# ------------------------------------------------------------------------------------- cancel, preempt, time, load


def test_cancel_takes_effect_within_a_step_and_returns_the_finished_views(rig: ViewsRig):
    heard: list[Any] = []
    pending = rig.client.send(make_goal([at(0.1)] * 6, WORLD, steps=30, seed=3), on_feedback=heard.append)
    wait_until(lambda: any(m.step >= 32 for m in heard), what="32 steps")
    assert pending.cancel()
    at_cancel = heard[-1].step
    found = pending.result()
    assert (found.code_name, found.ended) == ("CANCELLED", "canceled")
    # Two of the first batch, whole, and two of the second after some steps.
    assert found.message == "cancelled by the client; 4 of 6 views are there"
    assert len(found.images) == len(found.poses) == len(found.confidence) == 4
    # One, and what the network had not brought yet.
    assert heard[-1].step <= at_cancel + 3


def test_a_newer_goal_preempts_the_older_one_which_says_so(rig: ViewsRig):
    heard: list[Any] = []
    older = rig.client.send(make_goal([at(0.1)] * 4, WORLD, steps=30), on_feedback=heard.append)
    wait_until(lambda: any(m.step >= 2 for m in heard), what="2 steps")
    of_newer: list[Any] = []
    newer = rig.client.send(make_goal([at(0.2)], WORLD, seed=8), on_feedback=of_newer.append)
    found = older.result()
    assert (found.code_name, found.ended) == ("PREEMPTED", "aborted")
    assert found.message == "a newer goal took over; 2 of 4 views are there"
    np.testing.assert_array_equal(newer.result().images[0][0, 0, ::2], script.painted(8, 1, at(0.2))[0, 0, ::2])
    assert of_newer[0].state == PredictViews.Feedback.STATE_WAITING


def test_after_max_duration_the_finished_views_are_returned(rig: ViewsRig):
    found = rig.client.predict(make_goal([at(0.1)] * 32, WORLD, steps=3, max_duration_s=1.0))
    assert (found.code_name, found.ended) == ("TIMEOUT", "aborted")
    assert found.message == f"max_duration of 1.000 s has passed; {len(found.images)} of 32 views are there"
    assert 2 <= len(found.images) <= 10
    assert len(found.poses) == len(found.confidence) == len(found.images)


def test_eight_simultaneous_clients_each_get_a_result_with_a_reason(rig: ViewsRig):
    clients = [ViewClient(node_name=f"client_{k}") for k in range(8)]
    try:
        with ThreadPoolExecutor(8) as pool:
            goals = [make_goal([at(k / 10)], WORLD, seed=1 + k, steps=2) for k in range(8)]
            found = list(pool.map(lambda c, g: c.predict(g, timeout_s=30.0), clients, goals))
    finally:
        for client in clients:
            client.close()
    assert {views.code_name for views in found} == {"NONE", "PREEMPTED"}
    for k, views in enumerate(found):
        assert views.message == "" if views.ok else views.message.startswith("a newer goal took over; ")
        if views.ok:
            assert (views.images[0][0, 0, 0], views.poses[0, 0, 3]) == (1 + k, pytest.approx(k / 10))


def test_a_hundred_goals_in_a_row_leave_nothing_behind(rig: ViewsRig):
    def serve(count: int) -> None:
        for _ in range(count):
            rig.look(at(0.5))
            assert rig.client.predict(make_goal([at(0.1)] * 8, WORLD, size=(256, 192))).ok

    serve(10)
    # 100 results of 8 views are 118 MB of pixels; what remains of them for 10 s, in case a client asks late, is small.
    rig.node.assert_keeps_nothing_of(lambda: serve(100), most_mib=8.0)
    since = len(rig.diagnostics)
    status = wait_until(lambda: rig.health("goals", since), what="diagnostics")[-1]
    counts = {pair.key: pair.value for pair in status.values}
    assert int(counts["ended with NONE"]) >= 110
    assert counts["running"] == "False"
    assert 0.0 < float(counts["latency p50 (ms)"]) <= float(counts["latency p95 (ms)"]) < 8000.0


def test_diagnostics_show_engine_context_and_goals(rig: ViewsRig):
    since = len(rig.diagnostics)
    rig.look(at(0.5))
    engine, context = (wait_until(lambda part=p: rig.health(part, since), what=p)[-1] for p in ("engine", "context"))
    assert (engine.level, engine.message) == (DiagnosticStatus.OK, "painter")
    values = {pair.key: pair.value for pair in context.values}
    assert float(values["age (s)"]) < 10.0
    assert int(values["frames kept"]) >= 1
    silent = "s old: /image has a publisher (probe) but nothing arrives"
    wait_until(lambda: any(silent in s.message for s in rig.health("context", since)), what="silence")

    def late() -> bool:
        rig.send(np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8), time.time_ns() - 100 * 10**9)
        return any("s old: /image arrives with old stamps" in s.message for s in rig.health("context", since))

    wait_until(late, what="old stamps")
    rig.settle()


class _SlowToNote(dict[Any, Any]):
    """What waits for answers, noted down only after the server has answered."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        be_slow(0.3)


def test_an_answer_that_arrives_while_the_goal_is_being_sent_is_not_missed(rig: ViewsRig):
    with ViewClient(node_name="slow_to_note") as client:
        client._client._feedback_callbacks = _SlowToNote()
        found = client.predict(make_goal([at(0.1)], WORLD, seed=4), on_feedback=lambda _: None)
        assert (found.code_name, found.seed) == ("NONE", 4)
        with pytest.raises(ViewClientError, match="rejected the goal"):
            client.send(make_goal([at(0.1)], WORLD, steps=65), on_feedback=lambda _: None)


def test_a_goal_without_a_result_in_time_is_cancelled(rig: ViewsRig):
    pending = rig.client.send(make_goal([at(0.1)], WORLD, steps=60))
    with pytest.raises(ViewClientError, match=r"no result within 0\.2 s"):
        pending.result(0.2)
    wait_until(lambda: pending.result(2.0).code_name == "CANCELLED", what="the result after all")


# -------------------------------------------------------------------------------------------------------------- ranking


def test_paths_are_ranked_beside_the_action(rig: ViewsRig, module_probe: Probe):
    """The painter sees a wall 2.5 before the camera; a path into it is blocked, one beside it is free."""
    client = module_probe.node.create_client(RankPaths, "/raxels_views/rank_paths")
    wait_until(client.service_is_ready, what="the service", timeout_s=20.0)
    paths = [
        Path(header=Header(frame_id=WORLD), poses=[PoseStamped(pose=pose_message(pose)) for pose in poses])
        for poses in ([at(0.5, 0.0, 0.5), at(0.5, 0.0, 1.5)], [at(0.5, 0.0, 2.5)])
    ]
    request = RankPaths.Request(paths=paths, pose_of=PredictViews.Goal.POSE_OF_OPTICAL, radius=0.2)

    def answer() -> Any:
        future = client.call_async(request)
        wait_until(future.done, what="an answer", timeout_s=20.0)
        return future.result()

    ranked = answer()
    assert (ranked.error_code, ranked.error_msg) == (0, "")
    free, blocked = (score.free_probability for score in ranked.scores)
    assert free > 0.8
    assert blocked < 0.3
    request.radius = 0.0
    assert answer().error_msg == "radius = 0 must be above 0 and at most 50; give it in m"
    module_probe.node.destroy_client(client)

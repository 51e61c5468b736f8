"""nodes.pose.worker: what becomes of each image and request, with a scripted tracker and real publishers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import rclpy
import scripted_node as script
from pose_rig import CAMERA, FRAME, next_stamp_ns, picture
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.diagnostics import Problems
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message
from ros2_raxels.nodes.common.parameters import declare
from ros2_raxels.nodes.pose.intake import Errand, NewestSlot, Work
from ros2_raxels.nodes.pose.intrinsics import Intrinsics
from ros2_raxels.nodes.pose.outputs import Counters, PoseOutputs
from ros2_raxels.nodes.pose.parameters import POSE_TABLE
from ros2_raxels.nodes.pose.worker import WORKER_ENDED, Arrival, PoseWorker
from ros2_raxels.tracking.background import StuckError
from ros2_raxels.tracking.map_update import MappingState
from ros2_raxels.tracking.types import TrackerSettings, TrackState

pytestmark = pytest.mark.ros

MOUNT = make_pose(rotation_from_vector([0.3, -0.2, 0.1]), [0.0, 0.0, 0.0])


class Spy(script.ScriptedTracker):
    """Counts its resets."""

    def __init__(self) -> None:
        super().__init__(TrackerSettings(lost_frames=3), "", lambda stamp_ns: None)
        self.resets = 0
        self.up: FloatArray | None = None

    def reset(self) -> None:
        super().reset()
        self.resets += 1

    def point_up(self, up_in_camera: FloatArray) -> None:
        self.up = up_in_camera


class Given(NewestSlot[Arrival]):
    """Work that is there from the beginning; nothing comes after it."""

    def __init__(self, *works: Work[Arrival]) -> None:
        super().__init__()
        self._works = list(works)

    def take(self) -> Work[Arrival] | None:
        return self._works.pop(0) if self._works else None


class Mount:
    """TF with one frame, or none."""

    known = False

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        if not self.known:
            raise UnknownFrameError("nobody knows a frame")
        return MOUNT


class Outputs(PoseOutputs):
    """Real publishers; what is announced is noted down as well."""

    announced: tuple[str, ...] = ()

    def announce(self, state: TrackState, message: str, counters: Counters) -> None:
        super().announce(state, message, counters)
        self.announced += (message,)


class Bench:
    """A worker without its node; images are handed over one by one."""

    def __init__(self, probe: Probe, **parameters: Any) -> None:
        overrides = [
            rclpy.Parameter(n.replace("__", "."), value=v) for n, v in {"lost__frames": 3, **parameters}.items()
        ]
        self.node = rclpy.create_node("worker", context=probe.node.context, parameter_overrides=overrides)
        settings = declare(self.node, POSE_TABLE)
        self.problems = Problems(self.node.get_logger())
        self.tracker, self.transforms = Spy(), Mount()
        self.now_s = 100.0
        self._outputs = Outputs(self.node, settings, self.transforms, "scripted")
        intrinsics = Intrinsics(self.node, settings, self.problems.report)
        self._listener = intrinsics.listen()
        self.worker = PoseWorker(
            self.node,
            self.tracker,
            self._outputs,
            self.transforms,
            intrinsics,
            settings,
            self.problems,
            lambda: self.now_s,
        )

    def give(self, *works: Work[Arrival]) -> None:
        """Have it done."""
        self.worker.work(Given(*works))

    def see(
        self, action: int = script.TRACK, stamp: int | None = None, frame: str = FRAME, camera: PinholeCamera = CAMERA
    ) -> str:
        """Have an image answered; what is said of it, or the last problem."""
        self.give(Work(arrival(action, stamp, frame, camera)))
        return self.worker.said[1]

    @property
    def counts(self) -> tuple[int, int]:
        """Processed and rejected."""
        return self.worker.traffic.processed, self.worker.traffic.rejected

    @property
    def announced(self) -> list[str]:
        """Statuses that belong to no image."""
        return list(self._outputs.announced)

    def close(self) -> None:
        self._listener.destroy()
        self._outputs.destroy()
        self.node.destroy_node()


def arrival(
    action: int = script.TRACK,
    stamp: int | None = None,
    frame: str = FRAME,
    camera: PinholeCamera = CAMERA,
    size: tuple[int, int] | None = None,
) -> Arrival:
    """An image with the camera_info of its stamp."""
    header = Header(frame_id=frame, stamp=stamp_message(next_stamp_ns() if stamp is None else stamp))
    width, height = size or (camera.width, camera.height)
    return Arrival(image_message(picture(action, width, height), header), camera_info_message(camera, header))


@pytest.fixture
def make(module_probe: Probe) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(**parameters: Any) -> Bench:
        made.append(Bench(module_probe, **parameters))
        return made[-1]

    yield bench
    for each in made:
        each.close()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def test_an_image_is_tracked_with_its_camera_and_counted_once(bench: Bench):
    assert bench.worker.said == (TrackState.WAITING, "no image yet")
    assert bench.see() == "count 1 focal 60 lost.frames 3"
    assert bench.see() == "count 2 focal 60 lost.frames 3"
    assert bench.worker.said[0] is TrackState.TRACKING
    assert bench.counts == (2, 0)
    assert bench.worker.engine_id == "scripted"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda stamp: arrival(stamp=stamp), "repeats; the driver must give each image its own stamp"),
        (lambda stamp: arrival(stamp=stamp - 10**8), "0.100 s older than the previous one: out of order, dropped"),
        (lambda stamp: arrival(size=(32, 24)), "image is 32x24 px but camera_info describes 64x48 px"),
        (
            lambda stamp: arrival(script.RAISE),
            "the tracker failed on this image: ZeroDivisionError: as the image asked",
        ),
        (lambda stamp: arrival(script.NOT_FINITE), "this image: ValueError: its pose or covariance is not finite"),
    ],
    ids=["repeated", "late", "size", "failure", "not_finite"],
)
def test_an_image_that_cannot_be_used_is_rejected_with_the_reason_and_the_next_is_tracked(
    bench: Bench, bad: Callable[[int], Arrival], words: str
):
    stamp = next_stamp_ns()
    bench.see(stamp=stamp)
    bench.give(Work(bad(stamp)))
    assert words in bench.problems.last
    assert bench.counts == (1, 1)
    assert bench.see() == "count 2 focal 60 lost.frames 3"
    assert bench.tracker.resets == 0


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            lambda stamp: arrival(stamp=stamp - 100 * 10**9),
            "image stamps jumped back by 100.033 s (bag loop or clock reset)",
        ),
        (lambda stamp: arrival(camera=CAMERA.resized(32, 24)), "image size changed from 64x48 to 32x24 px"),
        (lambda stamp: arrival(frame="rear"), f"images now come from camera 'rear', no longer from '{FRAME}'"),
    ],
    ids=["time", "size", "camera"],
)
def test_the_end_of_a_trajectory_resets_the_tracker_before_the_image_is_tracked(
    bench: Bench, other: Callable[[int], Arrival], words: str
):
    stamp = next_stamp_ns()
    bench.see(stamp=stamp)
    bench.see()
    bench.give(Work(other(stamp)))
    assert bench.tracker.resets == 1
    assert bench.worker.said[1].startswith("count 1 ")
    assert bench.counts == (3, 0)
    assert bench.announced == [f"tracking reset: {words}"]


def test_a_reset_gives_its_reason_and_stamps_may_start_over(bench: Bench):
    stamp = next_stamp_ns()
    bench.see(stamp=stamp)
    bench.worker.reset("requested through ~/reset")
    assert bench.worker.said == (TrackState.WAITING, "tracking reset: requested through ~/reset")
    assert bench.see(stamp=stamp - 1).startswith("count 1 ")
    assert bench.tracker.resets == 1


def test_a_tracker_that_fails_on_lost_frames_images_in_a_row_is_reset(bench: Bench):
    for action in (script.TRACK, script.RAISE, script.RAISE, script.TRACK, script.RAISE, script.RAISE):
        bench.see(action)
    assert bench.tracker.resets == 0
    assert bench.see(script.RAISE) == "tracking reset: the tracker failed on 3 images in a row"
    assert bench.tracker.resets == 1
    assert bench.counts == (2, 5)


def test_images_that_are_rejected_for_as_long_as_a_stall_are_a_reason_to_wait(bench: Bench):
    def reject() -> None:
        bench.give(Work(arrival(size=(32, 24))))

    bench.see()
    reject()
    assert bench.worker.said[0] is TrackState.TRACKING
    bench.now_s += 60.0
    reject()
    state, why = bench.worker.said
    assert state is TrackState.WAITING
    assert why.startswith("image is 32x24 px but camera_info describes 64x48 px")
    assert bench.announced[-1] == why
    bench.see()
    assert bench.worker.said[0] is TrackState.TRACKING


def test_a_keyframe_that_fails_does_not_reject_its_image(bench: Bench):
    assert bench.see(script.SPOIL).startswith("count 1 ")
    assert bench.problems.last == "the tracker failed on this keyframe: ZeroDivisionError: as the image asked"
    assert bench.counts == (1, 0)


@pytest.mark.parametrize(("made_between", "resets"), [(0, 1), (1, 0)])
def test_keyframes_that_fail_in_a_row_reset_the_tracker(bench: Bench, made_between: int, resets: int):
    """In a thread of its own one is made between two looks at it, and taken over with an image."""
    for made in range(3):
        bench.tracker.mapping = MappingState(made=made * made_between)
        bench.see(script.SPOIL)
    assert bench.tracker.resets == resets
    assert bench.counts == (3, 0)


def test_keyframes_that_are_stuck_are_said_and_begin_nothing_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def stick() -> None:
        raise StuckError("raxels-mapping has not come to an end in 10 s, and is begun anew")

    monkeypatch.setattr(bench.tracker, "improve", stick)
    for count in range(1, 6):
        assert bench.see().startswith(f"count {count} ")
    assert bench.problems.last.startswith("poses go on without a new keyframe: raxels-mapping has not come to an end")
    assert bench.tracker.resets == 0


def test_the_tracker_is_told_how_often_images_come_those_included_that_it_never_gets(bench: Bench):
    for k in range(20):
        bench.worker.load.see_image(k * 33_333_333, k % 3 > 0)
    bench.see()
    assert bench.tracker.period_s == pytest.approx(1 / 30)
    assert bench.worker.load.frame_s > 0


def test_an_answer_that_cannot_be_published_still_counts_as_processed(bench: Bench):
    bench.see(script.UNSAID)
    assert bench.problems.last.startswith("internal error, image not answered: ValueError")
    assert bench.counts == (1, 0)
    assert bench.see().startswith("count 2 ")


def test_requests_run_before_the_image_and_a_failing_one_affects_nothing_else(bench: Bench):
    order: list[str] = []

    def failing() -> None:
        order.append("failing")
        raise KeyError("nobody foresaw this")

    errands = (Errand(failing, order.append), Errand(lambda: order.append(bench.worker.said[1]), order.append))
    bench.give(Work(arrival(), errands))
    assert order == ["failing", "no image yet"]
    assert bench.problems.last == "internal error, request not answered: KeyError: 'nobody foresaw this'"
    assert bench.worker.said[1].startswith("count 1 ")


def test_when_the_thread_ends_the_remaining_requests_are_refused(bench: Bench):
    slot: NewestSlot[Arrival] = NewestSlot()
    slot.put(arrival(script.QUIT))
    told: list[str] = []
    late = Errand(lambda: told.append("done"), told.append)
    # Carried out before the image, and asks for one more.
    assert slot.run_errand(Errand(lambda: told.append(str(slot.run_errand(late))), told.append))
    with pytest.raises(SystemExit):
        bench.worker.work(slot)
    assert told == ["True", WORKER_ENDED]
    assert slot.closed


def test_a_new_activation_clears_the_counts_and_keeps_the_trajectory(bench: Bench):
    bench.see()
    bench.worker.begin()
    assert bench.counts == (0, 0)
    assert bench.worker.said == (TrackState.WAITING, "no image yet")
    assert bench.see().startswith("count 2 ")


def test_a_silence_is_reported_without_touching_the_tracker(bench: Bench):
    bench.see()
    bench.worker.wait_for_images("no image for 2.0 s: nobody knows why")
    assert bench.worker.said == (TrackState.WAITING, "no image for 2.0 s: nobody knows why")
    assert bench.see().startswith("count 2 ")


def test_scale_from_height_uses_gravity_from_tf_or_assumes_a_level_camera(make: Callable[..., Bench]):
    bench = make(scale__mode="height")
    bench.see()
    assert bench.problems.last == "the camera is assumed to be level: nobody knows a frame"
    assert bench.tracker.up is None
    bench.transforms.known = True
    bench.see()
    np.testing.assert_allclose(bench.tracker.up, MOUNT[:3, :3].T @ [0.0, 0.0, 1.0], atol=1e-12)
    np.testing.assert_array_equal(bench.worker.optical_to("base_link", 1), MOUNT)

"""What goes wrong on a robot's network: frames, publishers, intrinsics and clocks, over real processes and DDS.

docs/faults.md lists these tests; one of them sees that it does.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ros_testing import ROOT, START_S, NodeProcess, Probe, Spawn, documented_tests, matched, paced, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import scripted_node as script
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from pose_rig import CAMERA, FRAME, PERIOD_NS, Rig, next_stamp_ns, picture, settled_rig
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message
from ros2_raxels.soak.malformed import malformed_image

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def rig(module_spawn: Spawn, module_probe: Probe) -> Iterator[Rig]:
    """One node with the scripted tracker for all tests that leave it as it was."""
    rig = settled_rig(module_probe, module_spawn, "-p", "stall_timeout_s:=1.0")
    yield rig
    assert rig.node.alive
    assert "Traceback" not in rig.node.log


@pytest.fixture
def fresh(rig: Rig) -> Rig:
    """The rig, its tracker at the beginning of a trajectory with the usual camera."""
    rig.send_info()
    rig.reset()
    return rig


def counted(status: PoseStatus) -> int:
    """How many frames the scripted tracker has tracked since it began anew."""
    found = re.match(r"count (\d+) ", status.message)
    assert found, status.message
    return int(found[1])


def messages(rig: Rig, since: int) -> str:
    return "\n".join(status.message for status in rig.status[since:])


# --------------------------------------------------------------------------------------------------- frames in time


def test_of_the_frames_that_come_none_suffers_from_30_percent_that_do_not(fresh: Rig):
    generator = np.random.default_rng(1)
    tracked, previous, dropped = 0, None, 0
    for _ in range(50):
        if generator.random() < 0.3:
            next_stamp_ns()
            dropped += 1
            continue
        answer = fresh.solve()
        tracked += 1
        assert counted(answer.status) == tracked
        if previous is not None:
            linear = answer.odometry.twist.twist.linear
            speed = np.linalg.norm([linear.x, linear.y, linear.z])
            assert speed == pytest.approx(script.STEP / ((answer.stamp - previous) * 1e-9)), "speed over a gap"
        previous = answer.stamp
    assert dropped > 8


def test_frames_half_a_second_late_are_dropped_and_the_others_go_on(fresh: Rig):
    since, before = len(fresh.status), fresh.solve().status
    late: list[int] = []
    on_time = too_late = 0
    for number in range(45):
        stamp = next_stamp_ns()
        if number % 3 == 0:
            late.append(stamp)
        else:
            fresh.answer(fresh.send(picture(), stamp))
            on_time += 1
        if late and stamp - late[0] >= 500_000_000:
            fresh.send(picture(), late.pop(0))
            # Before the next one takes its place, which would be another reason to drop it.
            fresh.in_hand()
            too_late += 1
    after = fresh.solve().status
    assert too_late >= 9
    assert counted(after) == counted(before) + on_time + 1
    assert after.frames_dropped == before.frames_dropped + too_late
    assert "reset" not in messages(fresh, since)
    fresh.warned("out of order, dropped")


def test_when_all_frames_come_half_a_second_late_the_status_says_so_and_none_is_lost(fresh: Rig):
    for number in range(1, 10):
        status = fresh.solve(stamp=time.time_ns() - 500_000_000).status
        assert counted(status) == number
        assert 0.5 <= status.latency_s < 2.0


def test_a_clock_that_jumps_ahead_is_no_reset(fresh: Rig):
    since, stamp = len(fresh.status), next_stamp_ns()
    fresh.solve(stamp=stamp)
    ahead = fresh.solve(stamp=stamp + 3600 * 10**9)
    assert counted(ahead.status) == 2
    linear = ahead.odometry.twist.twist.linear
    assert np.linalg.norm([linear.x, linear.y, linear.z]) == pytest.approx(script.STEP / 3600)
    assert "reset" not in messages(fresh, since)


def test_a_clock_that_jumps_back_and_ahead_again_is_one_reset(fresh: Rig):
    since, stamp = len(fresh.status), next_stamp_ns()
    fresh.solve(stamp=stamp)
    for number in range(3):
        assert counted(fresh.solve(stamp=stamp - 100 * 10**9 + number * PERIOD_NS).status) == 1 + number
    # Not a stamp that a later test will use.
    assert counted(fresh.solve(stamp=stamp + 1).status) == 4
    assert messages(fresh, since).count("jumped back by 100.000 s") == 1


# -------------------------------------------------------------------------------------------------- bad beside good


def test_bad_images_never_take_the_place_of_a_good_one_that_waits(fresh: Rig):
    before = fresh.solve().status
    generator = np.random.default_rng(2)
    busy = fresh.send_busy()
    good = fresh.send(picture())
    other = image_message(picture(), Header(frame_id="other_optical_frame"))
    for bad in [malformed_image(generator, Header(frame_id=FRAME)) for _ in range(19)] + [other]:
        fresh.send(bad)
        # Before the queue of the subscription is full.
        fresh.taken()
    assert counted(fresh.answer(busy)) == counted(before) + 1
    assert counted(fresh.answer(good)) == counted(before) + 2
    assert fresh.solve().status.frames_dropped == before.frames_dropped + 20


def test_beside_100_malformed_messages_a_second_no_pose_is_lost(fresh: Rig):
    images = matched(fresh.probe.publisher(Image, "/image"))
    before, good, unsaid = fresh.solve().status, 60, len(fresh.node.log)
    with malformed_flood(fresh, images) as flood:
        for number in paced(30.0, good):
            fresh.send_info()
            assert counted(fresh.answer(fresh.send(picture()))) == counted(before) + number + 1
    assert flood["sent"] >= 100 * 0.8 * flood["seconds"]
    # Every encoding is another one, and still of the same kind.
    said = fresh.node.log[unsaid:].count("is not supported")
    assert said <= 2 + flood["seconds"] / 5
    assert counted(fresh.solve().status) == counted(before) + good + 1
    fresh.probe.node.destroy_publisher(images)


@contextmanager
def malformed_flood(rig: Rig, images: Any) -> Iterator[dict[str, float]]:
    """100 bad images a second from a publisher of their own, and a camera_info with NaN now and then."""
    generator, stopping, flood = np.random.default_rng(3), threading.Event(), {"sent": 0.0, "seconds": 0.0}
    nan_info = camera_info_message(CAMERA, Header(frame_id=FRAME))
    nan_info.k = [np.nan] * 9

    def run() -> None:
        begun = time.monotonic()
        while not stopping.wait(max(0.0, begun + flood["sent"] / 100 - time.monotonic())):
            bad = malformed_image(generator, Header(frame_id=FRAME))
            bad.header.stamp = stamp_message(time.time_ns())
            images.publish(bad)
            flood["sent"] += 1
            if flood["sent"] % 10 == 0:
                rig.infos.publish(nan_info)
        flood["seconds"] = time.monotonic() - begun

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield flood
    finally:
        stopping.set()
        thread.join()


# -------------------------------------------------------------------------------------------------------- publishers


def test_of_two_publishers_that_send_the_same_each_frame_counts_once(fresh: Rig):
    second = matched(fresh.probe.publisher(Image, "/image"))
    before, doubles = fresh.solve().status, 12
    message = image_message(picture(), Header(frame_id=FRAME))
    for number in range(1, doubles + 1):
        answer = fresh.solve()
        assert counted(answer.status) == counted(before) + number
        message.header.stamp = stamp_message(answer.stamp)
        second.publish(message)
    dropped = before.frames_dropped + doubles
    wait_until(lambda: fresh.solve().status.frames_dropped == dropped, what="count of all doubles")
    fresh.probe.node.destroy_publisher(second)
    assert fresh.solve().pose is not None
    fresh.warned("repeats")


def test_frames_of_another_camera_are_left_out_until_the_first_is_silent(fresh: Rig):
    before, others = fresh.solve().status, 8
    other = image_message(picture(), Header(frame_id="other_optical_frame"))
    for number in range(1, others + 1):
        fresh.send(other)
        answer = fresh.solve()
        assert counted(answer.status) == counted(before) + number
        assert {edge.child_frame_id for edge in answer.edges} == {FRAME}
    assert answer.status.frames_dropped == before.frames_dropped + others
    words = f"image of camera 'other_optical_frame' arrives between those of '{FRAME}': remap one of them"
    fresh.warned(words)

    def heard(image: Any, sent: list[int]) -> PoseStatus | None:
        """The first answer to the images of a camera; another one is sent."""
        answers = (fresh.stamped(fresh.status, stamp) for stamp in sent)
        found = next(filter(None, answers), None)
        if found is None:
            fresh.send_info()
            sent.append(fresh.send(image))
        return found

    # Its own is silent from here on.
    later: tuple[list[int], list[int]] = ([], [])
    status = wait_until(lambda: heard(other, later[0]), what="the other camera", every_s=0.05)
    assert (counted(status), status.child_frame_id) == (1, "other_optical_frame")
    fresh.warned(f"tracking reset: images now come from camera 'other_optical_frame', no longer from '{FRAME}'")
    wait_until(lambda: heard(picture(), later[1]), what="its own again", every_s=0.05)


def test_a_camera_that_is_killed_and_started_again_is_followed_without_a_reset(
    spawn: Spawn, probe: Probe, tmp_path: Path
):
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(200))
    topics = ("-r", "image:=/camera/image_raw", "-r", "camera_info:=/camera/camera_info")
    node = spawn("scripted_node.py", *topics, "-p", "camera_info_timeout_s:=0.0", "-p", "stall_timeout_s:=0.5")
    status = probe.collect(PoseStatus, "/raxels_pose/status")
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")

    def start() -> NodeProcess:
        return spawn("ros2_raxels.nodes.camera_player", "-p", f"source:={tmp_path}", "-p", "loop:=true")

    def tracked(since: int = 0) -> list[PoseStatus]:
        return [s for s in status[since:] if s.state == PoseStatus.STATE_TRACKING]

    camera = start()
    wait_until(lambda: len(tracked()) > 10, START_S, "poses")
    camera.process.kill()
    camera.process.wait()
    wait_until(lambda: status[-1].state == PoseStatus.STATE_WAITING, what="status of the silence")
    assert status[-1].message.startswith("no image for ")

    def errors() -> list[str]:
        inputs = [s for m in diagnostics for s in m.status if s.name == "raxels_pose: input"]
        return [s.message for s in inputs if s.level == DiagnosticStatus.ERROR]

    wait_until(lambda: any("/camera/image_raw" in words for words in errors()), what="diagnostic of the silence")
    before, since = counted(tracked()[-1]), len(status)
    start()
    wait_until(lambda: len(tracked(since)) > 10, START_S, "poses of the new camera")
    assert counted(tracked(since)[0]) == before + 1
    assert "reset" not in node.log
    assert "Traceback" not in node.log


# -------------------------------------------------------------------------------------------------------- intrinsics


def test_camera_info_that_changes_in_between_holds_from_the_next_frame_on(fresh: Rig):
    assert "focal 60 " in fresh.solve().status.message
    zoomed = camera_info_message(PinholeCamera(64, 48, 90.0, 91.0, 31.5, 23.5), Header(frame_id=FRAME))
    fresh.send_info(zoomed)
    status = wait_until(lambda: _with_focal(fresh, "90"), what="the new focal length")
    before = counted(status)
    zoomed.k = [np.nan] * 9
    fresh.send_info(zoomed)
    assert fresh.solve().status.message.startswith(f"count {before + 1} focal 90 ")
    fresh.warned("camera_info: K has a nan")
    fresh.send_info()
    assert counted(wait_until(lambda: _with_focal(fresh, "60"), what="the old focal length")) > before + 1


def _with_focal(rig: Rig, focal: str) -> PoseStatus | None:
    status = rig.solve().status
    return status if f"focal {focal} " in status.message else None


# -------------------------------------------------------------------------------------------------------------- docs


def test_the_table_in_the_docs_names_tests_that_exist():
    rows = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert all(documented_tests(row) for row in rows)
    here = set(re.findall(r"^def (test_\w+)\(", Path(__file__).read_text(), re.MULTILINE))
    named = set.union(*map(documented_tests, rows))
    assert here - named == {"test_the_table_in_the_docs_names_tests_that_exist"}

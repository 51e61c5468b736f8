"""Faults that only the real tracker and real files show: poses against the truth, keyframes on bad disks, signals."""

from __future__ import annotations

import os
import resource
import signal
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_testing import NodeProcess, Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")
pytest.importorskip("safetensors")

from pose_rig import FRAME, Rig, agrees_with_truth
from std_msgs.msg import Header

from raxels_interfaces.msg import PoseStatus
from raxels_interfaces.srv import LoadKeyframes, SaveKeyframes
from ros2_raxels.client import ViewClient, ViewClientError, make_goal
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.messages import camera_info_message, stamp_ns
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

pytestmark = [pytest.mark.ros, pytest.mark.slow]

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
ZOOMED = PinholeCamera(320, 240, 325.0, 325.0, 159.5, 119.5)
FRAMES = 26
ZOOM_FROM = 14
PLAIN = ("-p", "model:=none")
"""Geometry alone starts sooner; what a fault does to the stream is the same."""


@pytest.fixture(scope="module")
def truth() -> FloatArray:
    return np.asarray(handheld_loop(seconds=10.0, rate_hz=10.0)[:FRAMES])


@pytest.fixture(scope="module")
def film(truth: FloatArray) -> list[np.ndarray]:
    world = furnished_room()
    return [render(world, CAMERA, pose)[0] for pose in truth]


def info_of(camera: PinholeCamera) -> Any:
    return camera_info_message(camera, Header(frame_id=FRAME))


Film = Mapping[int, np.ndarray] | Sequence[np.ndarray]


def walk(rig: Rig, film: Film, numbers: Iterable[int], camera: PinholeCamera = CAMERA) -> dict[int, Any]:
    """Poses of the frames that are tracked, by number; each is sent when the one before is answered."""
    poses = {}
    for number in numbers:
        status = rig.seen(film[number], info_of(camera))
        if status.state == PoseStatus.STATE_TRACKING:
            stamp = stamp_ns(status.header.stamp)
            message = wait_until(lambda stamp=stamp: rig.stamped(rig.poses, stamp), what="pose")
            poses[number] = message.pose.pose
    return poses


@pytest.fixture
def rig(spawn: Spawn, probe: Probe, film: list[np.ndarray], tmp_path: Path) -> Rig:
    """The node as installed, without its denoiser, and a first answer to the first frame."""
    rig = Rig(probe, spawn("ros2_raxels.nodes.pose.pose_node", *PLAIN, "-p", f"keyframes.folder:={tmp_path}"))
    wait_until(lambda: rig.follows(rig.images) and rig.follows(rig.infos), what="both reliable subscriptions")
    rig.settle(info_of(CAMERA), film[0])
    return rig


# ------------------------------------------------------------------------------------------------- poses and truth


def test_with_30_percent_of_the_frames_dropped_the_poses_are_right(rig: Rig, film: list[np.ndarray], truth: FloatArray):
    generator = np.random.default_rng(5)
    kept = [0, *(n for n in range(1, FRAMES) if generator.random() >= 0.3)]
    assert len(kept) < 0.8 * FRAMES
    poses = walk(rig, film, kept)
    assert len(poses) >= len(kept) - 4
    agrees_with_truth(poses, truth)


def test_black_frames_lose_the_pose_and_a_known_place_brings_it_back(
    rig: Rig, film: list[np.ndarray], truth: FloatArray
):
    poses = walk(rig, film, range(14))
    black = [np.zeros_like(film[0])] * 8
    assert not walk(rig, black, range(8)), "a pose of a black image"
    assert rig.status[-1].state == PoseStatus.STATE_LOST
    # Back the way it came, over ground that it knows.
    after = walk(rig, film, range(13, 5, -1))
    assert len(after) >= 5
    agrees_with_truth(poses, truth)
    agrees_with_truth(after, truth)


def test_a_zoom_in_between_is_told_by_camera_info_and_the_poses_stay_right(
    rig: Rig, film: list[np.ndarray], truth: FloatArray
):
    world = furnished_room()
    poses = walk(rig, film, range(ZOOM_FROM))
    closer = {n: render(world, ZOOMED, truth[n])[0] for n in range(ZOOM_FROM, FRAMES, 2)}
    rig.send_info(info_of(ZOOMED))
    rig.taken()
    found = walk(rig, closer, list(closer), ZOOMED)
    assert len(found) >= len(closer) - 2
    agrees_with_truth(poses, truth)
    agrees_with_truth(found, truth)


# -------------------------------------------------------------------------------------------------- keyframe files


def save(rig: Rig, path: Path) -> Any:
    return rig.probe.call(SaveKeyframes, "/raxels_pose/save_keyframes", SaveKeyframes.Request(path=str(path)))


def test_a_node_that_is_killed_while_it_writes_keyframes_leaves_the_old_file_whole(
    rig: Rig, film: list[np.ndarray], spawn: Spawn, tmp_path: Path
):
    walk(rig, film, range(10))
    path = tmp_path / "place.safetensors"
    saved = save(rig, path)
    assert saved.success, saved.message
    before = path.read_bytes()
    # A pipe where the new file is to grow holds the node in the middle of its writing.
    pipe = tmp_path / f".place.{rig.node.process.pid}.safetensors"
    os.mkfifo(pipe)
    client = rig.probe.node.create_client(SaveKeyframes, "/raxels_pose/save_keyframes")
    assert client.wait_for_service(5.0)
    client.call_async(SaveKeyframes.Request(path=str(path)))
    with pipe.open("rb") as reading:
        assert reading.read(1000)
        rig.node.process.kill()
        rig.node.process.wait()
    assert stat.S_ISFIFO(pipe.stat().st_mode), "it was written in place of the pipe"
    assert path.read_bytes() == before
    # Of another name, because the network takes a while to forget the services of a killed node.
    spawn("ros2_raxels.nodes.pose.pose_node", *PLAIN, "-p", f"keyframes.folder:={tmp_path}", "-r", "__node:=again")
    offered = rig.probe.node.get_service_names_and_types
    wait_until(lambda: "/again/load_keyframes" in dict(offered()), 20.0, "the next node")
    loaded = rig.probe.call(LoadKeyframes, "/again/load_keyframes", LoadKeyframes.Request(path=str(path)))
    assert (loaded.success, loaded.keyframes) == (True, saved.keyframes), loaded.message


def test_on_a_full_disk_keyframes_are_not_written_the_old_stay_and_poses_go_on(
    rig: Rig, film: list[np.ndarray], tmp_path: Path
):
    poses = walk(rig, film, range(10))
    path = tmp_path / "place.safetensors"
    saved = save(rig, path)
    assert saved.success, saved.message
    before = path.read_bytes()
    with full_disk(rig.node, len(before) // 2):
        refused = save(rig, path)
        assert not refused.success
        assert refused.message.startswith(f"{path} cannot be written: "), refused.message
        more = walk(rig, film, range(10, 14))
    assert len(poses) + len(more) >= 10
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if "place" in file.name] == [path.name]
    assert save(rig, path).success
    assert "Traceback" not in rig.node.log


@contextmanager
def full_disk(node: NodeProcess, most_bytes: int) -> Iterator[None]:
    """No file of the node may be longer: its writes fail as on a full disk."""
    before = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    yield
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, before)


# --------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signals_under_load_end_both_nodes_within_a_second_and_leave_no_process(
    spawn: Spawn, probe: Probe, film: list[np.ndarray], number: int
):
    pytest.importorskip("onnxruntime")
    pose = spawn("ros2_raxels.nodes.pose.pose_node")
    views = spawn("ros2_raxels.nodes.views.view_server")
    rig = Rig(probe, pose)
    wait_until(lambda: rig.images.get_subscription_count() == 2, 20.0, "both nodes listening")
    with ViewClient() as client, load(rig, film):
        wait_until(lambda: any(s.state == PoseStatus.STATE_TRACKING for s in rig.status), 20.0, "poses")
        working = wait_until(lambda: _LongGoal(client), 20.0, "a goal that runs")
        wait_until(lambda: working.feedback, 20.0, "its first step")
        families = {node: _descendants(node.process.pid) for node in (pose, views)}
        begun = time.monotonic()
        for node in (pose, views):
            node.process.send_signal(number)
        for node in (pose, views):
            assert node.wait(10.0) == 0, node.log
            assert time.monotonic() - begun < 1.0 + 0.5, "half a second is for a busy test machine"
            assert "Traceback" not in node.log
    assert not [pid for family in families.values() for pid in family if Path(f"/proc/{pid}").exists()]


class _LongGoal:
    """A long goal; false when it was not accepted."""

    def __init__(self, client: ViewClient) -> None:
        self.feedback: list[Any] = []
        try:
            self._pending = client.send(make_goal(views=8, steps=8), on_feedback=self.feedback.append)
        except ViewClientError:
            self._pending = None

    def __bool__(self) -> bool:
        return self._pending is not None


@contextmanager
def load(rig: Rig, film: list[np.ndarray]) -> Iterator[None]:
    """The film forth and back at 30 Hz."""
    stopping, numbers = threading.Event(), [*range(FRAMES), *range(FRAMES - 2, 0, -1)]

    def run() -> None:
        begun, sent = time.monotonic(), 0
        while not stopping.wait(max(0.0, begun + sent / 30 - time.monotonic())):
            rig.send_info(info_of(CAMERA))
            rig.send(film[numbers[sent % len(numbers)]], time.time_ns())
            sent += 1

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stopping.set()
    thread.join()


def _descendants(pid: int) -> list[int]:
    """Process numbers of a process and of all that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in _descendants(int(child)))]

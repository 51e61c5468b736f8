"""node_run: every frame of a recording has the state that the node gave it, and numbers are of the frames."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from rig_sets import CAMERA_TO_BASE, write_rig_set

from ros2_raxels.geometry.poses import inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.harness.node_run import answered, run_node
from ros2_raxels.harness.observer import Heard, Status, Transform
from ros2_raxels.harness.play import Play
from ros2_raxels.recordings.open import open_source

WALL_NS = 1_700_000_000_000_000_000
RECORDED_NS = [k * 100_000_000 for k in range(5)]
POSE = make_pose(rotation_from_vector((0.1, 0.2, 0.3)), (1.0, 2.0, 3.0))


def test_states_are_those_of_the_frames_as_recorded() -> None:
    heard = Heard(published_ns=[WALL_NS + stamp for stamp in RECORDED_NS], received=4)
    for number, state, latency_s in ((0, "initialising", 0.01), (2, "tracking", 0.02), (3, "held", 0.05)):
        heard.statuses[WALL_NS + RECORDED_NS[number]] = Status(state, 0.25 * number, number == 2, latency_s)
    # The status that belongs to no frame is no answer.
    heard.statuses[WALL_NS + 1] = Status("waiting", 0.0, False, 0.0)
    for number in (2, 3):
        heard.published[WALL_NS + RECORDED_NS[number]] = (POSE, np.eye(6) * number)
    heard.transforms = [Transform(WALL_NS + 200_000_000, 7.0), Transform(WALL_NS + 300_000_000, 7.25)]
    run = answered(heard, RECORDED_NS, 5, 1.0, load=2)
    assert [state.stamp_ns for state in run.states] == RECORDED_NS
    assert [state.state for state in run.states] == ["INITIALISING", "DROPPED", "TRACKING", "HELD", "DROPPED"]
    assert [state.pose is not None for state in run.states] == [False, False, True, True, False]
    tracked = run.states[2]
    assert tracked.pose is POSE
    assert tracked.covariance is not None
    assert (tracked.covariance[0, 0], tracked.confidence, tracked.metric) == (2.0, 0.5, True)
    assert run.record() == {
        "load": 2,
        "frames": 5,
        "received": 4,
        "answered": 0.6,
        "tracked": 0.2,
        "tf_gap_ms": {"p50": 100.0, "p99": 100.0, "max": 100.0},
        "tf_arrival_gap_ms": {"p50": 250.0, "p99": 250.0, "max": 250.0},
        "latency_ms": {"p50": 20.0, "p95": 47.0, "max": 50.0},
    }


def test_nothing_heard_is_nothing_known() -> None:
    record = answered(Heard(), RECORDED_NS, 5, 1.0, load=0).record()
    assert (record["answered"], record["tracked"]) == (0.0, 0.0)
    assert record["tf_gap_ms"] is record["tf_arrival_gap_ms"] is record["latency_ms"] is None


@pytest.mark.ros
@pytest.mark.slow
def test_the_real_nodes_give_poses_of_the_base(tmp_path: Path) -> None:
    folder = write_rig_set(tmp_path / "robot", count=24)
    source = open_source(folder)
    frames = list(source)
    wanted = Play(str(folder), source, speed=0.5, camera_to_base=CAMERA_TO_BASE)
    run = run_node(wanted, [frame.stamp_ns for frame in frames], 1, tmp_path, Event())
    assert (run.load, len(run.states)) == (1, 24)
    assert run.received >= 20
    tracked = [(k, state.pose) for k, state in enumerate(run.states) if state.state == "TRACKING"]
    assert len(tracked) >= 8
    assert len(run.transform_ns) >= len(tracked) - 1
    assert len(run.latency_s) == sum(state.state != "DROPPED" for state in run.states)
    first, last = tracked[0], tracked[-1]
    assert first[1] is not None
    assert last[1] is not None
    truth = [frames[k].camera_to_world @ inverse_pose(CAMERA_TO_BASE) for k in (first[0], last[0])]  # type: ignore[operator]
    turned = first[1][:3, :3].T @ last[1][:3, :3]
    np.testing.assert_allclose(turned, truth[0][:3, :3].T @ truth[1][:3, :3], atol=0.05)

"""nodes.services: which files a request may name, and what becomes of requests while the worker stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ros_testing import Probe, Spawn, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import scripted_node as script
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from pose_rig import picture, settled_rig
from std_srvs.srv import Trigger

from raxels_interfaces.srv import SaveKeyframes
from ros2_raxels.nodes.pose.services import file_in, keyframe_folder
from ros2_raxels.utils.files import FileError


def test_files_are_named_in_the_folder_or_by_a_path_into_it(tmp_path: Path) -> None:
    assert file_in(tmp_path, "kitchen.safetensors") == tmp_path / "kitchen.safetensors"
    assert file_in(tmp_path, "floor/../kitchen.safetensors") == tmp_path / "kitchen.safetensors"
    assert file_in(tmp_path, str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"


@pytest.mark.parametrize("text", ["/etc/passwd", "../other", "a/../../other", ".", "", "  ", "a\0b"])
def test_paths_out_of_the_folder_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileError, match=r"keyframes\.folder"):
        file_in(tmp_path, text)


def test_a_symbolic_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "keyframes"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(FileError, match="is not in"):
        file_in(folder, "link/secret")


@given(st.text(max_size=40))
def test_no_path_whatsoever_reaches_another_folder(text: str) -> None:
    folder = Path("/nowhere/keyframes")
    try:
        found = file_in(folder, text)
    except FileError:
        return
    assert folder in found.parents


def test_the_default_folder_is_that_of_user_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert keyframe_folder("") == Path("/home/robot/.local/share/ros2_raxels/keyframes")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert keyframe_folder("") == Path("/home/robot/.local/share/ros2_raxels/keyframes")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert keyframe_folder("") == Path("/data/ros2_raxels/keyframes")
    assert keyframe_folder("~/maps") == Path("/home/robot/maps")


# ------------------------------------------------------------------------------------------- while the worker stops

SOON_S = 10.0
"""More than the scripted tracker sleeps."""


@pytest.mark.ros
def test_a_reset_that_is_accepted_while_the_worker_stops_is_carried_out(probe: Probe, spawn: Spawn) -> None:
    rig = settled_rig(probe, spawn)
    resetter = rig.acquainted(Trigger, "reset", Trigger.Request())
    rig.solve()
    busy = rig.send_busy()
    reset = rig.asked(resetter, Trigger.Request())
    # Two services have no order among them, and the reset is to come first.
    rig.taken()
    deactivate = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert probe.call(ChangeState, "/raxels_pose/change_state", deactivate, SOON_S).success
    wait_until(reset.done, what="response")
    assert (reset.result().success, reset.result().message) == (True, "the next image is the new origin")
    rig.answer(busy)
    wait_until(
        lambda: [status.message for status in rig.status].count("tracking reset: requested through ~/reset") == 2,
        what="status of the second reset",
    )


@pytest.mark.ros
def test_requests_to_a_worker_that_fails_are_refused_with_a_reason(probe: Probe, spawn: Spawn) -> None:
    rig = settled_rig(probe, spawn)
    rig.send_busy()
    rig.send(picture(script.QUIT))
    rig.warned("internal error: SystemExit: as the image asked")
    words = "the worker has stopped after an internal error; deactivate and activate the node"
    reset = probe.call(Trigger, "/raxels_pose/reset", Trigger.Request())
    assert (reset.success, reset.message) == (False, words)
    saved = probe.call(SaveKeyframes, "/raxels_pose/save_keyframes", SaveKeyframes.Request(path="kitchen"))
    assert (saved.success, saved.message) == (False, words)
    initial = matched(probe.publisher(PoseWithCovarianceStamped, "initialpose"))
    initial.publish(PoseWithCovarianceStamped())
    rig.warned(f"initialpose is ignored: {words}")

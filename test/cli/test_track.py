"""`raxels track`: a pose for every frame, whatever ends the recording."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bags_rig import image_messages, info_message, write_bag
from commands_rig import CapSys, Ran, error_line, run_once
from posed_sets import CAMERA, write_rendered_set, yardstick

from ros2_raxels import factory
from ros2_raxels.cli.main import main
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.posed_set import PosedSetSource
from ros2_raxels.recordings.source import EndedEarlyError, Frame, FrameSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState


def tum(path: Path) -> np.ndarray:
    return np.loadtxt(path, ndmin=2)


@pytest.fixture(scope="module")
def room(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The whole rendered set, tracked and plotted."""
    folder = tmp_path_factory.mktemp("tracked")
    options = ["--out", str(folder / "room.tum"), "--plot", str(folder / "room.png")]
    return run_once(folder, "track", str(rendered / "room"), *options)


def test_track_writes_a_line_for_every_frame(room: Ran) -> None:
    assert (room.status, room.err) == (0, "")
    for words in ("16 frames", "keyframes", "% tracked", "ms p50", "intrinsics given: fx 130.0", "ATE after Sim(3)"):
        assert words in room.out
    assert (room.folder / "room.tum").read_text().splitlines()[3].startswith("0.300000000 ")
    rows = tum(room.folder / "room.tum")
    assert rows.shape == (16, 8)
    np.testing.assert_allclose(np.linalg.norm(rows[:, 4:], axis=1), 1, atol=1e-6)
    assert cv2.imread(str(room.folder / "room.png")).shape[1] > 800
    (percent,) = re.findall(r"ATE after Sim\(3\): .* units \((.*) % of the path\)", room.out)
    assert float(percent) < 5


def test_the_yardstick_finds_the_errors_that_track_prints(room: Ran, rendered: Path) -> None:
    score = yardstick("score_track").score(str(rendered / "room"), str(room.folder / "room.tum"), None)
    assert score["coverage"] == 1
    assert f"ATE after Sim(3): {score['ate_sim3']:.4g} units ({score['ate_sim3_percent']:.2f} %" in room.out
    for name in ("frame", "second"):
        assert f"{score[f'rpe_{name}']:.4g} units, {score[f'rpe_{name}_deg']:.3f} deg" in room.out


def test_track_of_bare_images_estimates_intrinsics(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    source, out = rendered / "room" / "images", tmp_path / "a.tum"
    plot = tmp_path / "a.svg"
    options = ["--out", str(out), "--limit", "10", "--rate-hz", "20", "--plot", str(plot)]
    assert main(["track", str(source), *options]) == 0
    shown = capsys.readouterr().out
    assert "intrinsics estimated" in shown
    assert "ATE" not in shown
    assert "no scale" in plot.read_text()
    np.testing.assert_allclose(tum(out)[:, 0], np.arange(10) / 20)


def test_intrinsics_of_the_command_line_come_first(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    out = tmp_path / "a.tum"
    options = ["--out", str(out), "--limit", "8", "--intrinsics", "140,141,79.5,59.5"]
    assert main(["track", str(rendered / "room"), *options]) == 0
    words = "intrinsics given: fx 140.0, fy 141.0, cx 79.5, cy 59.5 px, no distortion; from --intrinsics\n"
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,1,2,3", "nan,1,2,3", "1,2,3,4,5", "1,2,3,4,5,6"])
def test_wrong_intrinsics_are_refused(text: str, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["track", "x", "--out", str(tmp_path / "a.tum"), f"--intrinsics={text}"]) == 2
    assert f"argument --intrinsics: {text!r} must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit", "0"], "limit 0 must be at least 1"),
        (["--rate-hz", "-1"], "rate -1.0 Hz must be positive"),
        (["--image-topic", "/a"], "is not a rosbag2"),
        (["--plot", "plot.xyz"], "plot.xyz: .xyz is no picture format"),
    ],
)
def test_track_refuses_bad_options(
    rendered: Path, tmp_path: Path, capsys: CapSys, options: list[str], message: str
) -> None:
    assert main(["track", str(rendered / "room"), "--out", str(tmp_path / "a.tum"), *options]) == 2
    assert message in error_line(capsys)
    assert not (tmp_path / "a.tum").exists()


class ScriptedTracker(Tracker):
    """Takes 3 frames to start, then knows all of them; what else happens is a test's choice."""

    after = 10**9
    error: BaseException = KeyboardInterrupt()

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._stamps: list[int] = []

    def track(self, image: Any, stamp_ns: int, camera: Any, *_: Any, **more: Any) -> TrackedPose:
        if len(self._stamps) == self.after:
            raise self.error
        self._stamps.append(stamp_ns)
        count = len(self._stamps)
        state = TrackState.TRACKING if count >= 3 else TrackState.INITIALISING
        known = [(stamp, self._pose_at(k)) for k, stamp in enumerate(self._stamps[:-1])] if count == 3 else []
        pose = self._pose_at(count - 1) if count >= 3 else np.eye(4)
        return TrackedPose(stamp_ns, pose, np.eye(6), state, SolveQuality(1.0), earlier=tuple(known))

    @staticmethod
    def _pose_at(index: int) -> Any:
        pose = np.eye(4)
        pose[0, 3] = index
        return pose


def test_frames_that_are_solved_later_get_their_pose(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setattr(factory, "Tracker", ScriptedTracker)
    out = tmp_path / "a.tum"
    assert main(["track", str(rendered / "room"), "--out", str(out)]) == 0
    np.testing.assert_array_equal(tum(out)[:, 1], np.arange(16))
    assert "100.0 % tracked" in capsys.readouterr().out


def test_ctrl_c_writes_what_is_done(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setattr(factory, "Tracker", ScriptedTracker)
    monkeypatch.setattr(ScriptedTracker, "after", 5)
    out = tmp_path / "a.tum"
    assert main(["track", str(rendered / "room"), "--out", str(out)]) == 130
    assert len(tum(out)) == 5
    assert "5 frames" in capsys.readouterr().out


def test_ctrl_c_while_a_keyframe_is_made_writes_what_is_done(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    def improve(tracker: ScriptedTracker) -> None:
        if len(tracker._stamps) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(factory, "Tracker", ScriptedTracker)
    monkeypatch.setattr(ScriptedTracker, "improve", improve)
    # A second Ctrl-C would end what looks for long.
    monkeypatch.setattr(ScriptedTracker, "look_again", lambda _: pytest.fail("it went on"))
    out = tmp_path / "a.tum"
    assert main(["track", str(rendered / "room"), "--out", str(out)]) == 130
    assert len(tum(out)) == 5
    assert "5 frames" in capsys.readouterr().out


def test_ctrl_c_before_the_first_frame_writes_nothing(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setattr(factory, "Tracker", ScriptedTracker)
    monkeypatch.setattr(ScriptedTracker, "after", 0)
    assert main(["track", str(rendered / "room"), "--out", str(tmp_path / "a.tum")]) == 130
    assert "no frame of room was tracked" in error_line(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedTracker]:
    """In the place of the tracker."""
    monkeypatch.setattr(factory, "Tracker", ScriptedTracker)
    return ScriptedTracker


def test_a_recording_that_breaks_off_keeps_what_was_tracked(
    scripted: type[ScriptedTracker], rendered: Path, tmp_path: Path, capsys: CapSys
) -> None:
    source, out = shutil.copytree(rendered / "room", tmp_path / "room"), tmp_path / "a.tum"
    (source / "images" / "000004.png").write_bytes(b"no picture")
    assert main(["track", str(source), "--out", str(out)]) == 4
    assert "000004.png cannot be read" in error_line(capsys)
    np.testing.assert_array_equal(tum(out)[:, 1], np.arange(4))


def test_a_recording_that_says_it_ended_early_has_that_status(
    scripted: type[ScriptedTracker],
    rendered: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: CapSys,
) -> None:
    def cut_short(source: PosedSetSource) -> Iterator[Frame]:
        yield from whole(source)
        raise EndedEarlyError("room ended early: 16 of 40 frames")

    whole = PosedSetSource.__iter__
    monkeypatch.setattr(PosedSetSource, "__iter__", cut_short)

    def noted(*given: Any, **options: Any) -> FrameSource:
        source = open_source(*given, **options)
        source.notes = ("30 Hz are assumed",)
        return source

    monkeypatch.setattr("ros2_raxels.cli.track.open_source", noted)
    assert main(["track", str(rendered / "room"), "--out", str(tmp_path / "a.tum")]) == 4
    shown = capsys.readouterr()
    assert shown.err == "raxels: room ended early: 16 of 40 frames\n"
    assert shown.out.startswith("note: 30 Hz are assumed\n")
    assert len(tum(tmp_path / "a.tum")) == 16


def test_a_recording_of_which_no_image_can_be_read_is_wrong_input(
    rendered: Path, tmp_path: Path, capsys: CapSys
) -> None:
    source = shutil.copytree(rendered / "room", tmp_path / "room")
    (source / "images" / "000000.png").write_bytes(b"no picture")
    assert main(["track", str(source), "--out", str(tmp_path / "a.tum")]) == 2
    assert "000000.png cannot be read" in error_line(capsys)


def test_a_camera_that_only_turns_fails_with_the_reason(tmp_path: Path, capsys: CapSys) -> None:
    turns = [make_pose(rotation_from_vector((0.0, 0.05 * k, 0.0)), np.array([0.5, 0.0, 0.0])) for k in range(12)]
    source, out = write_rendered_set(tmp_path / "turn", poses=np.array(turns)), tmp_path / "a.tum"
    plot = tmp_path / "a.png"
    assert main(["track", str(source), "--out", str(out), "--plot", str(plot)]) == 1
    shown = capsys.readouterr()
    assert re.fullmatch(
        r"raxels: none of 12 frames was tracked: all but 0\.\d px of what the image has moved is a turn; "
        r"move sideways, not only turn\n",
        shown.err,
    )
    assert "0.0 % tracked, 0.0 % held, 0.0 % lost, 100.0 % initialising" in shown.out
    assert shown.out.endswith(f"\n0 rows (no trajectory is written) -> {plot}\n")
    assert not out.exists()


def test_a_trajectory_of_an_earlier_run_is_not_taken_for_this_one(
    scripted: type[ScriptedTracker], rendered: Path, tmp_path: Path, capsys: CapSys
) -> None:
    out = tmp_path / "a.tum"
    out.write_text("# of an earlier run\n")
    assert main(["track", str(rendered / "room"), "--out", str(out), "--limit", "2"]) == 1
    assert f"0 rows (no trajectory is written; {out} is of an earlier run)\n" in capsys.readouterr().out
    assert out.read_text() == "# of an earlier run\n"


class LosingTracker(ScriptedTracker):
    """Loses track after 6 frames."""

    def track(self, image: Any, stamp_ns: int, camera: Any, *_: Any, **more: Any) -> TrackedPose:
        found = super().track(image, stamp_ns, camera)
        missed = len(self._stamps) - 6
        if missed <= 0:
            return found
        state = TrackState.HELD if missed < 3 else TrackState.LOST
        message = f"lost for {missed} frames: only {missed} points agree" if missed >= 3 else "pose held: blurred"
        return TrackedPose(stamp_ns, found.camera_to_world, np.eye(6), state, SolveQuality(0.0), message=message)


def test_less_than_half_tracked_is_a_failure_with_the_commonest_reason(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setattr(factory, "Tracker", LosingTracker)
    out = tmp_path / "a.tum"
    assert main(["track", str(rendered / "room"), "--out", str(out)]) == 1
    shown = capsys.readouterr()
    assert shown.err == "raxels: only 6 of 16 frames were tracked: lost for 10 frames: only 10 points agree\n"
    assert "37.5 % tracked, 12.5 % held, 50.0 % lost, 0.0 % initialising (8 frames lost, 1 times)" in shown.out
    assert "residual 0.00 px, confidence 1.00 (medians of the tracked frames)" in shown.out
    assert f"6 rows -> {out}" in shown.out
    np.testing.assert_array_equal(tum(out)[:, 1], np.arange(6))


def test_all_frames_writes_the_others_below_comments(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setattr(factory, "Tracker", LosingTracker)
    out = tmp_path / "a.tum"
    assert main(["track", str(rendered / "room"), "--out", str(out), "--all-frames"]) == 1
    assert f"16 rows, 10 of them not solved -> {out}" in capsys.readouterr().out
    assert len(tum(out)) == 16
    lines = out.read_text().splitlines()
    assert [line for line in lines[:7] if line.startswith("#")] == ["# not solved (held): the next row is a guess"]
    assert sum(line == "# not solved (lost): the next row is a guess" for line in lines) == 8
    assert all(len(line.split(" ")) == 8 for line in lines if not line.startswith("#"))


def test_distortion_of_the_command_line_is_used(tmp_path: Path, capsys: CapSys) -> None:
    source = write_rendered_set(tmp_path / "room")
    distortion = np.array([-0.3, 0.08, 0.0, 0.0])
    pixels = np.stack(np.meshgrid(np.arange(160.0), np.arange(120.0)), -1).reshape(-1, 1, 2)
    undistorted = cv2.undistortPoints(pixels, CAMERA.matrix, distortion, P=CAMERA.matrix)
    through = undistorted.reshape(120, 160, 2).astype(np.float32)
    for file in (source / "images").iterdir():
        image = cv2.remap(cv2.imread(str(file)), through, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        assert cv2.imwrite(str(file), image)
    percent = []
    for coefficients in ("", ",-0.3,0.08,0,0"):
        options = ["--out", str(tmp_path / "a.tum"), f"--intrinsics=130,131,79.5,59.5{coefficients}"]
        assert main(["track", str(source), *options]) == 0
        out = capsys.readouterr().out
        percent.append(float(re.findall(r"ATE after Sim\(3\): .* units \((.*) % of the path\)", out)[0]))
    assert percent[0] > 5
    assert percent[1] < 2
    assert "cy 59.5 px, k1 -0.3, k2 0.08; from --intrinsics" in out


def test_a_calibration_of_another_size_is_scaled_with_a_word(
    scripted: type[ScriptedTracker], rendered: Path, tmp_path: Path, capsys: CapSys
) -> None:
    file = tmp_path / "cameras.txt"
    file.write_text("# a comment\n1 PINHOLE 320 240 260 262 160 120\n")
    options = ["--out", str(tmp_path / "a.tum"), "--calibration", str(file), "--camera", "1"]
    assert main(["track", str(rendered / "room"), *options]) == 0
    words = "given: fx 130.0, fy 131.0, cx 79.5, cy 59.5 px, no distortion; from "
    words += f"{file}, camera 1 (COLMAP), scaled from 320x240 to 160x120 px\n"
    assert words in capsys.readouterr().out


def test_a_bag_is_tracked_with_the_calibration_given_whatever_its_own_is_like(
    scripted: type[ScriptedTracker], tmp_path: Path, capsys: CapSys
) -> None:
    info = info_message([30.0, 31.0, 15.5, 11.5], d=[0.1, 0.0, 0.0, 0.0], model="omni")
    bag = write_bag(tmp_path / "bag", {"/cam/image_raw": image_messages(), "/cam/camera_info": [info]})
    out = tmp_path / "a.tum"
    assert main(["track", str(bag), "--out", str(out)]) == 2
    assert "'omni' is not supported" in error_line(capsys)
    assert main(["track", str(bag), "--out", str(out), "--intrinsics", "30,31,15.5,11.5"]) == 0
    assert "intrinsics given: fx 30.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--intrinsics", "525,525,319.5,239.5"], "--intrinsics: cx = 319.5 px lies outside of the 160x120 px image"),
        (["--calibration", "/nowhere/a.yaml"], "/nowhere/a.yaml cannot be read: No such file or directory"),
        (["--camera", "cam0"], "--camera cam0 is one of a file with several; give --calibration FILE too"),
        (["--lens", "equidistant"], "--lens equidistant is of --intrinsics, which are not given; add them"),
        (["--lens", "equidistant", "--calibration", "a.yaml"], "--lens equidistant is of --intrinsics, which are not"),
        (
            ["--lens", "equidistant", "--intrinsics", "130,131,79.5,59.5,0,0,0,0,1e-3"],
            "--intrinsics: coefficient 5 = 0.001 is not supported (k1, k2, k3, k4 are)",
        ),
    ],
)
def test_wrong_calibrations_are_refused_before_anything_is_loaded(
    rendered: Path,
    tmp_path: Path,
    capsys: CapSys,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("ros2_raxels.cli.track.make_tracker", lambda _: pytest.fail("a tracker was made"))
    assert main(["track", str(rendered / "room"), "--out", str(tmp_path / "a.tum"), *options]) == 2
    assert message in error_line(capsys)


def test_a_mask_that_cannot_be_used_is_refused(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    command = ["track", str(rendered / "room"), "--out", str(tmp_path / "a.tum"), "--model", "none", "--mask"]
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((120, 160), np.uint8))
    assert main([*command, str(tmp_path / "black.png")]) == 2
    assert "black.png is black everywhere" in error_line(capsys)
    cv2.imwrite(str(tmp_path / "other.png"), np.full((12, 16), 255, np.uint8))
    assert main([*command, str(tmp_path / "other.png")]) == 2
    assert "the mask is 16x12 px but the image 160x120 px" in error_line(capsys)


def test_the_help_names_every_exit_status(capsys: CapSys) -> None:
    assert main(["track", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("0 at least half", "1 fewer", "2 wrong input", "4 the recording ended early", "130 stopped"):
        assert words in shown

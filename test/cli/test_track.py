"""`raxels track`: a pose for every frame, whatever ends the recording."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands_rig import CapSys, Ran, error_line, run_once
from posed_sets import write_rendered_set, yardstick

from ros2_raxels import factory
from ros2_raxels.cli.main import main
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
    options = ["--out", str(out), "--limit", "2", "--intrinsics", "140,141,79.5,59.5"]
    assert main(["track", str(rendered / "room"), *options]) == 0
    assert "intrinsics given: fx 140.0, fy 141.0" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,1,2,3", "nan,1,2,3", "1,2,3,4,5"])
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

    def track(self, image: Any, stamp_ns: int, camera: Any) -> TrackedPose:
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


def test_a_recording_that_breaks_off_keeps_what_was_tracked(tmp_path: Path, capsys: CapSys) -> None:
    source, out = write_rendered_set(tmp_path / "room", 4), tmp_path / "a.tum"
    (source / "images" / "000002.png").write_bytes(b"no picture")
    assert main(["track", str(source), "--out", str(out)]) == 2
    assert "000002.png cannot be read" in error_line(capsys)
    assert len(tum(out)) == 2

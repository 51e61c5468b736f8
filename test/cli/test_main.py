"""`raxels`: what it writes, what it says, and how it ends, for good input and bad."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from posed_sets import write_rendered_set, yardstick
from read_page import Read
from ros_testing import ROOT

from ros2_raxels import __version__, factory
from ros2_raxels.cli.main import main
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.estimation.learned_prior import LearnedDenoiser
from ros2_raxels.evaluation.clips import variants
from ros2_raxels.evaluation.clips.clip_sets import make_clips, read_answers, write_clips
from ros2_raxels.evaluation.clips.metrics import mean_over_sets, score_sets
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackState

CapSys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one rendered set."""
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room").parent


@pytest.fixture
def clips_json(rendered: Path, tmp_path: Path) -> Path:
    path = tmp_path / "clips.json"
    write_clips(path, make_clips(rendered, 3))
    return path


def error_line(capsys: CapSys) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1, captured
    assert captured.startswith("raxels: ")
    return captured


# -------------------------------------------------------------------------------------------------------------- general


def test_help_names_each_command_in_a_line_and_returns_at_once() -> None:
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "ros2_raxels.cli.main", "--help"], capture_output=True, text=True, cwd=ROOT, timeout=20
    )
    took_s = time.monotonic() - begun
    assert ran.returncode == 0
    assert ran.stderr == ""
    for command in ("estimate", "track", "evaluate", "demo"):
        assert sum(line.strip().startswith(command) for line in ran.stdout.splitlines()) == 1
    # 0.15 s on an idle machine; a busy one must not fail the test, an import of OpenCV or ROS must.
    assert took_s < 1.5


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ros2_raxels.cli.main import main; main(['--help']); "
        "sys.exit(','.join({'numpy', 'cv2', 'rclpy', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert ran.returncode == 0, ran.stderr


def test_version(capsys: CapSys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"raxels {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["sing"], ["estimate"], ["track", "x"], ["evaluate", "--peer", "all"]])
def test_wrong_usage_is_status_2(arguments: list[str], capsys: CapSys) -> None:
    assert main(arguments) == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["estimate", "track", "evaluate", "demo"])
def test_every_command_has_help(command: str, capsys: CapSys) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: raxels {command}" in capsys.readouterr().out


def test_a_module_is_the_command(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ros2_raxels", "track", "gone", "--out", str(tmp_path / "a.tum")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=20,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("raxels: gone does not exist")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    # Unbuffered, argparse meets the closed pipe first, and keeps it to itself.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        ran = subprocess.run(
            [sys.executable, "-m", "ros2_raxels", "--version"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
            timeout=20,
        )
    assert ran.returncode == 141
    assert ran.stderr == ""


def test_the_unexpected_is_one_line_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, clips_json: Path, tmp_path: Path, capsys: CapSys
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("ros2_raxels.cli.estimate.write_answers", fail)
    arguments = ["estimate", "--clips", str(clips_json), "--out", str(tmp_path / "answer.json")]
    assert main(arguments) == 3
    assert error_line(capsys) == "raxels: unexpected RuntimeError: two lines (RAXELS_DEBUG=1 shows where)\n"
    monkeypatch.setenv("RAXELS_DEBUG", "1")
    assert main(arguments) == 3
    assert "Traceback" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- estimate


def test_estimate_answers_clips(clips_json: Path, rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    out = tmp_path / "answer.json"
    assert main(["estimate", "--clips", str(clips_json), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("3 clips, median ")
    answers, clips = read_answers(out), make_clips(rendered, 3)
    assert answers.name == "raxels"
    for clip in clips:
        answer = answers.clips[clip.id]
        assert answer.camera_to_first is not None
        assert answer.camera_to_first.shape == (4, 4, 4)
        np.testing.assert_allclose(answer.camera_to_first[0], np.eye(4), atol=1e-9)
        np.testing.assert_array_equal(answer.intrinsics, clip.intrinsics)
        assert answer.confidence is not None
        assert ((answer.confidence >= 0) & (answer.confidence <= 1)).all()
        assert answer.seconds is not None
        assert 0 < answer.seconds < 20
    assert mean_over_sets(score_sets(clips, answers.clips)).rra15 == 1


def test_the_yardstick_reads_our_answers(clips_json: Path, tmp_path: Path) -> None:
    tool, out = yardstick("score_poses"), tmp_path / "answer.json"
    assert main(["estimate", "--clips", str(clips_json), "--out", str(out)]) == 0
    table, seconds = tool.score(json.loads(clips_json.read_text()), json.loads(out.read_text()))
    assert table["MEAN OVER SETS"]["rra15"] == 1
    assert seconds > 0


def test_estimate_without_intrinsics_neither_reads_nor_needs_them(clips_json: Path, tmp_path: Path) -> None:
    record = json.loads(clips_json.read_text())
    for clip in record["clips"]:
        del clip["intrinsics"]
    clips_json.write_text(json.dumps({"clips": record["clips"][:1]}))
    out = tmp_path / "answer.json"
    assert main(["estimate", "--clips", str(clips_json), "--out", str(out), "--no-intrinsics"]) == 0
    (answer,) = read_answers(out).clips.values()
    assert answer.intrinsics is not None
    assert (answer.intrinsics[:, 0] > 0).all()
    np.testing.assert_allclose(answer.intrinsics[:, 2:], [[79.5, 59.5]] * 4)


def test_one_bad_clip_does_not_lose_the_others(clips_json: Path, tmp_path: Path, capsys: CapSys) -> None:
    record = json.loads(clips_json.read_text())
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    record["clips"][0]["images"][1] = str(tmp_path / "gone.png")
    record["clips"][1]["images"][2] = str(bad)
    clips_json.write_text(json.dumps(record))
    out = tmp_path / "answer.json"
    assert main(["estimate", "--clips", str(clips_json), "--out", str(out)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    for line, clip, file in zip(lines, record["clips"], ("gone.png", "bad.jpg"), strict=False):
        assert line.startswith(f"raxels: clip {clip['id']} failed: ")
        assert file in line
    assert lines[2] == "raxels: 2 of 3 clips failed and are answered with confidence 0"
    answers = read_answers(out).clips
    assert len(answers) == 3
    for clip in record["clips"][:2]:
        np.testing.assert_array_equal(answers[clip["id"]].camera_to_first, np.tile(np.eye(4), (4, 1, 1)))
        np.testing.assert_array_equal(answers[clip["id"]].confidence, np.zeros(4))
    good = answers[record["clips"][2]["id"]]
    assert good.confidence is not None
    assert good.confidence.max() > 0


def test_a_solver_that_breaks_costs_one_clip(
    clips_json: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    def fail(*_: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(Estimator, "estimate", fail)
    assert main(["estimate", "--clips", str(clips_json), "--out", str(tmp_path / "answer.json")]) == 1
    assert "failed: Singular matrix" in capsys.readouterr().err
    assert len(read_answers(tmp_path / "answer.json").clips) == 3


def test_estimate_says_what_is_wrong_before_it_works(clips_json: Path, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["estimate", "--clips", str(tmp_path / "gone.json"), "--out", str(tmp_path / "a.json")]) == 2
    assert "gone.json cannot be read" in error_line(capsys)
    assert main(["estimate", "--clips", str(clips_json), "--out", str(tmp_path / "no" / "a.json")]) == 2
    assert "does not exist; create it" in error_line(capsys)


# ---------------------------------------------------------------------------------------------------------------- track


def tum(path: Path) -> np.ndarray:
    return np.loadtxt(path, ndmin=2)


def test_track_writes_a_line_for_every_frame(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    out, plot = tmp_path / "room.tum", tmp_path / "room.png"
    assert main(["track", str(rendered / "room"), "--out", str(out), "--plot", str(plot)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for words in ("16 frames", "keyframes", "% tracked", "ms p50", "intrinsics given: fx 130.0", "ATE after Sim(3)"):
        assert words in captured.out
    assert out.read_text().splitlines()[3].startswith("0.300000000 ")
    rows = tum(out)
    assert rows.shape == (16, 8)
    np.testing.assert_allclose(np.linalg.norm(rows[:, 4:], axis=1), 1, atol=1e-6)
    assert cv2.imread(str(plot)).shape[1] > 800
    (percent,) = re.findall(r"ATE after Sim\(3\): .* units \((.*) % of the path\)", captured.out)
    assert float(percent) < 5


def test_the_yardstick_finds_the_errors_that_track_prints(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    tool, out = yardstick("score_track"), tmp_path / "room.tum"
    assert main(["track", str(rendered / "room"), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    score = tool.score(str(rendered / "room"), str(out), None)
    assert score["coverage"] == 1
    assert f"ATE after Sim(3): {score['ate_sim3']:.4g} units ({score['ate_sim3_percent']:.2f} %" in captured.out
    for name in ("frame", "second"):
        assert f"{score[f'rpe_{name}']:.4g} units, {score[f'rpe_{name}_deg']:.3f} deg" in captured.out


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
        return TrackedPose(stamp_ns, pose, np.eye(6), state, 1.0, earlier=tuple(known))

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


# ------------------------------------------------------------------------------------------------------------- evaluate


def test_evaluate_reports(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    out = tmp_path / "report"
    arguments = ["evaluate", str(rendered), "--per-set", "2", "--tracks", "room", "--out", str(out)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["command"] == f"raxels {' '.join(arguments)}"
    assert {"cpu", "cores", "python", "opencv", "numpy", "onnxruntime", "ros2_raxels"} == set(report["machine"])
    assert report["data"]["clips"] == 2
    assert set(report["methods"]) == {"raxels", "opencv-both"}
    ours = report["methods"]["raxels"]
    assert ours["mean"]["pairs"] == 12
    assert {"read", "evidence", "guide", "total"} <= set(ours["ms"])
    assert ours["ms"]["total"]["median"] <= ours["ms"]["total"]["p95"]
    ratio = report["methods"]["opencv-both"]["ms"]["total"]["median"] / ours["ms"]["total"]["median"]
    assert report["speed_ratio"] == pytest.approx(ratio)
    (tracked,) = report["tracks"]
    assert (tracked["frames"], tracked["lost"], tracked["losses"]) == (16, 0, 0)
    assert tracked["error"]["ate_percent"] < 5
    assert 0.8 < tracked["error"]["scale_drift"] < 1.25
    assert list(tracked["peers"]) == ["chain"]
    chain = tracked["peers"]["chain"]
    assert 3 < chain["frames"] <= 16
    assert chain["error"]["ate"] > 0
    assert chain["seconds"] > 0
    assert (out / "room.png").read_bytes().startswith(b"\x89PNG")
    markdown = (out / "report.md").read_text()
    for text in ("mean over sets", "AUC@30", "opencv-both", f"{ours['mean']['auc5']:.3f}"):
        assert text in shown
        assert text in markdown
    page = Read((out / "report.html").read_text())
    assert page.rows("Means over sets")["raxels"][0][0] == f"{ours['mean']['auc5']:.3f}"
    assert page.rows("Poses of clips: raxels / opencv-both")["room"][1][0] == f"{ours['sets']['room']['auc5']:.3f}"
    drawn, caption = page.pictures[-1]
    assert caption.startswith("room: raxels as known at the end")
    np.testing.assert_array_equal(drawn[..., ::-1], cv2.imread(str(out / "room.png")))


def test_evaluate_shows_views_of_the_closed_loop(rendered: Path, tmp_path: Path) -> None:
    options = ["--per-set", "2", "--peer", "none", "--closed-loop", "--out", str(tmp_path)]
    assert main(["evaluate", str(rendered), *options]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    clips = json.loads((tmp_path / "clips.json").read_text())["clips"]
    page = Read((tmp_path / "report.html").read_text())
    recorded = report["closed_loop"]["recorded"]
    assert page.rows("Closed loop, median error")["recorded"][0][0] == str(recorded["clips"]) == "2"
    sheets = [(image, caption) for image, caption in page.pictures if "first frame alone" in caption]
    assert [caption.partition(":")[0] for _, caption in sheets] == [clip["id"] for clip in clips]
    # Known frame, three of truth, prediction, difference and expected error: five rows of three.
    assert all(image.shape[1] > 3 * 128 and image.shape[0] > 5 * 96 for image, _ in sheets)


def test_the_yardstick_finds_the_numbers_of_the_report(rendered: Path, tmp_path: Path) -> None:
    tool, out = yardstick("score_poses"), tmp_path
    assert main(["evaluate", str(rendered), "--per-set", "2", "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    clips = json.loads((out / "clips.json").read_text())
    for name, method in report["methods"].items():
        table, _ = tool.score(clips, json.loads((out / f"{name}.json").read_text()))
        for key, value in table["MEAN OVER SETS"].items():
            assert method["mean"][key] == pytest.approx(value, abs=1e-9)


def test_evaluate_counts_unreadable_clips_as_wrong(tmp_path: Path, capsys: CapSys) -> None:
    source = write_rendered_set(tmp_path / "data" / "room", 4)
    (source / "images" / "000003.png").unlink()
    out = tmp_path / "report"
    assert main(["evaluate", str(tmp_path / "data"), "--per-set", "1", "--out", str(out)]) == 1
    errors = capsys.readouterr().err
    assert "raxels: raxels: 1 of 1 clips failed and count as wrong" in errors
    assert "raxels: opencv-both: clip room/000000x1 failed" in errors
    report = json.loads((out / "report.json").read_text())
    assert report["methods"]["opencv-both"]["mean"]["auc30"] == 0


def test_evaluate_alone(rendered: Path, tmp_path: Path) -> None:
    options = ["--per-set", "1", "--peer", "none", "--no-intrinsics", "--out", str(tmp_path)]
    assert main(["evaluate", str(rendered), *options]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["methods"]) == ["raxels"]
    assert report["speed_ratio"] is None
    assert report["methods"]["raxels"]["focal_error"] > 0


def test_evaluate_finds_its_data(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.delenv("RAXELS_DATA", raising=False)
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    quick = ["evaluate", "--per-set", "1", "--peer", "none"]
    assert main(quick) == 2
    assert "pass DATA_ROOT" in error_line(capsys)
    monkeypatch.setenv("RAXELS_DATA", str(rendered))
    assert main(quick) == 0
    assert Path("out/evaluation/report.md").is_file()
    monkeypatch.delenv("RAXELS_DATA")
    (tmp_path / "shared" / "data").mkdir(parents=True)
    (tmp_path / "shared" / "data" / "dev").symlink_to(rendered)
    assert main(quick) == 0
    monkeypatch.setenv("RAXELS_DATA", str(tmp_path / "shared" / "data"))
    assert main(quick) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tracks", "hall"], "has no set 'hall'; choose from room"),
        (["--out", "/dev/null/report"], "cannot be made"),
    ],
)
def test_evaluate_refuses_bad_options(rendered: Path, capsys: CapSys, options: list[str], message: str) -> None:
    assert main(["evaluate", str(rendered), *options]) == 2
    assert message in error_line(capsys)


def test_evaluate_draws_no_curve_without_a_model(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["evaluate", str(rendered), "--out", str(tmp_path), "--curve", "--model", "none"]) == 2
    assert error_line(capsys) == "raxels: --curve needs a model; leave --model none out\n"


def test_evaluate_loads_the_model_of_a_curve_once(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    loaded: list[str] = []

    def load(card: Path, *rest: Any) -> LearnedDenoiser:
        loaded.append(card.name)
        return real(card, *rest)

    real = LearnedDenoiser.load
    monkeypatch.setattr(LearnedDenoiser, "load", load)
    monkeypatch.setattr(variants, "STEPS", (1, 2))
    options = ["--per-set", "1", "--peer", "none", "--curve", "--out", str(tmp_path)]
    assert main(["evaluate", str(rendered), *options]) == 0
    assert loaded == ["compact.json"]
    report = json.loads((tmp_path / "report.json").read_text())
    kinds = ("denoiser alone", "denoiser and guidance", "pixels only")
    assert set(report["methods"]) == {"raxels", *(f"{kind}, {n} steps" for kind in kinds for n in (1, 2))}


def test_evaluate_refuses_bad_data(tmp_path: Path, capsys: CapSys) -> None:
    assert main(["evaluate", str(tmp_path / "gone")]) == 2
    assert "is not a folder" in error_line(capsys)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "holds no posed set" in error_line(capsys)
    assert main(["evaluate", str(tmp_path), "--per-set", "0"]) == 2
    assert "must be a whole number of at least 1" in capsys.readouterr().err

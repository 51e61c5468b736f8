"""raxels demo: it plays through real nodes, says what is missing, and no process outlives the command."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from demo_runs import FRAMES, WALK
from rig_sets import write_walk_set
from rig_walk import stereo
from ros_testing import wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces")

from ros2_raxels.demo import add_arguments, run
from ros2_raxels.harness.observer import Heard
from ros2_raxels.harness.recording import recorded_walk

RUN = "import argparse, sys; from ros2_raxels.demo import add_arguments, run; p = argparse.ArgumentParser(); "
RUN += "add_arguments(p); sys.exit(run(p.parse_args()))"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def walk_folder(cache: Path) -> Path:
    return recorded_walk(WALK, lambda done, total: None, cache / "ros2_raxels" / "demo")


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (
            Heard(published_ns=[1, 2], message="waiting for motion"),
            "no pose in 50 frames; the pose node says: waiting for",
        ),
        (Heard(poses={7: np.eye(4)}, latency_s={7: 0.1}), "1 poses were received, but none can be assigned to a frame"),
    ],
)
def test_a_run_that_shows_nothing_says_what_is_missing(
    tmp_path: Path, walk_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    heard: Heard, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("ros2_raxels.demo.command.play", lambda wanted, out, interrupted: (heard, FRAMES))
    (tmp_path / "demo.png").write_bytes(b"of an earlier run")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run(parser.parse_args([str(walk_folder), "--out", str(tmp_path)])) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"raxels demo: {words}")
    assert "not drawn" in said.out
    assert "it takes 3 poses, there are 0" in said.out
    assert json.loads((tmp_path / "report.json").read_text())["poses"] == 0
    assert not (tmp_path / "demo.png").exists()


def test_options_have_the_names_of_track_and_the_old_ones_still_work() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    new = parser.parse_args(["bag", "--image-topic", "/a", "--rate-hz", "10"])
    assert (new.image_topic, new.rate_hz) == ("/a", 10.0)
    assert parser.parse_args(["bag", "--topic", "/a", "--rate", "10"]) == new


def demo(arguments: list[str], cache: Path, out: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", RUN, "--out", str(out), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def nodes_of(out: Path) -> list[int]:
    """Processes that hold a log of this run open."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            targets = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(target.startswith(str(out)) for target in targets):
            found.append(int(process.name))
    return found


ROOM = ["--seconds", "5", "--rate-hz", "10", "--width", "320", "--height", "240"]


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.usefixtures("walk_folder")
def test_the_demo_plays_through_real_nodes_and_reports(cache: Path, tmp_path: Path) -> None:
    process = demo(ROOM, cache, tmp_path)
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames_played"] == FRAMES
    assert report["frames_delivered"] >= FRAMES - 1
    assert report["poses"] >= 3
    assert report["ate_sim3_rmse"] < 0.05 * report["path_length"]
    assert report["transforms"] >= report["poses"] - 1
    assert len((tmp_path / "trajectory.tum").read_text().splitlines()) == report["poses"]
    assert f"of {FRAMES} frames" in output
    assert (tmp_path / "demo.png").stat().st_size > 100_000
    assert not nodes_of(tmp_path)


@pytest.mark.ros
@pytest.mark.slow
def test_all_cameras_of_a_rig_are_played_and_poses_are_those_of_the_base(cache: Path, tmp_path: Path) -> None:
    folder = write_walk_set(tmp_path / "set", stereo(), 12)
    process = demo([str(folder), "--speed", "0.3"], cache, tmp_path / "out")
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["cameras"] == ["left", "right"]
    assert report["poses"] >= 3
    # Metres, as two cameras know them, and of the base: poses of a camera would be off by its turn.
    assert report["scale"] == pytest.approx(1.0, rel=0.05)
    assert report["ate_sim3_rmse"] < 0.05 * report["path_length"]
    assert report["rotation_rmse_deg"] < 1.0
    assert "left, right; poses are those of the base" in output
    assert (tmp_path / "out" / "demo.png").stat().st_size > 100_000


@pytest.mark.ros
@pytest.mark.slow
def test_a_recording_without_intrinsics_plays_too(cache: Path, tmp_path: Path, walk_folder: Path) -> None:
    process = demo([str(walk_folder / "images")], cache, tmp_path)
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames_played"] == FRAMES
    assert report["poses"] >= 1
    assert "the source carries no true poses" in output
    assert not nodes_of(tmp_path)


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.usefixtures("walk_folder")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_demo_ends_its_nodes(cache: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = demo([*ROOM, "--speed", "0.05"], cache, tmp_path)

    def both_run() -> bool:
        assert process.poll() is None
        return len(set(nodes_of(tmp_path)) - {process.pid}) == 2

    wait_until(both_run, 40.0, "both nodes", every_s=0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not nodes_of(tmp_path)


@pytest.mark.ros
@pytest.mark.slow
def test_the_last_words_of_a_node_that_dies_are_shown(cache: Path, tmp_path: Path, walk_folder: Path) -> None:
    broken = tmp_path / "set"
    (broken / "images").mkdir(parents=True)
    (broken / "cameras.json").write_text((walk_folder / "cameras.json").read_text())
    for image in (walk_folder / "images").iterdir():
        (broken / "images" / image.name).write_bytes(b"x" if image.stem == "000012" else image.read_bytes())
    process = demo([str(broken)], cache, tmp_path / "out")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "camera_player ended with exit status 2" in errors
    assert "000012.jpg" in errors
    assert not nodes_of(tmp_path / "out")


def test_a_source_that_cannot_be_opened_is_reported_in_one_line(cache: Path, tmp_path: Path) -> None:
    process = demo(["/nowhere"], cache, tmp_path / "out")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.strip() == (
        "raxels demo: /nowhere does not exist; give a posed set, image folder, video, rosbag2 or camera number"
    )

"""demo: frames are attributed to the right poses, the picture is drawn, and no process outlives the command."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces")

from ros2_raxels.demo import add_arguments, run
from ros2_raxels.demo.picture import draw
from ros2_raxels.demo.summary import Recording, Summary, summarise
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.geometry.trajectory import write_tum
from ros2_raxels.harness.observer import Heard, Observer
from ros2_raxels.harness.recording import Walk, recorded_walk
from ros2_raxels.recordings.open import open_source
from ros2_raxels.scenes.trajectories import handheld_loop

WALK = Walk(seconds=5.0, rate_hz=10.0, width=320, height=240)
FRAMES, RATE_HZ = 50, 10.0
RUN = "import argparse, sys; from ros2_raxels.demo import add_arguments, run; p = argparse.ArgumentParser(); "
RUN += "add_arguments(p); sys.exit(run(p.parse_args()))"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def walk_folder(cache: Path) -> Path:
    return recorded_walk(WALK, lambda done, total: None, cache / "ros2_raxels" / "demo")


def test_a_rendered_walk_is_a_posed_set_that_is_rendered_once(cache: Path, walk_folder: Path) -> None:
    source = open_source(walk_folder)
    assert (source.kind, source.length, source.has_truth, source.is_metric) == ("posed set", FRAMES, True, True)
    assert source.rate_hz == pytest.approx(RATE_HZ)
    poses = handheld_loop(5.0, RATE_HZ, WALK.seed)
    for frame in source:
        assert frame.camera == WALK.camera
        np.testing.assert_array_equal(frame.camera_to_world, poses[frame.index])
        assert frame.image.std() > 20

    def unexpected(done: int, total: int) -> None:
        raise AssertionError("rendered again")

    assert recorded_walk(WALK, unexpected, cache / "ros2_raxels" / "demo") == walk_folder
    assert [child.name for child in walk_folder.parent.iterdir()] == [walk_folder.name]


def recording(has_truth: bool = True, camera: PinholeCamera | None = WALK.camera) -> Recording:
    stamps_ns = [round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    truth = handheld_loop(5.0, RATE_HZ) if has_truth else None
    images = {i: np.full((60, 80, 3), 5 * i, np.uint8) for i in range(0, FRAMES, 2)}
    return Recording("room", stamps_ns, truth, "m", camera, images)


def heard_of(wall_ns: list[int], heard_from: int, answered: range) -> Heard:
    """The truth in another world and unit for some frames, and all stamps from one frame on."""
    truth = handheld_loop(5.0, RATE_HZ)
    world = make_pose(rotation_from_vector([0.4, 0.2, -0.9]), [1.0, 2.0, 3.0])
    heard = Heard(published_ns=wall_ns[heard_from:], received=FRAMES)
    for index in answered:
        pose = world @ truth[index]
        pose[:3, 3] *= 0.2
        heard.poses[wall_ns[index]] = pose
        heard.latency_s[wall_ns[index]] = 0.001 * index
        heard.confidence[wall_ns[index]] = 0.9
    return heard


@pytest.mark.parametrize("heard_from", [0, 7])
@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_poses_are_attributed_to_their_frames_although_the_first_stamps_were_missed(
    heard_from: int, speed: float
) -> None:
    jitter_ns = np.random.default_rng(0).integers(0, 4_000_000, FRAMES)
    wall_ns = [1_700_000_000_000_000_000 + round(i / RATE_HZ / speed * 1e9) + int(jitter_ns[i]) for i in range(FRAMES)]
    summary = summarise(heard_of(wall_ns, heard_from, range(9, 28, 3)), recording(), FRAMES, speed, False)
    assert summary.indices == list(range(9, 28, 3))
    assert summary.coverage == pytest.approx(7 / FRAMES)
    assert summary.error is not None
    assert summary.error.translation_rmse < 1e-9
    assert summary.error.scale == pytest.approx(5.0)
    assert summary.rotation_rmse_deg < 1e-5
    assert summary.latency_percentiles_s == pytest.approx((0.018, 0.0261))


def test_source_stamps_name_the_frame_and_say_nothing_of_latency() -> None:
    source_ns = recording().stamps_ns
    summary = summarise(heard_of(source_ns, 5, range(2, 20)), recording(), FRAMES, 1.0, True)
    assert summary.indices == list(range(2, 20))
    assert summary.latency_percentiles_s is None
    assert summary.record()["latency_p50_s"] is None


def summary_for_picture(has_truth: bool, camera: PinholeCamera | None) -> Summary:
    wall_ns = [10**18 + round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    return summarise(heard_of(wall_ns, 0, range(1, FRAMES)), recording(has_truth, camera), FRAMES, 1.0, False)


@pytest.mark.parametrize(
    ("has_truth", "camera"),
    [(True, WALK.camera), (False, None), (True, PinholeCamera(400, 100, 200, 200, 199.5, 49.5)),
     (True, PinholeCamera(90, 160, 100, 100, 44.5, 79.5))],
)  # fmt: skip
def test_the_picture_shows_frames_and_raxels(tmp_path: Path, has_truth: bool, camera: PinholeCamera | None) -> None:
    draw(summary_for_picture(has_truth, camera), tmp_path / "demo.png")
    picture = cv2.imread(str(tmp_path / "demo.png"))
    assert picture.shape == (1590, 2400, 3)
    # The raxels are the only thing with all hues at full area.
    strip = cv2.cvtColor(picture[950:1500], cv2.COLOR_BGR2HSV)
    vivid = strip[(strip[..., 1] > 90) & (strip[..., 2] > 90)]
    assert len(vivid) > 40_000
    assert len(np.unique(vivid[:, 0] // 15)) > 6


def lonely_summary(answered: range, **changes: Any) -> Summary:
    """Few poses, and nothing known of the recording but its name."""
    wall_ns = [10**18 + round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    bare = Recording("camera 0", [], None, "units", None, {})
    return summarise(replace(heard_of(wall_ns, 0, answered), **changes), bare, FRAMES, 1.0, False)


def test_one_pose_without_frames_latency_or_confidence_is_drawn(tmp_path: Path) -> None:
    summary = lonely_summary(range(5, 6), confidence={})
    assert (summary.indices, summary.error) == ([5], None)
    draw(replace(summary, latency_s=np.array([])), tmp_path / "demo.png")
    assert cv2.imread(str(tmp_path / "demo.png")).shape == (1590, 2400, 3)


@pytest.mark.parametrize(("answered", "changes"), [(range(0), {}), (range(9, 28), {"published_ns": []})])
def test_without_poses_of_known_frames_there_are_numbers_but_no_picture(
    tmp_path: Path, answered: range, changes: dict[str, Any]
) -> None:
    summary = lonely_summary(answered, **changes)
    assert (summary.indices, summary.poses.shape, summary.coverage) == ([], (0, 4, 4), 0.0)
    assert summary.latency_percentiles_s is None
    record = summary.record()
    assert (record["poses"], record["frames_delivered"], record["frames_played"]) == (0, FRAMES, FRAMES)
    with pytest.raises(ValueError, match="none of the 50 frames has a pose"):
        draw(summary, tmp_path / "demo.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (
            Heard(published_ns=[1, 2], message="waiting for motion"),
            "no pose in 50 frames; the pose node says: waiting for",
        ),
        (Heard(poses={7: np.eye(4)}, latency_s={7: 0.1}), "1 poses came, but of none is it known which frame"),
    ],
)
def test_a_run_that_shows_nothing_says_what_is_missing(
    tmp_path: Path, walk_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    heard: Heard, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("ros2_raxels.demo.command._play", lambda play, out, interrupted: (heard, FRAMES))
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
    until = time.monotonic() + 40
    while len(set(nodes_of(tmp_path)) - {process.pid}) < 2:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
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


def test_a_source_that_cannot_be_opened_is_said_in_one_line(cache: Path, tmp_path: Path) -> None:
    process = demo(["/nowhere"], cache, tmp_path / "out")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.strip() == (
        "raxels demo: /nowhere does not exist; give a posed set, image folder, video, rosbag2 or camera number"
    )


def test_a_written_trajectory_can_be_scored_against_its_set(walk_folder: Path, tmp_path: Path) -> None:
    stamps = [frame.stamp_ns for frame in open_source(walk_folder)]
    write_tum(tmp_path / "t.tum", stamps, handheld_loop(5.0, RATE_HZ, WALK.seed))
    times = np.loadtxt(tmp_path / "t.tum")[:, 0]
    np.testing.assert_allclose(times, np.arange(FRAMES) / RATE_HZ, atol=1e-9)


@pytest.mark.ros
def test_an_interrupt_that_was_swallowed_ends_the_listening() -> None:
    """Where C++ calls back into Python the exception of a signal is printed and forgotten; the event is not."""
    interrupted = Event()
    observer = Observer(has_camera_info=True, interrupted=interrupted)
    try:
        observer.spin(0.05)
        interrupted.set()
        with pytest.raises(KeyboardInterrupt):
            observer.spin(30.0)
    finally:
        observer.close()

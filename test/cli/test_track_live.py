"""`raxels track` with --states and --realtime: a line for every frame, and options that cannot be meant together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands_rig import CapSys, error_line, files_of
from posed_sets import yardstick
from rig_sets import write_rig_set

from ros2_raxels.cli.main import main
from ros2_raxels.evaluation.tracks.real_time import Pace
from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.geometry.poses import rotation_vector
from ros2_raxels.recordings.source import Frame
from ros2_raxels.tracking.types import TrackedPose, TrackState


def states(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rig_set(tmp_path_factory.mktemp("robot") / "robot")


def test_states_have_a_line_for_every_frame_as_it_was_answered_live(rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "states.jsonl"
    assert main(["track", str(rendered / "room"), "--live", "--states", str(out)]) == 0
    lines = states(out)
    assert [line["stamp"] for line in lines] == pytest.approx(np.arange(16) / 10)
    # At their time the first frames had no depths, and a camera that has only turned does not change its place.
    standing = [line for line in lines if line["pose"][:3] == [0.0, 0.0, 0.0]]
    assert standing == lines[: len(standing)]
    assert 0 < len(standing) < 8
    for line in lines:
        assert (line["state"], line["metric"]) == ("TRACKING", False)
        assert np.linalg.norm(line["pose"][3:]) == pytest.approx(1.0)
        assert np.linalg.eigvalsh(np.reshape(line["covariance"], (6, 6))).min() > 0
        assert 0 < line["confidence"] <= 1
    # Right within the error that it states, which is wide for a start with little parallax.
    assert np.mean([line["confidence"] for line in lines]) > 0.5
    assert files_of(tmp_path) == ["states.jsonl"]


def test_of_a_rig_set_they_are_of_the_base_unless_the_camera_s_are_wanted(rig: Path, tmp_path: Path) -> None:
    scores = {}
    for whose in ("base", "camera"):
        out = tmp_path / f"{whose}.jsonl"
        options = [] if whose == "base" else ["--states-of", "camera"]
        assert main(["track", str(rig), "--live", "--states", str(out), *options]) == 0
        scores[whose] = yardstick("score_stream").score(str(rig), str(out), None if whose == "base" else "front")
    assert scores["base"]["tracked"] == scores["camera"]["tracked"] > 0.5
    assert scores["camera"]["rmse_percent"] < 5
    assert scores["base"]["rotation_deg"] == pytest.approx(scores["camera"]["rotation_deg"], abs=1e-3)
    first = next(line for line in states(tmp_path / "base.jsonl") if line["pose"])
    # The base begins where it stood, upright, and the camera of a robot looks ahead.
    np.testing.assert_allclose(np.abs(first["pose"][3:]), [0, 0, 0, 1], atol=0.1)


def test_in_real_time_dropped_frames_have_a_line_too(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    asked = {}

    def every_third(
        track: Track, source: Any, tracker: Any, calibration: Any, *, rate: float, pace: Pace
    ) -> Iterator[tuple[Frame, TrackedPose | None]]:
        asked["rate"] = rate
        for frame, found in follow(Track(), source, tracker, calibration):
            pace.due_s.append(frame.stamp_ns * 1e-9)
            if frame.index % 3:
                yield frame, None
                continue
            track.add(frame, found, 0.004)
            track.between_s.append(0.0)
            track.camera = frame.camera
            pace.latency_s.append(0.004)
            tracker._first_solver.wait()
            if found.state is TrackState.TRACKING:
                pace.posed_s.append(frame.stamp_ns * 1e-9 + 0.004)
            yield frame, found

    monkeypatch.setattr("ros2_raxels.cli.track.follow_in_real_time", every_third)
    out = tmp_path / "states.jsonl"
    options = ["--realtime", "--rate", "2.5", "--live", "--states", str(out)]
    assert main(["track", str(rendered / "room"), *options]) == 1
    assert asked == {"rate": 2.5}
    lines = states(out)
    dropped = [line for k, line in enumerate(lines) if k % 3]
    assert [(line["state"], line["pose"]) for line in dropped] == [("DROPPED", None)] * 10
    assert "TRACKING" in [line["state"] for line in lines[::3]]
    shown = capsys.readouterr()
    assert "at its own pace: 6 of 16 frames answered (37.5 %)" in shown.out
    assert "frame to pose: 4.0 ms p50, 4.0 ms p95; longest without a new pose 300 ms" in shown.out
    assert (
        "of 16 frames were tracked: 10 were replaced by newer ones; this machine is too slow or too busy" in shown.err
    )


def test_a_recording_is_played_in_real_time(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    options = ["--realtime", "--live", "--out", str(tmp_path / "a.tum"), "--states", str(tmp_path / "a.jsonl")]
    # A machine that is busy with other tests drops frames, which is status 1.
    assert main(["track", str(rendered / "room"), *options]) in (0, 1)
    lines = states(tmp_path / "a.jsonl")
    assert [line["stamp"] for line in lines] == pytest.approx(np.arange(16) / 10)
    answered = sum(line["state"] != "DROPPED" for line in lines)
    assert f"at its own pace: {answered} of 16 frames answered" in capsys.readouterr().out


def test_one_camera_of_a_rig_is_chosen_by_name(tmp_path: Path, capsys: CapSys) -> None:
    rig, out = write_rig_set(tmp_path / "rig", "left", "right"), str(tmp_path / "a.jsonl")
    assert main(["track", str(rig), "--states", out, "--limit", "1", "--intrinsics", "130,130,79.5,59.5"]) == 2
    assert "has 2 cameras (left, right), and a calibration from elsewhere is of one" in error_line(capsys)
    for given in ([], ["--intrinsics", "130,130,79.5,59.5"]):
        assert main(["track", str(rig), "--states", out, "--limit", "1", "--camera", "right", *given]) in (0, 1)
        assert "note: 1 images of camera 'right' listed in rig.json" in capsys.readouterr().out


def write_wheels(rig: Path, later_s: float = 0.0) -> None:
    """What wheels that never slip would say of the base."""
    rows = ["t,x,y,yaw,v,w"]
    for frame in json.loads((rig / "rig.json").read_text())["frames"]:
        pose = np.array(frame["base_to_world"])
        yaw = np.arctan2(pose[1, 0], pose[0, 0])
        rows.append(f"{frame['timestamp'] + later_s},{pose[0, 3]},{pose[1, 3]},{yaw},0,0")
    (rig / "odom.csv").write_text("\n".join(rows))


def test_wheels_give_metres(tmp_path: Path, capsys: CapSys) -> None:
    rig, out = write_rig_set(tmp_path / "rig", count=30), tmp_path / "a.jsonl"
    write_wheels(rig)
    assert main(["track", str(rig), "--live", "--odom", "--states", str(out)]) == 0
    lines = states(out)
    assert [line["metric"] for line in lines] == sorted(line["metric"] for line in lines)
    assert (lines[0]["metric"], lines[-1]["metric"]) == (True, True)
    truth = {round(f["timestamp"], 4): f["base_to_world"] for f in json.loads((rig / "rig.json").read_text())["frames"]}
    known = [line for line in lines if line["metric"]]
    ends = [np.array(truth[round(line["stamp"], 4)])[:3, 3] for line in (known[0], known[-1])]
    moved_m = np.linalg.norm(np.subtract(known[-1]["pose"][:3], known[0]["pose"][:3]))
    assert moved_m == pytest.approx(np.linalg.norm(ends[1] - ends[0]), rel=0.15)


def write_imu(rig: Path, factor: float = 1.0) -> None:
    """What a gyro at the base would read, 20 times a frame, times a factor; it turns evenly between frames."""
    rows = ["t,gx,gy,gz,ax,ay,az"]
    frames = json.loads((rig / "rig.json").read_text())["frames"]
    for before, after in pairwise(frames):
        turn = np.array(before["base_to_world"])[:3, :3].T @ np.array(after["base_to_world"])[:3, :3]
        rate = factor * rotation_vector(turn) / (after["timestamp"] - before["timestamp"])
        for k in range(20):
            # Readings that are all alike would be those of a gyro at its end.
            noisy = rate + 1e-4 * (-1) ** k
            rows.append(f"{before['timestamp'] + k / 200},{','.join(map(str, noisy))},0,0,9.81")
    (rig / "imu.csv").write_text("\n".join(rows))


@pytest.mark.parametrize(("factor", "noted"), [(1.0, False), (57.3, True)])
def test_a_gyro_that_lies_is_left_out_with_a_word(tmp_path: Path, capsys: CapSys, factor: float, noted: bool) -> None:
    rig, out = write_rig_set(tmp_path / "rig", count=40), tmp_path / "a.jsonl"
    write_imu(rig, factor)
    assert main(["track", str(rig), "--live", "--imu", "--states", str(out)]) == 0
    assert ("note: the IMU is left out: its gyro says 5" in capsys.readouterr().out) == noted
    assert {line["state"] for line in states(out)} == {"TRACKING"}


def test_an_imu_that_is_not_there_is_named(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["track", str(rendered / "room"), "--imu", "--states", str(tmp_path / "a.jsonl")]) == 2
    assert "room has no IMU; only rig sets with imu.csv and bags can have it" in error_line(capsys)


def test_wheels_that_do_not_go_with_the_frames_are_refused(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    out = str(tmp_path / "a.jsonl")
    assert main(["track", str(rendered / "room"), "--odom", "--states", out]) == 2
    assert "room has no odometry; only rig sets with odom.csv and bags can have it" in error_line(capsys)
    rig = write_rig_set(tmp_path / "rig", count=3)
    assert main(["track", str(rig), "--odom", "--states", out]) == 2
    assert "robot has no odometry; only rig sets with odom.csv" in error_line(capsys)
    write_wheels(rig, later_s=1000.0)
    assert main(["track", str(rig), "--odom", "--states", out]) == 2
    assert "odom.csv covers 1000 to 1000.2 s, and frames begin at 0 s; give both one clock" in error_line(capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing is to be written; give --out FILE, --states FILE, --plot FILE or --view"),
        (["--live"], "nothing is to be written"),
        (["--plot", "a.png", "--all-frames"], "--all-frames is about the rows of a trajectory; give --out FILE too"),
        (["--out", "a.tum", "--states-of", "base"], "--states-of base says whose poses --states FILE holds"),
        (["--states", "a.jsonl", "--states-of", "base"], "room does not say where its camera is on the robot"),
        (["--states", "a.jsonl", "--rate", "2"], "--rate 2 is the pace of --realtime, which is not given"),
        (["--states", "a.jsonl", "--realtime", "--view", "a.rrd"], "--view takes the time that --realtime measures"),
        (["--states", "a.jsonl", "--out", "./a.jsonl"], "a.jsonl is to be two files at once"),
        (["--states", "gone/a.jsonl"], "gone does not exist; create it"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    rendered: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: CapSys,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["track", str(rendered / "room"), *options]) == 2
    assert message in error_line(capsys)
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("rate", ["0", "-1", "fast"])
def test_a_rate_is_above_zero(rendered: Path, rate: str, capsys: CapSys) -> None:
    assert main(["track", str(rendered / "room"), "--states", "a", "--realtime", f"--rate={rate}"]) == 2
    assert "must be a number above 0" in capsys.readouterr().err


def test_a_camera_is_live_already(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: CapSys) -> None:
    class Camera:
        name, kind, notes, camera_to_base = "camera 0", "camera", (), None

    monkeypatch.setattr("ros2_raxels.cli.track.open_source", lambda *given, **options: Camera())
    assert main(["track", "0", "--realtime", "--states", str(tmp_path / "a.jsonl")]) == 2
    assert "camera 0 is live already, and --realtime plays recordings; leave it out" in error_line(capsys)

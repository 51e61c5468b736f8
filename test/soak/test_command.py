"""soak: faults come on schedule, numbers are those of the frames, and what is broken is said with exit status 1."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ros_testing import wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import itertools

from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from ros2_raxels.harness.recording import Walk, recorded_walk
from ros2_raxels.nodes.common.messages import image_array
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.soak.faults import AFTERMATH_S, FAULTS, Event, fault_at, schedule
from ros2_raxels.soak.malformed import malformed_image
from ros2_raxels.soak.picture import draw
from ros2_raxels.soak.record import Answer, Ended, NodeCounts, Record, Sent
from ros2_raxels.soak.report import broken, slope_of, summarise
from ros2_raxels.soak.truth import pose_errors

# -------------------------------------------------------------------------------------------------------- schedule


def test_every_fault_comes_once_before_any_comes_again_and_none_beside_another():
    events = schedule(900.0, 20.0, seed=4)
    assert {e.fault for e in events[: len(FAULTS)]} == set(FAULTS)
    assert len(events) > len(FAULTS)
    for before, after in itertools.pairwise(events):
        assert 10.0 <= after.begin_s - before.end_s <= 30.0
    assert events[-1].end_s + 2 * AFTERMATH_S <= 900.0
    assert schedule(900.0, 20.0, seed=4) == events
    assert schedule(900.0, 20.0, seed=5) != events


def test_what_follows_a_fault_is_put_down_to_it():
    events = [Event(FAULTS[0], 10.0)]
    end = events[0].end_s
    assert [fault_at(events, at) for at in (9.9, 10.0, end)] == ["none", "drop", "none"]
    assert fault_at(events, end + AFTERMATH_S - 0.1, AFTERMATH_S) == "drop"
    assert fault_at(events, end + AFTERMATH_S, AFTERMATH_S) == "none"


def test_every_malformed_image_is_one():
    generator = np.random.default_rng(0)
    for _ in range(500):
        with pytest.raises(ImageError):
            image_array(malformed_image(generator, Header(frame_id="eye")))


# --------------------------------------------------------------------------------------------------------- numbers

SECONDS, RATE_HZ = 600, 10


def frames_of(event: Event) -> list[Sent]:
    """10 Hz; of the fault every second frame is withheld."""
    sent = []
    for number in range(SECONDS * RATE_HZ):
        at = number / RATE_HZ
        name = fault_at([event], at, AFTERMATH_S)
        withheld = number % 2 == 1 and fault_at([event], at) != "none"
        sent.append(Sent(at, None if withheld else number, name))
    return sent


def quiet_record(growth_mb_per_h: float = 0.0, silent: tuple[float, float] = (0.0, 0.0), **changes: object) -> Record:
    """Ten minutes with one fault; every third frame goes unanswered, and all in the silent time."""
    event = Event(FAULTS[0], 100.0)
    sent = frames_of(event)
    answers = {
        s.stamp_ns: Answer(s.at_s + 0.02, True, 0.02 + 0.01 * (s.stamp_ns % 3))
        for s in sent
        if s.stamp_ns is not None and s.stamp_ns % 3 and not silent[0] < s.at_s < silent[1]
    }
    memory = [
        (float(at), round(1e6 * (300 + 40 * (at < 60) + growth_mb_per_h * at / 3600))) for at in range(2 * SECONDS)
    ]
    values: dict[str, object] = {
        "seconds": float(SECONDS),
        "events": [event],
        "sent": sent,
        "bad_sent": 7,
        "answers": answers,
        "counts": NodeCounts(5981, len(answers), 1978, 7),
        "memory": {"raxels_pose": memory},
        "goals": [Ended(5.0, "ahead", "NONE", 1.5, ""), Ended(65.0, "nonsense", "rejected", 0.1, "no")],
        "logs": {"raxels_pose": ["[INFO] [1.0] [raxels_pose]: fine"]},
    }
    return Record(**{**values, **changes})


def verdict(record: Record, slope: float = 30.0, least: float = 25.0) -> list[str]:
    return broken(record, summarise(record), slope, least)


def test_the_report_counts_frames_by_what_became_of_them():
    report = summarise(quiet_record())
    frames, withheld = report["frames"], 25
    sent = SECONDS * RATE_HZ - withheld
    assert (frames["due"], frames["withheld_by_faults"], frames["sent"]) == (6000, withheld, sent)
    assert frames["answered"] == frames["tracked"] == len(quiet_record().answers)
    assert frames["unanswered"] == sent - frames["answered"]
    assert frames["never_arrived"] == sent + 7 - 5981
    assert (frames["node_replaced"], frames["node_rejected"]) == (1978, 7)
    drop = report["by_fault"]["drop"]
    # 5 s with every second frame and 3 s of aftermath.
    assert (drop["events"], drop["sent"]) == (1, 25 + 30)
    # Fault and frames end at 105.0 s; frame 1050 is a third one, the next is answered.
    assert drop["recovered_after_s"] == pytest.approx(0.1)
    assert report["by_fault"]["none"]["sent"] == sent - 55
    assert 0.03 <= report["latency_p50_s"] <= report["latency_p95_s"] == 0.04
    assert [m["sent"] for m in report["minutes"]] == [600, 575, *[600] * 8]
    assert report["minutes"][0]["goals"] == {"NONE": 1}
    assert report["goals"]["outcomes"] == {"ahead": {"NONE": 1}, "nonsense": {"rejected": 1}}
    assert verdict(quiet_record()) == []


def test_memory_that_grows_is_broken_and_neither_a_step_at_the_start_nor_noise_is():
    slope, grown = slope_of(quiet_record(growth_mb_per_h=300.0).memory["raxels_pose"])
    assert slope == pytest.approx(300.0, rel=0.01)
    # Minutes 10 to 19: the warm-up is left out.
    assert grown == pytest.approx(300.0 * 9 / 60, rel=0.01)
    words = "memory of raxels_pose grows by 300 MB an hour, 45 MB so far; the bound is 30 (--memory-slope)"
    assert verdict(quiet_record(growth_mb_per_h=300.0)) == [words]
    assert verdict(quiet_record(growth_mb_per_h=20.0)) == []
    noise = np.random.default_rng(0).normal(300e6, 5e6, 2 * SECONDS)
    assert verdict(quiet_record(memory={"raxels_pose": [(float(s), round(v)) for s, v in enumerate(noise)]})) == []
    assert slope_of([(float(s), 300_000_000 + s * 10_000) for s in range(200)]) == (None, None)


def test_a_time_without_poses_is_broken_unless_a_fault_explains_it():
    words = "no pose for 20.1 s from second 299.9 on, beside faults (then: none)"
    assert verdict(quiet_record(silent=(300.0, 320.0))) == [words]
    assert verdict(quiet_record(silent=(99.0, 108.0))) == []
    (nothing,) = verdict(quiet_record(silent=(-1.0, 600.0)))
    assert nothing.startswith("no pose at all in 5975 frames")
    (few,) = verdict(quiet_record(), least=80.0)
    assert few.startswith("only 66.7 % of the undisturbed frames have a pose, the bound is 80")


def walked_record(wild: slice = slice(0), world_of_number: int = 3000) -> Record:
    """A path of 10 m, seen in two worlds of other origins, directions and units, to 1 cm; some poses are wild."""
    rng = np.random.default_rng(0)
    truth = np.column_stack([np.linspace(0.0, 10.0, 500), np.sin(np.arange(500) / 50), np.zeros(500)])
    record = quiet_record()
    sent = [replace(s, frame=number % 500) for number, s in enumerate(record.sent)]
    places = {}
    for s in sent:
        if s.stamp_ns is not None:
            world = s.stamp_ns >= world_of_number
            turned = Rotation.from_euler("z", 40.0 + 90.0 * world, degrees=True)
            seen = truth[s.frame] + rng.normal(0.0, 0.01, 3)
            places[s.stamp_ns] = (int(world), turned.apply(seen) * (0.3 + world) + 5.0 * world)
    for number in range(*wild.indices(len(sent))):
        if number in places:
            places[number] = (places[number][0], np.array([271.0, 0.0, 0.0]))
    return replace(record, sent=sent, truth=truth, places=places)


def test_poses_are_compared_with_the_truth_world_by_world():
    poses = summarise(walked_record())["poses"]
    assert poses["compared"] == len(quiet_record().answers)
    # 1 cm in each direction, of an extent of 10.2 m.
    assert 0.1 < poses["error_p50_percent"] < 0.2
    assert poses["error_p95_percent"] <= poses["highest_percent"] < 0.6
    assert verdict(walked_record()) == []
    assert summarise(quiet_record())["poses"]["compared"] == 0
    few = walked_record(world_of_number=50)
    assert len(pose_errors(few)) == sum(s.stamp_ns >= 50 for s in few.sent if s.stamp_ns in few.answers)


def test_wild_poses_are_broken_and_bend_the_fit_of_no_other():
    record = walked_record(wild=slice(4000, 4300))
    poses = summarise(record)["poses"]
    assert poses["wrong"] == 200
    assert poses["error_p50_percent"] < 0.2
    (words,) = verdict(record)
    assert words.startswith(f"200 of {poses['compared']} poses are off by more than 20 % of the path's extent, at most")
    assert verdict(walked_record(wild=slice(4000, 4030))) == []


def test_dead_nodes_failed_goals_and_errors_in_a_log_are_broken():
    bad = "[WARN] [1.5] [soak.raxels_pose]: image 3 is bad"
    log = ["Traceback (most recent call last):", bad, "[ERROR] [2.0] [x]: y"]
    record = quiet_record(
        logs={"raxels_pose": [*log, bad.replace("3", "4")]},
        goals=[Ended(5.0, "ahead", "INTERNAL", 1.0, "internal error: x")],
        died=["raxels_views ended with exit status -9: last words (see view_server.log)"],
    )
    assert verdict(replace(record, unusable="pose has NaN"))[1] == (
        "raxels_pose published a pose that cannot be used: pose has NaN"
    )
    assert verdict(record) == [
        "raxels_views ended with exit status -9: last words (see view_server.log)",
        "a goal (ahead) at second 5 ended with INTERNAL: internal error: x",
        "in the log of raxels_pose: Traceback (most recent call last):",
        "in the log of raxels_pose: [ERROR] [2.0] [x]: y",
    ]
    assert summarise(record)["log"]["warnings"] == {"soak.raxels_pose: image # is bad": 2}


@pytest.mark.parametrize("seconds", [600.0, 3.0])
def test_the_picture_is_drawn_of_long_and_of_hardly_begun_runs(tmp_path: Path, seconds: float):
    record = quiet_record()
    record.seconds = seconds
    record.sent = [s for s in record.sent if s.at_s < seconds]
    report = {**summarise(record), "broken": []}
    draw(record, report, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 50_000
    empty = Record(0.5, [], [], 0, {}, NodeCounts(), {"raxels_pose": []}, [], {})
    draw(empty, {**summarise(empty), "broken": ["x"]}, tmp_path / "empty.png")


# ----------------------------------------------------------------------------------------------------- real nodes


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_walk(Walk(4.0, 10.0, 320, 240), lambda done, total: None, tmp_path_factory.mktemp("walk"))


def soak(walk: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ros2_raxels", "soak", str(walk), "--rate", "10", "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def children_of(pid: int) -> dict[str, int]:
    """Modules that a process runs, by their process number."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            words = (stat.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == pid and len(words) > 2:
            found[words[2].decode().rpartition(".")[2]] = int(stat.parent.name)
    return found


@pytest.mark.ros
@pytest.mark.slow
def test_a_soak_through_real_nodes_finds_all_well(walk: Path, tmp_path: Path):
    process = soak(walk, tmp_path, "--minutes", "0.55", "--goal-every", "2", "--least-poses", "1")
    output, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["broken"] == []
    assert report["frames"]["tracked"] > 5
    assert report["frames"]["node_received"] == report["frames"]["node_processed"] + sum(
        report["frames"][name] for name in ("node_replaced", "node_rejected")
    )
    (event,) = report["events"]
    assert report["by_fault"][event["fault"]]["events"] == 1
    assert set(report["memory"]) == {"raxels_pose", "raxels_views"}
    assert report["goals"]["outcomes"]
    assert "with a pose" in output
    assert (tmp_path / "soak.png").stat().st_size > 50_000


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "modules", "names"),
    [
        ((), {"pose_node", "view_server"}, {"raxels_pose", "raxels_views"}),
        (("--one-process",), {"server"}, {"raxels"}),
    ],
)
def test_ctrl_c_writes_what_there_is_and_leaves_no_process(
    walk: Path, tmp_path: Path, arguments: tuple[str, ...], modules: set[str], names: set[str]
):
    process = soak(walk, tmp_path, "--minutes", "60", *arguments)
    children = wait_until(lambda: _once_all_are_there(process, modules), 30.0, "the nodes")
    assert process.stderr is not None
    _read_until(process, "tracking")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["interrupted"]
    assert report["frames"]["tracked"] > 0
    assert set(report["memory"]) == names
    assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())


@pytest.mark.ros
@pytest.mark.slow
def test_a_node_that_dies_ends_the_soak_with_words(walk: Path, tmp_path: Path):
    process = soak(walk, tmp_path, "--minutes", "60")
    _read_until(process, "frames")
    os.kill(children_of(process.pid)["view_server"], signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "raxels soak: raxels_views ended with exit status -9" in errors
    assert json.loads((tmp_path / "soak.json").read_text())["broken"][0].startswith("raxels_views ended")


def _once_all_are_there(process: subprocess.Popen[str], modules: set[str]) -> dict[str, int]:
    children = children_of(process.pid)
    return children if modules <= children.keys() else {}


def _read_until(process: subprocess.Popen[str], words: str, timeout_s: float = 60.0) -> None:
    """Progress is a line every two seconds where stderr is no terminal."""
    assert process.stderr is not None
    until = time.monotonic() + timeout_s
    while words not in (line := process.stderr.readline()):
        assert line, "it ended"
        assert time.monotonic() < until, f"no {words!r} within {timeout_s:g} s"

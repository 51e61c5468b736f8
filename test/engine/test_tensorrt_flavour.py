"""engine.tensorrt_flavour: which of the two packages serves a target, and what the log keeps of their messages."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ros2_raxels.engine import EngineError, tensorrt_flavour
from ros2_raxels.engine.tensorrt_flavour import flavour_for, is_installed, load_flavour, make_log, targets_of


def full() -> SimpleNamespace:
    """The full package compiles for the GPU that is there alone."""
    return SimpleNamespace(__name__="tensorrt", __version__="10.3")


def rtx() -> SimpleNamespace:
    members = {"NONE": 0, "CURRENT": 1, "SM89": 2, "SM120": 3}
    capability = SimpleNamespace(__members__=members)
    return SimpleNamespace(__name__="tensorrt_rtx", __version__="1.7", ComputeCapability=capability)


def test_only_rtx_compiles_for_gpus_that_are_not_there() -> None:
    assert targets_of(full()) == ()
    assert targets_of(rtx()) == ("sm89", "sm120")


def test_the_better_flavour_that_compiles_for_the_target_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    better, other = full(), rtx()
    monkeypatch.setattr(tensorrt_flavour, "_installed_flavours", lambda: [better, other])
    assert flavour_for("sm90", "sm90") is better
    assert flavour_for("sm89", "sm89") is better
    assert flavour_for("sm89", "sm90") is other
    assert flavour_for("sm89", "") is other
    with pytest.raises(
        EngineError, match=r"nothing here compiles for sm90: tensorrt 10.3 .*\(none\); .*1.7 .*for sm89"
    ):
        flavour_for("sm90", "")


def install(monkeypatch: pytest.MonkeyPatch, **modules: ModuleType) -> None:
    """Make these packages the only flavours of TensorRT."""
    monkeypatch.setattr(tensorrt_flavour, "is_installed", lambda name: name in modules)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_a_flavour_that_is_missing_or_lacks_its_libraries_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, hollow = ModuleType("tensorrt_rtx"), ModuleType("tensorrt")
    whole.Logger, whole.__version__, whole.ComputeCapability = object, "1.7", rtx().ComputeCapability  # type: ignore[attr-defined]
    install(monkeypatch, tensorrt=hollow, tensorrt_rtx=whole)
    assert load_flavour("tensorrt_rtx") is whole
    with pytest.raises(EngineError, match=r"Python package tensorrt cannot be imported \(.*Logger.*\)"):
        load_flavour("tensorrt")
    assert flavour_for("sm89", "sm89") is whole
    install(monkeypatch, tensorrt=hollow)
    with pytest.raises(EngineError, match=r"tensorrt cannot be imported .*; Python package tensorrt_rtx is not inst"):
        flavour_for("sm89", "sm89")


def test_an_installed_package_is_found_without_importing_it() -> None:
    assert is_installed("json")
    assert not is_installed("no_such_package_of_tensorrt")


class Base:
    """Base of loggers, as TensorRT has it: lower severities are worse."""

    ERROR, WARNING, INFO = 1, 2, 3


def test_the_log_keeps_the_last_error_warnings_and_layers_by_kind() -> None:
    log: Any = make_log(SimpleNamespace(ILogger=Base))
    assert (log.last, log.warnings, dict(log.layers)) == ("", [], {})
    log.log(1, "first")
    log.log(0, "out of\n  memory")
    log.log(2, "a tactic\nwas skipped")
    lines = ["Name: _gemm_mha_v2_1, LayerType: kgen", "Name: a, LayerType: gemm", "Name: b, LayerType: gemm", "other"]
    log.log(3, "\n".join(lines))
    assert log.last == "out of memory"
    assert log.warnings == ["a tactic was skipped"]
    assert dict(log.layers) == {"attention": 1, "gemm": 2}

"""doctor.engines: the engine that would be chosen, and the plans in the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ros2_raxels.doctor.engines import CachedPlan, Engines, judge_engines, look_at_engines, why_stale
from ros2_raxels.doctor.findings import Severity
from ros2_raxels.engine.learned_graphs import card_path
from ros2_raxels.engine.store import Entry

CPU = "ONNX Runtime 1.20 (CPU), a.onnx; not TensorRT, because Python packages tensorrt are not installed"
GOOD = Engines(False, CPU, "", (), "cache", is_writable=True)


def entry(reason: str = "", **key: str) -> Entry:
    return Entry("a-sm89-1", 1000, {"key": key} if key else {}, reason)


def test_the_cpu_is_well_where_there_is_no_gpu() -> None:
    assert judge_engines(GOOD) == []


def test_a_gpu_that_is_not_used() -> None:
    (found,) = judge_engines(replace(GOOD, has_gpu=True))
    assert (found.severity, found.what) == (Severity.WARNING, "there is a GPU, but the model runs on the CPU")
    assert found.value == CPU


def test_plans_that_are_not_compiled_yet_and_a_cache_that_cannot_keep_them() -> None:
    chosen = "ONNX Runtime; not TensorRT, because encode: no plan x in y and build_policy is never"
    note, cache = judge_engines(replace(GOOD, has_gpu=True, chosen=chosen, is_writable=False))
    assert (note.severity, note.remedy) == (Severity.NOTE, "run `raxels engine build` once")
    assert cache.what.startswith("the cache of plans cannot be written to")


def test_no_engine_at_all() -> None:
    (found,) = judge_engines(replace(GOOD, problem="onnxruntime is not installed"))
    assert found.value == "onnxruntime is not installed"
    assert "poses come from geometry alone" in found.what


def test_a_learned_matcher_that_cannot_be_used() -> None:
    (found,) = judge_engines(replace(GOOD, learned_problem="stage_0.onnx is damaged"))
    assert (found.severity, found.value) == (Severity.WARNING, "stage_0.onnx is damaged")
    assert found.remedy == "run `raxels engine import learned-matcher` again"


def test_stale_plans_are_named_with_the_reason() -> None:
    (found,) = judge_engines(replace(GOOD, plans=(CachedPlan("a", "of another model"), CachedPlan("b", ""))))
    assert (found.what, found.value) == ("plans in the cache are never used", "a: of another model")


def test_why_a_plan_is_stale() -> None:
    versions = {"tensorrt": "10.1"}
    good = {"onnx_sha256": "1", "flavour": "tensorrt", "version": "10.1"}
    assert why_stale(entry(**good), {"1"}, versions) == ""
    assert why_stale(entry(**good), set(), {}) == ""
    assert why_stale(entry("it has 3 bytes"), {"1"}, versions) == "set aside: it has 3 bytes"
    assert why_stale(entry(), {"1"}, versions) == "its sidecar is missing or damaged"
    assert why_stale(entry(**good), {"2"}, versions) == "of another model"
    assert why_stale(entry(**good), {"1"}, {"tensorrt": "10.2"}) == "of tensorrt 10.1, installed is 10.2"


def test_this_machine_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    facts = look_at_engines({})
    assert facts.problem == ""
    assert "compact_encode" in facts.chosen
    assert facts.plans == ()
    assert facts.is_writable
    assert not list(tmp_path.rglob("*.plan"))
    assert facts.learned_problem == ""
    card = card_path()
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    assert f"{card} is not a model card" in look_at_engines({}).learned_problem

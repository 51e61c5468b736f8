"""engine.tensorrt_build: the shipped graphs compiled for GPUs that are not here, by the real compiler."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

trt = pytest.importorskip("tensorrt_rtx")
pytest.importorskip("onnxruntime")

from ros2_raxels.cli.main import main  # noqa: E402
from ros2_raxels.engine import EngineError, tensorrt_build  # noqa: E402
from ros2_raxels.engine.choose import EngineOptions, open_engines  # noqa: E402
from ros2_raxels.engine.device import open_device  # noqa: E402
from ros2_raxels.engine.model_card import ModelCard  # noqa: E402
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine  # noqa: E402
from ros2_raxels.engine.plan import Plan  # noqa: E402
from ros2_raxels.engine.store import PlanStore  # noqa: E402
from ros2_raxels.engine.tensorrt_build import SIDES, compile_plan  # noqa: E402
from ros2_raxels.engine.tensorrt_flavour import targets_of  # noqa: E402
from ros2_raxels.engine.tensorrt_plans import PlanCompiler  # noqa: E402
from ros2_raxels.engine.tensorrt_run import TensorRtEngine  # noqa: E402
from ros2_raxels.estimation.learned_prior import named_card  # noqa: E402
from ros2_raxels.view_synthesis.predictor import SHIPPED as VIEWS  # noqa: E402

CapSys = pytest.CaptureFixture[str]
TARGETS = ("sm89", "sm120")
ROLES = ("encode", "rays")
CARD = named_card("")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plans of the shipped model for two targets, made by the command."""
    folder = tmp_path_factory.mktemp("plans") / "engines"
    assert main(["engine", "build", "--target", ",".join(TARGETS), "--cache", str(folder)]) == 0
    return folder


def plans(cache: Path) -> dict[tuple[str, str], tuple[Plan, dict[str, Any]]]:
    """Plans and records by graph and target."""
    found = {}
    for entry in PlanStore(cache).entries():
        content = (cache / f"{entry.name}.plan").read_bytes()
        key = entry.record["key"]
        found[key["graph"], key["target"]] = Plan(content, entry.record["facts"]), entry.record
    return found


def no_gpu() -> bool:
    try:
        open_device()
    except EngineError:
        return True
    return False


def test_each_graph_is_compiled_for_each_target(cache: Path) -> None:
    found = plans(cache)
    assert set(found) == {(f"compact_mixed_{role}", target) for role in ROLES for target in TARGETS}
    for (_, target), (plan, record) in found.items():
        assert record["key"]["flavour"] == "tensorrt_rtx"
        assert record["key"]["version"] == trt.__version__
        assert record["key"]["precision"] == "mixed"
        assert record["key"]["target"] == target
        assert plan.facts["compile_s"] > 0.0
        assert plan.content != found[record["key"]["graph"], next(t for t in TARGETS if t != target)][0].content


@pytest.mark.parametrize("role", ROLES)
def test_a_plan_has_the_inputs_and_outputs_of_its_graph(cache: Path, role: str) -> None:
    graph = OnnxRuntimeEngine(CARD.parent / f"compact_mixed_{role}.onnx")
    for target in TARGETS:
        plan = plans(cache)[f"compact_mixed_{role}", target][0]
        assert plan.inputs == graph.inputs
        outputs = plan.outputs
        assert [(s.name, s.dtype) for s in outputs] == [(s.name, s.dtype) for s in graph.outputs]
        fixed = [[side for side in spec.shape if isinstance(side, int)] for spec in outputs]
        assert fixed == [[side for side in spec.shape if isinstance(side, int)] for spec in graph.outputs]
        for tensor in plan.facts["inputs"]:
            expected = [[SIDES[s][k] if isinstance(s, str) else s for s in tensor["shape"]] for k in range(3)]
            assert tensor["profile"] == expected


def test_attention_is_fused_where_half_precision_allows_it(cache: Path) -> None:
    """Self-attention of all four blocks; across to the tracks, with its mask, it is not."""
    for (_, _), (plan, _) in plans(cache).items():
        assert plan.facts["layers"]["attention"] == 4
        assert plan.facts["layers"]["gemm"] > 10


def test_a_plan_that_is_there_is_not_compiled_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setattr("ros2_raxels.engine.tensorrt_plans.compile_plan", lambda *_: pytest.fail("compiled again"))
    assert main(["engine", "build", "--target", "sm89", "--cache", str(cache)]) == 0
    store = PlanStore(cache)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["sm89 encode.mixed", "sm89 rays.mixed"]
    for line in lines:
        assert Path(line.split(": ")[1]).is_file()
    key = PlanCompiler(ModelCard.read(CARD), CARD.parent, trt, "sm120", store, print).build("rays")
    assert store.find(key) is not None


def test_list_and_clear_through_the_command(cache: Path, tmp_path: Path, capsys: CapSys) -> None:
    copy = tmp_path / "engines"
    copy.mkdir()
    for path in cache.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert main(["engine", "list", "--cache", str(copy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(f"MB  tensorrt_rtx {trt.__version__}, mixed, " in line for line in lines[:4])
    assert lines[4] == f"4 plans in {copy}"
    assert main(["engine", "clear", "--cache", str(copy)]) == 0
    assert capsys.readouterr().out.startswith("12 files, ")
    assert list(copy.iterdir()) == []


def test_unknown_targets_are_refused_by_name(tmp_path: Path, capsys: CapSys) -> None:
    assert set(TARGETS) <= set(targets_of(trt))
    with pytest.raises(EngineError, match=r"does not compile for sm90, only for .*sm89.*; name one of those"):
        compile_plan(trt, CARD.parent / "compact_encode.onnx", "sm90", print)
    assert main(["engine", "build", "--target", "sm90", "--cache", str(tmp_path)]) == 2
    assert "raxels: nothing here compiles for sm90: " in capsys.readouterr().err
    assert main(["engine", "build", "--target", "sm89,sm90", "--cache", str(tmp_path)]) == 2
    assert "nothing here compiles for sm90" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main(["engine", "build", "--target", "ada", "--cache", str(tmp_path)]) == 2
    assert "'ada' must be current, or like sm89" in capsys.readouterr().err


def test_graphs_of_views_are_compiled_too(tmp_path: Path, capsys: CapSys) -> None:
    views = named_card("", VIEWS)
    assert main(["engine", "build", "--target", "sm120", "--model", str(views), "--cache", str(tmp_path / "c")]) == 0
    found = plans(tmp_path / "c")
    assert set(found) == {("compact_views_joint", "sm120"), ("compact_views_mixed_sweep", "sm120")}
    swept, votes = found["compact_views_mixed_sweep", "sm120"][0].inputs
    assert (swept.name, swept.dtype.name, swept.shape[:4]) == ("swept", "uint8", ("views", 4, 4, 32))
    assert (votes.name, votes.dtype.name, votes.shape[:2]) == ("votes", "float32", ("views", 32))


def test_a_graph_that_tensorrt_cannot_read_is_named_by_node() -> None:
    """The sweep as the CPU runs it: TensorRT computes nothing with bytes."""
    with pytest.raises(
        EngineError, match=r"cannot read compact_views_sweep.onnx: node node_unsqueeze \(Unsqueeze\): .*UInt8"
    ):
        compile_plan(trt, CARD.parent / "compact_views_sweep.onnx", "sm89", print)


def test_files_that_are_no_graph_are_refused_by_name(tmp_path: Path) -> None:
    for content in (b"", b"no graph"):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(EngineError, match=rf"tensorrt_rtx {trt.__version__} cannot "):
            compile_plan(trt, tmp_path / "x.onnx", "sm89", print)


def test_progress_is_reported_and_a_build_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_build, "REPORT_EVERY_S", 0.05)
    said: list[str] = []

    def stop(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        compile_plan(trt, CARD.parent / "compact_rays.onnx", "sm89", stop)
    assert all(line.startswith("compiling compact_rays.onnx for sm89: 0 s, ") for line in said)
    assert threading.active_count() == threads


@pytest.mark.skipif(not no_gpu(), reason="needs a machine without a GPU")
def test_a_good_plan_on_a_machine_without_a_gpu(
    cache: Path, tmp_path: Path, capsys: CapSys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real runtime refuses it in words; the engine falls back to the CPU, and the command fails."""

    class Card:
        target, name = "sm89", "made up"

    plan, _ = plans(cache)["compact_mixed_rays", "sm89"]
    with pytest.raises(EngineError, match=r"tensorrt_rtx .* \(sm89\), rays: the plan cannot be loaded \(.*[Cc]uda"):
        TensorRtEngine(trt, plan, Card(), "rays")  # type: ignore[arg-type]
    card, said = ModelCard.read(CARD), []
    engines = open_engines(card, CARD.parent, ROLES, EngineOptions(say=said.append, folder=tmp_path))
    assert all(engine.describe().startswith("ONNX Runtime") for engine in engines.values())
    assert "; not TensorRT, because " in said[0]
    assert main(["engine", "build", "--cache", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nvidia-smi" in error

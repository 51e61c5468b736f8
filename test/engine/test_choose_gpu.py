"""engine.choose on a machine with a GPU: plans are compiled, kept, loaded and replayed, and answer as the CPU does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.choose import EngineOptions, open_engines
from ros2_raxels.engine.device import open_device
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.estimation.learned_prior import named_card


@pytest.mark.gpu
@pytest.mark.parametrize(("backend", "policies"), [("tensorrt", ("if_stale", "never")), ("torch", ("if_stale",))])
def test_the_gpu_answers_as_the_cpu_does(tmp_path: Path, backend: str, policies: tuple[str, ...]) -> None:
    """Compiled, kept, loaded again, recorded and replayed: the answers are those of ONNX Runtime."""
    from ros2_raxels.cli.engine_parity import compare_poses
    from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine

    try:
        target = open_device().target
    except EngineError as error:
        pytest.skip(str(error))
    card, folder, roles = ModelCard.read(named_card("")), named_card("").parent, ("encode", "rays")
    said: list[str] = []
    reference = {role: OnnxRuntimeEngine(card.graph_path(folder, role), cuda=False) for role in roles}
    for policy in policies:
        options = EngineOptions(backend, policy, said.append, said.append, said.append, tmp_path / "engines")
        parity = compare_poses(card, reference, open_engines(card, folder, roles, options))
        assert parity.holds, parity
        assert f"({'cuda' if backend == 'torch' else target})" in said[-1]

"""training.export: the card says what was exported, and what cannot be exported is refused before files are written."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from views_scene import exported_card, fresh_model, perturbed_model, validation_of_the_card

torch = pytest.importorskip("torch")
for needed in ("onnxruntime", "onnxscript", "safetensors"):
    pytest.importorskip(needed)

from ros2_raxels.engine.model_card import Graph, ModelCard, sha256  # noqa: E402
from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.model.presets import PRESETS  # noqa: E402
from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training import export as module  # noqa: E402
from ros2_raxels.training.export import export  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.xdist_group("exported_card"),
    pytest.mark.slow,
]


def test_the_card_says_what_was_exported(tmp_path_factory: pytest.TempPathFactory) -> None:
    path, model = exported_card(tmp_path_factory), perturbed_model()
    card = ModelCard.read(path)
    assert (card.name, card.preset, card.ray_spread) == ("tiny", "tiny", 0.4)
    expected = validation_of_the_card().measure(model)["few"]
    assert card.expected == {"few": pytest.approx(expected, rel=1e-4)}
    assert all(np.isfinite(value) for value in expected.values())
    assert (card.training["step"], card.training["clips"], card.training["data"]) == (12, 34, "nothing")
    assert card.training["has_pixels"] is True
    assert type(model.size).from_record(card.size) == model.size
    roles = ("encode", "rays", "sweep", "joint")
    single, mixed = {role: f"tiny_{role}.onnx" for role in roles}, {f"{r}.mixed": f"tiny_mixed_{r}.onnx" for r in roles}
    assert {role: graph.file for role, graph in card.graphs.items()} == single | mixed
    half = {"encode.mixed", "rays.mixed", "joint.mixed"}
    assert {role for role, graph in card.graphs.items() if graph.precision == "mixed"} == half
    assert {graph.precision for role, graph in card.graphs.items() if role not in half} == {"fp32"}
    for role, graph in card.graphs.items():
        assert asdict(graph)["sha256"] == sha256(card.graph_path(path.parent, role))


def test_a_model_that_was_trained_without_pixels_is_exported_without_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def write(*arguments: Any) -> Graph:
        written.append(arguments[-1].name)
        return Graph(written[-1], "", "fp32")

    monkeypatch.setattr(module, "write_onnx", write)
    model, run = fresh_model(), tmp_path / "checkpoint.safetensors"
    average, optimizer = perturbed_model().state_dict(), torch.optim.Adam(model.parameters())
    checkpoint.save(run, model, model.size, average, optimizer, checkpoint.Progress(preset="tiny"))
    card = export(run, tmp_path, "poses")
    assert set(card.graphs) == {"encode", "rays", "encode.mixed", "rays.mixed"}
    assert sorted(written) == [f"poses_{name}.onnx" for name in ("encode", "mixed_encode", "mixed_rays", "rays")]


def test_a_model_without_evidence_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    size = replace(PRESETS["tiny"], evidence_blocks=0)
    model, run = JointDenoiser(size), tmp_path / "checkpoint.safetensors"
    average = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint.save(run, model, size, average, torch.optim.Adam(model.parameters()), checkpoint.Progress())
    with pytest.raises(ValueError, match="a model without evidence has no graph for it"):
        export(run, tmp_path, "pixels")
    assert list(tmp_path.iterdir()) == [run]

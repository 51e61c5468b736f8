"""engine.model_card: cards survive writing and reading, and files without their checksum are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.model_card import FORMAT, Graph, ModelCard, sha256

DIGEST = "170df6144b15bdf1dced878e45ebdb2dac95d0b1a3bc68459434bbbd88681157"
"""printf 'a graph' | sha256sum"""


def write_card(folder: Path, **changes: Any) -> Path:
    """A card of one graph, whose file is there."""
    graph = folder / "m_rays.onnx"
    graph.write_bytes(b"a graph")
    card = ModelCard("m", "tiny", {"rays": Graph(graph.name, DIGEST, "fp32")}, 0.4, {"steps": 7}, expected={"deg": 1.5})
    path = folder / "m.json"
    path.write_text(json.dumps(card.record() | changes), encoding="utf-8")
    return path


def test_a_card_survives_writing_and_reading(tmp_path: Path) -> None:
    card = ModelCard.read(write_card(tmp_path))
    assert (card.name, card.preset, card.ray_spread, card.training) == ("m", "tiny", 0.4, {"steps": 7})
    assert (card.licence, card.format, card.expected) == ("Apache-2.0", FORMAT, {"deg": 1.5})
    assert set(card.graphs) == {"rays"}
    assert (card.graphs["rays"].file, card.graphs["rays"].precision) == ("m_rays.onnx", "fp32")
    (tmp_path / "again.json").write_text(json.dumps(card.record()), encoding="utf-8")
    assert ModelCard.read(tmp_path / "again.json") == card


def test_a_graph_is_found_only_with_its_checksum(tmp_path: Path) -> None:
    card = ModelCard.read(write_card(tmp_path))
    graph = tmp_path / "m_rays.onnx"
    assert card.graph_path(tmp_path, "rays") == graph
    graph.write_bytes(b"a graph!")
    with pytest.raises(EngineError, match=f"{graph} is not the file that its card means .*; install the package again"):
        card.graph_path(tmp_path, "rays")
    graph.unlink()
    with pytest.raises(EngineError, match=f"{graph} cannot be read .No such file or directory.; install"):
        card.graph_path(tmp_path, "rays")
    with pytest.raises(EngineError, match=r"model m has no graph 'encode', only \['rays'\]"):
        card.graph_path(tmp_path, "encode")


def test_a_card_of_another_format_is_refused_by_number(tmp_path: Path) -> None:
    path = write_card(tmp_path, format=FORMAT + 1)
    with pytest.raises(EngineError, match=f"{path} is of format {FORMAT + 1}, this version reads {FORMAT}; install"):
        ModelCard.read(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"format": 2}',
        '{"format": 2, "graphs": []}',
        '{"format": 2, "graphs": {"a": 3}}',
    ],
)
def test_a_file_that_is_no_card_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(EngineError, match=f"{path} is not a model card"):
        ModelCard.read(path)


def test_cards_with_unknown_or_missing_fields_and_binary_files_are_refused(tmp_path: Path) -> None:
    for change in ({"colour": "red"}, {"graphs": {"rays": {"file": "x"}}}):
        with pytest.raises(EngineError, match="is not a model card"):
            ModelCard.read(write_card(tmp_path, **change))
    with pytest.raises(EngineError, match=r"is not a model card .*No such file"):
        ModelCard.read(tmp_path / "missing.json")
    (tmp_path / "m.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EngineError, match="is not a model card"):
        ModelCard.read(tmp_path / "m.json")


def test_weights_are_found_only_with_their_checksum(tmp_path: Path) -> None:
    card = ModelCard.read(write_card(tmp_path))
    with pytest.raises(EngineError, match="model m comes without weights for torch; export it anew"):
        card.weights_path(tmp_path)
    weights = tmp_path / "m.safetensors"
    card = ModelCard.read(write_card(tmp_path, weights={"file": weights.name, "sha256": DIGEST, "precision": "half"}))
    with pytest.raises(EngineError, match=rf"{weights} cannot be read \(No such file or directory\)"):
        card.weights_path(tmp_path)
    weights.write_bytes(b"a graph")
    assert card.weights_path(tmp_path) == weights
    weights.write_bytes(b"another")
    with pytest.raises(EngineError, match=f"{weights} is not the file that its card means"):
        card.weights_path(tmp_path)


def test_the_checksum_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a graph")
    assert sha256(tmp_path / "file") == DIGEST

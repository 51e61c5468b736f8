"""Model cards: a model's graphs with their checksums, how it was trained, and how well it is expected to do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ros2_raxels.engine import EngineError

MIXED = ".mixed"
"""Suffix of a role: the same graph for GPUs, with matrix products in half precision."""

FORMAT = 2
"""Version of the graphs' inputs and outputs; a card of another format is refused."""

_ADVICE = "install the package again, or give another model"


@dataclass(frozen=True)
class Graph:
    """One file beside the card: a graph in ONNX, or the weights.

    Attributes:
        file: its name.
        sha256: of its bytes, in hexadecimal.
        precision: "fp32", "mixed" (fp16, with norms and softmax in fp32), or "half" (all of it fp16).
    """

    file: str
    sha256: str
    precision: str


@dataclass(frozen=True)
class ModelCard:
    """A model.

    Attributes:
        name: identifies the model in status messages and reports.
        preset: name of its size.
        graphs: by role: "encode" (tracks to tokens), "rays" (a denoising step of rays), and where the model predicts
            views "sweep" (swept context frames to what is known of a view) and "joint" (a denoising step of rays and
            video). Each may also be there with the suffix `MIXED`; "sweep.mixed" is in single precision, because it
            has no matrix products.
        ray_spread: the network's rays are ``(raxels - bearings) / ray_spread``.
        training: data, steps, clips, minutes, seed.
        licence: of the weights.
        expected: scores by name, against which an installation can check itself.
        size: fields of `model.presets.ModelSize`, which determine the shapes of all weights.
        confidence: weights of the confidence of views, see `ros2_raxels.view_synthesis.confidence`; empty if it was
            not calibrated.
        weights: file of the weights, for torch; None where it is not kept.
        format: see `FORMAT`.
    """

    name: str
    preset: str
    graphs: dict[str, Graph]
    ray_spread: float
    training: dict[str, Any]
    licence: str = "Apache-2.0"
    expected: dict[str, Any] = field(default_factory=dict)
    size: dict[str, Any] = field(default_factory=dict)
    confidence: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: Graph | None = None
    format: int = FORMAT

    def record(self) -> dict[str, Any]:
        """The card as its JSON file holds it."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card.

        Raises:
            EngineError: it is missing, no model card, or of another format.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise EngineError(f"{path} is of format {record['format']}, this version reads {FORMAT}; {_ADVICE}")
            graphs = {role: Graph(**graph) for role, graph in record.pop("graphs").items()}
            weights = record.pop("weights", None)
            return cls(graphs=graphs, weights=weights and Graph(**weights), **record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{path} is not a model card ({error}); {_ADVICE}") from error

    def graph_path(self, folder: Path, role: str) -> Path:
        """File of the graph of a role, with its checksum verified.

        Raises:
            EngineError: the card has no such graph, or the file is missing or has another checksum.
        """
        if role not in self.graphs:
            raise EngineError(f"model {self.name} has no graph {role!r}, only {sorted(self.graphs)}; {_ADVICE}")
        return _verified(folder, self.graphs[role])

    def weights_path(self, folder: Path) -> Path:
        """File of the weights, with its checksum verified.

        Raises:
            EngineError: the card has no weights, or the file is missing or has another checksum.
        """
        if self.weights is None:
            raise EngineError(
                f"model {self.name} comes without weights for torch; export it anew, or use another backend"
            )
        return _verified(folder, self.weights)


def _verified(folder: Path, graph: Graph) -> Path:
    path = folder / graph.file
    try:
        digest = sha256(path)
    except OSError as error:
        raise EngineError(f"{path} cannot be read ({error.strerror}); {_ADVICE}") from error
    if digest != graph.sha256:
        raise EngineError(f"{path} is not the file that its card means (sha256 {digest[:12]}...); {_ADVICE}")
    return path


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

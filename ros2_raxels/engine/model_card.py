"""What a shipped model is: its graphs with their checksums, how it was trained, and the numbers to expect of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ros2_raxels.engine import EngineError

MIXED = ".mixed"
"""Behind the role of a graph: the same as GPUs take it, with matrix products in half precision."""

FORMAT = 2
"""Of the graphs' inputs and outputs; a card of another format is refused."""

_ADVICE = "install the package again, or give another model"


@dataclass(frozen=True)
class Graph:
    """One file beside the card: a graph in ONNX, or the weights.

    Attributes:
        file: its name.
        sha256: of its bytes.
        precision: "fp32", "mixed" (fp16 with norms and softmax in fp32), or "half" (all of it fp16).
    """

    file: str
    sha256: str
    precision: str


@dataclass(frozen=True)
class ModelCard:
    """A model.

    Attributes:
        name: identifies it in status messages and reports.
        preset: size, by name.
        graphs: by role: "encode" (tracks to tokens), "rays" (a denoising step of rays), and where the model makes
            views "sweep" (context frames to what is known of a view) and "joint" (a step of rays and video); each
            also with `MIXED` behind, "sweep", which has no matrix products, in single precision.
        ray_spread: rays are ``(raxels - bearings) / ray_spread`` for the network.
        training: data, steps, clips, minutes, seed.
        licence: of the weights.
        expected: numbers that an installation can check itself against, by name.
        size: everything that decides the shape of a weight.
        confidence: weights of the confidence of views, see `ros2_raxels.view_synthesis.confidence`; empty where nobody
            calibrated it.
        weights: file of what the graphs hold, for torch; None where it is not kept.
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
        """As the JSON file holds it."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card.

        Raises:
            EngineError: missing, not JSON, or of another format.
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
        """The file of a role, with its checksum verified.

        Raises:
            EngineError: the card has no such graph, or the file is missing or not the one that the card means.
        """
        if role not in self.graphs:
            raise EngineError(f"model {self.name} has no graph {role!r}, only {sorted(self.graphs)}; {_ADVICE}")
        return _verified(folder, self.graphs[role])

    def weights_path(self, folder: Path) -> Path:
        """The file of the weights, with its checksum verified.

        Raises:
            EngineError: the card has none, or the file is missing or not the one that the card means.
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
    """Checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

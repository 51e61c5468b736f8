"""What a TensorRT plan is, and everything that it depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ros2_raxels.engine import TensorSpec

Sides = dict[str, tuple[int, int, int]]
"""Smallest, usual and largest length of every named side of a graph's tensors."""


@dataclass(frozen=True)
class PlanKey:
    """Everything that a plan depends on: if any of it changes, another plan is needed.

    Attributes:
        graph: name of the ONNX file, without its suffix.
        onnx_sha256: of that file.
        precision: of the graph, as in `model_card.Graph`.
        sides: lengths that the plan is compiled for.
        flavour: "tensorrt" or "tensorrt_rtx".
        version: of the flavour.
        target: compute capability of the GPU, like "sm89".
        architecture: of the machine that runs the plan, like "x86_64".
    """

    graph: str
    onnx_sha256: str
    precision: str
    sides: Sides
    flavour: str
    version: str
    target: str
    architecture: str

    @property
    def name(self) -> str:
        """Of the plan's files, without a suffix."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.graph}-{self.target}-{digest[:16]}"


@dataclass(frozen=True)
class Plan:
    """A compiled graph.

    Attributes:
        content: as TensorRT serialised it.
        facts: about it, as JSON: "inputs" (each with its name, dtype, shape and the profile of least, usual and
            greatest shape), "outputs", "layers" by kind, "warnings" and "compile_s".
    """

    content: bytes
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What an engine of this plan takes."""
        return _specs_of(self.facts["inputs"])

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What an engine of this plan gives."""
        return _specs_of(self.facts["outputs"])


def _specs_of(tensors: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(t["name"], tuple(t["shape"]), np.dtype(t["dtype"])) for t in tensors)

"""A torch module written as an ONNX file."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ros2_raxels.engine.model_card import Graph, sha256
from ros2_raxels.utils.files import replacing

OPSET = 18


def write_onnx(
    graph: nn.Module,
    arguments: tuple[Tensor, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    shapes: tuple[dict[int, Any], ...],
    path: Path,
) -> Graph:
    """Write a graph, whole or not at all; returns its entry for a model card.

    Args:
        graph: computes the outputs from the inputs.
        arguments: an example of each input.
        inputs, outputs: names.
        shapes: for each input, the sides that may have any length.
        path: of the file.

    Raises:
        FileError: it cannot be written.
    """
    with _quiet():
        program = torch.onnx.export(
            graph,
            arguments,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamic_shapes=shapes,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
    return Graph(path.name, sha256(path), "fp32")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch has to say of itself: packages that it does not need, and functions that it should not use."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""Runs exported graphs behind one small protocol, whatever executes them. Imports neither torch nor training code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]
"""Tensors by name."""

Say = Callable[[str], None]
"""Told a line of text for the user."""


class EngineError(RuntimeError):
    """A graph cannot be loaded or run. The message names the file or tensor, its value and what to do."""


class OutOfProfileError(EngineError):
    """Inputs that fit the graph but lie outside the sizes that the engine was compiled for."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    Attributes:
        name: of the tensor.
        shape: lengths of its sides; a name stands for any length, the same one wherever the name stands.
        dtype: of its elements.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]


class Engine(Protocol):
    """A graph that is ready to run. Not for use from two threads at once."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Tensors that `run` takes."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Tensors that `run` returns."""
        ...

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            EngineError: an input is missing, unknown, or of the wrong shape or dtype.
        """
        ...

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run once on made-up inputs, so that memory and kernels are ready for the first frame.

        Args:
            sides: length of every named side of `inputs`.

        Raises:
            EngineError: a side has no length, or the engine cannot run.
        """
        ...

    def describe(self) -> str:
        """One line: backend, version, model."""
        ...


def one_line(text: str) -> str:
    """A library's error message on one line, at most 300 characters, to quote in a message of ours."""
    return " ".join(text.split())[:300]

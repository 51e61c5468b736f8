"""Runs exported graphs: one small protocol, whatever executes them. Imports neither torch nor training code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


class EngineError(RuntimeError):
    """A graph cannot be loaded or run; the message names the file or tensor, its value and what to do."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: of the tensor.
        shape: a name stands for a side of any length.
        dtype: of its numbers.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]


class Engine(Protocol):
    """A graph that is ready to run. Not for use from two threads at once."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` takes."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives."""
        ...

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            EngineError: an input is missing, unknown, or of the wrong shape or dtype.
        """
        ...

    def describe(self) -> str:
        """In a line: backend, version, model."""
        ...


def check_inputs(specs: tuple[TensorSpec, ...], arrays: Arrays) -> None:
    """Refuse what does not fit, in words.

    Raises:
        EngineError: see `Engine.run`.
    """
    wanted = {spec.name: spec for spec in specs}
    if wanted.keys() != arrays.keys():
        missing, unknown = sorted(wanted.keys() - arrays.keys()), sorted(arrays.keys() - wanted.keys())
        raise EngineError(
            f"inputs missing: {missing or 'none'}, not known: {unknown or 'none'}; give exactly {sorted(wanted)}"
        )
    sides: dict[str, int] = {}
    for name, array in arrays.items():
        spec = wanted[name]
        fits = array.ndim == len(spec.shape) and array.dtype == spec.dtype
        for side, length in zip(spec.shape, array.shape, strict=False):
            fits &= (sides.setdefault(side, length) if isinstance(side, str) else side) == length
        if not fits:
            raise EngineError(
                f"input {name} is {array.dtype} of shape {array.shape}; the graph takes {spec.dtype} of shape "
                f"{spec.shape} with {sides}"
            )

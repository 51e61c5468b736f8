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


class OutOfProfileError(EngineError):
    """Inputs that fit the graph but lie outside the sizes that the engine was compiled for."""


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

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run once on made-up inputs, so that the first frame finds memory and kernels ready.

        Args:
            sides: length of every named side, as in the shapes of `inputs`.

        Raises:
            EngineError: a side is missing, or the engine cannot run.
        """
        ...

    def describe(self) -> str:
        """In a line: backend, version, model."""
        ...


def made_up_inputs(
    specs: tuple[TensorSpec, ...], sides: Mapping[str, int], seed: int = 0
) -> dict[str, npt.NDArray[Any]]:
    """Inputs that mean nothing, the same ones for the same seed: normal numbers, or 0 to 255 for bytes.

    Raises:
        EngineError: a side has no length.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for spec in specs:
        missing = [side for side in spec.shape if isinstance(side, str) and side not in sides]
        if missing:
            raise EngineError(f"input {spec.name} of shape {spec.shape}: no length for {missing}, only {dict(sides)}")
        shape = [sides[side] if isinstance(side, str) else side for side in spec.shape]
        if spec.dtype == np.uint8:
            arrays[spec.name] = rng.integers(0, 256, shape, np.uint8)
        else:
            arrays[spec.name] = rng.normal(size=shape).astype(spec.dtype)
    return arrays


def one_line(text: str) -> str:
    """What a library says of an error, for a message of ours."""
    return " ".join(text.split())[:300]


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

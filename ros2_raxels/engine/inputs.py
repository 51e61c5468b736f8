"""Inputs of a graph: checked against its specification, or made up for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Arrays, EngineError, TensorSpec


def check_inputs(specs: tuple[TensorSpec, ...], arrays: Arrays) -> None:
    """Refuse inputs that do not fit a graph, or each other.

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


def made_up_inputs(
    specs: tuple[TensorSpec, ...], sides: Mapping[str, int], seed: int = 0
) -> dict[str, npt.NDArray[Any]]:
    """Random inputs, the same for the same seed: normally distributed, or 0 to 255 for bytes.

    Args:
        specs: of the inputs.
        sides: length of every named side.
        seed: of the random numbers.

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

"""The graphs of the learned matcher, as `learned_import` has put them into the user's cache."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Arrays, Engine, EngineError
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.store import default_folder
from ros2_raxels.engine.wrapper import EngineWrapper

NAME = "learned-matcher"
IMPORT_COMMAND = f"raxels engine import {NAME}"

KEYPOINTS, STAGE = "keypoints", "stage_"
"""Roles of the graphs in the card; stages are counted from 0."""


class NotImportedError(EngineError):
    """There is no learned matcher in the cache."""


@dataclass(frozen=True)
class LearnedGraphs:
    """What `matching.learned` runs. Unlike other engines, these may be run by several threads at once.

    Attributes:
        keypoints: see `model.aliked`.
        stages: see `model.lightglue`.
    """

    keypoints: Engine
    stages: Sequence[Engine]

    def describe(self) -> str:
        """Model and backend, in one line."""
        return self.keypoints.describe()


class FiniteEngine(EngineWrapper):
    """An engine of which no answer holds NaN: a damaged device or library is an error that names the graph.

    Args:
        engine: that runs it.
        role: of the graph in the card.
    """

    def __init__(self, engine: Engine, role: str) -> None:
        super().__init__(engine)
        self._role = role

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            EngineError: the engine cannot run, or an output holds NaN.
        """
        found = super().run(arrays)
        for name, values in found.items():
            if values.dtype.kind == "f" and np.isnan(values).any():
                raise EngineError(
                    f"{self._role} of the learned matcher gives NaN for {name}; run `{IMPORT_COMMAND}` again"
                )
        return found


def learned_folder(cache: Path | None = None) -> Path:
    """Where the graphs are, in a cache of engines; None takes the user's."""
    return (default_folder() if cache is None else cache) / NAME


def card_path(cache: Path | None = None) -> Path:
    """The card beside them."""
    return learned_folder(cache) / "card.json"


def open_learned(cache: Path | None = None) -> LearnedGraphs:
    """Open them, with their checksums verified.

    Args:
        cache: of engines; None takes the user's.

    Raises:
        NotImportedError: there are none.
        EngineError: they are damaged, of another version, or cannot be run.
    """
    path = card_path(cache)
    if not path.exists():
        raise NotImportedError(f"there is no learned matcher in {path.parent}; run `{IMPORT_COMMAND}`")
    try:
        card = ModelCard.read(path)
        stages = sorted(role for role in card.graphs if role.startswith(STAGE))
        if not stages:
            raise EngineError(f"{path} names no stages; run `{IMPORT_COMMAND}` again")
        paths = {role: card.graph_path(path.parent, role) for role in (KEYPOINTS, *stages)}
        # One thread each: frames and pairs are shared out to threads, which is quicker than sharing each of them.
        opened = [FiniteEngine(OnnxRuntimeEngine(graph, threads=1), role) for role, graph in paths.items()]
    except EngineError as error:
        raise EngineError(f"the learned matcher cannot be used: {error}; run `{IMPORT_COMMAND}` again") from error
    return LearnedGraphs(opened[0], opened[1:])


def learned_size_bytes(cache: Path | None = None) -> int:
    """What the graphs take, usable or not; 0 without any."""
    return sum(file.stat().st_size for file in _files(cache))


def clear_learned(cache: Path | None = None) -> tuple[int, int]:
    """Remove them; returns the number of files and of bytes removed."""
    files = _files(cache)
    size = learned_size_bytes(cache)
    for file in files:
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        learned_folder(cache).rmdir()
    return len(files), size


def _files(cache: Path | None) -> list[Path]:
    return [file for file in learned_folder(cache).glob("*") if file.is_file()]

"""Which engine the nodes would take on this machine, and whether the plans in the cache are of any use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ros2_raxels.doctor.findings import Finding, Severity

if TYPE_CHECKING:
    from ros2_raxels.engine.store import Entry

_FLAVOURS = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}
_POSES = ("encode", "rays")
_NOT_BUILT = "build_policy is never"


@dataclass(frozen=True)
class CachedPlan:
    """A plan of the cache.

    Attributes:
        name: of its files.
        stale: why no engine here would use it; empty for a good one.
    """

    name: str
    stale: str


@dataclass(frozen=True)
class Engines:
    """Facts of the engines.

    Attributes:
        has_gpu: whether there are files of a GPU's driver.
        chosen: the engine for poses and why it is not TensorRT, as the nodes say it at start.
        problem: why there is none; empty where there is.
        plans: in the cache.
        folder: of the cache.
        is_writable: whether a plan could be kept there.
        learned_problem: why the learned matcher that was imported cannot be used; empty where it can, or was not.
    """

    has_gpu: bool
    chosen: str
    problem: str
    plans: tuple[CachedPlan, ...]
    folder: str
    is_writable: bool
    learned_problem: str = ""


def look_at_engines(versions: Mapping[str, str]) -> Engines:
    """Facts of this machine. Nothing is compiled for it.

    Args:
        versions: of the Python distributions that are installed.

    Raises:
        ImportError: NumPy cannot be imported.
    """
    from ros2_raxels.engine import EngineError
    from ros2_raxels.engine.choose import EngineOptions, open_engines
    from ros2_raxels.engine.device import has_device_files
    from ros2_raxels.engine.model_card import ModelCard
    from ros2_raxels.engine.store import NEVER, PlanStore
    from ros2_raxels.estimation.learned_prior import named_card

    store, said, problem = PlanStore(), list[str](), ""
    graphs: set[str] = set()
    # Before the engines are opened, which sets a bad plan aside.
    entries = store.entries()
    try:
        path = named_card("")
        card = ModelCard.read(path)
        graphs = {graph.sha256 for graph in card.graphs.values()}
        quiet = EngineOptions(build_policy=NEVER, say=said.append, warn=said.append, progress=said.append)
        open_engines(card, path.parent, _POSES, quiet)
    except (EngineError, ValueError) as error:
        problem = str(error)
    return Engines(
        has_device_files(),
        said[-1].removeprefix("engine: ") if said else "",
        problem,
        tuple(CachedPlan(entry.name, why_stale(entry, graphs, versions)) for entry in entries),
        str(store.folder),
        _is_writable(store.folder),
        _learned_problem(),
    )


def _learned_problem() -> str:
    from ros2_raxels.engine import EngineError
    from ros2_raxels.engine.learned_graphs import NotImportedError, open_learned

    try:
        open_learned()
    except NotImportedError:
        return ""
    except EngineError as error:
        return str(error)
    return ""


def why_stale(entry: Entry, graphs: set[str], versions: Mapping[str, str]) -> str:
    """Why no engine would use a plan; empty for a good one.

    Args:
        entry: of the cache.
        graphs: digests of the ONNX files that are installed; empty where they are unknown.
        versions: of the Python distributions that are installed.
    """
    if entry.reason:
        return f"set aside: {entry.reason}"
    key = entry.record.get("key")
    if not isinstance(key, dict):
        return "its sidecar is missing or damaged"
    if graphs and key.get("onnx_sha256") not in graphs:
        return "of another model"
    flavour, version = str(key.get("flavour")), key.get("version")
    installed = versions.get(_FLAVOURS.get(flavour, flavour), "")
    if installed and installed != version:
        return f"of {flavour} {version}, installed is {installed}"
    return ""


def _is_writable(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK)


def judge_engines(facts: Engines) -> list[Finding]:
    """What is wrong with them."""
    found = []
    if facts.problem:
        found.append(
            Finding(
                Severity.WARNING,
                "no engine runs the model, so that poses come from geometry alone",
                facts.problem,
                "pip install onnxruntime, or set model to none",
            )
        )
    if facts.learned_problem:
        found.append(
            Finding(
                Severity.WARNING,
                "the learned matcher in the cache is of no use, so that clips are matched without it",
                facts.learned_problem,
                "run `raxels engine import learned-matcher` again",
            )
        )
    if _NOT_BUILT in facts.chosen:
        found.append(
            Finding(
                Severity.NOTE,
                "TensorRT plans are not compiled yet: the first start of a node does it and takes minutes",
                facts.folder,
                "run `raxels engine build` once",
            )
        )
    elif facts.has_gpu and "; not TensorRT, because " in facts.chosen:
        found.append(
            Finding(
                Severity.WARNING,
                "there is a GPU, but the model runs on the CPU",
                facts.chosen,
                "install what docs/install.md names for it",
            )
        )
    stale = [plan for plan in facts.plans if plan.stale]
    if stale:
        found.append(
            Finding(
                Severity.NOTE,
                "plans in the cache are never used",
                "; ".join(f"{plan.name}: {plan.stale}" for plan in stale),
                "run `raxels engine clear`, then `raxels engine build`",
            )
        )
    if facts.has_gpu and not facts.is_writable:
        found.append(
            Finding(
                Severity.WARNING,
                "the cache of plans cannot be written to, so that they are compiled at every start",
                facts.folder,
                "change its permissions, or set XDG_CACHE_HOME to another folder",
            )
        )
    return found

"""Imports point one way, as CONTRIBUTING.md says. They are read from the source, so that nothing is run for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from ros_testing import ROOT

PACKAGE = ROOT / "ros2_raxels"


@dataclass(frozen=True)
class Layer:
    """Modules and packages, and the layers below whose modules they may import besides their own."""

    members: frozenset[str]
    below: frozenset[str]


def layer(members: str, below: str = "") -> Layer:
    return Layer(frozenset(members.split()), frozenset(below.split()))


LAYERS = {
    "geometry": layer(
        "geometry files options ros_environment memory image_codec camera_info frames pose_graph raxel_grid scale "
        "sources terminal"
    ),
    "model": layer("model", "geometry"),
    "engine": layer("engine", "geometry model"),
    "estimator": layer("evidence guidance proposals focal uncertainty flow estimator denoise", "geometry engine"),
    "tracker": layer(
        "keyframes keyframe_map keyframe_file frame_solver places loops missed placement tracker", "geometry estimator"
    ),
    "predictor": layer("sweep known_points confidence predictor consistency context", "geometry engine estimator"),
    "nodes": layer("nodes client", "geometry engine estimator tracker predictor"),
    "scenes": layer("scenes", "geometry estimator"),
    # What measures the layers below.
    "evaluation": layer(
        "evaluation load drawing track_picture views_sheet",
        "geometry engine estimator tracker predictor scenes",
    ),
    # What people call; nothing but other commands may import them.
    "commands": layer(
        "estimate track track_view views imagine evaluate", "geometry engine estimator tracker predictor evaluation"
    ),
    "engines": layer("engines engine_parity", "geometry engine estimator predictor"),
    "demo": layer("demo", "geometry estimator scenes evaluation nodes"),
    "soak": layer("soak", "geometry scenes evaluation demo nodes"),
    "figures": layer("figures", "geometry estimator predictor evaluation demo"),
    "calibrate": layer("calibrate", "geometry engine estimator predictor scenes evaluation"),
    "engine_speed": layer("engine_speed", "geometry engine evaluation"),
    "benchmark": layer("benchmark", "geometry estimator evaluation demo"),
    "render": layer("render", "geometry scenes evaluation"),
    "training": layer("training train export", "geometry engine estimator predictor scenes model evaluation"),
    "cli": layer("cli __main__", "geometry"),
}
"""Every module is in one of them, by its own name or by that of its package."""

ONLY_IN = {
    "torch": {"model", "training", "train", "flow", "engine", "engine_speed"},
    "onnx": {"training"},
    "ROS": {"nodes", "client", "demo", "soak"},
}
"""What most modules must do without, by `kind_of`."""

SERVING = ("nodes", "tracker", "predictor", "evaluation", "engines", "demo")
"""Layers that run on robots, where torch is one engine among others and training is not at all."""


@dataclass(frozen=True)
class Import:
    """A module that another names.

    Attributes:
        line: of the file.
        at_once: when the importing module is imported, not when one of its functions is called.
    """

    module: str
    line: int
    at_once: bool


def kind_of(package: str) -> str:
    """Its name, or ROS."""
    known = {"rclpy", "cv_bridge", "launch", "launch_ros", "ament_index_python"}
    return "ROS" if package in known or package.endswith(("_msgs", "_srvs", "_interfaces", "_ros")) else package


@cache
def modules() -> dict[str, Path]:
    """Files by name below the package; a package goes by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """All but those for type checkers."""
    tree = ast.parse(modules()[module].read_text())
    return tuple(found for node in tree.body for found in _imports(node, at_once=True))


def _imports(node: ast.AST, at_once: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, node.lineno, at_once) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: name modules in full"
        named = [f"{node.module}.{alias.name}" for alias in node.names]
        ours = [name.removeprefix("ros2_raxels.") for name in named]
        yield from (
            Import(full if short in modules() else str(node.module), node.lineno, at_once)
            for full, short in zip(named, ours, strict=True)
        )
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for child in node.orelse:
            yield from _imports(child, at_once)
    else:
        inside = at_once and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, inside)


def ours(module: str, at_once: bool = False) -> dict[str, int]:
    """Modules of the package that one imports, with the line; the package itself, which holds the version, is none."""
    prefix = "ros2_raxels."
    return {
        found.module.removeprefix(prefix): found.line
        for found in imports(module)
        if found.module.startswith(prefix) and (found.at_once or not at_once)
    }


def layer_of(module: str) -> str:
    first = module.partition(".")[0]
    return next((name for name, layer in LAYERS.items() if first in layer.members), "in no layer")


def reached_by_serving(at_once: bool) -> set[str]:
    reached: set[str] = set()
    todo = [module for module in modules() if layer_of(module) in SERVING]
    while todo:
        if (name := todo.pop()) not in reached:
            reached.add(name)
            todo.extend(ours(name, at_once))
    return reached


def test_every_module_is_in_one_layer() -> None:
    names = {module.partition(".")[0] for module in modules()} - {""}
    listed = [member for layer in LAYERS.values() for member in layer.members]
    assert sorted(listed) == sorted(names), "LAYERS above must name every module and package once, and no other"


def test_layers_only_know_layers_above_them_in_the_table() -> None:
    known: set[str] = set()
    for name, layer in LAYERS.items():
        assert layer.below <= known, f"{name} stands above {layer.below - known}"
        known.add(name)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_imports_itself_and_those_below(name: str) -> None:
    allowed = LAYERS[name].below | {name}
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{line} imports {other}, which is {layer_of(other)}"
        for module in modules()
        if module and layer_of(module) == name
        for other, line in ours(module).items()
        if layer_of(other) not in allowed
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    # A package's modules all import the package first, which may import some of them.
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"imports go round: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for other in ours(module, at_once=True):
                visit(other, (*path, module))
            done.add(module)

    for module in modules():
        visit(module, ())


@pytest.mark.parametrize("kind", ONLY_IN)
def test_a_third_party_package_is_only_where_it_belongs(kind: str) -> None:
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{found.line} imports {found.module}"
        for module in modules()
        for found in imports(module)
        if module.partition(".")[0] not in ONLY_IN[kind] and kind_of(found.module.partition(".")[0]) == kind
    ]
    assert wrong == []


def test_serving_never_reaches_training_code() -> None:
    assert {module for module in reached_by_serving(at_once=False) if module.startswith("training")} == set()


def test_serving_needs_neither_torch_nor_the_model_in_torch_until_it_is_asked_for() -> None:
    reached = reached_by_serving(at_once=True)
    assert {module for module in reached if module.partition(".")[0] == "model"} == set()
    named = {(module, found.module) for module in reached for found in imports(module) if found.at_once}
    assert {module for module, package in named if package.partition(".")[0] == "torch"} == set()


def test_what_is_said_of_a_violation_is_where_it_is(tmp_path: Path) -> None:
    text = "import os\nif TYPE_CHECKING:\n    import torch\n\ndef f():\n    from rclpy.node import Node\n"
    found = [known for node in ast.parse(text).body for known in _imports(node, at_once=True)]
    assert found == [Import("os", 1, True), Import("rclpy.node", 6, False)]

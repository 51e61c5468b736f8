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


FLOORS = (
    "__main__",
    "cli demo doctor soak figures manual",
    "evaluation client harness",
    "nodes training visualization factory",
    "tracking view_synthesis",
    "estimation scenes",
    "engine recordings",
    "model matching",
    "utils",
    "geometry",
)
"""The house, top floor first. Rooms are packages, or modules of the root; each imports itself and floors below it."""

ONLY_IN = {
    "torch": {"model", "training", "engine", "cli.train", "cli.engine_speed", "cli.ablations", "cli.export"},
    "onnx": {"training"},
    "ROS": {"nodes", "client", "harness", "doctor", "soak"},
}
"""What most rooms and modules must do without, by `kind_of`."""

SERVING = {"nodes", "tracking", "view_synthesis", "evaluation", "factory", "harness", "demo", "cli.engine"}
"""What runs on robots, where torch is one engine among others and training is not at all."""

OPEN_TO_SERVING = {"model.flow"}
"""Modules of `model` that serving shares with training; they import torch where they are asked for it alone."""


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


def room_of(module: str) -> str:
    return module.partition(".")[0]


def is_in(module: str, places: set[str]) -> bool:
    """Whether a module is one of these rooms or modules, or lies in one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def floor_of(room: str) -> int:
    """Counted from the top."""
    return next((k for k, rooms in enumerate(FLOORS) if room in rooms.split()), -1)


def reached_by_serving(at_once: bool) -> set[str]:
    reached: set[str] = set()
    todo = [module for module in modules() if is_in(module, SERVING)]
    while todo:
        if (name := todo.pop()) not in reached:
            reached.add(name)
            todo.extend(ours(name, at_once))
    return reached


def test_every_room_is_on_one_floor() -> None:
    listed = [room for rooms in FLOORS for room in rooms.split()]
    assert sorted(listed) == sorted({room_of(module) for module in modules()} - {""})


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in rooms.split()])
def test_a_room_imports_itself_and_floors_below(room: str) -> None:
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{line} imports {other}, which is not below {room}"
        for module in modules()
        if room_of(module) == room
        for other, line in ours(module).items()
        if room_of(other) != room and floor_of(room_of(other)) <= floor_of(room)
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
        if not is_in(module, ONLY_IN[kind]) and kind_of(found.module.partition(".")[0]) == kind
    ]
    assert wrong == []


def test_serving_never_reaches_training_code() -> None:
    assert {module for module in reached_by_serving(at_once=False) if module.startswith("training")} == set()


def test_serving_needs_neither_torch_nor_the_model_in_torch_until_it_is_asked_for() -> None:
    reached = reached_by_serving(at_once=True)
    assert {module for module in reached if is_in(module, {"model"})} == OPEN_TO_SERVING
    named = {(module, found.module) for module in reached for found in imports(module) if found.at_once}
    assert {module for module, package in named if package.partition(".")[0] == "torch"} == set()


def test_what_is_said_of_a_violation_is_where_it_is(tmp_path: Path) -> None:
    text = "import os\nif TYPE_CHECKING:\n    import torch\n\ndef f():\n    from rclpy.node import Node\n"
    found = [known for node in ast.parse(text).body for known in _imports(node, at_once=True)]
    assert found == [Import("os", 1, True), Import("rclpy.node", 6, False)]

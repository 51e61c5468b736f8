"""The tests mirror the package, and none of them sleeps and hopes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_testing import ROOT, group_of

PACKAGE, TESTS = ROOT / "ros2_raxels", ROOT / "test"

MAY_SLEEP = {"ros_testing.py", "scripted_node.py", "scripted_server.py", "scripted_views.py"}
"""The one module by which tests wait, and processes whose slowness is scripted."""

_NAMES = ast.Name | ast.Attribute | ast.Constant | ast.Tuple | ast.expr_context


def computes(source: str) -> bool:
    """Whether a module has a function or a method of its own that does more than hand out what there is."""
    functions = (f for f in ast.walk(ast.parse(source)) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(not _is_declaration(function.body) for function in functions)


def _is_declaration(body: list[ast.stmt]) -> bool:
    """Nothing, or one line that raises, or that returns names, attributes or constants."""
    lines = [line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))]
    if not lines or isinstance(lines[0], ast.Pass | ast.Raise):
        return True
    found = lines[0]
    return isinstance(found, ast.Return) and all(
        isinstance(part, _NAMES) for part in ast.walk(found.value or ast.Constant(None))
    )


def name_of_test(module: Path) -> str:
    """Of the test of a module, without the suffix: ``test_main`` for ``__main__``."""
    return f"test_{module.stem.strip('_')}"


def modules() -> list[Path]:
    """All of the package, below it; a package's own file is none."""
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def has_test(module: Path) -> bool:
    folder, name = TESTS / module.parent, name_of_test(module)
    return (folder / f"{name}.py").is_file() or any(folder.glob(f"{name}_*.py"))


def is_of_a_module(test: Path) -> bool:
    """Whether a test, below test/, is named after a module at the same place, perhaps with an aspect behind."""
    names = {name_of_test(module) for module in modules() if module.parent == test.parent}
    return any(test.stem == name or test.stem.startswith(f"{name}_") for name in names)


def sleeps(source: str) -> Iterator[int]:
    """Lines that call a ``sleep``, of whatever module and under whatever name it was imported."""
    tree = ast.parse(source)
    imported = (alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names)
    names = {alias.asname or alias.name for alias in imported if alias.name == "sleep"}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            function = call.func
            is_plain = isinstance(function, ast.Name) and function.id in names
            if is_plain or (isinstance(function, ast.Attribute) and function.attr == "sleep"):
                yield call.lineno


def test_every_module_that_computes_has_a_test_at_the_same_place() -> None:
    missing = [
        f"ros2_raxels/{module} has no test/{module.parent / name_of_test(module)}.py"
        for module in modules()
        if computes((PACKAGE / module).read_text()) and not has_test(module)
    ]
    assert not missing, "\n" + "\n".join(missing)


def test_every_test_in_a_folder_is_named_after_a_module_at_the_same_place() -> None:
    below = sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py") if path.parent != TESTS)
    stray = [f"test/{test} names no module of ros2_raxels/{test.parent}" for test in below if not is_of_a_module(test)]
    assert not stray, "\n" + "\n".join(stray)


def test_tests_wait_for_conditions_and_never_sleep() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} sleeps; use wait_until, paced or be_slow of ros_testing"
        for path in sorted(TESTS.rglob("*.py"))
        if path.name not in MAY_SLEEP
        for line in sleeps(path.read_text())
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("X = 3\n\nclass A:\n    x: int", False),
        ("class A:\n    def f(self):\n        '''Says it.'''\n        return self.x, self.y.z, 3", False),
        (
            "class A:\n    def f(self):\n        '''To be written.'''\n\n    def g(self):\n        raise ValueError",
            False,
        ),
        ("def f(x):\n    return x + 1", True),
        ("class A:\n    async def f(self):\n        x = 3\n        return x", True),
        ("def f():\n    return g()", True),
    ],
)
def test_what_hands_out_what_there_is_does_not_compute(source: str, expected: bool) -> None:
    assert computes(source) == expected


def test_a_sleep_is_found_under_any_name() -> None:
    source = "import time as t\nfrom time import sleep as nap, monotonic\nt.sleep(1)\nnap(2)\nmonotonic()\nsleep(3)\n"
    assert list(sleeps(source)) == [3, 4]


def test_groups_with_slow_tests_run_before_all_others(request: pytest.FixtureRequest) -> None:
    items = request.session.items
    slow = {group_of(item) for item in items if item.get_closest_marker("slow")}
    order = [group_of(item) in slow for item in items]
    assert order == sorted(order, reverse=True)

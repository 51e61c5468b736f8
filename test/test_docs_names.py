"""What README and docs name is there: files, modules, executables, launch arguments, targets, parameters, topics."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from ros_testing import ROOT

from ros2_raxels.nodes.parameter_yaml import TABLES

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "QUALITY_DECLARATION.md", "engines/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

LOOKED_FOR_IN = ("", "docs", "docs/measured", "ros2_raxels", "test", "config", "config/recipes", "launch", "engines")
"""Folders below which pages name files."""

OURS = re.compile(r"(?:[\w-]+/)+[\w.-]+\.(?:py|md|yaml|json|xml|rviz|toml|rst|sh|txt|msg|srv|action|safetensors|cfg)")
"""A path of several parts; single names may be of the user's files."""

USERS = ("mine/", "my_", "out/", "data/", "images/", "sequences/", "intrinsic/", "peer/", "venv/", "cli/NAME")
"""Beginnings of paths that stand for files of the user."""


def spans(page: Path) -> list[str]:
    """What stands between backticks, outside of blocks."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def lines(page: Path) -> Iterator[str]:
    """Of shell blocks, joined where they go on, and spans."""
    for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        yield from (re.sub(r"\s+#.*$", "", line) for line in block.replace("\\\n", " ").splitlines())
    yield from spans(page)


def is_there(name: str) -> bool:
    return any((ROOT / folder / name).exists() for folder in LOOKED_FOR_IN)


@each_page
def test_files_that_are_named_are_there(page: Path):
    named = [span.split("::")[0] for span in spans(page)]
    named = [name for name in named if OURS.fullmatch(name) and not name.startswith(USERS)]
    assert [name for name in named if not is_there(name)] == []


@each_page
def test_modules_that_are_to_be_run_are_there(page: Path):
    found = [match[1] for line in lines(page) for match in re.finditer(r"-m (ros2_raxels[\w.]*)", line)]
    assert [name for name in found if importlib.util.find_spec(name) is None] == []


@cache
def executables() -> set[str]:
    return set(re.findall(r'"(\w+) = ros2_raxels', (ROOT / "setup.py").read_text()))


@each_page
def test_executables_are_those_that_are_installed(page: Path):
    found = [match[1] for line in lines(page) for match in re.finditer(r"ros2 run ros2_raxels (\w+)", line)]
    assert [name for name in found if name not in executables()] == []


@cache
def launch_arguments(name: str) -> set[str]:
    """Keys of the tables of arguments in a launch file."""
    tree = ast.parse((ROOT / "launch" / name).read_text())
    tables = (node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict))
    return {key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)}


@each_page
def test_launch_files_and_their_arguments_are_there(page: Path):
    wrong = []
    for line in lines(page):
        for file, rest in re.findall(r"ros2 launch ros2_raxels (\S+)(.*)", line):
            given = re.findall(r"(\w+):=", rest)
            wrong += [f"{file} {name}:=" for name in given if name not in launch_arguments(file)]
    assert wrong == []


@each_page
def test_targets_of_make_are_there(page: Path):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = [match[1] for line in lines(page) if (match := re.match(r"make ([a-z][\w-]*)", line.strip()))]
    assert [name for name in found if name not in targets] == []


@each_page
def test_parameters_that_are_named_exist(page: Path):
    known = {row.name for table in TABLES.values() for row in table}
    groups = {name.split(".")[0] for name in known if "." in name}
    found = [span.split(":")[0] for span in spans(page)]
    dotted = [name for name in found if re.fullmatch(r"[a-z_]+\.[a-z_]+", name) and name.split(".")[0] in groups]
    # Modules and files of ours look the same.
    dotted = [name for name in dotted if not name.endswith((".py", ".md", ".json", ".yaml", ".txt"))]
    assert [name for name in dotted if name not in known] == []


@each_page
def test_values_of_parameters_are_allowed(page: Path):
    rows = {row.name: row for table in TABLES.values() for row in table}
    wrong = []
    for span in spans(page):
        match = re.fullmatch(r"([a-z_.]+): \"?([a-z_0-9]+)\"?", span)
        row = rows.get(match[1]) if match else None
        if match and row is not None and row.choices:
            wrong += [refusal] if (refusal := row.refusal(match[2])) else []
    assert wrong == []


@cache
def offered() -> set[str]:
    """Topics, services and actions in the tables of docs/interface.md, which a test compares with running nodes."""
    page = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8")
    tables = page.split("## Launch files")[0]
    rows = [line for line in tables.splitlines() if re.match(r"\| (in|out|service|action) \|", line)]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[2])}


@each_page
def test_topics_services_and_actions_are_those_that_nodes_offer(page: Path):
    """Those of the cameras left and right of a rig are as those of a single one."""
    assert len(offered()) > 25
    wrong = []
    for span in spans(page):
        for node, name in re.findall(r"^(~|/?raxels_pose|/?raxels_views)/(?:left/|right/)?(\w[\w/]*)$", span):
            is_known = f"~/{name}" in offered() or f"{node}/{name}".lstrip("/") in offered()
            wrong += [] if is_known else [span]
    assert wrong == []


def test_wrong_names_are_noticed(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "`tracking/no_such.py`, `ros2 run ros2_raxels raxels_pose`\n```sh\nmake \\\n  nothing # of it\n```\n"
    )
    assert spans(page) == ["tracking/no_such.py", "ros2 run ros2_raxels raxels_pose"]
    assert next(iter(lines(page))).split() == ["make", "nothing"]
    for check in (test_files_that_are_named_are_there, test_executables_are_those_that_are_installed):
        with pytest.raises(AssertionError):
            check(page)

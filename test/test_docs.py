"""README and docs: what they link to is there, commands that they quote parse, words that they quote are said."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ros2_raxels.cli import main
from ros2_raxels.nodes.pose.parameters import POSE_NODE
from ros2_raxels.nodes.views.parameters import VIEWS_NODE

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "QUALITY_DECLARATION.md",
    ROOT / "engines" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
TUNING, RECIPES = ROOT / "docs" / "tuning.md", ROOT / "docs" / "recipes.md"
DOCTOR = ROOT / "docs" / "doctor.md"
NEEDS_TORCH = ("train", "export")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@each_page
def test_everything_that_is_linked_is_there(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        assert ROOT in path.parents, f"{page.name} links to {target}, which is not part of the checkout"
        assert not anchor or anchor in anchors(path), f"{page.name} links to {target}"


@each_page
def test_every_picture_is_small_and_shown(page: Path):
    for target in re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", page.read_text()):
        most = 2_000_000 if target.endswith(".webp") else 300_000
        assert (page.parent / target).stat().st_size <= most, f"{page.name} shows {target}"


def paths_in(value: object) -> list[str]:
    """Absolute ones in all the texts of a record."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [path for item in value for path in paths_in(item)]
    return re.findall(r"(?:^|(?<=[\s=]))/\w\S*", value) if isinstance(value, str) else []


def test_absolute_paths_are_found_in_records():
    record = {"command": "raxels evaluate /a/b --out=/c", "data": [{"root": "/d", "unit": "m/s", "of": "../shared/e"}]}
    assert paths_in(record) == ["/a/b", "/c", "/d"]


@pytest.mark.parametrize("record", sorted((ROOT / "docs" / "measured").glob("*.json")), ids=lambda path: path.name)
def test_a_measured_record_names_no_place_on_the_machine_that_made_it(record: Path):
    found = paths_in(json.loads(record.read_text(encoding="utf-8")))
    # Topics are no files.
    assert [path for path in found if not path.startswith(("/soak/", "/diagnostics"))] == []


def test_no_picture_is_left_over():
    shown = "".join(page.read_text() for page in PAGES)
    pictures = [path for kind in ("png", "jpg", "webp") for path in (ROOT / "docs").rglob(f"*.{kind}")]
    assert pictures
    assert [path.name for path in pictures if path.name not in shown] == []


# ----------------------------------------------------------------------------------------------------------- commands


def quoted_commands(page: Path) -> Iterator[list[str]]:
    """Arguments of every quoted ``raxels COMMAND ...``, in shell blocks and between backticks."""
    text = page.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    for line in lines:
        found = re.match(r"(?:\.venv/bin/)?raxels ([a-z].*)", line.strip())
        if found and found[1].split()[0] in main._COMMANDS:
            yield shlex.split(re.sub(r"\s[|&].*$", "", found[1]), comments=True)


def filled(arguments: list[str]) -> list[str]:
    """Without what only shows the form of a command: `[X]`, `A|B` and `...`."""
    plain = [word.split("|")[0] for word in arguments if not word.startswith("[")]
    return [word.replace("SET,...", "SET").removesuffix("...") or "X" for word in plain]


def parse(arguments: list[str]) -> None:
    parser = main._parser(arguments[0])
    try:
        parser.parse_args(arguments)
    except SystemExit as stop:
        pytest.fail(f"raxels {shlex.join(arguments)}: exit status {stop.code}")


def is_complete(arguments: list[str]) -> bool:
    """Whether more than a command's name is quoted, or nothing more is needed."""
    return len(arguments) > 1


@each_page
def test_every_quoted_command_parses(page: Path, capsys: pytest.CaptureFixture[str]):
    for arguments in map(filled, quoted_commands(page)):
        if arguments[0] in NEEDS_TORCH:
            pytest.importorskip("torch")
        if is_complete(arguments):
            parse(arguments)
    capsys.readouterr()


def test_commands_are_found_and_a_wrong_one_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "page.md"
    page.write_text(
        "`raxels track BAG --out x.tum`\n```sh\n.venv/bin/raxels views --tasks t.json \\\n  --oot DIR # no\n```\n"
    )
    shell, prose = quoted_commands(page)
    assert shell == ["views", "--tasks", "t.json", "--oot", "DIR"]
    assert prose == ["track", "BAG", "--out", "x.tum"]
    parse(prose)
    with pytest.raises(pytest.fail.Exception, match="exit status 2"):
        parse(shell)
    assert "--out" in capsys.readouterr().err


def test_the_page_of_commands_names_every_one():
    text = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in main._COMMANDS if f"raxels {name}" not in text] == []


# -------------------------------------------------------------------------------------------------------------- words


@cache
def said() -> list[str]:
    """All texts of the code, with … for what is put in."""
    texts = []
    for path in (ROOT / "ros2_raxels").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_words_that_are_quoted_are_said_by_the_code():
    """A line may be put together from several texts; each of its pieces between values is one of somebody's."""
    quoted = re.findall(r"^```text\n(.*?)^```$", TUNING.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in quoted for line in block.splitlines()]
    assert len(lines) > 20
    for line in lines:
        for piece in filter(None, (p.strip(" ,;:()") for p in line.split("…"))):
            assert any(piece in text for text in said()), f"tuning.md: {piece!r} of {line!r}"


def findings_of_the_doctor() -> list[str]:
    """What each of its findings says, with … for what is put in."""
    found = []
    for path in sorted((ROOT / "ros2_raxels" / "doctor").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding" and len(node.args) > 1:
                what = node.args[1]
                parts = what.values if isinstance(what, ast.JoinedStr) else [what]
                found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in parts))
    return found


def test_every_finding_of_the_doctor_is_explained():
    rows = re.findall(r"^\| (\w[^|]*) \| (.+?) \| (.+?) \| (.+?) \|$", DOCTOR.read_text(), re.MULTILINE)
    explained = {what for _, what, _, _ in rows}
    said_by_it = {what for what in findings_of_the_doctor() if what.strip("…")}
    assert len(said_by_it) > 50
    assert sorted(said_by_it - explained) == []
    assert sorted(explained - said_by_it - {"what it says", "Python package … cannot be imported by …"}) == []


def test_diagnostics_that_are_quoted_exist():
    names = set(re.findall(r'"(raxels_\w+): (\w+)"', TUNING.read_text() + RECIPES.read_text()))
    assert {name for _, name in names} >= {"input", "tracking", "tf", "context"}
    sources = {POSE_NODE: "pose/pose_node.py", VIEWS_NODE: "views/view_server.py"}
    for node, name in names:
        text = (ROOT / "ros2_raxels" / "nodes" / sources[node]).read_text()
        assert f'Health("{name}"' in text, f"{node}: {name}"


def test_the_tables_of_recordings_name_tests_that_exist():
    page = ROOT / "docs" / "recordings.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    assert len(rows) > 35
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            source = (ROOT / "test" / file).read_text(encoding="utf-8")
            assert re.search(rf"^(def|class) {test}\b", source, re.MULTILINE), f"{file} has no {test}"

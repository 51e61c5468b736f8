"""Messages, read from source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ros2_raxels.manual.messages import Message, messages, raised, text_of

SOURCE = '''"""A docstring of several words."""

KEYS = {"no message here at all": "but this is one"}


def check(path, size, report):
    """Another docstring of words."""
    parser.add_argument("--out", help="where it is written to")
    if size < 0:
        raise FileError(f"{path} is {size} px wide; give a positive size")
    words = f"no image for {size:.1f} s: {why('nobody publishes any images')}"
    report(words + "; start the camera")
    report("short words")
    return "left out, as " + path
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "a.py").write_text(SOURCE)
    (tmp_path / "nodes" / "b.py").write_text('TEXT = "but this is one"\n')
    return tmp_path


def test_every_text_that_can_be_said_is_found_with_its_place(package: Path):
    found = messages(package, "nodes")
    assert [(message.text, message.module) for message in found] == [
        ("but this is one", "nodes/b.py"),
        ("… is … px wide; give a positive size", "nodes/a.py"),
        ("no image for … s: …", "nodes/a.py"),
        ("nobody publishes any images", "nodes/a.py"),
        ("…; start the camera", "nodes/a.py"),
        ("left out, as …", "nodes/a.py"),
    ]
    assert found[1].line == 10


def test_of_rooms_that_write_reports_only_what_is_raised_or_said_counts(package: Path):
    said = [message.text for message in messages(package, "nodes/a.py", said_only=True)]
    assert said == ["… is … px wide; give a positive size", "…; start the camera"]


def test_errors_are_found_by_their_names(package: Path):
    assert raised(package, "nodes", frozenset({"FileError"})) == [
        Message("… is … px wide; give a positive size", "nodes/a.py", 10)
    ]
    assert raised(package, "nodes/a.py", frozenset({"SourceError"})) == []


@pytest.mark.parametrize(
    ("source", "text"),
    [("'a b'", "a b"), ("f'a {b} c'", "a … c"), ("'a ' + b", "a …"), ("a + b", None), ("3", None), ("b + ' a'", "… a")],
)
def test_what_is_put_in_is_shown_as_an_ellipsis(source: str, text: str | None):
    assert text_of(ast.parse(source, mode="eval").body) == text


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("x = … is wrong; correct it", "correct it"),
        ("no image; none at all; do this", "do this"),
        ("…; waiting for motion", ""),
        ("no publisher on …; …", ""),
        ("nothing to do", ""),
    ],
)
def test_the_remedy_is_what_follows_the_last_semicolon(text: str, remedy: str):
    assert Message(text, "a.py", 1).remedy == remedy

"""The reference of messages holds all that nodes can say, with meaning and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from ros_testing import ROOT

from ros2_raxels.manual import diagnostics_parts
from ros2_raxels.manual.made import MadeError
from ros2_raxels.manual.messages import messages, raised

COMMAND_ROOMS = (
    *(room for rooms in diagnostics_parts.REPORTING.values() for room in rooms),
    *(room for rooms in diagnostics_parts.COMMANDS.values() for room in rooms),
    "client.py",
)
PACKAGE, WORDS = ROOT / "ros2_raxels", ROOT / "docs" / "meanings.yaml"


def test_every_message_of_the_nodes_has_a_meaning_and_a_remedy():
    without, idle = diagnostics_parts.lacking(PACKAGE, WORDS)
    assert without == [], "add them to docs/meanings.yaml"
    assert idle == [], "remove them from docs/meanings.yaml"


def test_every_message_of_the_nodes_is_in_one_section():
    sections = diagnostics_parts.of_nodes(PACKAGE)
    listed = [message.text for section in sections.values() for message in section]
    said = {message.text for room in ("nodes", "tracking", "client.py") for message in messages(PACKAGE, room)}
    assert len(said) > 200
    assert len(listed) == len(set(listed))
    assert said - set(listed) <= {m.text for m in messages(PACKAGE, "nodes/parameter_yaml.py")}


def test_every_module_that_a_section_names_is_there():
    places = [
        place for table in (diagnostics_parts.NODES, diagnostics_parts.COMMANDS) for p in table.values() for place in p
    ]
    assert [place for place in places if not (PACKAGE / place).exists()] == []


USER_ERRORS = frozenset(
    {
        "ArgumentTypeError",
        "CalibrationError",
        "CameraInfoError",
        "FileError",
        "ImageError",
        "RigFileError",
        "SourceError",
    }
    | {"ViewClientError"}
)


def test_every_error_of_the_commands_says_what_to_do():
    """After a semicolon, or by what must be; one that hands on another's words, which end it, leaves that to them."""
    listed = [m for room in COMMAND_ROOMS for m in raised(PACKAGE, room, USER_ERRORS)]
    assert len(listed) > 200
    remedies = ("; ", " must ", ", or give ", ". Lower ")
    silent = [m for m in listed if not (any(words in m.text for words in remedies) or m.text.endswith("…"))]
    assert [f"{m.module}:{m.line}: {m.text}" for m in silent] == []


def small_package(folder: Path) -> Path:
    (folder / "nodes").mkdir()
    (folder / "tracking").mkdir()
    (folder / "nodes" / "a.py").write_text('A = "the first is *bold*; do this"\nB = "the second of them"\n')
    return folder


def test_messages_without_words_and_words_without_messages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package, words = small_package(tmp_path), tmp_path / "words.yaml"
    monkeypatch.setattr(diagnostics_parts, "NODES", {"all": ("nodes", "tracking")})
    words.write_text('"the first is *bold*; do this": {means: it is}\n"the third of them": {means: no, do: no}\n')
    assert diagnostics_parts.lacking(package, words) == (
        ["nodes/a.py:2: the second of them"],
        ["the third of them"],
    )
    made = diagnostics_parts.parts(package, words)["messages of nodes: all"]().split("\n")
    assert made[2:] == ["| the first is \\*bold\\*; do this | it is | do this |", "| the second of them |  |  |"]


def test_words_of_another_form_are_refused(tmp_path: Path):
    words = tmp_path / "words.yaml"
    words.write_text('"a message of words": [means, do]\n')
    with pytest.raises(MadeError, match=r"words\.yaml: 'a message of words' must have `means`"):
        diagnostics_parts.read_meanings(words)

"""Tables of parameters and interfaces."""

from __future__ import annotations

from pathlib import Path

from ros2_raxels.manual.interface_parts import definitions, interfaces, parameters
from ros2_raxels.nodes.common.parameters import Parameter

MESSAGE = """# How it is.
# In two lines.
#
# And a second paragraph.

# Above both.
uint32 first
uint32 second

# --- A section ------------
uint8 ON=1   # is on,
             # really
uint8 state
---
# Why not.
string reason
"""


def test_a_parameter_has_a_row_with_all_that_is_known_of_it():
    rows = [
        Parameter("tf.mode", "auto", "Which edge.", choices=("auto", "off")),
        Parameter("cameras", [""], "Names: <name>/image.", at_configure=True),
        Parameter("wait_s", 0.5, "How long.", unit="s", low=0.0, high=3.0, read_only=True),
        Parameter("loop", False, "Again."),
    ]
    assert parameters(rows).split("\n")[2:] == [
        '| `tf.mode` | `"auto"` | string, one of `auto`, `off` | at run time | Which edge. |',
        '| `cameras` | `[""]` | string array | unconfigured | Names: &lt;name>/image. |',
        "| `wait_s` | `0.5` | double, s, 0 to 3 | at start | How long. |",
        "| `loop` | `false` | bool | at run time | Again. |",
    ]


def test_a_definition_has_its_first_words_and_a_row_for_every_field(tmp_path: Path):
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "Ask.srv").write_text(MESSAGE)
    assert list(definitions(tmp_path)) == ["srv/Ask"]
    lines = interfaces(tmp_path).split("\n")
    assert lines[0] == "### `srv/Ask`"
    assert lines[2:5] == ["How it is. In two lines.", "", "And a second paragraph."]
    assert [line for line in lines if line.startswith(("**", "| `"))] == [
        "**Request**",
        "| `uint32 first` | Above both. |",
        "| `uint32 second` | Above both. |",
        "| `uint8 ON=1` | is on, really |",
        "| `uint8 state` |  |",
        "**Response**",
        "| `string reason` | Why not. |",
    ]

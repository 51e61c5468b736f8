"""nodes.parameter_yaml: config/raxels.yaml is made from the tables, can be loaded, and explains every parameter."""

from __future__ import annotations

import re

import pytest
import yaml
from ros_testing import ROOT

pytest.importorskip("rclpy")

from ros2_raxels.nodes.common.parameters import Parameter
from ros2_raxels.nodes.parameter_yaml import TABLES, render_yaml

YAML = ROOT / "config" / "raxels.yaml"


def test_the_file_is_generated_from_the_tables():
    assert YAML.read_text() == render_yaml(), "run: python -m ros2_raxels.nodes.parameter_yaml > config/raxels.yaml"


def test_it_holds_every_name_with_its_default_and_type():
    loaded = yaml.safe_load(YAML.read_text())
    assert set(loaded) == {f"/**/{node}" for node in TABLES}
    for node, table in TABLES.items():
        values = loaded[f"/**/{node}"]["ros__parameters"]
        assert values == {row.name: row.default for row in table}
        assert [type(values[row.name]) for row in table] == [type(row.default) for row in table]


def test_above_each_value_are_its_meaning_and_what_is_allowed():
    meaning = "How long a goal waits: " + "as long as it takes, or longer, " * 4 + "or not at all."
    row = Parameter("wait_s", 1.5, meaning, unit="s", low=0.0, high=60.0, at_configure=True)
    *comments, value = render_yaml({"robot": (row,)}).split("ros__parameters:\n")[1].strip().splitlines()
    assert value == "    wait_s: 1.5"
    assert max(map(len, comments)) <= 4 + 2 + 100
    words = " ".join(re.sub(r"^ *# ", "", line) for line in comments)
    assert words == f"{meaning} [double; unit s; 0 to 60; default 1.5; may be set while unconfigured]"


@pytest.mark.parametrize("text", ["", "on", "1.5", 'a "quoted" word', "#", "a: b", "~"])
def test_a_string_is_loaded_as_a_string_whatever_it_looks_like(text: str):
    loaded = yaml.safe_load(render_yaml({"robot": (Parameter("name", text, "Any text."),)}))
    assert loaded["/**/robot"]["ros__parameters"] == {"name": text}

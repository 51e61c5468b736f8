"""``config/raxels.yaml``, which is the manual of all parameters: ``python -m ros2_raxels.nodes.parameter_yaml``."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from ros2_raxels.nodes.camera_parameters import CAMERA_NODE, CAMERA_TABLE
from ros2_raxels.nodes.common.parameters import Parameter, ParameterValue, Table
from ros2_raxels.nodes.pose.parameters import POSE_NODE, POSE_TABLE
from ros2_raxels.nodes.views.parameters import VIEWS_NODE, VIEWS_TABLE

TABLES: Mapping[str, Table] = {POSE_NODE: POSE_TABLE, VIEWS_NODE: VIEWS_TABLE, CAMERA_NODE: CAMERA_TABLE}


def render_yaml(tables: Mapping[str, Table] = TABLES) -> str:
    """The text of ``config/raxels.yaml``: every parameter with its default, and all that a user must know of it."""
    lines = [
        "# All parameters of all nodes, with their defaults.",
        "# Made by: python -m ros2_raxels.nodes.parameter_yaml > config/raxels.yaml",
    ]
    for node_name, table in tables.items():
        lines += ["", f"/**/{node_name}:", "  ros__parameters:"]
        for parameter in table:
            lines += _yaml_entry(parameter)
    return "\n".join(lines) + "\n"


def _yaml_entry(parameter: Parameter) -> list[str]:
    facts = [parameter.type_name]
    facts += [f"unit {parameter.unit}"] if parameter.unit else []
    facts += [parameter.constraint] if parameter.constraint else []
    facts += [f"default {_yaml_value(parameter.default)}"]
    facts += [parameter.settable]
    comment = _wrap(parameter.meaning) + _wrap(f"[{'; '.join(facts)}]")
    return ["", *(f"    # {line}" for line in comment), f"    {parameter.name}: {_yaml_value(parameter.default)}"]


def _wrap(text: str, width: int = 100) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _yaml_value(value: ParameterValue) -> str:
    style = '"' if isinstance(value, (str, list)) else None
    return yaml.safe_dump(value, default_style=style, default_flow_style=True).splitlines()[0]


if __name__ == "__main__":
    print(render_yaml(), end="")

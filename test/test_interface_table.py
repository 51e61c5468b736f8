"""The table of README's "Interface of raxels_pose" against what a running node offers."""

from __future__ import annotations

import re

import pytest
from ros_testing import ROOT, START_S, Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

pytestmark = pytest.mark.ros

NODE = "raxels_pose"
OF_EVERY_NODE = ("/rosout", "/parameter_events", f"/{NODE}/transition_event", "/clock")
NOT_IN_THIS_RUN = {"/image/compressed"}


def table() -> dict[str, dict[str, str]]:
    """Kind (in, out, service) to full name to type; a type that the table only hints at is empty."""
    section = (ROOT / "README.md").read_text().split(f"### Interface of `{NODE}`")[1].split("\n\n")[1]
    found: dict[str, dict[str, str]] = {}
    for line in section.splitlines()[2:]:
        kind, names, types = (cell.strip() for cell in line.strip("|").split("|")[:3])
        listed = re.findall(r"`([^`]+)`", names)
        told = re.findall(r"`([^`]+)`", types)
        told = told if len(told) == len(listed) and "..." not in types else [""] * len(listed)
        for name, of_type in zip(listed, told, strict=True):
            full = re.sub(r"^~", f"/{NODE}", name)
            found.setdefault(kind, {})[full if full.startswith("/") else f"/{full}"] = of_type
    return found


def short(offered: list[tuple[str, list[str]]]) -> dict[str, str]:
    return {name: re.sub(r"/(msg|srv)/", "/", kinds[0]) for name, kinds in offered if name not in OF_EVERY_NODE}


def offered(probe: Probe) -> dict[str, dict[str, str]]:
    """The same of the running node, as far as it has been discovered."""
    ask = probe.node
    if NODE not in ask.get_node_names():
        return {"in": {}, "out": {}, "service": {}}
    return {
        "in": short(ask.get_subscriber_names_and_types_by_node(NODE, "/")),
        "out": short(ask.get_publisher_names_and_types_by_node(NODE, "/")),
        "service": short(ask.get_service_names_and_types_by_node(NODE, "/")),
    }


def test_the_table_is_what_the_node_offers(probe: Probe, spawn: Spawn):
    spawn("scripted_node.py")
    told = table()
    assert set(told) == {"in", "out", "service"}

    def absent() -> list[str]:
        found = offered(probe)
        return [f"{kind} {name}" for kind in told for name in set(told[kind]) - set(found[kind]) - NOT_IN_THIS_RUN]

    wait_until(lambda: not absent(), START_S, "all that README tells of")
    found = offered(probe)
    for kind, names in told.items():
        for name, of_type in names.items():
            if of_type.count("/") == 1 and name not in NOT_IN_THIS_RUN:
                assert found[kind][name] == of_type, name
    # What every node has, and how TF is read, is no news.
    assert set(found["out"]) <= set(told["out"])
    assert set(found["in"]) - {"/tf", "/tf_static"} <= set(told["in"])

"""The tables of docs/interface.md against what running nodes offer."""

from __future__ import annotations

import re

import pytest
from ros_testing import ROOT, START_S, Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

pytestmark = pytest.mark.ros

NODES = ("raxels_pose", "raxels_views")
OF_EVERY_NODE = ("/rosout", "/parameter_events", "/clock")
NOT_IN_THIS_RUN = {"/image/compressed"}


def full(name: str, node: str) -> str:
    name = re.sub(r"^~", f"/{node}", name)
    return name if name.startswith("/") else f"/{name}"


def table(node: str) -> dict[str, dict[str, str]]:
    """Kind (in, out, service, action) to full name to type; a type that the table only hints at is empty."""
    page = (ROOT / "docs" / "interface.md").read_text()
    section = page.split(f"### Interface of `{node}`")[1].split("\n\n")[1]
    found: dict[str, dict[str, str]] = {"in": {}, "out": {}, "service": {}, "action": {}}
    for line in section.splitlines()[2:]:
        kind, names, types = (cell.strip() for cell in line.strip("|").split("|")[:3])
        listed = re.findall(r"`([^`]+)`", names)
        told = re.findall(r"`([^`]+)`", types)
        told = told if len(told) == len(listed) and "..." not in types else [""] * len(listed)
        found[kind] |= {full(name, node): of_type for name, of_type in zip(listed, told, strict=True)}
    return found


def short(offered: list[tuple[str, list[str]]], node: str) -> dict[str, str]:
    """Without what every node has, and without the parts of actions."""
    ours = {name: re.sub(r"/(msg|srv|action)/", "/", kinds[0]) for name, kinds in offered if "/_action/" not in name}
    return {name: kind for name, kind in ours.items() if name not in (*OF_EVERY_NODE, f"/{node}/transition_event")}


def offered(probe: Probe, node: str) -> dict[str, dict[str, str]]:
    """The same of the running node, as far as it has been discovered."""
    from rclpy.action import get_action_server_names_and_types_by_node as actions_of

    ask = probe.node
    if node not in ask.get_node_names():
        return {"in": {}, "out": {}, "service": {}, "action": {}}
    return {
        "in": short(ask.get_subscriber_names_and_types_by_node(node, "/"), node),
        "out": short(ask.get_publisher_names_and_types_by_node(node, "/"), node),
        "service": short(ask.get_service_names_and_types_by_node(node, "/"), node),
        "action": short(actions_of(ask, node, "/"), node),
    }


@pytest.fixture(scope="module", autouse=True)
def both_nodes(module_spawn: Spawn) -> None:
    # In one process both would share the subscriptions of one.
    module_spawn("scripted_node.py")
    module_spawn("scripted_views.py")


@pytest.mark.parametrize("node", NODES)
def test_the_table_is_what_the_node_offers(probe: Probe, node: str):
    told = table(node)
    assert told["in"]
    assert told["service"]

    def absent() -> list[str]:
        found = offered(probe, node)
        return [f"{kind} {name}" for kind in told for name in set(told[kind]) - set(found[kind]) - NOT_IN_THIS_RUN]

    wait_until(lambda: not absent(), START_S, f"all that the page tells of {node}")
    found = offered(probe, node)
    for kind, names in told.items():
        for name, of_type in names.items():
            if of_type.count("/") == 1 and name not in NOT_IN_THIS_RUN:
                assert found[kind][name] == of_type, name
    # How TF is read, directly or for others' edges, is no news.
    assert set(found["out"]) <= set(told["out"])
    assert set(found["in"]) - {"/tf", "/tf_static"} <= set(told["in"])
    assert found["action"] == told["action"]

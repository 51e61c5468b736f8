"""What the nodes open to the network is what the policy lists, and nothing that comes from it is run or unpickled."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_testing import ROOT, START_S, Probe, Spawn, documented_tests, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

POLICY = ROOT / "config" / "sros2_policy.xml"
RUNS_CODE = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib"}


def granted(node: str) -> dict[str, set[str]]:
    """Full names that the policy allows a node, by what it does with them."""
    found: dict[str, set[str]] = {}
    for rule in ET.parse(POLICY).getroot().findall(f".//profile[@node='{node}']/*"):
        names = {str(entry.text).replace("~/", f"/{node}/") for entry in rule}
        for how, value in rule.attrib.items():
            assert value == "ALLOW"
            found.setdefault(how, set()).update(names)
    return found


def used(probe: Probe, node: str) -> dict[str, set[str]]:
    """Full names that a running node uses; those of an action stand in the policy as one."""
    ros, asked = probe.node, {"publish": "publisher", "subscribe": "subscriber", "reply": "service"}
    names = {
        how: {name for name, _ in getattr(ros, f"get_{what}_names_and_types_by_node")(node, "/")}
        for how, what in asked.items()
    }
    actions = {name.partition("/_action/")[0] for found in names.values() for name in found if "/_action/" in name}
    plain = {how: {name for name in found if "/_action/" not in name} for how, found in names.items()}
    return {**plain, "execute": actions}


@pytest.mark.ros
@pytest.mark.parametrize("mode", ["raw", "compressed"])
@pytest.mark.parametrize(
    ("script", "node"), [("scripted_node.py", "raxels_pose"), ("scripted_views.py", "raxels_views")]
)
def test_the_policy_allows_what_a_node_uses(spawn: Spawn, probe: Probe, script: str, node: str, mode: str):
    odometry = ("-p", "scale.mode:=odom") if node == "raxels_pose" else ()
    spawn(script, "-p", f"image_transport:={mode}", "-p", "use_sim_time:=true", *odometry)
    last = {"/clock", "/image" if mode == "raw" else "/image/compressed"}
    wait_until(lambda: node in probe.node.get_node_names(), START_S, what=f"{node} on the network")
    wait_until(lambda: last <= used(probe, node)["subscribe"], START_S, what=f"subscription of {last}")
    allowed = granted(node)
    for how, names in used(probe, node).items():
        assert names <= allowed.get(how, set()), f"{how} is not in {POLICY.name}"
    assert ("/odom" in used(probe, node)["subscribe"]) == bool(odometry)


@pytest.mark.ros
def test_security_that_is_asked_for_and_cannot_be_had_ends_the_node(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "enclaves").mkdir()
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.setenv("ROS_SECURITY_STRATEGY", "Enforce")
    monkeypatch.setenv("ROS_SECURITY_KEYSTORE", str(tmp_path))
    node = spawn("scripted_node.py")
    assert node.wait() != 0
    assert "security" in node.log.lower()


def library() -> Iterator[tuple[Path, ast.AST]]:
    """Every part of the library's code."""
    for path in sorted((ROOT / "ros2_raxels").rglob("*.py")):
        for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, part


def test_nothing_is_unpickled_or_evaluated():
    for path, found in library():
        names = [alias.name for alias in found.names] if isinstance(found, ast.Import) else []
        module = found.module or "" if isinstance(found, ast.ImportFrom) else ""
        assert not RUNS_CODE & {name.partition(".")[0] for name in (*names, module)}, path
        if isinstance(found, ast.Call):
            name = ast.unparse(found.func)
            assert name not in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system"), path
            if name == "torch.load":
                # Of files whose checksum is known, to be converted once.
                assert _keyword(found, "weights_only") is True, path
            if name in ("np.load", "numpy.load"):
                assert _keyword(found, "allow_pickle") is False, path


def _keyword(call: ast.Call, name: str) -> Any:
    return next((ast.literal_eval(k.value) for k in call.keywords if k.arg == name), None)


def test_the_documents_tell_of_tests_and_files_that_exist():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert len(documented_tests(text)) >= 10
    assert "config/sros2_policy.xml" in text

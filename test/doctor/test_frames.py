"""doctor.frames: owners of TF edges, and the camera on its base."""

from __future__ import annotations

from doctor_rig import IMAGE, add_edges, edge, healthy_graph

from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.frames import judge_frames
from ros2_raxels.doctor.seen import Graph


def only(graph: Graph) -> Finding:
    (found,) = judge_frames(graph, "base_link")
    return found


def test_nothing_is_said_of_a_healthy_tree() -> None:
    assert judge_frames(healthy_graph(), "base_link") == []


def test_two_parents_of_one_child_are_named_with_their_publishers() -> None:
    graph = add_edges(healthy_graph(), edge("odom", "base_link", "wheels"), edge("map", "base_link", "amcl"))
    found = only(graph)
    assert (found.severity, found.what) == (Severity.ERROR, "TF frame base_link has 2 parents: map, odom")
    assert found.value == "map -> base_link from amcl; odom -> base_link from wheels"
    assert "tf.mode" in found.remedy


def test_two_publishers_of_one_edge_are_named() -> None:
    found = only(add_edges(healthy_graph(), edge("odom", "base_link", "wheels", "ekf")))
    assert found.what == "TF edge odom -> base_link has 2 publishers and jumps between them"
    assert found.value == "ekf, wheels"


def test_an_edge_that_is_fixed_and_moves() -> None:
    graph = healthy_graph()
    graph.refused_edges.add("TF edge base_link -> camera ignored: camera is fixed to base_link by /tf_static")
    found = only(add_edges(graph, edge("base_link", "camera", "pan_tilt")))
    assert found.what == "TF edge base_link -> camera is on /tf and on /tf_static"
    assert found.value == "pan_tilt"


def test_a_pose_that_is_none() -> None:
    graph = healthy_graph()
    graph.refused_edges.add("TF edge a -> b has a quaternion of norm 0")
    assert only(graph).value == "TF edge a -> b has a quaternion of norm 0"


def test_a_base_that_is_missing_or_not_connected() -> None:
    (missing,) = judge_frames(healthy_graph(), "base_footprint")
    assert missing.what == "TF has no frame base_footprint, so that poses are those of the camera"
    assert missing.value == "2 frames: base_link, camera"
    graph = healthy_graph()
    graph.images[IMAGE].frame = "other"
    loose = only(graph)
    assert loose.severity == Severity.WARNING
    assert loose.what == f"TF does not connect base_link with the camera of {IMAGE}: poses are those of the camera"
    assert "other" in loose.value
    assert loose.remedy.startswith("publish base_link -> other")

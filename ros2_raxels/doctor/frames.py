"""Judges TF: who owns which edge, and whether the cameras hang on the base."""

from __future__ import annotations

from collections import defaultdict

from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.seen import Edge, Graph, named
from ros2_raxels.geometry.frame_tree import FrameError, bare


def judge_frames(graph: Graph, base: str) -> list[Finding]:
    """What is wrong with TF.

    Args:
        graph: see there.
        base: frame of the robot.
    """
    edges = [*graph.edges.values()]
    found = [*_judge_parents(edges), *_judge_owners(edges), *_judge_kinds(edges)]
    found += [
        Finding(Severity.WARNING, "an edge of TF is not a pose", reason, "correct its publisher")
        for reason in sorted(graph.refused_edges)
        # Told better by the edges themselves.
        if "is fixed to" not in reason
    ]
    return [*found, *_judge_base(graph, base)]


def _judge_parents(edges: list[Edge]) -> list[Finding]:
    by_child: dict[str, dict[str, list[Edge]]] = defaultdict(lambda: defaultdict(list))
    for edge in edges:
        by_child[edge.child][edge.parent].append(edge)
    return [
        Finding(
            Severity.ERROR,
            f"TF frame {child} has {len(parents)} parents: {named(sorted(parents))}",
            "; ".join(
                f"{parent} -> {child} from {named(sorted({owner for edge in of for owner in edge.owners}))}"
                for parent, of in sorted(parents.items())
            ),
            "stop one of the publishers, set tf.mode of raxels_pose to off or to another mode, or set tf.invert",
        )
        for child, parents in by_child.items()
        if len(parents) > 1
    ]


def _judge_owners(edges: list[Edge]) -> list[Finding]:
    return [
        Finding(
            Severity.ERROR,
            f"TF edge {edge.parent} -> {edge.child} has {len(edge.publishers)} publishers and jumps between them",
            named(sorted(edge.owners)),
            "stop all but one",
        )
        for edge in edges
        if len(edge.publishers) > 1
    ]


def _judge_kinds(edges: list[Edge]) -> list[Finding]:
    static = {(edge.parent, edge.child) for edge in edges if edge.is_static}
    return [
        Finding(
            Severity.ERROR,
            f"TF edge {edge.parent} -> {edge.child} is on /tf and on /tf_static",
            named(sorted(edge.owners)),
            "publish it on one of them",
        )
        for edge in edges
        if not edge.is_static and (edge.parent, edge.child) in static
    ]


def _judge_base(graph: Graph, base: str) -> list[Finding]:
    if not graph.heard_images:
        return []
    known = graph.tree.frames
    if base not in known:
        return [
            Finding(
                Severity.NOTE,
                f"TF has no frame {base}, so that poses are those of the camera",
                f"{len(known)} frames: {', '.join(known[:6]) or 'none'}",
                "publish the camera's place on the robot (robot_state_publisher, static_transform_publisher), or set "
                "tf.base_frame",
            )
        ]
    found = []
    for image in graph.heard_images:
        try:
            graph.tree.lookup(base, bare(image.frame))
        except FrameError as error:
            found.append(
                Finding(
                    Severity.WARNING,
                    f"TF does not connect {base} with the camera of {image.topic}: poses are those of the camera",
                    str(error),
                    f"publish {base} -> {bare(image.frame) or 'the camera'} (robot_state_publisher, "
                    "static_transform_publisher)",
                )
            )
    return found

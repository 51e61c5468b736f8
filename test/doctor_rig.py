"""A graph as the doctor sees it, made up: one healthy camera on a healthy robot."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ros2_raxels.doctor.seen import Arrivals, Edge, Graph, ImageTopic, InfoTopic

NOW_NS = 1_800_000_000 * 10**9
RATE_HZ = 30.0
IMAGE, INFO, CAMERA = "/camera/image_raw", "/camera/camera_info", "usb_cam"


def arrivals(count: int = 60, late_s: float = 0.01, sent: int = 0, rate_hz: float = RATE_HZ) -> Arrivals:
    """Messages at a steady rate, their stamps so long before the clock."""
    found = Arrivals()
    for k in range(count):
        at_ns = NOW_NS + round(k * 1e9 / rate_hz)
        number = round(k * (sent - 1) / (count - 1)) if sent else k
        found.add(at_ns - round(late_s * 1e9), at_ns, k / rate_hz, b"one", number)
    return found


def camera_info(
    width: int = 640,
    height: int = 480,
    k: Sequence[float] = (500, 0, 320, 0, 500, 240, 0, 0, 1),
    d: Sequence[float] = (0.1, 0, 0, 0, 0),
    model: str = "plumb_bob",
    frame: str = "camera",
) -> Any:
    """The fields of a sensor_msgs/CameraInfo."""
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=frame),
        width=width,
        height=height,
        distortion_model=model,
        d=[*d],
        k=[*k],
        p=[*k[:3], 0, *k[3:6], 0, *k[6:], 0],
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
        binning_x=0,
        binning_y=0,
    )


def edge(parent: str, child: str, *owners: str, static: bool = False, late_s: float = 0.0) -> Edge:
    """One of TF, each owner with one publisher."""
    ids = {name.encode() for name in owners}
    return Edge(parent, child, static, {*owners}, ids, NOW_NS - round(late_s * 1e9), NOW_NS)


def healthy_graph(topic: str = IMAGE, **info: Any) -> Graph:
    """A camera of 640x480 with a camera_info beside each image, on a base that TF connects with it."""
    image = ImageTopic(
        topic,
        "sensor_msgs/msg/Image",
        (CAMERA,),
        info_topic=INFO,
        arrivals=arrivals(),
        frame="camera",
        width=640,
        height=480,
        encoding="rgb8",
        size_bytes=640 * 480 * 3,
        is_listened_to=True,
    )
    graph = Graph("rmw_fastrtps_cpp", 3.0, [f"/{CAMERA}"], topics={topic: [image.kind]}, images={topic: image})
    graph.infos[INFO] = InfoTopic(INFO, (CAMERA,), arrivals=arrivals(), newest=camera_info(**info))
    graph.tree.insert("base_link", "camera", NOW_NS, (0, 0, 0), (0, 0, 0, 1), static=True)
    add_edges(graph, edge("base_link", "camera", "robot_state_publisher", static=True))
    return graph


def add_edges(graph: Graph, *edges: Edge) -> Graph:
    """The graph, with edges of TF that were heard too."""
    graph.edges.update({(edge.parent, edge.child, edge.is_static): edge for edge in edges})
    return graph

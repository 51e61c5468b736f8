"""Parameters of the camera player."""

from __future__ import annotations

from ros2_raxels.nodes.common.parameters import Parameter, Table

CAMERA_NODE = "camera"


CAMERA_TABLE: Table = (
    Parameter(
        "source",
        "",
        "What to play: posed set, rig set, image folder, video file or rosbag2. Required.",
        read_only=True,
    ),
    Parameter(
        "camera",
        "",
        "Which camera of a rig set, or of a bag with several, to play. Empty means all: the first one on ~/image_raw, "
        "and each on ~/NAME/image_raw.",
        read_only=True,
    ),
    Parameter(
        "speed",
        1.0,
        "Playback speed relative to the stamps of the source; 2 plays twice as fast.",
        low=0.001,
        high=1000.0,
        read_only=True,
    ),
    Parameter(
        "rate",
        1.0,
        "Old name of speed, by which it is multiplied.",
        low=0.001,
        high=1000.0,
        read_only=True,
    ),
    Parameter("loop", False, "Start over at the end, until stopped.", read_only=True),
    Parameter(
        "wait_for_subscribers",
        1,
        "Hold the first frame until this many nodes listen, one of them to images; 0 plays at once.",
        low=0,
        high=100,
        read_only=True,
    ),
    Parameter(
        "wait_timeout_s",
        30.0,
        "After waiting this long for subscribers, play anyway and say so.",
        unit="s",
        low=0.0,
        high=86400.0,
        read_only=True,
    ),
    Parameter(
        "frame_id",
        "camera_optical_frame",
        "frame_id of ~/image_raw and ~/camera_info. That of ~/NAME/image_raw is NAME_optical_frame.",
        read_only=True,
    ),
    Parameter(
        "base_frame",
        "base_link",
        "Frame of the robot, from which /tf_static leads to the cameras of a rig. Empty means no /tf_static.",
        read_only=True,
    ),
    Parameter(
        "image_topic",
        "",
        "Image topic inside a bag, or those of several cameras with commas between. Empty uses the only one, or all.",
        read_only=True,
    ),
    Parameter(
        "depth_topic",
        "",
        "Topic of registered depth images inside a bag, played on ~/depth/image_raw. Folders need none.",
        read_only=True,
    ),
    Parameter(
        "limit",
        0,
        "Stop after this many frames of the source; 0 plays all.",
        unit="frames",
        low=0,
        read_only=True,
    ),
    Parameter(
        "size",
        "",
        "Size at which images are played, px, like 1280x720: the middle of each in that shape, resampled, with "
        "intrinsics to match. Empty plays them as recorded. Not for recordings with depth images.",
        read_only=True,
    ),
    Parameter(
        "max_frames",
        0,
        "Old name of limit, which outranks it.",
        unit="frames",
        low=0,
        read_only=True,
    ),
    Parameter(
        "use_source_stamps",
        False,
        "Use the stamps of the source instead of the node's clock at the time of publication.",
        read_only=True,
    ),
    Parameter(
        "reliability",
        "reliable",
        "QoS of the publishers. reliable matches every subscriber and loses no frame of a recording; best_effort "
        "behaves like most camera drivers.",
        choices=("reliable", "best_effort"),
        read_only=True,
    ),
)

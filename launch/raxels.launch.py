"""Starts raxels_pose, and raxels_views if asked, beside a camera driver that already runs.

ros2 launch ros2_raxels raxels.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info
ros2 launch ros2_raxels raxels.launch.py rig:=realsense_d435i
"""

from __future__ import annotations

import os

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from ros2_raxels.utils.rig_file import read_rig, remappings
from ros2_raxels.utils.ros_environment import ONE_BLAS_THREAD, profile_settings, shipped_file

ARGUMENTS = {
    "namespace": ("", "namespace of the node; topics given without a leading slash are in it, too"),
    "params_file": ("", "YAML with parameters; config/raxels.yaml explains them all"),
    "rig": ("", "several cameras: a file of config/rigs by its name, or the path of one; outranks params_file"),
    "image": ("image", "topic of the images (sensor_msgs/Image)"),
    "camera_info": ("camera_info", "topic of their intrinsics"),
    "odom": ("odom", "topic of the odometry of the wheels, for scale.mode auto and odom"),
    "imu": ("imu", "topic of the IMU (sensor_msgs/Imu)"),
    "views": ("false", "start the view server as well"),
    "one_process": ("false", "with views: both nodes in one process, where images come in once for both"),
    "respawn": ("false", "start a node that has ended again, after 2 s"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}
TOPICS = ("image", "camera_info", "odom", "imu")
PARAMETERS = {
    "autostart": "configure and activate the nodes; false leaves it to a manager of life cycles",
    "use_sim_time": "take the time from /clock (simulation, ros2 bag play --clock)",
}
"""Arguments that stand for parameters of all nodes, true or false; not given, params_file decides."""

_RESPAWN_DELAY_S = 2.0
"""So that a node that cannot start, which is started again as well, does not fill the log."""


def generate_launch_description() -> LaunchDescription:
    defaults = {name: default for name, (default, _) in ARGUMENTS.items()}
    defaults["params_file"] = str(shipped_file("config/raxels.yaml"))
    declared = [
        DeclareLaunchArgument(name, default_value=defaults[name], description=meaning)
        for name, (_, meaning) in ARGUMENTS.items()
    ] + [
        DeclareLaunchArgument(name, default_value="", description=f"{meaning} (default: as params_file says)")
        for name, meaning in PARAMETERS.items()
    ]
    return LaunchDescription([*declared, *node_environment(), OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    """Made when the arguments are known: those that nobody gave must not override params_file."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=bool)
        for name in PARAMETERS
        if LaunchConfiguration(name).perform(context)
    }
    is_asked = {
        name: IfCondition(LaunchConfiguration(name)).evaluate(context) for name in ("views", "one_process", "respawn")
    }
    wanted = LaunchConfiguration("rig").perform(context)
    rig = read_rig(wanted) if wanted else None
    said = {topic: LaunchConfiguration(topic).perform(context) for topic in TOPICS}
    common = {
        "package": "ros2_raxels",
        "namespace": LaunchConfiguration("namespace"),
        "remappings": [*remappings(rig, {topic: to for topic, to in said.items() if to != topic}).items()],
        "ros_arguments": ["--log-level", LaunchConfiguration("log_level")],
        "output": "screen",
        # Humble takes no substitution here.
        "respawn": is_asked["respawn"],
        "respawn_delay": _RESPAWN_DELAY_S,
    }
    file, last = LaunchConfiguration("params_file"), [given] if given else []
    of_pose = [file, *([dict(rig.parameters)] if rig else []), *last]
    if is_asked["views"] and is_asked["one_process"]:
        # A name given here would be that of both nodes.
        return [Node(executable="server", parameters=of_pose, **common)]
    nodes = [Node(executable="pose_node", name="raxels_pose", parameters=of_pose, **common)]
    if is_asked["views"]:
        of_views = [file, *([rig.of_all_nodes] if rig else []), *last]
        nodes.append(Node(executable="view_server", name="raxels_views", parameters=of_views, **common))
    return nodes


def node_environment() -> list[SetEnvironmentVariable]:
    """Room for images in shared memory, and one BLAS thread; what the user has set himself stays."""
    missing = profile_settings(os.environ)
    if ONE_BLAS_THREAD[0] not in os.environ:
        missing |= dict([ONE_BLAS_THREAD])
    return [SetEnvironmentVariable(name, value) for name, value in missing.items()]

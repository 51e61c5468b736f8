"""Plays a recording as a camera, and follows it.

ros2 launch ros2_raxels demo.launch.py source:=PATH
"""

from __future__ import annotations

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

ARGUMENTS = {
    "source": (None, "what to play: posed set, image folder, video file or rosbag2"),
    "rate": ("1.0", "speed, 1.0 is that of the recording"),
    "loop": ("false", "start again at the end"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    # The pose node comes first, because it also sets the environment for what is started after it.
    pose = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).resolve().parent / "raxels.launch.py")),
        launch_arguments={
            "image": "/camera/image_raw",
            "camera_info": "/camera/camera_info",
            "log_level": LaunchConfiguration("log_level"),
        }.items(),
    )
    camera = Node(
        package="ros2_raxels",
        executable="camera_player",
        name="camera",
        parameters=[
            {
                # Typed, because launch would make an integer of `rate:=2` and of a camera's number.
                "source": ParameterValue(LaunchConfiguration("source"), value_type=str),
                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                "loop": ParameterValue(LaunchConfiguration("loop"), value_type=bool),
            }
        ],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
    return LaunchDescription([*declared, pose, camera])

"""Parameters of raxels_pose, and what they mean together."""

from __future__ import annotations

from ros2_raxels.estimation.learned_matcher import AUTO, MATCHERS
from ros2_raxels.geometry.frame_tree import JUMP_BACK_S
from ros2_raxels.nodes.common.parameters import (
    ENGINE_ROWS,
    IMAGE_ROWS,
    METRIC_FRAMES,
    Parameter,
    ParameterError,
    Parameters,
    Table,
)
from ros2_raxels.nodes.pose.placement import TfMode, Unscaled
from ros2_raxels.tracking.metric_scale import ScaleSettings, ScaleSource
from ros2_raxels.tracking.types import LostPolicy, TrackerSettings

_TRACKER = TrackerSettings()


POSE_NODE = "raxels_pose"


POSE_TABLE: Table = (
    *IMAGE_ROWS,
    Parameter(
        "cameras",
        [""],
        "Names of the cameras of a rig, the one whose poses are answered first: each is heard on <name>/image and "
        "<name>/camera_info. Where they stand to each other comes from TF between their optical frames, or from P of a "
        "stereo pair. One empty name means one camera, on `image` and `camera_info`.",
        at_configure=True,
    ),
    Parameter(
        "rig.tolerance_s",
        0.005,
        "Images of different cameras whose stamps lie within this are of one moment.",
        unit="s",
        low=0.0,
        high=1.0,
        at_configure=True,
    ),
    Parameter(
        "rig.masks",
        [""],
        "Files like that of mask, for the cameras of a rig, each as NAME=FILE. ~/NAME/mask outranks them.",
        at_configure=True,
    ),
    Parameter(
        "allow_uncalibrated",
        False,
        "Estimate the focal length where camera_info is published but cannot be used (not calibrated, an unsupported "
        "model, nothing arrives). If false, there are no poses until it can, and the status and a diagnostic say why. "
        "Where nobody publishes camera_info, the focal length is estimated in either case.",
    ),
    Parameter(
        "camera_info_timeout_s",
        2.0,
        "How long to wait for a usable camera_info before continuing without one, with an estimated focal length, "
        "where that is allowed.",
        unit="s",
        low=0.0,
        high=3600.0,
    ),
    Parameter(
        "stall_timeout_s",
        2.0,
        "After this long without an image, a warning and an ERROR diagnostic name the silent topic and the likely "
        "reason.",
        unit="s",
        low=0.1,
        high=3600.0,
    ),
    Parameter(
        "stamp_jump_back_s",
        JUMP_BACK_S,
        "An image older than the previous one by more than this means that time has restarted (bag loop, simulation "
        "reset), and tracking is reset. A smaller step back is an image out of order, which is dropped.",
        unit="s",
        low=0.0,
        high=3600.0,
    ),
    Parameter(
        "model",
        "",
        "Model card (.json) of the denoiser. Empty uses the installed one; none runs without a denoiser, on "
        "correspondences and geometry alone.",
        at_configure=True,
    ),
    *ENGINE_ROWS,
    Parameter(
        "matcher",
        AUTO,
        "auto: places that look alike, and are not verified as a loop otherwise, are compared by learned keypoints "
        "beside the frames, if `raxels engine import learned-matcher` was run on this machine. learned: the same, and "
        "without them the node is not configured. classic: never.",
        choices=MATCHERS,
        at_configure=True,
    ),
    Parameter(
        "confidence_min",
        _TRACKER.confidence_min,
        "A frame whose confidence is below this counts as not tracked.",
        low=0.0,
        high=1.0,
        at_configure=True,
    ),
    Parameter(
        "lost.frames",
        _TRACKER.lost_frames,
        "This many untracked frames in a row make the state LOST.",
        unit="frames",
        low=1,
        high=10000,
        at_configure=True,
    ),
    Parameter(
        "lost.policy",
        _TRACKER.lost_policy.value,
        "What happens while tracking is lost. stop: no pose is published. hold: the last pose (covariance 9999) and "
        "its TF edge are repeated. reset: the pose is repeated without the edge, and after a while a new trajectory "
        "starts where the last one ended. Under all three the tracker relocalises at a known place.",
        choices=tuple(policy.value for policy in LostPolicy),
        at_configure=True,
    ),
    Parameter(
        "mask",
        "",
        "Image file of the size of the images, white where they are to be used and black where the robot sees its own "
        "parts. Empty means everywhere. ~/mask outranks it.",
        at_configure=True,
    ),
    Parameter(
        "keyframes.folder",
        "",
        "Folder of the files that ~/save_keyframes writes and ~/load_keyframes reads; requests cannot reach any "
        "other. Empty means $XDG_DATA_HOME/ros2_raxels/keyframes (~/.local/share/... if the variable is not set).",
        at_configure=True,
    ),
    Parameter(
        "scale.mode",
        "auto",
        "Where metres come from. auto: the best that is published, depth images before odometry and that before the "
        "IMU; with none of them poses have their own unit, as with none. fixed: scale.scene_depth_m. depth: "
        "sensor_msgs/Image on `depth/image`. odom: nav_msgs/Odometry on `odom`, looked up at the stamps of the images. "
        "imu: sensor_msgs/Imu on `imu`. height: scale.camera_height_m, for a camera that is fixed to a robot on flat "
        "ground and sees that ground.",
        choices=("auto", "none", "fixed", "depth", "odom", "imu", "height"),
        at_configure=True,
    ),
    Parameter(
        "depth.tolerance_s",
        0.02,
        "For scale.mode auto and depth: how far the stamps of an image and of its depth image may lie apart. Less than "
        "half of the time between two images.",
        unit="s",
        low=0.0,
        high=1.0,
    ),
    Parameter(
        "depth.wait_s",
        0.03,
        "Longest time that an image waits for its depth image, which is often sent after it; then its pose is solved "
        "without. Where depth images come less often than images, few of the others wait.",
        unit="s",
        low=0.0,
        high=1.0,
    ),
    Parameter(
        "scale.scene_depth_m",
        _TRACKER.scale.scene_depth_m,
        "For scale.mode fixed: median depth of what the camera sees where a trajectory starts.",
        unit="m",
        low=0.001,
        high=100000.0,
        at_configure=True,
    ),
    Parameter(
        "scale.camera_height_m",
        _TRACKER.scale.camera_height_m,
        "For scale.mode height: height of the camera above the ground. Up is the z axis of tf.base_frame; without "
        "that frame the camera is assumed to be level.",
        unit="m",
        low=0.001,
        high=1000.0,
        at_configure=True,
    ),
    Parameter(
        "odometry.unscaled",
        Unscaled.UNKNOWN.value,
        "What is said of lengths while poses are not in metres. unknown: the variances of positions and linear "
        "velocities in ~/odometry are 9999, so that a filter takes turns alone, and no edge to a base that stands "
        "apart from the camera is published. withhold: no ~/odometry either. publish: all in the trajectory's unit.",
        choices=tuple(each.value for each in Unscaled),
        at_configure=True,
    ),
    Parameter(
        "tf.mode",
        "auto",
        "Which edge to publish on /tf while tracking. world_to_base: tf.world_frame -> tf.base_frame (or the optical "
        "frame, if TF does not connect the two). odom_to_base and map_to_odom: as in REP-105, once the scale is "
        "known. auto: world_to_base; if the base has another parent, map_to_odom when that parent is tf.odom_frame "
        "and the scale is known, otherwise tf.world_frame hangs below the base. An edge whose child has another "
        "parent is never published; an ERROR diagnostic names both parents.",
        choices=tuple(mode.value for mode in TfMode),
    ),
    Parameter(
        "tf.level",
        True,
        "Keep z of the frame of poses up by gravity, where an IMU is heard. If false, or without an IMU, up is where z "
        "of the base pointed, or the top of the image, when the trajectory began.",
        at_configure=True,
    ),
    Parameter(
        "tf.invert",
        False,
        "Publish the edge from child to parent, for a child that must keep its own parent.",
    ),
    Parameter(
        "tf.time_offset_s",
        0.0,
        "Added to the stamp of the edge, so that it is recent enough for listeners that ask for the present.",
        unit="s",
        low=-10.0,
        high=10.0,
    ),
    Parameter(
        "tf.world_frame",
        "raxels_world",
        "Parent frame of poses, unless tf.mode says otherwise. Its origin is where the base, or without a base the "
        "camera, was at first; x forward, y left, z up (REP-103). Its unit is not the metre while the scale is "
        "unknown, so it must not be map or odom.",
        at_configure=True,
    ),
    Parameter("tf.map_frame", "map", "Parent frame for tf.mode map_to_odom.", at_configure=True),
    Parameter(
        "tf.odom_frame", "odom", "Frame of the odometry for tf.mode map_to_odom and odom_to_base.", at_configure=True
    ),
    Parameter(
        "tf.base_frame",
        "base_link",
        "The robot's base: child frame of poses if TF connects it with the camera at the stamp of the image. If "
        "empty, poses are always those of the optical frame.",
        at_configure=True,
    ),
    Parameter(
        "tf.child_frame",
        "",
        "The camera's optical frame. Empty uses the frame_id of the images.",
        at_configure=True,
    ),
    Parameter(
        "path.max_poses",
        1000,
        "Maximum length of ~/path; the oldest poses are dropped first.",
        unit="poses",
        low=2,
        high=100000,
        at_configure=True,
    ),
    Parameter(
        "path.period_s",
        0.5,
        "Minimum time between two messages on ~/path, each of which carries the whole path.",
        unit="s",
        low=0.0,
        high=60.0,
    ),
)


def tracker_settings(parameters: Parameters) -> TrackerSettings:
    """Settings of the tracker."""
    mode = parameters.text("scale.mode")
    scale = ScaleSettings(
        ScaleSource.NONE if mode == "auto" else ScaleSource[mode.upper()],
        parameters.number("scale.scene_depth_m"),
        parameters.number("scale.camera_height_m"),
        auto=mode != "none",
    )
    return TrackerSettings(
        confidence_min=parameters.number("confidence_min"),
        lost_frames=parameters.integer("lost.frames"),
        lost_policy=LostPolicy(parameters.text("lost.policy")),
        scale=scale,
        real_time=True,
    )


def check_frames(parameters: Parameters) -> None:
    """Look at the names of frames together.

    Raises:
        ParameterError: they cannot be used together.
    """
    world, child = parameters.text("tf.world_frame"), parameters.text("tf.child_frame")
    if not world or world in METRIC_FRAMES:
        raise ParameterError(
            f"tf.world_frame = {world!r} must be a frame of its own, like raxels_world: while the scale is unknown the "
            "poses are not in metres"
        )
    for name in ("world", "child", "map", "odom", "base"):
        frame = parameters.text(f"tf.{name}_frame")
        if frame.startswith("/"):
            raise ParameterError(
                f"tf.{name}_frame = {frame!r} must not begin with a slash; TF frames have no namespace"
            )
    if world == child:
        raise ParameterError(f"tf.world_frame and tf.child_frame are both {world!r}; name one of them differently")

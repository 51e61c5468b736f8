"""One table of parameters per node: declaration, validation, typed access and ``config/raxels.yaml`` come from it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from ros2_raxels.engine.choose import AUTO, BACKENDS, EngineOptions
from ros2_raxels.engine.store import BUILD_POLICIES, IF_STALE
from ros2_raxels.geometry.frame_tree import JUMP_BACK_S
from ros2_raxels.nodes.pose.placement import TfMode
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.tracker import LostPolicy, TrackerSettings
from ros2_raxels.view_synthesis.context import SpreadSettings
from ros2_raxels.view_synthesis.predictor import PredictorSettings

ParameterValue = bool | int | float | str

# Parameters that rclpy itself declares; they are no typing errors.
_FOREIGN = ("use_sim_time", "start_type_description_service", "qos_overrides.")


class ParameterError(ValueError):
    """A parameter that cannot be used; one line naming the parameter, its value and what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """One row of a node's table.

    Attributes:
        name: as in YAML, dots between groups.
        default: its Python type is the parameter's type.
        meaning: one or two sentences for the user.
        unit: of the value; empty for none.
        low, high: inclusive bounds of a number; None leaves that side open.
        choices: the only values allowed of a string; empty allows any.
        read_only: fixed at start; otherwise it may be set while the node runs.
        at_configure: it may be set only while the node is unconfigured.
    """

    name: str
    default: ParameterValue
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False
    at_configure: bool = False

    @property
    def type_name(self) -> str:
        """Type as ROS users know it: bool, integer, double or string."""
        return {bool: "bool", int: "integer", float: "double", str: "string"}[type(self.default)]

    @property
    def constraint(self) -> str:
        """What is allowed, in words; empty when anything of the type is."""
        if self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        if self.low is None and self.high is None:
            return ""
        if self.high is None:
            return f"{_short(self.low)} or more"
        if self.low is None:
            return f"at most {_short(self.high)}"
        return f"{_short(self.low)} to {_short(self.high)}"

    @property
    def settable(self) -> str:
        """When it may be set, in words."""
        if self.read_only:
            return "fixed at start"
        return "may be set while unconfigured" if self.at_configure else "may be set at run time"

    def refusal(self, value: object) -> str:
        """Why ``value`` is not allowed, in one line; empty when it is."""
        if type(value) is not type(self.default):
            return f"{self.name} = {value!r} is not of type {self.type_name}{_hint(self.default, value)}"
        if self.choices and value not in self.choices:
            return f"{self.name} = {value!r} must be {self.constraint}"
        if isinstance(value, (int, float)) and not self._in_range(value):
            return f"{self.name} = {value!r}{self._unit_suffix} must be {self.constraint or 'finite'}"
        return ""

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows; the ranges are enforced by rclpy as well."""
        return ParameterDescriptor(
            name=self.name,
            description=self.meaning + (f" Unit: {self.unit}." if self.unit else ""),
            additional_constraints=self.constraint,
            read_only=self.read_only,
            integer_range=self._integer_range(),
            floating_point_range=self._floating_point_range(),
        )

    @property
    def _unit_suffix(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def _in_range(self, value: float) -> bool:
        above = self.low is None or value >= self.low
        return math.isfinite(value) and above and (self.high is None or value <= self.high)

    def _integer_range(self) -> list[IntegerRange]:
        if type(self.default) is not int or (self.low is None and self.high is None):
            return []
        low = -(2**63) if self.low is None else int(self.low)
        return [IntegerRange(from_value=low, to_value=2**63 - 1 if self.high is None else int(self.high), step=1)]

    def _floating_point_range(self) -> list[FloatingPointRange]:
        if type(self.default) is not float or (self.low is None and self.high is None):
            return []
        low = -math.inf if self.low is None else float(self.low)
        return [FloatingPointRange(from_value=low, to_value=math.inf if self.high is None else float(self.high))]


def _short(value: float | None) -> str:
    return f"{value:g}"


def _hint(default: ParameterValue, value: object) -> str:
    if type(default) is float and type(value) is int:
        return f": write {value}.0"
    return ""


Table = Sequence[Parameter]
_TRACKER = TrackerSettings()
_PREDICTOR = PredictorSettings()
_SPREAD = SpreadSettings()

ENGINE_ROWS: Table = (
    Parameter(
        "autostart",
        True,
        "Configure and activate at the start; a node that cannot ends with status 2. false leaves both to a manager.",
        read_only=True,
    ),
    Parameter(
        "engine.backend",
        AUTO,
        "What computes the model. auto takes TensorRT where it and a GPU are there, else ONNX Runtime, and says why; "
        "any other is had or refused.",
        choices=BACKENDS,
        at_configure=True,
    ),
    Parameter(
        "engine.build_policy",
        IF_STALE,
        "When a TensorRT plan is compiled, which takes seconds to minutes: when none in the cache fits, never, or at "
        "every start.",
        choices=BUILD_POLICIES,
        at_configure=True,
    ),
    Parameter(
        "engine.build_only",
        False,
        "Make the engines ready, then end: exit status 0. To be run once at installation.",
        read_only=True,
    ),
)
"""Of every node with a model."""

METRIC_FRAMES = ("map", "odom", "earth")
"""World frames of REP-105, whose unit is the metre."""

_IMAGES: Table = (
    Parameter(
        "image_transport",
        "raw",
        "What to subscribe: `image` (sensor_msgs/Image) or `image/compressed` (sensor_msgs/CompressedImage).",
        choices=("raw", "compressed"),
        at_configure=True,
    ),
    Parameter(
        "image_rectified",
        False,
        "The images are already undistorted (image_proc's image_rect): use the projection matrix P of camera_info and "
        "no distortion instead of K and D.",
        at_configure=True,
    ),
)

POSE_NODE = "raxels_pose"
POSE_TABLE: Table = (
    *_IMAGES,
    Parameter(
        "camera_info_timeout_s",
        2.0,
        "How long images wait for a usable camera_info before the node goes on without one and the focal length is "
        "estimated.",
        unit="s",
        low=0.0,
        high=3600.0,
    ),
    Parameter(
        "stall_timeout_s",
        2.0,
        "After this long without an image, a warning and an ERROR diagnostic name the silent topic and the reason.",
        unit="s",
        low=0.1,
        high=3600.0,
    ),
    Parameter(
        "stamp_jump_back_s",
        JUMP_BACK_S,
        "An image older than its predecessor by more than this means that time started again (bag loop, simulation "
        "reset): tracking is reset. A smaller step back is an image out of order, which is dropped.",
        unit="s",
        low=0.0,
        high=3600.0,
    ),
    Parameter(
        "model",
        "",
        "Card (.json) of the denoiser. Empty takes the one that is installed; none goes without it, on correspondences "
        "and geometry alone.",
        at_configure=True,
    ),
    *ENGINE_ROWS,
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
        "So many frames in a row that are not tracked mean LOST.",
        unit="frames",
        low=1,
        high=10000,
        at_configure=True,
    ),
    Parameter(
        "lost.policy",
        _TRACKER.lost_policy.value,
        "While tracking is lost: stop publishes no pose; hold repeats the last pose (covariance 9999) and its TF edge; "
        "reset repeats the pose without the edge, and after a while begins a new trajectory where the last one ended. "
        "Known ground ends the loss under all three.",
        choices=tuple(policy.value for policy in LostPolicy),
        at_configure=True,
    ),
    Parameter(
        "keyframes.folder",
        "",
        "Where ~/save_keyframes and ~/load_keyframes have their files; requests reach no other. Empty takes "
        "$XDG_DATA_HOME/ros2_raxels/keyframes (~/.local/share/... without the variable).",
        at_configure=True,
    ),
    Parameter(
        "scale.mode",
        "none",
        "Where metres come from. none: poses have a unit of their own; fixed: scale.scene_depth_m; odom: nav_msgs/"
        "Odometry on `odom`, looked up at the stamps of the images; height: scale.camera_height_m, for a camera that "
        "is fixed to a robot on flat ground and sees it.",
        choices=tuple(source.name.lower() for source in ScaleSource),
        at_configure=True,
    ),
    Parameter(
        "scale.scene_depth_m",
        _TRACKER.scale.scene_depth_m,
        "For scale.mode fixed: median depth of what the camera sees where a trajectory begins.",
        unit="m",
        low=0.001,
        high=100000.0,
        at_configure=True,
    ),
    Parameter(
        "scale.camera_height_m",
        _TRACKER.scale.camera_height_m,
        "For scale.mode height: of the camera over the ground. Up is the z axis of tf.base_frame, or without it the "
        "camera is taken as level.",
        unit="m",
        low=0.001,
        high=1000.0,
        at_configure=True,
    ),
    Parameter(
        "tf.mode",
        "auto",
        "Edge to publish on /tf while tracking. world_to_base: tf.world_frame -> tf.base_frame (or the optical frame, "
        "if TF does not connect the two); odom_to_base and map_to_odom as in REP-105, once the scale is known. auto: "
        "world_to_base; where the base has another parent map_to_odom if that is tf.odom_frame and the scale is known, "
        "else tf.world_frame is hung below the base. An edge whose child has another parent is never published: an "
        "ERROR diagnostic names both parents.",
        choices=tuple(mode.value for mode in TfMode),
    ),
    Parameter(
        "tf.invert",
        False,
        "Publish the edge from child to parent, for a child that must keep its own parent.",
    ),
    Parameter(
        "tf.time_offset_s",
        0.0,
        "Added to the stamp of the edge, so that it is not too old for listeners that ask for now.",
        unit="s",
        low=-10.0,
        high=10.0,
    ),
    Parameter(
        "tf.world_frame",
        "raxels_world",
        "Parent frame of poses unless tf.mode says otherwise: origin where base or camera was first, x forward, y "
        "left, z up (REP-103). Its unit is not metres while the scale is unknown, so it must not be map or odom.",
        at_configure=True,
    ),
    Parameter("tf.map_frame", "map", "Parent frame for tf.mode map_to_odom.", at_configure=True),
    Parameter(
        "tf.odom_frame", "odom", "Frame of the odometry for tf.mode map_to_odom and odom_to_base.", at_configure=True
    ),
    Parameter(
        "tf.base_frame",
        "base_link",
        "The robot's base: child frame of poses where TF connects it with the camera at the stamp of the image. Empty: "
        "poses are always those of the optical frame.",
        at_configure=True,
    ),
    Parameter(
        "tf.child_frame",
        "",
        "The camera's optical frame. Empty takes the frame_id of the images.",
        at_configure=True,
    ),
    Parameter(
        "path.max_poses",
        1000,
        "Length of ~/path; the oldest pose goes first.",
        unit="poses",
        low=2,
        high=100000,
        at_configure=True,
    ),
    Parameter(
        "path.period_s",
        0.5,
        "Least time between two messages on ~/path: each carries the whole path.",
        unit="s",
        low=0.0,
        high=60.0,
    ),
)

VIEWS_NODE = "raxels_views"
VIEWS_TABLE: Table = (
    *_IMAGES,
    Parameter(
        "model",
        "",
        "Model card (.json) of the model that makes views. Empty takes the one that is installed.",
        at_configure=True,
    ),
    *ENGINE_ROWS,
    Parameter(
        "world_frame",
        "raxels_world",
        "TF frame in which the poses of images are looked up: the pose node's tf.world_frame, or map or odom where "
        "something else places the camera. map, odom and earth are taken to be metric, others not, unless the pose "
        "node's status tells.",
        at_configure=True,
    ),
    Parameter(
        "base_frame",
        "base_link",
        "The robot's base frame, for goals whose poses place the base.",
        at_configure=True,
    ),
    Parameter(
        "goal_policy",
        "preempt",
        "What a goal meets that comes while another runs: it takes over (preempt), or is rejected.",
        choices=("preempt", "reject"),
    ),
    Parameter("steps", _PREDICTOR.steps, "Denoising steps of a goal that asks for none.", unit="steps", low=1, high=64),
    Parameter(
        "imagine_steps",
        _PREDICTOR.imagine_steps,
        "The same for a goal without a trajectory.",
        unit="steps",
        low=1,
        high=64,
    ),
    Parameter("max_steps", 64, "A goal that asks for more is rejected.", unit="steps", low=1, high=1000),
    Parameter("max_poses", 1000, "A goal with a longer trajectory is rejected.", unit="poses", low=1, high=10000),
    Parameter("max_views", 32, "A goal that asks for more is rejected.", unit="views", low=1, high=1000),
    Parameter(
        "max_imagined",
        8,
        "The same for a goal without a trajectory: those views are made together, and memory grows with their square "
        "(8 take .5 GB, 32 2.5 GB).",
        unit="views",
        low=1,
        high=32,
    ),
    Parameter(
        "max_side_px",
        1024,
        "A goal that asks for larger views is rejected. Views are made 128 px wide and scaled to what is asked.",
        unit="px",
        low=16,
        high=8192,
    ),
    Parameter(
        "max_distance",
        100.0,
        "Poses further from the newest context frame than this are refused: nothing is known of what they would see.",
        unit="of world_frame",
        low=0.001,
        high=1e6,
    ),
    Parameter("max_duration_s", 30.0, "A goal is given up after this long.", unit="s", low=0.01, high=3600.0),
    Parameter(
        "tf_timeout_s",
        0.5,
        "How long a goal waits for a transform that is not there yet.",
        unit="s",
        low=0.0,
        high=60.0,
    ),
    Parameter(
        "context.frames",
        _SPREAD.frames,
        "Images that are kept to make views from, seen from different places.",
        unit="frames",
        low=1,
        high=32,
        at_configure=True,
    ),
    Parameter(
        "context.least_motion",
        _SPREAD.least_motion,
        "An image is kept when the camera moved this far from those that are kept.",
        unit="of world_frame",
        low=0.0,
        high=1e6,
        at_configure=True,
    ),
    Parameter(
        "context.least_turn_deg",
        round(math.degrees(_SPREAD.least_turn_rad), 6),
        "Or when it turned this far.",
        unit="deg",
        low=0.0,
        high=180.0,
        at_configure=True,
    ),
    Parameter(
        "context.keep_s",
        _SPREAD.keep_s,
        "An older image is dropped.",
        unit="s",
        low=0.1,
        high=3600.0,
        at_configure=True,
    ),
    Parameter(
        "context.max_age_s",
        2.0,
        "Without a newer image than this no views are made.",
        unit="s",
        low=0.01,
        high=3600.0,
    ),
    Parameter("image_format", "jpeg", "Of the views: jpeg (quality 95) or png.", choices=("jpeg", "png")),
    Parameter(
        "self_consistency",
        True,
        "Estimate the pose of each finished view back from its pixels; takes about as long as making it.",
    ),
)

CAMERA_NODE = "camera"
CAMERA_TABLE: Table = (
    Parameter(
        "source",
        "",
        "What to play: posed set, image folder, video file or rosbag2. Required.",
        read_only=True,
    ),
    Parameter(
        "rate",
        1.0,
        "Speed relative to the source's own stamps; 2 plays twice as fast.",
        low=0.001,
        high=1000.0,
        read_only=True,
    ),
    Parameter("loop", False, "Start again at the end, until stopped.", read_only=True),
    Parameter(
        "wait_for_subscribers",
        1,
        "Hold the first frame until so many nodes listen, one of them to ~/image_raw; 0 plays at once.",
        low=0,
        high=100,
        read_only=True,
    ),
    Parameter(
        "wait_timeout_s",
        30.0,
        "After this long without a subscriber, play all the same and say so.",
        unit="s",
        low=0.0,
        high=86400.0,
        read_only=True,
    ),
    Parameter("frame_id", "camera_optical_frame", "frame_id of images and camera_info.", read_only=True),
    Parameter(
        "image_topic",
        "",
        "Image topic inside a bag; empty takes the only one there is.",
        read_only=True,
    ),
    Parameter(
        "max_frames",
        0,
        "Stop after so many frames of the source; 0 plays all.",
        unit="frames",
        low=0,
        read_only=True,
    ),
    Parameter(
        "use_source_stamps",
        False,
        "Stamp with the source's own times instead of the node's clock at the moment of publication.",
        read_only=True,
    ),
    Parameter(
        "reliability",
        "reliable",
        "QoS of the publishers. A reliable one is matched by every subscriber and loses no frame of a recording; "
        "best_effort behaves like most camera drivers.",
        choices=("reliable", "best_effort"),
        read_only=True,
    ),
)

TABLES: Mapping[str, Table] = {POSE_NODE: POSE_TABLE, VIEWS_NODE: VIEWS_TABLE, CAMERA_NODE: CAMERA_TABLE}


class Parameters:
    """Typed, always current values of one node's table."""

    def __init__(self, node: Node, table: Table) -> None:
        self._node = node
        self._types = {parameter.name: type(parameter.default) for parameter in table}

    def flag(self, name: str) -> bool:
        """Value of a bool parameter."""
        return bool(self._value(name, bool))

    def integer(self, name: str) -> int:
        """Value of an integer parameter, in the unit of its row."""
        return int(self._value(name, int))

    def number(self, name: str) -> float:
        """Value of a double parameter, in the unit of its row."""
        return float(self._value(name, float))

    def text(self, name: str) -> str:
        """Value of a string parameter."""
        return str(self._value(name, str))

    def _value(self, name: str, kind: type) -> Any:
        if self._types.get(name) is not kind:
            raise KeyError(f"{name} is not a {kind.__name__} parameter of {self._node.get_name()}")
        return self._node.get_parameter(name).value


def engine_options(node: Node, parameters: Parameters) -> EngineOptions:
    """What `ENGINE_ROWS` ask for; what was chosen and what goes wrong is in the node's log."""
    log = node.get_logger()
    backend, policy = parameters.text("engine.backend"), parameters.text("engine.build_policy")
    return EngineOptions(backend, policy, log.info, log.warning, log.info)


def must_have_engine(parameters: Parameters) -> bool:
    """Whether `ENGINE_ROWS` ask for an engine, without which the node is not to run."""
    return parameters.text("engine.backend") != AUTO or parameters.flag("engine.build_only")


def declare(node: Node, table: Table, is_configured: Callable[[], bool] = lambda: False) -> Parameters:
    """Declare the whole table on a node and guard it against bad sets from then on.

    Args:
        node: with a life cycle or without.
        table: of the node.
        is_configured: whether it is past the moment in which it reads rows that are marked so.

    Raises:
        ParameterError: a value from the command line, a launch file or a YAML file is not allowed.
    """
    for parameter in table:
        _declare_one(node, parameter)
    _warn_about_unknown(node, [parameter.name for parameter in table])
    rows = {parameter.name: parameter for parameter in table}
    node.add_on_set_parameters_callback(lambda changes: validate(rows, changes, is_configured()))
    return Parameters(node, table)


def _declare_one(node: Node, parameter: Parameter) -> None:
    try:
        node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        value = _overrides(node)[parameter.name].value
        raise ParameterError(parameter.refusal(value) or str(error)) from error
    refusal = parameter.refusal(node.get_parameter(parameter.name).value)
    if refusal:
        raise ParameterError(refusal)


def _overrides(node: Node) -> Mapping[str, Any]:
    # rclpy has no public way to see the values given at start, without which a misspelt name would be ignored
    # silently; the attribute has had this name in every ROS 2 distribution so far.
    return getattr(node, "_parameter_overrides", {})


def _warn_about_unknown(node: Node, known: list[str]) -> None:
    for name in _overrides(node):
        if name in known or name.startswith(_FOREIGN):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see config/raxels.yaml for the names there are"
        node.get_logger().warning(f"parameter {name} does not exist and is ignored; {hint}")


def validate(rows: Mapping[str, Parameter], changes: Iterable[Any], configured: bool = False) -> SetParametersResult:
    """Answer to a set while the node runs: refused as a whole, with the reason, if one value is not allowed."""
    for change in changes:
        row = rows.get(change.name)
        refusal = row.refusal(change.value) if row else ""
        if row and row.at_configure and configured:
            refusal = f"{row.name} is read when the node is configured; deactivate the node and clean it up first"
        if refusal:
            return SetParametersResult(successful=False, reason=refusal)
    return SetParametersResult(successful=True)


def render_yaml(tables: Mapping[str, Table] = TABLES) -> str:
    """The text of ``config/raxels.yaml``: every parameter with its default, and all that a user must know of it."""
    lines = [
        "# All parameters of all nodes, with their defaults.",
        "# Made by: python -m ros2_raxels.nodes.common.parameters > config/raxels.yaml",
    ]
    for node_name, table in tables.items():
        lines += ["", f"/**/{node_name}:", "  ros__parameters:"]
        for parameter in table:
            lines += _yaml_entry(parameter)
    return "\n".join(lines) + "\n"


def _yaml_entry(parameter: Parameter) -> list[str]:
    facts = [parameter.type_name]
    facts += [f"unit {parameter.unit}"] if parameter.unit else []
    facts += [parameter.constraint] if parameter.constraint else []
    facts += [f"default {_yaml_value(parameter.default)}"]
    facts += [parameter.settable]
    comment = _wrap(parameter.meaning) + _wrap(f"[{'; '.join(facts)}]")
    return ["", *(f"    # {line}" for line in comment), f"    {parameter.name}: {_yaml_value(parameter.default)}"]


def _wrap(text: str, width: int = 100) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _yaml_value(value: ParameterValue) -> str:
    return yaml.safe_dump(value, default_style='"' if isinstance(value, str) else None).splitlines()[0]


if __name__ == "__main__":
    print(render_yaml(), end="")

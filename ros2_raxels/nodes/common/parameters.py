"""One table of parameters per node: declaration, validation, typed access and ``config/raxels.yaml`` come from it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from ros2_raxels.engine.choose import AUTO, BACKENDS, EngineOptions
from ros2_raxels.engine.store import BUILD_POLICIES, IF_STALE
from ros2_raxels.nodes.common.rclpy_compat import parameter_overrides

ParameterValue = bool | int | float | str | list[str]

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
        """Type as ROS users know it: bool, integer, double, string or string array."""
        return {bool: "bool", int: "integer", float: "double", str: "string", list: "string array"}[type(self.default)]

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
        if type(value) is not type(self.default) or not self._holds_texts(value):
            return f"{self.name} = {value!r} is not of type {self.type_name}{_hint(self.default, value)}"
        if self.choices and value not in self.choices:
            return f"{self.name} = {value!r} must be {self.constraint}"
        if isinstance(value, (int, float)) and not self._in_range(value):
            return f"{self.name} = {value!r}{self._unit_suffix} must be {self.constraint or 'finite'}"
        return ""

    @staticmethod
    def _holds_texts(value: object) -> bool:
        return not isinstance(value, list) or all(isinstance(item, str) for item in value)

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

ENGINE_ROWS: Table = (
    Parameter(
        "autostart",
        True,
        "Configure and activate at start; a node that cannot do so exits with status 2. false leaves both to a "
        "lifecycle manager.",
        read_only=True,
    ),
    Parameter(
        "engine.backend",
        AUTO,
        "What runs the model. auto uses TensorRT where it and a GPU are present, otherwise ONNX Runtime, and logs "
        "why. With any other choice the node uses that backend or refuses to configure.",
        choices=BACKENDS,
        at_configure=True,
    ),
    Parameter(
        "engine.build_policy",
        IF_STALE,
        "When to compile a TensorRT plan, which takes seconds to minutes: if no plan in the cache fits, never, or at "
        "every start.",
        choices=BUILD_POLICIES,
        at_configure=True,
    ),
    Parameter(
        "engine.build_only",
        False,
        "Prepare the engines, then exit with status 0. Meant to be run once, at installation.",
        read_only=True,
    ),
)
"""Of every node with a model."""


METRIC_FRAMES = ("map", "odom", "earth")
"""World frames of REP-105, whose unit is the metre."""


IMAGE_ROWS: Table = (
    Parameter(
        "image_transport",
        "raw",
        "Topic to subscribe to: `image` (sensor_msgs/Image) or `image/compressed` (sensor_msgs/CompressedImage).",
        choices=("raw", "compressed"),
        at_configure=True,
    ),
    Parameter(
        "image_rectified",
        False,
        "The images are already rectified (image_proc's image_rect): use the projection matrix P of camera_info, "
        "without distortion, instead of K and D.",
        at_configure=True,
    ),
)


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

    def texts(self, name: str) -> list[str]:
        """Values of a string array parameter, without empty ones."""
        return [text for text in map(str, self._value(name, list)) if text]

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
        value = parameter_overrides(node)[parameter.name].value
        raise ParameterError(parameter.refusal(value) or str(error)) from error
    refusal = parameter.refusal(node.get_parameter(parameter.name).value)
    if refusal:
        raise ParameterError(refusal)


def _warn_about_unknown(node: Node, known: list[str]) -> None:
    for name in parameter_overrides(node):
        if name in known or name.startswith(_FOREIGN):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "config/raxels.yaml lists all names"
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


def check_cameras(parameters: Parameters) -> None:
    """Look at the names of cameras.

    Raises:
        ParameterError: they cannot be those of topics, or one comes twice.
    """
    names = parameters.texts("cameras")
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(f"cameras = {names} names {name!r} twice; name every camera once")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*", name):
            raise ParameterError(
                f"cameras: {name!r} cannot be the beginning of a topic; use letters, digits, underscores and slashes "
                "between them"
            )

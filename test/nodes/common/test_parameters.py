"""nodes.common.parameters: what a table declares, and what is refused. The YAML is tested in test_parameter_yaml."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from ros_testing import ROOT, Probe, Spawn, wait_until

pytest.importorskip("rclpy")

import rclpy
from hypothesis import given
from hypothesis import strategies as st

from ros2_raxels.nodes.common import parameters
from ros2_raxels.nodes.common.parameters import Parameter, ParameterError
from ros2_raxels.nodes.parameter_yaml import TABLES

YAML = ROOT / "config" / "raxels.yaml"
ALL = [pytest.param(row, id=f"{node}:{row.name}") for node, table in TABLES.items() for row in table]


@pytest.mark.parametrize("row", ALL)
def test_every_row_is_documented_and_allows_its_own_default(row: Parameter):
    assert row.refusal(row.default) == ""
    assert row.meaning.endswith(".")
    # A name that ends in a unit must say so, and bounds must be of the parameter's type.
    assert not row.name.endswith("_s") or row.unit == "s"
    descriptor = row.descriptor()
    assert row.meaning in descriptor.description
    assert descriptor.read_only == row.read_only
    has_range = row.low is not None or row.high is not None
    assert bool(descriptor.integer_range or descriptor.floating_point_range) == has_range


@pytest.mark.parametrize("row", ALL)
def test_wrong_values_are_refused_in_one_line_that_names_the_parameter(row: Parameter):
    wrong: list[object] = [[1, 2], None]
    wrong += [row.high + 1] if row.high is not None and isinstance(row.default, float) else []
    wrong += [int(row.low) - 1] if row.low is not None and type(row.default) is int else []
    wrong += [float("nan"), float("inf")] if isinstance(row.default, float) else []
    wrong += ["nonsense"] if row.choices or not isinstance(row.default, str) else []
    wrong += [True] if not isinstance(row.default, bool) else [1]
    for value in wrong:
        refusal = row.refusal(value)
        assert refusal.startswith(f"{row.name} = ")
        assert "\n" not in refusal


@given(low=st.floats(-1e6, 1e6), width=st.floats(0, 1e6), value=st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_allowed_exactly_inside_its_bounds(low: float, width: float, value: float):
    row = Parameter("x", low, "Meaning.", low=low, high=low + width)
    assert (row.refusal(value) == "") == (low <= value <= low + width)


def test_an_integer_given_for_a_double_is_refused_with_the_spelling_to_use():
    row = Parameter("stall_timeout_s", 2.0, "Meaning.", unit="s")
    assert row.refusal(7) == "stall_timeout_s = 7 is not of type double: write 7.0"


def test_one_bad_value_refuses_the_whole_set():
    rows = {"x": Parameter("x", 1.0, "Meaning.", low=0.0), "y": Parameter("y", 1.0, "Meaning.", low=0.0)}
    changes = [SimpleNamespace(name="x", value=2.0), SimpleNamespace(name="y", value=-1.0)]
    answer = parameters.validate(rows, changes)
    assert not answer.successful
    assert "y = -1.0" in answer.reason
    assert parameters.validate(rows, changes[:1]).successful


def test_values_are_read_with_their_types(probe: Probe):
    table = (Parameter("number", 1.5, "Meaning."), Parameter("on", True, "Meaning."), Parameter("n", 3, "Meaning."))
    values = parameters.declare(probe.node, table)
    assert (values.number("number"), values.flag("on"), values.integer("n")) == (1.5, True, 3)
    with pytest.raises(KeyError, match="number is not a str parameter"):
        values.text("number")
    with pytest.raises(KeyError):
        values.flag("absent")


@pytest.mark.ros
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("stall_timeout_s", 7, "stall_timeout_s = 7 is not of type double: write 7.0"),
        ("stall_timeout_s", -7.0, "stall_timeout_s = -7.0 s must be 0.1 to 3600"),
        ("image_transport", "zip", "image_transport = 'zip' must be one of 'raw', 'compressed'"),
    ],
)
def test_a_bad_value_at_start_is_refused(probe: Probe, name: str, value: object, expected: str):
    overrides = [rclpy.Parameter(name, value=value)]
    node = rclpy.create_node("given", context=probe.node.context, parameter_overrides=overrides)
    try:
        with pytest.raises(ParameterError) as caught:
            parameters.declare(node, TABLES["raxels_pose"])
        assert str(caught.value) == expected
    finally:
        node.destroy_node()


@pytest.mark.ros
def test_a_bad_value_at_start_ends_the_process_with_one_line(spawn: Spawn):
    node = spawn("ros2_raxels.nodes.pose.pose_node", "-p", "stall_timeout_s:=7")
    assert node.wait() == 2
    assert node.lines == ["stall_timeout_s = 7 is not of type double: write 7.0"]
    assert "Traceback" not in node.log


@pytest.mark.ros
def test_parameters_are_set_at_run_time_and_misspelt_names_are_reported_at_start(spawn: Spawn, probe: Probe):
    from rcl_interfaces.srv import GetParameters, SetParameters
    from rclpy.parameter import Parameter as RosParameter

    spelling = ("-p", "stall_timout_s:=3.0")
    node = spawn("ros2_raxels.nodes.pose.pose_node", "--params-file", str(YAML), *spelling)

    def assign(name: str, value: object) -> tuple[bool, str]:
        request = SetParameters.Request(parameters=[RosParameter(name, value=value).to_parameter_msg()])
        result = probe.call(SetParameters, "/raxels_pose/set_parameters", request).results[0]
        return result.successful, result.reason

    assert assign("stall_timeout_s", 3.5) == (True, "")
    asked = GetParameters.Request(names=["stall_timeout_s"])
    assert probe.call(GetParameters, "/raxels_pose/get_parameters", asked).values[0].double_value == 3.5
    for name, value, words in (
        ("stall_timeout_s", 0.0, "stall_timeout_s out of range Min: 0.1, Max: 3600.0, value: 0.0"),
        ("stall_timeout_s", math.nan, "stall_timeout_s"),
        ("stall_timeout_s", 3, "Wrong parameter type"),
        ("tf.mode", "sideways", "tf.mode = 'sideways' must be one of 'auto', 'off', "),
        ("autostart", False, "read-only parameter: autostart"),
        ("confidence_min", 0.5, "confidence_min is read when the node is configured; deactivate the node and clean it"),
    ):
        done, reason = assign(name, value)
        assert not done
        assert words in reason
    assert probe.call(GetParameters, "/raxels_pose/get_parameters", asked).values[0].double_value == 3.5
    # A service can answer before the line that was logged earlier has reached the file.
    wait_until(lambda: "stall_timout_s does not exist and is ignored; did you mean stall_timeout_s?" in node.log)

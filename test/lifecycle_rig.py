"""A lifecycle manager, as nav2's would drive a node."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_testing import NodeProcess, Probe, wait_until


class Manager:
    """Asks one node for transitions, and hears what it says of its state."""

    def __init__(self, probe: Probe, node: NodeProcess, name: str = "raxels_pose") -> None:
        self.probe, self.node, self.name = probe, node, name
        self.events = probe.collect(TransitionEvent, f"/{name}/transition_event")
        self.diagnostics = probe.collect(DiagnosticArray, "/diagnostics")

    def ask(self, kind: Any, service: str, request: Any) -> Any:
        """Response of one of the node's services."""
        return self.probe.call(kind, f"/{self.name}/{service}", request)

    def change(self, label: str, timeout_s: float = 8.0) -> bool:
        """Whether a transition succeeded, by its name, as ``ros2 lifecycle set`` asks for it."""
        request = ChangeState.Request(transition=Transition(label=label))
        return self.probe.call(ChangeState, f"/{self.name}/change_state", request, timeout_s).success

    def go(self, *labels: str) -> None:
        """Transitions that must succeed."""
        for label in labels:
            assert self.change(label, 30.0), f"{label} failed:\n{self.node.log}"

    @property
    def state(self) -> str:
        """Name of the state that it is in."""
        return self.ask(GetState, "get_state", GetState.Request()).current_state.label

    def assign(self, name: str, value: object) -> tuple[bool, str]:
        """Set a parameter; whether it was accepted, and the reason."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.ask(SetParameters, "set_parameters", request).results[0]
        return result.successful, result.reason

    def health(self, part: str, level: bytes, *words: str) -> DiagnosticStatus:
        """The next diagnostic of a part that has this level and these words."""
        since = len(self.diagnostics)

        def found() -> DiagnosticStatus | None:
            statuses = (s for message in self.diagnostics[since:] for s in message.status)
            fitting = (s for s in statuses if s.name == f"{self.name}: {part}" and s.level == level)
            return next((s for s in fitting if all(word in s.message for word in words)), None)

        return wait_until(found, what=f"diagnostic of {part} with {words}")

    @property
    def parts(self) -> set[str]:
        """What the newest diagnostics are about."""
        return {status.name.partition(": ")[2] for status in self.diagnostics[-1].status}

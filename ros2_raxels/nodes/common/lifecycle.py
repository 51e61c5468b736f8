"""What the nodes with an engine share: a life cycle, a table of parameters, one thread for the engine, diagnostics."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent import futures
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from ros2_raxels.nodes.common.diagnostics import ERROR, OK, WARN, Health, Problems, status, worded
from ros2_raxels.nodes.common.ending import asked_to_end
from ros2_raxels.nodes.common.parameters import ParameterError, Parameters, Table, declare
from ros2_raxels.nodes.common.rclpy_compat import LifecycleNode
from ros2_raxels.nodes.common.runner import USAGE_ERROR
from ros2_raxels.utils.memory import give_back, peak_rss_bytes, rss_bytes

_DIAGNOSTICS_PERIOD_S = 1.0
_WORD_PERIOD_S = 5.0
_SLICE_S = 0.1
_JOIN_S = 0.4
_FAREWELL_S = 0.2
_MIB = 2**20

_DONE, _FAILURE, _ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)
_NEXT = {"unconfigured": "configure", "inactive": "activate"}

Loaded = TypeVar("Loaded")


class ManagedNode(LifecycleNode, ABC, Generic[Loaded]):
    """A managed node that configures and activates itself, unless ``autostart`` is false.

    A transition that fails leaves the node where it was, with the reason in the log and in the diagnostics. Publishers
    are plain ones: nothing but the diagnostics is published without work in the engine's thread, which has ended before
    a node is inactive, so that there is nothing to drop.

    Attributes:
        finished: done, with the exit status, when the process is to end.
        patience_s: how long a deactivation waits for the engine's thread.

    Args:
        name: of the node.
        table: its parameters, among them ``autostart`` and ``engine.build_only``.
        options: of ``rclpy.node.Node``.

    Raises:
        ParameterError: a parameter that was given is not allowed.
    """

    patience_s = 30.0

    def __init__(self, name: str, table: Table, **options: Any) -> None:
        super().__init__(name, **options)
        self.finished: Future = Future()
        self._undo_configure: ExitStack | None = None
        self._undo_activate: ExitStack | None = None
        # One thread for good: memory that an engine leaves behind in one is of no use to an engine of another.
        self._thread = futures.ThreadPoolExecutor(1, "engine")
        self._job: futures.Future[Any] | None = None
        self._doing = ""
        self._failure = ""
        self._named_so = 1
        self._settings: Parameters = declare(self, table, lambda: self._undo_configure is not None)
        self._problems = Problems(self.get_logger())
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady time, so that a simulated clock that stands still is no excuse for silence.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=self._steady)

    # -------------------------------------------------------------------------------------------- of each node its own

    @abstractmethod
    def load(self) -> Loaded:
        """Make what takes long, ready to run; in the engine's thread.

        Raises:
            ParameterError: it cannot be had as the parameters say.
        """

    @abstractmethod
    def configure(self, loaded: Loaded, undo: ExitStack) -> None:
        """Make what outlives a deactivation, and leave in ``undo`` how to destroy it."""

    @abstractmethod
    def activate(self, undo: ExitStack) -> None:
        """Listen, begin to `_work`, and leave in ``undo`` how to stop both."""

    @abstractmethod
    def _engine_health(self) -> Health:
        """Of the engine; asked while the node is configured."""

    @abstractmethod
    def _work_health(self) -> list[Health]:
        """Of all else; asked while the node is active."""

    def _begin(self, work: Callable[[], None]) -> None:
        """Let the engine's thread work until it is stopped."""
        self._job = self._thread.submit(work)
        self._job.add_done_callback(self._tell_failure)

    def _tell_failure(self, job: futures.Future[None]) -> None:
        if (error := job.exception()) is not None and not self._is_ending:
            self._failure = f"the worker has stopped until the node is activated again: internal error: {worded(error)}"
            self.get_logger().error(self._failure)

    @property
    def _is_ending(self) -> bool:
        return asked_to_end() or not self.context.ok()

    @property
    def _active(self) -> bool:
        return self._undo_activate is not None

    # -------------------------------------------------------------------------------------------------- as a process

    def start(self) -> None:
        """Configure and activate, or wait for a manager; or end at once, if only the engines were to be made ready."""
        build_only = self._settings.flag("engine.build_only")
        if not build_only and not self._settings.flag("autostart"):
            self.get_logger().info(f"{self._advice()} (autostart is false)")
            return
        done = self.trigger_configure() == _DONE and (build_only or self.trigger_activate() == _DONE)
        if self._is_ending:
            raise ExternalShutdownException
        if build_only or not done:
            # Nobody is there to mend it and to try again.
            self.finished.set_result(0 if done else USAGE_ERROR)

    def stop(self) -> None:
        """End, from whatever state; a thread that is still busy after a short wait is left to the process's end."""
        self._stop_listening()
        if self._job is None or futures.wait([self._job], _JOIN_S).done:
            self._release()

    def _end(self, code: int) -> None:
        # Not at once: the answer to whoever asked for the transition must be out first.
        self.create_timer(_FAREWELL_S, lambda: self.finished.set_result(code), clock=self._steady)

    # --------------------------------------------------------------------------------------------------- transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unconfigured to inactive."""
        return self._attempt("configure", self._configure, self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Inactive to active."""
        return self._attempt("activate", self._activate, self._stop_working)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Active to inactive: engine and keyframes stay."""
        return self._attempt("deactivate", self._stop_working)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Inactive to unconfigured: engine and keyframes go."""
        return self._attempt("cleanup", self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """From any state: the process ends with status 0."""
        self._stop_listening()
        self._end(0)
        return _DONE

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After something could not be undone: unconfigured, or the process ends with status 1."""
        if self._job is None:
            self._release()
            return _DONE
        self._end(1)
        return _FAILURE

    def _attempt(
        self, transition: str, step: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Failure, with the reason told, if a step raises that can be undone; error if it cannot."""
        self._failure = ""
        try:
            step()
            return _DONE
        except Exception as error:
            if self._is_ending:
                return _FAILURE
            expected = isinstance(error, (ParameterError, TimeoutError))
            self._failure = f"{transition} failed: {error if expected else f'internal error: {worded(error)}'}"
            self.get_logger().error(self._failure)
        finally:
            self._doing = ""
        if undo is not None:
            undo()
        return _ERROR if undo is None else _FAILURE

    def _configure(self) -> None:
        # In the engine's thread, because a signal must end even the compilation of a plan.
        loading = self._job = self._thread.submit(self.load)
        self._wait(loading, "loading the engine")
        self._job = None
        self._undo_configure = ExitStack()
        self.configure(loading.result(), self._undo_configure)

    def _activate(self) -> None:
        self._undo_activate = ExitStack()
        self.activate(self._undo_activate)

    def _stop_listening(self) -> None:
        stack, self._undo_activate = self._undo_activate, None
        if stack is not None:
            stack.close()

    def _stop_working(self) -> None:
        self._stop_listening()
        if self._job is not None:
            self._wait(self._job, "finishing the current work", self.patience_s)
            self._job = None

    def _release(self) -> None:
        stack, self._undo_configure = self._undo_configure, None
        if stack is not None:
            stack.close()
            give_back()

    # ------------------------------------------------------------------------------------------------------- waiting

    def _wait(self, job: futures.Future[Any], doing: str, limit_s: float = math.inf) -> None:
        """Until a job has ended, with a word now and then, because the executor waits as well.

        Raises:
            TimeoutError: it has not ended.
            ExternalShutdownException: the process has been asked to end, or the context is shut down.
        """
        begun = shown = said = time.monotonic()
        while not futures.wait([job], _SLICE_S).done:
            now = time.monotonic()
            if self._is_ending:
                raise ExternalShutdownException
            if now - begun > limit_s:
                raise TimeoutError(f"{doing} takes longer than {limit_s:g} s: restart the node")
            self._doing = f"{doing}, {now - begun:.0f} s so far"
            if now - shown >= _DIAGNOSTICS_PERIOD_S:
                shown = now
                self._publish_diagnostics()
            if now - said >= _WORD_PERIOD_S:
                said = now
                self.get_logger().info(self._doing)

    # --------------------------------------------------------------------------------------------------- diagnostics

    def _publish_diagnostics(self) -> None:
        name = self.get_fully_qualified_name().lstrip("/")
        parts = [self._lifecycle_health(), _memory_health()]
        if self._undo_configure is not None:
            parts.append(self._engine_health())
        if self._active:
            parts += self._work_health()
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [status(f"{name}: {p.part}", p.level, p.message, p.values) for p in parts]
        self._diagnostics.publish(message)

    def _lifecycle_health(self) -> Health:
        state = self.state_label
        values = {"state": state}
        if self._failure:
            return Health("lifecycle", ERROR, f"{state}: {self._failure}", values)
        if namesakes := self._namesakes():
            return Health("lifecycle", ERROR, f"{state}: {namesakes}", values)
        if state == "active":
            return Health("lifecycle", OK, state, values)
        return Health("lifecycle", WARN, f"{state}: {self._doing}" if self._doing else self._advice(), values)

    def _namesakes(self) -> str:
        """Who else has the name of this node, in one line, logged once; empty if nobody."""
        own = self.get_fully_qualified_name()
        names = [f"{space.rstrip('/')}/{name}" for name, space in self.get_node_names_and_namespaces()]
        before, self._named_so = self._named_so, names.count(own)
        if self._named_so < 2:
            return ""
        words = (
            f"{self._named_so} nodes are named {own}: they answer each other's services and publish the same topics; "
            "end all but one, or give each a namespace of its own (one that was killed counts for 20 s more)"
        )
        if before < 2:
            self.get_logger().error(words)
        return words

    def _advice(self) -> str:
        state = self.state_label
        if state not in _NEXT:
            return state
        command = f"ros2 lifecycle set {self.get_fully_qualified_name()} {_NEXT[state]}"
        return f"{state}: waiting for a lifecycle manager, or for {command}"


def _memory_health() -> Health:
    values = {"resident (MiB)": f"{rss_bytes() / _MIB:.1f}", "peak (MiB)": f"{peak_rss_bytes() / _MIB:.1f}"}
    return Health("memory", OK, "", values)

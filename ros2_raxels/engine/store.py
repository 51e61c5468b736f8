"""Compiled plans in the user's cache: found by all that makes them valid, written whole, never trusted unseen."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from ros2_raxels.engine import EngineError
from ros2_raxels.utils.files import FileError, replacing, user_folder, write_json

IF_STALE, NEVER, ALWAYS = "if_stale", "never", "always"
BUILD_POLICIES = (IF_STALE, NEVER, ALWAYS)
"""When a plan is compiled: when none fits, not at all, or at every start."""

FORMAT = 1
"""Of the sidecar; a plan with another one is set aside."""

REPORT_EVERY_S = 5.0

_PLAN, _SIDECAR, _BAD, _REASON, _LOCK = ".plan", ".json", ".bad", ".bad.txt", ".lock"
_TIMING, _KERNELS = ".timing", ".kernels"
_ALL = (_PLAN, _SIDECAR, _BAD, _REASON, _LOCK, _TIMING, _KERNELS)
_POLL_S = 0.1
_ADVICE = "free space there, change its permissions, or set XDG_CACHE_HOME to another folder"

Say = Callable[[str], None]
Sides = dict[str, tuple[int, int, int]]
"""Least, usual and greatest length of every named side."""


@dataclass(frozen=True)
class PlanKey:
    """All that a plan depends on; with any of it changed the plan is another one.

    Attributes:
        graph: name of the ONNX file, without its suffix.
        onnx_sha256: of that file.
        precision: as the card says.
        sides: that it is compiled for.
        flavour: "tensorrt" or "tensorrt_rtx".
        version: of it.
        target: compute capability, like "sm89".
        architecture: of the machine that runs it, like "x86_64".
    """

    graph: str
    onnx_sha256: str
    precision: str
    sides: Sides
    flavour: str
    version: str
    target: str
    architecture: str

    @property
    def name(self) -> str:
        """Of the files."""
        return f"{self.graph}-{self.target}-{_digest(json.dumps(asdict(self), sort_keys=True).encode())[:16]}"


@dataclass(frozen=True)
class Plan:
    """A compiled graph.

    Attributes:
        content: as TensorRT serialized it.
        facts: about it: inputs, outputs, layers, seconds.
    """

    content: bytes
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A file of the cache, for eyes.

    Attributes:
        name: of the plan.
        size_bytes: of the plan.
        record: its sidecar; empty where there is none.
        reason: why it was set aside; empty for a good one.
    """

    name: str
    size_bytes: int
    record: dict[str, Any]
    reason: str


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/ros2_raxels/engines``, below ``~/.cache`` without the variable."""
    return user_folder("XDG_CACHE_HOME", ".cache") / "engines"


class PlanStore:
    """A folder of plans. Safe for several processes.

    Args:
        folder: None takes the default.
        say: told in a line what takes long or went wrong.
    """

    def __init__(self, folder: Path | None = None, say: Say = lambda _: None) -> None:
        self.folder = default_folder() if folder is None else folder
        self._say = say

    def obtain(self, key: PlanKey, build: Callable[[], Plan], policy: str = IF_STALE) -> Plan:
        """A plan that fits, compiled if need be; where it cannot be kept it is used all the same, and said.

        Raises:
            EngineError: none is there and the policy says never, it cannot be compiled, or the folder cannot be
                trusted.
        """
        found = None if policy == ALWAYS else self.find(key)
        if found is not None:
            return found
        if policy == NEVER:
            raise EngineError(
                f"no plan {key.name} in {self.folder} and build_policy is never; run `raxels engine build` or set "
                "build_policy to if_stale"
            )
        return self.build(key, build, again=policy == ALWAYS)

    def build(self, key: PlanKey, build: Callable[[], Plan], *, again: bool = False, must_keep: bool = False) -> Plan:
        """Compile and keep a plan, or take the one that another process has just made.

        Args:
            key: of the plan.
            build: compiles it.
            again: even if there is one.
            must_keep: failing to write it is an error, not only said.

        Raises:
            EngineError: it cannot be compiled, or not be kept although it must.
        """
        try:
            self._open_folder(key.name)
        except EngineError as error:
            if must_keep:
                raise
            return self._unkept(build(), str(error))
        with self._locked(key.name):
            found = None if again else self._find_alone(key)
            if found is not None:
                return found
            plan = build()
            try:
                self._write(key, plan)
            except (OSError, FileError) as error:
                reason = (
                    f"plan {key.name} cannot be written to {self.folder}: {error}; free space, or set XDG_CACHE_HOME"
                )
                if must_keep:
                    raise EngineError(reason) from error
                return self._unkept(plan, reason)
        return plan

    def _unkept(self, plan: Plan, reason: str) -> Plan:
        self._say(f"the plan is not kept and will be compiled again at the next start: {reason}")
        return plan

    def find(self, key: PlanKey) -> Plan | None:
        """The plan of a key, whole and with the checksum that it was written with; a bad one is set aside.

        Raises:
            EngineError: the folder belongs to somebody else, or the plan may not be read.
        """
        plan, problem = self._look(key)
        if not problem:
            return plan
        # Another process may be half-way through writing it.
        with self._locked(key.name):
            return self._find_alone(key)

    def _find_alone(self, key: PlanKey) -> Plan | None:
        """`find`, while no other process writes."""
        plan, problem = self._look(key)
        if problem:
            self.set_aside(key, problem)
        return plan

    def _look(self, key: PlanKey) -> tuple[Plan | None, str]:
        """A plan, or else what is wrong with it; neither where there is none."""
        plan = self._path(key.name, _PLAN)
        try:
            content = plan.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            raise EngineError(f"{plan} cannot be read ({error.strerror}); {_ADVICE}") from error
        self._check_owner()
        try:
            record = json.loads(self._path(key.name, _SIDECAR).read_text(encoding="utf-8"))
            problem = _problem(record, key, content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"its sidecar cannot be read ({type(error).__name__}: {error})"
        return (None, problem) if problem else (Plan(content, record["facts"]), "")

    def set_aside(self, key: PlanKey, reason: str) -> None:
        """Keep a bad plan out of the way, with the reason beside it, and say so."""
        self._say(f"plan {key.name} is set aside: {reason}")
        # In a cache that cannot be written to it stays where it is, and is found bad again.
        with contextlib.suppress(OSError):
            self._path(key.name, _PLAN).replace(self._path(key.name, _BAD))
            self._path(key.name, _SIDECAR).unlink(missing_ok=True)
            self._path(key.name, _REASON).write_text(reason + "\n", encoding="utf-8")

    def kernels(self, key: PlanKey) -> Path:
        """Where what is compiled for a plan at run time is kept."""
        return self._path(key.name, _KERNELS)

    def timing(self, key: PlanKey) -> Path | None:
        """Where timings of builds with the same TensorRT for the same device are kept; None without a folder."""
        name = f"{key.flavour}-{key.version}-{key.target}-{key.architecture}"
        return self._path(name, _TIMING) if self.folder.is_dir() else None

    def entries(self) -> list[Entry]:
        """All plans, good and set aside, by name."""
        found = []
        for path in sorted(self.folder.glob(f"*{_PLAN}")) + sorted(self.folder.glob(f"*{_BAD}")):
            record, reason = {}, ""
            with contextlib.suppress(OSError, ValueError):
                if path.suffix == _BAD:
                    reason = path.with_suffix(_REASON).read_text(encoding="utf-8").strip()
                else:
                    record = json.loads(path.with_suffix(_SIDECAR).read_text(encoding="utf-8"))
            found.append(Entry(path.stem, path.stat().st_size, record, reason))
        return found

    def clear(self) -> tuple[int, int]:
        """Remove all that this class has written: files and bytes that are gone.

        Raises:
            EngineError: a file cannot be removed.
        """
        files = [p for s in _ALL for p in self.folder.glob(f"*{s}")]
        size = 0
        for path in files:
            try:
                size += path.stat().st_size
                path.unlink()
            except OSError as error:
                raise EngineError(f"{path} cannot be removed ({error.strerror}); change its permissions") from error
        return len(files), size

    def _open_folder(self, name: str) -> None:
        """See that a plan of this name could be written."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"{self.folder} cannot be made ({error.strerror}); {_ADVICE}") from error
        self._check_owner()
        try:
            self._path(name, _LOCK).touch(mode=0o600)
        except OSError as error:
            raise EngineError(f"{self.folder} cannot be written to ({error.strerror}); {_ADVICE}") from error

    def _check_owner(self) -> None:
        # A plan is code for the GPU: one that others can put there is theirs to choose.
        status = self.folder.stat()
        if status.st_uid != os.geteuid():
            raise EngineError(
                f"{self.folder} belongs to user {status.st_uid}, this process is user {os.geteuid()}; set "
                "XDG_CACHE_HOME to a folder of its own"
            )
        if status.st_mode & 0o002:
            raise EngineError(f"{self.folder} can be written to by everybody; run `chmod o-w {self.folder}`")

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"

    def _write(self, key: PlanKey, plan: Plan) -> None:
        # The plan first: without its sidecar it counts as bad, and nobody looks while this process has the lock.
        with replacing(self._path(key.name, _PLAN)) as temporary:
            temporary.write_bytes(plan.content)
        record = {
            "format": FORMAT,
            "key": asdict(key),
            "plan_sha256": _digest(plan.content),
            "plan_bytes": len(plan.content),
            "facts": plan.facts,
        }
        write_json(self._path(key.name, _SIDECAR), record, indent=1)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One process at a time for a name; the lock is gone with the process, however it ends."""
        try:
            file = self._path(name, _LOCK).open("w")
        except OSError:
            # Where this process may not write, there is nothing that it could spoil.
            file = None
        if file is None:
            yield
            return
        with file:
            self._wait_for(file, name)
            yield

    def _wait_for(self, file: IO[str], name: str) -> None:
        begun = reported = time.monotonic()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                now = time.monotonic()
                if now - reported >= REPORT_EVERY_S:
                    reported = now
                    self._say(f"waiting {now - begun:.0f} s for another process that compiles {name}")
                time.sleep(_POLL_S)
            except OSError as error:
                # Some network file systems have no locks; files are still replaced whole.
                self._say(f"{self.folder} has no locks ({error.strerror}): another process may compile {name} too")
                return


def keep(path: Path, content: bytes) -> None:
    """Write a file that only saves time later, whole or not at all; where that cannot be, nothing happens."""
    with contextlib.suppress(OSError, FileError), replacing(path) as temporary:
        temporary.write_bytes(content)


def check_room(folder: Path, disk_bytes: int, memory_bytes: int) -> None:
    """See before a build that it can end well.

    Raises:
        EngineError: too little memory, or disk where the folder is or will be.
    """
    free = free_memory_bytes()
    if free is not None and free < memory_bytes:
        raise EngineError(
            f"{free / 1e6:.0f} MB of memory are free, compiling needs {memory_bytes / 1e6:.0f} MB; end something, or "
            "compile on another machine with `raxels engine build`"
        )
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    left = shutil.disk_usage(there).free
    if left < disk_bytes:
        raise EngineError(
            f"{left / 1e6:.0f} MB of disk are free at {there}, a plan needs {disk_bytes / 1e6:.0f} MB; {_ADVICE}"
        )


def free_memory_bytes(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What can still be taken, by the machine and by the container's own limit; None where nobody tells."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    # "max" is no number and no limit.
    with contextlib.suppress(OSError, ValueError):
        found.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return min(found, default=None)


def _problem(record: dict[str, Any], key: PlanKey, content: bytes) -> str:
    """Why a plan is not the one that the key means; empty when it is."""
    if record["format"] != FORMAT:
        return f"its sidecar is of format {record['format']}, this version reads {FORMAT}"
    wanted = json.loads(json.dumps(asdict(key)))
    other = sorted(name for name in wanted if record["key"].get(name) != wanted[name])
    if other:
        return f"it is of another {', '.join(other)}"
    if len(content) != record["plan_bytes"]:
        return f"it has {len(content)} bytes instead of {record['plan_bytes']}"
    if _digest(content) != record["plan_sha256"]:
        return "its content is not what was written"
    record["facts"]["inputs"], record["facts"]["outputs"]
    return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""Compiled plans in the user's cache: found by all that they depend on, written atomically, verified before use."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ros2_raxels.engine import EngineError, Say
from ros2_raxels.engine.plan import Plan, PlanKey
from ros2_raxels.engine.process_lock import one_process
from ros2_raxels.utils.files import FileError, replacing, user_folder, write_json

IF_STALE, NEVER, ALWAYS = "if_stale", "never", "always"
BUILD_POLICIES = (IF_STALE, NEVER, ALWAYS)
"""When a plan is compiled: when none fits, not at all, or at every start."""

FORMAT = 1
"""Of the sidecar; a plan whose sidecar has another format is set aside."""

_PLAN, _SIDECAR, _BAD, _REASON, _LOCK = ".plan", ".json", ".bad", ".bad.txt", ".lock"
_TIMING, _KERNELS = ".timing", ".kernels"
_ALL = (_PLAN, _SIDECAR, _BAD, _REASON, _LOCK, _TIMING, _KERNELS)

CACHE_ADVICE = "free space there, change its permissions, or set XDG_CACHE_HOME to another folder"
"""Ends messages about a folder of plans that cannot be used."""


@dataclass(frozen=True)
class Entry:
    """A plan of the cache, for listings.

    Attributes:
        name: of the plan.
        size_bytes: of the plan.
        record: its sidecar; empty where there is none or it cannot be read.
        reason: why the plan was set aside; empty for a good one.
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
        folder: None takes `default_folder`.
        say: told in a line what takes long or goes wrong.
    """

    def __init__(self, folder: Path | None = None, say: Say = lambda _: None) -> None:
        self.folder = default_folder() if folder is None else folder
        self._say = say

    def obtain(self, key: PlanKey, build: Callable[[], Plan], policy: str = IF_STALE) -> Plan:
        """The plan of a key, compiled if need be. A plan that cannot be kept is used all the same, with a warning.

        Args:
            key: of the plan.
            build: compiles it.
            policy: one of `BUILD_POLICIES`.

        Raises:
            EngineError: there is none and the policy is never, it cannot be compiled, or the folder cannot be trusted.
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
            again: compile even if there is one.
            must_keep: failing to keep it is an error, not only a warning.

        Raises:
            EngineError: it cannot be compiled, or cannot be kept although it must.
        """
        try:
            self._open_folder(key.name)
        except EngineError as error:
            if must_keep:
                raise
            return self._unkept(build(), str(error))
        with one_process(self._path(key.name, _LOCK), key.name, self._say):
            found = None if again else self._find_alone(key)
            return self._built(key, build, must_keep) if found is None else found

    def _built(self, key: PlanKey, build: Callable[[], Plan], must_keep: bool) -> Plan:
        """Compile a plan and write it, while this process holds the lock."""
        plan = build()
        try:
            self._write(key, plan)
        except (OSError, FileError) as error:
            reason = f"plan {key.name} cannot be written to {self.folder}: {error}; free space, or set XDG_CACHE_HOME"
            if must_keep:
                raise EngineError(reason) from error
            return self._unkept(plan, reason)
        return plan

    def _unkept(self, plan: Plan, reason: str) -> Plan:
        self._say(f"the plan is not kept and will be compiled again at the next start: {reason}")
        return plan

    def find(self, key: PlanKey) -> Plan | None:
        """The plan of a key, with its checksum verified; a bad one is set aside.

        Raises:
            EngineError: the folder belongs to somebody else, or the plan may not be read.
        """
        plan, problem = self._look(key)
        if not problem:
            return plan
        # Another process may be half-way through writing it.
        with one_process(self._path(key.name, _LOCK), key.name, self._say):
            return self._find_alone(key)

    def _find_alone(self, key: PlanKey) -> Plan | None:
        """`find`, while this process holds the lock."""
        plan, problem = self._look(key)
        if problem:
            self.set_aside(key, problem)
        return plan

    def _look(self, key: PlanKey) -> tuple[Plan | None, str]:
        """The plan, or what is wrong with it; None and no words where there is none."""
        plan = self._path(key.name, _PLAN)
        try:
            content = plan.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            raise EngineError(f"{plan} cannot be read ({error.strerror}); {CACHE_ADVICE}") from error
        self._check_owner()
        try:
            record = json.loads(self._path(key.name, _SIDECAR).read_text(encoding="utf-8"))
            problem = _problem(record, key, content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"its sidecar cannot be read ({type(error).__name__}: {error})"
        return (None, problem) if problem else (Plan(content, record["facts"]), "")

    def set_aside(self, key: PlanKey, reason: str) -> None:
        """Rename a bad plan, write the reason beside it, and say so."""
        self._say(f"plan {key.name} is set aside: {reason}")
        # In a read-only cache it stays where it is, and is found bad again.
        with contextlib.suppress(OSError):
            self._path(key.name, _PLAN).replace(self._path(key.name, _BAD))
            self._path(key.name, _SIDECAR).unlink(missing_ok=True)
            self._path(key.name, _REASON).write_text(reason + "\n", encoding="utf-8")

    def kernels(self, key: PlanKey) -> Path:
        """File for the kernels that are compiled for a plan at run time."""
        return self._path(key.name, _KERNELS)

    def timing(self, key: PlanKey) -> Path | None:
        """File for the timings of builds with the same TensorRT for the same target; None without a folder."""
        name = f"{key.flavour}-{key.version}-{key.target}-{key.architecture}"
        return self._path(name, _TIMING) if self.folder.is_dir() else None

    def entries(self) -> list[Entry]:
        """All plans, the good ones by name, then those set aside."""
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
        """Remove everything that this class has written; returns the number of files and of bytes removed.

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
        """Create the folder, and check that a plan of this name could be written."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"{self.folder} cannot be made ({error.strerror}); {CACHE_ADVICE}") from error
        self._check_owner()
        try:
            self._path(name, _LOCK).touch(mode=0o600)
        except OSError as error:
            raise EngineError(f"{self.folder} cannot be written to ({error.strerror}); {CACHE_ADVICE}") from error

    def _check_owner(self) -> None:
        # A plan is code that the GPU runs: nobody else may put it there.
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
        # The plan first: without its sidecar it counts as bad, and nobody looks while this process holds the lock.
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


def keep(path: Path, content: bytes) -> None:
    """Write a file that only saves time later, atomically; if it cannot be written, nothing happens."""
    with contextlib.suppress(OSError, FileError), replacing(path) as temporary:
        temporary.write_bytes(content)


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

"""engine.process_lock: one holder at a time, who is waited for out loud; nobody waits where locks cannot be had."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from ros2_raxels.engine import process_lock
from ros2_raxels.engine.process_lock import one_process


def test_the_lock_has_one_holder_at_a_time_and_waiting_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_lock, "REPORT_EVERY_S", 0.0)
    path, said, order = tmp_path / "rays.lock", [], []
    waits = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waits.set()

    def second() -> None:
        with one_process(path, "rays", say):
            order.append("second")

    with one_process(path, "rays", pytest.fail):
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(30.0)
        order.append("first")
    other.join(30.0)
    assert order == ["first", "second"]
    assert said[0] == "waiting 0 s for another process that compiles rays"


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), one_process(tmp_path / "rays.lock", "rays", pytest.fail):
        raise KeyError("rays")
    with one_process(tmp_path / "rays.lock", "rays", pytest.fail):
        pass


def test_a_file_that_cannot_be_opened_is_no_lock(tmp_path: Path) -> None:
    done = []
    with one_process(tmp_path / "no folder" / "rays.lock", "rays", pytest.fail):
        done.append(1)
    assert done == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_not_waited_for_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    said: list[str] = []
    with one_process(tmp_path / "rays.lock", "rays", said.append):
        pass
    assert said == [f"{tmp_path} has no locks (No locks available): another process may compile rays too"]

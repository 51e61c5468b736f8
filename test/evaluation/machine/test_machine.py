"""What numbers of speed depend on: processor, cores, versions."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timedelta, timezone
from importlib import metadata

import numpy as np
import pytest

from ros2_raxels import __version__
from ros2_raxels.evaluation.machine import machine as module
from ros2_raxels.evaluation.machine.machine import cores, machine, matrix_product_gflops, origin
from ros2_raxels.utils.memory import peak_rss_bytes, rss_bytes


def test_the_machine_is_described_by_processor_cores_and_versions() -> None:
    found = machine()
    assert found["cores"] == cores() == len(os.sched_getaffinity(0))
    assert (found["python"], found["numpy"]) == (platform.python_version(), np.__version__)
    assert found["ros2_raxels"] == __version__
    assert found["cpu"]


def test_a_report_begins_with_machine_command_and_time() -> None:
    found = origin("raxels benchmark")
    assert list(found) == ["machine", "command", "time"]
    assert (found["machine"], found["command"]) == (machine(), "raxels benchmark")
    assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(found["time"])) < timedelta(minutes=1)


def test_what_is_not_known_is_none_and_a_processor_always_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    def unreadable(path: object, **options: object) -> str:
        raise OSError

    monkeypatch.setattr(module.metadata, "version", missing)
    monkeypatch.setattr(module.Path, "read_text", unreadable)
    found = machine()
    assert found["onnxruntime"] is None
    assert found["cpu"] in (platform.processor(), platform.machine())


def test_the_processor_is_measured() -> None:
    assert 0.5 < matrix_product_gflops(1, seconds=0.1) < 1e5
    assert 10e6 < rss_bytes() <= peak_rss_bytes()

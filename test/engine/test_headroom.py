"""engine.headroom: too little memory or disk space is an error before anything is compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from ros2_raxels.engine import EngineError, headroom
from ros2_raxels.engine.headroom import check_room


def test_too_little_memory_or_disk_space_is_an_error_with_both_numbers(tmp_path: Path) -> None:
    check_room(tmp_path / "not" / "yet" / "there", 0, 0)
    with pytest.raises(EngineError, match=r"MB of memory are free, compiling needs 1000000000 MB; end something"):
        check_room(tmp_path, 0, 10**15)
    with pytest.raises(EngineError, match=f"MB of disk are free at {tmp_path}, a plan needs 1000000000 MB; free space"):
        check_room(tmp_path / "not" / "yet", 10**15, 0)


def test_the_limit_of_a_container_counts_as_memory(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    5000 kB\n")
    assert headroom.free_memory_bytes(meminfo, tmp_path) == 5_120_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert headroom.free_memory_bytes(meminfo, tmp_path) == 5_120_000
    (tmp_path / "memory.max").write_text("3000000\n")
    assert headroom.free_memory_bytes(meminfo, tmp_path) == 2_000_000
    assert headroom.free_memory_bytes(tmp_path / "gone", tmp_path / "gone") is None

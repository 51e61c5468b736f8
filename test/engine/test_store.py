"""engine.store: plans that are found by all they depend on, and are never trusted unseen."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from plan_parts import KEY, PLAN
from ros_testing import ROOT, wait_until

from ros2_raxels.cli.main import main
from ros2_raxels.engine import EngineError, store
from ros2_raxels.engine.store import ALWAYS, NEVER, Plan, PlanStore, check_room, default_folder

NOBODY = 65534


class Builder:
    """Counts its calls."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.plan, self.calls = plan, 0

    def __call__(self) -> Plan:
        self.calls += 1
        return self.plan


def unwanted() -> Plan:
    pytest.fail("compiled although a plan is there")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> PlanStore:
    return PlanStore(tmp_path / "engines", said.append)


def files(cache: PlanStore) -> set[str]:
    return {path.name for path in cache.folder.iterdir()}


# ------------------------------------------------------------------------------------------------------------- finding


def test_a_plan_is_compiled_once_and_comes_back_as_it_was(cache: PlanStore, said: list[str]) -> None:
    builder = Builder()
    assert cache.obtain(KEY, builder) == PLAN
    assert cache.obtain(KEY, unwanted) == PLAN
    assert PlanStore(cache.folder).obtain(KEY, unwanted, NEVER) == PLAN
    assert (builder.calls, said) == (1, [])
    assert files(cache) == {f"{KEY.name}{suffix}" for suffix in (".plan", ".json", ".lock")}
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    record = json.loads((cache.folder / f"{KEY.name}.json").read_text())
    assert record["key"] == json.loads(json.dumps(KEY.__dict__))
    assert record["plan_bytes"] == 4000
    # printf 'plan%.0s' {1..1000} | sha256sum
    assert record["plan_sha256"] == "8853a1fef8f8d54c1c69b435f16eaf8338a077ffd08abcf38b268377ff7aa2a1"


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "cd" * 32},
        {"precision": "fp32"},
        {"sides": {"frames": (2, 4, 9)}},
        {"flavour": "tensorrt"},
        {"version": "1.8"},
        {"target": "sm120"},
        {"architecture": "aarch64"},
        {"graph": "encode"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_thing_that_a_plan_depends_on_makes_it_another(cache: PlanStore, change: dict[str, object]) -> None:
    cache.obtain(KEY, Builder())
    other = replace(KEY, **change)
    assert other.name != KEY.name
    builder = Builder(Plan(b"other", PLAN.facts))
    assert cache.obtain(other, builder).content == b"other"
    assert builder.calls == 1
    assert cache.obtain(KEY, unwanted) == PLAN


def test_never_is_a_refusal_that_says_what_to_do(cache: PlanStore) -> None:
    with pytest.raises(EngineError, match=f"no plan {KEY.name} in {cache.folder} .*run `raxels engine build`"):
        cache.obtain(KEY, unwanted, NEVER)
    assert not cache.folder.exists()


def test_always_compiles_although_one_is_there(cache: PlanStore) -> None:
    cache.obtain(KEY, Builder())
    builder = Builder(Plan(b"new", PLAN.facts))
    assert cache.obtain(KEY, builder, ALWAYS).content == b"new"
    assert builder.calls == 1
    assert cache.find(KEY) == builder.plan


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "ros2_raxels" / "engines"
    monkeypatch.setenv("HOME", "/home/robot")
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_folder() == Path("/home/robot/.cache/ros2_raxels/engines")


# ------------------------------------------------------------------------------------------------------------ bad plans


def _truncate(plan: Path, _: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:100])


def _flip(plan: Path, _: Path) -> None:
    content = bytearray(plan.read_bytes())
    content[2000] ^= 1
    plan.write_bytes(content)


def _lose_sidecar(_: Path, sidecar: Path) -> None:
    sidecar.unlink()


def _garble(_: Path, sidecar: Path) -> None:
    sidecar.write_bytes(b"\xff{")


def _empty(_: Path, sidecar: Path) -> None:
    sidecar.write_text("{}")


def _list(_: Path, sidecar: Path) -> None:
    sidecar.write_text("[]")


def _other_format(_: Path, sidecar: Path) -> None:
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"format": 99}))


def _no_facts(_: Path, sidecar: Path) -> None:
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"facts": {}}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_truncate, "it has 100 bytes instead of 4000"),
        (_flip, "its content is not what was written"),
        (_lose_sidecar, "its sidecar cannot be read (FileNotFoundError"),
        (_garble, "its sidecar cannot be read (UnicodeDecodeError"),
        (_empty, "its sidecar cannot be read (KeyError: 'format')"),
        (_list, "its sidecar cannot be read (TypeError"),
        (_other_format, "its sidecar is of format 99, this version reads 1"),
        (_no_facts, "its sidecar cannot be read (KeyError: 'inputs')"),
    ],
)
def test_a_bad_plan_is_set_aside_with_its_reason_and_compiled_again(
    cache: PlanStore, said: list[str], spoil: Callable[[Path, Path], None], reason: str
) -> None:
    cache.obtain(KEY, Builder())
    plan = cache.folder / f"{KEY.name}.plan"
    spoil(plan, plan.with_suffix(".json"))
    spoilt, builder = plan.read_bytes(), Builder()
    assert cache.obtain(KEY, builder) == PLAN
    assert builder.calls == 1
    assert len(said) == 1
    assert said[0].startswith(f"plan {KEY.name} is set aside: {reason}")
    assert plan.with_suffix(".bad").read_bytes() == spoilt
    assert plan.with_suffix(".bad.txt").read_text().startswith(reason)
    assert cache.obtain(KEY, unwanted) == PLAN


def test_a_plan_of_another_key_under_this_name_is_not_used(cache: PlanStore, said: list[str]) -> None:
    other = replace(KEY, target="sm120", version="1.8")
    cache.obtain(other, Builder(Plan(b"other", PLAN.facts)))
    for suffix in (".plan", ".json"):
        (cache.folder / f"{other.name}{suffix}").rename(cache.folder / f"{KEY.name}{suffix}")
    assert cache.obtain(KEY, Builder()) == PLAN
    assert said == [f"plan {KEY.name} is set aside: it is of another target, version"]


def test_a_bad_plan_is_not_replaced_when_the_policy_is_never(cache: PlanStore) -> None:
    cache.obtain(KEY, Builder())
    _truncate(cache.folder / f"{KEY.name}.plan", Path())
    with pytest.raises(EngineError, match="build_policy is never"):
        cache.obtain(KEY, unwanted, NEVER)


def test_list_and_clear_know_good_and_bad(cache: PlanStore) -> None:
    assert (cache.entries(), cache.clear()) == ([], (0, 0))
    cache.obtain(KEY, Builder())
    bad = replace(KEY, graph="encode")
    cache.obtain(bad, Builder())
    cache.set_aside(bad, "it does not load")
    (cache.folder / "notes.txt").write_text("of the user")
    good, aside = cache.entries()
    assert (good.name, good.size_bytes, good.reason) == (KEY.name, 4000, "")
    assert good.record["facts"] == PLAN.facts
    assert (aside.name, aside.size_bytes, aside.reason) == (bad.name, 4000, "it does not load")
    removed, size = cache.clear()
    assert removed == 6
    assert size > 8000
    assert files(cache) == {"notes.txt"}


def test_the_command_lists_good_and_bad_plans(cache: PlanStore, capsys: pytest.CaptureFixture[str]) -> None:
    graphs = ("a_good", "b_aside", "c_alone")
    keys = [replace(KEY, graph=graph) for graph in graphs]
    for key in keys:
        cache.obtain(key, Builder())
    cache.set_aside(keys[1], "it does not load")
    (cache.folder / f"{keys[2].name}.json").write_text("[]")
    assert main(["engine", "list", "--cache", str(cache.folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{keys[0].name}  0.0 MB  tensorrt_rtx 1.7, mixed, 1.5 s to compile",
        f"{keys[2].name}  0.0 MB  its sidecar is missing or damaged: it will not be used",
        f"{keys[1].name}  0.0 MB  set aside: it does not load",
        f"3 plans in {cache.folder}",
    ]
    assert main(["engine", "clear", "--cache", str(cache.folder)]) == 0
    assert files(cache) == set()


# ------------------------------------------------------------------------------------------------- several processes

SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from plan_parts import KEY, PLAN
from ros2_raxels.engine import store
store.REPORT_EVERY_S = 0.2
def build():
    with Path(sys.argv[2]).open("a") as file:
        file.write("compiled\\n")
    time.sleep(float(sys.argv[3]))
    return PLAN
assert store.PlanStore(Path(sys.argv[1]), lambda line: print(line, flush=True)).obtain(KEY, build) == PLAN
print("done", flush=True)
"""


def process(cache: PlanStore, calls: Path, compile_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(cache.folder), str(calls), str(compile_s), str(ROOT / "test")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


def test_processes_that_start_at_once_compile_once_and_say_what_they_wait_for(cache: PlanStore, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    started = [process(cache, calls, 1.5) for _ in range(3)]
    outputs = sorted(p.communicate(timeout=30)[0] for p in started)
    assert [p.returncode for p in started] == [0, 0, 0], outputs
    assert calls.read_text() == "compiled\n"
    # Processes that come late find the plan and wait for nobody; of three, two cannot both be 1.5 s late.
    assert any(f"for another process that compiles {KEY.name}" in output for output in outputs)
    assert all(output.endswith("done\n") for output in outputs)


def test_a_plan_that_another_process_is_just_writing_is_waited_for(cache: PlanStore, said: list[str]) -> None:
    cache.obtain(KEY, Builder())
    sidecar = cache.folder / f"{KEY.name}.json"
    facts = sidecar.read_bytes()
    sidecar.unlink()
    has_lock = threading.Event()

    def write() -> None:
        with cache._locked(KEY.name):
            has_lock.set()
            time.sleep(0.3)
            sidecar.write_bytes(facts)

    other = threading.Thread(target=write)
    other.start()
    assert has_lock.wait(5.0)
    assert cache.find(KEY) == PLAN
    other.join()
    assert said == []


def test_a_killed_process_leaves_neither_its_lock_nor_half_a_plan(cache: PlanStore, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    first = process(cache, calls, 60.0)
    wait_until(calls.exists, 20.0, "first process compiling")
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    begun = time.monotonic()
    assert cache.obtain(KEY, Builder()) == PLAN
    assert time.monotonic() - begun < 10.0
    assert files(cache) == {f"{KEY.name}{suffix}" for suffix in (".plan", ".json", ".lock")}


# --------------------------------------------------------------------------------------------------------- bad machines

LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from plan_parts import KEY, PLAN
from ros2_raxels.engine.store import PlanStore
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
said = []
cache = PlanStore(Path(sys.argv[1]), said.append)
assert cache.obtain(KEY, lambda: PLAN) == PLAN
print(said[0])
try:
    cache.build(KEY, lambda: PLAN, must_keep=True)
except RuntimeError as error:
    print(error)
"""


def test_a_plan_that_cannot_be_written_is_used_all_the_same(cache: PlanStore) -> None:
    command = [sys.executable, "-c", LIMITED, str(cache.folder), str(ROOT / "test")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert ran.returncode == 0, ran.stderr
    why = f"plan {KEY.name} cannot be written to {cache.folder}: [Errno 27] File too large"
    said, refused = ran.stdout.splitlines()
    assert said.startswith(f"the plan is not kept and will be compiled again at the next start: {why}")
    assert refused.startswith(why)
    assert "XDG_CACHE_HOME" in refused
    assert files(cache) == {f"{KEY.name}.lock"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach and read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """This process as somebody whom permissions apply to."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_in_a_home_that_cannot_be_written_to_the_plan_is_used_all_the_same(open_folder: Path, said: list[str]) -> None:
    open_folder.chmod(0o555)
    cache = PlanStore(open_folder / "ros2_raxels" / "engines", said.append)
    with another_user():
        assert cache.obtain(KEY, Builder()) == PLAN
        with pytest.raises(EngineError, match=f"{cache.folder} cannot be made .Permission denied.; .*XDG_CACHE_HOME"):
            cache.build(KEY, unwanted, must_keep=True)
    assert len(said) == 1
    assert said[0].startswith("the plan is not kept and will be compiled again at the next start: ")
    open_folder.chmod(0o755)


def test_a_cache_that_may_not_be_read_is_named(open_folder: Path) -> None:
    cache = PlanStore(open_folder / "engines")
    cache.obtain(KEY, Builder())
    cache.folder.chmod(0)
    with another_user(), pytest.raises(EngineError, match=rf"{KEY.name}.plan cannot be read .Permission denied.; "):
        cache.obtain(KEY, unwanted)
    cache.folder.chmod(0o700)


def test_a_file_system_without_locks_is_said_and_served(
    cache: PlanStore, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert cache.obtain(KEY, Builder()) == PLAN
    assert said == [f"{cache.folder} has no locks (No locks available): another process may compile {KEY.name} too"]
    assert cache.obtain(KEY, unwanted) == PLAN


def test_what_only_saves_time_is_kept_where_it_can_be(tmp_path: Path) -> None:
    store.keep(tmp_path / "a.timing", b"abc")
    assert (tmp_path / "a.timing").read_bytes() == b"abc"
    store.keep(tmp_path / "not there" / "a.timing", b"abc")
    assert [path.name for path in tmp_path.iterdir()] == ["a.timing"]


def test_where_the_cache_should_be_is_a_file(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "engines").write_text("")
    assert PlanStore(tmp_path / "engines", said.append).obtain(KEY, Builder()) == PLAN
    assert f"{tmp_path / 'engines'} cannot be made (File exists)" in said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_plans_of_somebody_else_are_not_run(cache: PlanStore, said: list[str]) -> None:
    cache.obtain(KEY, Builder())
    os.chown(cache.folder, 12345, -1)
    with pytest.raises(
        EngineError, match=f"{cache.folder} belongs to user 12345, this process is user 0; set XDG_CACH"
    ):
        cache.obtain(KEY, unwanted)
    assert cache.obtain(replace(KEY, graph="encode"), Builder()) == PLAN
    assert "the plan is not kept" in said[0]
    assert "belongs to user 12345" in said[0]


def test_plans_that_anybody_may_replace_are_not_run(cache: PlanStore) -> None:
    cache.obtain(KEY, Builder())
    cache.folder.chmod(0o777)
    with pytest.raises(EngineError, match=f"{cache.folder} can be written to by everybody; run `chmod o-w"):
        cache.obtain(KEY, unwanted)


def test_room_is_checked_before_the_work(tmp_path: Path) -> None:
    check_room(tmp_path / "not" / "yet" / "there", 0, 0)
    with pytest.raises(EngineError, match=r"MB of memory are free, compiling needs 1000000000 MB; end something"):
        check_room(tmp_path, 0, 10**15)
    with pytest.raises(EngineError, match=f"MB of disk are free at {tmp_path}, a plan needs 1000000000 MB; free space"):
        check_room(tmp_path / "not" / "yet", 10**15, 0)


def test_the_limit_of_a_container_counts_as_memory(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    5000 kB\n")
    assert store.free_memory_bytes(meminfo, tmp_path) == 5_120_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert store.free_memory_bytes(meminfo, tmp_path) == 5_120_000
    (tmp_path / "memory.max").write_text("3000000\n")
    assert store.free_memory_bytes(meminfo, tmp_path) == 2_000_000
    assert store.free_memory_bytes(tmp_path / "gone", tmp_path / "gone") is None

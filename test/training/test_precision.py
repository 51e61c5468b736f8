"""training.precision: bf16 where the device has it in hardware, and what is said of the choice."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ros2_raxels.training import precision  # noqa: E402
from ros2_raxels.training.precision import choose_bf16, has_bf16  # noqa: E402


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512bw\n", False),
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx512f amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd i8mm bf16\n", True),
        ("Features\t: fp asimd\n", False),
    ],
)
def test_a_cpu_has_bf16_if_its_flags_say_so(tmp_path: Path, cpuinfo: str, expected: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{cpuinfo}")
    assert has_bf16("cpu", file) == expected


def test_where_no_flags_can_be_read_nothing_is_promised(tmp_path: Path) -> None:
    assert not has_bf16("cpu", tmp_path / "cpuinfo")


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 6), True), ((9, 0), True)])
def test_a_gpu_has_bf16_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert has_bf16("cuda:1") == expected


@pytest.mark.parametrize("there", [True, False])
def test_the_choice_is_that_of_the_hardware_unless_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: there)
    bf16, words = choose_bf16("auto", "cpu")
    assert bf16 is there
    assert words.startswith("precision bf16, which cpu has" if there else "precision fp32: cpu has no bf16 in hardware")
    assert choose_bf16("bf16", "cpu") == (True, "precision bf16, as asked for")
    assert choose_bf16("fp32", "cpu") == (False, "precision fp32, as asked for")

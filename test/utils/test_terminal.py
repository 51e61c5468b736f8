"""terminal: Ctrl-C and SIGTERM end a command alike, and the line of progress suits where it is shown."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from ros2_raxels.utils import terminal
from ros2_raxels.utils.terminal import StatusLine, interruptible

CapSys = pytest.CaptureFixture[str]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_interrupt_and_are_remembered(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with interruptible() as interrupted:
        assert not interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert interrupted.is_set()
    assert signal.getsignal(number) is before


def test_handlers_are_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), interruptible():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_terminal_has_one_line_that_is_overwritten(monkeypatch: pytest.MonkeyPatch, capsys: CapSys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = StatusLine()
    line.show("1 frame")
    line.show("2 frames")
    line.keep("done")
    assert capsys.readouterr().err == "\r\x1b[2K1 frame\r\x1b[2K2 frames\r\x1b[2Kdone\n"


def test_elsewhere_a_line_comes_every_few_seconds(monkeypatch: pytest.MonkeyPatch, capsys: CapSys) -> None:
    now_s = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now_s[0])
    line = StatusLine()
    for at_s in (100.5, 101.9, 102.1, 103.0, 104.2):
        now_s[0] = at_s
        line.show(f"at {at_s}")
    line.keep("done")
    assert capsys.readouterr().err == "at 102.1\nat 104.2\ndone\n"

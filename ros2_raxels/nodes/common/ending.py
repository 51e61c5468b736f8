"""How SIGINT and SIGTERM end a process of nodes: never by taking the context down beside its executor.

rclpy's own handlers do that, and an executor that waits in the context has then ended the process with SIGSEGV.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_asked = Event()


def asked_to_end() -> bool:
    """Whether a signal has asked this process to end; what waits long must ask, in any thread."""
    return _asked.is_set()


class Signals:
    """SIGINT and SIGTERM, once this is made, which must be in the main thread and before `rclpy.init`.

    The first raises KeyboardInterrupt where the main thread is, all others raise nothing. Within `ending` none does: an
    exception would come up in whatever callback runs, and the events executor, which is C++, ends the process for that.
    """

    def __init__(self) -> None:
        self._raises = True
        for number in _SIGNALS:
            signal.signal(number, self._take)

    def _take(self, *_: object) -> None:
        _asked.set()
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Within the block, call ``end`` when a signal comes, or at once if one has come; perhaps in another thread.

        A handler of Python runs only when the main thread is back from C++, where a spin stays. So a thread is told, by
        the socket to which the signal itself writes.
        """
        mine, other = socket.socketpair()
        other.setblocking(False)
        before = signal.set_wakeup_fd(other.fileno(), warn_on_full_buffer=False)
        thread = Thread(target=_listen, args=(mine, end), name="signals", daemon=True)
        thread.start()
        self._raises = False
        try:
            if asked_to_end():
                end()
            yield
        finally:
            signal.set_wakeup_fd(before)
            other.close()
            thread.join()
            mine.close()


def _listen(mine: socket.socket, end: Callable[[], None]) -> None:
    while number := mine.recv(1):
        if number[0] in _SIGNALS:
            _asked.set()
            end()

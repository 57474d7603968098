"""A site whose log has the time at which the kernel took each request in.

A log that a busy machine writes late cannot tell when a request came; the kernel's own stamps can.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.site import Answer

# Of Linux; Python has no name for it. The stamp comes along with the bytes.
SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("qq")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: when it came and when its answer began to leave (s, wall clock)."""

    path: str
    came_s: float
    left_s: float


class TimedSite:
    """Answers with what `answer` makes of a path."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._visits: list[Visit] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def visits(self) -> list[Visit]:
        """All that was answered, in the order of arrival."""
        with self._lock:
            return sorted(self._visits, key=lambda visit: visit.came_s)

    @property
    def most_at_once(self) -> int:
        """How many requests were there at the same time at most."""
        steps = [(v.came_s, 1) for v in self.visits] + [(v.left_s, -1) for v in self.visits]
        now = most = 0
        for _, step in sorted(steps):
            now += step
            most = max(most, now)
        return most

    def accept(self) -> None:
        """Serve until the site is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """End all connections."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), connection:
            while True:
                head, stamps, _, _ = connection.recvmsg(65536, 256)
                if not head:
                    return
                came_s = _came_s(stamps)
                path = head.split(b" ", 2)[1].decode()
                answer = self._answer(path)
                time.sleep(answer.delay_s)
                visit = Visit(path, came_s, time.time())
                connection.sendall(_written(answer))
                with self._lock:
                    self._visits.append(visit)


def _came_s(stamps: list[tuple[int, int, bytes]]) -> float:
    for level, kind, value in stamps:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = _STAMP.unpack(value)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def _written(answer: Answer) -> bytes:
    head = f"HTTP/1.1 {answer.status} -\r\nContent-Length: {len(answer.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return f"{head}Content-Type: {answer.content_type}\r\n\r\n".encode() + answer.body


@contextlib.contextmanager
def serve_timed(answer: Callable[[str], Answer]) -> Iterator[TimedSite]:
    """Serve while the block runs."""
    site = TimedSite(answer)
    thread = threading.Thread(target=site.accept)
    thread.start()
    try:
        yield site
    finally:
        site.close()
        thread.join()

"""A server that nobody may connect to, and the ways of writing its address."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

# A host that is this machine, or a form of an address that is not public.
SPELLINGS = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0177.0.0.0x1",
    "00000177.1",
    "0",
    "0.0.0.0",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST.",
    "%6c%6fcalhost",
    "127%2e0%2e0%2e1",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2001:0:0:0:0:0:80ff:fffe]",
    "[2a00::5efe:127.0.0.1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[::1%25lo]",
    "user:password@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com:80@127.0.0.1",
    "127.0.0.1#@example.com",
)


class Canary:
    """How many connections each of its addresses had."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0


@contextlib.contextmanager
def canary() -> Iterator[Canary]:
    """Listens on all of 127.0.0.0/8 but what others listen on, and on ::1 where there is one."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        watched = Canary(first.getsockname()[1])
        listeners = [first]
        for family, host in (
            (socket.AF_INET, "127.0.0.5"), (socket.AF_INET, "127.255.255.254"),
            (socket.AF_INET6, "::1"),
        ):  # fmt: skip
            with contextlib.suppress(OSError):
                server = socket.create_server((host, watched.port), family=family)
                listeners.append(stack.enter_context(server))
        threads = [
            threading.Thread(target=_count, args=(watched, it), daemon=True) for it in listeners
        ]
        for thread in threads:
            thread.start()
        try:
            yield watched
        finally:
            for listener in listeners:
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def _count(watched: Canary, listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        watched.connections += 1
        connection.close()

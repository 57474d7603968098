"""Counts what clients send to a Redis server, apart from what scripts call, by MONITOR.

MONITOR makes the server slower, so a run under it gives counts and no times.
"""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_OURS = frozenset({"info", "config", "client", "hello", "monitor"})


class ClientCommands:
    """`calls` by command name, in lower case, as sent by clients."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.is_counting = False

    @property
    def total(self) -> int:
        return sum(self.calls.values())

    def take(self, line: bytes) -> None:
        """Count a line such as `+1700000000.1 [0 127.0.0.1:1] "GET" "key"`."""
        source, bracket, command = line.partition(b"] ")
        if not self.is_counting or not bracket or source.endswith(b" lua"):
            return
        name = command[1:].partition(b'"')[0].decode("ascii", "replace").lower()
        if name not in _OURS:
            self.calls[name] += 1


@contextmanager
def client_commands(redis_url: str) -> Iterator[ClientCommands]:
    """Counts while `is_counting` is set and the block runs."""
    counts = ClientCommands()
    address = urlsplit(redis_url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"MONITOR\r\n")
        reader = threading.Thread(target=_read, args=(connection, counts), daemon=True)
        reader.start()
        try:
            yield counts
        finally:
            connection.shutdown(socket.SHUT_RDWR)
            reader.join(timeout=10)


def _read(connection: socket.socket, counts: ClientCommands) -> None:
    with connection.makefile("rb") as lines:
        for line in lines:
            counts.take(line)

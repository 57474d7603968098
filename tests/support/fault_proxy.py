"""A TCP proxy in front of a server that does to connections what networks do to them."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Iterator

CHUNK_BYTES = 1 << 14


class Fault(enum.StrEnum):
    """`cut`: all connections end in order, and new ones at once. `reset`: the same, with RST.
    `silent`: half open; connections stay and are accepted, and nothing passes. `slow`: each piece
    of 16 KiB waits before it passes, in both directions. `none`: all passes."""

    NONE = "none"
    CUT = "cut"
    RESET = "reset"
    SILENT = "silent"
    SLOW = "slow"


class FaultProxy:
    """Runs in a thread of its own. `url` leads through it."""

    def __init__(self, server_port: int, slow_by_s: float) -> None:
        self._server_port = server_port
        self._slow_by_s = slow_by_s
        self._fault = Fault.NONE
        self._writers: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def become(self, fault: Fault) -> None:
        """From now on; connections that were silent are dead for good, as after a lost route."""
        asyncio.run_coroutine_threadsafe(self._become(fault), self._loop).result(10)

    async def _become(self, fault: Fault) -> None:
        was, self._fault = self._fault, fault
        if fault in (Fault.CUT, Fault.RESET) or was is Fault.SILENT:
            for writer in list(self._writers):
                _end(writer, with_reset=fault is Fault.RESET)

    def run(self, is_up: threading.Event) -> None:
        """Serve until `stop`."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(is_up))
        self._loop.close()

    async def _serve(self, is_up: threading.Event) -> None:
        self._over = asyncio.Event()
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            is_up.set()
            await self._over.wait()
            await self._become(Fault.RESET)
            for relay in list(self._relays):
                relay.cancel()
            await asyncio.gather(*self._relays, return_exceptions=True)

    def stop(self) -> None:
        """End all connections and the thread."""
        self._loop.call_soon_threadsafe(self._over.set)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.current_task()
        assert relay is not None
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)
        self.connections += 1
        if self._fault in (Fault.CUT, Fault.RESET):
            _end(writer, with_reset=self._fault is Fault.RESET)
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        pair = {writer, back}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, back))
                both.create_task(self._pass(there, writer))
        except* OSError:
            pass
        finally:
            self._writers -= pair
            for end in pair:
                _end(end, with_reset=False)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self._fault is Fault.SILENT:
                continue
            if self._fault is Fault.SLOW:
                await asyncio.sleep(self._slow_by_s)
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError  # one side has ended: so does the other


def _end(writer: asyncio.StreamWriter, *, with_reset: bool) -> None:
    if with_reset:
        with contextlib.suppress(OSError):
            # Closed with a linger time of 0, a socket sends RST.
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


@contextlib.contextmanager
def fault_proxy(server_port: int, slow_by_s: float = 0.1) -> Iterator[FaultProxy]:
    """A running proxy in front of a port of loopback, without a fault at first."""
    proxy, is_up = FaultProxy(server_port, slow_by_s), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(is_up,), name="fault proxy")
    thread.start()
    try:
        assert is_up.wait(10)
        yield proxy
    finally:
        proxy.stop()
        thread.join(10)

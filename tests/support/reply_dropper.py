"""A proxy in front of a server that loses replies: the command runs, and nobody hears of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from scraper.jobs.redis_url import Kind, parse_redis_url

CHUNK_BYTES = 1 << 16


class ReplyDropper:
    """Passes everything on, except the reply that it was told to drop: it closes instead."""

    def __init__(self, server_url: str) -> None:
        """One server behind a socket or a port; what passes may be encrypted."""
        self._server = parse_redis_url(server_url)
        self.url = server_url
        self.replies_dropped = 0
        self._is_dropping = False
        self._connections: set[asyncio.Task[None]] = set()

    def drop_next(self) -> None:
        """Lose the next reply of any connection."""
        self._is_dropping = True

    async def serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        """One client's connection."""
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        server_reader, server_writer = await self._connect()
        asking = asyncio.create_task(self._pass_commands(client_reader, server_writer))
        try:
            while chunk := await server_reader.read(CHUNK_BYTES):
                if self._is_dropping:
                    self._is_dropping = False
                    self.replies_dropped += 1
                    break
                client_writer.write(chunk)
                await client_writer.drain()
        finally:
            asking.cancel()
            for writer in (server_writer, client_writer):
                writer.close()

    async def close(self) -> None:
        """End all connections."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._server.kind is Kind.SOCKET:
            return await asyncio.open_unix_connection(self._server.path)
        [(host, port)] = self._server.hosts
        return await asyncio.open_connection(host, port)

    async def listen(self, folder: Path) -> asyncio.Server:
        """Begin to listen, and change `url` to where."""
        if self._server.kind is Kind.SOCKET:
            socket = folder / "dropper.sock"
            self.url = self.url.replace(self._server.path, str(socket))
            return await asyncio.start_unix_server(self.serve, socket)
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self.url.replace(f":{self._server.hosts[0][1]}", f":{port}")
        return server

    async def _pass_commands(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def reply_dropper(server_url: str, folder: Path) -> AsyncIterator[ReplyDropper]:
    """A running dropper in front of a server; a socket of its own is in `folder`."""
    dropper = ReplyDropper(server_url)
    async with await dropper.listen(folder):
        try:
            yield dropper
        finally:
            await dropper.close()

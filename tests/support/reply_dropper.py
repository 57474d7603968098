"""A proxy in front of a unix-socket server that loses replies: the command runs, nobody hears."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

CHUNK_BYTES = 1 << 16


class ReplyDropper:
    """Passes everything on, except the reply that it was told to drop: it closes instead."""

    def __init__(self, server_socket: str, socket: Path) -> None:
        self.url = f"unix://{socket}"
        self.replies_dropped = 0
        self._server_socket = server_socket
        self._is_dropping = False

    def drop_next(self) -> None:
        """Lose the next reply of any connection."""
        self._is_dropping = True

    async def serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        """One client's connection."""
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
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

    async def _pass_commands(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def reply_dropper(server_socket: str, folder: Path) -> AsyncIterator[ReplyDropper]:
    """A running dropper in front of the server's socket."""
    socket = folder / "dropper.sock"
    dropper = ReplyDropper(server_socket, socket)
    server = await asyncio.start_unix_server(dropper.serve, socket)
    async with server:
        yield dropper

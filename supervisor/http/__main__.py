"""The server's process: `python -m supervisor.http`, started by a supervisor on its socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from scraper.jobs import load_config
from scraper.jobs.opening import queue_at
from scraper.logs import configure_logs
from supervisor.http.app import build_app

BACKLOG = 1024
GRACE_S = 3
HEARTBEAT_S = 1.0


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _beat(descriptor: int) -> None:
    """Show the supervisor that the loop turns."""
    while True:
        with contextlib.suppress(BlockingIOError):
            os.write(descriptor, b".")
        await asyncio.sleep(HEARTBEAT_S)


def _server(app: ASGIApp, *, lifespan: Literal["on", "off"]) -> _Server:
    return _Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, date_header=True,
            http="httptools", ws="none", loop="asyncio", lifespan=lifespan, backlog=BACKLOG,
            timeout_keep_alive=15, timeout_graceful_shutdown=GRACE_S, proxy_headers=False,
        )
    )  # fmt: skip


async def serve() -> None:
    """Serve on the inherited sockets until SIGTERM."""
    config = load_config()
    configure_logs(config.log_level)
    # It tells at length that it starts and ends.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    queue = queue_at(config.server_url or "", config, client_name="http")
    app, hub = build_app(queue)
    servers = {"LISTEN_FD": _server(app, lifespan="on")}
    if "SCRAPYD_FD" in os.environ:
        from supervisor.scrapyd.app import ScrapydApp

        servers["SCRAPYD_FD"] = _server(ScrapydApp(queue), lifespan="off")

    def stop() -> None:
        hub.close()
        for server in servers.values():
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    # Its supervisor started it with collection off.
    gc.freeze()
    gc.enable()
    beating = asyncio.create_task(_beat(int(os.environ["HEARTBEAT_FD"])))
    try:
        await asyncio.gather(
            *(
                server.serve(sockets=[socket.socket(fileno=int(os.environ[name]))])
                for name, server in servers.items()
            )
        )
    finally:
        beating.cancel()
        await queue.shutdown()


if __name__ == "__main__":
    asyncio.run(serve())

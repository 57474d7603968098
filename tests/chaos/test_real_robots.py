"""What real robots.txt files forbid is not fetched, by the ledger of the sites themselves."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.chaos.robots_files import RealRobots, real_robots
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.processes import running, wait_until

# So long are the pages of a site kept waiting for its file.
ROBOTS_TAKES_S = 0.2
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NO_PAGE = b"<!doctype html><title>page</title>"


class RobotsSites:
    """A server a file, each at an address of its own; `served` is what they were asked for."""

    def __init__(self, files: Sequence[RealRobots]) -> None:
        self.files = files
        self.served: list[tuple[int, str]] = []
        self.origins: list[str] = []
        self._is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

    def run(self) -> None:
        """Serve until `stop`."""
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def wait_until_up(self) -> None:
        assert self._is_up.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        servers = []
        for number in range(len(self.files)):
            address = f"127.1.{number // 250}.{number % 250 + 1}"
            server = await asyncio.start_server(self._answers_of(number), address, 0)
            self.origins.append(f"http://{address}:{server.sockets[0].getsockname()[1]}")
            servers.append(server)
        self._is_up.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def _answers_of(self, number: int) -> Answering:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    path = head.split(b" ", 2)[1].decode()
                    self.served.append((number, path))
                    body, kind = NO_PAGE, b"text/html"
                    if path == "/robots.txt":
                        await asyncio.sleep(ROBOTS_TAKES_S)
                        body, kind = self.files[number].body, b"text/plain"
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
                        % (kind, len(body), body)
                    )
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        return answer


@contextmanager
def serving(files: Sequence[RealRobots]) -> Iterator[RobotsSites]:
    sites = RobotsSites(files)
    thread = threading.Thread(target=sites.run)
    thread.start()
    try:
        sites.wait_until_up()
        yield sites
    finally:
        sites.stop()
        thread.join()


@pytest.mark.timeout(900)
def test_what_real_files_forbid_is_not_fetched_by_any_of_those_that_wait(
    place: QueuePlace, queue: QueueReader
) -> None:
    """Google's parser says what is forbidden; our workers judge by Protego."""
    files = real_robots(random.Random(1), by_scale(30, 1000))
    env = place.env(CRAWL_DELAY_MAX="0", HOST_CONCURRENCY="16", WORKER_CONCURRENCY="16")
    with serving(files) as sites, running("scrapy", "work", env=env, count=2):
        urls = [
            sites.origins[number] + path
            for number, file in enumerate(files)
            for path in (*file.forbidden, *file.allowed)
        ]
        began_s = time.monotonic()
        queue.push(*urls)
        wait_until(
            lambda: len(queue.jobs("completed")) + len(queue.jobs("failed")) == len(urls),
            40 + len(files) * 0.5, "all pages end",
        )  # fmt: skip
        took_s = time.monotonic() - began_s
    served = set(sites.served)
    forbidden = {(n, path) for n, file in enumerate(files) for path in file.forbidden}
    allowed = {(n, path) for n, file in enumerate(files) for path in file.allowed}
    fetched_files = [number for number, path in sites.served if path == "/robots.txt"]
    print(
        f"{len(files)} files, {len(forbidden)} forbidden pages: {len(forbidden & served)} fetched; "
        f"{len(allowed & served)} of {len(allowed)} allowed ones; {took_s:.1f} s"
    )
    assert forbidden & served == set()
    # Where the two parsers differ, ours is the stricter one.
    assert len(allowed & served) >= 0.95 * len(allowed)
    assert sorted(fetched_files) == list(range(len(files)))

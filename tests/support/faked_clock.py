"""A server whose clock a test can step: the real one under libfaketime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scraper.jobs.connection import connect_sync
from tests.chaos.doc_packages import unpacked
from tests.support.processes import wait_until
from tests.support.redis_server import server_process, short_folder


@dataclass(frozen=True, slots=True)
class SteppedServer:
    """`step` moves its clock from where it is by so many seconds, and returns once it shows."""

    url: str
    offset_file: Path

    def step(self, seconds: float) -> None:
        # The server reads its clock now and then and goes by the monotonic one in between, so the
        # next commands may still be given the old time.
        with contextlib.closing(connect_sync(self.url)) as client:
            before = client.time()[0]
            self._write(seconds)
            wait_until(lambda: abs(client.time()[0] - before - seconds) <= 1)

    def _write(self, seconds: float) -> None:
        offset = float(self.offset_file.read_text()) + seconds
        beside = self.offset_file.with_suffix(".new")
        beside.write_text(f"{offset:+.1f}")
        beside.replace(self.offset_file)


@contextlib.contextmanager
def running_stepped_server() -> Iterator[SteppedServer]:
    """Skips the test where libfaketime cannot be had, fails it in CI."""
    library = next(unpacked("libfaketime").rglob("libfaketime.so.1"))
    with short_folder() as folder:
        server = SteppedServer(f"unix://{folder}/redis.sock", folder / "offset")
        server.offset_file.write_text("+0")
        env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(server.offset_file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        arguments = ["--port", "0", "--unixsocket", f"{folder}/redis.sock"]
        with server_process(folder, arguments, server.url, env=env):
            yield server

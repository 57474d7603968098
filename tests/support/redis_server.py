"""Starts a fresh Redis-compatible server for a test session, on a unix socket, without AOF."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from scraper.jobs.embedded import find_server_binary

START_DEADLINE_S = 15.0


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_DEADLINE_S
    with redis.Redis.from_url(url) as client:
        while True:
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                return
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the test server does not start: {log.read_text()}")
            time.sleep(0.01)


@contextlib.contextmanager
def running_server(binary: Path | None = None) -> Iterator[str]:
    """The URL of a new, empty server that lives while the block runs.

    `binary` None: the server of the embedded default.
    """
    # A short path of its own: the name of a unix socket is bounded.
    folder = Path(tempfile.mkdtemp(prefix="queue-test-"))
    socket, log = folder / "redis.sock", folder / "server.log"
    arguments = [
        str(binary or find_server_binary()), "--port", "0", "--unixsocket", str(socket),
        "--save", "", "--appendonly", "no", "--dir", str(folder),
    ]  # fmt: skip
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(arguments, stdout=output, stderr=output)
        try:
            url = f"unix://{socket}"
            _await_answer(process, url, log)
            yield url
        finally:
            process.kill()
            process.wait(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

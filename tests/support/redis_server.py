"""Starts Redis-compatible servers for tests: fresh, in a temporary folder, without AOF."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from scraper.jobs.connection import connect_sync
from scraper.jobs.embedded import find_server_binary
from tests.chaos.doc_packages import unpacked

START_DEADLINE_S = 15.0
# For tests that ask one server of several: on a busy machine an answer takes longer than the 5 s of
# redis-py.
ANSWER_WITHIN_S = 30.0
Process = subprocess.Popen[bytes]
_ports = itertools.count()


# With the libraries that a machine without Redis lacks.
_DEBIAN_PACKAGES = ("redis-tools", "libjemalloc2", "liblzf1", "libatomic1")


def debian_redis() -> Path:
    """Redis 7.0 with TLS: the one that is installed, else Debian's, unpacked beside the system.

    Skips the test where neither can be had, fails it in CI.
    """
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    server = unpacked("redis-tools") / "usr" / "bin" / "redis-server"
    with contextlib.suppress(FileExistsError):
        server.symlink_to("redis-check-rdb")  # one program, which goes by its name
    return server


def libraries(binary: Path) -> dict[str, str]:
    """Where an unpacked server finds its libraries; nothing for one that is installed."""
    if "redis-tools" not in binary.parts:
        return {}
    folders = [
        str(library.parent)
        for package in _DEBIAN_PACKAGES[1:]
        for library in unpacked(package).rglob("lib*.so*")
    ]
    return {"LD_LIBRARY_PATH": ":".join(dict.fromkeys(folders))}


def free_port() -> int:
    """A port of loopback that nobody listens on: none of those that the system gives to
    connections, or one may have it before its server starts."""
    while True:
        port = 10_000 + (97 * os.getpid() + next(_ports)) % 20_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path: the name of a unix socket is bounded."""
    folder = Path(tempfile.mkdtemp(prefix="queue-test-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server_process(
    folder: Path,
    arguments: Sequence[str],
    admin_url: str,
    binary: Path | None = None,
    env: dict[str, str] | None = None,
    sentinel: Path | None = None,
) -> Iterator[Process]:
    """A server with these arguments that answers at `admin_url`; killed at the end.

    `binary` None: the server of the embedded default. `sentinel`: its file, to be one.
    """
    program = binary or find_server_binary()
    if sentinel:
        common = [str(sentinel), "--sentinel"]
    else:
        common = ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    log = folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(program), *common, *arguments],
            stdout=output,
            stderr=output,
            env={**os.environ, **libraries(program), **(env or {})},
        )
    try:
        await_answer(process, admin_url, log)
        yield process
    finally:
        process.kill()
        process.wait(10)


def await_answer(process: Process, url: str, log: Path) -> None:
    """Until the server answers a PING; fails with its log."""
    deadline_s = time.monotonic() + START_DEADLINE_S
    with connect_sync(url) as client:
        while True:
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                return
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the test server does not start: {log.read_text()}")
            time.sleep(0.01)


@contextlib.contextmanager
def running_server(binary: Path | None = None, *more: str) -> Iterator[str]:
    """The URL of a new, empty server on a unix socket that lives while the block runs."""
    with short_folder() as folder:
        url = f"unix://{folder}/redis.sock"
        arguments = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", *more]
        with server_process(folder, arguments, url, binary):
            yield url

"""A service that starts before its Redis: as pods and containers do."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from scraper.jobs.connection import connect_sync
from tests.support.processes import environment, running, wait_until
from tests.support.redis_server import free_port, server_process


def test_a_service_waits_for_a_redis_that_comes_later(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    env = environment(url, REDIS_WAIT="120", WORKER_COUNT="1")
    server = ["--port", str(port), "--bind", "127.0.0.1"]
    with (
        running("supervisor", "run", "--no-http", env=env) as [service],
        server_process(tmp_path, server, url),
        connect_sync(url) as client,
    ):
        key = "{scrape-queue}:workers"
        wait_until(lambda: client.zcard(key) == 1, 60, "its worker asks for work")
        service.send_signal(signal.SIGTERM)
        assert service.wait(40) == 0


def test_without_a_wait_it_ends_at_once_and_says_why(tmp_path: Path) -> None:
    env = environment(f"redis://127.0.0.1:{free_port()}/0")
    ended = subprocess.run(
        [sys.executable, "-m", "supervisor", "run", "--no-http"], env=env, timeout=60, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 3
    assert "out of reach" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_waiting_service_ends_at_the_first_signal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = environment(f"redis://127.0.0.1:{free_port()}/0", REDIS_WAIT="120")
    with log.open("wb") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "supervisor", "run", "--no-http"], env=env, stderr=output
        )
    try:
        wait_until(lambda: b"waiting for Redis" in log.read_bytes(), 60, "it waits")
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0
    finally:
        service.kill()
        service.wait(10)

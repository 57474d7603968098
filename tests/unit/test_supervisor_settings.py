"""Arguments of a service become settings, settings the environment of workers; logs."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from scraper.jobs import Config, ConfigError, load_config
from scraper.logs import configure_logs
from supervisor.environment import service_config, worker_environment


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_CONCURRENCY", "7")
    monkeypatch.setenv("QUEUE_NAME", "from-env")
    config = service_config(
        None, {"concurrency": 3, "max_job_duration": 900_000, "log_level": None}
    )
    assert (config.worker_concurrency, config.queue_name) == (3, "from-env")
    assert config.max_job_duration_ms == 900_000


def test_a_given_configuration_shuts_the_environment_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_NAME", "from-env")
    assert service_config(Config(), {"concurrency": 3}).queue_name == "scrape-queue"


def test_all_faults_of_arguments_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        service_config(Config(), {"memory_threshold": 7, "worker_count": 0, "colour": "red"})
    assert len(caught.value.faults) == 3


def test_a_worker_reads_exactly_the_settings_of_its_service(tmp_path: Path) -> None:
    config = Config(
        data_dir=tmp_path, worker_count=3, worker_concurrency=9, host_delay_ms=5, robots_obey=False,
        allow_private_hosts=("127.0.0.0/8", "::1"), drain_timeout_s=2.5, log_level="debug",
    )  # fmt: skip
    environment = worker_environment(config, "unix:///there", ["@job"])
    assert json.loads(environment["WORKER_POOLS"]) == ["@job"]
    read = load_config(environment)
    assert read == config.model_copy(update={"redis_url": "unix:///there"})


def test_what_an_operator_tuned_of_the_allocator_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0:glibc.malloc.check=1")
    tunables = worker_environment(Config(), "unix:///there")["GLIBC_TUNABLES"].split(":")
    assert tunables[1:] == ["glibc.malloc.hugetlb=0", "glibc.malloc.check=1"]
    monkeypatch.delenv("GLIBC_TUNABLES")
    assert worker_environment(Config(), "unix:///there")["GLIBC_TUNABLES"] == tunables[0]


@pytest.fixture
def untouched_logs() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.mark.usefixtures("untouched_logs")
def test_lines_for_machines_are_json_whoever_writes_them() -> None:
    stream = io.StringIO()
    handler = configure_logs("info", stream, lambda: {"worker": "w"})
    structlog.get_logger("ours").info("started")
    structlog.get_logger("ours").debug("unseen")
    logging.getLogger("theirs").warning("slow %s", "loris")
    try:
        raise ValueError("bad")
    except ValueError:
        structlog.get_logger("ours").exception("failed", worker="other")
    assert handler.drain()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["started", "slow loris", "failed"]
    assert [line["worker"] for line in lines] == ["w", "w", "other"]
    assert lines[1]["level"] == "warning"
    assert "ValueError: bad" in lines[2]["exception"]
    assert all(line["timestamp"].endswith("Z") for line in lines)


@pytest.mark.usefixtures("untouched_logs")
def test_lines_for_people_are_no_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    handler = configure_logs("info", stream)
    structlog.get_logger("ours").info("started", worker="w")
    assert handler.drain()
    assert "started" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.usefixtures("untouched_logs")
def test_a_pipe_that_nobody_reads_holds_no_process_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.logs.MOST_WAITING", 10)
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream, os.fdopen(read_end) as reader:
        handler = configure_logs("info", stream)
        for number in range(5000):
            structlog.get_logger("ours").info("a line", number=number, text="x" * 100)
        assert not handler.drain(0.01)
        seen = dropped = 0
        while seen + dropped < 5000:
            line = json.loads(reader.readline())
            if line["event"] == "log lines were dropped":
                dropped += line["count"]
            else:
                seen += 1
        assert dropped
        assert handler.drain()

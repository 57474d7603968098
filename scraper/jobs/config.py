"""Settings (interim)."""
from __future__ import annotations
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from pydantic import BaseModel, ConfigDict
from scraper.jobs.errors import JobsError


class ConfigError(JobsError):
    pass


class Config(BaseModel):
    model_config = ConfigDict(frozen=True)
    redis_url: str | None = None
    queue_name: str = "scrape-queue"
    data_dir: Path | None = None
    max_job_duration_ms: int = 600000
    worker_concurrency: int = 2
    worker_count: int | str = "auto"
    page_concurrency: int = 16
    host_concurrency: int = 4
    host_concurrency_turbo: int = 16
    host_concurrency_own_site: int = 32
    host_delay_ms: int = 0
    lease_ms: int = 60000
    stall_timeout_s: float = 30
    parse_limit_s: float = 20
    page_attempts: int = 3
    page_backoff_ms: int = 1000
    request_timeout_s: float = 30
    max_response_bytes: int = 16 * 2**20
    result_ttl_s: float = 86400
    finished_jobs_kept: int = 10000
    events_kept: int = 100000
    max_page_bytes: int = 4 * 2**20
    max_commit_bytes: int = 16 * 2**20
    max_job_bytes: int = 2 * 2**30
    drain_timeout_s: float = 25
    user_agent: str = "ScraperWorkers/0.1"
    robots_obey: bool = True
    allow_private_hosts: tuple[str, ...] = ()
    log_level: str = "info"


def load_config(env: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    env = os.environ if env is None else env
    names = {"max_job_duration_ms": "MAX_JOB_DURATION", "host_delay_ms": "HOST_DELAY"}
    values: dict[str, Any] = {}
    for name in Config.model_fields:
        raw = env.get(names.get(name, name.upper()))
        if raw:
            values[name] = raw
    return Config(**{**values, **overrides})

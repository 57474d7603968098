"""The settings of a service: from its arguments, and as the environment of its workers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from scraper.jobs import Config, load_config
from scraper.jobs.config import SECRETS
from scraper.jobs.config_loading import env_name

# Arguments that other services name like this, and our settings.
_ALIASES = {"concurrency": "worker_concurrency", "max_job_duration": "max_job_duration_ms"}

# glibc gives a page's parsed tree back to the kernel and faults the next one in again: a third of
# the parse. Up to this much is kept instead, and in huge pages where the system leaves that to the
# process: 7 % more pages a CPU-second for 2 % more memory. Other C libraries ignore these.
_TUNABLES = "GLIBC_TUNABLES"
ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TOP_PAD_": str(4 * 1024 * 1024),
    _TUNABLES: "glibc.malloc.hugetlb=1",
}


def service_config(config: Config | None, arguments: Mapping[str, Any]) -> Config:
    """The settings: `config` or the environment, then the arguments that are not None.

    Raises ConfigError, which names all faults at once.
    """
    given = {
        _ALIASES.get(name, name): value for name, value in arguments.items() if value is not None
    }
    if config is None:
        return load_config(**given)
    return load_config({}, **{**config.model_dump(), **given})


def worker_environment(
    config: Config, redis_url: str, pools: Sequence[str] | None = None
) -> dict[str, str]:
    """Every setting, so that a worker has ours whatever else is in our environment.

    `redis_url`: where the queue was opened. `pools`: which jobs the workers take (`@<id>`: that
    one alone), None for all types.
    """
    settings = {
        env_name(field): _text(getattr(config, field))
        for field in Config.model_fields
        if field not in SECRETS
    }
    environment = {**ALLOCATOR, **settings}
    if given := os.environ.get(_TUNABLES):
        # Of a name that is there twice, the later value counts.
        environment[_TUNABLES] = f"{ALLOCATOR[_TUNABLES]}:{given}"
    environment["REDIS_URL"] = redis_url
    if pools is not None:
        environment["WORKER_POOLS"] = json.dumps(list(pools))
    return environment


def _text(value: Any) -> str:
    """As `load_config` reads it; empty means unset."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)

"""`ScraperWorkerService`: runs workers on this machine, tells what happens, obeys."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from scraper.jobs import Config, JobsError, OpenedQueue, load_config
from scraper.jobs.connection import safe_url
from supervisor.children import SlotState, UnknownWorkerError
from supervisor.events import (
    Event,
    HealthUpdate,
    HighMemoryUsage,
    Shutdown,
    ShuttingDown,
    Started,
    make_event,
)
from supervisor.health import HealthStatus, read_status
from supervisor.listeners import Listener, Listeners, Scope, UnknownEventError
from supervisor.logs import route_to_logging
from supervisor.memory import MemoryUsage, read_usage
from supervisor.policy import RestartLimits
from supervisor.runtime import Runtime, UnfitServerError
from supervisor.signals import SignalInbox
from supervisor.sizing import auto_worker_count

__all__ = [
    "ScraperWorkerService", "ServiceNotRunningError", "UnfitServerError", "UnknownEventError",
    "UnknownWorkerError", "WorkerStartError", "start_worker_service",
]  # fmt: skip

log = structlog.get_logger(__name__)

READY_WITHIN_S = 30.0
LISTENERS_END_WITHIN_S = 5.0
EXIT_FAILED, EXIT_INTERRUPTED = 2, 130
# Arguments that are named as in other services, and the settings that they are.
_ALIASES = {"concurrency": "worker_concurrency", "max_job_duration": "max_job_duration_ms"}

L = TypeVar("L", bound=Listener)


class ServiceNotRunningError(JobsError):
    def __init__(self) -> None:
        super().__init__("the service is not running: call `await service.start()` first")


class WorkerStartError(JobsError):
    """The workers cannot start, and trying again would not help."""

    def __init__(self, worker_id: str, reason: str) -> None:
        super().__init__(f"{worker_id} {reason}")

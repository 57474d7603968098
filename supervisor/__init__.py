"""Runs and watches workers: the service, its command line, its events."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.events import EVENTS, Event, FinishedJob
    from supervisor.health import HealthStatus, WorkerStatus
    from supervisor.memory import MemoryUsage
    from supervisor.policy import RestartLimits
    from supervisor.service import ScraperWorkerService, start_worker_service

__all__ = [
    "EVENTS",
    "Event",
    "FinishedJob",
    "HealthStatus",
    "MemoryUsage",
    "RestartLimits",
    "ScraperWorkerService",
    "WorkerStatus",
    "start_worker_service",
]

# Loaded when asked for: a command that only looks at a queue needs no service.
_HOMES = ("events", "health", "memory", "policy", "service")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            found = getattr(import_module(f"{__name__}.{home}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

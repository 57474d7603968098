"""Runs and watches workers: the service, its command line, its events."""

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

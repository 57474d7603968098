"""The contract of jobs: model, states, keys, transitions, events, clients, embedded server."""

from scraper.jobs.client import (
    JobHandle,
    JobNotFoundError,
    JobQueue,
    JobStateError,
    QueueFullError,
    QueueUnwritableError,
    ResultTimeoutError,
)
from scraper.jobs.config import Config, ConfigError
from scraper.jobs.config_loading import load_config
from scraper.jobs.connection import RedisUnreachableError
from scraper.jobs.embedded import EmbeddedServer, EmbeddedUnavailableError
from scraper.jobs.errors import Fault, InvalidJobError, JobsError
from scraper.jobs.events import EventReader, QueueEvent
from scraper.jobs.job_types import job_types
from scraper.jobs.model import JobSpec, parse_job
from scraper.jobs.opening import (
    OpenedQueue,
    QueueManager,
    get_queue_manager,
    get_redis_client,
    open_queue,
)
from scraper.jobs.states import JobState, PageState
from scraper.jobs.views import JobResult, JobView, PageCounts, QueueCounts

__all__ = [
    "Config",
    "ConfigError",
    "EmbeddedServer",
    "EmbeddedUnavailableError",
    "EventReader",
    "Fault",
    "InvalidJobError",
    "JobHandle",
    "JobNotFoundError",
    "JobQueue",
    "JobResult",
    "JobSpec",
    "JobState",
    "JobStateError",
    "JobView",
    "JobsError",
    "OpenedQueue",
    "PageCounts",
    "PageState",
    "QueueCounts",
    "QueueEvent",
    "QueueFullError",
    "QueueManager",
    "QueueUnwritableError",
    "RedisUnreachableError",
    "ResultTimeoutError",
    "get_queue_manager",
    "get_redis_client",
    "job_types",
    "load_config",
    "open_queue",
    "parse_job",
]

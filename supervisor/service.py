"""`ScraperWorkerService`: runs workers on this machine, tells what happens, obeys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import structlog

from scraper.jobs import Config, JobsError, OpenedQueue, RedisUnreachableError
from scraper.jobs.connection import safe_url
from scraper.jobs.version import VERSION
from supervisor.children import SlotState
from supervisor.environment import service_config
from supervisor.events import EVENTS, Event, Shutdown, ShuttingDown, Started, make_event
from supervisor.health import HealthStatus, read_status, stopped_status
from supervisor.listeners import Listener, Listeners, Scope, UnknownEventError
from supervisor.logs import route_to_logging
from supervisor.memory import MemoryUsage, read_usage
from supervisor.orders import Order, OrderError
from supervisor.policy import RestartLimits
from supervisor.runtime import Runtime
from supervisor.serving import serve
from supervisor.sizing import auto_worker_count

log = structlog.get_logger(__name__)

READY_WITHIN_S = 30.0
REDIS_AGAIN_S = 2.0
LISTENERS_END_WITHIN_S = 5.0


class ServiceNotRunningError(JobsError):
    def __init__(self) -> None:
        super().__init__("the service is not running: call `await service.start()` first")


class WorkerStartError(JobsError):
    """The workers cannot start, and trying again would not help."""


class ScraperWorkerService:
    """Workers of one queue on this machine, for any asyncio program.

    Listeners may be plain or async functions of one event record (`supervisor.events`). All
    methods are for the event loop that `start` was called in.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        worker_count: int | Literal["auto"] | str | None = None,
        concurrency: int | None = None,
        queue_name: str | None = None,
        enable_health_monitoring: bool | None = None,
        memory_threshold: float | None = None,
        max_job_duration: int | None = None,
        redis_url: str | None = None,
        data_dir: Path | str | None = None,
        log_level: str | None = None,
        pools: Sequence[str] | None = None,
        watch_doors: bool = True,
        worker_log: Path | None = None,
        restart_limits: RestartLimits | None = None,
        serve_http: bool = False,
        **settings: Any,
    ) -> None:
        """`config` None: the environment's settings. The other arguments win over it; `settings`
        are fields of `Config` by name. `max_job_duration` in ms.

        `pools`: which jobs the workers take (`@<job id>`: that one alone), None for all.
        `watch_doors` False: raw pushes are left to other supervisors. `worker_log`: a file for
        the workers' output, None for our standard error. `serve_http`: the HTTP API, too, on
        `http_host` and `http_port`. Raises ConfigError.
        """
        arguments = {
            "worker_count": worker_count,
            "concurrency": concurrency,
            "queue_name": queue_name,
            "enable_health_monitoring": enable_health_monitoring,
            "memory_threshold": memory_threshold,
            "max_job_duration": max_job_duration,
            "redis_url": redis_url,
            "data_dir": data_dir,
            "log_level": log_level,
        }
        self.config = service_config(config, {**arguments, **settings})
        self._pools = pools
        self._watch_doors = watch_doors
        self._worker_log = worker_log
        self._restart_limits = restart_limits
        self._serve_http = serve_http
        self._listeners = Listeners()
        self._runtime: Runtime | None = None
        self._started_s = 0.0
        self._start_lock = asyncio.Lock()
        self._stopping: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._stop_callers: set[asyncio.Task[Any] | None] = set()

    # -- listening ------------------------------------------------------------------------

    def on(self, name: str, listener: Listener, *, scope: Scope = "service") -> None:
        """Call `listener` at every such event of this service's workers, or, with
        `scope="queue"`, of all workers of the queue. Raises UnknownEventError."""
        self._listeners.add(name, listener, scope)

    def once(self, name: str, listener: Listener, *, scope: Scope = "service") -> None:
        """The same for the next such event only."""
        self._listeners.add(name, listener, scope, is_once=True)

    def off(self, name: str, listener: Listener | None = None) -> None:
        """Forget a listener, or all of that name."""
        self._listeners.remove(name, listener)

    def emit(
        self, name: str, event: Event | Mapping[str, Any] | None = None, **detail: Any
    ) -> bool:
        """Give the listeners an event of your own making; it changes no state, and no health.

        `event`: a record, or its fields in either spelling. Returns whether anybody listened.
        Raises UnknownEventError, TypeError for fields that the event has not.
        """
        if name not in EVENTS:
            raise UnknownEventError(name)
        if not isinstance(event, Event):
            event = make_event(name, {**(event or {}), **detail})
        return self._listeners.publish(event)

    # -- life -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the workers; returns when the first one asks for work (or after 30 s, with a
        warning). Does nothing when the service runs.

        Raises RedisUnreachableError, EmbeddedUnavailableError, UnfitServerError, and
        WorkerStartError when the workers refuse their configuration.
        """
        async with self._start_lock:
            if self._runtime is not None:
                return
            route_to_logging()
            runtime = await self._open()
            self._runtime, self._started_s = runtime, time.monotonic()
            try:
                runtime.begin(self._count(self.config.worker_count), watch_doors=self._watch_doors)
                await self._until_ready(runtime)
            except BaseException:
                await self._abandon(runtime)
                raise
            if not runtime.fleet.is_shutting_down:
                self._is_up(runtime)

    async def _open(self) -> Runtime:
        """The runtime, once Redis can be reached: `redis_wait_s` at most. Raises what
        `Runtime.open` raises."""
        give_up_s = time.monotonic() + self.config.redis_wait_s
        while True:
            try:
                return await Runtime.open(
                    self.config, self._listeners, pools=self._pools, limits=self._restart_limits,
                    worker_log=self._worker_log, serve_http=self._serve_http,
                )  # fmt: skip
            except RedisUnreachableError as error:
                if time.monotonic() >= give_up_s:
                    raise
                log.warning("waiting for Redis", error=str(error), again_in_s=REDIS_AGAIN_S)
            await asyncio.sleep(REDIS_AGAIN_S)

    async def stop(self, *, signal_name: str = "") -> None:
        """Drain and end: pages in flight are finished within `drain_timeout_s`, the rest goes
        back, no attempt charged. Does nothing when the service does not run."""
        if self._runtime is None:
            return
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._runtime, signal_name))
        self._stop_callers.add(asyncio.current_task())
        await asyncio.shield(self._stopping)

    def force_stop(self, reason: str = "asked to") -> None:
        """Kill the workers now; their leases go back all the same. `stop` ends soon then."""
        if self._runtime is not None:
            self._runtime.fleet.shut_down()
            self._runtime.fleet.force(reason)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def run_until_signal(self) -> int:
        """Start, serve until SIGTERM or SIGINT, drain; the exit code for the process: 0 after
        SIGTERM, 130 after SIGINT, 2 when no worker can start. Raises what `start` raises."""
        return await serve(self)

    async def until_over(self) -> str:
        """Wait until the service stops ("") or none of its workers can start any more (why)."""
        runtime = self._running
        await runtime.fleet.until(
            lambda: runtime.fleet.is_shutting_down or bool(runtime.children.hopeless)
        )
        return runtime.children.hopeless

    # -- the fleet ------------------------------------------------------------------------

    async def scale(self, count: int | Literal["auto"]) -> None:
        """Have `count` workers from now on. New ones start at once; those too many drain in the
        background, the last ones first. `auto`: follow the load between `worker_count_min` and
        `worker_count_max`, until the next call."""
        runtime = self._running
        if count == "auto":
            await runtime.stop_following()
            limits = runtime.follow_load(self._pools).policy.limits
            log.info("the load is followed", lowest=limits.lowest, highest=limits.highest)
            return
        if not 1 <= count <= 1000:
            raise ValueError(f"workers are from 1 to 1000, or auto, not {count!r}")
        await runtime.stop_following()
        runtime.fleet.resize(count)

    async def restart_worker(self, worker_id: str) -> None:
        """Drain a worker (`worker-1`, or its whole id) and start it anew; returns when the new
        one asks for work. A worker that is alone stays until another one stands in for it.
        Raises UnknownWorkerError, RestartError."""
        await self._running.fleet.restart(worker_id)

    async def restart_all(self) -> None:
        """Restart the workers one after another; never without one that works.

        Raises RestartError at the first one that does not come up again: the rest goes on.
        """
        await self._running.fleet.restart_all()

    def dump_stacks(self) -> None:
        """Have each worker write the stacks of its threads to its log."""
        if self._runtime is not None:
            self._runtime.fleet.dump_all_stacks()

    # -- looking --------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """From within `start` to the end of `stop`."""
        return self._runtime is not None

    @property
    def name(self) -> str:
        """This supervisor's name: its workers are `<name>/worker-1`, ..."""
        return self._running.name.text

    @property
    def queue(self) -> OpenedQueue:
        """The queue that it works on, open while the service runs."""
        return self._running.queue

    @property
    def http_url(self) -> str | None:
        """Where the HTTP API is, None without one."""
        http = self._runtime.http if self._runtime else None
        return http.url if http else None

    @property
    def scrapyd_url(self) -> str | None:
        """Where scrapyd's API is, None without one."""
        http = self._runtime.http if self._runtime else None
        return http.scrapyd_url if http else None

    async def get_health_status(self) -> HealthStatus:
        """How it is now; asks Redis, and says so when that gives no answer."""
        runtime = self._runtime
        if runtime is None:
            return stopped_status()
        is_monitored = self.config.enable_health_monitoring
        return await read_status(
            runtime.children,
            runtime.queue,
            now_s=time.monotonic(),
            started_s=self._started_s,
            is_draining=runtime.fleet.is_shutting_down,
            usage=await asyncio.to_thread(self.get_memory_usage) if is_monitored else None,
        )

    def get_memory_usage(self) -> MemoryUsage:
        """Memory of this process and its workers against what is allowed: the container's or
        machine's, or its own and `worker_memory_limit_bytes` for each worker where that is less."""
        if self._runtime is None:
            return read_usage([])
        children = self._runtime.children
        pids = [(slot.name, slot.pid) for slot in children.alive if slot.pid is not None]
        count = max(1, len(children.wanted))
        return read_usage(pids, count * self.config.worker_memory_limit_bytes)

    # -- inside ---------------------------------------------------------------------------

    @property
    def _running(self) -> Runtime:
        if self._runtime is None:
            raise ServiceNotRunningError
        return self._runtime

    @staticmethod
    def _count(wanted: int | str) -> int:
        return auto_worker_count() if wanted == "auto" else int(wanted)

    async def _until_ready(self, runtime: Runtime) -> None:
        children, fleet = runtime.children, runtime.fleet
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await fleet.until(
                    lambda: (
                        fleet.is_shutting_down
                        or bool(children.in_state(SlotState.RUNNING))
                        or any(slot.failure for slot in children.slots)
                    )
                )
        except TimeoutError:
            log.warning("no worker is ready yet", after_s=READY_WITHIN_S)
        for slot in children.slots:
            if slot.failure:
                raise WorkerStartError(f"{slot.name} {slot.failure}")

    def _is_up(self, runtime: Runtime) -> None:
        if self.config.enable_health_monitoring:
            runtime.watch_health(self.get_health_status)
        if self._watch_doors:
            runtime.take_orders(self._obey)
        if self.config.auto_scale:
            runtime.follow_load(self._pools)
        workers = len(runtime.children.wanted)
        log.info(
            "service started", supervisor=runtime.name.text, queue=runtime.queue.name,
            workers=workers, redis=safe_url(runtime.queue.url), version=VERSION,
            concurrency=self.config.worker_concurrency, pages_at_once=self.config.page_concurrency,
        )  # fmt: skip
        if self.http_url:
            log.info("HTTP API", url=self.http_url)
        if self.scrapyd_url:
            log.info("scrapyd's API", url=self.scrapyd_url)
        embedded = runtime.queue.embedded
        if embedded is not None and self._watch_doors:
            push = f"{embedded.redis_cli_hint} lpush {runtime.queue.name} https://example.com/"
            log.info("jobs can be pushed", command=push)
        runtime.broadcast.publish(Started(worker_count=workers))

    async def _obey(self, order: Order) -> str:
        """Carry out an order of the command line; what to answer."""
        if order.action == "restart" and order.argument == "*":
            await self.restart_all()
            return f"the workers of {self.name} are restarted"
        if order.action == "restart":
            await self.restart_worker(order.argument)
            return f"{order.argument} is restarted"
        if order.action == "scale":
            if order.argument == "auto":
                await self.scale("auto")
                return f"{self.name} follows the load, from {self._running.children.count} workers"
            await self.scale(int(order.argument))
            return f"{self.name} has {len(self._running.children.wanted)} workers"
        if order.action == "drain":
            name = self.name
            self._draining = asyncio.create_task(self.stop(signal_name="drain"))
            return f"{name} drains: pages in flight are finished, then it ends"
        raise OrderError(f"this version knows no order {order.action!r}")

    async def _stop(self, runtime: Runtime, signal_name: str) -> None:
        log.info("shutting down", signal=signal_name or None, workers=len(runtime.children.alive))
        runtime.broadcast.publish(ShuttingDown(signal=signal_name))
        try:
            await runtime.drain()
            await runtime.catch_up()
            runtime.broadcast.publish(Shutdown())
            await runtime.send_last_events()
            await self._listeners.finish(LISTENERS_END_WITHIN_S, self._stop_callers)
        finally:
            self._runtime = self._stopping = None
            self._stop_callers = set()
            await runtime.close()
            log.info("service ended")

    async def _abandon(self, runtime: Runtime) -> None:
        """Undo a start that failed."""
        runtime.fleet.shut_down()
        runtime.fleet.force()
        try:
            await runtime.drain()
        finally:
            self._runtime = None
            await runtime.close()


async def start_worker_service(
    config: Config | None = None, **arguments: Any
) -> ScraperWorkerService:
    """A started service; the arguments are those of ScraperWorkerService."""
    service = ScraperWorkerService(config, **arguments)
    await service.start()
    return service

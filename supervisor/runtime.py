"""What lives between start and stop of a service: the queue, the name, the workers, the feed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from scraper.jobs import Config, EmbeddedUnavailableError, JobsError, OpenedQueue, open_queue
from scraper.jobs.connection import REDIS_ERRORS, ServerFacts, check_server
from scraper.jobs.doors import DoorWatcher, doors_of
from supervisor.auto_scaler import AutoScaler
from supervisor.broadcast import Broadcaster
from supervisor.children import Children
from supervisor.duties import Duties
from supervisor.environment import worker_environment
from supervisor.feed import EventFeed
from supervisor.fleet_report import FleetReporter
from supervisor.health import HealthStatus
from supervisor.http_process import HttpServerKeeper
from supervisor.listeners import Listeners
from supervisor.loop import KILL_AFTER_DRAIN_S, FleetLoop
from supervisor.loop_lag import LoopLag
from supervisor.memory import MemoryUsage
from supervisor.memory_warden import MemoryWarden, memory_limits
from supervisor.monitor import HealthMonitor
from supervisor.name_claim import NameClaim
from supervisor.orders import Handler, OrderTaker
from supervisor.policy import RestartLimits, RestartPolicy
from supervisor.process import WorkerLauncher
from supervisor.registry import WorkerRegistry
from supervisor.watcher import LivenessWatch
from supervisor.webhooks import WebhookDeliverer

log = structlog.get_logger(__name__)

EMBEDDED_EVERY_S = 1.0
DUE_EVERY_S = 5.0
LAST_CALLS_S = 3.0
# A killed process that still does not end is stuck in the kernel; nobody can wait for that.
REAP_WITHIN_S = 10.0


class UnfitServerError(JobsError):
    """The Redis server cannot keep jobs as it is."""

    def __init__(self, facts: ServerFacts) -> None:
        faults = "; ".join(str(problem) for problem in facts.problems if problem.is_fatal)
        super().__init__(f"this Redis server cannot be used: {faults}")


class Runtime:
    """Made by `open`, ended by `close`, which gives everything back whatever happened before."""

    def __init__(
        self,
        queue: OpenedQueue,
        claim: NameClaim,
        launcher: WorkerLauncher,
        limits: RestartLimits | None,
        listeners: Listeners,
    ) -> None:
        self.queue = queue
        self.name, self._claim = claim.name, claim
        self.duties = Duties()
        self.registry = WorkerRegistry(queue)
        self.children = Children(self.name.text)
        self.broadcast = Broadcaster(queue, listeners, self.name.text)
        self.monitor: HealthMonitor | None = None
        self.http: HttpServerKeeper | None = None
        self.fleet = FleetLoop(
            self.children,
            launcher,
            self.registry,
            policy=RestartPolicy(limits or restart_limits(queue.config)),
            publish=self.broadcast.publish,
            drain_timeout_s=queue.config.drain_timeout_s,
        )
        self.feed = EventFeed(queue, listeners, self.name.owns, self.broadcast.origin)
        self._undo = AsyncExitStack()

    @classmethod
    async def open(
        cls,
        config: Config,
        listeners: Listeners,
        *,
        pools: Sequence[str] | None,
        limits: RestartLimits | None,
        worker_log: Path | None,
        serve_http: bool,
    ) -> Runtime:
        """Reach the queue and take over what a dead predecessor left. No worker runs yet.

        Raises JobsError: RedisUnreachableError, EmbeddedUnavailableError, UnfitServerError, ...
        """
        async with AsyncExitStack() as undo:
            queue = await open_queue(config, client_name="supervisor")
            undo.push_async_callback(queue.shutdown)
            facts = await check_server(queue.redis, config.replicas_wanted)
            if not facts.is_fit:
                raise UnfitServerError(facts)
            for problem in facts.problems:
                log.warning("Redis", problem=problem.what, remedy=problem.remedy)
            async with queue.translated():
                claim = await NameClaim.acquire(queue, config.supervisor_name)
            undo.callback(claim.close)
            environment = worker_environment(config, queue.url, pools)
            launcher = WorkerLauncher(environment, log_path=worker_log)
            undo.callback(launcher.close)
            runtime = cls(queue, claim, launcher, limits, listeners)
            if serve_http:
                runtime.http = HttpServerKeeper(config, queue.url)
                undo.callback(runtime.http.close)
            async with queue.translated():
                await runtime._bury_predecessor()
                await runtime.feed.start()
            runtime._undo = undo.pop_all()
        return runtime

    async def _bury_predecessor(self) -> None:
        """Nobody else has our name: workers of it that Redis knows are dead, and hold leases."""
        dead = [one for one in await self.queue.reader.workers() if self.name.owns(one)]
        if dead:
            pages = await self.queue.transitions.reclaim_worker(dead)
            log.info("took over from a dead supervisor", workers=len(dead), pages=pages)

    def begin(self, worker_count: int, *, watch_doors: bool) -> None:
        """Start the duties and want `worker_count` workers."""
        self.fleet.resize(worker_count)
        self.duties.start("fleet", self.fleet.run)
        self.duties.start("greeting", self.fleet.greet)
        watch = LivenessWatch(self.fleet, self.registry, self.queue, self.broadcast.publish)
        self.duties.start("liveness", watch.run)
        self.duties.start("registry", self.registry.run)
        self.duties.start("feed", self.feed.run)
        self.duties.start("events", self.broadcast.run)
        self.duties.start("due", self._keep_time)
        lag = LoopLag()
        self.duties.start("lag", lag.run)
        deliverer = WebhookDeliverer(self.queue, self.name.text)
        self.duties.start("webhooks", deliverer.run)
        reporter = FleetReporter(
            self.queue,
            self.children,
            self._claim,
            takes_orders=watch_doors,
            health=self._last_health,
            lag=lag,
        )
        self.duties.start("report", reporter.run)
        self._undo.push_async_callback(self._leave, reporter)
        if self.http is not None:
            self.duties.start("http", self.http.run)
        if watch_doors:
            self._watch_doors()
        if self.queue.embedded is not None:
            self.duties.start("embedded", self._keep_embedded)

    def take_orders(self, handle: Handler) -> None:
        """Let the command line of any machine restart, scale and drain."""
        taker = OrderTaker(self.queue, self.name.text, handle)
        self.duties.start("order taking", taker.run)

    def watch_health(self, read: Callable[[], Awaitable[HealthStatus]]) -> None:
        """Read health and memory now and then, and act on them, until the drain begins."""
        config, publish = self.queue.config, self.broadcast.publish
        warden = MemoryWarden(self.children, self.fleet, publish, memory_limits(config))
        self.monitor = HealthMonitor(
            read, publish, on_memory=warden.look, interval_s=config.health_interval_s
        )
        self.duties.start("health", self.monitor.run)
        self.duties.start("health of memory", warden.run)

    def follow_load(self, pools: Sequence[str] | None) -> AutoScaler:
        """Change the count of workers by the load, until `stop_following`."""
        scaler = AutoScaler(self.queue, self.children, self.fleet.resize, self._last_usage, pools)
        self.duties.start("health of load", scaler.run)
        return scaler

    async def stop_following(self) -> None:
        """Leave the count of workers as it is."""
        await self.duties.cancel("health of load")

    def _last_usage(self) -> MemoryUsage | None:
        health = self._last_health()
        return health.memory_usage if health else None

    def _last_health(self) -> HealthStatus | None:
        return self.monitor.last if self.monitor else None

    @staticmethod
    async def _leave(reporter: FleetReporter) -> None:
        with contextlib.suppress(*REDIS_ERRORS, TimeoutError):
            async with asyncio.timeout(LAST_CALLS_S):
                await reporter.leave()

    def _watch_doors(self) -> None:
        """One duty a door: what fails at one leaves the others open."""
        watcher = DoorWatcher(self.queue, self.queue.blocking)
        for door in doors_of(self.queue.name, sorted(self.queue.job_types)):
            self.duties.start(f"door {door.key}", functools.partial(watcher.watch, door))

    async def _keep_time(self) -> None:
        """Do what time has made due, also while no worker asks for work."""
        while True:
            await asyncio.sleep(DUE_EVERY_S)
            try:
                await self.queue.transitions.promote_delayed()
            except REDIS_ERRORS as error:
                log.debug("what is due waits for Redis", error=str(error))

    async def _keep_embedded(self) -> None:
        while True:
            await asyncio.sleep(EMBEDDED_EVERY_S)
            embedded = self.queue.embedded
            if embedded is None:
                return
            try:
                if await asyncio.to_thread(embedded.ensure_running):
                    log.warning("the embedded server was started again")
            except EmbeddedUnavailableError as error:
                log.error("the embedded server is gone", error=str(error))

    async def drain(self) -> None:
        """Stop all workers, in order or by force; their leases are back when this returns."""
        await self.duties.cancel("door ")
        await self.duties.cancel("health")
        self.fleet.shut_down()
        longest_s = self.queue.config.drain_timeout_s + KILL_AFTER_DRAIN_S + REAP_WITHIN_S
        try:
            async with asyncio.timeout(longest_s):
                await self.fleet.until(lambda: not self.children.alive)
        except TimeoutError:
            left = [slot.pid for slot in self.children.alive]
            log.error("workers do not end although they were killed", pids=left)
            self.registry.bury(slot.instance for slot in self.children.alive)
        await self.registry.settle(LAST_CALLS_S)

    async def catch_up(self) -> None:
        """Bring the last events to the listeners."""
        await self.duties.cancel("feed")
        try:
            async with asyncio.timeout(LAST_CALLS_S):
                await self.feed.catch_up()
        except (TimeoutError, *REDIS_ERRORS) as error:
            log.warning("the last events were not read", error=str(error))

    async def send_last_events(self) -> None:
        """Bring our last events into the stream."""
        await self.duties.cancel("events")
        try:
            async with asyncio.timeout(LAST_CALLS_S):
                await self.broadcast.flush()
        except (TimeoutError, *REDIS_ERRORS) as error:
            log.warning("our last events did not reach the stream", error=str(error))

    async def close(self) -> None:
        """Let go of everything; workers that still live end by themselves."""
        await self.duties.cancel()
        await self._undo.aclose()


def restart_limits(config: Config) -> RestartLimits:
    """The limits that the settings know of."""
    return RestartLimits(breaker_deaths=config.breaker_deaths, fleet_deaths=config.restart_limit)

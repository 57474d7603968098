"""Listeners: in order, at their own pace, harming nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from supervisor.events import (
    EVENTS,
    Event,
    Gap,
    JobProgress,
    JobRejected,
    Shutdown,
    Started,
    WorkerError,
    make_event,
)
from supervisor.listeners import LONGEST_BACKLOG, Listeners, UnknownEventError
from supervisor.logs import route_to_logging
from supervisor.service import ScraperWorkerService

route_to_logging()


def collect(into: list[Event]) -> Callable[[Event], None]:
    return into.append


def test_a_plain_listener_is_called_at_once_and_in_order() -> None:
    listeners, heard = Listeners(), list[Event]()
    listeners.add("started", collect(heard), "service")
    events = [Started(worker_count=number) for number in range(3)]
    for event in events:
        assert listeners.publish(event)
    assert heard == events
    assert not listeners.publish(Shutdown())


def test_a_listener_that_raises_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("mine")

    async def fail_later(event: Event) -> None:
        raise RuntimeError("mine too")

    async def scenario() -> None:
        listeners, heard = Listeners(), list[Event]()
        for listener in (fail, fail_later, collect(heard)):
            listeners.add("shutdown", listener, "service")
        listeners.publish(Shutdown())
        listeners.publish(Shutdown())
        await listeners.finish(5)
        assert len(heard) == 2

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert caplog.text.count("a listener failed") == 4


def test_once_is_once_and_off_is_off() -> None:
    listeners, heard, again = Listeners(), list[Event](), list[Event]()
    keep = collect(again)
    listeners.add("shutdown", collect(heard), "service", is_once=True)
    listeners.add("shutdown", keep, "service")
    listeners.publish(Shutdown())
    listeners.remove("shutdown", keep)
    listeners.remove("shutdown", keep)
    listeners.publish(Shutdown())
    assert (len(heard), len(again)) == (1, 1)


def test_an_async_listener_gets_all_in_order_though_it_is_slow() -> None:
    async def scenario() -> None:
        listeners, heard, go = Listeners(), list[int](), asyncio.Event()

        async def slow(event: Started) -> None:
            await go.wait()
            heard.append(event.worker_count)

        listeners.add("started", slow, "service")
        for number in range(50):
            listeners.publish(Started(worker_count=number))
        go.set()
        await listeners.finish(5)
        assert heard == list(range(50))

    asyncio.run(scenario())


def test_a_stuck_listener_keeps_its_backlog_bounded_and_is_told_of_the_gap() -> None:
    async def scenario() -> None:
        listeners, heard, go = Listeners(), list[Event](), asyncio.Event()

        async def stuck(event: Event) -> None:
            await go.wait()
            heard.append(event)

        listeners.add("shutdown", stuck, "service")
        for _ in range(LONGEST_BACKLOG + 101):
            listeners.publish(Shutdown())
        go.set()
        await listeners.finish(5)
        assert heard[-1] == Gap(count=100)
        assert len(heard) == LONGEST_BACKLOG + 2

    asyncio.run(scenario())


def test_room_is_waited_for_until_a_listener_has_caught_up() -> None:
    async def scenario() -> None:
        listeners, go = Listeners(), asyncio.Event()

        async def slow(event: Event) -> None:
            await go.wait()

        listeners.add("shutdown", slow, "service")
        for _ in range(LONGEST_BACKLOG + 1):
            await listeners.wait_for_room("shutdown")
            listeners.publish(Shutdown())
        waiting = asyncio.create_task(listeners.wait_for_room("shutdown"))
        await asyncio.wait({waiting}, timeout=0.01)
        assert not waiting.done()
        go.set()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(scenario())


def test_events_of_others_are_for_queue_listeners_only() -> None:
    listeners, own, all_of_queue = Listeners(), list[Event](), list[Event]()
    listeners.add("shutdown", collect(own), "service")
    listeners.add("shutdown", collect(all_of_queue), "queue")
    listeners.publish(Shutdown(), is_own=False)
    assert (len(own), len(all_of_queue)) == (0, 1)


def test_a_mistyped_event_is_refused_with_the_right_name() -> None:
    with pytest.raises(UnknownEventError, match="did you mean workerCompleted"):
        Listeners().add("workerComplete", print, "service")


def test_what_users_emit_reaches_listeners_in_either_spelling() -> None:
    service, heard = ScraperWorkerService(redis_url="redis://127.0.0.1:1"), list[Event]()
    service.on("workerError", collect(heard))
    assert service.emit("workerError", {"workerId": "worker-1", "error": "mine"})
    assert service.emit("workerError", worker_id="worker-1", error="mine")
    assert heard == [WorkerError(worker_id="worker-1", error="mine")] * 2
    with pytest.raises(TypeError):
        service.emit("workerError", {"worker": "worker-1"})
    with pytest.raises(UnknownEventError):
        service.emit("mine")


def test_events_show_themselves_in_camel_case() -> None:
    progress = JobProgress(job_id="j", pages_scraped=2, total_pages=9, at_ms=5, id="5-0")
    assert progress.to_json() == {
        "event": "jobProgress", "at": 5, "id": "5-0", "jobId": "j", "pagesScraped": 2,
        "totalPages": 9, "rate": 0.0,
    }  # fmt: skip
    assert make_event("jobRejected", {"reason": "no JSON"}) == JobRejected(reason="no JSON")


def test_all_promised_events_are_there() -> None:
    promised = {
        "started", "workerReady", "workerActive", "workerCompleted", "workerFailed",
        "workerError", "workerStalled", "workerClosed", "highMemoryUsage", "healthUpdate",
        "shuttingDown", "shutdown", "forceShutdown", "pageCommitted", "jobWaiting", "jobProgress",
        "jobRetried", "jobCancelled", "jobRejected", "memoryLeakSuspected", "workerRecycled",
        "gap",
    }  # fmt: skip
    assert set(EVENTS) == promised

"""Fetches that take too long are ended; what is cancelled by others stays cancelled."""

from __future__ import annotations

import asyncio
import time

import pytest

from scraper.network.deadlines import LOOK_EVERY_S, Deadlines


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


def test_only_what_is_late_is_ended_and_no_earlier() -> None:
    async def scenario() -> None:
        deadlines = Deadlines()
        begun_s = time.monotonic()
        late = asyncio.create_task(deadlines.within(0.2, after(60)))
        in_time = [asyncio.create_task(deadlines.within(30, after(0.3))) for _ in range(50)]
        with pytest.raises(TimeoutError):
            await late
        assert 0.2 <= time.monotonic() - begun_s < 30
        assert await asyncio.gather(*in_time) == ["done"] * 50
        # Nothing is left behind: no task is kept, and no timer ticks on.
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert not deadlines._due_s
        assert deadlines._looking is None

    asyncio.run(scenario())


def test_a_task_goes_on_after_its_time_was_over() -> None:
    async def scenario() -> None:
        deadlines = Deadlines()

        async def twice() -> str:
            with pytest.raises(TimeoutError):
                await deadlines.within(0.05, after(60))
            return await deadlines.within(30, after(0.1))

        task = asyncio.create_task(twice())
        assert await task == "done"
        assert task.cancelling() == 0

    asyncio.run(scenario())


def test_a_cancelled_task_is_cancelled_not_late() -> None:
    async def scenario() -> None:
        deadlines = Deadlines()
        task = asyncio.create_task(deadlines.within(30, after(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not deadlines._due_s

    asyncio.run(scenario())


def test_a_late_task_that_is_cancelled_besides_stays_cancelled() -> None:
    async def scenario() -> None:
        deadlines, left = Deadlines(), []

        async def cancelled_while_it_ends() -> None:
            task = asyncio.current_task()
            assert task is not None
            try:
                await asyncio.sleep(60)
            finally:
                task.cancel()

        async def fetch() -> None:
            task = asyncio.current_task()
            assert task is not None
            try:
                await deadlines.within(0.05, cancelled_while_it_ends())
            finally:
                left.append(task.cancelling())

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(fetch())
        # One request to cancel it was ours, and is taken back; the other is not.
        assert left == [1]

    asyncio.run(scenario())

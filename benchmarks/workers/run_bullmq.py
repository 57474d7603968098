"""A worker on BullMQ's Python port: `python -m benchmarks.workers.run_bullmq`; ends when done."""

import asyncio
import os
from contextlib import suppress
from typing import Any

import aiohttp
from bullmq import Job, Worker  # type: ignore[import-not-found]

from benchmarks.workers.slim_fields import slim_record
from benchmarks.workers.stopwatch import Stopwatch

CONCURRENCY = 32
IS_FULL = os.environ["BENCH_PROFILE"] == "full"


async def main() -> None:
    pages = int(os.environ["BENCH_PAGES"])
    stopwatch = Stopwatch()
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work(job: Job, _token: str) -> dict[str, Any]:
            url = job.data["url"]
            async with session.get(url) as response:
                body = await response.read()
                return slim_record(body, url, response.status, is_full=IS_FULL)

        def completed(_job: Job, record: dict[str, Any]) -> None:
            stopwatch.take(record)
            if stopwatch.pages == pages and not finished.done():
                finished.set_result(None)

        def failed(_job: Job, error: Exception) -> None:
            if not finished.done():
                finished.set_exception(error)

        options = {"connection": os.environ["BENCH_REDIS_URL"], "autorun": False}
        worker = Worker("pages", work, {**options, "concurrency": CONCURRENCY})
        worker.on("completed", completed)
        worker.on("failed", failed)
        stopwatch.start()
        running = asyncio.create_task(worker.run())
        await finished
        stopwatch.write_report()
        # It may end by cancelling its own wait for the next job.
        with suppress(asyncio.CancelledError):
            await worker.close(force=True)
            await running


if __name__ == "__main__":
    asyncio.run(main())

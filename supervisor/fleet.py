"""The workers and supervisors of a queue on all machines, as Redis knows them."""

from __future__ import annotations

from typing import Any

from scraper.jobs import JobQueue
from supervisor.fleet_report import read_reports


async def read_fleet(queue: JobQueue) -> dict[str, Any]:
    """`workers` of all machines, also those without a supervisor, and the `supervisors`."""
    reports = await read_reports(queue)
    instances = await queue.reader.workers()
    workers: dict[str, dict[str, Any]] = {}
    for report in reports:
        for worker in report.pop("workers"):
            workers[worker["id"]] = {**worker, "supervisor": report["name"]}
    async with queue.redis.pipeline(transaction=False) as pipe:
        for name in instances:
            pipe.hlen(queue.transitions.keys.key(f"leases:{name}"))
        leased = await pipe.execute() if instances else []
    for instance, pages in zip(instances, leased, strict=True):
        worker_id = instance.partition("#")[0]
        known = workers.setdefault(
            worker_id, {"id": worker_id, "supervisor": worker_id.rpartition("/")[0]}
        )
        known["pagesLeased"] = known.get("pagesLeased", 0) + pages
    return {"workers": [workers[name] for name in sorted(workers)], "supervisors": reports}

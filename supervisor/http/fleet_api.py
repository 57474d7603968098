"""Workers and supervisors on all machines: look, restart, scale, drain. The operator's only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.responses import Response

from scraper.jobs import JobQueue
from supervisor.fleet import read_fleet
from supervisor.http.access import operator_only
from supervisor.http.models import OrderAnswer, StrictQuery, WorkerCount, WorkerList
from supervisor.http.replies import Queue, errors, reply
from supervisor.orders import chosen_supervisor, give_order

router = APIRouter(tags=["fleet"], dependencies=[Depends(operator_only)])

WorkerId = Annotated[
    str, Path(alias="workerId", pattern=r"^[A-Za-z0-9._~-]{1,80}(/worker-[0-9]{1,4})?$",
              description="`worker-1`, or `<supervisor>/worker-1`"),
]  # fmt: skip


class Ordered(StrictQuery):
    """To whom an order goes, and how long to wait for the answer."""

    supervisor: Annotated[
        str | None, Field(max_length=64, description="needed where several run on this queue")
    ] = None
    wait: Annotated[float, Field(ge=0.1, le=120, description="s to wait for the answer")] = 30


@router.get("/workers", response_model=WorkerList, responses=errors(), summary="All workers")
async def workers(queue: Queue) -> Response:
    """State, jobs and pages in hand, memory against its limit, restarts, age; by supervisor."""
    return reply(await read_fleet(queue))


@router.post(
    "/workers/restart", response_model=OrderAnswer, responses=errors(409, 504),
    summary="Restart all workers of a supervisor, one after another",
)  # fmt: skip
async def restart_all(queue: Queue, ordered: Annotated[Ordered, Query()]) -> Response:
    """504 when it takes longer than `wait`: it goes on all the same."""
    return await _order(queue, ordered.supervisor, "restart", "*", ordered.wait)


@router.post(
    "/workers/{workerId:path}/restart", response_model=OrderAnswer, responses=errors(409, 504),
    summary="Drain a worker and start it anew",
)  # fmt: skip
async def restart(
    queue: Queue, worker_id: WorkerId, ordered: Annotated[Ordered, Query()]
) -> Response:
    """Answers when the new one asks for work."""
    supervisor = ordered.supervisor
    if "/" in worker_id and supervisor is None:
        supervisor = worker_id.rpartition("/")[0]
    return await _order(queue, supervisor, "restart", worker_id, ordered.wait)


@router.put(
    "/workers/count", response_model=OrderAnswer, responses=errors(409, 415, 504),
    summary="Have so many workers",
)  # fmt: skip
async def scale(queue: Queue, wanted: WorkerCount) -> Response:
    """New ones start at once; those too many are drained. The setting lasts until the supervisor
    ends."""
    return await _order(queue, wanted.supervisor, "scale", str(wanted.count), 30)


@router.post(
    "/supervisors/drain", response_model=OrderAnswer, responses=errors(409, 504),
    summary="End a service in order",
)  # fmt: skip
async def drain(queue: Queue, ordered: Annotated[Ordered, Query()]) -> Response:
    """Pages in flight are finished, the rest is handed back."""
    return await _order(queue, ordered.supervisor, "drain", "", ordered.wait)


async def _order(
    queue: JobQueue, name: str | None, action: str, argument: str, wait_s: float
) -> Response:
    async with queue.translated():
        supervisor = await chosen_supervisor(queue, name)
        answer = await give_order(queue, supervisor, action, argument, wait_s)
    return reply({"supervisor": supervisor, "answer": answer})

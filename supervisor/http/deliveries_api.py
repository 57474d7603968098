"""What became of a job's webhook calls, and calling again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from supervisor.http.models import DeliveriesWanted, DeliveryLog, Redelivery
from supervisor.http.replies import Queue, VisibleJob, errors, reply

router = APIRouter(tags=["webhooks"])

DeliveryId = Annotated[
    str,
    Path(alias="deliveryId", pattern=r"^[0-9]{1,19}-[0-9]{1,19}(\.[0-9]{1,6})?$",
         description="as in the log, and in the header X-Scraper-Delivery"),
]  # fmt: skip


@router.get(
    "/jobs/{jobId}/deliveries", response_model=DeliveryLog, responses=errors(404),
    summary="The delivery log of its webhook",
)  # fmt: skip
async def deliveries(
    queue: Queue, view: VisibleJob, wanted: Annotated[DeliveriesWanted, Query()]
) -> Response:
    """What waits, and the newest attempts."""
    async with queue.translated():
        return reply(await queue.webhooks.log(view.id, wanted.limit))


@router.post(
    "/jobs/{jobId}/deliveries/{deliveryId}/redeliver", response_model=Redelivery, status_code=202,
    responses=errors(404, 409), summary="Deliver an event again",
)  # fmt: skip
async def redeliver(queue: Queue, view: VisibleJob, delivery_id: DeliveryId) -> Response:
    """Behind those that wait; one that waits itself is tried at once. 409: it is not in the log."""
    await queue.redeliver(view.id, delivery_id)
    return reply({"deliveryId": delivery_id, "queued": True}, 202)

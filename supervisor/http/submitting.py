"""`POST /jobs`: one job or many, once however often the request is repeated."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from scraper.jobs import Fault, InvalidJobError, JobQueue, JobSpec, RedisUnreachableError
from scraper.jobs.client import new_job_id
from supervisor.http.access import Principal
from supervisor.http.errors import RETRY_AFTER_S, ApiError
from supervisor.http.job_schema import JOB_BODY
from supervisor.http.models import ErrorBody, Submitted, SubmittedMany
from supervisor.http.replies import Asker, Queue, errors, reply
from supervisor.http.validation import content_kind, not_json

router = APIRouter(tags=["jobs"])
MANY = 1000
_HINT = 'send a job, such as {"type": "single-page", "url": "https://example.com/"}, or a list'
_NEVER_TWICE = "header Idempotency-Key"
_WRONG_FAULTS_SHOWN = 100

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="the same key with the same body makes the same jobs, not more",
    ),
]


@router.post(
    "/jobs",
    status_code=201,
    response_model=Submitted | SubmittedMany,
    responses={
        200: {"model": Submitted | SubmittedMany, "description": "all of them were there before"},
        503: {"model": ErrorBody, "description": "the outcome may be unknown: `error.jobIds` "
              "names the jobs; repeat the request with those ids"},
        **errors(408, 409, 413, 415, 507),
    },
    openapi_extra=JOB_BODY,
    summary="Submit one job or a list",
)  # fmt: skip
async def submit(
    request: Request, queue: Queue, asker: Asker, idempotency_key: IdempotencyKey = None
) -> Response:
    """All of a list are accepted, or none. A `jobId` that is there already is the same job."""
    specs = await read_jobs(request, queue, asker)
    specs = [_with_id(spec, idempotency_key, i) for i, spec in enumerate(specs)]
    ids = [spec.job_id or "" for spec in specs]
    try:
        handles = await queue.add_jobs(specs)
    except RedisUnreachableError as error:
        raise _unknown(ids, error) from error
    known = [spec for spec, handle in zip(specs, handles, strict=True) if not handle.was_new]
    await _check_known(queue, known, asker, is_keyed=idempotency_key is not None)
    made = [{"jobId": handle.id, "isNew": handle.was_new} for handle in handles]
    status = 201 if any(handle.was_new for handle in handles) else 200
    if (await request.body()).lstrip().startswith(b"["):
        return reply({"jobs": made}, status)
    return reply(made[0], status, {"Location": f"/jobs/{handles[0].id}"})


async def read_jobs(request: Request, queue: JobQueue, asker: Principal) -> list[JobSpec]:
    """The validated job or jobs of the body. Raises ApiError, InvalidJobError."""
    content = await _content(request)
    jobs = content if isinstance(content, list) else [content]
    if not 1 <= len(jobs) <= MANY:
        raise ApiError(
            422, "wrong_count", f"{len(jobs)} jobs at once", f"send from 1 to {MANY:,} jobs"
        )
    return await _specs(queue, jobs, asker)


async def _content(request: Request) -> Any:
    kind = content_kind(request)
    if kind != "application/json":
        raise not_json(kind)
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        problem = f"the body is no valid JSON: {error}"
        raise ApiError(422, "invalid_json", problem, _HINT) from None


async def _specs(queue: JobQueue, jobs: Sequence[Any], asker: Principal) -> list[JobSpec]:
    """The validated jobs. Raises InvalidJobError with the faults of all of them."""
    specs: list[JobSpec] = []
    faults: list[Fault] = []
    for number, job in enumerate(jobs):
        if number % 50 == 49:
            # Others want to be answered, too.
            await asyncio.sleep(0)
        prefix = f"{number}." if len(jobs) > 1 else ""
        if not isinstance(job, dict):
            faults.append(Fault(prefix.rstrip("."), "is no JSON object", _HINT))
            continue
        try:
            specs.append(queue.parse(_of_customer(job, asker)))
        except InvalidJobError as error:
            faults += [Fault(prefix + it.field, it.problem, it.hint) for it in error.faults]
    if faults:
        raise InvalidJobError(faults[:_WRONG_FAULTS_SHOWN])
    return specs


def _of_customer(job: dict[str, Any], asker: Principal) -> dict[str, Any]:
    """A customer's jobs are its own, whatever they say."""
    if asker.customer_id is None:
        return job
    given = job.get("customerId")
    if given not in (None, asker.customer_id):
        raise ApiError(
            403, "other_customer", f"this token is for customer {asker.customer_id!r}",
            "leave customerId out, or give that one",
        )  # fmt: skip
    return {**job, "customerId": asker.customer_id}


def _with_id(spec: JobSpec, key: str | None, number: int) -> JobSpec:
    """The job with the id under which it can be repeated."""
    if spec.job_id is None and key is not None:
        # A key is the customer's own: others may have the same.
        text = f"{spec.customer_id}\n{key}\n{number}"
        job_id = f"key-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    else:
        job_id = spec.job_id or new_job_id()
    return spec.model_copy(update={"job_id": job_id})


def _unknown(ids: Sequence[str], error: RedisUnreachableError) -> ApiError:
    return ApiError(
        503, "outcome_unknown", f"the jobs may or may not have been accepted: {error}",
        "repeat the request with these jobIds (or the same Idempotency-Key): nothing runs twice",
        headers={"Retry-After": RETRY_AFTER_S}, detail={"jobIds": list(ids)},
    )  # fmt: skip


async def _check_known(
    queue: JobQueue, specs: Sequence[JobSpec], asker: Principal, *, is_keyed: bool
) -> None:
    """Say so when an id is another customer's, or a key was used for other jobs before."""
    if not specs:
        return
    async with queue.translated(), queue.redis.pipeline(transaction=False) as pipe:
        for spec in specs:
            pipe.hmget(queue.transitions.keys.job(spec.job_id or ""), "customer", "spec")
        stored = await pipe.execute()
    for spec, (customer, text) in zip(specs, stored, strict=True):
        if customer is not None and not asker.may_see(customer.decode()):
            raise ApiError(
                409, "job_id_taken", f"the jobId {spec.job_id!r} cannot be used", "take another one"
            )
        if is_keyed and text is not None and text.decode() != spec.to_json():
            raise ApiError(
                409, "key_reused", f"the {_NEVER_TWICE} was used for another body before",
                "take a new key for new jobs",
            )  # fmt: skip

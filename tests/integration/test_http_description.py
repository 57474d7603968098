"""The API is what its description says: no other answer, no fault of the server, no way across."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scraper.jobs.leases import Filtered, PageOutcome
from scraper.jobs.model import JobSpec
from tests.integration.conftest import QueuePlace
from tests.support.http_api import OPERATOR, Api, Reply
from tests.support.queue_driver import QueueDriver, strict_client
from tests.support.tokens import new_token

EXAMPLES = int(os.environ.get("HTTP_EXAMPLES", "12"))
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
JOB = {"type": "single-page", "url": "http://site.test/"}
# Of each preview a process of its own is made.
PREVIEWS = 2
NOBODY = "http://127.0.0.1:9/"


def description(api: Api) -> dict[str, Any]:
    described: dict[str, Any] = api.get("/openapi.json").json
    return described


@pytest.fixture(scope="module")
def ended(where: QueuePlace, operator: Api) -> str:
    """A crawl with records, an error, links left out, and an end."""
    spec = JobSpec.model_validate({**JOB, "type": "full-crawl", "jobId": "ended"}).to_json()

    async def crawl() -> None:
        client = strict_client(where.url)
        queue = QueueDriver(client, where.name)
        links = ["http://site.test/a", "http://site.test/b"]
        # A pool of its own: other tests' jobs wait in this queue, too.
        await queue.start_crawl("ended", links, start_url=JOB["url"], spec=spec, pool="own")
        failed = await queue.lease_one(pools=["own"])
        await queue.end("w1", failed, PageOutcome.FAILED, code="http_404")
        filtered = [Filtered("off_scope", 1, "http://elsewhere.test/")]
        await queue.end("w1", await queue.lease_one(pools=["own"]), filtered=filtered)
        await client.aclose()

    asyncio.run(crawl())
    assert operator.get("/jobs/ended").json["state"] == "completed"
    return "ended"


@pytest.mark.timeout(25 * EXAMPLES)
def test_generated_requests_get_described_answers(operator: Api, ended: str) -> None:
    """No 5xx, and nothing outside of the description: of jobs that are not there, that wait, and
    that have ended. None is left out: event streams are asked for what is there, not followed."""
    schema = schemathesis.openapi.from_dict(description(operator))
    answers: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        name = f"{operation.method.upper()} {operation.path}"
        answers[name] = _answers(operation, operator, ended)
    assert answers.keys() == {f"{method} {path}" for method, path in calls(operator)}
    done = [name for name, seen in answers.items() if seen & {200, 201, 202, 204}]
    assert len(done) > 18, "most were answered with more than an error"


def _answers(operation: APIOperation, api: Api, ended: str) -> set[int]:
    """What generated requests of one operation were answered; each answer is looked at."""
    is_preview = operation.path == "/preview"
    jobs = ["waiting", ended if operation.method.upper() == "GET" else "cancelled"]
    seen: set[int] = set()

    @given(
        case=operation.as_strategy(),
        job=strategies.sampled_from([None, *jobs]),
    )
    @settings(
        max_examples=PREVIEWS if is_preview else EXAMPLES, deadline=None, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def check(case: Case, job: str | None) -> None:
        if job is not None and "jobId" in (case.path_parameters or {}):
            case.path_parameters["jobId"] = job
            if job != ended:
                api.post("/jobs", {**JOB, "jobId": job, "delay": 600_000})
            if job == "cancelled":
                api.post("/jobs/cancelled/cancel")
        # Waiting is tested elsewhere.
        (case.query or {}).pop("wait", None)
        if operation.path.endswith("/events"):
            case.query = {**(case.query or {}), "follow": "false"}
        if is_preview and isinstance(case.body, dict):
            case.body["url"] = NOBODY
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        response = case.call(base_url=f"http://127.0.0.1:{api.port}", headers=headers, timeout=60)
        # Jobs wait here, and there are no workers: /health may say so.
        is_unhealthy = (operation.path, response.status_code) == ("/health", 503)
        assert response.status_code < 500 or is_unhealthy, (case.as_curl_command(), response.text)
        case.validate_response(response, checks=CHECKS)
        seen.add(response.status_code)

    check()
    return seen


# What a customer may call at all; everything else is the operator's.
OF_CUSTOMERS = {
    "POST /jobs", "POST /preview", "GET /jobs", "GET /events", "GET /rejected", "GET /presets",
    "GET /health/live", "GET /health/ready",
}  # fmt: skip
MARK = "not-for-acme"
# What stands for the parts of a path; a new one must be here.
PLACES = {"workerId": "worker-1", "deliveryId": "1-1"}


def calls(api: Api) -> Iterator[tuple[str, str]]:
    """Every method and path of the description."""
    for path, operations in description(api)["paths"].items():
        for method in operations:
            yield method.upper(), path


def test_no_endpoint_leads_to_another_customers_things(where: QueuePlace, operator: Api) -> None:
    acme = operator.by(new_token(where.env(), "--customer-id", "acme")["token"])
    other = operator.by(new_token(where.env(), "--customer-id", "other")["token"])
    job = {"type": "full-crawl", "url": f"http://{MARK}.test/", "metadata": {"of": MARK}}
    for job_id in ("theirs", "theirs-ended"):
        other.post("/jobs", {**job, "jobId": job_id})
    other.post("/jobs/theirs-ended/cancel")
    ids = ("theirs", "theirs-ended")
    before = [other.get(f"/jobs/{job_id}").json for job_id in ids]
    assert MARK in json.dumps(before), "they see it themselves"
    tried = 0
    for method, path in calls(operator):
        for job_id in ids if "{jobId}" in path else ids[:1]:
            reply = _call_as(acme, method, path, job_id)
            tried += 1
            assert MARK.encode() not in reply.body, (method, path)
            if "{jobId}" in path:
                assert (reply.status, reply.code) == (404, "job_not_found"), (method, path)
            elif f"{method} {path}" not in OF_CUSTOMERS:
                assert (reply.status, reply.code) == (403, "operator_only"), (method, path)
    assert tried > 35
    assert [other.get(f"/jobs/{job_id}").json for job_id in ids] == before


def _call_as(api: Api, method: str, path: str, job_id: str) -> Reply:
    """A call with all that it needs, were it the customer's own."""
    filled = path
    for name, value in {**PLACES, "jobId": job_id}.items():
        filled = filled.replace(f"{{{name}}}", value)
    assert "{" not in filled, f"say in PLACES what to put there: {path}"
    if path == "/events":
        filled += "?after=0-0&follow=false"
    if path.endswith("/explain"):
        filled += f"?url=http://{MARK}.test/"
    content: Any = None
    if (method, path) == ("POST", "/jobs"):
        # Their id, and a list of jobs in their name.
        taken = api.post("/jobs", {**JOB, "jobId": job_id})
        assert (taken.status, taken.code) == (409, "job_id_taken")
        content = [{**JOB, "customerId": "other"}]
    if path == "/workers/count":
        content = {"count": 1}
    reply = api.call(method, filled, content)
    if (method, path) == ("POST", "/jobs"):
        assert (reply.status, reply.code) == (403, "other_customer")
    return reply

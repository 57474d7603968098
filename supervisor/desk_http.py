"""The desk of a service that is reached over HTTP, with a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from scraper.jobs import (
    Fault,
    InvalidJobError,
    JobNotFoundError,
    JobResult,
    JobsError,
    JobState,
    JobStateError,
    JobView,
)
from scraper.jobs.pace import JobPace
from scraper.jobs.payload import read_payload
from supervisor.desk import (
    Accepted,
    GivenJob,
    Refused,
    ServiceRefusesError,
    ServiceUnreachableError,
)

CONNECT_WITHIN_S = 10.0
PREVIEW_WITHIN_S = 90.0
ANSWER_WITHIN_S = 60.0
# Behind an order's own time.
ORDER_MARGIN_S = 10.0
RECONNECT_S = 1.0
# Without a record in between; then a broken stream is given up.
MOST_BREAKS = 5
MOST_AT_ONCE = 1000
LINE_BYTES = 128 * 1024 * 1024


class ServiceError(JobsError):
    """Any other answer that is no success; `code` is the service's own."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class HttpDesk:
    """Asks the service's HTTP API. To be made within an event loop."""

    def __init__(self, server: str, token: str | None) -> None:
        self._server = server.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_WITHIN_S, sock_read=ANSWER_WITHIN_S
            ),
            read_bufsize=256 * 1024,
        )

    # -- asking -----------------------------------------------------------------------------

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, *, job_id: str = "", wait_s: float = ANSWER_WITHIN_S,
        **request: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN_S, sock_read=wait_s)
        try:
            async with self._session.request(
                method, self._server + path, timeout=timeout, **request
            ) as answer:
                if answer.status >= 400 and not (path == "/health" and answer.status == 503):
                    raise _error_of(self._server, answer.status, await answer.read(), job_id)
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ServiceUnreachableError(self._server, str(error) or "no answer") from error

    async def _json(self, method: str, path: str, **request: Any) -> Any:
        async with self._answer(method, path, **request) as answer:
            return orjson.loads(await answer.read() or b"null")

    async def _list(
        self, path: str, field: str, limit: int | None, params: Mapping[str, Any], job_id: str = ""
    ) -> list[Any]:
        """A list of the service, over all its pages."""
        found: list[Any] = []
        asked = dict(params)
        while True:
            left = MOST_AT_ONCE if limit is None else limit - len(found)
            asked["limit"] = str(min(MOST_AT_ONCE, left))
            page = await self._json("GET", path, params=asked, job_id=job_id)
            found += page[field]
            if page["nextCursor"] is None or (limit is not None and len(found) >= limit):
                return found
            asked["cursor"] = page["nextCursor"]

    # -- jobs -------------------------------------------------------------------------------

    async def submit(self, jobs: Sequence[GivenJob]) -> list[Accepted | Refused]:
        outcomes: dict[int, Accepted | Refused] = {}
        left: dict[int, Any] = {}
        for number, job in enumerate(jobs):
            try:
                left[number] = read_payload(job)
            except InvalidJobError as error:
                outcomes[number] = Refused(error.faults)
        while left:
            batch = dict(list(left.items())[:MOST_AT_ONCE])
            try:
                made = await self._json("POST", "/jobs", json=list(batch.values()))
            except InvalidJobError as error:
                for place, faults in _by_place(error.faults, list(batch)).items():
                    outcomes[place] = Refused(tuple(faults))
                    left.pop(place)
                continue
            for place, job in zip(batch, made["jobs"], strict=True):
                outcomes[place] = Accepted(job["jobId"], job["isNew"])
                left.pop(place)
        return [outcomes[number] for number in range(len(jobs))]

    async def preview(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What a job of these fields would take of its site."""
        answer = self._answer("POST", "/preview", wait_s=PREVIEW_WITHIN_S, json=fields)
        async with answer as reply:
            shown: dict[str, Any] = orjson.loads(await reply.read())
            return shown

    async def jobs(
        self,
        *,
        states: Collection[JobState],
        customer_id: str | None,
        job_type: str | None,
        limit: int,
    ) -> list[JobView]:
        params: dict[str, Any] = {}
        if set(states) != set(JobState):
            params["state"] = [state.value for state in states]
        if customer_id is not None:
            params["customer"] = customer_id
        if job_type is not None:
            params["type"] = job_type
        return [JobView.from_json(job) for job in await self._list("/jobs", "jobs", limit, params)]

    async def job(self, job_id: str) -> JobView:
        return JobView.from_json(await self._of_job("GET", job_id))

    async def pace(self, job_id: str) -> JobPace | None:
        pace = (await self._of_job("GET", job_id))["pace"]
        return JobPace.from_fields(pace) if pace else None

    async def filtered(self, job_id: str) -> dict[str, int]:
        counts: dict[str, int] = (await self._of_job("GET", job_id))["filtered"]
        return counts

    async def result(self, job_id: str) -> JobResult:
        return JobResult.from_json(await self._of_job("GET", job_id, "/result"))

    async def record_lines(self, job_id: str, cursor: int = 0) -> AsyncIterator[bytes]:
        breaks = 0
        while True:
            begun = cursor
            try:
                async for line in self._record_lines(job_id, cursor):
                    cursor += 1
                    yield line
                return
            except ServiceUnreachableError:
                # It broke off in the middle: go on behind the last whole record.
                breaks = 0 if cursor > begun else breaks + 1
                if cursor == 0 or breaks > MOST_BREAKS:
                    raise
            await asyncio.sleep(RECONNECT_S)

    async def _record_lines(self, job_id: str, cursor: int) -> AsyncIterator[bytes]:
        accept = {"Accept": "application/x-ndjson"}
        path = _job_path(job_id, "/data")
        params = {"cursor": str(cursor)}
        async with self._answer(
            "GET", path, headers=accept, params=params, job_id=job_id
        ) as answer:
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
                if len(rest) > LINE_BYTES:
                    raise ServiceError("bad_answer", "a record is larger than any may be")

    async def errors(self, job_id: str) -> list[dict[str, Any]]:
        return await self._list(_job_path(job_id, "/errors"), "errors", None, {}, job_id)

    async def rejected(self, limit: int) -> list[dict[str, Any]]:
        return await self._list("/rejected", "rejected", limit, {})

    async def explain(self, job_id: str, url: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._of_job("GET", job_id, "/explain", params={"url": url})
        return found

    async def deliveries(self, job_id: str, limit: int) -> dict[str, Any]:
        params = {"limit": str(min(limit, MOST_AT_ONCE))}
        found: dict[str, Any] = await self._of_job("GET", job_id, "/deliveries", params=params)
        return found

    async def redeliver(self, job_id: str, delivery_id: str) -> None:
        await self._of_job("POST", job_id, f"/deliveries/{quote(delivery_id, safe='')}/redeliver")

    async def cancel(self, job_id: str) -> JobState:
        return JobState((await self._of_job("POST", job_id, "/cancel"))["stateBefore"])

    async def pause(self, job_id: str) -> JobState:
        return JobState((await self._of_job("POST", job_id, "/pause"))["stateBefore"])

    async def resume(self, job_id: str) -> JobState:
        return JobState((await self._of_job("POST", job_id, "/resume"))["state"])

    async def retry(self, job_id: str, *, failed_pages_only: bool) -> None:
        params = {"failedPages": str(failed_pages_only).lower()}
        await self._of_job("POST", job_id, "/retry", params=params)

    async def remove(self, job_id: str) -> None:
        await self._of_job("DELETE", job_id)

    async def _of_job(self, method: str, job_id: str, part: str = "", **request: Any) -> Any:
        return await self._json(method, _job_path(job_id, part), job_id=job_id, **request)

    # -- the rest ---------------------------------------------------------------------------

    async def events(self, after: str | None, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
        while True:
            params = {"follow": str(follow).lower(), **({"after": after} if after else {})}
            try:
                async with self._answer("GET", "/events", params=params) as answer:
                    async for place, event in _sse(answer):
                        after = place or after
                        yield event
                if not follow:
                    return
            except ServiceUnreachableError:
                if after is None or not follow:
                    raise
            # It ended in the middle: go on behind the last one.
            await asyncio.sleep(RECONNECT_S)

    async def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._json("GET", "/workers"))["workers"]
        return found

    async def health(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._json("GET", "/health")
        shown = {"healthy": found["healthy"], "problems": found["problems"]}
        return {**(found.get("queue") or {}), **shown}

    async def pause_queue(self, is_paused: bool) -> bool:
        path = "/queue/pause" if is_paused else "/queue/resume"
        return bool((await self._json("POST", path))["changed"])

    async def order(
        self, supervisor: str | None, action: str, argument: str, timeout_s: float
    ) -> str:
        params = {"wait": str(min(timeout_s, 120.0))}
        if supervisor is not None:
            params["supervisor"] = supervisor
        wait_s = timeout_s + ORDER_MARGIN_S
        if action == "scale":
            count = argument if argument == "auto" else int(argument)
            content = {"count": count, "supervisor": supervisor}
            done = await self._json("PUT", "/workers/count", json=content, wait_s=wait_s)
        elif action == "restart" and argument == "*":
            done = await self._json("POST", "/workers/restart", params=params, wait_s=wait_s)
        elif action == "restart":
            path = f"/workers/{quote(argument)}/restart"
            done = await self._json("POST", path, params=params, wait_s=wait_s)
        else:
            done = await self._json("POST", "/supervisors/drain", params=params, wait_s=wait_s)
        return str(done["answer"])

    async def close(self) -> None:
        await self._session.close()


def _job_path(job_id: str, part: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}{part}"


def _by_place(faults: Sequence[Fault], places: Sequence[int]) -> dict[int, list[Fault]]:
    """The faults of a batch by the job that they belong to."""
    found: dict[int, list[Fault]] = {}
    for fault in faults:
        number, _, field = fault.field.partition(".")
        # Of one job alone the service does not say the number.
        is_numbered = len(places) > 1 and number.isdigit()
        place = places[int(number)] if is_numbered else places[0]
        name = field if is_numbered else fault.field
        found.setdefault(place, []).append(Fault(name, fault.problem, fault.hint))
    return found


async def _sse(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The place and the content of each server-sent event."""
    place = ""
    async for raw in answer.content:
        line = raw.decode().rstrip("\r\n")
        if line.startswith("id: "):
            place = line[4:]
        elif line.startswith("data: "):
            yield place, orjson.loads(line[6:])


def _error_of(server: str, status: int, body: bytes, job_id: str) -> JobsError:
    """What an answer that is no success is to the commands."""
    try:
        told = orjson.loads(body)["error"]
        code, message, hint = str(told["code"]), str(told["message"]), str(told["hint"])
        fields = told["fields"]
    except (ValueError, KeyError, TypeError):
        return ServiceError(
            "bad_answer", f"{server} answered {status}, and not as a service of ours"
        )
    if code == "invalid_job":
        return InvalidJobError([Fault(it["field"], it["problem"], it["hint"]) for it in fields])
    if code == "job_not_found":
        return JobNotFoundError(job_id)
    if code in ("job_state", "job_not_finished"):
        return JobStateError(message)
    if code == "token_missing":
        return ServiceRefusesError(f"{message}: give one by SCRAPER_TOKEN or --token")
    if status in (401, 403):
        return ServiceRefusesError(f"{message}: {hint}" if hint else message)
    if code in ("redis_unreachable", "busy"):
        return ServiceUnreachableError(server, message)
    return ServiceError(code, ". ".join(filter(None, (message, hint))))

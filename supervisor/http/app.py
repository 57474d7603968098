"""The application: routes, errors in one shape, its OpenAPI description, the pages in static/."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException
from redis.exceptions import TimeoutError as RedisTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp

from scraper.jobs import JobQueue, JobsError, RedisUnreachableError
from scraper.jobs.ending import end_tasks
from scraper.jobs.version import VERSION
from supervisor.http import (
    deliveries_api,
    events_api,
    fleet_api,
    job_parts_api,
    jobs_api,
    preview_api,
    queue_api,
    submitting,
)
from supervisor.http.access import Door
from supervisor.http.errors import ApiError, api_error, not_found, plain_error
from supervisor.http.event_stream import EventHub
from supervisor.http.gate import Gate
from supervisor.http.job_schema import COMPONENTS
from supervisor.http.validation import invalid_request
from supervisor.tokens import TokenStore

STATIC = Path(__file__).with_name("static")
_ABOUT = """Submit jobs, follow them, fetch what they found, look after the workers.

Send `Authorization: Bearer TOKEN`. A customer's token sees and acts on its own jobs only; another's
are 404. Without tokens, on loopback, none is needed.
"""


def build_app(queue: JobQueue) -> tuple[ASGIApp, EventHub]:
    """The server's application for one queue, and the hub to close when it ends."""
    hub = EventHub(queue)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(hub.run(), name="event hub")
        yield
        await end_tasks([watching])

    app = FastAPI(
        title="Scraper Workers", version=VERSION, description=_ABOUT, docs_url=None,
        redoc_url=None, lifespan=lifespan, redirect_slashes=False,
    )  # fmt: skip
    app.state.queue = queue
    app.state.hub = hub
    for router in (
        submitting.router, preview_api.router, jobs_api.router, job_parts_api.router,
        deliveries_api.router, events_api.router,
        fleet_api.router, queue_api.router, queue_api.operator,
    ):  # fmt: skip
        app.include_router(router)
    _add_pages(app)
    _add_error_handlers(app)
    _describe(app)
    gate = Gate(app, Door(queue.config, TokenStore(queue)))
    app.state.answered = gate.answered
    return gate, hub


def _add_pages(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=STATIC))
    for path, file in (("/", "dashboard/index.html"), ("/docs", "docs.html")):

        @app.get(path, include_in_schema=False)
        async def page(file: str = file) -> Response:
            return FileResponse(STATIC / file)


def _add_error_handlers(app: FastAPI) -> None:
    async def by_us(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return _answer(request, error)

    async def by_queue(request: Request, error: Exception) -> Response:
        assert isinstance(error, JobsError)
        return _answer(request, api_error(error))

    async def by_redis(request: Request, error: Exception) -> Response:
        return _answer(request, api_error(RedisUnreachableError(_url(request), str(error))))

    async def by_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return _answer(request, not_found(request.url.path))
        if error.status_code == 405:
            allowed = _allowed(app, request.url.path)
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={"Allow": allowed})
            return _answer(request, plain_error(405, {"Allow": allowed}))
        return _answer(request, plain_error(error.status_code, error.headers))

    async def by_nobody(request: Request, error: Exception) -> Response:
        # Raised again behind this: the server logs the trace.
        hint = "the service's log has this requestId and the trace"
        return _answer(request, ApiError(500, "failed", "the service failed at this", hint))

    async def by_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _answer(request, invalid_request(error, request))

    app.add_exception_handler(Exception, by_nobody)
    app.add_exception_handler(ApiError, by_us)
    app.add_exception_handler(JobsError, by_queue)
    for kind in (RedisConnectionError, RedisTimeoutError, RedisClusterException):
        app.add_exception_handler(kind, by_redis)
    app.add_exception_handler(HTTPException, by_framework)
    app.add_exception_handler(RequestValidationError, by_validation)


def _answer(request: Request, error: ApiError) -> Response:
    return error.response(request.scope["request_id"])


def _url(request: Request) -> str:
    url: str = request.app.state.queue.url
    return url


def _allowed(app: FastAPI, path: str) -> str:
    """The methods of a path, as the description has them."""
    methods = {"OPTIONS"}
    for pattern, operations in app.openapi()["paths"].items():
        inner = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern))
        if re.fullmatch(inner.replace("/workers/[^/]+", "/workers/.+"), path):
            methods |= {method.upper() for method in operations}
    if "GET" in methods or len(methods) == 1:
        methods |= {"GET", "HEAD"}
    return ", ".join(sorted(methods))


def _describe(app: FastAPI) -> None:
    """The description is made once."""
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description,
                routes=app.routes,
            )  # fmt: skip
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(COMPONENTS)
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}, {}]
            made.update(schema)
        return made

    app.openapi = openapi  # type: ignore[method-assign]

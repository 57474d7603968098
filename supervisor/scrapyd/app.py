"""The application on scrapyd's port: who may come in, which path is what, errors in its form."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import socket
from collections.abc import AsyncIterator

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from scraper.jobs import JobQueue, JobsError, JobView
from supervisor.http.access import refuse_web_pages
from supervisor.http.errors import ApiError
from supervisor.scrapyd import pages
from supervisor.scrapyd.api import ENDPOINTS
from supervisor.scrapyd.arguments import Arguments, ScrapydError
from supervisor.scrapyd.job_log import job_log
from supervisor.scrapyd.jobs import PROJECT

log = structlog.get_logger(__name__)

FORM_BYTES = 8 * 1024 * 1024
# An egg is read to its end, so that who sends it hears the answer; it is kept nowhere.
UPLOAD_BYTES = 512 * 1024 * 1024
_FILE = re.compile(r"/(logs|items)/([^/]+)/([^/]+)/([^/]+?)(?:\.(log|jl))?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
}


class ScrapydApp:
    """scrapyd 1.6's API and pages on one queue."""

    def __init__(self, queue: JobQueue) -> None:
        config = queue.config
        self._queue = queue
        self._node = config.supervisor_name or socket.gethostname()
        self._is_open = config.scrapyd_password is None
        self._login = f"{config.scrapyd_username}:{config.scrapyd_password}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        response.headers.update(_HEADERS)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = re.sub(r"//+", "/", request.url.path)
        try:
            if not self._may(request):
                return PlainTextResponse(
                    "Unauthorized", 401, {"WWW-Authenticate": 'basic realm="Scrapyd"'}
                )
            if self._is_open:
                refuse_web_pages(request.headers, request.method)
            if path in ENDPOINTS:
                return await self._call(request, path)
            if request.method not in ("GET", "HEAD"):
                return _no_method("GET")
            async with self._queue.translated():
                return await self._page(request, path)
        except ApiError as error:
            return self._json({"status": "error", "message": f"{error.message}: {error.hint}"}, 403)
        except (ScrapydError, JobsError) as error:
            return self._json({"status": "error", "message": str(error)})

    def _may(self, request: Request) -> bool:
        if self._is_open:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            login = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(login, self._login)

    # -- the API ----------------------------------------------------------------------------

    async def _call(self, request: Request, path: str) -> Response:
        method, endpoint = ENDPOINTS[path]
        if request.method == "OPTIONS":
            return _no_method(method, 204)
        if request.method != method and not (request.method == "HEAD" and method == "GET"):
            allowed = ["HEAD", "OPTIONS", method]
            raise ScrapydError(
                f"UnsupportedMethod: Expected one of {[m.encode() for m in allowed]}"
            )
        body = await _body(request)
        kind = request.headers.get("content-type", "")
        arguments = Arguments(request.url.query, kind, body)
        async with self._queue.translated():
            return self._json({**await endpoint(self._queue, arguments), "status": "ok"})

    def _json(self, data: dict[str, object], status: int = 200) -> Response:
        text = json.dumps({**data, "node_name": self._node}) + "\n"
        return Response(text, status, media_type="application/json")

    # -- the pages --------------------------------------------------------------------------

    async def _page(self, request: Request, path: str) -> Response:
        prefix = request.headers.get("x-forwarded-prefix", "")
        base = prefix if _PREFIX.fullmatch(prefix) else ""
        if path == "/":
            return HTMLResponse(pages.home(base))
        if path == "/jobs":
            return HTMLResponse(await pages.jobs(self._queue, base))
        if found := _FILE.fullmatch(path):
            return await self._file(*found.groups())
        first, *parts = path.strip("/").split("/")
        if first in ("logs", "items"):
            if not path.endswith("/"):
                return Response(status_code=302, headers={"Location": f"{base}{path}/"})
            listing = await pages.folder(self._queue, first, parts)
            if listing is not None:
                return HTMLResponse(listing)
        return _nothing()

    async def _file(
        self, kind: str, project: str, spider: str, job_id: str, ending: str | None
    ) -> Response:
        view = await self._queue.reader.job(job_id)
        if view is None or project != PROJECT or view.type != spider:
            return _nothing()
        if ending != ("log" if kind == "logs" else "jl"):
            return _nothing()
        text = job_log(self._queue, view) if kind == "logs" else _items(self._queue, view)
        return StreamingResponse(text, media_type="text/plain; charset=utf-8")


async def _items(queue: JobQueue, view: JobView) -> AsyncIterator[bytes]:
    async for line in queue.reader.record_lines(view.id):
        yield line + b"\n"


async def _body(request: Request) -> bytes:
    """A form. What is larger is read to its end, and refused: raises ScrapydError."""
    kept, size_bytes = bytearray(), 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > UPLOAD_BYTES:
            raise ScrapydError(f"a request may have {UPLOAD_BYTES:,} bytes")
        if size_bytes <= FORM_BYTES:
            kept += chunk
    if size_bytes > FORM_BYTES:
        raise ScrapydError(
            f"a form may have {FORM_BYTES:,} bytes; and this server takes no code uploads"
        )
    return bytes(kept)


def _no_method(method: str, status: int = 405) -> Response:
    allowed = ", ".join(("OPTIONS", "HEAD", method))
    return Response(status_code=status, headers={"Allow": allowed})


def _nothing() -> Response:
    return HTMLResponse("<html><body><h1>No Such Resource</h1></body></html>", 404)

"""What every request passes (an id, limits, who asks) and every answer gets (headers, a shape)."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import Counter

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scraper.jobs import JobsError
from supervisor.http.access import Door
from supervisor.http.errors import ApiError, api_error

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
BODY_WITHIN_S = 30.0
# Requests at work at once, without the event streams, which only wait.
MAX_AT_WORK = 256
# Nothing of the queue is behind these; probes and browsers send no token.
PUBLIC = re.compile(r"/(?:$|health/(?:live|ready)$|static/|docs$|openapi\.json$)")
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": _CSP,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class _Answer:
    """Sends one answer; adds what every answer has."""

    def __init__(self, send: Send, request_id: str, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self.request_id = request_id
        self.status = 0
        self.is_cut = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["X-Request-Id"] = self.request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        elif message["type"] == "http.response.body" and self._is_head:
            if self.is_cut.is_set():
                return
            self.is_cut.set()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)


class Gate:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door
        self._at_work = 0
        # Answers by the first digit of their status.
        self.answered: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        answer = _Answer(send, request_id, is_head=scope["method"] == "HEAD")
        scope["request_id"] = request_id
        self._at_work += 1
        try:
            await self._pass(scope, headers, receive, answer)
        except ApiError as error:
            await _refuse(error, scope, receive, answer)
        except JobsError as error:
            await _refuse(api_error(error), scope, receive, answer)
        except Exception:
            log.error("a request failed", path=scope["path"], request_id=request_id)
            # The server closes the connection: a stream that broke off must not look whole.
            raise
        finally:
            self._at_work -= 0 if scope.get("only_waits") else 1
            self.answered[f"{answer.status // 100}xx"] += 1
            log.debug(
                "request", method=scope["method"], path=scope["path"], status=answer.status,
                request_id=request_id,
            )  # fmt: skip

    async def _pass(
        self, scope: Scope, headers: Headers, receive: Receive, answer: _Answer
    ) -> None:
        if self._at_work > MAX_AT_WORK:
            raise ApiError(
                503, "busy", f"{MAX_AT_WORK} requests are at work already", "try again soon",
                headers={"Retry-After": "1"},
            )  # fmt: skip
        if not PUBLIC.match(scope["path"]):
            scope["principal"] = await self._door.principal(headers, scope["method"])
        scope["leave_work"] = lambda: self._leave(scope)
        receive = _Body(receive, headers, answer)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, answer)

    def _leave(self, scope: Scope) -> None:
        """This request only waits from now on, as an event stream does."""
        if not scope.get("only_waits"):
            scope["only_waits"] = True
            self._at_work -= 1


class _Body:
    """The request's body, bounded in size and time."""

    def __init__(self, receive: Receive, headers: Headers, answer: _Answer) -> None:
        self._receive = receive
        self._answer = answer
        self._left = MAX_BODY_BYTES
        self._is_whole = False
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise self._too_large()

    @staticmethod
    def _too_large() -> ApiError:
        return ApiError(
            413, "too_large", f"a body may have {MAX_BODY_BYTES:,} bytes", "send fewer jobs at once"
        )

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._until_over()
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(
                408,
                "too_slow",
                f"the body did not come within {BODY_WITHIN_S:g} s",
                "send it again",
            ) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._left < 0:
                raise self._too_large()
        return message

    async def _until_over(self) -> Message:
        """The client has gone, or (HEAD) has what it wanted."""
        receiving = asyncio.ensure_future(self._receive())
        cutting = asyncio.ensure_future(self._answer.is_cut.wait())
        try:
            await asyncio.wait({receiving, cutting}, return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else {"type": "http.disconnect"}
        finally:
            receiving.cancel()
            cutting.cancel()


async def _refuse(error: ApiError, scope: Scope, receive: Receive, answer: _Answer) -> None:
    if answer.status:
        raise error
    await error.response(answer.request_id)(scope, receive, answer)

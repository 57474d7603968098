"""A receiver of webhooks that can fail, hang and redirect, and verifies what it takes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "the-receivers-secret"


@dataclass(frozen=True, slots=True)
class Call:
    """One request that came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


def verify(secret: str, header: str, body: bytes) -> bool:
    """As docs/webhooks.md tells receivers to."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    signed = parts["t"].encode() + b"." + body
    wanted = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    is_fresh = abs(time.time() - int(parts["t"])) < 300
    return hmac.compare_digest(wanted, parts["v1"]) and is_fresh


@dataclass(slots=True)
class Receiver:
    """`answer` says what to do with a call: a status, None to hang, a URL to redirect to."""

    url: str = ""
    answer: Callable[[Call], int | str | None] = lambda call: 204
    calls: list[Call] = field(default_factory=list)
    taken: list[Call] = field(default_factory=list)
    forged: list[Call] = field(default_factory=list)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        call = Call(dict(request.headers), await request.read())
        self.calls.append(call)
        header = call.headers.get("X-Scraper-Signature", "t=0,v1=")
        if not verify(SECRET, header, call.body):
            self.forged.append(call)
        answer = self.answer(call)
        if answer is None:
            await self._over.wait()
            return web.Response(status=503)
        if isinstance(answer, str):
            return web.Response(status=302, headers={"Location": answer})
        if 200 <= answer < 300:
            self.taken.append(call)
        return web.Response(status=answer)

    def events(self, job_id: str) -> list[int]:
        """The sequence numbers that were taken of a job, each at its first time."""
        numbers = [call.json["sequence"] for call in self.taken if call.json["jobId"] == job_id]
        return list(dict.fromkeys(numbers))

    def names(self, job_id: str) -> list[str]:
        """The events that were taken of a job, in order."""
        return [call.json["event"] for call in self.taken if call.json["jobId"] == job_id]

    def let_go(self) -> None:
        self._over.set()


@asynccontextmanager
async def receiver(
    answer: Callable[[Call], int | str | None] | None = None, port: int = 0
) -> AsyncIterator[Receiver]:
    """A receiver on loopback, on that port or a free one, while the block runs."""
    found = Receiver()
    if answer is not None:
        found.answer = answer
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        found.let_go()
        await runner.cleanup()

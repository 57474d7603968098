"""Sends one webhook: signed, to public addresses only, bounded in time and size."""

from __future__ import annotations

import hashlib
import hmac
import time
from types import TracebackType
from typing import Self

import aiohttp

from scraper.jobs import Config
from scraper.jobs.version import VERSION
from scraper.jobs.webhooks import Attempt, Delivery, Outcome
from scraper.network.addresses import AddressGuard
from scraper.network.connector import GuardedConnector
from scraper.network.errors import BlockedAddressError
from scraper.network.retry_after import retry_after_s

# So much of an answer is read, to use its connection again; nobody looks at it.
ANSWER_BYTES = 64 * 1024
ERROR_LENGTH = 300


def signature(secret: str, at_s: int, body: bytes) -> str:
    """The header `X-Scraper-Signature`: HMAC-SHA256 over the time, a dot and the body."""
    signed = b"%d." % at_s + body
    return f"t={at_s},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class WebhookSender:
    """Sends webhooks over connections of its own; use it as a context."""

    def __init__(self, config: Config) -> None:
        """To be made within an event loop. Raises AddressRuleError."""
        self._backoff = (config.webhook_backoff_s, config.webhook_backoff_max_s)
        self._most_attempts = config.webhook_attempts
        self._session = aiohttp.ClientSession(
            connector=GuardedConnector(AddressGuard(config.allow_private_hosts), limit=0),
            timeout=aiohttp.ClientTimeout(total=config.webhook_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
            headers={"User-Agent": f"ScraperWorkers/{VERSION} (webhooks)"},
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(self, delivery: Delivery) -> Attempt:
        """One attempt; what came of it."""
        hook = delivery.spec.webhook
        assert hook is not None
        started_s = time.monotonic()
        status, asked_s, error, is_hopeless = 0, None, "", False
        body = delivery.body()
        try:
            async with self._session.post(
                hook.url,
                data=body,
                headers=_headers(delivery, hook.secret, body),
                allow_redirects=False,
            ) as answer:
                status = answer.status
                asked_s = retry_after_s(answer.headers.get("Retry-After", "").encode())
                await _read_some(answer)
        except BlockedAddressError as refusal:
            error, is_hopeless = str(refusal), True
        except TimeoutError:
            error = f"no answer within {self._session.timeout.total:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = _reason(failure)
        took_ms = int((time.monotonic() - started_s) * 1000)
        if 200 <= status < 300:
            return Attempt(Outcome.DELIVERED, status, took_ms)
        if 300 <= status < 400:
            error = f"answered {status}: redirects are not followed"
        elif status:
            error = f"answered {status}"
        if is_hopeless or delivery.attempt >= self._most_attempts:
            return Attempt(Outcome.GIVEN_UP, status, took_ms, error[:ERROR_LENGTH])
        again_in_ms = self._again_in_ms(delivery.attempt, asked_s)
        return Attempt(Outcome.FAILED, status, took_ms, error[:ERROR_LENGTH], again_in_ms)

    def _again_in_ms(self, attempt: int, asked_s: float | None) -> int:
        first_s, longest_s = self._backoff
        wait_s = min(longest_s, first_s * 2.0 ** min(attempt - 1, 32))
        return int(1000 * min(longest_s, max(wait_s, asked_s or 0)))


def _headers(delivery: Delivery, secret: str | None, body: bytes) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "X-Scraper-Event": delivery.event,
        "X-Scraper-Delivery": delivery.id,
        "X-Scraper-Job": delivery.job_id,
        "X-Scraper-Sequence": str(delivery.sequence),
        "X-Scraper-Attempt": str(delivery.attempt),
    }
    if secret is not None:
        headers["X-Scraper-Signature"] = signature(secret, int(time.time()), body)
    return headers


async def _read_some(answer: aiohttp.ClientResponse) -> None:
    left = ANSWER_BYTES
    while left > 0 and (chunk := await answer.content.read(left)):
        left -= len(chunk)


def _reason(failure: Exception) -> str:
    """What went wrong, without the URL, which may hold a secret."""
    inner = getattr(failure, "os_error", None) or failure.__cause__ or failure
    text = getattr(inner, "strerror", None) or type(inner).__name__
    return f"no connection: {text}" if isinstance(failure, OSError) else f"no answer: {text}"

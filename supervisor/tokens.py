"""Tokens of the HTTP API, kept in Redis: only their SHA-256, never the token itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from scraper.jobs import JobQueue, JobsError

# 256 bits from the system's source: a slow hash would add nothing.
_SECRET_BYTES = 32
_PREFIX = "sw"


class UnknownTokenError(JobsError):
    def __init__(self, token_id: str) -> None:
        super().__init__(f"there is no token {token_id!r}: `token list` shows those that are there")


@dataclass(frozen=True, slots=True)
class Token:
    """Who a token stands for. `customer_id` None: the operator. `created_at` is ISO 8601."""

    id: str
    customer_id: str | None
    name: str
    created_at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "role": "operator" if self.customer_id is None else "customer",
            "customerId": self.customer_id,
            "name": self.name,
            "createdAt": self.created_at,
        }


def digest(text: str) -> str:
    """How a token is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class TokenStore:
    """The tokens of one queue. A revoked one is refused from the next request on."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._key = queue.transitions.keys.key("tokens")

    async def create(self, customer_id: str | None, name: str = "") -> tuple[str, Token]:
        """A new token's text, which nobody can read again, and what is kept of it."""
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
        text = f"{_PREFIX}_{token_id}_{secret}"
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        token = Token(token_id, customer_id, name, now)
        kept = {**token.to_json(), "sha256": digest(text)}
        async with self._queue.translated():
            await self._queue.redis.hset(self._key, token_id, orjson.dumps(kept))
        return text, token

    async def list(self) -> list[Token]:
        """All tokens, the oldest first."""
        async with self._queue.translated():
            raw = await self._queue.redis.hvals(self._key)
        return sorted((_token(orjson.loads(item)) for item in raw), key=lambda it: it.created_at)

    async def revoke(self, token_id: str) -> int:
        """Forget a token; how many are left. Raises UnknownTokenError."""
        async with (
            self._queue.translated(),
            self._queue.redis.pipeline(transaction=True) as pipe,
        ):
            pipe.hdel(self._key, token_id)
            pipe.hlen(self._key)
            removed, left = await pipe.execute()
        if not removed:
            raise UnknownTokenError(token_id)
        return int(left)

    async def find(self, text: str) -> Token | None:
        """The token that this text is; None for a wrong or revoked one. The comparison takes the
        same time wherever they differ."""
        prefix, _, rest = text.partition("_")
        token_id, _, secret = rest.partition("_")
        if prefix != _PREFIX or not secret:
            return None
        async with self._queue.translated():
            raw = await self._queue.redis.hget(self._key, token_id)
        if raw is None:
            return None
        kept = orjson.loads(raw)
        return _token(kept) if hmac.compare_digest(kept["sha256"], digest(text)) else None

    async def count(self) -> int:
        """How many there are."""
        async with self._queue.translated():
            return int(await self._queue.redis.hlen(self._key))


def _token(kept: dict[str, Any]) -> Token:
    return Token(kept["id"], kept["customerId"], kept["name"], kept["createdAt"])

"""Who may do what: tokens, and without any the checks that keep web pages out."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request

from scraper.jobs import Config, JobNotFoundError, JobView, RedisUnreachableError
from supervisor.http.binding import is_loopback, needs_token
from supervisor.http.errors import ApiError
from supervisor.tokens import TokenStore, digest

READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `customer_id` None: the operator, who sees and does everything."""

    customer_id: str | None

    @property
    def is_operator(self) -> bool:
        return self.customer_id is None

    def may_see(self, customer_id: str) -> bool:
        """Whether things of this customer are there for it ("" is nobody's: the operator's)."""
        return self.customer_id in (None, customer_id)


OPERATOR = Principal(None)


class Door:
    """Finds out who asks; refuses who must not."""

    def __init__(self, config: Config, tokens: TokenStore) -> None:
        self._operator_digest = digest(config.api_token) if config.api_token else ""
        self._always = needs_token(config)
        self._tokens = tokens
        # What was true when Redis was last asked: its loss must not open the door, nor close
        # /health for those who came in before.
        self._are_there_tokens: bool | None = None

    async def principal(self, headers: Headers, method: str) -> Principal:
        """Who asks, by the headers. Raises ApiError (401, 403), RedisUnreachableError."""
        given = headers.get("authorization")
        if given is not None:
            return await self._by_token(given)
        if self._always or await self._has_tokens():
            raise ApiError(
                401, "token_missing", "this needs a token",
                "send Authorization: Bearer TOKEN; `token create` makes one",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        refuse_web_pages(headers, method)
        return OPERATOR

    async def _by_token(self, given: str) -> Principal:
        scheme, _, text = given.partition(" ")
        text = text.strip()
        if scheme.lower() == "bearer" and text:
            if self._operator_digest and hmac.compare_digest(self._operator_digest, digest(text)):
                return OPERATOR
            token = await self._tokens.find(text)
            if token is not None:
                return Principal(token.customer_id)
        raise ApiError(
            401, "token_wrong", "this token is not known, or was revoked",
            "send Authorization: Bearer TOKEN with a token that `token list` has",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )  # fmt: skip

    async def _has_tokens(self) -> bool:
        try:
            self._are_there_tokens = await self._tokens.count() > 0
        except RedisUnreachableError:
            if self._are_there_tokens is None:
                raise
        return bool(self._are_there_tokens)


def refuse_web_pages(headers: Headers, method: str) -> None:
    """Refuse what a page in this machine's browser could send although it is not ours: by a name
    of its own that leads here (DNS rebinding), or by a form. Raises ApiError."""
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if not is_loopback(name):
        raise ApiError(
            403, "wrong_host", f"without tokens, this answers to localhost only, not to {host!r}",
            "ask for http://127.0.0.1, or set API_TOKEN and send it",
        )  # fmt: skip
    if method in READS:
        return
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    is_own = origin is None or origin.partition("://")[2].lower() == host.lower()
    if not is_own or site not in ("same-origin", "none"):
        raise ApiError(
            403, "foreign_page", "a page of another site may not do this",
            "set API_TOKEN and send it, or use this service's own pages",
        )  # fmt: skip


def principal_of(request: Request) -> Principal:
    """Who asks, as the gate found out."""
    found: Principal = request.scope["principal"]
    return found


def operator_only(request: Request) -> None:
    """A dependency of routes that are none of a customer's business. Raises ApiError."""
    if not principal_of(request).is_operator:
        raise ApiError(
            403, "operator_only", "a customer's token may not do this", "ask the operator"
        )


def check_visible(principal: Principal, view: JobView) -> JobView:
    """The job; another customer's is as good as not there. Raises JobNotFoundError."""
    if not principal.may_see(view.customer_id):
        raise JobNotFoundError(view.id)
    return view

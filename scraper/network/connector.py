"""An aiohttp connector that asks the address guard before every connection.

The addresses that pass are the ones connected to: there is no second look-up in between.
IP literals in URLs, which aiohttp never hands to a resolver, pass here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from scraper.network.addresses import AddressGuard
from scraper.network.errors import BlockedAddressError
from scraper.network.steps import MarkedProtocol

# aiohttp keeps every idle connection until it times out: single pages of many sites would
# use up the process's file descriptors.
_MAX_IDLE_ORIGINS = 200


class GuardedConnector(aiohttp.TCPConnector):
    """`aiohttp.TCPConnector` that connects only where `guard` lets it (None: anywhere).

    A host with some blocked addresses is reached by its other ones; with none left,
    connecting raises `BlockedAddressError`.
    """

    def __init__(self, guard: AddressGuard | None, **options: Any) -> None:
        super().__init__(**options)
        # Not public either; without it no page would be shown while its answer is parsed, and the
        # test of a page that crashes there fails.
        self._factory = cast("partial[ResponseHandler]", partial(MarkedProtocol, loop=self._loop))
        self._guard = guard

    def is_crowded(self) -> bool:
        """Whether so many origins have idle connections that no more should be kept."""
        return len(self._conns) >= _MAX_IDLE_ORIGINS

    async def _resolve_host(
        self, host: str, port: int, traces: Sequence[Trace] | None = None
    ) -> list[ResolveResult]:
        # The one step of aiohttp 3 that sees names and literals alike. It is not public:
        # the guard's tests fail if an upgrade stops calling it.
        try:
            found = await super()._resolve_host(host, port, traces)
        except UnicodeError as exc:
            raise OSError(f"{host!a} is no host name") from exc
        if not found:
            raise OSError(f"{host} has no address")
        if self._guard is None:
            return found
        passed: list[ResolveResult] = []
        refused: BlockedAddressError | None = None
        for result in found:
            try:
                self._guard.check(host, result["host"], port)
            except BlockedAddressError as error:
                refused = error
            else:
                passed.append(result)
        if refused is not None and not passed:
            raise refused
        return passed

"""The errors of fetching that need no Scrapy: the package's root and the address guard's."""

from __future__ import annotations

from collections.abc import Sequence


class NetworkError(Exception):
    """Root of this package's errors; `code` is the page's failure code (design §9)."""

    code: str = "internal"


class BlockedAddressError(NetworkError):
    """The address guard refused to connect: the address is not public and not allowed."""

    code = "blocked_address"

    def __init__(self, host: str, address: str, port: int, reason: str) -> None:
        self.host = host
        self.address = address
        self.port = port
        self.reason = reason
        via = "" if host == address else f" ({address})"
        super().__init__(
            f"{host}:{port}{via} is not a public address: {reason}. "
            f"To allow it: ALLOW_PRIVATE_HOSTS={host}:{port}"
        )


class AddressRuleError(NetworkError, ValueError):
    """An entry of the guard's allow-list cannot be read; `entries` names all bad ones."""

    def __init__(self, entries: Sequence[str]) -> None:
        self.entries = tuple(entries)
        listed = ", ".join(repr(entry) for entry in entries)
        super().__init__(f"not a host, host:port or CIDR: {listed}")

"""The addresses that this machine itself has."""

from __future__ import annotations

import socket

import psutil

_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def own_addresses() -> frozenset[str]:
    """The addresses of all its interfaces now, without the interfaces' names behind a "%"."""
    return frozenset(
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in _FAMILIES
    )

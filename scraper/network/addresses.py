"""The address guard: which IP addresses a worker may connect to.

`ipaddress.is_global` is not enough: it accepts NAT64 and 6to4 forms of private
addresses, site-local and multicast. So an explicit table decides, after IPv4 addresses
embedded in IPv6 ones are decoded. Sources: IANA special-purpose registries for IPv4 and
IPv6, RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4291 (mapped), RFC 5214 (ISATAP).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from scraper.network.errors import AddressRuleError, BlockedAddressError

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_BLOCKED_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local, cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, broadcast"),
    )
)

# Teredo (2001::/32) is inside 2001::/23 and blocked whole, so it needs no decoding.
_BLOCKED_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/96", "unspecified, loopback, IPv4-compatible"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/23", "protocol assignments, Teredo"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique local, cloud metadata"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
# All that IANA has given out; some networks use the rest for themselves.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_ISATAP = frozenset((0x0000_5EFE, 0x0200_5EFE))


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that `address` stands for (mapped, NAT64, 6to4), or None."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def blocked_reason(address: _Address) -> str | None:
    """Why the table blocks `address`, or None if it is public."""
    if isinstance(address, IPv6Address):
        inner = embedded_ipv4(address)
        if inner is None:
            return _blocked_v6_reason(address)
        address = inner
    return _blocked_v4_reason(address)


def _blocked_v4_reason(address: IPv4Address) -> str | None:
    return next((why for net, why in _BLOCKED_V4 if address in net), None)


def _blocked_v6_reason(address: IPv6Address) -> str | None:
    for network, why in _BLOCKED_V6:
        if address in network:
            return why
    if address not in _GLOBAL_UNICAST:
        return "not global unicast"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        why_v4 = _blocked_v4_reason(IPv4Address(int(address) & 0xFFFFFFFF))
        return why_v4 and f"ISATAP: {why_v4}"
    return None


class AddressGuard:
    """Decides whether a connection to (host, address, port) may be opened.

    `allow` holds exceptions for addresses that are not public: hosts (`intranet`,
    `intranet:8080`), addresses (`127.0.0.1`, `127.0.0.1:8000`, `[::1]:8000`) or CIDR.
    An allowed host is allowed whatever address it has. `own` are addresses of this machine:
    one that is public is blocked all the same, for what listens there sees a neighbour, behind
    the firewall. Raises `AddressRuleError`, which names every entry that cannot be read.
    """

    def __init__(self, allow: Sequence[str] = (), own: Iterable[str] = ()) -> None:
        self._own = frozenset(map(ip_address, own))
        self._networks: list[_Network] = []
        self._endpoints: set[tuple[str, int]] = set()
        self._hosts: set[str] = set()
        wrong = [entry for entry in map(str.strip, allow) if entry and not self._add(entry)]
        if wrong:
            raise AddressRuleError(wrong)

    def check(self, host: str, ip: str, port: int) -> None:
        """Raise `BlockedAddressError` unless `ip`, an address of `host`, may be used."""
        reason = self.refusal(host, ip, port)
        if reason is not None:
            raise BlockedAddressError(host, ip, port, reason)

    def refusal(self, host: str, ip: str, port: int) -> str | None:
        """Why the connection may not be opened, or None if it may."""
        try:
            address = ip_address(ip)
        except ValueError:
            return "not an IP address"
        reason = blocked_reason(address)
        if reason is None and not self._own.isdisjoint(_forms(address)):
            reason = "of this machine"
        if reason is None or self._is_allowed(host, address, port):
            return None
        return reason

    def _is_allowed(self, host: str, address: _Address, port: int) -> bool:
        name = _normal_host(host)
        if name in self._hosts or (name, port) in self._endpoints:
            return True
        return any(self._holds(form, port) for form in _forms(address))

    def _holds(self, address: _Address, port: int) -> bool:
        if (str(address), port) in self._endpoints:
            return True
        return any(address in network for network in self._networks)

    def _add(self, entry: str) -> bool:
        try:
            self._networks.append(ip_network(entry.strip("[]"), strict=False))
        except ValueError:
            return self._add_host(entry)
        return True

    def _add_host(self, entry: str) -> bool:
        host, separator, port = entry.rpartition(":")
        if not separator:
            host, port = entry, ""
        if not host or set(host) & set("/@?# "):
            return False
        if separator and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            return False
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            return False
        name = _normal_host(host)
        if separator:
            self._endpoints.add((name, int(port)))
        else:
            self._hosts.add(name)
        return True


def _forms(address: _Address) -> Iterable[_Address]:
    yield address
    if isinstance(address, IPv6Address):
        inner = embedded_ipv4(address)
        if inner is not None:
            yield inner


def _normal_host(host: str) -> str:
    """Lower case, without brackets and final dot; an IP address in its shortest form."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name

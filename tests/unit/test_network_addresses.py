"""The address guard's table and its allow-list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.network.addresses import AddressGuard
from scraper.network.errors import AddressRuleError, BlockedAddressError
from scraper.network.own_addresses import own_addresses

PRIVATE_V4 = (
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
)
PRIVATE_V6 = (
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2001:2::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "200::1",
    "1234::1",
    "4000::1",
    "2a00:1450::5efe:7f00:1",
    "2a00:1450::200:5efe:10.0.0.1",
    "fe80::5efe:8.8.8.8",
)
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450:4001::200e",
    "2a00:1450::5efe:8.8.8.8",
)


def wrapped(v4: str) -> dict[str, str]:
    """The IPv6 spellings of an IPv4 address."""
    high, low = (int.from_bytes(bytes(map(int, v4.split(".")))[i : i + 2]) for i in (0, 2))
    return {
        "mapped": f"::ffff:{v4}",
        "nat64": f"64:ff9b::{v4}",
        "6to4": f"2002:{high:x}:{low:x}::1",
    }


@pytest.mark.parametrize("ip", PRIVATE_V4 + PRIVATE_V6)
def test_address_that_is_not_public_is_blocked(ip: str) -> None:
    with pytest.raises(BlockedAddressError) as caught:
        AddressGuard().check("site.example", ip, 80)
    assert caught.value.code == "blocked_address"
    assert ip in str(caught.value)


@pytest.mark.parametrize("ip", PRIVATE_V4)
@pytest.mark.parametrize("form", ["mapped", "nat64", "6to4"])
def test_private_ipv4_inside_ipv6_is_blocked(ip: str, form: str) -> None:
    assert AddressGuard().refusal("site.example", wrapped(ip)[form], 443) is not None


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_address_passes(ip: str) -> None:
    AddressGuard().check("site.example", ip, 443)


@pytest.mark.parametrize("form", ["mapped", "nat64", "6to4"])
def test_public_ipv4_inside_ipv6_passes(form: str) -> None:
    AddressGuard().check("site.example", wrapped("8.8.8.8")[form], 443)


@pytest.mark.parametrize("ip", ["", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "1.2.3"])
def test_what_is_no_address_is_blocked(ip: str) -> None:
    assert AddressGuard().refusal("site.example", ip, 80) == "not an IP address"


@pytest.mark.parametrize(
    ("rule", "host", "ip", "port"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 80),
        ("127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", 80),
        ("127.0.0.1:8000", "site.example", "127.0.0.1", 8000),
        ("10.0.0.0/8", "intranet", "10.9.8.7", 80),
        ("10.1.2.3/8", "intranet", "10.9.8.7", 80),
        ("::1", "::1", "::1", 80),
        ("[::1]:8000", "localhost", "::1", 8000),
        ("fd00::/8", "intranet", "fd12::1", 80),
        ("localhost", "localhost", "127.0.0.1", 80),
        (" Intranet.Example. ", "intranet.example", "192.168.0.9", 443),
        ("intranet:8080", "INTRANET.", "192.168.0.9", 8080),
        ("bücher.example", "xn--bcher-kva.example", "10.0.0.1", 80),
    ],
)
def test_allowed_address_passes(rule: str, host: str, ip: str, port: int) -> None:
    AddressGuard([rule]).check(host, ip, port)


@pytest.mark.parametrize(
    ("rule", "host", "ip", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", "127.0.0.1", 8001),
        ("127.0.0.1", "127.0.0.2", "127.0.0.2", 80),
        ("10.0.0.0/8", "intranet", "192.168.0.1", 80),
        ("localhost:8080", "localhost", "127.0.0.1", 80),
        ("intranet", "evil.intranet", "10.0.0.1", 80),
        ("intranet", "intranet.evil.example", "10.0.0.1", 80),
    ],
)
def test_rule_lets_nothing_else_through(rule: str, host: str, ip: str, port: int) -> None:
    assert AddressGuard([rule]).refusal(host, ip, port) is not None


def test_every_unreadable_rule_is_named_at_once() -> None:
    with pytest.raises(AddressRuleError) as caught:
        AddressGuard(["localhost", "http://x", "10.0.0.0/99", "host:0", "host:x", "a:b:1", ""])
    assert caught.value.entries == ("http://x", "10.0.0.0/99", "host:0", "host:x", "a:b:1")


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_no_spelling_of_a_private_address_passes(ip: object) -> None:
    guard = AddressGuard()
    for form in (str(ip), *wrapped(str(ip)).values()):
        assert guard.refusal("site.example", form, 80) is not None


def test_public_address_of_this_machine_is_blocked_unless_allowed() -> None:
    own = ("8.8.8.8", "2606:4700:4700::1111")
    guard = AddressGuard(own=own)
    for address in (*own, "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"):
        assert guard.refusal("site.example", address, 80) == "of this machine"
    assert guard.refusal("site.example", "8.8.4.4", 80) is None
    assert AddressGuard(["site.example"], own).refusal("site.example", "8.8.8.8", 80) is None


def test_addresses_of_this_machine_are_known() -> None:
    assert "127.0.0.1" in own_addresses()

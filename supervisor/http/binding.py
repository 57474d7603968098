"""Where the server listens, and whether that place makes a token necessary."""

from __future__ import annotations

import ipaddress
import socket

from scraper.jobs import Config, ConfigError

BACKLOG = 1024


def is_loopback(host: str) -> bool:
    """Whether a name or address can only be reached from this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def needs_token(config: Config) -> bool:
    """Whether the address alone makes a token necessary."""
    return bool(config.api_token) or not is_loopback(config.http_host)


def listen(config: Config) -> socket.socket:
    """The socket that all incarnations of the server inherit. Raises ConfigError."""
    host = config.http_host
    if not config.api_token and not is_loopback(host):
        raise ConfigError(
            [
                f"HTTP_HOST {host} is reachable from other machines: set API_TOKEN (at least 16 "
                "characters), or leave the host at 127.0.0.1, or give --no-http"
            ]
        )
    remedy = "take another port by --port, or none by --no-http"
    return _bound(host, config.http_port, "HTTP", remedy)


def listen_for_scrapyd(config: Config) -> socket.socket | None:
    """The same for scrapyd's API; None without one. Raises ConfigError."""
    host = config.scrapyd_host
    if config.scrapyd_port is None:
        return None
    if not config.scrapyd_password and not is_loopback(host):
        raise ConfigError(
            [
                f"SCRAPYD_HOST {host} is reachable from other machines: set SCRAPYD_PASSWORD, or "
                "leave the host at 127.0.0.1"
            ]
        )
    return _bound(host, config.scrapyd_port, "SCRAPYD", "take another port, or unset it")


def _bound(host: str, port: int, prefix: str, remedy: str) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise ConfigError([f"{prefix}_HOST {host}: {error.strerror or error}"]) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            [f"{prefix}_HOST {host}, {prefix}_PORT {port}: {error.strerror or error}; {remedy}"]
        ) from error
    return listener

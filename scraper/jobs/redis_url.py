"""Redis URLs: what is accepted, what each part means, and how one is shown without its secrets."""

import difflib
import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from scraper.jobs.errors import JobsError

_FORMS = (
    "redis://HOST:6379/0, rediss://HOST:6379/0, unix:///PATH, "
    "redis+sentinel://HOST:26379,HOST2:26379/NAME/0, redis+cluster://HOST:7000,HOST2:7000"
)


class RedisUrlError(JobsError):
    """A URL that cannot be meant; the message names the fault and shows no password."""

    def __init__(self, url: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"bad Redis URL {safe_url(url)}: {problem}")


def plain_reason(reason: str) -> str:
    """What the server or the client says, in words that tell what to do."""
    if reason.startswith(("HELLO must", "NOAUTH", "Authentication required")):
        return "it asks for a password: redis://:PASSWORD@HOST:6379/0"
    if reason.startswith("DB index"):
        return "it has no database of this number (the last part of the URL)"
    return reason.rstrip(".")


class Kind(enum.Enum):
    """What listens at the other end."""

    SERVER = "server"
    SOCKET = "socket"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True)
class RedisAddress:
    """A parsed URL. `hosts` is empty for a socket, `path` for all else; `service` is the name of
    the primary that the sentinels watch; `options` go to the connections as they are."""

    kind: Kind
    is_tls: bool
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)


_SCHEMES = {
    "redis": (Kind.SERVER, False),
    "rediss": (Kind.SERVER, True),
    "unix": (Kind.SOCKET, False),
    "redis+sentinel": (Kind.SENTINEL, False),
    "rediss+sentinel": (Kind.SENTINEL, True),
    "redis+cluster": (Kind.CLUSTER, False),
    "rediss+cluster": (Kind.CLUSTER, True),
}
_PORTS = {Kind.SERVER: 6379, Kind.SENTINEL: 26379, Kind.CLUSTER: 6379, Kind.SOCKET: 0}


def _boolean(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    return words[text.lower()]


# Retries are not among them: whether a command may be repeated is not for a URL to say.
_OPTIONS: Mapping[str, Callable[[str], str | int | float | bool]] = {
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "health_check_interval": float,
    "max_connections": int,
    "ssl_cert_reqs": str,
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_check_hostname": _boolean,
}
_OWN_OPTIONS = ("db", "username", "password", "sentinel_password")


def safe_url(url: str) -> str:
    """The URL to show and log: credentials replaced by `***`, also in URLs that are malformed."""
    # Up to the last @, since a password may contain one (or a slash) that was not encoded.
    shown = re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url, count=1, flags=re.DOTALL)
    if shown == url:
        shown = re.sub(r"://.*@", "://***@", url, count=1, flags=re.DOTALL)
    shown = re.sub(r"://:[^@/]*(?=/|$)", "://:***", shown, count=1)
    return re.sub(r"(\w*pass\w*=)[^&#]*", r"\1***", shown)


def with_options(url: str, options: Mapping[str, str]) -> str:
    """The URL with these options added; those that it has already stay as they are."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    added = {name: value for name, value in options.items() if name not in given}
    if not added:
        return url
    query = "&".join(filter(None, (parts.query, urlencode(added, safe="/"))))
    return parts._replace(query=query).geturl()


def parse_redis_url(url: str) -> RedisAddress:
    """Read a URL of one of the five forms. Raises RedisUrlError."""
    try:
        parts = urlsplit(url.strip())
    except ValueError as error:
        raise RedisUrlError(url, str(error)) from None
    if parts.scheme not in _SCHEMES:
        near = difflib.get_close_matches(parts.scheme, _SCHEMES, n=1)
        meant = f"did you mean {near[0]}://? " if near and "://" in url else ""
        raise RedisUrlError(url, f"{meant}the forms are {_FORMS}")
    kind, is_tls = _SCHEMES[parts.scheme]
    if parts.fragment or "@" in parts.path:
        raise RedisUrlError(url, "characters such as / ? # @ in a password must be percent-encoded")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service, db = _path_parts(url, kind, parts)
    return RedisAddress(
        kind=kind,
        is_tls=is_tls,
        hosts=_hosts(url, kind, hosts),
        path=unquote(parts.path) if kind is Kind.SOCKET else "",
        service=service,
        db=_db(url, query.get("db", db)),
        username=query.get("username") or unquote(username) or None,
        password=query.get("password") or unquote(password) or None,
        sentinel_password=query.get("sentinel_password"),
        options=_options(url, query, is_tls),
    )


def _path_parts(url: str, kind: Kind, parts: SplitResult) -> tuple[str, str]:
    """The service name and the database number that the path gives."""
    names = [unquote(name) for name in parts.path.split("/") if name]
    if kind is Kind.SOCKET:
        if not names or parts.netloc.rpartition("@")[2]:
            raise RedisUrlError(url, "a socket needs an absolute path: unix:///PATH")
        return "", "0"
    service = ""
    if kind is Kind.SENTINEL:
        if not names:
            raise RedisUrlError(url, "the name of the primary is missing: …:26379/NAME/0")
        service = names.pop(0)
    if len(names) > 1:
        raise RedisUrlError(url, "the path has too many parts")
    db = names[0] if names else "0"
    if kind is Kind.CLUSTER and db != "0":
        raise RedisUrlError(url, "a cluster has only database 0")
    return service, db


def _db(url: str, text: str) -> int:
    if not text.isdecimal():
        raise RedisUrlError(url, f"the database is a number, not {text!r}")
    return int(text)


def _hosts(url: str, kind: Kind, text: str) -> tuple[tuple[str, int], ...]:
    if kind is Kind.SOCKET:
        return ()
    hosts = [_host(url, kind, item) for item in text.split(",")]
    if kind is Kind.SERVER and len(hosts) > 1:
        problem = "one host only; several are for redis+sentinel:// or redis+cluster://"
        raise RedisUrlError(url, problem)
    return tuple(hosts)


def _host(url: str, kind: Kind, text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?", text)
    # The text itself is not shown: with a forgotten @ it is the password.
    if match is None:
        raise RedisUrlError(url, "a host is NAME, NAME:PORT or [IPv6]:PORT")
    port = match["port"] or str(_PORTS[kind])
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise RedisUrlError(url, "the port is not a number from 1 to 65535")
    return unquote(match["six"] or match["name"]) or "localhost", int(port)


def _options(
    url: str, query: Mapping[str, str], is_tls: bool
) -> dict[str, str | int | float | bool]:
    options: dict[str, str | int | float | bool] = {}
    for name, text in query.items():
        if name in _OWN_OPTIONS:
            continue
        if name not in _OPTIONS:
            near = difflib.get_close_matches(name, [*_OPTIONS, *_OWN_OPTIONS], n=1)
            meant = f", did you mean {near[0]!r}?" if near else ""
            raise RedisUrlError(url, f"unknown option {name!r}{meant}")
        if name.startswith("ssl_") and not is_tls:
            raise RedisUrlError(url, f"{name} needs rediss://")
        try:
            options[name] = _OPTIONS[name](text)
        except (ValueError, KeyError):
            raise RedisUrlError(url, f"{name} cannot be {text!r}") from None
    return options

"""Redis URLs are read exactly, refused clearly, and never shown with their secrets."""

import pytest

from scraper.jobs.connection import RedisUnreachableError, blocking_client, connect, connect_sync
from scraper.jobs.redis_url import Kind, RedisAddress, RedisUrlError, parse_redis_url, safe_url

ALL_FORMS = {
    "redis://h": RedisAddress(Kind.SERVER, False, hosts=(("h", 6379),)),
    "redis://": RedisAddress(Kind.SERVER, False, hosts=(("localhost", 6379),)),
    "redis://[::1]:7000/2": RedisAddress(Kind.SERVER, False, hosts=(("::1", 7000),), db=2),
    "redis://u:p%40%2F@h:1": RedisAddress(
        Kind.SERVER, False, hosts=(("h", 1),), username="u", password="p@/"
    ),
    "rediss://:p@h/3?ssl_cert_reqs=none&ssl_check_hostname=no&socket_timeout=2": RedisAddress(
        Kind.SERVER,
        True,
        hosts=(("h", 6379),),
        db=3,
        password="p",
        options={"ssl_cert_reqs": "none", "ssl_check_hostname": False, "socket_timeout": 2.0},
    ),
    "unix:///a%20b/redis.sock?db=1&password=p": RedisAddress(
        Kind.SOCKET, False, path="/a b/redis.sock", db=1, password="p"
    ),
    "redis+sentinel://:p@h1:26379,h2/main/4?sentinel_password=q": RedisAddress(
        Kind.SENTINEL,
        False,
        hosts=(("h1", 26379), ("h2", 26379)),
        service="main",
        db=4,
        password="p",
        sentinel_password="q",
    ),
    "rediss+cluster://h1:7000,[::2]:7001": RedisAddress(
        Kind.CLUSTER, True, hosts=(("h1", 7000), ("::2", 7001))
    ),
}


@pytest.mark.parametrize(("url", "address"), ALL_FORMS.items(), ids=list(ALL_FORMS))
def test_every_documented_form_is_read(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "the forms are"),
        ("localhost:6379", "the forms are"),
        ("rdis://h", "did you mean redis://"),
        ("http://h", "the forms are"),
        ("redis://h:x", "the port is not a number"),
        ("redis://h:0", "the port is not a number"),
        ("redis://h:70000", "the port is not a number"),
        ("redis://h/one", "the database is a number"),
        ("redis://h/1/2", "too many parts"),
        ("redis://[::1", "Invalid IPv6"),
        ("redis://h1,h2", "one host only"),
        ("redis://h?socket_timout=1", "did you mean 'socket_timeout'"),
        ("redis://h?socket_timeout=long", "cannot be 'long'"),
        ("redis://h?retry_on_timeout=yes", "unknown option 'retry_on_timeout'"),
        ("redis://h?ssl_cert_reqs=none", "needs rediss://"),
        ("rediss://h?ssl_check_hostname=perhaps", "cannot be 'perhaps'"),
        ("unix://relative/path", "absolute path"),
        ("unix://", "absolute path"),
        ("redis+sentinel://h:26379", "name of the primary is missing"),
        ("redis+cluster://h/1", "only database 0"),
        ("redis://u:a/b@h", "percent-encoded"),
        ("redis://u:a#b@h", "percent-encoded"),
    ],
)
def test_bad_url_is_refused_with_its_fault(url: str, problem: str) -> None:
    with pytest.raises(RedisUrlError, match=problem.replace("?", r"\?")):
        connect(url)
    with pytest.raises(RedisUrlError):
        connect_sync(url)
    with pytest.raises(RedisUrlError):
        blocking_client(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://u:secret@h:1/0", "redis://u:***@h:1/0"),
        ("redis://:secret@h", "redis://:***@h"),
        ("redis://secret@h", "redis://***@h"),
        ("redis://u:sec/ret@h", "redis://u:***@h"),
        ("redis://u:sec@ret@h", "redis://u:***@h"),
        ("redis://:secret", "redis://:***"),
        ("unix:///p?password=secret&db=1", "unix:///p?password=***&db=1"),
        (
            "redis+sentinel://:secret@h1,h2/main?sentinel_password=secret",
            "redis+sentinel://:***@h1,h2/main?sentinel_password=***",
        ),
    ],
)
def test_shown_url_has_no_secret(url: str, shown: str) -> None:
    assert safe_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:secret@h:port",
        "redis://:secret",
        "redis://u:sec/secret@h",
        "rdis://u:secret@h",
        "redis://u:secret@h?passwort=secret",
        "redis://u:secret@h/db",
    ],
)
def test_complaint_about_a_url_has_no_secret(url: str) -> None:
    with pytest.raises(RedisUrlError) as caught:
        parse_redis_url(url)
    assert "secret" not in str(caught.value)


def test_address_and_unreachable_error_do_not_show_passwords() -> None:
    url = "redis+sentinel://u:secret@h/main?sentinel_password=secret"
    assert "secret" not in repr(parse_redis_url(url))
    assert "secret" not in str(RedisUnreachableError(url, "connection refused"))

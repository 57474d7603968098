"""Who may do what: tokens, customers that see only their own, and pages that may do nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import QueuePlace
from tests.support.http_api import Api, http_server
from tests.support.processes import run
from tests.support.tokens import new_token, token_command

JOB = {"type": "single-page", "url": "http://site.test/"}


@pytest.fixture(scope="module")
def acme(where: QueuePlace, operator: Api) -> Api:
    return operator.by(new_token(where.env(), "--customer-id", "acme")["token"])


@pytest.fixture(scope="module")
def other(where: QueuePlace, operator: Api) -> Api:
    return operator.by(
        new_token(where.env(), "--customer-id", "other", "--name", "theirs")["token"]
    )


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer", "Basic eDp5", "Bearer sw_00_x", "Bearer sw_\xff_x"]
)
def test_without_a_right_token_nothing_is_told(operator: Api, header: str | None) -> None:
    stranger = operator.by(None)
    headers = {"Authorization": header} if header else {}
    for method, path in (("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/nowhere"),
                         ("GET", "/metrics"), ("GET", "/health"), ("GET", "/events")):  # fmt: skip
        reply = stranger.call(method, path, body=None, **headers)
        assert reply.status == 401
        assert reply.code in ("token_missing", "token_wrong")
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert stranger.get("/health/live").status == 200
    assert stranger.get("/health/ready").status == 200
    assert stranger.get("/openapi.json").status == 200
    assert stranger.get("/docs").status == 200


def test_a_customers_job_is_its_own_whatever_it_says(acme: Api, operator: Api) -> None:
    acme.post("/jobs", {**JOB, "jobId": "mine"})
    assert operator.get("/jobs/mine").json["customerId"] == "acme"
    refused = acme.post("/jobs", {**JOB, "customerId": "other"})
    assert (refused.status, refused.code) == (403, "other_customer")
    assert acme.get("/jobs?customer=other").code == "other_customer"


def test_an_id_of_another_customer_is_not_taken_over(acme: Api, other: Api) -> None:
    other.post("/jobs", {**JOB, "jobId": "theirs"})
    taken = acme.post("/jobs", {**JOB, "jobId": "theirs", "priority": 5})
    assert (taken.status, taken.code) == (409, "job_id_taken")
    assert other.get("/jobs/theirs").json["priority"] == 0


def test_the_same_key_of_two_customers_makes_two_jobs(acme: Api, other: Api) -> None:
    first = acme.post("/jobs", JOB, Idempotency_Key="k")
    second = other.post("/jobs", JOB, Idempotency_Key="k")
    assert (first.status, second.status) == (201, 201)
    assert first.json["jobId"] != second.json["jobId"]


def test_events_of_other_customers_are_not_heard(acme: Api, other: Api, operator: Api) -> None:
    acme.post("/jobs", {**JOB, "jobId": "heard-by-acme"})
    other.post("/jobs", {**JOB, "jobId": "not-heard-by-acme"})
    acme.post("/jobs/heard-by-acme/cancel")
    with acme.stream("/events?after=0-0") as events:
        heard = []
        for event in events:
            heard.append(event)
            if (event.name, event.data["jobId"]) == ("jobCancelled", "heard-by-acme"):
                break
    assert {event.data["customerId"] for event in heard} == {"acme"}


def test_a_revoked_token_is_refused_at_once(where: QueuePlace, operator: Api) -> None:
    made = new_token(where.env(), "--operator", "--name", "for a day")
    client = operator.by(made["token"])
    assert client.get("/workers").status == 200
    listed = token_command(where.env(), "list")
    assert made["id"] in listed.stdout
    assert made["token"] not in listed.stdout
    assert token_command(where.env(), "revoke", made["id"]).exit_code == 0
    assert client.get("/workers").code == "token_wrong"
    again = run("supervisor", "token", "revoke", made["id"], env=where.env())
    assert (again.returncode, "token list" in again.stderr) == (1, True)


def test_a_token_made_closes_a_server_that_was_open(redis_url: str, place: QueuePlace) -> None:
    with http_server(redis_url, place.name) as api:
        assert api.get("/jobs").status == 200
        made = new_token(place.env(), "--customer-id", "acme")
        assert api.get("/jobs").code == "token_missing"
        assert api.by(made["token"]).get("/jobs").status == 200


@pytest.fixture(scope="module")
def unguarded(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server without tokens, on loopback."""
    with http_server(redis_url, f"open-{tmp_path_factory.mktemp('http').name}") as api:
        yield api


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:8000", "127.0.0.1.evil.test", "", "10.0.0.1"]
)
def test_a_page_that_rebinds_its_name_is_refused(unguarded: Api, host: str) -> None:
    assert unguarded.get("/jobs", Host=host).code == "wrong_host"


@pytest.mark.parametrize("host", ["localhost:9", "[::1]:8000", "127.0.0.1", "LOCALHOST"])
def test_names_of_this_machine_are_answered(unguarded: Api, host: str) -> None:
    assert unguarded.get("/jobs", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
    ],
)
def test_a_foreign_page_changes_nothing(unguarded: Api, headers: dict[str, str]) -> None:
    for path in ("/queue/pause", "/jobs"):
        reply = unguarded.call("POST", path, body=b'{"url": "http://site.test/"}', **headers)
        assert reply.code == "foreign_page"


def test_our_own_page_may_act(unguarded: Api) -> None:
    own = {"Origin": f"http://127.0.0.1:{unguarded.port}", "Sec-Fetch-Site": "same-origin"}
    assert unguarded.post("/queue/pause", **own).status == 200


def test_every_answer_tells_browsers_to_be_careful(unguarded: Api) -> None:
    for path in ("/jobs", "/nowhere", "/docs", "/static/docs.js"):
        headers = unguarded.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_another_address_without_a_token_is_refused_at_the_start(place: QueuePlace) -> None:
    done = run("supervisor", "run", "--host", "0.0.0.0", env=place.env())
    assert done.returncode == 2
    assert "API_TOKEN" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_refused_at_the_start(place: QueuePlace, unguarded: Api) -> None:
    done = run("supervisor", "run", "--port", str(unguarded.port), env=place.env())
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_a_wrong_token_setting_is_not_shown(place: QueuePlace) -> None:
    done = run("supervisor", "check", env=place.env(API_TOKEN="too-short"))
    assert done.returncode == 2
    assert "API_TOKEN" in done.stderr
    assert "too-short" not in done.stderr

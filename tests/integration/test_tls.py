"""Certificates of sites: checked unless the job says otherwise, which is recorded."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace
from tests.support.certificates import Certificates, make_certificates
from tests.support.processes import run, running, wait_until
from tests.support.site import serve


class SecureSite:
    """A site with a certificate of the test's own authority; `paths` are those asked for."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.paths: list[str] = []
        self.url = ""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SecureSite]:
    served = SecureSite(make_certificates(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.certificates.server_cert, served.certificates.server_key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.paths.append(self.path)
            body = b"User-agent: *\nDisallow: /no" if self.path == "/robots.txt" else b"<p>secure"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """The paths are enough."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            # In the connection's own thread: a client that hangs up must not hold up the others.
            with context.wrap_socket(request, server_side=True) as secure:
                Handler(secure, client_address, self)

        def handle_error(self, *args: object) -> None:
            """Clients that refuse the certificate are what this is about."""

    with Server(("", 0), Handler) as server:
        served.url = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def fetch(place: QueuePlace, queue: QueueReader, *jobs: dict[str, Any], **settings: str) -> None:
    env = place.env(PAGE_BACKOFF="10", **settings)
    with running("scrapy", "work", env=env):
        for job in jobs:
            queue.push({"type": "single-page", "attempts": 1, **job})
        wait_until(lambda: all(queue.has_ended(job["jobId"]) for job in jobs), 30, "all end")


def shown(place: QueuePlace, command: str, job_id: str) -> Any:
    done = run("supervisor", command, job_id, "--json", env=place.env())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_certificates_are_checked_unless_the_job_says_otherwise(
    place: QueuePlace, site: SecureSite
) -> None:
    with contextlib.closing(QueueReader(place.url, place.name)) as queue:
        fetch(
            place, queue,
            {"url": f"{site.url}/strict", "jobId": "strict"},
            {"url": f"{site.url}/lax", "jobId": "lax", "verifyTls": False},
            {"url": f"{site.url}/no", "jobId": "forbidden", "verifyTls": False},
        )  # fmt: skip
        assert queue.state("lax") == "completed", queue.errors("lax")
        codes = {job: [error["code"] for error in queue.errors(job).values()]
                 for job in ("strict", "forbidden")}  # fmt: skip
    assert codes == {"strict": ["tls"], "forbidden": ["robots"]}
    assert sorted(site.paths) == ["/lax", "/robots.txt"]
    assert shown(place, "job", "lax")["tlsVerified"] is False
    assert shown(place, "job", "strict")["tlsVerified"] is True
    assert shown(place, "result", "lax")["metadata"]["tlsVerified"] is False
    assert "tlsVerified" not in shown(place, "result", "strict")["metadata"]
    assert shown(place, "data", "lax")["tlsVerified"] is False


def test_what_is_wrong_with_a_certificate_or_a_handshake_is_said_after_the_tries(
    place: QueuePlace, site: SecureSite
) -> None:
    port = site.url.rpartition(":")[2]
    jobs = {"authority": site.url, "host": f"https://127.0.0.2:{port}"}
    with contextlib.closing(QueueReader(place.url, place.name)) as queue, serve({}) as plain:
        jobs["handshake"] = plain.url.replace("http:", "https:")
        fetch(place, queue, {"url": f"{jobs['authority']}/", "jobId": "authority"})
        ca = str(site.certificates.ca)
        rest = [{"url": f"{jobs[name]}/", "jobId": name} for name in ("host", "handshake")]
        fetch(place, queue, *rest, TLS_CA_FILE=ca)
        errors = {name: error for name in jobs for error in queue.errors(name).values()}
    assert {(error["code"], error["attempt"]) for error in errors.values()} == {("tls", 3)}
    assert site.paths == []
    for name, words in (
        ("authority", "unable to get local issuer certificate"),
        ("host", "not valid for '127.0.0.2'"),
        ("handshake", "no secure connection to 127.0.0.1"),
    ):
        assert words in errors[name]["message"]


def test_an_authority_of_the_operator_is_trusted(place: QueuePlace, site: SecureSite) -> None:
    with contextlib.closing(QueueReader(place.url, place.name)) as queue:
        job = {"url": f"{site.url}/strict", "jobId": "strict"}
        fetch(place, queue, job, TLS_CA_FILE=str(site.certificates.ca))
        assert queue.state("strict") == "completed", queue.errors("strict")
    assert "tlsVerified" not in shown(place, "data", "strict")


def test_a_file_that_holds_no_authority_is_named(place: QueuePlace, tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("this is no certificate")
    done = run("supervisor", "check", env=place.env(TLS_CA_FILE=str(wrong)))
    assert done.returncode == 2
    assert "TLS_CA_FILE" in done.stderr
    assert "holds no certificates" in done.stderr

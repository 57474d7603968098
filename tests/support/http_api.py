"""The HTTP server as a process of its own, and a plain client of it that shows what came."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.support.processes import ROOT, environment

OPERATOR = "the-operators-own-token"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `headers`: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, whose shape is checked with it."""
        error = self.json["error"]
        assert {"code", "message", "hint", "requestId", "fields"} <= error.keys()
        assert error["message"]
        assert error["requestId"] == self.headers["x-request-id"]
        return str(error["code"])


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: dict[str, Any]


@dataclass(slots=True)
class Api:
    """A client; `token` goes with every request."""

    port: int
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def by(self, token: str | None) -> Api:
        """The same server with another token."""
        return Api(self.port, token)

    def call(
        self, method: str, path: str, content: Any = None, *, body: bytes | None = None,
        **headers: str,
    ) -> Reply:  # fmt: skip
        """One request; `content` goes as JSON. Header names have `_` for `-`."""
        sent = self._sent(headers)
        if content is not None:
            body = json.dumps(content).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())

    def get(self, path: str, **headers: str) -> Reply:
        return self.call("GET", path, body=None, **headers)

    def post(self, path: str, content: Any = None, **headers: str) -> Reply:
        return self.call("POST", path, content, body=None, **headers)

    def _sent(self, headers: Mapping[str, str]) -> dict[str, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        return sent

    @contextlib.contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[Iterator[Event]]:
        """Server-sent events as they come; the iterator ends with the stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=self._sent(headers))
            answer = connection.getresponse()
            assert answer.status == 200, (answer.status, answer.read())
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            yield _events(answer)


def _events(answer: http.client.HTTPResponse) -> Iterator[Event]:
    place, name, data = "", "", ""
    while line := answer.readline():
        text = line.decode().rstrip("\n")
        if text.startswith("id: "):
            place = text[4:]
        elif text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            data = text[6:]
        elif not text and data:
            yield Event(place, name, json.loads(data))
            name, data = "", ""


@contextlib.contextmanager
def http_server(
    redis_url: str, queue: str, *, scrapyd: socket.socket | None = None, **env: str
) -> Iterator[Api]:
    """The server alone, without a supervisor and workers, while the block runs; with scrapyd's API
    on that socket."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    own = {
        "LISTEN_FD": str(listener.fileno()), "HEARTBEAT_FD": str(write_end),
        "LIFELINE_FD": str(read_end),
    }  # fmt: skip
    descriptors = [listener.fileno(), write_end, read_end]
    if scrapyd is not None:
        own["SCRAPYD_FD"] = str(scrapyd.fileno())
        descriptors.append(scrapyd.fileno())
    with listener:
        process = subprocess.Popen(
            [sys.executable, "-P", "supervisor/lifeline.py", "supervisor.http"], cwd=ROOT,
            env=environment(redis_url, QUEUE_NAME=queue, **env) | own,
            pass_fds=descriptors, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        api = Api(listener.getsockname()[1], env.get("API_TOKEN"))
    try:
        deadline_s = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if api.get("/health/live").status == 200:
                    break
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline_s, "the server does not start"
        yield api
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            os.close(read_end)
            os.close(write_end)

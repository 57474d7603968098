"""Serves a folder: by nginx as fast as can be, or slowly, with a ledger of every fetch."""

from __future__ import annotations

import contextlib
import functools
import http.server
import mimetypes
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.chaos.scale import unavailable
from tests.support.processes import wait_until
from tests.support.redis_server import free_port
from tests.support.site import Answer

NGINX_CONF = """
daemon off; master_process off; error_log {folder}/error.log warn; pid {folder}/pid;
events {{ worker_connections 512; }}
http {{
  types {{ {types} }} default_type application/octet-stream;
  charset utf-8; access_log off; absolute_redirect off; sendfile on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root "{root}"; index index.html; }}
}}
"""
TYPES = {
    "text/html": "html htm", "text/css": "css", "text/plain": "txt", "image/png": "png",
    "image/gif": "gif", "image/svg+xml": "svg", "application/javascript": "js",
    "application/gzip": "gz",
}  # fmt: skip


@contextlib.contextmanager
def serve_folder(root: Path, scratch: Path) -> Iterator[str]:
    """The base URL of a fast static server: nginx where it is installed, else Python's."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    with _nginx(nginx, root, scratch) if nginx else _python(root) as url:
        yield url


@contextlib.contextmanager
def _nginx(nginx: str, root: Path, scratch: Path) -> Iterator[str]:
    scratch.mkdir(parents=True, exist_ok=True)
    port = free_port()
    types = " ".join(f"{kind} {endings};" for kind, endings in TYPES.items())
    conf = scratch / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=scratch, root=root, port=port, types=types))
    log = scratch / "start.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [nginx, "-e", str(scratch / "error.log"), "-p", str(scratch), "-c", str(conf)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_until(lambda: _answers(port) or process.poll() is not None, 10, "nginx listens")
        if process.poll() is not None:
            unavailable(f"nginx does not start: {log.read_text()[-500:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def _python(root: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def folder_answers(root: Path, delay_s: float) -> Callable[[str], Answer]:
    """A folder as the pages of a test site, each `delay_s` late."""

    def answer(target: str) -> Answer:
        path = unquote(urlsplit(target).path)
        file = root / path.lstrip("/")
        if file.is_dir():
            if not path.endswith("/"):
                return Answer(status=301, headers={"Location": f"{path}/"}, delay_s=delay_s)
            file /= "index.html"
        if not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
            return Answer(b"not found", status=404, delay_s=delay_s)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        return Answer(file.read_bytes(), content_type=kind, delay_s=delay_s)

    return answer


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False

"""A real S3 server (moto) on a loopback port: it counts what it serves, and can refuse or cut short what it is told to.

Invariant: it runs in a thread of this process and ends with the tests. It checks no credentials.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from ochy_async.object_store import Objects, objects
from tests.support.canary import DSN_PASSWORD

pytest.importorskip("obstore", reason="needs the extra objects: obstore is not installed")
pytest.importorskip("flask_cors", reason="needs the extra dev: flask-cors is not installed")
pytest.importorskip("moto", reason="needs the extra dev: moto is not installed")

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["ObjectServer", "object_server"]

HEADERS = {"Authorization": "AWS runner:unsigned", "Content-Type": "video/mp4"}
"""Without the first one moto does not replace objects."""
OPTIONS: dict[str, Any] = {
    "access_key_id": "runner",
    "secret_access_key": DSN_PASSWORD,
    "region": "us-east-1",
    "client_options": {"allow_http": True, "timeout": "20s"},
    "retry_config": {"max_retries": 0},
}


@define(eq=False)
class ObjectServer:
    """An S3 server with one bucket for each test."""

    port: int = 0
    requests: Counter[str] = field(factory=Counter)
    """How often each method and path was requested, lists without their parameters."""
    unconditional: list[str] = field(factory=list)
    """The reads of objects without If-Match."""
    refused: set[str] = field(factory=set)
    """The paths that are answered with 403."""
    shortened: dict[str, int] = field(factory=dict)
    """The paths whose answers end after so many bytes, as if the object had no more."""
    ignoring: set[str] = field(factory=set)
    """The paths whose If-Match is ignored, as some stores do."""
    _app: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which any program finds this server."""
        return {
            "AWS_ACCESS_KEY_ID": "runner",
            "AWS_SECRET_ACCESS_KEY": DSN_PASSWORD,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }

    def __call__(self, environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.requests[f"{environ['REQUEST_METHOD']} {path}"] += 1
        if environ["REQUEST_METHOD"] == "GET" and path.count("/") > 1 and "HTTP_IF_MATCH" not in environ:
            self.unconditional.append(path)
        if path in self.ignoring:
            environ.pop("HTTP_IF_MATCH", None)
        if path in self.refused:
            respond("403 Forbidden", [("Content-Length", "0")])
            return []
        if path not in self.shortened:
            return self._answer(environ, respond)
        return self._shortened(environ, respond, self.shortened[path])

    def _answer(self, environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._app(environ, respond)
        return answer

    def _shortened(self, environ: WSGIEnvironment, respond: StartResponse, size: int) -> Iterable[bytes]:
        def shorter(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
            return respond(status, [*kept, ("Content-Length", str(size))], error)

        return [b"".join(self._answer(environ, shorter))[:size]]

    def reads(self, bucket: str) -> dict[str, int]:
        """How often each object of a bucket was read."""
        start = f"GET /{bucket}/"
        return {key.removeprefix(start): count for key, count in self.requests.items() if key.startswith(start)}

    def put(self, bucket: str, key: str = "", content: bytes = b"") -> None:
        """Stores an object, or makes the bucket."""
        self._send("PUT", f"{bucket}/{key}" if key else bucket, content)

    def delete(self, bucket: str, key: str) -> None:
        self._send("DELETE", f"{bucket}/{key}", b"")

    def _send(self, method: str, path: str, content: bytes) -> None:
        with closing(HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request(method, f"/{path}", content, HEADERS)
            assert connection.getresponse().status < 300

    def objects(self, url: str, **options: Any) -> Objects:
        """The videos under a URL of this server."""
        return objects(url, endpoint=f"http://127.0.0.1:{self.port}", **OPTIONS, **options)


@contextmanager
def object_server() -> Generator[ObjectServer]:
    """Runs a server until the end of the block."""
    app = ObjectServer()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    app.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""`ochy webhook listen`: a real receiver, which shows what arrives and neither the token nor any content."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click", reason="needs the extra cli: click is not installed")

from ochy_async.cli.commands.webhook_listen import MAX_DRIFT, MAX_REFUSALS
from ochy_async.cli.webhook_url import WebhookUrl
from tests.support.canary import HOOK_TOKEN, leaks
from tests.support.cli_harness import Result, cli_process, json_lines, run_cli, wait_until
from tests.support.ports import free_port

ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
STARTED = {"event": "analysis.started", "video_id": ID, "status": "analyzing", "percentage": 0, "sequence": 1}
HALF = {**STARTED, "event": "analysis.progress", "percentage": 45.3, "sequence": 2}
ODD = {"type": "done", "data": {"id": "x1", "name": "Ada Lovelace", "thumb": "https://s.example/x"}, "seq": 3}
PATH = f"/ochy/{HOOK_TOKEN}"
JSON = {"Content-Type": "application/json"}
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")

Send = Callable[["Receiver"], Any]


class Receiver:
    """Sends requests to `ochy webhook listen`."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self._tls = tls

    def connect(self) -> http.client.HTTPConnection:
        """A connection, once it listens."""
        end = time.monotonic() + 40
        while True:
            connection = (
                http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self._tls)
                if self._tls
                else http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            )
            try:
                connection.connect()
            except ConnectionRefusedError:
                assert time.monotonic() < end, "it does not listen"
                time.sleep(0.02)
            else:
                return connection

    def send(self, body: bytes, path: str = PATH, method: str = "POST", headers: dict[str, str] = JSON) -> int:
        """The status of the answer."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def deliver(self, *deliveries: Any, path: str = PATH) -> list[int]:
        """The statuses of the answers."""
        return [self.send(json.dumps(each).encode(), path) for each in deliveries]

    def raw(self, data: bytes) -> bytes:
        """The beginning of the answer to bytes that need not be HTTP."""
        self.connect().close()
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(data)
            return connection.recv(12)


def listen(send: Send, *options: str, tls: ssl.SSLContext | None = None, **env: str | None) -> tuple[Result, Any]:
    """Runs the command in this process while `send` sends it requests; what was printed, and what `send` returned."""
    port = free_port()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, Receiver(port, tls))
        result = run_cli("webhook", "listen", "--port", str(port), *options, **env)
        sent = sending.result(60)
    assert not leaks(result.output)
    return result, sent


# --- what is shown --------------------------------------------------------------------------------------


def test_each_delivery_is_one_line() -> None:
    """Event, status, sequence, percentage and id; stdout holds nothing else."""
    result, statuses = listen(lambda to: to.deliver(STARTED, HALF), "--count", "2")
    assert (result.exit_code, statuses) == (0, [204, 204])
    first, second = (line.split() for line in result.stdout.splitlines()[:1] + result.stdout.splitlines()[-1:])
    assert first[1:] == ["analysis.started", "analyzing", "#1", "0", "%", ID]
    assert second[1:] == ["analysis.progress", "analyzing", "#2", "45", "%", ID]
    assert "Listening on http://127.0.0.1:" in result.stderr
    assert "2 deliveries." in result.stderr


def test_any_path_that_ends_in_the_token_is_taken() -> None:
    """A tunnel may add a prefix, or none."""
    paths = (f"/{HOOK_TOKEN}", f"/a/b/c/{HOOK_TOKEN}", f"/a/{HOOK_TOKEN}?x=1")
    result, statuses = listen(lambda to: [to.deliver(HALF, path=path) for path in paths], "--count", "3")
    assert (result.exit_code, statuses) == (0, [[204]] * 3)


def test_what_is_unexpected_is_shown_once_by_path_and_type() -> None:
    """No value is shown, and the summary says how to report it."""
    result, _ = listen(lambda to: to.deliver(ODD, ODD), "--count", "2")
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines.count("unexpected: data.name: unknown key (text)") == 1
    assert lines.count("unexpected: type: read as event (text)") == 1
    assert "Ada" not in result.output
    assert "s.example" not in result.output
    assert "ochy webhook listen --json" in result.stderr


def test_the_outline_shows_keys_types_and_header_names() -> None:
    """Each form of a body once, so that a signature would be found; no value."""
    headers = {**JSON, "X-Signature": "4f1d"}
    body = json.dumps(ODD).encode()
    result, _ = listen(lambda to: [to.send(body, headers=headers) for _ in range(2)], "--outline", "--count", "2")
    assert result.stdout.count("{type: text, data: {id: text, name: text, thumb: text}, seq: number}") == 1
    assert result.stdout.count("x-signature") == 1
    assert "Ada" not in result.output


def test_json_holds_the_outline_and_no_content() -> None:
    """One object per delivery with stable keys."""
    result, _ = listen(lambda to: to.deliver(HALF, ODD), "--json", "--count", "2")
    first, second = json_lines(result)
    keys = ["at", "event", "status", "percentage", "sequence", "analysis_id", "timestamp", "still_running"]
    assert list(first) == list(second) == [*keys, "outline", "headers", "drift"]
    assert (first["event"], first["percentage"], first["sequence"]) == ("analysis.progress", 45.3, 2)
    assert second["outline"] == "{type: text, data: {id: text, name: text, thumb: text}, seq: number}"
    assert "data.name: unknown key (text)" in second["drift"]
    assert "content-type" in second["headers"]
    assert "Ada" not in result.output


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_body_is_shown_on_request_without_links(options: tuple[str, ...]) -> None:
    """With a warning on stderr."""
    result, _ = listen(lambda to: to.deliver(ODD), "--body", "--count", "1", *options)
    assert "Ada Lovelace" in result.stdout
    assert "s.example" not in result.output
    assert "health data" in result.stderr


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Neither from values nor from keys."""
    evil = {"event": "a\x1b[2J", "\x1b[2J": 1, "status": "b\x07", "sequence": 1}
    result, _ = listen(lambda to: to.deliver(evil), "--outline", "--body", "--count", "1")
    assert result.exit_code == 0
    assert not {"\x1b", "\x07"} & set(result.output)


def test_the_differences_of_a_run_are_bounded() -> None:
    """However many keys are sent."""
    bodies = [{f"key{number}_{each}": 1 for each in range(90)} for number in range(4)]
    result, _ = listen(lambda to: to.deliver(*bodies), "--count", "4")
    assert result.stdout.count("unexpected") == MAX_DRIFT


# --- what is refused ------------------------------------------------------------------------------------


def test_refused_requests_are_shown_briefly_and_counted() -> None:
    """With the reason, on stderr, and never with their path."""

    def send(to: Receiver) -> list[int]:
        sent = [
            *(to.send(b"[1]"), to.send(b"{}", path="/ochy/another-token-0000")),
            *(
                to.send(b"", method="GET"),
                to.send(b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}),
            ),
            *(to.send(b" " * 70_000), to.send(b"zip", headers={**JSON, "Content-Encoding": "gzip"})),
        ]
        return sent + to.deliver(HALF)

    result, statuses = listen(send, "--count", "1")
    assert (result.exit_code, statuses) == (0, [400, 404, 405, 415, 413, 415, 204])
    assert len(result.stdout.splitlines()) <= 2
    for words in (
        "refused with 400: no JSON object (application/json, 3 bytes)",
        "refused with 404: another token",
        "refused with 405: GET instead of POST",
        "refused with 415: application/x-www-form-urlencoded is not JSON (3 bytes)",
        "refused with 413: more than 64 KiB",
        "refused with 415: a compressed body (3 bytes)",
        "1 delivery. Refused: 1 × 400, 1 × 404, 1 × 405, 1 × 413, 2 × 415.",
    ):
        assert words in result.stderr
    assert "another-token-0000" not in result.output


def test_a_flood_of_refused_requests_is_only_counted() -> None:
    """After the first few lines."""
    result, _ = listen(lambda to: to.deliver(*[HALF] * 20, path="/wrong") + to.deliver(HALF), "--count", "1")
    assert result.stderr.count("refused with 404") == MAX_REFUSALS
    assert "20 × 404" in result.stderr


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), f"GET {PATH} HTTP/1.1\r\nbad\r\n\r\n".encode()],
)
def test_a_request_that_is_not_http_is_reported(data: bytes) -> None:
    """Such as HTTPS to a port without a certificate. Its first line is not shown, since it may hold the token."""
    result, (answer, _) = listen(lambda to: (to.raw(data), to.deliver(HALF)), "--count", "1")
    assert (result.exit_code, answer) == (0, b"HTTP/1.0 400")
    assert "not HTTP; HTTPS needs --cert" in result.stderr
    assert "1 × not HTTP" in result.stderr


# --- the token ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
def test_a_new_token_is_printed_once(as_json: bool) -> None:
    """With the URL, on stdout; it is the one that is taken."""
    result, _ = listen(lambda to: to.deliver(HALF), "--new-token", "--seconds", "1.5", *(["--json"] if as_json else []))
    if as_json:
        (record,) = json_lines(result)
        url, token = record["url"], record["token"]
    else:
        url = next(line.strip() for line in result.stdout.splitlines() if "http" in line)
        token = WebhookUrl(url).last_segment
        assert result.stdout.count(token) == 1
    assert WebhookUrl(url).ends_in_token
    assert url.endswith(f"/{token}")
    assert token not in result.stderr
    assert "refused with 404" in result.stderr


@pytest.mark.parametrize(("token", "words"), [(None, "--new-token"), ("", "--new-token"), ("short", "16 to 256")])
def test_without_a_usable_token_nothing_is_opened(token: str | None, words: str) -> None:
    """Exit code 2, and the message says what helps."""
    result = run_cli("webhook", "listen", OCHY_WEBHOOK_TOKEN=token)
    assert (result.exit_code, result.stdout, words in result.stderr) == (2, "", True), result.stderr


# --- addresses --------------------------------------------------------------------------------------------


def test_a_port_that_is_in_use_is_reported() -> None:
    """Exit code 1, with the option that helps."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run_cli("webhook", "listen", "--port", str(port))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Cannot listen on 127.0.0.1, port {port}: Address already in use." in result.stderr
    assert "--port" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "example.org"), "must be an IP address"),
        (("--key", __file__), "--key: needs --cert"),
        (("--cert", __file__), "not a certificate"),
        (("--cert", "/nowhere"), "does not exist"),
        (("--count", "0"), "--count"),
    ],
)
def test_wrong_options_are_refused(options: tuple[str, ...], words: str) -> None:
    """Exit code 2, before anything is opened."""
    result = run_cli("webhook", "listen", *options)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("localhost", False)])  # noqa: S104 - what is tested
def test_an_address_that_others_reach_is_used_with_a_warning(host: str, warned: bool) -> None:
    """Only if it is asked for."""
    result, statuses = listen(lambda to: to.deliver(HALF), "--host", host, "--count", "1")
    assert (result.exit_code, statuses) == (0, [204])
    assert ("reaches this port" in result.stderr) is warned


def test_deliveries_come_over_https_with_a_certificate(tmp_path: Path) -> None:
    """The certificate and its key may be in one file or in two."""
    trustme = pytest.importorskip("trustme", reason="needs the extra test")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    result, statuses = listen(
        lambda to: to.deliver(HALF), "--cert", str(tmp_path / "both.pem"), "--count", "1", tls=context
    )
    assert (result.exit_code, statuses) == (0, [204])
    assert "Listening on https://127.0.0.1:" in result.stderr


# --- the end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "code"), [((), 0), (("--count", "2"), 1)])
def test_it_ends_after_some_seconds(count: tuple[str, ...], code: int) -> None:
    """Exit code 1 if fewer deliveries came than were asked for."""
    result, _ = listen(lambda to: to.deliver(HALF), "--seconds", "1.5", *count)
    assert (result.exit_code, "1 delivery." in result.stderr) == (code, True)


@contextmanager
def listening(output: Path, *options: str) -> Generator[tuple[subprocess.Popen[str], Receiver]]:
    """The command in a process of its own, once it listens."""
    port = free_port()
    env = {**os.environ, "OCHY_WEBHOOK_TOKEN": HOOK_TOKEN}
    with cli_process("webhook", "listen", "--port", str(port), *options, folder=output, env=env) as child:
        yield child, Receiver(port)


@posix_only
@pytest.mark.parametrize(
    ("options", "sent", "code"),
    [((), signal.SIGINT, 0), ((), signal.SIGTERM, 0), (("--count", "2"), signal.SIGINT, 130)],
)
def test_a_signal_ends_it_in_order(output: Path, options: tuple[str, ...], sent: signal.Signals, code: int) -> None:
    """The summary is printed, and the port is free. It is the usual end unless a number of deliveries was asked for."""
    with listening(output, *options) as (child, to):
        assert to.deliver(HALF) == [204]
        wait_until(lambda: ID in (output / "stdout").read_text())
        child.send_signal(sent)
        assert child.wait(30) == code
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", to.port), 1).close()
    text = (output / "stderr").read_text()
    assert "1 delivery." in text
    assert "Traceback" not in text


@posix_only
def test_a_reader_that_leaves_ends_it() -> None:
    """Without a traceback, at the next delivery."""
    port = free_port()
    env = {**os.environ, "OCHY_WEBHOOK_TOKEN": HOOK_TOKEN}
    command = [sys.executable, "-m", "ochy_async.cli", "webhook", "listen", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as child:  # noqa: S603
        assert child.stdout is not None
        to = Receiver(port)
        to.deliver(HALF)
        child.stdout.readline()
        child.stdout.close()
        to.deliver(HALF)
        assert child.wait(30) == 1
        text = child.stderr.read() if child.stderr is not None else ""
    assert "Traceback" not in text
    assert not leaks(text)

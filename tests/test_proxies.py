"""Proxies: what they see, what their refusals mean for credits, and where their password never appears."""

from __future__ import annotations

import pickle
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from anyio import fail_after

from ochy_async import Limits, OchySession, Retry, SideView
from ochy_async.emulator import Emulator, InProcessTransport
from ochy_async.errors import ConnectionFailed, InvalidSettings, KeyRefused, Phase, UncertainStart
from ochy_async.events import Event, Retried
from ochy_async.protocol.answer import SignedUrl
from ochy_async.protocol.wire import ResponseHead
from ochy_async.proxies import Proxy
from ochy_async.storage import HttpStorage
from tests.conftest import CLIP, QUICK, world
from tests.support import canary
from tests.support.canary import PROXY_PASSWORD
from tests.support.proxies import ESTABLISHED, Tunnels, tunnels

ENCODED = PROXY_PASSWORD.replace("/", "%2F")
LARGE = CLIP * 100
"""More than the buffers of a connection take."""


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority for the tests."""
    return trustme.CA()


def tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """The TLS context of a server with these names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Makes every connection of the session trust that authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    monkeypatch.setattr(aiohttp, "TCPConnector", partial(aiohttp.TCPConnector, ssl=context))
    return context


@pytest.fixture
async def far(authority: trustme.CA, trusting: ssl.SSLContext) -> AsyncGenerator[Emulator]:
    """The vendor's server, which only the proxy can reach by its name."""
    async with Emulator(world(), ssl=tls(authority, "ochy.example", "storage.example"), speed=50) as running:
        yield running


@pytest.fixture
async def proxy() -> AsyncGenerator[Tunnels]:
    async with tunnels() as running:
        yield running


def port_of(url: str) -> str:
    return url.rpartition(":")[2].partition("/")[0]


def behind(far: Emulator, proxy: Tunnels, user: str = "", **settings: Any) -> OchySession:
    """A session that reaches the far server through the proxy."""
    given: dict[str, Any] = {
        "polling": QUICK,
        "retry": Retry(attempts=1),
        "limits": Limits(connect=0.5, stall=5, call=10),
        **settings,
    }
    base = f"https://ochy.example:{port_of(far.url)}"
    return OchySession(base_url=base, proxy=f"http://{user}127.0.0.1:{proxy.port}", **given)


# --- what it sees -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_proxy_sees_host_and_port_only(far: Emulator, proxy: Tunnels) -> None:
    """The proxy is asked for host and port: it sees no path, no key and no clip."""
    async with behind(far, proxy) as ochy:
        assert 0 <= (await ochy.analyze(CLIP, SideView())).total_score <= 1
    assert len(far.service.ledger) == 1
    assert set(proxy.request_lines) == {f"CONNECT ochy.example:{port_of(far.url)} HTTP/1.1"}
    assert not any(canary.leaks(head) for head in proxy.heads)


@pytest.mark.anyio
async def test_credentials_go_to_the_proxy_and_nowhere_else(far: Emulator, proxy: Tunnels) -> None:
    """Credentials are decoded from the URL, sent with each CONNECT, and shown nowhere."""
    async with behind(far, proxy, f"runner:{ENCODED}@") as ochy:
        await ochy.get_webhook()
        shown = repr(ochy)
    expected = b64encode(f"runner:{PROXY_PASSWORD}".encode()).decode()
    assert f"Proxy-Authorization: Basic {expected}\r\n" in proxy.heads[0]
    assert f"through http://127.0.0.1:{proxy.port}" in shown
    assert not canary.leaks(shown)


@pytest.mark.anyio
async def test_the_certificate_must_be_the_hosts_own(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    """TLS is checked against the name of the API, not of the proxy: a proxy that answers itself gets no key."""
    async with (
        Emulator(world(), ssl=tls(authority, "proxy.example", "127.0.0.1")) as other,
        tunnels() as proxy,
        behind(other, proxy) as ochy,
    ):
        with pytest.raises(ConnectionFailed, match="certificate") as caught:
            await ochy.start(CLIP, SideView())
    assert caught.value.phase is Phase.NOT_SENT
    assert other.service.ledger == ()


@pytest.mark.anyio
async def test_a_proxy_may_speak_tls_itself(authority: trustme.CA, far: Emulator) -> None:
    """An `https://` proxy also hides the host name and the credentials from the network before it."""
    async with tunnels(tls(authority, "127.0.0.1")) as proxy:
        base = f"https://ochy.example:{port_of(far.url)}"
        address = f"https://runner:{ENCODED}@127.0.0.1:{proxy.port}"
        async with OchySession(base_url=base, proxy=address, polling=QUICK) as ochy:
            await ochy.start(CLIP, SideView())
    assert len(far.service.ledger) == 1


@pytest.mark.anyio
async def test_a_borrowed_session_and_a_proxy_work_together(
    far: Emulator, proxy: Tunnels, trusting: ssl.SSLContext
) -> None:
    """The borrowed session's pool and TLS are used with our proxy, and its own proxy settings are not."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting), proxy="http://127.0.0.1:9") as http,
        behind(far, proxy, http=http) as ochy,
    ):
        await ochy.start(CLIP, SideView())
    assert len(proxy.heads) == 1


@pytest.mark.anyio
async def test_this_machine_is_reached_directly(emulator: Emulator, proxy: Tunnels) -> None:
    """A loopback base URL may be http, so a proxy would see the key: none is used."""
    async with OchySession(base_url=emulator.url, proxy=f"http://127.0.0.1:{proxy.port}") as ochy:
        await ochy.get_webhook()
        assert "through" not in repr(ochy)
    assert proxy.heads == []


class Bucket:
    """A sink that stores what arrives."""

    def __init__(self) -> None:
        self.content = b""

    async def begin(self, head: ResponseHead) -> None:
        assert head.status == 200

    async def write(self, piece: bytes) -> None:
        self.content += piece


@pytest.mark.anyio
async def test_stored_files_go_through_the_proxy_too(far: Emulator, proxy: Tunnels) -> None:
    """Links lead to another host, through another tunnel; the proxy does not see the signature either."""
    async with behind(far, proxy) as ochy:
        link = (await ochy.analyze(CLIP, SideView())).output_video
    assert link is not None
    proxy.heads.clear()
    storage, bucket = HttpStorage(Limits(), Proxy.of(f"http://runner:{ENCODED}@127.0.0.1:{proxy.port}")), Bucket()
    elsewhere = SignedUrl(link.reveal().replace("//127.0.0.1:", "//storage.example:"))
    await storage.fetch(elsewhere, bucket, {})
    await storage.aclose()
    assert bucket.content
    assert proxy.request_lines == [f"CONNECT storage.example:{port_of(link.reveal())} HTTP/1.1"]
    assert "signature" not in proxy.heads[0]


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", b"", None])
async def test_an_error_of_the_proxy_for_a_stored_file_does_not_reveal_the_link(
    answer: bytes | None, proxy: Tunnels
) -> None:
    """The error names the proxy as the reason, in time, and holds nothing of the link or the password."""
    proxy.answer = answer
    secret = Proxy.of(f"http://runner:{ENCODED}@127.0.0.1:{proxy.port}")
    storage = HttpStorage(Limits(connect=0.5, stall=5), secret)
    link = SignedUrl("https://storage.example:1/a?signature=4f1d9c")
    with pytest.raises(ConnectionFailed) as caught, fail_after(3):
        await storage.fetch(link, Bucket(), {})
    await storage.aclose()
    assert caught.value.status == (407 if answer and b"407" in answer else None)
    assert canary.leaks_in_error(caught.value) == []


@pytest.mark.anyio
async def test_a_batch_through_a_proxy_stores_its_password_nowhere(
    far: Emulator, proxy: Tunnels, tmp_path: Path
) -> None:
    """Journal, tables and stored files are searched for the password."""
    async with behind(far, proxy, f"runner:{ENCODED}@", preflight="off") as ochy:
        batch = ochy.batch(SideView(), journal=tmp_path / "clips.journal", out=tmp_path / "out", keep=["raw_data"])
        async with batch:
            outcomes = [each async for each in batch.run([CLIP])]
    assert [each.word for each in outcomes] == ["analyzed"]
    assert len(list((tmp_path / "out").iterdir())) >= 4
    assert canary.leaks_in_files(tmp_path) == []


# --- money --------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "HTTP 407; it requires a user"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nsorry", "HTTP 502; see its log"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n", "HTTP 302"),
        (b"", "closed the connection"),
        (b"\x15\x03\x01 no HTTP\r\n\r\n", ""),
        (None, "no connection was made in time"),
    ],
    ids=["407", "502", "a portal", "closed", "garbage", "hangs"],
)
@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
async def test_without_a_tunnel_nothing_was_sent(
    answer: bytes | None, words: str, borrowed: bool, far: Emulator, proxy: Tunnels, trusting: ssl.SSLContext
) -> None:
    """Whatever a proxy does before the tunnel is established, the start surely did not happen, and the error says so in
    time."""
    proxy.answer = answer
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as http,
        behind(far, proxy, f"runner:{ENCODED}@", http=http if borrowed else None) as ochy,
    ):
        for call in (ochy.start(CLIP, SideView()), ochy.create_subject(name="Ada"), ochy.get_webhook()):
            with pytest.raises(ConnectionFailed, match="nothing was sent") as caught, fail_after(3):
                await call
            assert caught.value.phase is Phase.NOT_SENT
            assert words in str(caught.value)
    assert far.service.ledger == ()


@pytest.mark.anyio
async def test_an_unreachable_proxy_means_not_sent(far: Emulator) -> None:
    """The error says that the proxy cannot be reached."""
    async with behind(far, Tunnels(port=9)) as ochy:
        with pytest.raises(ConnectionFailed, match="no connection to the proxy") as caught:
            await ochy.start(CLIP, SideView())
    assert caught.value.phase is Phase.NOT_SENT


@pytest.mark.anyio
async def test_a_start_that_had_no_tunnel_is_sent_again(far: Emulator, proxy: Tunnels) -> None:
    """A restarted proxy costs a retry, and no credit."""
    events: list[Event] = []

    def recover(event: Event) -> None:
        events.append(event)
        if isinstance(event, Retried):
            proxy.answer = ESTABLISHED

    proxy.answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    async with behind(far, proxy, retry=Retry(first_delay=0.01), on_event=recover) as ochy:
        await ochy.start(CLIP, SideView())
    assert [type(each) for each in events].count(Retried) == 1
    assert len(far.service.ledger) == 1


@pytest.mark.anyio
async def test_wrong_credentials_are_not_tried_again(far: Emulator, proxy: Tunnels) -> None:
    """The same password again would not help, and might lock the account."""
    proxy.answer = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    async with behind(far, proxy, f"runner:{ENCODED}@", retry=Retry(first_delay=0.01)) as ochy:
        with pytest.raises(ConnectionFailed) as caught:
            await ochy.start(CLIP, SideView())
    assert (caught.value.status, len(proxy.heads)) == (407, 1)


@pytest.mark.anyio
async def test_a_tunnel_that_is_cut_during_the_upload_is_incomplete(far: Emulator, proxy: Tunnels) -> None:
    """The body was cut short, so the server cannot have accepted it."""
    proxy.up = 300_000
    async with behind(far, proxy) as ochy:
        with pytest.raises(ConnectionFailed) as caught, fail_after(5):
            await ochy.start(LARGE * 20, SideView())
    assert caught.value.phase is Phase.INCOMPLETE
    assert far.service.ledger == ()


@pytest.mark.anyio
async def test_a_tunnel_that_is_cut_after_the_upload_is_uncertain(far: Emulator, proxy: Tunnels) -> None:
    """The answer is lost, so nothing is sent again."""
    proxy.cut = lambda: len(far.service.ledger) > 0
    async with behind(far, proxy, retry=Retry(first_delay=0.01)) as ochy:
        with pytest.raises(UncertainStart), fail_after(5):
            await ochy.start(CLIP, SideView())
    assert len(proxy.heads) == 1
    assert len(far.service.ledger) == 1


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("socks5://h.example:1080", "SOCKS"),
        ("socks5h://h.example", "SOCKS"),
        ("ftp://h.example", "must be http"),
        ("http://", "must be http"),
        ("http://h.example:99999", "cannot be parsed"),
        ("http://[::1", "cannot be parsed"),
        ("http://h.example/path", "no path"),
        ("http://h.example?x=1", "no path, query"),
        ("http://h.example #", "no blanks"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused(setting: str, why: str) -> None:
    """The constructor raises, and says what would be right."""
    with pytest.raises(InvalidSettings, match=why):
        OchySession(proxy=setting)


@pytest.mark.parametrize(
    "setting", [f"socks5://runner:{ENCODED}@h.example", f"http://runner:{PROXY_PASSWORD}@h.example", f"//:{ENCODED}@:x"]
)
def test_a_refused_proxy_is_not_shown(setting: str) -> None:
    """Neither text nor frames of the error hold the password, nor do those of an error about another argument."""
    with pytest.raises(InvalidSettings) as caught:
        OchySession(proxy=setting)
    assert canary.leaks_in_error(caught.value) == []
    with pytest.raises(KeyRefused) as other:
        OchySession("", proxy=setting)
    assert canary.leaks_in_error(other.value) == []


def test_a_proxy_is_neither_shown_nor_pickled() -> None:
    """Neither by repr, nor by rich, nor by pickle."""
    pretty = pytest.importorskip("rich.pretty", reason="needs the extra cli: rich is not installed")
    proxy = Proxy.of(f"http://runner:{ENCODED}@h.example:3128")
    assert not canary.leaks(repr(proxy) + pretty.pretty_repr(proxy) + (proxy.address or ""))
    with pytest.raises(TypeError, match="credentials"):
        pickle.dumps(proxy)


def test_the_proxy_comes_from_ochy_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument takes precedence; `none` turns the proxy off; without either, the usual variables are ignored."""
    monkeypatch.setenv("HTTPS_PROXY", "http://usual.example:1")
    assert "through" not in repr(OchySession())
    monkeypatch.setenv("OCHY_PROXY", "http://ours.example:2")
    assert "through http://ours.example:2" in repr(OchySession())
    assert "through http://given.example:3" in repr(OchySession(proxy="given.example:3"))
    assert "through" not in repr(OchySession(proxy="none"))
    monkeypatch.setenv("OCHY_PROXY", "environment")
    assert "through http://usual.example:1" in repr(OchySession())


@pytest.mark.parametrize("name", ["ochy-prod.com", ".ochy-prod.com", "partner-api.ochy-prod.com:443", "*"])
def test_no_proxy_applies_to_the_proxy_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY matches by name, domain, host and port, or everything; it does not apply to a proxy that was given."""
    monkeypatch.setenv("HTTPS_PROXY", "http://usual.example:1")
    monkeypatch.setenv("NO_PROXY", name)
    assert "through" not in repr(OchySession(proxy="environment"))
    assert "through" in repr(OchySession(proxy="http://given.example:3"))


@pytest.mark.anyio
async def test_netrc_is_never_read(
    far: Emulator, proxy: Tunnels, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """aiohttp's own reading of the environment would send the credentials of `~/.netrc` to the proxy's host."""
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login runner password {PROXY_PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    base = f"https://ochy.example:{port_of(far.url)}"
    async with OchySession(base_url=base, proxy="environment") as ochy:
        await ochy.get_webhook()
    assert proxy.heads
    assert not any("authorization" in head.lower() for head in proxy.heads)


def test_a_transport_with_a_proxy_is_refused() -> None:
    """A transport replaces the network, so a proxy beside it would silently not be used."""
    with pytest.raises(InvalidSettings, match="cannot use a proxy"):
        OchySession(transport=InProcessTransport(), proxy="http://h.example")

"""`Webhooks`: its settings and secrets, and what it does in sessions."""

from __future__ import annotations

import math
import pickle
from typing import Any

import anyio
import pytest

from ochy_async import InvalidSettings, OchySession, Polling, SideView, Webhooks
from ochy_async.emulator import Emulator, InProcessTransport
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.events import AnalysisProgress, DeliveryReceived, DriftDetected, Event
from ochy_async.protocol.wire import Request, Response
from ochy_async.webhooks.door import Head
from ochy_async.webhooks.tokens import HookTokens
from tests.conftest import CLIP, direct_session, loop_clock, real_session, world
from tests.support import canary, hook_servers
from tests.support.canary import API_KEY, HOOK_TOKEN
from tests.support.hook_servers import PATH, ask
from tests.webhooks.test_asgi import call, scope_of

UNUSABLE: tuple[Any, ...] = (
    *("", " , ", "short", "x" * 257, "a b" * 10, "töken" * 5, "slash/" * 5, f"{HOOK_TOKEN},short"),
    *(b"x" * 20, 5, [], [HOOK_TOKEN, ""], [HOOK_TOKEN, 5]),
)


@pytest.mark.parametrize("token", UNUSABLE, ids=range(len(UNUSABLE)))
def test_an_unusable_token_is_refused(token: Any) -> None:
    """Nothing is opened with a token that is missing, can be guessed, or has several spellings in a URL."""
    with pytest.raises(InvalidSettings, match="OCHY_WEBHOOK_TOKEN") as raised:
        Webhooks(token)
    assert canary.leaks_in_error(raised.value) == []


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several are separated by commas, and no token is an error that says how to make one."""
    monkeypatch.setenv("OCHY_WEBHOOK_TOKEN", f"{HOOK_TOKEN}, another-token-0123456789")
    Webhooks()
    monkeypatch.delenv("OCHY_WEBHOOK_TOKEN")
    with pytest.raises(InvalidSettings, match="token_urlsafe"):
        Webhooks()


def test_the_token_is_hidden() -> None:
    """Neither a repr nor a pickle shows it."""
    hooks, tokens = Webhooks(), HookTokens(HOOK_TOKEN)
    for each in (hooks, tokens, hooks.asgi, hooks.log_filter, Head("POST", HOOK_TOKEN, {})):
        assert not canary.leaks(f"{each!r} {each}")
    for each in (hooks, tokens):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(each)


class Recording(InProcessTransport):
    """Records whether each start asks for deliveries."""

    def __init__(self) -> None:
        super().__init__(world(), api_key=API_KEY)
        self.asked: list[str] = []

    async def send(self, request: Request) -> Response:
        if request.upload is not None:
            self.asked.append(dict(request.upload.fields)["notify_via_webhook"])
        return await super().send(request)


@pytest.mark.parametrize(("hooks", "asked"), [(True, "true"), (False, "false")])
def test_starts_ask_for_deliveries(hooks: bool, asked: str) -> None:
    """A session that uses webhooks asks for deliveries by itself, and the request of an outcome stays the user's."""
    transport = Recording()

    async def run() -> None:
        async with OchySession(transport=transport, webhooks=Webhooks() if hooks else None, clock=loop_clock) as ochy:
            await ochy.analyze(CLIP, SideView())
            async with ochy.batch(SideView()) as batch:
                assert [each.request async for each in batch.run([CLIP + b"1"])] == [SideView()]

    in_virtual_time(run())
    assert transport.asked == [asked, asked]


@pytest.mark.parametrize("word", ["completed", "failed"])
def test_a_forged_end_ends_no_wait(word: str) -> None:
    """A delivery that claims an end makes one poll come early; the wait goes on until a poll shows the end."""
    events: list[Event] = []

    async def run() -> None:
        hooks = Webhooks()
        async with direct_session(webhooks=hooks, on_event=events.append) as ochy:
            started = await ochy.start(CLIP, SideView())
            body = f'{{"event": "analysis.{word}", "video_id": "{started.analysis_id}", "percentage": 100}}'.encode()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ochy.wait, started)
                await anyio.sleep(0.5)
                assert (await call(hooks, scope_of(), [{"body": body}]))[0]["status"] == 204

    in_virtual_time(run())
    states = [each.status for each in events if isinstance(each, AnalysisProgress)]
    assert states[0] != "success"
    assert states[-1] == "success"


# --- with an emulator that delivers -------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_delivery_wakes_a_wait_over_real_sockets(emulator: Emulator) -> None:
    """The emulator posts to aiohttp.web, the wait polls at once, and the poll decides. One credit is spent."""
    hooks, events = Webhooks(), list[Event]()
    async with hook_servers.aiohttp_server(hooks) as port:
        emulator.set_webhook(f"http://127.0.0.1:{port}{PATH}")
        polling = Polling(interval=30, shortest=30, longest=30)
        async with real_session(emulator, webhooks=hooks, polling=polling, on_event=events.append) as ochy:
            with anyio.fail_after(10):  # without hints the first poll would come after 30 s
                results = await ochy.analyze(CLIP, SideView())
    taken = [each for each in events if isinstance(each, DeliveryReceived)]
    assert results.total_score > 0
    assert len(emulator.service.ledger) == 1
    assert {each.http_status for each in taken} == {204}
    assert taken[-1].event == "analysis.completed"
    assert {each.analysis_id for each in taken} == {emulator.service.ledger[0].analysis_id}


@pytest.mark.anyio
async def test_several_sessions_share_one_object() -> None:
    """Each tenant's wait is woken by its own analysis, and each listener hears every delivery of the process."""
    hooks = Webhooks()
    heard: dict[str, list[Event]] = {"a": [], "b": []}

    async def tenant(name: str, seed: int, port: int) -> None:
        async with (
            Emulator(world(seed=seed), speed=50) as emulator,
            real_session(
                emulator, webhooks=hooks, polling=Polling(interval=30, longest=30), on_event=heard[name].append
            ) as ochy,
        ):
            emulator.set_webhook(f"http://127.0.0.1:{port}{PATH}")
            await ochy.analyze(CLIP, SideView())

    with anyio.fail_after(10):
        async with hook_servers.aiohttp_server(hooks) as port, anyio.create_task_group() as tenants:
            tenants.start_soon(tenant, "a", 1, port)
            tenants.start_soon(tenant, "b", 2, port)
    received = [
        {each.analysis_id for each in events if isinstance(each, DeliveryReceived)} for events in heard.values()
    ]
    assert max(map(len, received)) == 2


# --- what reaches listeners ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_every_request_with_the_token_is_an_event() -> None:
    """Refused deliveries have their status and nothing else; strangers and other methods are no deliveries."""
    hooks, events = Webhooks(deliveries_per_second=1.0), list[Event]()
    body = b'{"event": "analysis.progress", "id": "a1", "status": "running", "percentage": 40, "sequence": 2}'
    async with hooks.listening(events.append), hook_servers.aiohttp_server(hooks) as port:
        await ask(port, body)
        await ask(port, b"[]")
        await ask(port, body)
        await ask(port, body, path="/hooks/ochy/wrong")
        await ask(port, body, method="GET")
    assert [each for each in events if isinstance(each, DeliveryReceived)] == [
        DeliveryReceived(analysis_id="a1", event="analysis.progress", status="running", percentage=40, sequence=2),
        DeliveryReceived(http_status=400),
        DeliveryReceived(http_status=429),
    ]


@pytest.mark.anyio
async def test_drift_of_deliveries_is_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each difference is one event and one line of the log, however many deliveries have it."""
    hooks, events = Webhooks(), list[Event]()
    async with hooks.listening(events.append), hook_servers.aiohttp_server(hooks) as port:
        for sequence in range(3):
            await ask(port, b'{"video_id": "a1", "surprise": true, "sequence": %d}' % sequence)
    drifted = [each.note for each in events if isinstance(each, DriftDetected)]
    assert "surprise" in {note.path for note in drifted}
    assert len(drifted) == len(set(drifted)) == len(hooks.drift)
    assert caplog.text.count("surprise") == 1


@pytest.mark.anyio
async def test_a_listener_hears_nothing_after_its_block() -> None:
    """Leaving the block ends it, and a failing listener does not keep others from hearing."""
    hooks, heard = Webhooks(), list[Event]()

    def fail(event: Event) -> None:
        raise LookupError("mine")

    async with hook_servers.aiohttp_server(hooks) as port, hooks:
        async with hooks.listening(fail), hooks.listening(heard.append):
            await ask(port)
        taken = len(heard)
        await ask(port)
    assert taken == len(heard) > 0


@pytest.mark.parametrize("rate", [0, -1, math.nan, "5", True])
def test_an_invalid_rate_is_refused(rate: Any) -> None:
    """The message has the bounds."""
    with pytest.raises(InvalidSettings, match=r"from 0\.1 to 100000"):
        Webhooks(deliveries_per_second=rate)

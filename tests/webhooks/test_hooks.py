"""`Webhooks`: its settings and secrets, and what it does in sessions."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ochy_async import InvalidSettings, OchySession, SideView, Webhooks
from ochy_async.emulator import InProcessTransport
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.protocol.wire import Request, Response
from ochy_async.webhooks.door import Head
from ochy_async.webhooks.tokens import HookTokens
from tests.conftest import CLIP, loop_clock, world
from tests.support import canary
from tests.support.canary import API_KEY, HOOK_TOKEN

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

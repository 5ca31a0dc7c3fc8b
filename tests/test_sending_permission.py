"""The permission to send the last chunk of a start: when it is asked for, and what an attempt does without it."""

# The tests start with a session's own core.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest
from attrs import define, field

from ochy_async import Clip, Limits, OchySession, Retry, SideView, Started
from ochy_async.clips import CHUNK, prepare
from ochy_async.emulator import DisconnectDuring, Emulator, FaultPlan, FaultRule, RetryAfter, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import DeadlinePassed, JournalFull, OchyError
from ochy_async.policy import start_fate
from ochy_async.policy.start_fate import Fate
from ochy_async.protocol.routes import START
from ochy_async.starting import StartTransaction
from tests.conftest import CLIP, Recorded, direct_session, real_session, world
from tests.support.listener import ACCEPTED, Listener, answer, listening

SIZES = {
    "one small chunk": 300,
    "exactly one chunk": CHUNK,
    "exactly two chunks": 2 * CHUNK,
    "several chunks": 3 * CHUNK + 1000,
}


async def nothing() -> None:
    pass


@define
class Permission:
    """A permission that records when it is taken and withdrawn."""

    on_take: Callable[[], Awaitable[None]] = nothing
    on_withdraw: Callable[[], Awaitable[None]] = nothing
    calls: list[str] = field(factory=list, init=False)

    async def take(self) -> None:
        self.calls.append("take")
        await self.on_take()

    async def withdraw(self) -> None:
        self.calls.append("withdraw")
        await self.on_withdraw()


async def disk_is_full() -> None:
    raise JournalFull("The disk is full.")


async def transaction(ochy: OchySession, permission: Permission, content: bytes = CLIP) -> StartTransaction[Any, Any]:
    clip = await prepare(content, "runner.mp4")
    return StartTransaction(ochy._core, clip, SideView(), "runner.mp4", permission=permission)


# --- what is on the wire --------------------------------------------------------------------------


@pytest.fixture
async def listener() -> AsyncGenerator[Listener]:
    """A listener on a free port."""
    async with listening() as listener:
        yield listener


@asynccontextmanager
async def session_with(listener: Listener, **settings: Any) -> AsyncGenerator[OchySession]:
    given: dict[str, Any] = {"retry": Retry(first_delay=0.01), "limits": Limits(stall=20, call=40), **settings}
    async with OchySession(base_url=listener.url, **given) as ochy:
        yield ochy


@pytest.mark.anyio
@pytest.mark.parametrize("borrowed", [False, True], ids=["own connections", "borrowed connections"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_the_last_chunk_waits_for_the_permission(listener: Listener, size: int, borrowed: bool) -> None:
    """Before it neither the last chunk nor the end of the form is on the wire, however long the permission takes."""
    content, seen = CLIP[:1] * size, list[bytes]()
    last = (size - 1) % CHUNK + 1

    async def on_take() -> None:
        for _ in range(50):  # whatever was handed over arrives meanwhile
            await anyio.sleep(0.002)
        seen.append(bytes(listener.bodies[-1]) if listener.bodies else b"")

    async with aiohttp.ClientSession() as http, session_with(listener, http=http if borrowed else None) as ochy:
        started = await (await transaction(ochy, Permission(on_take), content)).run()
    assert started.analysis_id == "a1"
    (at_take,), (body,) = seen, listener.bodies
    assert len(at_take) <= listener.declared - last - len(b"\r\n--x--\r\n")
    assert body.startswith(at_take)
    assert content in body


@pytest.mark.anyio
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_a_start_without_permission_is_cut_short(listener: Listener, size: int) -> None:
    """The connection ends before the body is complete; the error is the permission's, and the start did not happen."""
    permission = Permission(disk_is_full)
    async with session_with(listener) as ochy:
        start = await transaction(ochy, permission, CLIP[:1] * size)
        with pytest.raises(JournalFull, match="The disk is full"):
            await start.run()
        with anyio.fail_after(60):
            await listener.ended.wait()
    assert (start.fate, listener.complete, permission.calls) == (Fate.NOT_HAPPENED, 0, ["take"])
    assert len(listener.bodies[0]) < listener.declared


@pytest.mark.anyio
async def test_an_answer_that_comes_before_the_permission_is_not_followed_by_the_last_chunk(listener: Listener) -> None:
    """A 503 ends the attempt while it waits: the permission is withdrawn, and only the second attempt is complete."""
    listener.early.append(answer(503, b"{}"))

    async def on_take() -> None:
        if len(permission.calls) == 1:
            listener.answer_early.set()
            await anyio.sleep_forever()

    permission = Permission(on_take)
    async with session_with(listener) as ochy:
        started = await (await transaction(ochy, permission)).run()
    assert started.analysis_id == "a1"
    assert permission.calls == ["take", "withdraw", "take"]
    assert (listener.complete, len(listener.bodies)) == (1, 2)


@pytest.mark.anyio
async def test_a_start_that_is_accepted_before_the_permission_is_paid_for(listener: Listener) -> None:
    """A 202 ends the upload while it waits: its id counts, and nothing is sent again."""
    listener.early.append(answer(202, ACCEPTED))

    async def on_take() -> None:
        listener.answer_early.set()
        await anyio.sleep_forever()

    permission = Permission(on_take)
    async with session_with(listener) as ochy:
        start = await transaction(ochy, permission)
        started: Started[Any, Any] = await start.run()
    assert (started.analysis_id, start.fate) == ("a1", Fate.ACCEPTED)
    assert (permission.calls, listener.complete) == (["take"], 0)


@pytest.mark.anyio
@pytest.mark.parametrize("faults", ["own connections", "in this process"])
async def test_a_permission_that_takes_too_long_costs_nothing(faults: str) -> None:
    """The time of the start ends while the permission is awaited: the error says that no credit was spent."""
    async with Emulator(world()) as emulator:
        ochy = real_session(emulator) if faults == "own connections" else direct_session(emulator.service)
        async with ochy:
            start = await transaction(ochy, Permission(anyio.sleep_forever))
            start.core = start.core.within(0.2)
            with pytest.raises(DeadlinePassed, match="no credit was spent"):
                await start.run()
        assert (emulator.service.ledger, start.fate) == ((), Fate.NOT_HAPPENED)


async def slow_disk(seconds: float) -> None:
    """A change that is stored, and cannot be cancelled meanwhile."""
    with anyio.CancelScope(shield=True):
        await anyio.sleep(seconds)


def test_a_start_whose_time_ends_while_its_permission_is_stored_is_not_sent() -> None:
    """Storing it cannot be cancelled; then the last chunk does not leave any more."""
    service, permission = Service(world()), Permission(lambda: slow_disk(10))

    async def story() -> Fate:
        async with direct_session(service) as ochy:
            start = await transaction(ochy, permission)
            start.core = start.core.within(5)
            with pytest.raises(DeadlinePassed, match="no credit was spent"):
                await start.run()
            return start.fate

    assert in_virtual_time(story()) is Fate.NOT_HAPPENED
    assert (permission.calls, service.ledger) == (["take"], ())


@pytest.mark.anyio
async def test_an_upload_that_stalls_while_its_permission_is_stored_is_sent_again(listener: Listener) -> None:
    """The disk takes longer than an upload may stall: only the second attempt sends its last chunk."""

    async def on_take() -> None:
        if len(permission.calls) == 1:
            await slow_disk(1.3)

    permission = Permission(on_take)
    async with session_with(listener, limits=Limits(stall=1, call=40)) as ochy:
        started = await (await transaction(ochy, permission)).run()
    assert started.analysis_id == "a1"
    assert permission.calls == ["take", "withdraw", "take"]
    assert (listener.complete, len(listener.bodies)) == (1, 2)


@pytest.mark.parametrize(("free", "fate"), [(True, Fate.NOT_HAPPENED), (False, Fate.UNCERTAIN)])
def test_what_an_interrupted_upload_means_depends_on_one_switch(
    free: bool, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start is cancelled in the middle of its clip: it did not happen, unless the assumption is switched off."""
    monkeypatch.setattr(start_fate, "CUT_SHORT_IS_FREE", free)

    async def chunks() -> AsyncGenerator[bytes]:
        yield CLIP
        await anyio.sleep_forever()

    async def story() -> Fate:
        async with direct_session() as ochy:
            clip = Clip.stream(chunks, name="runner.mp4", size=2 * len(CLIP))
            start = StartTransaction(ochy._core, clip, SideView(), "runner.mp4")
            with anyio.move_on_after(10):
                await start.run()
            return start.fate

    assert in_virtual_time(story()) is fate


# --- several attempts -----------------------------------------------------------------------------


def started_with(permission: Permission, rule: FaultRule) -> tuple[Service, Recorded, OchyError | None]:
    """Starts over a transport in this process. Returns the service, the requests, and the error."""
    service, faults = Service(world()), Recorded(FaultPlan([rule]))

    async def story() -> OchyError | None:
        async with direct_session(service, faults) as ochy:
            try:
                await (await transaction(ochy, permission)).run()
            except OchyError as error:
                return error
        return None

    return service, faults, in_virtual_time(story())


def test_each_attempt_has_a_permission_of_its_own() -> None:
    """Two attempts are refused because of the rate: each permission is withdrawn before the next attempt."""
    permission = Permission()
    service, _, error = started_with(permission, FaultRule(str(START), RetryAfter("1"), times=2))
    assert (error, len(service.ledger)) == (None, 1)
    assert permission.calls == ["take", "withdraw", "take", "withdraw", "take"]


def test_a_clip_that_ends_with_empty_pieces_has_one_last_chunk() -> None:
    """A stream may yield nothing for a while, also at its end: the permission is asked for once, before its bytes."""
    permission, service, sent = Permission(), Service(world()), list[tuple[bytes, int]]()

    async def pieces() -> AsyncGenerator[bytes]:
        for piece in (b"", CLIP[:50], b"", CLIP[50:], b"", b""):
            yield piece

    async def story() -> None:
        async with direct_session(service) as ochy:
            clip = Clip.stream(pieces, name="runner.mp4", size=len(CLIP))
            start = StartTransaction(ochy._core, clip, SideView(), "runner.mp4", permission=permission)
            async for chunk in start._chunks():
                sent.append((chunk, len(permission.calls)))
            permission.calls.clear()
            await start.run()

    in_virtual_time(story())
    assert sent == [(CLIP[:50], 0), (CLIP[50:], 1)]
    assert (permission.calls, len(service.ledger)) == (["take"], 1)


def test_an_attempt_that_is_cut_short_takes_no_permission() -> None:
    """The connection breaks in the middle of the clip: nothing had to be permitted."""
    permission = Permission()
    service, _, error = started_with(permission, FaultRule(str(START), DisconnectDuring(0)))
    assert (error, len(service.ledger)) == (None, 1)
    assert permission.calls == ["withdraw", "take"]


def test_without_a_withdrawal_there_is_no_other_attempt() -> None:
    """What cannot be recorded as not happened is not sent again."""
    permission = Permission(on_withdraw=disk_is_full)
    service, faults, error = started_with(permission, FaultRule(str(START), RetryAfter("1")))
    assert isinstance(error, JournalFull)
    assert (faults.routes.count(str(START)), len(service.ledger)) == (1, 0)

"""docs/how-to/services.md: its code runs; sessions of tenants share connections, are bounded, and stay while in use."""

# The number of the server's connections is not public.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from ochy_async import Limits, OchySession, SideView
from ochy_async.emulator import Delay, Emulator, EmulatorSettings, FaultPlan, FaultRule
from ochy_async.errors import InvalidSettings
from tests.conftest import CLIP
from tests.support.canary import API_KEY

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[1] / "docs/how-to/services.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
TENANTS = {f"clinic-{number}": f"{API_KEY}{number}" for number in range(6)}


def names_of(word: str) -> dict[str, Any]:
    """What the one block of the page defines that contains a word."""
    (block,) = [block for block in BLOCKS if word in block]
    names: dict[str, Any] = {"__name__": "services"}
    exec(compile(block, "docs/how-to/services.md", "exec"), names)  # noqa: S102 - the example is meant to run
    return names


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Emulator]:
    """A server that accepts the keys of all tenants."""
    settings = EmulatorSettings(api_keys=frozenset({API_KEY, *TENANTS.values()}))
    async with Emulator(settings, speed=50) as running:
        monkeypatch.setenv("OCHY_BASE_URL", running.url)
        yield running


async def test_a_session_is_open_while_the_program_runs(emulator: Emulator) -> None:
    """The first example: a health check works inside the lifespan, and not after it."""
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    names = names_of("async def lifespan")
    async with names["lifespan"](names["app"]):
        assert (await names["ready"]())["seconds"] > 0
    with pytest.raises(InvalidSettings):
        await names["ready"]()


async def test_each_tenant_gets_its_results(emulator: Emulator) -> None:
    """The last example, with a start and a wait for each tenant."""
    names = names_of("class Tenants")
    jobs: dict[str, str] = {}
    for tenant, key in TENANTS.items():
        async with OchySession(key) as ochy:
            jobs[tenant] = (await ochy.start(CLIP, SideView())).to_json()
    scores = await names["main"](TENANTS, jobs)
    assert scores.keys() == TENANTS.keys()
    assert len(emulator.service.ledger) == len(TENANTS)


async def test_calls_of_a_tenant_share_one_session_and_all_tenants_the_connections(emulator: Emulator) -> None:
    """Calls that begin at once get one session; requests one after another use one connection."""
    async with aiohttp.ClientSession() as http:
        tenants, seen = names_of("class Tenants")["Tenants"](http), set[int]()

        async def call(tenant: str) -> None:
            async with tenants.session(tenant, TENANTS[tenant]) as ochy:
                seen.add(id(ochy))
                await ochy.ping()

        for tenant in TENANTS:
            await call(tenant)
        runner: Any = emulator._runner
        assert len(runner.server.connections) == 1
        seen.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(call, "clinic-0")
        assert len(seen) == 1
        await tenants.aclose()
        assert not http.closed


async def test_unused_sessions_beyond_the_bound_are_closed_and_used_ones_stay() -> None:
    """The longest unused ones first. A session with a call in flight stays open until that call has ended."""
    settings = EmulatorSettings(api_keys=frozenset(TENANTS.values()))
    faults = FaultPlan([FaultRule("GET /subjects", Delay(0.3))])
    async with Emulator(settings, faults, speed=1) as emulator, aiohttp.ClientSession() as http:
        tenants = names_of("class Tenants")["Tenants"](http, 2, base_url=emulator.url, limits=Limits(stall=5))
        found: dict[str, OchySession] = {}

        async def slow() -> None:
            async with tenants.session("clinic-0", TENANTS["clinic-0"]) as ochy:
                found["clinic-0"] = ochy
                assert len(await ochy.list_subjects()) == 0

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow)
            await anyio.sleep(0.05)
            for tenant in list(TENANTS)[1:]:
                async with tenants.session(tenant, TENANTS[tenant]) as ochy:
                    found[tenant] = ochy
                    await ochy.ping()
            assert ["open" in repr(each) for each in found.values()] == [True, False, False, False, False, True]
        await tenants.aclose()
        assert not any("open" in repr(each) for each in found.values())


async def test_a_rotated_key_gets_a_new_session_and_no_log_names_a_key(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The old session leaves when the bound is reached."""
    caplog.set_level(logging.DEBUG)
    async with aiohttp.ClientSession() as http, AsyncExitStack() as stack:
        tenants = names_of("class Tenants")["Tenants"](http, 1)
        stack.push_async_callback(tenants.aclose)
        async with tenants.session("clinic-0", TENANTS["clinic-0"]) as old:
            await old.ping()
        async with tenants.session("clinic-0", TENANTS["clinic-1"]) as new:
            await new.ping()
        assert old is not new
        assert "closed" in repr(old)
        assert API_KEY not in caplog.text + repr(tenants._sessions) + repr(tenants._in_use)


def test_the_page_names_calls_that_exist() -> None:
    """Each `ochy.…` is a method of the session."""
    calls = re.findall(r"`(?:await )?ochy\.(\w+)", PAGE)
    assert calls
    assert all(hasattr(OchySession, name) for name in calls)

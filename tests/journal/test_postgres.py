"""What is special about the journal in Postgres: secrets, migrations, servers that it refuses, and lost connections."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager, suppress
from hashlib import md5
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochy_async.errors import (
    InvalidSettings,
    JournalBusy,
    JournalConflict,
    JournalDamaged,
    JournalError,
    JournalUnusable,
    LimitReached,
)
from ochy_async.journal.contract import LEASE, Ceilings, Entry, Journal
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.journal.postgres import schema
from ochy_async.journal.postgres.connections import AT_ONCE, ConnectionLimits
from ochy_async.journal.postgres.errors import journal_error
from ochy_async.journal.postgres.journal import PostgresJournal
from ochy_async.policy.clip_states import FINISHED, TRANSITIONS, UNRESOLVED, State
from tests.journal.test_journal import everything, new, result_of, step, stored_in_state
from tests.support import canary
from tests.support.accelerated_time import ACCELERATION, run_accelerated
from tests.support.canary import DSN_PASSWORD
from tests.support.postgres_journals import PostgresPlace
from tests.support.servers import PostgresServer, Server, running
from tests.support.silencing_proxy import SilencingProxy, silencing_proxy
from tests.support.worker_process import AcceleratedJournal

pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is missing")
pytestmark = pytest.mark.anyio

PASSWORD = DSN_PASSWORD.replace("/", "%2F")
QUICK = ConnectionLimits(connect=2, reply=0.5, reconnect=0.2)


@pytest.fixture
def place(postgres_server: Server) -> PostgresPlace:
    """A new schema."""
    return PostgresPlace(postgres_server)


@pytest.fixture(scope="module")
def own_server() -> Generator[Server]:
    """A server of these tests alone, which they may kill. Each leaves it running."""
    with running(PostgresServer) as server:
        yield server


@asynccontextmanager
async def behind_proxy(place: PostgresPlace) -> AsyncGenerator[tuple[PostgresJournal, SilencingProxy]]:
    """An open journal whose connections go through a proxy."""
    async with silencing_proxy(place.server.port) as proxy:
        address = place.server.url.replace(f":{place.server.port}/", f":{proxy.port}/")
        async with PostgresJournal(address, schema=place.schema) as journal:
            yield journal, proxy


def limit_quickly(journal: PostgresJournal) -> None:
    """Gives an open journal short deadlines. Opening has the usual ones, because making the tables takes a while."""
    journal._connections._limits = QUICK  # type: ignore[union-attr] # it is open


# --- the address is a secret ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *(f"mysql://u:{PASSWORD}@host", f"u:{PASSWORD}@host", "", " ", None, f"postgresql://u:{DSN_PASSWORD}@host"),
        *(
            f"postgresql://u:x@{PASSWORD}@host",
            f"postgresql://u:{PASSWORD}#x@host",
            f"postgresql://u:{PASSWORD}@h:port",
        ),
        *(f"postgresql://u:{PASSWORD}@h\n", f"postgresql://u:{PASSWORD} @h", f"postgresql://u:{PASSWORD}@[::1"),
    ],
    ids=ascii,
)
def test_an_unusable_address_is_refused_and_not_quoted(address: str | None) -> None:
    """Not even the part that is wrong is quoted: with a character that is not encoded it may be half the password."""
    with pytest.raises(InvalidSettings, match="address of the PostgresJournal") as refused:
        PostgresJournal(address)
    assert canary.leaks_in_error(refused.value) == []


@pytest.mark.parametrize("setting", [{"schema": "Ochy"}, {"schema": "a;b"}, {"uploads": 0}, {"polls_per_second": -1}])
def test_unusable_settings_are_refused(setting: dict[str, Any]) -> None:
    """When the journal is made."""
    with pytest.raises(InvalidSettings, match="of the PostgresJournal must be"):
        PostgresJournal("postgresql://h/d", **setting)


def test_the_address_is_shown_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, port and database only; it may come from the environment; the journal cannot be pickled."""
    monkeypatch.setenv("OCHY_JOURNAL", f"postgresql://user:{PASSWORD}@one:1,two:2/clips?sslpassword={PASSWORD}")
    journal = PostgresJournal(polls_per_second=50)
    assert repr(journal) == "<PostgresJournal in one:1,two:2/clips, schema ochy>"
    assert journal.ceilings == Ceilings(polls_per_second=50)
    with pytest.raises(TypeError, match="password"):
        pickle.dumps(journal)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ((":canary", ":x-canary"), JournalUnusable, "refused the user or the password"),
        (("/postgres", "/none"), JournalUnusable, "no such database"),
        (("127.0.0.1", "127.0.0.1:1,127.0.0.1"), None, ""),
    ],
)
async def test_errors_of_connecting_show_no_secret(
    place: PostgresPlace, change: tuple[str, str], kind: type[JournalError] | None, text: str
) -> None:
    """They name the host and say what to do. A second host is used if the first is down."""
    journal = PostgresJournal(place.server.url.replace(*change), schema=place.schema)
    if kind is None:
        async with journal:
            return
    with pytest.raises(kind, match=text) as failed:
        await journal.__aenter__()
    assert "127.0.0.1" in str(failed.value)
    assert '"' not in str(failed.value), "the text of the server quotes names"
    assert canary.leaks_in_error(failed.value) == []


async def test_an_unreachable_server_is_an_error_at_once() -> None:
    """It names the type of the error, and nothing that asyncpg wrote."""
    with pytest.raises(JournalError, match=r"\(127.0.0.1:1/d\) failed: Connection") as failed:
        await PostgresJournal(f"postgresql://u:{PASSWORD}@127.0.0.1:1/d").__aenter__()
    assert canary.leaks_in_error(failed.value) == []


# --- tables and servers -----------------------------------------------------------------------------


async def test_workers_that_open_a_new_journal_at_once_share_it(place: PostgresPlace) -> None:
    """One makes the tables; the others wait for it."""
    async with anyio.create_task_group() as group:
        for key in "abcdefgh":

            async def work(key: str = key) -> None:
                async with place.worker() as journal:
                    await journal.put(new(key))

            group.start_soon(work)
    async with place.worker() as journal:
        assert (await journal.totals()).entries == {State.INTENDED: 8}
    (row,) = await place.query("SELECT count(*) FROM {schema}.claims, {schema}.workers WHERE until > clock_timestamp()")
    assert row[0] == 0


async def test_tables_of_a_newer_version_are_refused(place: PostgresPlace) -> None:
    """And are not changed."""
    async with place.worker():
        pass
    await place.query("UPDATE {schema}.about SET version = version + 1")
    with pytest.raises(JournalUnusable, match="newer version of ochy-async"):
        await place.worker().__aenter__()


async def test_tables_of_an_older_version_are_migrated(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once no worker of that version is alive."""
    async with place.worker() as old:
        await old.put(new())
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE {schema}.more (one int)"))
        with pytest.raises(JournalBusy, match="older version"):
            await place.worker().__aenter__()
    async with place.worker() as journal:
        assert await journal.get("a")
    await place.query("SELECT one FROM {schema}.more")
    monkeypatch.undo()
    with pytest.raises(JournalUnusable, match="newer version"):
        await place.worker().__aenter__()


async def test_a_worker_of_an_older_version_that_was_suspended_is_refused(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer one has changed the tables meanwhile. It neither lives on nor takes anything; paid ids are stored."""
    async with place.worker() as old:
        entry = await stored_in_state(old, State.SENDING)
        await place.later(60)
        with monkeypatch.context() as patch:
            patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE {schema}.more (one int)"))
            async with place.worker():
                pass
        for call in (old.beat(), old.take("b")):
            with pytest.raises(JournalUnusable, match="newer version of ochy-async"):
                await call
        await old.put(evolve(entry, state=State.STARTED, analysis_id="x"))
        assert (await place.query("SELECT count(*) FROM {schema}.workers WHERE until > clock_timestamp()"))[0][0] == 0


async def test_a_clock_that_is_set_back_stops_nothing_for_that_time(place: PostgresPlace) -> None:
    """Neither the next poll nor the end of a dead worker's lease comes an hour later."""
    async with place.worker() as dead, place.worker() as journal:
        await dead.take("a")
        for _ in range(3):
            await journal.reserve("polls", 1, 0.1)
        await place.later(-3600)
        await place.query("UPDATE {schema}.rates SET at = at + interval '1 hour'")
        assert 29 < await journal.reserve("polls", 1, 0.1) <= 30
        assert 39 < await journal.reserve("polls", 1, 0.1) <= 40
        await journal.beat()
        await place.later(LEASE)
        await journal.beat()
        assert await journal.take("a") == "a"


async def test_a_server_that_does_not_sync_is_told(place: PostgresPlace, caplog: pytest.LogCaptureFixture) -> None:
    """The servers of the tests do not, which is faster."""
    async with place.worker():
        pass
    assert [message for message in caplog.messages if "fsync is off" in message]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("DuplicatePreparedStatementError", JournalUnusable, "session mode"),
        ("InvalidSQLStatementNameError", JournalUnusable, "session mode"),
        ("ProtocolViolationError", JournalUnusable, "session mode"),
        ("DataCorruptedError", JournalDamaged, "is damaged"),
        ("InternalServerError", JournalError, "has met an error of its own"),
    ],
)
def test_an_error_of_the_server_says_what_to_do(name: str, kind: type[JournalError], text: str) -> None:
    """A pooler in transaction mode is named, and an internal error is no damage."""
    import asyncpg

    error = journal_error(getattr(asyncpg, name)(f"text with {DSN_PASSWORD}"), "host/db")
    assert type(error) is kind
    assert text in str(error)
    assert canary.leaks_in_error(error) == []


async def test_commits_that_are_not_durable_are_refused(place: PostgresPlace) -> None:
    """Such a server confirms an intent that a crash makes undone."""
    journal = PostgresJournal(f"{place.server.url}?synchronous_commit=off", schema=place.schema)
    with pytest.raises(JournalUnusable, match="synchronous_commit is off"):
        await journal.__aenter__()


async def test_a_user_without_rights_is_told_so(place: PostgresPlace) -> None:
    """With the code of the server, and not with its text."""
    await place.query(f"CREATE ROLE r_{{schema}} LOGIN PASSWORD '{DSN_PASSWORD}'")
    journal = PostgresJournal(place.server.url.replace("//ochy:", f"//r_{place.schema}:"), schema=place.schema)
    with pytest.raises(JournalUnusable, match="does not let this user"):
        await journal.__aenter__()


async def test_a_replica_is_refused_and_its_promotion_is_a_failover(own_server: Server) -> None:
    """A promoted replica may lack the latest changes. Each worker learns that until one has ended the failover."""
    place = PostgresPlace(own_server)
    async with place.worker() as journal:
        await journal.put(new())
        assert not journal.failover
    own_server.kill()
    (own_server.folder / "data" / "standby.signal").touch()
    own_server.start()
    with pytest.raises(JournalUnusable, match="is a replica"):
        await place.worker().__aenter__()
    await place.query("SELECT pg_promote()")
    async with place.worker() as journal, place.worker() as other:
        assert journal.failover
        assert other.failover
        await journal.end_failover()
        assert not journal.failover
        assert other.failover
        await other.beat()
        assert not other.failover
    async with place.worker() as journal:
        assert not journal.failover


async def test_a_connection_to_another_server_is_refused_while_the_journal_is_open(place: PostgresPlace) -> None:
    """A new connection may lead to a promoted replica: what this worker knows need not be there."""
    async with place.worker() as journal:
        journal._connections.identity = "another"  # type: ignore[union-attr] # a server changes slowly
        await place.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        with pytest.raises(JournalUnusable, match="another server"):
            await journal.put(new())


# --- lost connections -------------------------------------------------------------------------------


async def test_a_lost_connection_is_replaced(place: PostgresPlace) -> None:
    """The caller does not notice it."""
    async with place.worker() as journal:
        for _ in range(3):
            entry = await journal.put(new(str(random.random())))
            await place.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            assert await journal.get(entry.key) == entry


async def test_a_change_whose_confirmation_is_lost_is_stored_once(place: PostgresPlace) -> None:
    """Whatever the change: it is sent again, and the server recognizes it."""
    async with behind_proxy(place) as (journal, proxy):
        entry = await journal.put(new("b"))
        proxy.cuts = 1
        entry = await journal.put(evolve(entry, state=State.SENDING, credits=1, token="random"))
        assert proxy.cuts == 0
        assert await journal.get("b") == entry
        assert len(await journal.history("b")) == 2
        assert (await journal.totals()).credits == 1

        await journal.swap_note("n", None, "0")
        proxy.cuts = 1
        assert await journal.swap_note("n", None, "1") is False
        await journal.swap_note("n", "0", "2")
        proxy.cuts = 1
        assert await journal.swap_note("n", "2", "3")
        assert await journal.take("x", "y") == "x"
        proxy.cuts = 1
        assert await journal.take("y", "z") == "y"
        assert await journal.holder("z") is None
        assert proxy.cuts == 0


async def test_a_change_of_another_worker_is_not_taken_for_a_lost_one(place: PostgresPlace) -> None:
    """Equal changes of two workers: one of them is stored, and the other is a conflict, although it is sent twice."""
    async with behind_proxy(place) as (journal, proxy), place.worker() as other:
        entry = await journal.put(new())
        changed = evolve(entry, state=State.OPEN)
        await other.put(changed)
        proxy.cuts = 1
        with pytest.raises(JournalConflict, match="changed by somebody else"):
            await journal.put(changed)


async def test_a_killed_server_is_waited_for(own_server: Server) -> None:
    """A call that is under way meanwhile succeeds, and what was stored is there."""
    place = PostgresPlace(own_server)
    async with place.worker() as journal:
        entry = await journal.put(new())
        await anyio.to_thread.run_sync(own_server.kill)
        async with anyio.create_task_group() as group:
            group.start_soon(journal.put, evolve(entry, state=State.SENDING))
            await anyio.to_thread.run_sync(own_server.start)
        assert [each.state for each in await journal.history("a")] == [State.INTENDED, State.SENDING]


def test_the_journal_of_a_campaign_waits_for_a_crashed_server_too(own_server: Server) -> None:
    """Its deadlines are seconds of the clock of the server, although its event loop is faster."""
    away = 2.0

    async def change_meanwhile() -> list[State]:
        async with AcceleratedJournal(own_server.url, schema=PostgresPlace(own_server).schema) as journal:
            entry = await journal.put(new())
            await anyio.to_thread.run_sync(own_server.kill)
            async with anyio.create_task_group() as group:
                group.start_soon(journal.put, evolve(entry, state=State.SENDING))
                await anyio.sleep(away * ACCELERATION)
                await anyio.to_thread.run_sync(own_server.start)
            return [each.state for each in await journal.history("a")]

    assert run_accelerated(change_meanwhile()) == [State.INTENDED, State.SENDING]


async def test_a_server_that_stays_away_is_an_error(own_server: Server) -> None:
    """Within the bound, without a secret; the journal can still be closed."""
    async with PostgresPlace(own_server).worker() as journal:
        await journal.put(new())
        limit_quickly(journal)
        await anyio.to_thread.run_sync(own_server.kill)
        with pytest.raises(JournalError, match="Check that the server runs") as failed:
            await journal.put(new("b"))
        assert canary.leaks_in_error(failed.value) == []
    own_server.start()


async def test_a_server_that_hangs_is_an_error(own_server: Server) -> None:
    """Other tasks go on meanwhile, and so does a caller that is cancelled while it reads."""
    async with PostgresPlace(own_server).worker() as journal:
        await journal.put(new())
        limit_quickly(journal)
        own_server.hang()
        try:
            with anyio.fail_after(60), pytest.raises(JournalError, match="Check that the server runs"):
                await journal.get("a")
            with anyio.move_on_after(0.05) as scope:
                await journal.get("a")
            assert scope.cancelled_caught
        finally:
            own_server.resume()


async def test_calls_that_wait_for_a_connection_fail_together(own_server: Server) -> None:
    """Of a hundred calls at once, the last does not wait until four at a time have each used up their time."""
    async with PostgresPlace(own_server).worker() as journal:
        limit_quickly(journal)
        own_server.hang()
        try:
            with anyio.fail_after(10):
                assert await outcomes(*(journal.leave(str(key)) for key in range(100))) == ["JournalError"] * 100
        finally:
            own_server.resume()


async def test_connections_that_a_firewall_forgets_are_all_replaced(place: PostgresPlace) -> None:
    """One that is silent is enough: the next try of the same call takes a new one, not another silent one."""
    async with behind_proxy(place) as (journal, proxy):
        await asyncio.gather(*(journal.get(str(key)) for key in range(8)))
        proxy.silent.update(range(len(proxy.heard)))
        before = len(proxy.heard)
        journal._connections._limits = ConnectionLimits(reply=3, reconnect=2.9)  # type: ignore[union-attr] # it is open
        assert await journal.get("a") is None
        assert len(proxy.heard) == before + 1


async def test_nothing_is_left_when_the_block_ends(place: PostgresPlace) -> None:
    """No task, and no connection on the server."""
    before = asyncio.all_tasks()
    async with place.worker() as journal, anyio.create_task_group() as group:
        for key in range(20):
            group.start_soon(journal.put, new(str(key)))
        await journal.take("a")
        await journal.changed("a", 0.01)
        group.cancel_scope.cancel()
    assert asyncio.all_tasks() == before
    with anyio.fail_after(60):  # the server learns of an end a little later
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ochy-async'"
        while (await place.query(count))[0][0]:  # noqa: ASYNC110 - another process changes it
            await anyio.sleep(0.01)


# --- several workers --------------------------------------------------------------------------------


async def outcomes(*changes: Awaitable[object]) -> list[str]:
    """What concurrent changes end with: a type of error, or "stored"."""
    results = await asyncio.gather(*changes, return_exceptions=True)
    return sorted(type(each).__name__ if isinstance(each, Exception) else "stored" for each in results)


async def test_concurrent_changes_of_workers_keep_every_rule(place: PostgresPlace) -> None:
    """One entry, one tagging subject, one analysis, one limit: of many at once, exactly as many succeed as may."""
    async with place.worker() as one, place.worker() as other:
        both = [one, other] * 4
        assert await outcomes(*(each.put(new("same")) for each in both)) == ["JournalConflict"] * 7 + ["stored"]

        await one.add_tagging_subject("tag")
        tagged = [each.put(new(f"tag-{key}", subject_id="tag", credits=1)) for key, each in enumerate(both)]
        assert await outcomes(*tagged) == ["JournalConflict"] * 7 + ["stored"]

        sent = [await stored_in_state(one, State.UNCERTAIN, f"id-{key}") for key in range(8)]
        started = [evolve(entry, state=State.STARTED, analysis_id="x") for entry in sent]
        assert await outcomes(*(each.put(entry) for each, entry in zip(both, started, strict=True))) == [
            *["JournalConflict"] * 7,
            "stored",
        ]
        added = [each.add_analysis("same", "late", "") for each in both]
        assert await outcomes(*added) == ["stored"] * 8
        assert (await one.totals()).credits == 2  # that of the subject and the late one

        limited = [each.put(new(f"limit-{key}", credits=1), most=5) for key, each in enumerate(both)]
        assert await outcomes(*limited) == [LimitReached.__name__] * 5 + ["stored"] * 3
        assert (await one.totals()).committed == 5


@pytest.mark.parametrize("same", ["key", "subject", "analysis", "limit"])
async def test_changes_that_meet_on_the_server_keep_every_rule(place: PostgresPlace, same: str) -> None:
    """Each has made its checks before it sees the other: the second waits for the first, and is refused."""
    facts = {"subject": {"subject_id": "tag"}, "analysis": {"analysis_id": "x"}}.get(same, {})
    found: list[str] = []
    async with place.worker() as one, place.worker() as other, anyio.create_task_group() as group:
        await one.add_tagging_subject("tag")
        await one.take("a")
        await other.take("b")

        async def change(journal: Journal, key: str) -> None:
            found.extend(await outcomes(journal.put(new(key, credits=1, **facts), most=1 if same == "limit" else None)))

        async with place.meeting(2):
            group.start_soon(change, one, "a")
            group.start_soon(change, other, "a" if same == "key" else "b")
    assert sorted(found) == ["LimitReached" if same == "limit" else "JournalConflict", "stored"]


async def test_workers_that_store_the_same_entries_in_any_order_do_not_block_each_other(place: PostgresPlace) -> None:
    """No deadlock ends one of them with an error that is no conflict."""
    async with place.worker() as one, place.worker() as other:
        entries = [await one.put(new(str(key), credits=1)) for key in range(20)]
        opened = [evolve(entry, state=State.OPEN, credits=0) for entry in entries]
        changes: list[Awaitable[object]] = [one.put_all(opened), other.put_all(opened[::-1])]
        assert (await outcomes(*changes))[-1] == "stored"
        assert (await one.totals()).credits == 0


async def test_of_many_workers_each_takes_another_name(place: PostgresPlace) -> None:
    """However many of them ask at once."""
    async with place.worker() as one, place.worker() as other, place.worker() as third:
        for _ in range(10):
            workers = (one, other, third)
            taken = await asyncio.gather(*(each.take("a", "b") for each in workers))
            assert sorted(map(str, taken)) == ["None", "a", "b"]
            for worker, name in zip(workers, taken, strict=True):
                await worker.leave(name or "a")


async def test_a_claim_that_is_taken_while_another_worker_opens_is_kept(place: PostgresPlace) -> None:
    """Opening forgets the claims of dead workers, and waits for one that a live worker is taking over."""
    dead, journal = place.worker(), place.worker()
    async with dead, place.worker():
        await dead.take("a")
        await place.query(
            "UPDATE {schema}.workers SET until = '-infinity' WHERE name = (SELECT worker FROM {schema}.claims)"
        )
        (live,) = await place.query("SELECT name FROM {schema}.workers WHERE until > clock_timestamp()")
        async with place.interrupted("SELECT {schema}.take($1, ARRAY['a'], false)", live["name"]):
            opening = asyncio.create_task(journal.__aenter__())
        await opening
        holder = await journal.holder("a")
        await journal.__aexit__(None, None, None)
    assert holder is not None
    assert live["name"][:8] in holder


async def test_a_notification_is_sent_only_where_somebody_waits(place: PostgresPlace) -> None:
    """It wakes the waiting worker long before its time is over."""
    heard: list[str] = []
    async with place.worker() as one, place.worker() as other, place.listening(heard):
        await one.take("b")
        await one.leave("b")
        await one.take("a")
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(other.changed, "a", 3600)
                await wait_all_tasks_blocked()
                awaited = "SELECT awaited FROM {schema}.claims"
                while not (await place.query(awaited))[0][0]:  # noqa: ASYNC110 - another process changes it
                    await anyio.sleep(0.005)
                await one.leave("a")
        with anyio.fail_after(60):
            while not heard:  # noqa: ASYNC110 - another process sends it
                await anyio.sleep(0.005)
        assert heard == [md5(b"a", usedforsecurity=False).hexdigest()]


async def test_a_claim_whose_confirmation_was_lost_is_found_again(place: PostgresPlace) -> None:
    """Although an earlier name of the same call has become free meanwhile."""
    async with place.worker() as journal:
        await journal.take("b")
        (row,) = await place.query("SELECT worker FROM {schema}.claims")
        take = "SELECT {schema}.take($1, ARRAY['a', 'b'], $2)"
        assert (await place.query(take, row[0], True))[0][0] == "b"
        assert (await place.query(take, row[0], False))[0][0] == "a"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(min_value=0, max_value=2**32))
async def test_it_behaves_like_the_journal_in_memory(postgres_server: Server, seed: int) -> None:
    """Random calls to both: the same results and errors, and the same content after opening again."""
    chance, memory = random.Random(seed), MemoryJournal(MemoryStore())
    journal: Journal = PostgresPlace(postgres_server).worker()
    for _ in range(2):
        async with memory, journal:
            for _ in range(chance.randrange(30)):
                work = step(chance)
                assert await result_of(journal, work) == await result_of(memory, work)
            assert await everything(journal) == await everything(memory)


async def test_a_paid_id_is_kept_whole(place: PostgresPlace) -> None:
    """An entry goes through its life and is read by another worker."""
    async with place.worker() as one, place.worker() as other:
        entry: Entry = await stored_in_state(one, State.ANALYZED, analysis_id="x", credits=1)
        assert await other.get("a") == entry
        assert await other.known(["x", "y"]) == {"x"}


# --- growth -------------------------------------------------------------------------------------------


async def rows_read(place: PostgresPlace, statement: str, *arguments: object) -> float:
    """The rows that the server reads for a statement, also those that it then leaves out."""
    await place.query("ALTER ROLE ochy SET enable_seqscan = off")  # as it would decide for large tables
    try:
        found = await place.query(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
    finally:
        await place.query("ALTER ROLE ochy RESET enable_seqscan")
    return sum(map(rows_of_plan, json.loads(found[0][0])))


def rows_of_plan(plan: Any) -> float:
    """The rows of all nodes of a plan."""
    if isinstance(plan, list):
        return sum(map(rows_of_plan, plan))
    if not isinstance(plan, dict):
        return 0
    own: float = plan.get("Actual Rows", 0) + plan.get("Rows Removed by Filter", 0)
    return own * int(plan.get("Actual Loops", 1)) + sum(map(rows_of_plan, plan.values()))


async def test_what_a_run_reads_first_does_not_grow_with_what_is_finished(place: PostgresPlace) -> None:
    """The totals and the unresolved starts are read without a finished clip, once their old versions are vacuumed."""
    unfinished = [state.value for state in State if state not in FINISHED]
    read = list[list[float]]()
    async with place.worker() as journal:
        await stored_in_state(journal, State.UNCERTAIN, "uncertain", credits=1)
        for first, last in ((0, 20), (20, 400)):
            entries = [new(str(number), credits=1, analysis_id=f"id-{number}") for number in range(first, last)]
            for version, state in enumerate((State.INTENDED, State.STARTED, State.ANALYZED)):
                await journal.put_all([evolve(entry, state=state, version=version) for entry in entries])
            assert (await journal.totals()).entries == {State.UNCERTAIN: 1, State.ANALYZED: last}
            await place.query("VACUUM (ANALYZE) {schema}.entries")
            read.append(
                [
                    await rows_read(place, schema.TOTALS, unfinished),
                    await rows_read(place, schema.PAGE, 0, 500, [state.value for state in UNRESOLVED]),
                ]
            )
    few, many = read
    assert max(after - before for before, after in zip(few, many, strict=True)) <= AT_ONCE * 2


async def test_the_totals_follow_every_change_of_many_workers(place: PostgresPlace) -> None:
    """What is counted is what there is, also after conflicts, refusals, releases and late analyses."""
    async with place.worker() as one, place.worker() as other:

        async def change(journal: Journal, number: int) -> None:
            chosen = random.Random(number)
            key = str(number % 20)
            entry = await journal.get(key) or new(key, credits=1)
            state = chosen.choice(sorted(TRANSITIONS[entry.state if entry.version else None]))
            analysis_id = f"id-{chosen.randrange(40)}" if state is State.STARTED else entry.analysis_id
            with suppress(JournalConflict):
                await journal.put(evolve(entry, state=state, analysis_id=analysis_id))
            if not chosen.randrange(5):
                with suppress(JournalConflict, IndexError):
                    await journal.add_analysis(key, f"late-{chosen.randrange(20)}", "late")

        for round_ in range(20):
            await asyncio.gather(*(change((one, other)[step % 2], round_ * 10 + step) for step in range(10)))
        totals = await one.totals()
        entries = [entry async for entry in one.entries()]
        assert totals.entries == Counter(entry.state for entry in entries)
        assert len(totals.entries) > 2
        assert totals.credits == sum(entry.credits for entry in entries)
        assert totals.analyses == (await place.query("SELECT count(*) FROM {schema}.analyses"))[0][0] > 5

"""`ochy enqueue` and `ochy worker`: clips go through PgQueuer, in the database of the journal."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from ochy_async import SideView
from ochy_async.emulator import Emulator, Respond
from ochy_async.engines import Job, JobFeeder
from ochy_async.errors import JournalError
from ochy_async.journal.memory import MemoryJournal
from tests.conftest import CLIP, real_session, world
from tests.support.canary import DSN_PASSWORD, leaks, leaks_in_error
from tests.support.cli_harness import FAST_POLLING, START, CliHarness, cli_process, json_lines, run_cli, wait_until
from tests.support.object_servers import ObjectServer
from tests.support.postgres_journals import database, query
from tests.support.servers import PostgresServer, running
from tests.support.silencing_proxy import silencing_proxy

pytest.importorskip("pgqueuer", reason="needs the extra queue: pgqueuer is not installed")

from ochy_async.engines import pgqueuer
from ochy_async.engines.pgqueuer import ENTRYPOINT, JobQueue, QueueWorker

SIDE = ("--view", "side")


def drain(harness: CliHarness, address: str, *words: str, code: int = 0) -> list[tuple[str, str]]:
    """Drains the queue, and returns the clips with their outcomes."""
    result = harness.ochy("worker", "--drain", "--json", *FAST_POLLING, *words, OCHY_JOURNAL=address)
    assert result.exit_code == code, result.output
    return sorted((each["clip"], each["outcome"]) for each in json_lines(result))


def queued(address: str) -> list[str]:
    """The states of the jobs in the queue."""
    rows = anyio.run(query, address, "SELECT status::text FROM ochy_queue.pgqueuer ORDER BY id")
    return [row[0] for row in rows]


def test_clips_go_through_the_queue_and_are_bought_once(harness: CliHarness, address: str) -> None:
    """A clip that is in the queue is not put there again; one that was analyzed is, and costs nothing."""
    clips = harness.clips("a.mp4", "b.mp4")
    env = {"OCHY_JOURNAL": address}
    assert "2 clips put into the queue." in harness.ochy("enqueue", *clips, *SIDE, **env).stderr
    again = harness.ochy("enqueue", str(harness.folder), *SIDE, "--journal", address)
    assert "0 clips put into the queue.\n2 clips were there already." in again.stderr
    assert drain(harness, address) == [(clip, "analyzed") for clip in clips]
    assert (harness.starts, queued(address)) == (2, [])
    harness.ochy("enqueue", *clips, *SIDE, **env)
    assert drain(harness, address) == [(clip, "analyzed") for clip in clips]
    saved = harness.analyze(*clips, *SIDE, "--out", str(harness.folder / "out"), "--journal", address)
    assert (saved.exit_code, harness.starts) == (0, 2)


def test_what_cannot_be_bought_goes_back_to_the_queue(harness: CliHarness, address: str) -> None:
    """A worker that reaches the limit ends and says why; one with a higher limit goes on."""
    clips = harness.clips("a.mp4", "b.mp4", "c.mp4")
    harness.ochy("enqueue", *clips, *SIDE, OCHY_JOURNAL=address)
    words = ("worker", "--max-credits", "1", "--in-flight", "2", *FAST_POLLING)
    limited = harness.ochy(*words, "--journal", address)
    assert limited.exit_code == 1
    assert "Nothing more can be bought: The limit of 1 credit is reached." in limited.stderr
    assert (harness.starts, queued(address)) == (1, ["queued", "queued"])
    shared = ("--polls-per-second", "100", "--shared-uploads", "2")
    assert len(drain(harness, address, "--max-credits", "3", *shared)) == 2
    assert anyio.run(query, address, "SELECT count(*) FROM ochy.rates")[0][0] == 1
    assert harness.starts == 3


def test_a_refused_key_ends_the_worker(harness: CliHarness, address: str) -> None:
    """The clip goes back to the queue, for a worker with the right key."""
    harness.ochy("enqueue", *harness.clips("a.mp4"), *SIDE, OCHY_JOURNAL=address)
    harness.faults(START, Respond(403))
    drain(harness, address, code=3)
    assert queued(address) == ["queued"]


def test_a_job_that_nobody_can_carry_out_is_parked(harness: CliHarness, address: str) -> None:
    """Another program has put it there. It does not end the worker, and no other job waits for it."""
    (clip,) = harness.clips("a.mp4")
    anyio.run(JobQueue(address).add, [Job("relative.mp4", SideView()), Job(clip, SideView())])
    assert drain(harness, address) == [(clip, "analyzed")]
    assert queued(address) == ["failed"]


def test_a_store_that_cannot_be_used_here_ends_the_worker(harness: CliHarness, address: str) -> None:
    """The job goes back to the queue, for a worker on a machine with the right settings."""
    pytest.importorskip("obstore", reason="needs the extra objects: obstore is not installed")
    anyio.run(JobQueue(address).add, [Job("az://container/a.mp4", SideView())])
    environment = {"OCHY_JOURNAL": address, "AZURE_STORAGE_ACCOUNT_NAME": None}
    ended = harness.ochy("worker", "--drain", *FAST_POLLING, **environment)
    assert ended.exit_code == 1
    assert "az:// needs the name of the account" in " ".join(ended.stderr.split())
    assert queued(address) == ["queued"]


def test_a_job_that_many_workers_have_handed_over_is_not_parked(
    harness: CliHarness, address: str, output: Path
) -> None:
    """PgQueuer counts each time that a job goes back. Its first failure is the first one all the same."""
    (clip,) = harness.clips("a.mp4")
    harness.ochy("enqueue", clip, *SIDE, OCHY_JOURNAL=address)
    Path(clip).unlink()
    anyio.run(query, address, "UPDATE ochy_queue.pgqueuer SET attempts = 20")
    env = harness.environment(OCHY_JOURNAL=address)
    tried = "SELECT status::text FROM ochy_queue.pgqueuer WHERE attempts > 20 OR status = 'failed'"
    with cli_process("worker", *FAST_POLLING, folder=output, env=env) as worker:
        wait_until(lambda: anyio.run(query, address, tried), 60)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 130
    assert queued(address) == ["queued"]


@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_that_is_stopped_leaves_its_clips_to_others(
    harness: CliHarness, address: str, output: Path, signals: int
) -> None:
    """At once by the second signal. What was paid for is collected by another worker, and not bought again."""
    clips = harness.clips(*(f"{number}.mp4" for number in range(12)))
    harness.ochy("enqueue", *clips, *SIDE, OCHY_JOURNAL=address)
    env = harness.environment(OCHY_JOURNAL=address)
    with cli_process("worker", "--in-flight", "2", *FAST_POLLING, folder=output, env=env) as worker:
        wait_until(lambda: harness.starts, 60)
        worker.send_signal(signal.SIGTERM)
        wait_until(lambda: "Stopping" in (output / "stderr").read_text(), 60)
        if signals == 2:
            worker.send_signal(signal.SIGTERM)
        # The second signal may come when the worker has just ended and Python handles it.
        assert worker.wait(60) in (130, -signal.SIGTERM if signals == 2 else 130)
    assert set(queued(address)) == {"queued"}
    finished = drain(harness, address)
    assert {outcome for _, outcome in finished} <= {"analyzed", "uncertain"}
    assert len({*harness.ids}) == len(harness.ids) <= 12


@contextmanager
def busy_worker(harness: CliHarness, address: str, output: Path) -> Generator[subprocess.Popen[str]]:
    """A worker that has begun with twelve clips."""
    harness.ochy("enqueue", *harness.clips(*(f"{n}.mp4" for n in range(12))), *SIDE, OCHY_JOURNAL=address)
    env = harness.environment(OCHY_JOURNAL=address)
    with cli_process("worker", "--in-flight", "2", *FAST_POLLING, folder=output, env=env) as worker:
        wait_until(lambda: harness.starts, 60)
        yield worker


def test_a_database_that_is_restarted_ends_the_worker_and_the_next_one_goes_on(
    harness: CliHarness, output: Path
) -> None:
    """PgQueuer does not connect again, so a supervisor has to start the worker again. Nothing is bought twice."""
    with running(PostgresServer) as server:
        address = database(server)
        with busy_worker(harness, address, output) as worker:
            server.kill()
            server.start()
            assert worker.wait(60) == 1
        assert "Check that the server runs and can be reached" in " ".join((output / "stderr").read_text().split())
        anyio.run(query, address, "UPDATE ochy_queue.pgqueuer SET heartbeat = heartbeat - interval '1 minute'")
        finished = drain(harness, address)
    assert {outcome for _, outcome in finished} <= {"analyzed", "uncertain"}
    assert len({*harness.ids}) == len(harness.ids) <= 12


def test_a_worker_ends_by_the_second_signal_although_the_database_hangs(harness: CliHarness, output: Path) -> None:
    """Its clips stay in the queue, and come back once its heartbeats are missed."""
    with running(PostgresServer) as server:
        address = database(server)
        with busy_worker(harness, address, output) as worker:
            server.hang()
            worker.send_signal(signal.SIGTERM)
            wait_until(lambda: "Stopping" in (output / "stderr").read_text(), 60)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(120) == 130
        server.resume()
        assert set(queued(address)) <= {"queued", "picked"}


async def ends_of_worker(address: str) -> JournalError:
    """What a worker of the queue at this address ends with, whatever it is about."""
    async with (
        Emulator(world()) as emulator,
        real_session(emulator) as ochy,
        JobFeeder(ochy.batch(journal=MemoryJournal())) as feeder,
    ):
        with anyio.fail_after(60), pytest.raises(JournalError) as ended:
            await QueueWorker(JobQueue(address), feeder).run()
    return ended.value


def test_a_queue_that_does_not_answer_ends_the_worker(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is open, as behind a firewall that has forgotten it, and nothing comes any more."""
    monkeypatch.setattr(pgqueuer, "REPLY", 3.0)

    async def work_behind_proxy() -> str:
        port, ended = int(address.rpartition(":")[2].partition("/")[0]), list[JournalError]()
        async with silencing_proxy(port) as proxy, anyio.create_task_group() as group:

            async def silence() -> None:
                await anyio.sleep(2)  # by then the worker waits for jobs
                proxy.silent.add(0)

            group.start_soon(silence)
            ended.append(await ends_of_worker(address.replace(f":{port}/", f":{proxy.port}/")))
            group.cancel_scope.cancel()
        return str(ended[0])

    assert "Check that the server runs" in anyio.run(work_behind_proxy)


def test_clips_of_a_bucket_go_through_the_queue(
    harness: CliHarness, address: str, object_store: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object is read once. Those that the journal knows are not read again."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    object_store.put("queued")
    urls = [f"s3://queued/clips/{name}.mp4" for name in "abc"]
    for url in urls:
        object_store.put("queued", url.removeprefix("s3://queued/"), CLIP + url.encode())
    for _ in range(2):
        harness.ochy("enqueue", "s3://queued/clips", *SIDE, OCHY_JOURNAL=address)
        assert drain(harness, address) == [(url, "analyzed") for url in urls]
    assert harness.starts == 3
    assert set(object_store.reads("queued").values()) == {1}


@pytest.mark.parametrize("command", [("enqueue", "a.mp4", *SIDE), ("worker",)])
def test_a_journal_that_is_no_database_has_no_queue(command: tuple[str, ...], tmp_path: Path) -> None:
    """And an address that cannot be used is not repeated."""
    for journal in ((), ("--journal", str(tmp_path / "a.journal"))):
        result = run_cli(*command, *journal)
        assert result.exit_code == 2
        assert "--journal: must be the address of a database" in result.output
    result = run_cli(*command, "--journal", f"postgresql://ochy:{DSN_PASSWORD}@127.0.0.1:1/nowhere")
    assert result.exit_code in (1, 2)
    assert not leaks(result.output)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process title in /proc, which Linux has")
def test_the_process_title_shows_no_password(harness: CliHarness, address: str, output: Path) -> None:
    """The command is the same otherwise: the worker finds its queue."""
    (clip,) = harness.clips("a.mp4")
    harness.ochy("enqueue", clip, *SIDE, OCHY_JOURNAL=address)
    words = ("worker", f"--journal={address}", *FAST_POLLING)
    with cli_process(*words, folder=output, env=harness.environment()) as worker:
        title = Path(f"/proc/{worker.pid}/cmdline")
        wait_until(lambda: f"--journal=postgresql://***@{address.rpartition('@')[2]}" in title.read_text(), 60)
        assert not leaks(title.read_text())
        wait_until(lambda: harness.starts, 60)
        assert not leaks(title.read_text())
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 130


@pytest.mark.parametrize(
    "change",
    [("127.0.0.1", f"{'a' * 70}.example"), ("?", "?sslmode=bogus&"), ("?", "?port=none&")],
    ids=["host", "sslmode", "port"],
)
def test_an_address_that_only_asyncpg_refuses_is_not_shown(address: str, change: tuple[str, str]) -> None:
    """Its errors are of many types, and their frames hold the password."""

    async def connect() -> None:
        async with JobQueue(f"{address}?connect_timeout=1".replace(*change)).connected():
            pass

    with pytest.raises(JournalError) as failed:
        anyio.run(connect)
    assert leaks_in_error(failed.value) == []


def test_the_jobs_in_the_database_hold_no_secret(harness: CliHarness, address: str) -> None:
    """Whoever may read the queue sees paths and requests."""
    harness.ochy("enqueue", *harness.clips("a.mp4"), *SIDE, OCHY_JOURNAL=address)
    ((text,),) = anyio.run(query, address, "SELECT row_to_json(q)::text FROM ochy_queue.pgqueuer q")
    assert ENTRYPOINT in text
    assert not leaks(text)

"""Workers of an engine in real processes, killed at random moments, against an emulator on a real socket.

Each campaign has a folder of clips, a Postgres server, an emulator, and three workers of PgQueuer or Dask that carry
out one job for each clip. Workers are killed with SIGKILL and replaced; then the emulator's ledger shows what was paid.
With `--alone` the engine calls the API without the journal, as a program without this library would.

`python -m tests.support.engine_campaigns` measures both engines, alone and with the journal: 200 tasks, two kills.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.from_thread import start_blocking_portal
from attrs import define, field, frozen

from ochy_async import Concurrency, OchySession, Polling, PostgresJournal, Retry, SideView
from ochy_async.emulator import Emulator, EmulatorSettings, sample_clip
from ochy_async.engines import Job, JobFeeder, JobResult
from ochy_async.journal.contract import Entry
from ochy_async.policy.clip_states import State
from tests.support.kills import CampaignFaults
from tests.support.postgres_journals import database, query
from tests.support.servers import PostgresServer, running

__all__ = ["CampaignResult", "Plan", "run_campaign"]

NAME: Final = "tests.support.engine_campaigns"
KEY: Final = "engines-key-51b0e4"
WORKERS: Final = 3
AT_ONCE: Final = 8
"""Jobs of a worker at a time."""
FEW: Final = Concurrency(uploads=3, in_flight=AT_ONCE)
HEARTBEAT: Final = 4.0
"""Seconds after which PgQueuer takes a job from a worker that is gone."""
PAUSES: Final = (0.5, 3.0)
"""Seconds before a kill."""
LONGEST: Final = 400.0
"""A campaign that takes more seconds has failed."""
QUICK: Final = Polling(interval=0.3, shortest=0.1, longest=1.0, requests_per_second=100)


@frozen(kw_only=True)
class Plan:
    """What a campaign does."""

    engine: str
    """`pgqueuer` or `dask`."""
    tasks: int = 24
    kills: int = 4
    seed: int = 0
    alone: bool = False
    """Whether the engine works without the journal."""
    faults: bool = True
    """Whether the server breaks connections and answers wrongly."""
    urls: tuple[str, ...] = ()
    """The clips as URLs of objects, instead of files."""
    copies: int = 0
    """Clips that have the content of another one, under another name."""
    environment: Mapping[str, str] = field(factory=dict)
    """For the workers."""


@define(kw_only=True)
class CampaignResult:
    """What a campaign led to."""

    tasks: int = 0
    distinct: int = 0
    """Contents of the clips."""
    charges: int = 0
    most: int = 0
    """Charges for one clip."""
    kills: int = 0
    states: Counter[str] = field(factory=Counter)
    """The clips of the journal by their state."""
    left: int = 0
    """Tasks that the engine did not finish."""
    seconds: float = 0.0
    wrong: list[str] = field(factory=list)
    """Violations of what the journal promises."""


# --- the programs of a campaign -----------------------------------------------------------------


def _session() -> OchySession:
    return OchySession(polling=QUICK, retry=Retry(budget=1000), preflight="off")


async def queue_worker(alone: bool) -> None:
    """A worker of PgQueuer, which SIGTERM stops."""
    from ochy_async.engines.pgqueuer import JobQueue, QueueWorker

    queue = JobQueue(os.environ["OCHY_JOURNAL"])
    async with _session() as ochy, JobFeeder(ochy.batch(journal=PostgresJournal(), concurrency=FEW)) as feeder:
        carrier: Any = _Alone(ochy) if alone else feeder
        worker = QueueWorker(queue, carrier, AT_ONCE, HEARTBEAT)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, partial(worker.stop, hand_over=True))
        await worker.run()


class _Alone:
    """Calls the API for each job, as a worker without the journal does."""

    refuses = ""

    def __init__(self, ochy: OchySession) -> None:
        self._ochy, self.ended = ochy, asyncio.Event()

    async def run(self, job: Job) -> JobResult:
        return JobResult(clip=job.clip, outcome=(await self._ochy.analyze(Path(job.clip), job.request)).analysis_id)

    def stop(self, _reason: str, *, hand_over: bool) -> None:
        del hand_over  # it has nobody to hand over to
        self.ended.set()


async def dask_client(alone: bool, scheduler: str, clips: Sequence[str]) -> None:
    """Gives the clips to a cluster, and prints each result as a line of JSON."""
    from distributed import Client, as_completed

    from ochy_async.dask import analyze

    connect: Any = Client  # it has no types
    async with connect(scheduler_file=scheduler, asynchronous=True) as client:
        await client.wait_for_workers(WORKERS)
        if not alone:
            async for result in analyze(client, clips, SideView(), concurrency=FEW):
                print(json.dumps(result), flush=True)
            return
        completed: Any = as_completed  # it has no types
        tasks = [client.submit(analyze_alone, clip, key=clip) for clip in clips]
        async for task in completed(tasks, loop=client.loop):
            print(json.dumps(await task), flush=True)


async def analyze_alone(clip: str) -> dict[str, Any]:
    """A task that only calls the API."""
    async with _session() as ochy:
        return {"clip": clip, "outcome": (await ochy.analyze(Path(clip), SideView())).analysis_id}


# --- the campaign -------------------------------------------------------------------------------


@define(eq=False)
class _Campaign:
    plan: Plan
    folder: Path
    address: str
    emulator: Emulator
    clips: Sequence[str]
    workers: list[subprocess.Popen[bytes]] = field(factory=list)
    others: list[subprocess.Popen[bytes]] = field(factory=list)
    kills: int = 0
    _ends: float = field(factory=lambda: time.monotonic() + LONGEST)

    def run(self) -> None:
        """Runs the workers and kills some, until no task is left. Then the workers are asked to stop."""
        done = self._begin_dask() if self.plan.engine == "dask" else self._begin_queue()
        chance = random.Random(self.plan.seed)
        try:
            for _ in range(WORKERS):
                self.workers.append(self._worker())
            self._wait_until(lambda: self.emulator.service.ledger)
            while not done() and self.kills < self.plan.kills:
                time.sleep(chance.uniform(*PAUSES))
                self._kill(chance.randrange(WORKERS))
            self._wait_until(done)
            for each in self.workers:
                each.terminate()
            self._wait_until(lambda: all(each.poll() is not None for each in self.workers))
        finally:
            for each in (*self.workers, *self.others):
                each.kill()
                each.wait()

    def _begin_queue(self) -> Callable[[], bool]:
        from ochy_async.engines.pgqueuer import JobQueue

        anyio.run(JobQueue(self.address).add, [Job(clip, SideView()) for clip in self.clips])
        return lambda: not self.queued()

    def queued(self) -> int:
        """The jobs that are in the queue of PgQueuer."""
        return int(anyio.run(query, self.address, "SELECT count(*) FROM ochy_queue.pgqueuer")[0][0])

    def _begin_dask(self) -> Callable[[], bool]:
        scheduler = self.folder / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(scheduler))
        self.others.append(self._start("scheduler", "-m", "distributed.cli.dask_scheduler", *words))
        self._wait_until(scheduler.exists)
        (self.folder / "clips.json").write_text(json.dumps(self.clips))
        client = self._start("client", "-m", NAME, "--program", "dask", *self._alone)
        self.others.append(client)
        return lambda: client.poll() is not None

    @property
    def _alone(self) -> tuple[str, ...]:
        return ("--alone",) if self.plan.alone else ()

    def _worker(self) -> subprocess.Popen[bytes]:
        if self.plan.engine == "pgqueuer":
            return self._start("worker", "-m", NAME, "--program", "pgqueuer", *self._alone)
        words = ("--scheduler-file", str(self.folder / "scheduler.json"), "--no-nanny", "--no-dashboard")
        slots = ("--nworkers", "1", "--nthreads", str(AT_ONCE), "--host", "127.0.0.1")
        return self._start("worker", "-m", "distributed.cli.dask_worker", *words, *slots)

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "OCHY_API_KEY": KEY,
            "OCHY_BASE_URL": self.emulator.url,
            "OCHY_JOURNAL": self.address,
            "OCHY_PREFLIGHT": "off",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100",
            **self.plan.environment,
        }
        out = (self.folder / f"{name}.out").open("ab")
        log = (self.folder / f"{name}.log").open("ab")
        with out, log:
            return subprocess.Popen(  # noqa: S603 - a program of the tests
                [sys.executable, *words], stdout=out, stderr=log, env=environment, cwd=self.folder
            )

    def _kill(self, number: int) -> None:
        worker = self.workers[number]
        worker.kill()
        worker.wait()
        self.kills += 1
        self.workers[number] = self._worker()

    def _wait_until(self, condition: Callable[[], object]) -> None:
        while not condition():
            if time.monotonic() > self._ends:
                raise TimeoutError(f"the campaign took too long: {self.log()}")
            time.sleep(0.1)

    def log(self) -> str:
        """The last lines that the programs have written."""
        return "\n".join("\n".join(each.read_text().splitlines()[-12:]) for each in sorted(self.folder.glob("*.log")))


def run_campaign(plan: Plan) -> CampaignResult:
    """Runs a campaign. Skips the test that runs it if Postgres is missing."""
    settings = EmulatorSettings(api_keys={KEY}, seed=plan.seed, queue_seconds=0.2, analysis_seconds=(0.5, 2.0))
    emulator = Emulator(settings, CampaignFaults(plan.seed) if plan.faults else None)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ochy-engines-")))
        portal = stack.enter_context(start_blocking_portal())
        stack.enter_context(portal.wrap_async_context_manager(emulator))
        address = database(stack.enter_context(running(PostgresServer)))
        for number in range(0 if plan.urls else plan.tasks):
            content = sample_clip(1000 * plan.seed + number % (plan.tasks - plan.copies), size=40_000)
            (folder / f"{number:04}.mp4").write_bytes(content)
        clips = plan.urls or sorted(map(str, folder.glob("*.mp4")))
        campaign = _Campaign(plan, folder, address, emulator, clips)
        began = time.monotonic()
        campaign.run()
        result = CampaignResult(tasks=len(clips), kills=campaign.kills, seconds=time.monotonic() - began)
        result.distinct = result.tasks - plan.copies
        _judge(campaign, result)
    return result


def _judge(campaign: _Campaign, result: CampaignResult) -> None:
    """Counts what was paid and, if there is a journal, compares it with the journal."""
    ledger = campaign.emulator.service.ledger
    charges = Counter(charge.sha256 for charge in ledger)
    result.charges, result.most = charges.total(), max(charges.values(), default=0)
    if campaign.plan.engine == "dask":
        result.left = result.tasks - len((campaign.folder / "client.out").read_text().splitlines())
    else:
        result.left = campaign.queued()
    if campaign.plan.alone:
        return
    entries = anyio.run(_entries, campaign.address)
    result.states = Counter(str(each.state) for each in entries)
    known = {each.analysis_id for each in entries if each.state is State.ANALYZED}
    paid = {charge.analysis_id for charge in ledger}
    uncertain = result.states[State.UNCERTAIN]
    least = result.distinct - uncertain  # a start that is uncertain was charged or not
    checks = {
        f"{result.most} credits for one clip": result.most > 1,
        f"{result.charges} credits with {uncertain} uncertain starts": not least <= result.charges <= result.distinct,
        f"{len(known - paid)} results that were not paid": known - paid,
        f"{len(paid - known)} paid results lost": len(paid - known) > uncertain,
        f"the clips are {dict(result.states)}": len(known) + uncertain != result.distinct,
        f"{result.left} tasks are left": result.left,
        "a secret in a log": any(_has_secret(each.read_bytes()) for each in campaign.folder.glob("*.[lo][ou][gt]")),
    }
    result.wrong = [what for what, is_wrong in checks.items() if is_wrong]
    result.wrong += [campaign.log()] if result.wrong else []


async def _entries(address: str) -> list[Entry]:
    async with PostgresJournal(address) as journal:
        return [entry async for entry in journal.entries()]


def _has_secret(content: bytes) -> bool:
    return KEY.encode() in content or b"signature=" in content or b"canary" in content


# --- the command --------------------------------------------------------------------------------


def main() -> None:
    """Runs a program of a campaign, or the campaigns of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", choices=("pgqueuer", "dask"), help="used by the campaigns themselves")
    parser.add_argument("--alone", action="store_true", help="only without the journal")
    parser.add_argument("--engine", choices=("pgqueuer", "dask"), action="append")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", action="store_true")
    given = parser.parse_args()
    if given.program == "pgqueuer":
        asyncio.run(queue_worker(given.alone))
    elif given.program == "dask":
        asyncio.run(dask_client(given.alone, "scheduler.json", json.loads(Path("clips.json").read_text())))
    else:
        _print_table(given)


def _print_table(given: argparse.Namespace) -> None:
    print("| engine | journal | tasks | kills | charges | most for one clip | tasks left | seconds |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for engine in given.engine or ("pgqueuer", "dask"):
        for alone in (True,) if given.alone else (True, False):
            plan = Plan(
                engine=engine, tasks=given.tasks, kills=given.kills, seed=given.seed, alone=alone, faults=given.faults
            )
            result = run_campaign(plan)
            facts = (engine, "no" if alone else "yes", result.tasks, result.kills, result.charges, result.most)
            print("|", *(f"{each} |" for each in (*facts, result.left, f"{result.seconds:.0f}")), flush=True)
            for each in result.wrong:
                print(each, file=sys.stderr)


if __name__ == "__main__":
    main()

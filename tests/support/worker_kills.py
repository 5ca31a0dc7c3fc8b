"""Several workers over one journal in Postgres: real processes, killed and suspended, and a server that crashes.

Each campaign has a folder of clips, which all workers are given, an emulator with faults and a Postgres server. Workers
are killed with SIGKILL and started again, and stopped with SIGSTOP, sometimes for longer than their lease, and
continued; the server is ended at once and started again on its port. At first a limit on credits stops all workers,
then a higher one lets them finish. In every other campaign the connections to the emulator break, too (`chaos`).
A last, undisturbed run resolves what a lookup can. Then the emulator's ledger is compared with the journal.

`python -m tests.support.worker_kills --clips 60 --seed 0 --campaigns 4` prints a table, with a row for each campaign.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import count
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Final

from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import define, field, fields, frozen

from ochy_async.emulator import Delay, EmulatorSettings, sample_clip
from tests.support.accelerated_time import ACCELERATION
from tests.support.canary import DSN_PASSWORD
from tests.support.chaos import ChaosProxy, chaos_proxy
from tests.support.gauged_emulator import GaugedEmulator
from tests.support.kills import ORPHANED, CampaignFaults, last_line
from tests.support.postgres_journals import PostgresPlace
from tests.support.servers import PostgresServer, Server, running
from tests.support.worker_process import KEY, LEASE, POLLS_PER_SECOND, UPLOADS, AcceleratedJournal, WorkerTask, work

__all__ = ["Record", "campaign", "campaigns"]

WORKERS: Final = 4
TWICE: Final = 20
"""Every so many clips one is in the folder a second time under another name."""
PAUSE: Final = 0.5
"""Seconds between two disturbances at most."""
OPENED: Final = 0.7
"""The share of disturbances that wait until the worker has its journal open: starting takes long on a busy machine."""
DISTURBANCES: Final = 0.8
"""Of a campaign, for each clip. After so many the workers are left alone."""
CRASH_EVERY: Final = 15
"""Every so many disturbances, it is the server's turn."""
LATE: Final = (Delay(0.5, after=True), Delay(1.0, after=True))
"""Starts that are charged long before the answer: moments at which a kill could cost a credit."""
CHARGE_SECONDS: Final = 1.0
"""For which every other kill waits for the next charge."""
STOPS: Final = (0.1, 0.2, 0.5, 1.0, 1.5 * LEASE, 3 * LEASE)
"""Seconds for which a worker is suspended."""
FIRST_LIMIT: Final = 0.6
"""Credits of the first part, for each distinct clip."""
PATIENCE: Final = 120.0
"""Seconds that a campaign has, and `SECONDS_PER_CLIP` for each clip."""
SECONDS_PER_CLIP: Final = 5.0
LOGS: Final = "OCHY_TEST_LOGS"
"""The variable that names a folder in which the logs of the workers are kept."""
MOST_POLLS: Final = POLLS_PER_SECOND * ACCELERATION * 1.5
"""Polls per second. Those that fail are repeated, and those that were delayed come later than reserved."""
QUIET_RUNS: Final = 3
"""Undisturbed runs after which everything must be finished."""


@define
class Record:
    """The result of a campaign, in the order of the table's columns."""

    seed: int
    clips: int = 0
    distinct: int = 0
    runs: int = 0
    """Of all workers."""
    kills: int = 0
    stops: int = 0
    long: int = 0
    """Those stops that were longer than the lease."""
    crashes: int = 0
    """Of Postgres."""
    cuts: int = 0
    """Connections that the proxy broke, and periods in which it accepted none."""
    charges: int = 0
    most: int = 0
    """Charges for one clip."""
    analyzed: int = 0
    uncertain: int = 0
    """Outcomes of the last run."""
    doubts: int = 0
    """Starts that had to be looked up because they may have been charged."""
    orphans: int = 0
    """Those of them that a worker left behind which was killed or suspended."""
    uploads: int = 0
    """At once, at most."""
    polls: float = 0.0
    """Per second, at most."""
    seconds: float = 0.0
    wrong: list[str] = field(factory=list)
    """Violations of what a batch promises."""

    def plus(self, other: Record) -> Record:
        """The sum of both."""
        columns: dict[str, Any] = {
            name: max(mine, others) if name in LARGEST else mine + others
            for name, mine, others in ((name, getattr(self, name), getattr(other, name)) for name in COLUMNS)
        }
        return Record(self.seed, **columns, wrong=self.wrong + other.wrong)


COLUMNS: Final = tuple(each.name for each in fields(Record) if each.name not in ("seed", "wrong"))
LARGEST: Final = ("most", "uploads", "polls")


@define(eq=False)
class Worker:
    """A process that is started again until its batch has finished."""

    number: int
    process: ForkServerProcess
    run: Path
    continues: float | None = None
    """When it is continued, if it is stopped."""

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        with suppress(ProcessLookupError):  # it has just finished
            os.kill(self.process.pid, number)

    @property
    def has_opened(self) -> bool:
        return self.run.with_suffix(".open").exists()


@frozen
class Outcome:
    """One line of the outcomes of a run."""

    clip: str
    word: str
    analysis_id: str
    bought: bool

    @classmethod
    def of_run(cls, run: Path) -> list[Outcome]:
        """Those of a run; empty if it did not finish."""
        path = run.with_suffix(".outcomes")
        lines = path.read_text().splitlines() if path.exists() else []
        words = (line.split() for line in lines)
        return [cls(clip, word, analysis_id, bought == "True") for clip, word, analysis_id, bought in words]


@define(eq=False)
class Campaign:
    """One folder, whose workers are disturbed until they have finished."""

    record: Record
    processes: ForkServerContext
    portal: BlockingPortal
    folder: Path
    emulator: GaugedEmulator
    place: PostgresPlace
    proxy: ChaosProxy | None
    chance: random.Random
    ceilings: bool
    """Whether the ceilings of all workers together must be kept."""
    limit: int = 0
    workers: dict[int, Worker] = field(factory=dict)
    bought: Counter[str] = field(factory=Counter)
    """How many runs say that they have bought an analysis."""

    def run(self) -> None:
        """Disturbs the workers until they finish, runs one undisturbed, and checks the result.

        Stops at the first violation.
        """
        began = time.monotonic()
        deadline = began + PATIENCE + SECONDS_PER_CLIP * self.record.clips
        self._write_clips()
        try:
            for limit in (int(FIRST_LIMIT * self.record.distinct), 2 * self.record.distinct):
                self.limit = limit
                if not self.record.wrong:
                    self._disturb_until_finished(deadline)
        finally:
            for worker in tuple(self.workers.values()):
                self._kill(worker)
        self.record.uploads, self.record.polls = self.emulator.most_uploads, self.emulator.most_polls
        if not self.record.wrong:
            self._judge(self._finish())
        self.record.seconds = time.monotonic() - began

    def _write_clips(self) -> None:
        for number in range(self.record.clips):
            content = sample_clip(100_000 * self.record.seed + number % self.record.distinct, size=40_000)
            (self.folder / f"{number:05}.mp4").write_bytes(content)

    def _report(self, wrong: str) -> None:
        """Records a violation, once."""
        note = f"seed {self.record.seed}: {wrong}"
        if note not in self.record.wrong:
            self.record.wrong.append(note)

    # --- disturbances -------------------------------------------------------------------------------

    def _disturb_until_finished(self, deadline: float) -> None:
        """Runs all workers until each has finished once with this limit."""
        for number in range(WORKERS):
            self._start(number)
        while self.workers and not self.record.wrong:
            time.sleep(self.chance.uniform(0.0, PAUSE))
            for worker in tuple(self.workers.values()):
                self._attend(worker)
            self._check()
            if self.workers and self.record.kills + self.record.stops < DISTURBANCES * self.record.clips:
                self._disturb(self.chance.choice(tuple(self.workers.values())))
            if time.monotonic() > deadline:
                self._report("did not finish")

    def _start(self, number: int) -> None:
        """Starts a worker. Half of them take the clips in the same order."""
        run = self.folder / f"run-{self.record.runs}"
        self.record.runs += 1
        task = WorkerTask(
            url=self.emulator.url if self.proxy is None else self.proxy.url,
            database=self.place.server.url,
            schema=self.place.schema,
            folder=self.folder,
            run=run,
            order=None if number % 2 == 0 else self.record.seed + number,
            max_credits=self.limit,
        )
        process = self.processes.Process(target=work, args=(task,))
        process.start()
        self.workers[number] = Worker(number, process, run)

    def _attend(self, worker: Worker) -> None:
        """Continues a worker whose time has come, and starts one again that ended with something left to do."""
        if worker.continues is not None and time.monotonic() >= worker.continues:
            self._continue(worker)
        if worker.process.is_alive():
            return
        outcomes = self._end(worker)
        stopped_by_limit = self.limit < self.record.distinct
        if not outcomes or (any(each.word == "unfinished" for each in outcomes) and not stopped_by_limit):
            self._start(worker.number)

    def _disturb(self, worker: Worker) -> None:
        if (self.record.kills + self.record.stops + self.record.crashes) % CRASH_EVERY == CRASH_EVERY - 1:
            self._crash()
        elif self.chance.random() < OPENED and not worker.has_opened:
            return
        elif self.chance.random() < 0.5:
            self.record.kills += 1
            self._await_charge()
            self._kill(worker)
            self._start(worker.number)
        elif worker.continues is None:
            seconds = self.chance.choice(STOPS)
            self.record.stops += 1
            self.record.long += seconds > LEASE
            self.emulator.suspended += 1
            worker.send(signal.SIGSTOP)
            worker.continues = time.monotonic() + seconds

    def _await_charge(self) -> None:
        """Waits for the next charge, every other time."""
        charges, ends = len(self.emulator.service.ledger), time.monotonic() + CHARGE_SECONDS
        if self.chance.random() < 0.5:
            while time.monotonic() < ends and len(self.emulator.service.ledger) == charges:
                time.sleep(0.01)

    def _continue(self, worker: Worker) -> None:
        worker.continues = None
        worker.send(signal.SIGCONT)
        self.emulator.suspended -= 1
        self.emulator.disturb()

    def _kill(self, worker: Worker) -> None:
        if worker.continues is not None:
            worker.continues = None
            self.emulator.suspended -= 1
            self.emulator.disturb()
        worker.process.kill()
        worker.process.join()
        self._end(worker)

    def _crash(self) -> None:
        """Ends the server at once and starts it again. Leases may end meanwhile."""
        self.record.crashes += 1
        self.emulator.suspended += 1
        self.place.server.kill()
        time.sleep(self.chance.uniform(0.0, 1.0))
        self.place.server.start()
        self.emulator.suspended -= 1
        self.emulator.disturb()

    def _end(self, worker: Worker) -> list[Outcome]:
        """Checks what a process that has ended left behind, and returns its outcomes."""
        del self.workers[worker.number]
        worker.process.join()
        refused = not worker.has_opened and "JournalError" in last_line(worker.run)  # while the server was down
        if worker.process.exitcode not in (0, -signal.SIGKILL) and not refused:
            self._report(f"a batch ended with an error, {last_line(worker.run)}")
        worker.process.close()
        log = worker.run.with_suffix(".log")
        if log.exists() and _has_secret(log.read_bytes()):
            self._report(f"a secret in {log.name}")
        elif log.exists() and LOGS in os.environ:
            log.rename(Path(os.environ[LOGS]) / f"{self.record.seed}-{log.name}")
        elif log.exists() and not self.record.wrong:
            log.unlink()
        outcomes = Outcome.of_run(worker.run)
        self.bought.update(each.analysis_id for each in outcomes if each.bought)
        return outcomes

    # --- the result ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """Checks what must hold at any moment: one charge for a clip, and the limit."""
        charges = Counter(charge.sha256 for charge in self.emulator.service.ledger)
        self.record.charges, self.record.most = charges.total(), max(charges.values(), default=0)
        if self.record.most > 1:
            self._report(f"{self.record.most} credits for one clip")
        if charges.total() > self.limit:
            self._report(f"{charges.total()} credits, although {self.limit} were the limit")
        if self.proxy is not None:
            self.record.cuts = self.proxy.faults.total()
            if any(map(_has_secret, self.proxy.sent)):
                self._report("a client sent a secret outside of a URL")
            self.proxy.sent.clear()

    def _finish(self) -> list[Outcome]:
        """Runs one worker undisturbed and without faults, until nothing is left to do. Returns its outcomes."""
        self.emulator.faults = None
        if self.proxy is not None:
            self.proxy.transparent = True
        while self.emulator.uploading or (self.proxy is not None and self.proxy.open):
            time.sleep(0.05)  # a start in flight may still be charged
        outcomes: list[Outcome] = []
        for _ in range(QUIET_RUNS):
            self._start(0)
            self.workers[0].process.join(PATIENCE + SECONDS_PER_CLIP * self.record.clips)
            if self.workers[0].process.is_alive():
                self._kill(self.workers[0])
                break
            outcomes = self._end(self.workers[0])
            self._check()
            if outcomes and not any(each.word == "unfinished" for each in outcomes):
                break
        return outcomes

    def _judge(self, outcomes: list[Outcome]) -> None:
        """Checks what must hold at the end."""
        record, ledger = self.record, self.emulator.service.ledger
        words = Counter(each.word for each in outcomes)
        record.analyzed, record.uncertain = words["analyzed"], words["uncertain"]
        paid = {str(charge.analysis_id) for charge in ledger}
        ids = {each.analysis_id for each in outcomes if each.word == "analyzed"}
        if ids != paid:
            self._report(f"{len(paid - ids)} paid results lost, {len(ids - paid)} results that were not paid")
        if len(outcomes) != record.clips or words.keys() - {"analyzed", "uncertain"}:
            self._report(f"ended as {dict(words)}")
        if again := [each for each, number in self.bought.items() if number > 1]:
            self._report(f"{len(again)} analyses were bought by more than one run")
        if self.ceilings and record.uploads > UPLOADS:
            self._report(f"{record.uploads} uploads at once, although {UPLOADS} were the ceiling")
        if self.ceilings and record.polls > MOST_POLLS:
            self._report(f"{record.polls:.0f} polls a second, although {POLLS_PER_SECOND * ACCELERATION:.0f} were it")
        self.portal.call(self._judge_journal, paid)

    async def _judge_journal(self, paid: set[str]) -> None:
        """Compares the journal with what was paid, and its budget with its entries."""
        async with AcceleratedJournal(self.place.server.url, schema=self.place.schema) as journal:
            totals, known = await journal.totals(), await journal.known(paid)
            entries = [entry async for entry in journal.entries()]
            histories = [await journal.history(entry.key) for entry in entries]
            results = [await journal.results(entry.key) for entry in entries if entry.analysis_id]
        if paid - known:
            self._report(f"{len(paid - known)} paid analyses are unknown to the journal")
        if totals.credits != sum(entry.credits for entry in entries):
            self._report(f"{totals.credits} credits, but {sum(entry.credits for entry in entries)} in the entries")
        if not len(paid) <= totals.committed <= self.limit:
            self._report(f"{totals.committed} credits committed, {len(paid)} paid, {self.limit} were the limit")
        if None in results:
            self._report(f"{results.count(None)} paid analyses without results")
        changes = [change for history in histories for change in history]
        reasons = [change.reason for change in changes if change.state == "uncertain"]
        stored = sum(change.state == "analyzed" for change in changes)
        self.record.doubts = len(reasons)
        self.record.orphans = sum(reason.startswith(ORPHANED) for reason in reasons)
        if stored != len(paid):
            self._report(f"results were stored {stored} times for {len(paid)} analyses")


def _has_secret(content: bytes) -> bool:
    """Whether there is the key, the password of the database or a signed URL in it."""
    return any(secret in content for secret in (KEY.encode(), DSN_PASSWORD[:-2].encode(), b"signature="))


def campaigns(clips: int, first_seed: int = 0, *, ceilings: bool = False) -> Iterator[Record]:
    """Campaign after campaign, without end."""
    with running(PostgresServer) as server:
        for seed in count(first_seed):
            yield campaign(clips, seed, server, ceilings=ceilings)


def campaign(clips: int, seed: int, server: Server, *, ceilings: bool = False) -> Record:
    """One campaign, in a new schema of a server that it may crash."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.support.worker_process"])
    record = Record(seed, clips, clips - clips // TWICE)
    settings = EmulatorSettings(
        api_keys={KEY}, seed=seed, credits=10 * clips, concurrent_analyses=16, queue_seconds=0.5, listing_lag=5.0
    )
    emulator = GaugedEmulator(settings, CampaignFaults(seed, LATE), speed=ACCELERATION)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ochy-workers-"))
        portal = stack.enter_context(start_blocking_portal())
        stack.enter_context(portal.wrap_async_context_manager(emulator))
        proxy = None
        if seed % 2:
            port = int(emulator.url.rpartition(":")[2])
            proxy = stack.enter_context(portal.wrap_async_context_manager(chaos_proxy(port, seed)))
        place, chance = PostgresPlace(server), random.Random(seed)
        Campaign(record, processes, portal, Path(folder), emulator, place, proxy, chance, ceilings).run()
    return record


def _print_line(seed: int | str, record: Record) -> None:
    values = (f"{getattr(record, name):{len(name)}.0f}" for name in COLUMNS)
    print(f"{seed:>4}", *values, "; ".join(record.wrong) or "-", flush=True)


def main(words: list[str]) -> int:
    """Runs campaigns and prints their table. Returns 1 if one of them found a violation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60, help="Of each campaign.")
    parser.add_argument("--seed", type=int, default=0, help="Of the first campaign; chaos comes with odd ones.")
    parser.add_argument("--campaigns", type=int, default=1)
    parser.add_argument("--ceilings", action="store_true", help="Uploads and polls above their ceilings are wrong.")
    parser.add_argument("--once", action="store_true", help="Ends with the first of them that goes wrong.")
    given = parser.parse_args(words)
    print("seed", *COLUMNS, "wrong")
    total = Record(given.seed)
    for _, record in zip(
        range(given.campaigns), campaigns(given.clips, given.seed, ceilings=given.ceilings), strict=False
    ):
        _print_line(record.seed, record)
        total = total.plus(record)
        if given.once and total.wrong:
            break
    _print_line("all", total)
    print("\n".join(total.wrong) or "No clip was charged twice, and the journal knows everything that was paid.")
    return bool(total.wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

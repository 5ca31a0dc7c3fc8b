"""Batches in real child processes, killed at random moments, against an emulator on a real socket.

Each campaign is a folder of clips, one journal and one emulator with faults. A batch is started, killed with SIGKILL
and started again until one finishes; then the emulator's ledger shows what was paid. With chaos a batch is also
stopped with SIGSTOP and continued later, sometimes after a second batch was started beside it, and it reaches the
emulator through the proxy of `chaos`.

`python -m tests.support.kills --kills 2000` runs campaigns until there were so many kills, and
`python -m tests.support.kills --campaigns 30` prints a table of campaigns with chaos. The test suite does both with
fewer. With `--slow-uploads` most of the time of a start is its upload, as with real clips on a real connection.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from itertools import count, islice
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Final

from anyio import sleep
from anyio.from_thread import start_blocking_portal
from attrs import define, field, fields, frozen

from ochy_async import Clip, Concurrency, Limits, OchySession, Retry, SideView
from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectBefore,
    DisconnectDuring,
    Emulator,
    EmulatorSettings,
    Fault,
    RandomFaults,
    ReplaceBody,
    Respond,
    RespondAfter,
    RetryAfter,
    Throttle,
    sample_clip,
)
from ochy_async.journal.sqlite.store import open_store
from ochy_async.policy.clip_states import State
from ochy_async.protocol.routes import START
from tests.support.accelerated_time import ACCELERATION, run_accelerated
from tests.support.chaos import ChaosProxy, chaos_proxy

CLIPS: Final = 12
TWICE: Final = 2
"""Clips that are in the folder a second time under another name."""
LARGE: Final = 4_000_000
"""Bytes of every other clip with chaos: more than the kernel buffers, so that an upload can break half-way."""
EPOCH: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z: the start of accelerated time in all processes."""
KEY: Final = "kills-key-8d21c6"
FAULTS: Final[tuple[Fault, ...]] = (
    DisconnectBefore(),
    DisconnectDuring(30_000),
    DisconnectAfter(charged=True),
    DisconnectAfter(charged=False),
    Respond(503),
    RespondAfter(500),
    RetryAfter("0"),
    ReplaceBody(lambda body: body[: len(body) // 2]),
    Throttle(800_000, direction="upload"),
)
LATE: Final = (Delay(0.2, after=True), Delay(0.4, after=True))
"""Starts that are charged some time before the response: moments at which a kill could cost a credit."""
RATE: Final = 0.15
PIECES: Final = 10
"""In which a clip is sent slowly."""
PIECE_SECONDS: Final = 0.8
"""In accelerated time: together 0.4 s for a clip. Slow pieces, not a slow server, because the kernel takes megabytes
at once for a connection on this machine."""
MOST_RUNS: Final = 200
"""A campaign that needs more runs has failed."""
PAUSES: Final = {False: 1.5, True: 0.6}
"""Seconds between two interruptions at most, without and with chaos."""
OPENED: Final = 0.5
"""The share of batches that are not interrupted before they have opened the journal. On a busy machine most would die
before that, so that a campaign would not end."""
KILLED: Final = 0.4
"""The share of interruptions that are kills, where the others are stops."""
STOPS: Final = (*[0.02, 0.05, 0.1, 0.2, 0.4] * 2, 2.5)
"""Seconds; the last one exceeds `Limits.stall` in accelerated time."""
REFUSED_WITHIN: Final = 20.0
ORPHANED: Final = "The process ended while the start was being sent."
"""The reason that `batch.reconcile` records."""
UNDISTURBED: Final = 120.0
"""Seconds that the last batch of a campaign has."""


@define
class CampaignRecord:
    """The result of a campaign, in the order of the table's columns."""

    seed: int
    clips: int
    distinct: int
    kills: int = 0
    stops: int = 0
    beside: int = 0
    """Batches that were started beside a stopped one and refused."""
    cuts: int = 0
    """Connections that the proxy broke, and periods in which it accepted none."""
    charges: int = 0
    most: int = 0
    """Charges for one clip."""
    analyzed: int = 0
    failed: int = 0
    uncertain: int = 0
    """Outcomes."""
    doubts: int = 0
    """Starts that a run had to look up because they may have been charged."""
    orphans: int = 0
    """Those of them that a process left behind which was killed."""
    starts: int = 0
    """Of the batch."""
    seconds: float = 0.0
    faults: Counter[str] = field(factory=Counter)
    """The cuts by kind."""
    wrong: list[str] = field(factory=list)
    """Violations of what a batch promises."""

    def plus(self, other: CampaignRecord) -> CampaignRecord:
        """The sum of both."""
        columns: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in COLUMNS}
        columns["most"] = max(self.most, other.most)
        return CampaignRecord(self.seed, **columns, faults=self.faults + other.faults, wrong=self.wrong + other.wrong)


COLUMNS: Final = tuple(each.name for each in fields(CampaignRecord) if each.name not in ("seed", "faults", "wrong"))


class CampaignFaults:
    """Faults on every route, and late responses to many starts."""

    def __init__(self, seed: int, late: tuple[Fault, ...] = LATE) -> None:
        self._late = RandomFaults(seed, 0.4, late, str(START))
        self._other = RandomFaults(-1 - seed, RATE, FAULTS)  # with the same seed, every such fault of a start is late

    def fault_for(self, route: str, count: int) -> Fault | None:
        return self._late.fault_for(route, count) or self._other.fault_for(route, count)


# --- the child ----------------------------------------------------------------------------------


def child(url: str, folder: str, run: str, slow_uploads: bool) -> None:
    """Runs one batch over the folder. Its outcomes are written only when it finishes."""
    with Path(f"{run}.log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    logging.basicConfig(level=logging.DEBUG)
    source = slow_clip if slow_uploads else Path
    run_accelerated(_batch(url, Path(folder), Path(run), source))


def accelerated_now() -> datetime:
    """The time of day, accelerated like the event loop."""
    return datetime.fromtimestamp(EPOCH + (time.time() - EPOCH) * ACCELERATION, UTC)


def slow_clip(path: Path, piece_seconds: float = PIECE_SECONDS) -> Clip:
    """A clip that is hashed at once and sent in pieces."""
    content, openings = path.read_bytes(), count()

    async def pieces() -> AsyncGenerator[bytes]:
        hashed, length = next(openings) > 0, -(-len(content) // PIECES)
        for start in range(0, len(content), length):
            await sleep(piece_seconds if hashed else 0)
            yield content[start : start + length]

    return Clip.stream(pieces, name=path.name, size=len(content))


async def _batch(url: str, folder: Path, run: Path, source: Callable[[Path], Path | Clip]) -> None:
    retry, limits = Retry(budget=1000), Limits(stall=40, call=120)
    paths = sorted(folder.glob("*.mp4"))  # noqa: ASYNC240 - a dozen small files
    concurrency = Concurrency(uploads=3, in_flight=6)
    async with (
        OchySession(KEY, base_url=url, retry=retry, limits=limits, clock=accelerated_now, preflight="off") as ochy,
        ochy.batch(SideView(), journal=folder / "clips.journal", tag_starts=True, concurrency=concurrency) as batch,
    ):
        run.with_suffix(".open").touch()
        outcomes = [outcome async for outcome in batch.run(map(source, paths))]
        run.with_suffix(".open").unlink()
    lines = [f"{Path(each.label).name} {each.word} {each.analysis_id}" for each in outcomes]
    run.with_suffix(".outcomes").write_text("\n".join(lines))


# --- the campaign -------------------------------------------------------------------------------


@frozen
class Conditions:
    """What all campaigns of a command have in common."""

    clips: int = CLIPS
    chaos: bool = False
    slow_uploads: bool = False


@define
class Campaign:
    """One folder whose batch is interrupted until it finishes."""

    record: CampaignRecord
    processes: ForkServerContext
    folder: Path
    emulator: Emulator
    proxy: ChaosProxy | None
    chance: random.Random
    conditions: Conditions
    outcomes: Path = Path()
    """The outcomes of the latest run that finished."""

    def run(self) -> None:
        """Interrupts the batch until it finishes, runs it once more without chaos, and checks the result.

        Stops at the first violation.
        """
        began = time.monotonic()
        for number in range(self.record.clips):
            content = number % self.record.distinct
            size = LARGE if self.proxy is not None and content % 2 else 40_000
            (self.folder / f"{number:02}.mp4").write_bytes(sample_clip(1000 * self.record.seed + content, size=size))
        any(self._attempt() or self.record.wrong for _ in range(MOST_RUNS))
        if self.proxy is not None and not self.record.wrong:
            self._finish(self.proxy)
        if not self.record.wrong:
            self._judge()
        self.record.seconds = time.monotonic() - began

    def _report(self, wrong: str) -> None:
        """Records a violation, once."""
        note = f"seed {self.record.seed}: {wrong}"
        if note not in self.record.wrong:
            self.record.wrong.append(note)

    def _start(self) -> tuple[ForkServerProcess, Path]:
        run = self.folder / f"run-{self.record.starts}-{self.record.beside}"
        url = self.emulator.url if self.proxy is None else self.proxy.url
        process = self.processes.Process(
            target=child, args=(url, str(self.folder), str(run), self.conditions.slow_uploads)
        )
        process.start()
        return process, run

    def _attempt(self, *, undisturbed: bool = False) -> bool:
        """Starts the batch and interrupts it until it has exited; returns whether nothing is left to do."""
        self.record.starts += 1
        process, run = self._start()
        opens, opened = self.chance.random() < OPENED, run.with_suffix(".open")
        while opens and process.is_alive() and not opened.exists():
            process.join(0.02)
        while process.is_alive():
            process.join(UNDISTURBED if undisturbed else self.chance.uniform(0.0, PAUSES[self.proxy is not None]))
            if process.is_alive():
                self._interrupt(process, run)
        if process.exitcode not in (0, -signal.SIGKILL):
            self._report(f"a batch ended with an error, {last_line(run)}")
        process.close()
        self._check()
        self.outcomes = run.with_suffix(".outcomes")
        return self.outcomes.exists() and " unfinished " not in self.outcomes.read_text()

    def _interrupt(self, process: ForkServerProcess, run: Path) -> None:
        if self.proxy is None or self.chance.random() < KILLED:
            process.kill()
            process.join()
            self.record.kills += 1
        else:
            self._stop(process, run)

    def _stop(self, process: ForkServerProcess, run: Path) -> None:
        """Stops the process for a while, sometimes until its connections have timed out."""
        assert process.pid is not None
        with suppress(ProcessLookupError):  # it has just finished
            os.kill(process.pid, signal.SIGSTOP)
            self.record.stops += 1
            try:
                time.sleep(self.chance.choice(STOPS))
                if run.with_suffix(".open").exists() and self.chance.random() < 0.4:
                    self._start_beside()
            finally:
                os.kill(process.pid, signal.SIGCONT)

    def _start_beside(self) -> None:
        """Starts a second batch on the journal of a stopped one; it must be refused."""
        self.record.beside += 1
        process, run = self._start()
        process.join(REFUSED_WITHIN)
        if process.is_alive() or "JournalBusy" not in last_line(run):
            self._report(f"a second batch was not refused beside a stopped one, {last_line(run)}")
        process.kill()
        process.join()
        process.close()

    def _finish(self, proxy: ChaosProxy) -> None:
        """Runs the batch without faults once nothing is in flight, so that it resolves all that a lookup can."""
        self.emulator.faults, proxy.transparent = None, True
        while proxy.open:  # a start in flight may still be charged
            time.sleep(0.05)
        self._attempt(undisturbed=True)

    def _check(self) -> None:
        """Checks what must hold at any moment: one charge for a clip, no secret in any file, no process left."""
        charges = Counter(charge.sha256 for charge in self.emulator.service.ledger)
        self.record.charges, self.record.most = charges.total(), max(charges.values(), default=0)
        if self.record.most > 1:
            self._report(f"{self.record.most} credits for one clip")
        for path in (*self.folder.glob("*.log"), *self.folder.glob("clips.journal*")):
            if _has_secret(path.read_bytes()):
                self._report(f"a secret in {path.name}")
        if self.proxy is not None:
            self.record.faults, self.record.cuts = self.proxy.faults, self.proxy.faults.total()
            if any(map(_has_secret, self.proxy.sent)):
                self._report("a client sent a secret outside of a URL")
        if holders := _holders(self.folder):
            self._report(f"{len(holders)} processes were left behind")

    def _judge(self) -> None:
        """Checks what must hold at the end: an outcome for each clip, and the results of everything that was paid."""
        record = self.record
        outcomes = [line.split() for line in self.outcomes.read_text().splitlines()] if self.outcomes.exists() else []
        words = Counter(word for _, word, _ in outcomes)
        record.analyzed, record.failed, record.uncertain = words["analyzed"], words["failed"], words["uncertain"]
        reasons = _reasons_of_doubts(self.folder / "clips.journal")
        record.doubts, record.orphans = len(reasons), sum(each.startswith(ORPHANED) for each in reasons)
        ids = {analysis_id for _, word, analysis_id in outcomes if word == "analyzed"}
        paid = {charge.analysis_id for charge in self.emulator.service.ledger}
        if not outcomes:
            self._report("did not finish")
        elif ids != paid:
            self._report(f"{len(paid - ids)} paid results lost, {len(ids - paid)} results that were not paid")
        elif len(outcomes) != record.clips or words.keys() - {"analyzed", "uncertain"}:
            self._report(f"ended as {dict(words)}")


def _reasons_of_doubts(path: Path) -> list[str]:
    """Why starts became uncertain, by the history in a journal that no process has open."""
    store = open_store(path)
    with closing(store.connection):
        histories = [store.history(entry.key) for _, entry in store.entries((), 0)]
        store.close()
    return [each.reason for history in histories for each in history if each.state is State.UNCERTAIN]


def last_line(run: Path) -> str:
    log = run.with_suffix(".log")
    lines = log.read_text().splitlines() if log.exists() else []
    return lines[-1] if lines else "no output"


def _has_secret(content: bytes) -> bool:
    """Whether there is the key or a signed URL in it."""
    return KEY.encode() in content or b"signature=" in content


def _holders(folder: Path) -> set[str]:
    """The ids of the processes that have a file in the folder open, where the system has /proc."""
    processes = Path("/proc").glob("[0-9]*")
    return {each.name for each in processes if any(file.is_relative_to(folder) for file in _open_files(each))}


def _open_files(process: Path) -> Iterator[Path]:
    """The files of a process, which may end meanwhile."""
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                yield link.readlink()


def campaigns(first_seed: int = 0, conditions: Conditions = Conditions()) -> Iterator[CampaignRecord]:
    """Campaign after campaign, without end."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["kills"])
    for seed in count(first_seed):
        yield _campaign(CampaignRecord(seed, conditions.clips, conditions.clips - TWICE), processes, conditions)


def _campaign(record: CampaignRecord, processes: ForkServerContext, conditions: Conditions) -> CampaignRecord:
    seed, chaos = record.seed, conditions.chaos
    settings = EmulatorSettings(
        api_keys={KEY}, seed=seed, concurrent_analyses=1 if chaos else 4, queue_seconds=0.5, listing_lag=5.0
    )
    emulator = Emulator(settings, CampaignFaults(seed), speed=ACCELERATION)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ochy-kills-"))
        portal = stack.enter_context(start_blocking_portal())
        stack.enter_context(portal.wrap_async_context_manager(emulator))
        proxy = None
        if chaos:
            port = int(emulator.url.rpartition(":")[2])
            proxy = stack.enter_context(portal.wrap_async_context_manager(chaos_proxy(port, seed)))
        Campaign(record, processes, Path(folder), emulator, proxy, random.Random(seed), conditions).run()
    return record


def run_campaigns(number: int, first_seed: int = 0, conditions: Conditions = Conditions()) -> CampaignRecord:
    """Campaigns until there were so many kills, and with chaos so many stops, all together."""
    found = CampaignRecord(first_seed, 0, 0)
    for record in campaigns(first_seed, conditions):
        found = found.plus(record)
        if found.wrong or (found.kills >= number and (found.stops >= number or not conditions.chaos)):
            break
    return found


def _print_line(seed: int | str, record: CampaignRecord) -> None:
    values = (f"{getattr(record, name):{len(name)}.0f}" for name in COLUMNS)
    print(f"{seed:>4}", *values, "; ".join(record.wrong) or "-", flush=True)


def _print_table(number: int, first_seed: int, conditions: Conditions, *, once: bool) -> CampaignRecord:
    print("seed", *COLUMNS, "wrong")
    total = CampaignRecord(first_seed, 0, 0)
    for record in islice(campaigns(first_seed, conditions), number):
        _print_line(record.seed, record)
        total = total.plus(record)
        if once and total.wrong:
            break
    _print_line("all", total)
    print("The proxy:", ", ".join(f"{number} × {kind}" for kind, number in total.faults.most_common()))
    return total


def _print_kills(kills: int, first_seed: int, conditions: Conditions) -> CampaignRecord:
    found = run_campaigns(kills, first_seed, conditions)
    print(
        f"{found.kills} kills in {found.clips // CLIPS} campaigns, {found.seconds:.0f} s: {found.charges} credits "
        f"for {found.distinct} distinct clips, at most {found.most} for one; {found.doubts} doubts, {found.orphans} of "
        f"them left by killed processes; {found.uncertain} outcomes left uncertain"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--campaigns", type=int, help="So many, with chaos, as a table.")
    parser.add_argument("--once", action="store_true", help="Ends with the first of them that goes wrong.")
    parser.add_argument("--seed", type=int, default=0, help="Of the first campaign.")
    parser.add_argument("--slow-uploads", action="store_true", help="Sends clips in slow pieces.")
    given = parser.parse_args()
    conditions = Conditions(chaos=given.campaigns is not None, slow_uploads=given.slow_uploads)
    if given.campaigns is None:
        found = _print_kills(given.kills, given.seed, conditions)
    else:
        found = _print_table(given.campaigns, given.seed, conditions, once=given.once)
    print(
        "\n".join(found.wrong)
        or "No clip was charged twice, no paid result was lost: what is uncertain was not charged."
    )
    sys.exit(bool(found.wrong))

"""Tests of `docs/examples/jobs.py`: what becomes of an upload, whatever the account, the server and the disk do."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from ochy_async import InvalidRequest
from ochy_async.emulator import DisconnectAfter, EmulatorSettings, FaultPlan, FaultRule, FaultSource, Respond, Service
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.protocol.routes import START
from tests.conftest import direct_session, world
from tests.support.accelerated_time import run_accelerated
from tests.support.batches import clip
from tests.support.examples import load_example

module: Any = load_example("jobs")
RUNNER = {"view": "side", "height": 1.8765, "weight": 68.0, "pace": None, "treadmill": False}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 2.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


def quick(**settings: Any) -> EmulatorSettings:
    return world(queue_seconds=0.1, analysis_seconds=(1.0, 2.0), **settings)


@asynccontextmanager
async def running(
    folder: Path, service: Service, faults: FaultSource | None = None, **settings: Any
) -> AsyncGenerator[Any]:
    """The jobs of a service that runs."""
    jobs = module.Jobs(folder)
    async with direct_session(service, faults, on_event=jobs.on_event, **settings) as ochy, jobs.running(ochy):
        yield jobs


async def submit(jobs: Any, number: int = 1, name: str = "runner.mp4", **fields: Any) -> str:
    job_id: str = await jobs.submit(io.BytesIO(clip(number)), name, **{**RUNNER, **fields})
    return job_id


async def until(jobs: Any, job_id: str, *wanted: str) -> Any:
    """The state of the job, once it is one of these."""

    async def wanted_state() -> Any:
        state = await jobs.state(job_id)
        return state if state is not None and state.status in wanted else None

    return await eventually(wanted_state)


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The first true value of the condition."""
    with anyio.fail_after(300):
        while not (found := await condition()):  # noqa: ASYNC110 - files and processes have no event to wait for
            await anyio.sleep(0.2)
        return found


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def checked() -> Any:
        return await main()

    return run_accelerated(checked())


def test_an_upload_is_analyzed_and_only_its_outcome_is_kept(folder: Path) -> None:
    """The clip and the runner's measures are deleted with the last step."""
    service = Service(quick())

    async def main() -> Any:
        async with running(folder, service) as jobs:
            state = await until(jobs, job_id := await submit(jobs), "analyzed")
            return state, [each.name for each in (folder / job_id).iterdir()]

    state, files = run(main)
    assert 0 <= state.total_score <= 1
    assert state.scores.keys() >= {"head", "foot"}
    assert files == ["outcome.json"]
    assert len(service.ledger) == 1


def test_the_same_upload_is_the_same_job(folder: Path) -> None:
    """Twice at the same moment, again when it is finished, and again in another process."""
    service = Service(quick())

    async def main() -> set[str]:
        async with running(folder, service) as jobs:
            found = {*await asyncio.gather(submit(jobs), submit(jobs), submit(jobs))}
            await until(jobs, *found, "analyzed")
            found.add(await submit(jobs))
        async with running(folder, service) as jobs:
            found.add(again := await submit(jobs))
            assert (await jobs.state(again)).status == "analyzed"
        return found

    assert len(run(main)) == 1
    assert len(service.ledger) == 1


def test_another_request_for_the_same_clip_is_another_job(folder: Path) -> None:
    """The runner's measures change the results."""
    service = Service(quick())

    async def main() -> set[str]:
        async with running(folder, service) as jobs:
            ids = {await submit(jobs), await submit(jobs, height=1.9), await submit(jobs, view="back")}
            for each in ids:
                await until(jobs, each, "analyzed")
            return ids

    assert len(run(main)) == len(service.ledger) == 3


def test_a_request_that_cannot_be_sent_is_not_stored(folder: Path) -> None:
    """The client learns all problems at once."""

    async def main() -> None:
        async with running(folder, Service(quick())) as jobs:
            with pytest.raises(InvalidRequest, match="centimeters"):
                await submit(jobs, height=175.0)

    run(main)
    assert not list(folder.glob("[0-9a-f]*"))


def test_the_client_learns_why_a_clip_is_refused(folder: Path) -> None:
    """The text names the problem, and neither a path nor a command of the server."""
    service = Service(quick())

    async def main() -> Any:
        async with running(folder, service, preflight="errors") as jobs:
            return await until(jobs, await submit(jobs, name="runner.gif"), "refused")

    state = run(main)
    assert "mp4" in state.reason
    assert str(folder) not in state.reason
    assert not service.ledger


def test_a_refusal_that_is_not_about_the_clip_is_a_delay(folder: Path) -> None:
    """The clip is kept, and the service tries again by itself."""
    service = Service(quick())

    async def main() -> None:
        faults = FaultPlan([FaultRule(str(START), Respond(422))])
        async with running(folder, service, faults) as jobs:
            job_id = await submit(jobs)
            await until(jobs, job_id, "delayed")
            await until(jobs, job_id, "analyzed")

    run(main)
    assert len(service.ledger) == 1


def test_a_failed_analysis_is_final(folder: Path) -> None:
    """It costs a credit once, also when the clip is uploaded again."""
    service = Service(quick(failure_rate=1.0))

    async def main() -> None:
        async with running(folder, service) as jobs:
            await until(jobs, await submit(jobs), "failed")
            await until(jobs, await submit(jobs), "failed")

    run(main)
    assert len(service.ledger) == 1


def test_jobs_wait_for_credits(folder: Path) -> None:
    """The client sees a delay and the operator the reason. Once there are credits, the service continues by itself."""
    service = Service(quick(credits=0))

    async def main() -> str:
        async with running(folder, service) as jobs:
            job_id = await submit(jobs)
            state = await until(jobs, job_id, "delayed")
            assert "credit" not in state.reason
            problem: str = jobs.problem
            service.add_credits(1)
            await until(jobs, job_id, "analyzed")
            assert not jobs.problem
            return problem

    assert "credits" in run(main)
    assert len(service.ledger) == 1


def test_a_problem_of_the_account_is_shown_until_a_start_succeeds(folder: Path) -> None:
    """It does not flap: a new batch that has not started anything yet proves nothing."""
    service, seen = Service(quick(credits=0)), set[str]()

    async def main() -> None:
        async with running(folder, service) as jobs:
            await until(jobs, await submit(jobs), "delayed")
            while service.count(str(START)) < 4:
                seen.add(jobs.problem)
                await anyio.sleep(0.01)

    run(main)
    assert len(seen) == 1
    assert "" not in seen


def test_a_start_without_an_answer_is_looked_up(folder: Path) -> None:
    """It was charged: the lookup finds its analysis, and nothing is bought again."""
    service = Service(quick())

    async def main() -> None:
        faults = FaultPlan([FaultRule(str(START), DisconnectAfter(charged=True))])
        async with running(folder, service, faults) as jobs:
            await until(jobs, await submit(jobs), "analyzed")

    run(main)
    assert len(service.ledger) == 1


def test_a_start_that_no_lookup_finds_is_not_repeated(folder: Path) -> None:
    """Not even by the next process: the client sees that it is uncertain."""
    service = Service(quick())

    async def main() -> None:
        faults = FaultPlan([FaultRule(str(START), DisconnectAfter(charged=False))])
        async with running(folder, service, faults) as jobs:
            job_id = await submit(jobs)
            await until(jobs, job_id, "uncertain")
        async with running(folder, service, faults) as jobs:
            await until(jobs, job_id, "uncertain")

    run(main)
    assert service.count(str(START)) <= 1
    assert not service.ledger


def test_uploads_are_accepted_while_another_process_has_the_journal(folder: Path) -> None:
    """As when a new process replaces an old one: it takes over once the old one has ended."""
    service = Service(quick())
    folder.mkdir()

    async def main() -> None:
        async with SqliteJournal(folder / "jobs.journal"), running(folder, service) as jobs:
            job_id = await submit(jobs)
            assert (await jobs.state(job_id)).status == "queued"
            await eventually(lambda: is_busy(jobs))
        async with running(folder, service) as jobs:
            await until(jobs, job_id, "analyzed")

    run(main)
    assert len(service.ledger) == 1


async def is_busy(jobs: Any) -> bool:
    return "is open elsewhere" in jobs.problem


def test_jobs_that_the_former_process_accepted_last_are_not_lost(folder: Path) -> None:
    """A process reads the open jobs once more when it gets the journal."""
    service = Service(quick())
    folder.mkdir()

    async def main() -> None:
        async with SqliteJournal(folder / "jobs.journal") as held, running(folder, service) as jobs:
            job_id = await submit(module.Jobs(folder))
            assert await jobs.state(job_id) is None
            await held.__aexit__(None, None, None)
            await until(jobs, job_id, "analyzed")

    run(main)
    assert len(service.ledger) == 1


def test_an_outcome_is_never_replaced(folder: Path) -> None:
    """Even if two processes finish a job, one of them without the clip that the other has deleted."""
    job = folder / ("0" * 64)
    job.mkdir(parents=True)
    module._finish(job, module.JobState("analyzed", total_score=0.5))
    module._finish(job, module.JobState("refused"))
    assert module._outcome(job).status == "analyzed"


def test_open_jobs_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them holds a clip on the disk."""
    monkeypatch.setattr(module, "MAX_OPEN_JOBS", 1)

    async def main() -> None:
        async with running(folder, Service(quick(credits=0))) as jobs:
            await submit(jobs, 1)
            with pytest.raises(module.TooManyJobs):
                await submit(jobs, 2)

    run(main)


@pytest.mark.parametrize("job_id", ["", "..", "../jobs", "jobs.journal", "0" * 64, "é"])
def test_an_unknown_id_leads_nowhere(folder: Path, job_id: str) -> None:
    """An id comes from a URL, and must not lead out of the folder."""

    async def main() -> None:
        async with running(folder, Service(quick())) as jobs:
            assert await jobs.state(job_id) is None

    run(main)


def test_interrupted_uploads_are_removed_after_an_hour(folder: Path) -> None:
    """A younger one may belong to a process that is being replaced."""
    for name in ("upload-old", "upload-new"):
        (folder / name).mkdir(parents=True)
    long_ago = time.time() - 7200
    os.utime(folder / "upload-old", (long_ago, long_ago))

    async def main() -> None:
        async with running(folder, Service(quick())):
            pass

    run(main)
    assert {each.name for each in folder.glob("upload-*")} == {"upload-new"}

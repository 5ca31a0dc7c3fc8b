"""Jobs of a web service: each upload is stored on disk before it is analyzed, and is bought once.

`fastapi_service.py` and `aiohttp_service.py` show it behind two web frameworks; copy this file together with one of
them. A job is a folder with the clip and its request, later with its outcome. The folder's name, the job's id, is a
digest of both, so the same upload is the same job.

What was paid for is in a journal, which the batch writes before it sends a start and before it polls. So the process
may be killed at any moment: the next one reads the open jobs and the journal, looks up the start that was interrupted,
and collects what is paid for. The journal belongs to one process at a time: run one worker for each folder.

A job whose start no lookup resolves stays `uncertain`, and is not bought again. To resolve it, stop the service, see
`ochy journal show jobs/jobs.journal`, use `ochy journal adopt` or `release`, and start the service again.

Invariant: no job is dropped and none is bought twice, as long as the folder with its journal is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectSendStream

from ochy_async import (
    Analyzed,
    BackView,
    Batch,
    BatchItem,
    Event,
    Failed,
    FilmAgain,
    OchyError,
    OchySession,
    Refused,
    SideView,
    Uncertain,
    Unfinished,
)
from ochy_async.batch.outcomes import Outcome
from ochy_async.events import AnalysisProgress, BytesSent, StartUncertain, WatchStarted

__all__ = ["MAX_UPLOAD_BYTES", "JobState", "Jobs", "TooManyJobs"]

logger = logging.getLogger("jobs")

MAX_UPLOAD_BYTES: Final = 31_000_000
"""A clip of at most 30 MB, and the form around it."""
MAX_OPEN_JOBS: Final = 1_000
"""Bounds the disk: with the largest clips, 30 GB."""
CHUNK: Final = 1 << 20
PAUSE: Final = 60.0
"""Seconds until an unfinished job is tried again, and until a new batch follows one that had to stop."""
PATIENCE: Final = 600.0
"""Seconds for which one analysis is polled before its job is tried again."""
GRACE: Final = 8.0
"""Seconds that starts under way have to finish at a shutdown: less than the 10 s after which Docker kills."""

DRAFT: Final = "upload-"
"""How the names of folders begin that are not complete. No id begins like that."""

DELAYED: Final = "The analysis is delayed. The service continues by itself."
UNCERTAIN: Final = "The analysis may have been started. The service looks it up and does not start it a second time."
UNFIT: Final = "The video cannot be analyzed. Film again, or convert it: MP4, MOV, AVI or WEBM, at most 30 MB and 10 s."


class TooManyJobs(Exception):
    """The service has as many open jobs as it can store. Try again later."""


@dataclass(frozen=True)
class JobState:
    """What a client of the service sees of a job. The scores are health data."""

    status: Literal["queued", "uploading", "analyzing", "delayed", "uncertain", "analyzed", "failed", "refused"]
    reason: str = ""
    percentage: float | None = None
    total_score: float | None = None
    scores: dict[str, float] = field(default_factory=dict)


@dataclass
class _OpenJob:
    item: BatchItem
    state: JobState = JobState("queued")


class Jobs:
    """The jobs in a folder, which this object alone writes to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._not_open = "The journal is not open yet."
        self._stopped = ""
        """Why the last batch stopped, until a start succeeds again."""
        self._open: dict[str, _OpenJob] = {}
        self._job_of: dict[str, str] = {}
        """The open job of each analysis."""
        self._batch: Batch[Any, Any] | None = None
        self._inbox: MemoryObjectSendStream[BatchItem] | None = None
        self._stopping = False

    @property
    def problem(self) -> str:
        """Why no analysis is started at the moment, for the operator; empty if nothing is wrong."""
        return self._not_open or self._stopped

    async def submit(self, video: IO[bytes], name: str, view: str, **fields: Any) -> str:
        """Stores an upload durably and returns the id of its job. The same upload has the same id.

        Raises `InvalidRequest` (a `ValueError`) before anything is stored, and `TooManyJobs`.
        """
        request = {"view": view, **fields}
        _request_of(request)
        if len(self._open) >= MAX_OPEN_JOBS:
            raise TooManyJobs
        job_id = await to_thread.run_sync(_store, self._folder, video, Path(name).suffix.lower(), request)
        if job_id not in self._open and (job := await to_thread.run_sync(_load, self._folder / job_id)) is not None:
            self._open.setdefault(job_id, job)
            self._feed(job_id, self._inbox)
        return job_id

    async def state(self, job_id: str) -> JobState | None:
        """Returns the state of a job; None if there is no such job."""
        if job_id in self._open:
            return self._open[job_id].state
        if not re.fullmatch(r"[0-9a-f]{64}", job_id):  # the id comes from a URL and becomes a path
            return None
        return await to_thread.run_sync(_outcome, self._folder / job_id)

    def on_event(self, event: Event) -> None:
        """Follows the progress of the open jobs. Pass it to the session."""
        match event:
            case BytesSent(clip=clip):
                self._show(_id_of(clip), JobState("uploading"))
            case StartUncertain(clip=clip):
                self._show(_id_of(clip), JobState("uncertain", UNCERTAIN))
            case WatchStarted(clip=clip, analysis_id=analysis_id):
                self._stopped, self._job_of[analysis_id] = "", _id_of(clip)
                self._show(_id_of(clip), JobState("analyzing"))
            case AnalysisProgress(analysis_id=analysis_id, percentage=percentage):
                self._show(self._job_of.get(analysis_id, ""), JobState("analyzing", percentage=percentage))
            case _:
                pass

    def _show(self, job_id: str, state: JobState) -> None:
        if job_id in self._open:
            self._open[job_id].state = state

    @asynccontextmanager
    async def running(self, ochy: OchySession) -> AsyncGenerator[None]:
        """Analyzes the jobs inside the block. At its end, starts under way finish and waits are cut off, for free."""
        await self._load_open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._work, ochy)
            try:
                yield
            finally:
                with anyio.move_on_after(GRACE, shield=True):
                    await self._finish_starts()
                tasks.cancel_scope.cancel()

    async def _load_open(self) -> None:
        for job_id, job in (await to_thread.run_sync(_load_all, self._folder)).items():
            self._open.setdefault(job_id, job)

    async def _finish_starts(self) -> None:
        self._stopping = True
        if self._batch is not None:
            self._batch.stop("The service is shutting down.")
        while any(job.state.status == "uploading" for job in self._open.values()):  # noqa: ASYNC110 - see `on_event`
            await anyio.sleep(0.05)

    async def _work(self, ochy: OchySession) -> None:
        """Runs one batch after the other. A batch ends when the account, the key, the journal or the disk stops it."""
        try:
            while True:
                try:
                    await self._run_batch(ochy)
                except (OchyError, OSError) as error:  # `JournalBusy`: the process that this one replaces still runs
                    self._not_open = str(error)
                if self._stopping:
                    return
                logger.error("No analysis is started, trying again in %.0f s: %s", PAUSE, self.problem)
                await anyio.sleep(PAUSE)
        finally:
            self._not_open = "The jobs are not running."

    async def _run_batch(self, ochy: OchySession) -> None:
        inbox, clips = anyio.create_memory_object_stream[BatchItem](math.inf)
        journal = self._folder / "jobs.journal"
        # `max_credits` limits what the service may spend. After the API key was rotated, `same_account=True` is needed
        # once.
        async with inbox, clips, ochy.batch(journal=journal, tag_starts=True, timeout=PATIENCE) as batch:
            await self._load_open()  # the process before this one may have accepted more
            self._batch, self._inbox, self._not_open = batch, inbox, ""
            for job_id in self._open:
                self._feed(job_id, inbox)
            async with aclosing(batch.run(clips)) as outcomes:
                async for outcome in outcomes:
                    await self._settle(outcome, inbox)
                    if batch.report.stopped:
                        self._stopped = batch.report.stopped
                        inbox.close()

    def _feed(self, job_id: str, inbox: MemoryObjectSendStream[BatchItem] | None) -> None:
        """Gives an open job to the batch. A batch that has ended takes none; the next one takes all that are open."""
        if inbox is not None and job_id in self._open:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                inbox.send_nowait(self._open[job_id].item)

    async def _settle(self, outcome: Outcome[Any, Any], inbox: MemoryObjectSendStream[BatchItem]) -> None:
        """Stores an outcome that is final, and tries every other one again later."""
        job_id = _id_of(outcome.label)
        if job_id not in self._open:
            return
        state = _state_of(outcome)
        if state != self._open[job_id].state:
            logger.info("job %s: %s. %s", job_id, outcome.word, " ".join(outcome.reason.split()))
        if state.status in ("delayed", "uncertain"):
            self._show(job_id, state)
            asyncio.get_running_loop().call_later(PAUSE, self._feed, job_id, inbox)
        else:
            await to_thread.run_sync(_finish, self._folder / job_id, state)
            del self._open[job_id]
            self._job_of.pop(outcome.analysis_id or "", None)


def _id_of(label: str) -> str:
    """The id of the job whose clip has this label: its path."""
    return Path(label).parent.name


def _state_of(outcome: Outcome[Any, Any]) -> JobState:
    """What the client sees of an outcome. The full reason may name paths and commands, so only the log has it."""
    match outcome:
        case Analyzed(results=results):
            scores = {name: part.score_number for name, part in results.assessments()}
            return JobState("analyzed", total_score=results.total_score, scores=scores)
        case Refused(error=None | FilmAgain(), problems=problems):
            return JobState("refused", " ".join(f"{each.field}: {each.message}." for each in problems) or UNFIT)
        case Failed():
            return JobState("failed", UNFIT)
        case Uncertain():
            return JobState("uncertain", UNCERTAIN)
        case Refused() | Unfinished():  # the clip is not to blame: the network, the account, the settings or the API
            return JobState("delayed", DELAYED)


# --- on the disk, in worker threads -------------------------------------------------------------


def _request_of(stored: dict[str, Any]) -> SideView | BackView:
    fields = {name: value for name, value in stored.items() if name != "view"}
    return BackView(**fields) if stored["view"] == "back" else SideView(**fields)


def _store(folder: Path, video: IO[bytes], suffix: str, request: dict[str, Any]) -> str:
    """Stores a job completely or not at all: the folder gets its name when its content is on the disk."""
    stored = json.dumps(request, sort_keys=True).encode()
    digest = hashlib.sha256(stored)
    while chunk := video.read(CHUNK):
        digest.update(chunk)
    job = folder / digest.hexdigest()
    if job.exists():
        return job.name
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
    try:
        video.seek(0)
        with (draft / f"clip{suffix}").open("wb") as clip:
            shutil.copyfileobj(video, clip)
        (draft / "request.json").write_bytes(stored)
        _rename(draft, job)
    except OSError:
        if not job.exists():  # otherwise the same upload came twice at the same moment
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return job.name


def _load_all(folder: Path) -> dict[str, _OpenJob]:
    """The jobs that are not finished, the oldest first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for draft in folder.glob(f"{DRAFT}*"):
        if draft.stat().st_mtime < time.time() - 3600:  # a process died during that upload
            shutil.rmtree(draft, ignore_errors=True)
    jobs = sorted(folder.glob("[0-9a-f]*/"), key=lambda job: job.stat().st_mtime)
    return {job.name: loaded for job in jobs if (loaded := _load(job)) is not None}


def _load(job: Path) -> _OpenJob | None:
    if (job / "outcome.json").exists():
        return None
    (clip,) = job.glob("clip*")
    return _OpenJob(BatchItem(clip, _request_of(json.loads((job / "request.json").read_bytes()))))


def _finish(job: Path, state: JobState) -> None:
    """Stores the outcome, if there is none yet, and deletes the clip and the request, which nobody needs any more."""
    draft, path = job / "outcome.draft", job / "outcome.json"
    if not path.exists():  # the process that this one replaces may have finished the job
        draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
        _rename(draft, path)
    for each in (*job.glob("clip*"), job / "request.json"):
        each.unlink(missing_ok=True)


def _outcome(job: Path) -> JobState | None:
    path = job / "outcome.json"
    return JobState(**json.loads(path.read_bytes())) if path.exists() else None


def _rename(draft: Path, target: Path) -> None:
    """Renames a file or a folder durably: its content reaches the disk first, then the name."""
    for each in (*draft.glob("*"), draft):
        _sync(each)
    draft.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

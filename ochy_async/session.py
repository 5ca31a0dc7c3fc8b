"""`OchySession`: one short method per call of the API, and the few that wait.

Invariant: it puts decisions, waiting and the wire together and decides nothing itself.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, Unpack, cast, overload

import aiohttp
from anyio import current_time, move_on_after
from anyio.lowlevel import checkpoint

from . import starting
from .batch.engine import Batch
from .batch.output.media import Media, MediaSource, fetch, masked
from .batch.output.plan import OutputPlan
from .batch.output.results_folder import ResultsFolder
from .batch.settings import BatchSettings, settings_of, spelled_out
from .clips import ClipSource, prepare
from .core import SessionCore
from .errors import InvalidRequest, InvalidSettings, Problem, StartAttempt, UncertainStart
from .events import Listener
from .http_client import check_loop
from .policy.limits import Limits
from .policy.polling import Polling
from .policy.reconciliation import Reconciliation, candidates_of
from .policy.retry import Retry
from .preflight.checker import Checker
from .preflight.prober import Prober
from .preflight.rules import PreflightLevel, preflight_level
from .protocol.analysis import (
    AnalysisList,
    AnalysisState,
    Calculated,
    Results,
    Started,
    Status,
    calculated_call,
    list_call,
    results_call,
)
from .protocol.answer import Answer
from .protocol.call import custom_call
from .protocol.drift import DriftNote
from .protocol.exercises import Exercise, exercises_call
from .protocol.landmarks import Landmarks, landmarks_call
from .protocol.request import AnalysisRequest
from .protocol.routes import START
from .protocol.subjects import (
    CreatedSubject,
    Message,
    Subject,
    SubjectList,
    create_subject_call,
    delete_subject_call,
    get_subject_call,
    list_subjects_call,
    update_subject_call,
)
from .protocol.webhooks import WebhookSettings, configure_webhook_call, get_webhook_call
from .proxies import Proxy
from .storage import HttpStorage, Storage
from .transport import ApiKey, BaseUrl, HttpTransport, Transport
from .waiting import PollScheduler, analysis_failed, wait_timeout

__all__ = ["BASE_URL", "OchySession"]

R = TypeVar("R", bound=Answer)
C = TypeVar("C", bound=Answer)
T = TypeVar("T")

BASE_URL: Final = "https://partner-api.ochy-prod.com"
"""Documented."""


def _now() -> datetime:
    return datetime.now(UTC)


class OchySession:
    """A client of the Ochy Partner API, for use as `async with OchySession() as ochy:`.

    Every method raises `OchyError`s only (see `errors`), but for what the caller's own video stream
    raises, and ends within the deadlines of `limits` and `polling`. Concurrent calls are fine; no background
    task ever runs.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        proxy: str | None = None,
        http: aiohttp.ClientSession | None = None,
        transport: Transport | None = None,
        storage: Storage | None = None,
        retry: Retry | None = None,
        polling: Polling | None = None,
        limits: Limits | None = None,
        preflight: PreflightLevel | None = None,
        on_event: Listener | None = None,
        clock: Callable[[], datetime] | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        """Sets the session up; nothing is opened before it is entered.

        `api_key`, `base_url` and `proxy` come from `OCHY_API_KEY`, `OCHY_BASE_URL` and `OCHY_PROXY` when left out.
        `proxy` is `http://host:port`, with `user:password@` before the host where it asks for them; `environment`
        (`HTTPS_PROXY` and `NO_PROXY`, or the system's settings), or `none`. API and storage are reached through it by
        tunnels: it sees their host names, never the key or a clip. This machine is always reached directly. `http`
        lends the connections of an aiohttp session, which stays yours to close. `transport` takes
        the place of the network, key included: the emulator's, in tests. `storage` takes that of the
        way to thumbnails and videos, which never sees the key; with a `transport` and no `storage` none
        can be fetched. `preflight` says what stops a clip before it is sent: `errors` (documented limits, the
        default), `warnings` too (whatever may spoil an analysis), or `off`, which does not even look into
        it; left out it comes from `OCHY_PREFLIGHT`. `on_event` is called on the event loop with every `Event`.
        `clock` (UTC) and `chance` (0 to 1) are for tests.

        Raises `KeyRefused` without a usable key, `InvalidSettings` for a bad base URL, proxy or preflight.
        """
        key, tunnel, proxied = (
            ApiKey(api_key if api_key is not None else os.environ.get("OCHY_API_KEY", "")),
            Proxy.of(proxy),
            proxy is not None,
        )
        del api_key, proxy  # from here on no frame of ours holds them
        limits = limits or Limits()
        if transport is None:
            url = BaseUrl(base_url or os.environ.get("OCHY_BASE_URL") or BASE_URL)
            key.check()
            tunnel.check()
            transport = HttpTransport(key, url, limits, http, tunnel)
            storage = storage or HttpStorage(limits, tunnel, loopback=url.on_loopback)
        elif proxied:
            raise InvalidSettings("A transport takes the place of the network, so it takes no proxy. Leave out one.")
        clock, chance = clock or _now, chance or random.random
        self._core = SessionCore(transport, retry or Retry(), limits, clock, chance, on_event, storage)
        self._scheduler = PollScheduler(self._core, polling or Polling())
        stops = preflight_level(preflight or os.environ.get("OCHY_PREFLIGHT") or "errors")
        self._checker = Checker(self._core, Prober(limits.probe), stops)

    async def __aenter__(self) -> Self:
        check_loop()
        await self._checker.prober.__aenter__()
        self._core.open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.open = False
        async with AsyncExitStack() as closing:  # a cancellation of one must not keep the other open
            closing.push_async_callback(self._core.transport.aclose)
            if self._core.storage is not None:
                closing.push_async_callback(self._core.storage.aclose)
            closing.push_async_callback(self._checker.prober.aclose)

    def __repr__(self) -> str:
        return f"<OchySession, {'open' if self._core.open else 'closed'}: {self._core.transport!r}>"

    @property
    def drift(self) -> tuple[DriftNote, ...]:
        """Where answers differed from the vendor's documentation so far: paths and types, no content."""
        return tuple(sorted(self._core.drift))

    def _ready(self) -> SessionCore:
        self._core.check_open()
        return self._core

    # --- analyses -------------------------------------------------------------------------------

    async def analyze(
        self,
        clip: ClipSource,
        request: AnalysisRequest[R, C],
        *,
        name: str | None = None,
        label: str | None = None,
        timeout: float | None = None,
        preflight: PreflightLevel | None = None,
    ) -> R:
        """Starts an analysis and waits for its results: `start`, then `wait`. Costs one credit."""
        return await self.wait(
            await self.start(clip, request, name=name, label=label, preflight=preflight), timeout=timeout
        )

    async def start(
        self,
        clip: ClipSource,
        request: AnalysisRequest[R, C],
        *,
        name: str | None = None,
        label: str | None = None,
        preflight: PreflightLevel | None = None,
    ) -> Started[R, C]:
        """Uploads a clip and starts its analysis. Costs one credit.

        `clip` is a path, bytes, an open binary file (read from its position, never closed) or
        `Clip.stream(…)`; `name` overrides the file name that is sent, and `label` is what events, logs
        and errors call the clip. `preflight` is what stops it, that of the session when left out; what is found
        and does not stop it is told as `ClipFlagged`. What comes back can be stored as JSON and waited for by any
        process.

        Raises `ClipUnusable` before anything is sent, `ClipRefused`, `BuyCredits`, `KeyRefused`, or
        `NotFound` (subject) where the server refused, `TryLater` where it surely did not happen, and
        `UncertainStart` where it may have been charged: that is never sent again, see `reconcile`.
        """
        core = self._ready()
        if not isinstance(request, AnalysisRequest):
            raise InvalidRequest.of("start", (Problem("request", "must be a SideView or a BackView"),))
        checker = self._checked_by(preflight)
        with core.deadline(START):  # a file system may hang as a network does
            ready = await prepare(clip, name)
            await checker.check(ready, request, label or ready.name)
        return await starting.start(core, ready, request, label)

    @overload
    async def status(self, started: Started[R, C]) -> AnalysisState[R]: ...
    @overload
    async def status(self, started: str) -> AnalysisState[Results]: ...
    async def status(self, started: Started[R, C] | str) -> AnalysisState[R] | AnalysisState[Results]:
        """Looks at an analysis once. A failed one is a state here, not an error.

        With a bare id the view is told by the keys of the answer. Raises `NotFound`, `TryLater`.
        """
        _checked(started)
        return await self._ready().perform(results_call(started))

    @overload
    def watch(self, started: Started[R, C], *, timeout: float | None = None) -> AsyncGenerator[AnalysisState[R]]: ...
    @overload
    def watch(self, started: str, *, timeout: float | None = None) -> AsyncGenerator[AnalysisState[Results]]: ...
    async def watch(
        self,
        started: Started[R, C] | str,
        *,
        timeout: float | None = None,
    ) -> AsyncGenerator[AnalysisState[R] | AnalysisState[Results]]:
        """The states of an analysis as they are seen; the first and the last are always among them.

        Ends after `success` or `failed`. Raises what `wait` raises but for `AnalysisFailed`.
        """
        self._ready()
        _checked(started)
        seconds = _patience(timeout, self._scheduler.polling.timeout)
        until = current_time() + seconds
        async with aclosing(self._scheduler.watch(started)) as states:
            while True:
                state = None
                with move_on_after(until - current_time()) as scope:
                    state = await anext(states, None)
                if scope.cancelled_caught:
                    raise wait_timeout(started, seconds)
                if state is None:
                    return
                yield state

    @overload
    async def wait(self, started: Started[R, C], *, timeout: float | None = None) -> R: ...
    @overload
    async def wait(self, started: str, *, timeout: float | None = None) -> Results: ...
    async def wait(
        self,
        started: Started[R, C] | str,
        *,
        timeout: float | None = None,
    ) -> R | Results:
        """The results of an analysis, once it has succeeded.

        `timeout` in seconds, from `Polling.timeout` when left out. Raises `AnalysisFailed`,
        `WaitTimeout` (the analysis goes on: wait again with the id in the error), `NotFound`,
        `KeyRefused`, or the error of the last look once every look has failed for `Polling.patience`.
        """
        self._ready()
        _checked(started)
        seconds = _patience(timeout, self._scheduler.polling.timeout)
        state = await self._scheduler.wait(started, seconds)
        if state.status == Status.FAILED:
            raise analysis_failed(state)
        return cast("R", state.results)  # there on success

    @overload
    async def calculated_data(self, started: Started[R, C]) -> C: ...
    @overload
    async def calculated_data(self, started: str) -> Calculated: ...
    async def calculated_data(self, started: Started[R, C] | str) -> C | Calculated:
        """The calculated data of a succeeded analysis. Raises `NotReady` before `success`."""
        _checked(started)
        return await self._ready().perform(calculated_call(started))

    async def raw_data(self, started: Started[Any, Any] | str) -> Landmarks:
        """The landmarks of a succeeded analysis, frame by frame, as columns.

        The path is inferred. Read in slices: other tasks go on meanwhile. Raises `NotReady`.
        """
        _checked(started)
        core = self._ready()
        call = landmarks_call(_id(started))
        reading = await core.perform(call)
        with core.deadline(call.request.route, call.analysis_id):
            while not reading.advance():
                await checkpoint()
        core.record_drift(reading.notes)
        return reading.result()

    async def download(
        self, source: MediaSource, path: str | os.PathLike[str], *, file: Media = "output_video"
    ) -> Path:
        """Fetches the annotated video or the thumbnail of an analysis to `path`, and returns where it is.

        `source` is results, what `start` returned, an analysis id, or a single link such as
        `results.output_video` (an address as text is one too). `file` is `output_video` (MP4) or `thumbnail` (JPEG);
        a link leads to what it leads to. Where `path` is a folder, the file goes into it, named after the analysis.

        The file is there whole or not at all, and replaces one of that name. What came of a transfer that broke off,
        or was cancelled, stays beside it (`….part`, `….etag`) and is taken up by the next call, if the storage says
        that it still has the same file. Links are dead after an hour (documented): with results or an id a fresh one
        is asked for, with a single link it cannot be. The key is never sent to the storage, and redirects are not
        followed. Size and time are bounded by `Limits.media_bytes`, `call` and `upload_rate`.

        Raises `OutputError` where the file cannot be written or another download is at it, `NotReady` before
        `success`, `AnalysisFailed`, `NotFound`, `RequestRefused` for a link that has died, and `TryLater`.
        """
        source = masked(source)  # from here on no frame of ours shows a link
        return await fetch(self._ready(), source, path, file)

    async def list_analyses(self) -> AnalysisList:
        """All analyses of the account. Order and paging are not documented."""
        return await self._ready().perform(list_call())

    async def list_subject_analyses(self, subject_id: str) -> AnalysisList:
        """The analyses that are linked to a subject. How soon a new one appears is not documented."""
        return await self._ready().perform(list_call(subject_id))

    async def reconcile(
        self, uncertain: UncertainStart | StartAttempt, *, known: Collection[str] = ()
    ) -> Reconciliation:
        """Looks up what may have become of an uncertain start; adopts nothing.

        Analyses in `known`, those that this session started, and those listed with another subject
        or another time are no candidates. With a subject of its own a start is looked up exactly;
        without one every analysis of the account is a candidate.
        """
        start = uncertain.start if isinstance(uncertain, UncertainStart) else uncertain
        if start is None:
            raise InvalidRequest.of("reconcile", (Problem("uncertain", "does not say which start it is about"),))
        core = self._ready()
        listed = await core.perform(list_call(start.subject_id))
        return candidates_of(start, listed, core.started_ids.union(known))

    @overload
    def batch(self, request: AnalysisRequest[R, C], **settings: Unpack[BatchSettings]) -> Batch[R, C]: ...
    @overload
    def batch(self, request: None = None, **settings: Unpack[BatchSettings]) -> Batch[Any, Any]: ...
    @spelled_out
    def batch(
        self, request: AnalysisRequest[Any, Any] | None = None, **settings: Unpack[BatchSettings]
    ) -> Batch[Any, Any]:
        """Many clips: `async with ochy.batch(SideView(), journal="clips.journal") as batch:`, then `batch.run(clips)`.

        `request` is for clips that come without one of their own. The settings:

        - `journal`: a path (SQLite), or a journal. Without one a batch is remembered for as long as the process lives.
        - `max_credits`: what the journal may have cost in all, earlier runs included. Without it there is no limit.
        - `max_credits_per_run`: what this batch alone may spend, whatever earlier runs have. Without it, no limit.
        - `concurrency`: how many clips may be at each stage together. Without it `Concurrency()`.
        - `timeout`: seconds for which each analysis is watched. Without it an hour, or `Polling.timeout` if more.
        - `tag_starts`: gives each upload lane a subject of its own, so that a start in doubt is looked up exactly.
        - `retry_refused`: sends again what the server refused in an earlier run.
        - `wait_for_credits`: seconds for which starts are paused, and not given up, once the account is empty.
        - `same_account`: says that a new key belongs to the account that the journal was kept for.
        - `same_origin`: says that another base URL leads to the server that the journal was kept for.
        - `out`: a folder for what is kept of each clip, and for `results.jsonl` and `results.csv` over all.
        - `keep`: what is fetched besides the results: `calculated` (the default with `out`; also without a folder),
          `raw_data`, `thumbnail`, `output_video`.
        - `preflight`: what stops a clip before it is bought: `errors`, `warnings` too, or `off`. Without it as the
          session says.

        Raises `InvalidSettings` for nonsense; entering the block raises `JournalError` where the journal
        cannot serve, `OutputError` where the folder cannot.
        """
        core, timeout = self._core, self._scheduler.polling.timeout
        checker = self._checked_by(settings.get("preflight"))
        ready = settings_of(settings, timeout=timeout, storage=core.storage, checker=checker)
        return Batch(core, self._scheduler, ready, request)

    def _checked_by(self, preflight: PreflightLevel | None) -> Checker:
        return self._checker if preflight is None else self._checker.stopped_by(preflight_level(preflight))

    def results_folder(self, out: str | os.PathLike[str] | None, keep: Collection[str] | None = None) -> ResultsFolder:
        """Keeps what paid analyses bring, as a batch does: `async with ochy.results_folder("results") as folder:`.

        `keep` is as for `batch`. Records are added to the tables that stand in the folder. Raises `InvalidSettings` for
        nonsense; entering the block raises `OutputError` where the folder cannot be written.
        """
        return ResultsFolder(self._core, OutputPlan.of(out, keep, self._core.storage))

    # --- subjects, webhook, exercises ---------------------------------------------------------------

    async def create_subject(
        self,
        *,
        email: str | None = None,
        name: str | None = None,
        height: float | None = None,
        weight: float | None = None,
    ) -> CreatedSubject:
        """Creates a subject; height in meters, weight in kilograms. Never sent twice on a doubt."""
        return await self._ready().perform(create_subject_call(email=email, name=name, height=height, weight=weight))

    async def list_subjects(self) -> SubjectList:
        """All subjects but the deleted ones."""
        return await self._ready().perform(list_subjects_call())

    async def get_subject(self, subject_id: str) -> Subject:
        """One subject. Raises `NotFound` if it is missing or deleted."""
        return await self._ready().perform(get_subject_call(subject_id))

    async def update_subject(
        self,
        subject_id: str,
        *,
        email: str | None = None,
        name: str | None = None,
        height: float | None = None,
        weight: float | None = None,
    ) -> Message:
        """Changes what is given and leaves the rest as it is. Raises `NotFound`."""
        return await self._ready().perform(
            update_subject_call(subject_id, email=email, name=name, height=height, weight=weight)
        )

    async def delete_subject(self, subject_id: str) -> Message:
        """Deletes a subject, softly. The path is inferred. Raises `NotFound`."""
        return await self._ready().perform(delete_subject_call(subject_id))

    async def get_webhook(self) -> WebhookSettings:
        """The settings of the account's one webhook; `stored` is False where there is none."""
        return await self._ready().perform(get_webhook_call())

    async def configure_webhook(self, url: str, *, enabled: bool) -> WebhookSettings:
        """Stores the webhook's https URL and whether it is on. Raises `InvalidRequest`."""
        return await self._ready().perform(configure_webhook_call(url, enabled=enabled))

    async def exercises(self, search_keys: Sequence[str], *, language: str = "en") -> tuple[Exercise, ...]:
        """The exercises for the search keys of assessments. An unknown language falls back to English."""
        return await self._ready().perform(exercises_call(search_keys, language=language))

    async def request(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        json: Any = None,
    ) -> Any:
        """The escape hatch: any request of the API, its answer as untouched JSON.

        `path` is as it stands on the wire, percent-encoded, without key. Retried like every call: a
        GET or PUT freely, anything else only where it surely did not happen. A body with a `status`
        is an answer, even `failed` with its HTTP 400. To start an analysis use `start`.
        """
        return await self._ready().perform(custom_call(method, path, tuple(query), json))


def _id(started: Started[Any, Any] | str) -> str:
    return started if isinstance(started, str) else started.analysis_id


def _patience(timeout: float | None, otherwise: float) -> float:
    """The seconds to wait. Raises `InvalidRequest` for what is no positive number."""
    seconds = otherwise if timeout is None else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidRequest.of("wait", (Problem("timeout", "must be a number of seconds above 0"),))
    return seconds


def _checked(started: Started[Any, Any] | str) -> None:
    if not isinstance(started, str | Started):
        raise InvalidRequest.of("wait", (Problem("started", "must be what `start` returned, or an id"),))

"""`OchySession`: one short method for each call of the API, and the methods that wait for an analysis.

Invariant: the session connects policy, waiting and transport, and decides nothing itself. Batches, downloads and
landmarks, which are a third of the library, are imported when a session is first asked for them.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, aclosing, nullcontext
from copy import copy
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, Unpack, cast, overload

import aiohttp
from anyio import current_time
from anyio.lowlevel import checkpoint

from . import starting
from .batch.arguments import BatchSettings, with_settings_in_signature
from .clips import ClipSource, prepare
from .core import SessionCore
from .errors import InvalidRequest, InvalidSettings, Problem, StartAttempt, UncertainStart
from .events import Listener
from .http_client import check_loop
from .log_level import configure_log
from .observing import Observer
from .policy.limits import Limits
from .policy.polling import Polling
from .policy.reconciliation import Reconciliation, candidates_of, may_matter
from .policy.retry import Retry
from .preflight.checker import Checker
from .preflight.prober import Prober
from .preflight.rules import PreflightLevel, preflight_level
from .protocol.analysis import (
    AnalysisState,
    Started,
    Status,
    analysis_id_of,
    calculated_call,
    results_call,
)
from .protocol.analysis_list import AnalysisList, ListedAnalysis, list_call
from .protocol.answer import Answer, RawJson
from .protocol.call import custom_call
from .protocol.drift import DriftNote
from .protocol.exercises import Exercise, exercises_call
from .protocol.ranges import TRANSFER
from .protocol.request import AnalysisRequest
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
from .protocol.views import REQUEST_CLASSES, Calculated, Results
from .protocol.webhooks import WebhookSettings, configure_webhook_call, get_webhook_call
from .proxies import Proxy
from .storage import HttpStorage, Storage
from .transport import ApiKey, BaseUrl, HttpTransport, Transport
from .waiting import PollScheduler, analysis_failed

if TYPE_CHECKING:
    from .batch.engine import Batch
    from .batch.output.media import Media, MediaSource
    from .batch.output.results_folder import ResultsFolder
    from .protocol.landmarks import Landmarks
    from .webhooks.hooks import Webhooks

__all__ = ["BASE_URL", "OchySession"]

R = TypeVar("R", bound=Answer)
C = TypeVar("C", bound=Answer)
T = TypeVar("T")

BASE_URL: Final = "https://partner-api.ochy-prod.com"
"""Documented."""
COMPARED_AT_ONCE: Final = 2_000
"""Listed analyses that are compared with a start without a checkpoint: less than a millisecond of work."""


class OchySession:
    """A client of the Ochy Partner API: `async with OchySession() as ochy:`.

    Methods raise `OchyError`s only (see `ochy_async.errors`), apart from what the caller's own video stream raises, and
    return within the deadlines of `limits` and `polling`. `timeout=` gives one call a deadline of its own, in seconds,
    for all of its attempts together. Calls may run concurrently. No background task runs,
    except one that listens to the bus of `webhooks`, if they have one.
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
        webhooks: Webhooks | None = None,
        on_event: Listener | None = None,
        telemetry: Observer | None = None,
        clock: Callable[[], datetime] | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        """Configures the session. Nothing is opened before `async with` enters it.

        - `api_key`, `base_url`, `proxy`, `preflight`: when left out, they come from `OCHY_API_KEY`, `OCHY_BASE_URL`,
          `OCHY_PROXY` and `OCHY_PREFLIGHT`.
        - `proxy`: `http://host:port`, or `http://user:password@host:port`; `environment` uses `HTTPS_PROXY` and
          `NO_PROXY`, or the system's settings; `none` uses no proxy. Requests go through a tunnel, so the proxy sees
          the host names of API and storage, but never the key or a clip. This machine is always reached directly.
        - `http`: an aiohttp session whose connections are used. You close it yourself.
        - `transport`: replaces the network and the key, for example by the emulator's transport in tests.
        - `storage`: fetches thumbnails and videos, without the key. With a `transport` and no `storage`, none can be
          fetched.
        - `preflight`: which findings stop a clip before it is sent: `errors` (documented limits; the default),
          `warnings` (also anything that may spoil an analysis), or `off` (the clip is not probed).
        - `webhooks`: receives the vendor's deliveries. Every start then asks for them (`notify_via_webhook`), and a
          delivery moves the next poll of a wait forward. Several sessions may share one object.
        - `on_event`: called on the event loop with every `Event`.
        - `telemetry`: sees events and operations, for traces and metrics: `ochy_async.telemetry.OpenTelemetry()`.
        - `clock`, `chance`: for tests; the time in UTC, and random numbers from 0 to 1.

        The first session of a process also applies `OCHY_LOG` (`debug`, `info`, `warning` or `error`): it shows the
        library's log on stderr, unless the program configures logging.

        Raises `KeyRefused` without a usable key, and `InvalidSettings` for an invalid base URL, proxy, preflight or
        `OCHY_LOG`.
        """
        configure_log()
        key = ApiKey(api_key if api_key is not None else os.environ.get("OCHY_API_KEY", ""))
        tunnel, proxied = Proxy.of(proxy), proxy is not None
        del api_key, proxy  # so that no frame in a traceback holds them
        limits = limits or Limits()
        if transport is None:
            url = BaseUrl(base_url or os.environ.get("OCHY_BASE_URL") or BASE_URL)
            key.check()
            tunnel.check()
            transport = HttpTransport(key, url, limits, http, tunnel)
            storage = storage or HttpStorage(limits, tunnel, loopback=url.on_loopback)
        elif proxied:
            raise InvalidSettings("A transport replaces the network, so it cannot use a proxy. Leave out one of them.")
        clock, chance = clock or partial(datetime.now, UTC), chance or random.random
        self._core = SessionCore(transport, retry or Retry(), limits, clock, chance, on_event, storage, telemetry)
        self._core.notify_via_webhook = webhooks is not None
        wakes = None if webhooks is None else webhooks.wakes
        self._scheduler = PollScheduler(self._core, polling or Polling(), wakes)
        level = preflight_level(preflight or os.environ.get("OCHY_PREFLIGHT") or "errors")
        self._prober = Prober(limits.probe)
        self._checker = Checker(self._core, self._prober, level)
        self._webhooks = webhooks
        self._stack = AsyncExitStack()
        self._derived = False

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> Self:
        """Opens the session and returns it: what entering `async with` does. Call `aclose` afterwards.

        For frameworks that have hooks for startup and shutdown. Raises `InvalidSettings` if the session is open.
        """
        self._check_owner()
        check_loop()
        if self._core.state.open:
            raise InvalidSettings("The session is open already. Use it as it is, or close it first.")
        async with AsyncExitStack() as stack:  # if closing one is cancelled, the others are closed all the same
            stack.push_async_callback(self._core.aclose)
            await stack.enter_async_context(self._prober)
            if self._webhooks is not None:
                await stack.enter_async_context(self._webhooks.listening(self._core.emit))
            self._stack = stack.pop_all()
        self._core.state.open = True
        return self

    async def aclose(self) -> None:
        """Closes the session and all its connections: what leaving `async with` does. A second call does nothing.

        Calls under way fail. A start that is interrupted may have been charged: wait for starts before you close.
        """
        self._check_owner()
        self._core.state.open = False
        await self._stack.aclose()

    def with_options(
        self,
        *,
        retry: Retry | None = None,
        polling: Polling | None = None,
        limits: Limits | None = None,
        preflight: PreflightLevel | None = None,
        on_event: Listener | None = None,
    ) -> Self:
        """Returns a session with other settings that shares everything else with this one.

        Shared are the connections, the rate limit of polls, the retry budget, what was learned about durations, the
        drift report, the ids of started analyses, and whether the session is open. A setting that is left out is
        inherited; one that is given replaces all of the old one. Making such a session costs microseconds, so that one
        call can have settings of its own: `await ochy.with_options(retry=Retry(attempts=1)).status(started)`.

        The returned session is used while this one is open. It cannot be entered or closed by itself: that raises
        `InvalidSettings`. Raises `InvalidSettings` for an invalid `preflight`.
        """
        core = self._core.with_options(retry, limits, on_event)
        scheduler = self._scheduler.with_options(core, polling)
        derived = copy(self)
        derived._derive(core, scheduler, self._checker_for(preflight).with_core(core))  # noqa: SLF001 - our own copy
        return derived

    def _derive(self, core: SessionCore, scheduler: PollScheduler, checker: Checker) -> None:
        """Makes this copy of a session a derived one."""
        self._core, self._scheduler, self._checker, self._derived = core, scheduler, checker, True

    def _check_owner(self) -> None:
        """Raises `InvalidSettings` for a session that `with_options` made: its connections are not its own."""
        if self._derived:
            raise InvalidSettings(
                "A session that `with_options` returned shares the connections of the session it was made from. Open "
                "and close that one. This one is ready to use while that one is open."
            )

    def _within(self, timeout: float | None) -> SessionCore:
        """The core for one call. Raises `InvalidRequest` unless `timeout` is None or a positive number of seconds."""
        return self._core if timeout is None else self._core.within(_positive(timeout))

    def __repr__(self) -> str:
        return f"<OchySession, {'open' if self._core.state.open else 'closed'}: {self._core.transport!r}>"

    @property
    def simulated(self) -> bool:
        """Whether results are simulated: the key is the one that the emulator has unless it is told another."""
        return self._core.simulated

    @property
    def drift(self) -> tuple[DriftNote, ...]:
        """How answers differed from the vendor's documentation so far: paths and types, no content."""
        return tuple(sorted(self._core.state.drift))

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
        """Starts an analysis and waits for its results. Costs one credit.

        The same as `start`, then `wait`: takes their arguments and raises their errors.
        """
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
        timeout: float | None = None,
    ) -> Started[R, C]:
        """Uploads a clip and starts its analysis. Costs one credit.

        `clip` is a path, bytes, an open binary file (read from its position, never closed) or `Clip.stream(…)`. `name`
        overrides the file name that is sent. `label` names the clip in events, logs and errors. `preflight` overrides
        that of the session; findings that do not stop the clip are emitted as `ClipFlagged`. `timeout` is in seconds,
        for the check, the upload and all attempts together; the default depends on the size of the clip (`Limits`). The
        returned `Started` can be stored as JSON, and any process can wait for it.

        Raises `ClipUnusable` before anything is sent; `ClipRefused`, `BuyCredits`, `KeyRefused` or `NotFound` (the
        subject) if the server refused the start; `TryLater` if the start surely did not happen; and `UncertainStart` if
        it may have been charged. An uncertain start is never sent again: see `reconcile`.
        """
        core = self._within(timeout)
        core.check_open()
        if not isinstance(request, AnalysisRequest):
            raise InvalidRequest.of("start", (Problem("request", f"must be {REQUEST_CLASSES}"),))
        checker = self._checker_for(preflight)
        with starting.preparation_deadline(core):
            ready = await prepare(clip, name)
            await checker.check(ready, request, label or ready.name)
        return await starting.start(core, ready, request, label)

    @overload
    async def status(self, started: Started[R, C], *, timeout: float | None = None) -> AnalysisState[R]: ...
    @overload
    async def status(self, started: str, *, timeout: float | None = None) -> AnalysisState[Results]: ...
    async def status(
        self, started: Started[R, C] | str, *, timeout: float | None = None
    ) -> AnalysisState[R] | AnalysisState[Results]:
        """Polls an analysis once and returns its state. A failed analysis is a state here, not an error.

        For a bare id, the view is inferred from the keys of the answer. Raises `NotFound` and `TryLater`.
        """
        _check_started(started)
        return await self._within(timeout).perform(results_call(started))

    @overload
    def watch(self, started: Started[R, C], *, timeout: float | None = None) -> AsyncGenerator[AnalysisState[R]]: ...
    @overload
    def watch(self, started: str, *, timeout: float | None = None) -> AsyncGenerator[AnalysisState[Results]]: ...
    async def watch(
        self, started: Started[R, C] | str, *, timeout: float | None = None
    ) -> AsyncGenerator[AnalysisState[R] | AnalysisState[Results]]:
        """Polls an analysis and yields each state, up to and including `success` or `failed`.

        `timeout` is in seconds; the default is `Polling.timeout`. Raises what `wait` raises, except `AnalysisFailed`.
        """
        self._core.check_open()
        _check_started(started)
        seconds = self._scheduler.polling.timeout if timeout is None else _positive(timeout)
        async with aclosing(self._scheduler.watch(started, seconds)) as states:
            async for state in states:
                yield state

    @overload
    async def wait(self, started: Started[R, C], *, timeout: float | None = None) -> R: ...
    @overload
    async def wait(self, started: str, *, timeout: float | None = None) -> Results: ...
    async def wait(self, started: Started[R, C] | str, *, timeout: float | None = None) -> R | Results:
        """Waits until an analysis has succeeded, and returns its results.

        `timeout` is in seconds; the default is `Polling.timeout`. Raises `AnalysisFailed`, `WaitTimeout` (the analysis
        is still running: wait again with the id in the error), `NotFound`, `KeyRefused`, or the error of the last poll
        once every poll has failed for `Polling.patience` seconds.
        """
        self._core.check_open()
        _check_started(started)
        seconds = self._scheduler.polling.timeout if timeout is None else _positive(timeout)
        state = await self._scheduler.wait(started, seconds)
        if state.status == Status.FAILED:
            raise analysis_failed(state)
        return cast("R", state.results)  # an analysis that succeeded has them

    @overload
    async def calculated_data(self, started: Started[R, C], *, timeout: float | None = None) -> C: ...
    @overload
    async def calculated_data(self, started: str, *, timeout: float | None = None) -> Calculated: ...
    async def calculated_data(self, started: Started[R, C] | str, *, timeout: float | None = None) -> C | Calculated:
        """Returns the calculated data of a successful analysis. Raises `NotReady` before `success`."""
        _check_started(started)
        return await self._within(timeout).perform(calculated_call(started))

    async def raw_data(self, started: Started[Any, Any] | str, *, timeout: float | None = None) -> Landmarks:
        """Returns the landmarks of a successful analysis, frame by frame, as columns.

        The vendor does not document the path: it is inferred. The answer is read in slices, so that other tasks are not
        blocked. Raises `NotReady` before `success`.
        """
        from .protocol import landmarks

        _check_started(started)
        return await self._within(timeout).perform_in_slices(landmarks.landmarks_call(analysis_id_of(started)))

    async def download(
        self,
        source: MediaSource,
        path: str | os.PathLike[str],
        *,
        file: Media = "output_video",
        timeout: float | None = None,
    ) -> Path:
        """Downloads the annotated video or the thumbnail of an analysis to `path`, and returns the path of the file.

        `source` is results, what `start` returned, an analysis id, or a single link such as `results.output_video`
        (also as text). `file` is `output_video` (MP4) or `thumbnail` (JPEG); for a single link it is ignored. If
        `path` is a folder, the file is named after the analysis.

        The file appears only when it is complete, and replaces a file of the same name. An interrupted or cancelled
        transfer leaves its bytes beside it (`….part`, `….etag`), and the next call resumes it if the storage still has
        the same file. Links expire after an hour (documented); with results or an id the library can request a fresh
        link, with a single link it cannot. The key is never sent to the storage, and redirects are not followed. Size
        and time are limited by `Limits.media_bytes`, `call` and `upload_rate`, or the time of the whole download by
        `timeout` (seconds).

        Raises `OutputError` if the file cannot be written or another download is writing it, `NotReady` before
        `success`, `AnalysisFailed`, `NotFound`, `RequestRefused` for an expired link, and `TryLater`.
        """
        from .batch.output import media

        source = media.masked(source)  # so that no frame in a traceback shows a link
        core = self._within(timeout)
        core.check_open()
        with nullcontext() if timeout is None else core.deadline(TRANSFER, meaning="The next call resumes it. "):
            return await media.fetch(core, source, path, file)

    async def list_analyses(self, *, timeout: float | None = None) -> AnalysisList:
        """Lists all analyses of the account. Order and paging are not documented.

        The answer is read in slices, so that other tasks can run meanwhile, and may have `Limits.list_bytes`. All
        analyses of a large account are many objects: with 200,000, a pass of Python's garbage collector takes up to a
        tenth of a second.
        """
        return await self._within(timeout).perform_in_slices(list_call())

    async def list_subject_analyses(self, subject_id: str, *, timeout: float | None = None) -> AnalysisList:
        """Lists the analyses of a subject. How soon a new one appears in the list is not documented."""
        return await self._within(timeout).perform_in_slices(list_call(subject_id))

    async def reconcile(
        self, uncertain: UncertainStart | StartAttempt, *, known: Collection[str] = (), timeout: float | None = None
    ) -> Reconciliation:
        """Lists the analyses that an uncertain start may have become. Starts, adopts and charges nothing.

        These are not candidates: the ids in `known`, the analyses that this session started, and analyses that are
        listed with another subject or as created at another time. If the start had a subject, only that subject's
        analyses are candidates, so the lookup is exact if the subject had no other start. Otherwise every analysis of
        the account may be a candidate.
        """
        start = uncertain.start if isinstance(uncertain, UncertainStart) else uncertain
        if start is None:
            problem = Problem("uncertain", "has no `start`: pass the error that was raised, or a `StartAttempt`")
            raise InvalidRequest.of("reconcile", (problem,))
        known = self._core.state.started_ids.union(known)
        listing = list_call(start.subject_id, keep=may_matter([start], known))
        listed = await self._within(timeout).perform_in_slices(listing)
        found = list[ListedAnalysis]()
        for first in range(0, len(listed), COMPARED_AT_ONCE):
            found += candidates_of(start, listed.analyses[first : first + COMPARED_AT_ONCE], known).candidates
            await checkpoint()
        return Reconciliation(start, tuple(found))

    @overload
    def batch(self, request: AnalysisRequest[R, C], **settings: Unpack[BatchSettings]) -> Batch[R, C]: ...
    @overload
    def batch(self, request: None = None, **settings: Unpack[BatchSettings]) -> Batch[Any, Any]: ...
    @with_settings_in_signature
    def batch(
        self, request: AnalysisRequest[Any, Any] | None = None, **settings: Unpack[BatchSettings]
    ) -> Batch[Any, Any]:
        """Analyzes many clips: `async with ochy.batch(SideView(), journal="clips.journal") as batch:`.

        Pass the clips to `batch.run`. `request` applies to clips that have no request of their own. The settings:

        - `journal`: a path (SQLite), or a journal. Default: a journal in memory that ends with the process.
        - `max_credits`: the most credits that the journal may record, earlier runs included. Default: no limit.
        - `max_credits_per_run`: the most credits that this batch may spend. Default: no limit.
        - `concurrency`: how many clips may be at each stage at once. Default: `Concurrency()`.
        - `timeout`: seconds for which each analysis is polled. Default: an hour, or `Polling.timeout` if that is more.
        - `tag_starts`: gives each upload slot its own subject, so that an uncertain start can be looked up exactly.
        - `retry_refused`: sends clips again that the server refused in an earlier run.
        - `rehash`: reads the files of all clips. Default: not those of analyzed clips whose size, times and inode stay
          the same.
        - `wait_for_credits`: seconds for which new starts are paused when the account has no credits, before they are
          stopped.
        - `same_account`: confirms that a new key belongs to the account of the journal.
        - `same_origin`: confirms that another base URL leads to the server of the journal.
        - `out`: a folder for the files of each clip, and for `results.jsonl` and `results.csv` of all clips.
        - `keep`: what is stored besides the results: `calculated` (the default with `out`; also without a folder),
          `raw_data`, `thumbnail`, `output_video`.
        - `preflight`: which findings stop a clip before it is bought: `errors`, `warnings` or `off`. Default: that of
          the session.

        Raises `InvalidSettings` for an invalid value. Entering the block raises `JournalError` if the journal cannot be
        used, and `OutputError` if the folder cannot.
        """
        from .batch import engine
        from .batch import settings as batch_settings

        core, timeout = self._core, self._scheduler.polling.timeout
        checker = self._checker_for(settings.get("preflight"))
        ready = batch_settings.settings_of(settings, timeout=timeout, storage=core.storage, checker=checker)
        return engine.Batch(core, self._scheduler, ready, request)

    def _checker_for(self, preflight: PreflightLevel | None) -> Checker:
        return self._checker if preflight is None else self._checker.at_level(preflight_level(preflight))

    def results_folder(self, out: str | os.PathLike[str] | None, keep: Collection[str] | None = None) -> ResultsFolder:
        """Stores paid analyses as a batch does: `async with ochy.results_folder("results") as folder:`.

        `keep` is as for `batch`. Records are added to the tables in the folder. Raises `InvalidSettings` for an invalid
        value. Entering the block raises `OutputError` if the folder cannot be written.
        """
        from .batch.output import plan, results_folder

        return results_folder.ResultsFolder(self._core, plan.OutputPlan.of(out, keep, self._core.storage))

    # --- subjects, webhook, exercises ---------------------------------------------------------------

    async def create_subject(
        self,
        *,
        email: str | None = None,
        name: str | None = None,
        height: float | None = None,
        weight: float | None = None,
        timeout: float | None = None,
    ) -> CreatedSubject:
        """Creates a subject. `height` is in meters, `weight` in kilograms.

        If the request may have reached the server, it is not repeated.
        """
        call = create_subject_call(email=email, name=name, height=height, weight=weight)
        return await self._within(timeout).perform(call)

    async def list_subjects(self, *, timeout: float | None = None) -> SubjectList:
        """Lists all subjects that are not deleted."""
        return await self._within(timeout).perform(list_subjects_call())

    async def get_subject(self, subject_id: str, *, timeout: float | None = None) -> Subject:
        """Returns one subject. Raises `NotFound` if it is missing or deleted."""
        return await self._within(timeout).perform(get_subject_call(subject_id))

    async def update_subject(
        self,
        subject_id: str,
        *,
        email: str | None = None,
        name: str | None = None,
        height: float | None = None,
        weight: float | None = None,
        timeout: float | None = None,
    ) -> Message:
        """Changes the given fields of a subject and no others. Raises `NotFound`."""
        call = update_subject_call(subject_id, email=email, name=name, height=height, weight=weight)
        return await self._within(timeout).perform(call)

    async def delete_subject(self, subject_id: str, *, timeout: float | None = None) -> Message:
        """Deletes a subject (softly, by the vendor's documentation). Raises `NotFound`.

        The vendor does not document the path: it is inferred.
        """
        return await self._within(timeout).perform(delete_subject_call(subject_id))

    async def ping(self, *, timeout: float = 5.0) -> float:
        """Returns the seconds in which the API answered; for health checks. Costs no credit.

        Sends `GET /webhook`, with retries within `timeout` seconds. The answer shows that the API can be reached and
        accepts the key. It does not show that the account has credits, or that analyses are processed. Raises
        `KeyRefused`, `TryLater` if the API does not answer or is failing, and `UnreadableAnswer` if something else
        answers.
        """
        began = current_time()
        await self._within(timeout).perform(get_webhook_call())
        return current_time() - began

    async def get_webhook(self, *, timeout: float | None = None) -> WebhookSettings:
        """Returns the settings of the account's one webhook. `stored` is False if there is none."""
        return await self._within(timeout).perform(get_webhook_call())

    async def configure_webhook(self, url: str, *, enabled: bool, timeout: float | None = None) -> WebhookSettings:
        """Stores the webhook's https URL, and whether it is enabled. Raises `InvalidRequest`."""
        settings = RawJson(url=url, enabled=enabled)
        del url  # so that no frame in a traceback holds its token
        return await self._within(timeout).perform(configure_webhook_call(**settings))

    async def exercises(
        self, search_keys: Sequence[str], *, language: str = "en", timeout: float | None = None
    ) -> tuple[Exercise, ...]:
        """Returns the exercises for the search keys of assessments.

        For an unknown language the vendor returns English (documented).
        """
        return await self._within(timeout).perform(exercises_call(search_keys, language=language))

    async def request(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        json: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """Sends any request to the API and returns its answer as untouched JSON.

        `path` must be percent-encoded and must not contain the key. GET and PUT are retried; other methods only if the
        request surely did not happen. An answer whose body has a `status` is returned, even `failed`, which comes with
        HTTP 400. To start an analysis, use `start`.
        """
        return await self._within(timeout).perform(custom_call(method, path, tuple(query), json))


def _positive(timeout: float) -> float:
    """The seconds of a timeout. Raises `InvalidRequest` unless it is a positive number."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise InvalidRequest.of("The call", (Problem("timeout", "must be a number of seconds above 0"),))
    return timeout


def _check_started(started: Started[Any, Any] | str) -> None:
    if not isinstance(started, str | Started):
        raise InvalidRequest.of("wait", (Problem("started", "must be what `start` returned, or an analysis id"),))

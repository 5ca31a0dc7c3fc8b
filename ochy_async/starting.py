"""Starting an analysis: the one request that costs a credit.

Invariant: a start is sent again only if it surely did not happen; a start that may have happened raises
`UncertainStart`, with what a lookup needs. The last chunk of an attempt is sent only with a permission of its own.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, ExitStack, aclosing
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from anyio import current_time
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import define, evolve, field

from .clips import Clip
from .core import SessionCore, deadline_passed
from .errors import ConnectionFailed, OchyError, Phase, StartAttempt, UncertainStart
from .events import AnalysisStarted, BytesSent, StartUncertain
from .observing import Ended, StartOperation
from .policy.retry import may_repeat
from .policy.start_fate import Fate, fate_of_answer, fate_while_sending, fate_without_answer
from .protocol.analysis import StartAnswer, Started, start_call
from .protocol.answer import Answer
from .protocol.request import AnalysisRequest
from .protocol.routes import START
from .protocol.text_summary import printable
from .protocol.wire import Response, Upload

__all__ = ["SendingPermission", "StartTransaction", "preparation_deadline", "start"]

R = TypeVar("R", bound=Answer)
C = TypeVar("C", bound=Answer)
logger: logging.Logger = logging.getLogger("ochy_async")
_NOT_CHARGED: Final = "The start did not happen, so no credit was spent. "


class SendingPermission(Protocol):
    """The permission to send the last chunk of a start. Whoever keeps a record of starts gives it, once per attempt."""

    async def take(self) -> None:
        """Records durably that the last chunk is about to leave.

        Called inside of the body, whose last chunk waits for it. If this raises, the attempt is cut short.
        """
        ...

    async def withdraw(self) -> None:
        """Records that the attempt certainly did not happen, if its permission was taken or asked for.

        Called after an attempt that may be repeated, before the wait for the next one. If this raises, there is none.
        """
        ...


@define(eq=False)
class StartTransaction(Generic[R, C]):
    """One start with all its attempts, and what is known of its fate at any moment."""

    core: SessionCore
    clip: Clip
    request: AnalysisRequest[R, C]
    label: str
    """The name of the clip in events, logs and errors."""
    on_failure: Callable[[OchyError], None] = lambda _: None
    """Called with the error of each failed attempt, also when another attempt follows."""
    permission: SendingPermission | None = None
    """Asked before the last chunk of each attempt is sent; None if nobody keeps a record."""
    earliest: datetime = field(init=False)
    fate: Fate = field(default=Fate.NOT_HAPPENED, init=False)
    """What is known of the start. It is correct whenever the start is interrupted, because it is set before the step
    that it describes: `UNCERTAIN` is set before the last chunk of an attempt is sent, and stays until an answer or an
    error says otherwise. `NOT_HAPPENED` and `REFUSED` are set only where they are known to be true."""
    uncertain_start: StartAttempt | None = field(default=None, init=False)
    """What a lookup needs, once the start may have been charged. A cancelled start raises no error that could hold
    it."""
    started: Started[R, C] | None = field(default=None, init=False)
    """The analysis, once the server accepted the start. It is paid for, whatever happens next: Ctrl-C may interrupt a
    listener, for example."""

    def __attrs_post_init__(self) -> None:
        self.earliest = self.core.clock()
        if self.core.notify_via_webhook:
            self.request = evolve(self.request, notify_via_webhook=True)

    async def run(self) -> Started[R, C]:
        """Sends the start and spends a credit. Raises what `start` raises."""
        with self.core.track(StartOperation, self.request.view) as tracked:
            tracked.ends_as(self._ended)
            try:
                return await self._send_with_retries()
            except BaseException:
                # Cancelled or interrupted: if an answer still comes, nobody is left to receive it.
                if self.fate is Fate.UNCERTAIN and self.uncertain_start is None:
                    self._report_uncertain("It was interrupted before its answer came.")
                raise

    async def _send_with_retries(self) -> Started[R, C]:
        core, number = self.core, 1
        seconds = core.allowed(self.clip.size)
        with core.cancel_scope(self.clip.size):
            while True:
                try:
                    return await self._attempt(number)
                except OchyError as error:
                    failure = error
                self.on_failure(failure)
                if not may_repeat(failure, repeatable=False) or not await self._prepare_repetition(failure, number):
                    raise failure
                number += 1
        if self.fate is Fate.UNCERTAIN:
            raise self._uncertain_error(deadline_passed(START, seconds, number), number)
        raise deadline_passed(START, seconds, number, meaning=_NOT_CHARGED)

    async def _prepare_repetition(self, failure: OchyError, number: int) -> bool:
        """Waits for the next attempt. Returns False if there is none."""
        if self.permission is not None:
            await self.permission.withdraw()
        return await self.core.back_off(failure, number)

    def _upload(self) -> Upload:
        return Upload(
            fields=self.request.fields(),
            part="video",
            filename=self.clip.name,
            content_type=self.clip.content_type,
            size=self.clip.size,
            chunks=self._chunks,
            on_status=self._answered,
        )

    async def _chunks(self) -> AsyncGenerator[bytes]:
        """Yields the clip's bytes, counts them, and emits the progress if somebody listens."""
        sent = 0
        self._report_sent(0)
        async with aclosing(self.clip.chunks()) as chunks:
            async for chunk in chunks:
                sent += len(chunk)
                if sent >= self.clip.size:
                    await self._permit_last_chunk()
                yield chunk
                self._report_sent(sent)

    def _report_sent(self, count: int) -> None:
        if self.core.heard:  # an upload has a hundred chunks
            self.core.emit(BytesSent(self.label, count, self.clip.size))

    async def _permit_last_chunk(self) -> None:
        """Returns once the last chunk may be sent. The end of the form, which a server needs too, only follows it."""
        if self.permission is not None:
            await self.permission.take()
            await checkpoint_if_cancelled()  # what stores the permission may be shielded: a deadline may have passed
        self.fate = Fate.UNCERTAIN  # the server may charge from here on

    def _answered(self, status: int) -> None:
        """Notes a 2xx, which may come even before the complete clip was sent: the start may have been charged."""
        if 200 <= status < 300:
            self.fate = Fate.UNCERTAIN

    async def _attempt(self, number: int) -> Started[R, C]:
        """Sends the start once. Raises `UncertainStart` where it may have happened."""
        core, call, response, began = self.core, start_call(self._upload()), None, current_time()
        self.fate = fate_while_sending(complete=False)  # the attempt before, if any, surely did not happen
        with ExitStack() as at_last:
            try:
                with core.attempt(call, number) as tracked:
                    response = await core.send(call.request, tracked)
                    # A listener may be interrupted, so it is called once the fate and the id, if any, are stored.
                    at_last.callback(core.report_response, call, response, number, began)
                    answer = core.read(call, response)
            except OchyError as error:
                failure = error
            else:
                return self._accept(answer)
            raise self._failed(failure, response, number)

    def _failed(self, failure: OchyError, response: Response | None, number: int) -> OchyError:
        """Stores the fate of a failed attempt. Returns the error to raise."""
        if response is None:
            phase = failure.phase if isinstance(failure, ConnectionFailed) else self._phase()
            fate = fate_without_answer(phase)
        else:
            fate = fate_of_answer(response)
            failure = _as_incomplete(failure) if fate is Fate.NOT_HAPPENED else failure
        failure.attempt = number
        # Accepted, but the answer cannot be read: charged, without an id to wait for.
        self.fate = Fate.UNCERTAIN if fate is Fate.ACCEPTED else fate
        return self._uncertain_error(failure, number) if self.fate is Fate.UNCERTAIN else failure

    def _ended(self, error: BaseException | None) -> Ended:
        """How the start ended, for the observer."""
        return Ended.of(
            error,
            outcome=self.fate.value.replace(" ", "_"),
            analysis_id=None if self.started is None else self.started.analysis_id,
            spent=int(self.fate is Fate.ACCEPTED),
        )

    def _phase(self) -> Phase:
        return Phase.COMPLETE if self.fate is Fate.UNCERTAIN else Phase.INCOMPLETE

    def _accept(self, answer: StartAnswer) -> Started[R, C]:
        """Stores the paid analysis on this object before any listener or log sees it."""
        core = self.core
        started: Started[R, C] = Started(
            analysis_id=answer.video_id,
            view=self.request.view,
            started_at=core.clock(),
            clip=self.clip.name,
            subject_id=self.request.subject_id,
        )
        self.started, self.fate = started, Fate.ACCEPTED
        core.state.started_ids.add(answer.video_id)
        core.state.budget.earn(core.retry)
        logger.info("started analysis %s of %s", printable(answer.video_id), printable(self.label))
        core.emit(AnalysisStarted(self.label, answer.video_id))
        return started

    def _uncertain_error(self, cause: OchyError, number: int) -> UncertainStart:
        """The error for a start that may have been charged."""
        why = str(cause).partition(" Try again")[0]  # following the cause's advice could cost a second credit
        error = UncertainStart(
            f"{why} The start of {self.label!r} may have been charged, so it was not sent again. "
            "Look it up with `OchySession.reconcile`, or in the vendor's dashboard, before you start it again.",
            status=cause.status,
            code=cause.code,
            detail=cause.detail,
            route=str(START),
            attempt=number,
            analysis_id=cause.analysis_id,
        )
        error.start, error.why = self._report_uncertain(why), why
        return error

    def _report_uncertain(self, reason: str) -> StartAttempt:
        """Logs and emits that the start may have been charged. Returns what a lookup needs."""
        start = StartAttempt(
            clip=self.clip.name,
            view=self.request.view,
            earliest=self.earliest,
            latest=self.core.clock(),
            subject_id=self.request.subject_id,
        )
        self.uncertain_start = start
        logger.warning("the start of %s may or may not have been charged; it is not sent again", printable(self.label))
        self.core.emit(StartUncertain(self.label, start, reason))
        return start


def _as_incomplete(failure: OchyError) -> ConnectionFailed:
    """The error for an answer that proves nothing and came before the complete body was sent: the request was cut
    short."""
    return ConnectionFailed(
        str(failure),
        phase=Phase.INCOMPLETE,
        status=failure.status,
        code=failure.code,
        detail=failure.detail,
        route=failure.route,
        attempt=failure.attempt,
    )


def preparation_deadline(core: SessionCore) -> AbstractContextManager[None]:
    """Limits the time for preparing a clip before its start: a file system may hang like a network.

    Raises `DeadlinePassed`.
    """
    return core.deadline(START, meaning=_NOT_CHARGED)


async def start(
    core: SessionCore, clip: Clip, request: AnalysisRequest[R, C], label: str | None = None
) -> Started[R, C]:
    """Starts an analysis of `clip` and spends a credit.

    Raises `UncertainStart` where the credit may have been spent, else the error because of which the start certainly
    failed.
    """
    return await StartTransaction(core, clip, request, label or clip.name).run()

"""Starting an analysis: the one request that costs money.

Invariant: sent again only if it surely did not happen; on any doubt an `UncertainStart` that
holds what a lookup needs. What is known of the upload is known here, whatever the wire says later: `Sending.fate`
is set before the step that it describes, and "not happened" only where that is known.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Generic, TypeVar

from anyio import move_on_after
from attrs import define, field

from .clips import Clip
from .core import SessionCore
from .errors import ConnectionFailed, OchyError, Phase, StartAttempt, UncertainStart
from .events import AnalysisStarted, BytesSent, StartUncertain
from .policy.retry import may_repeat
from .policy.start_fate import Fate, fate_of_answer, fate_of_trouble
from .protocol.analysis import StartAnswer, Started, start_call
from .protocol.answer import Answer
from .protocol.request import AnalysisRequest
from .protocol.routes import START
from .protocol.text_summary import clean
from .protocol.wire import Upload

__all__ = ["Sending", "start"]

R = TypeVar("R", bound=Answer)
C = TypeVar("C", bound=Answer)
logger = logging.getLogger("ochy_async")


def _ignore(_: OchyError) -> None:
    pass


@define(eq=False)
class Sending(Generic[R, C]):
    """One start on its way, over all its attempts."""

    core: SessionCore
    clip: Clip
    request: AnalysisRequest[R, C]
    label: str
    """What events, logs and errors call the clip."""
    on_trouble: Callable[[OchyError], None] = _ignore
    """Told of each attempt that failed, those that are followed by another too."""
    earliest: datetime = field(init=False)
    fate: Fate = field(default=Fate.NOT_HAPPENED, init=False)
    """How far the start got, at any moment, whatever breaks it off then: uncertain from before the last chunk of an
    attempt leaves until something else is known. Not happened and refused are knowledge, never a guess."""
    doubt: StartAttempt | None = field(default=None, init=False)
    """What a lookup needs, once the start may have been charged; a cancelled start has no error to carry it."""
    accepted: Started[R, C] | None = field(default=None, init=False)
    """The analysis, once there is one: whatever happens from then on, such as Ctrl-C in a listener, it is paid."""

    def __attrs_post_init__(self) -> None:
        self.earliest = self.core.clock()

    async def started(self) -> Started[R, C]:
        """Sends the start and spends a credit. Raises what `start` raises."""
        try:
            return await self._sent()
        except BaseException:
            # Cancelled or killed from outside: the answer, if any comes, is lost with whoever waited for it.
            if self.fate is Fate.UNCERTAIN and self.doubt is None:
                self.tell_uncertain("It was broken off before its answer came.")
            raise

    async def _sent(self) -> Started[R, C]:
        core, number = self.core, 1
        seconds = core.limits.upload(self.clip.size)
        with move_on_after(seconds):
            while True:
                try:
                    return await self.attempt(number)
                except OchyError as error:
                    failure = error
                self.on_trouble(failure)
                if not may_repeat(failure, repeatable=False) or not await core.pause(failure, number):
                    raise failure
                number += 1
        late = core.deadline_passed(start_call(self.upload()).request, number, seconds)
        raise self.uncertain(late, number) if self.fate is Fate.UNCERTAIN else late

    def upload(self) -> Upload:
        return Upload(
            fields=self.request.fields(),
            part="video",
            filename=self.clip.name,
            content_type=self.clip.content_type,
            size=self.clip.size,
            chunks=self._chunks,
            answered=self._answered,
        )

    async def _chunks(self) -> AsyncGenerator[bytes]:
        """The clip's bytes, counted and told as they go."""
        sent = 0
        self.core.tell(BytesSent(self.label, 0, self.clip.size))
        async with aclosing(self.clip.chunks()) as chunks:
            async for chunk in chunks:
                sent += len(chunk)
                if sent >= self.clip.size:
                    self.fate = Fate.UNCERTAIN  # the server may charge from here on
                yield chunk
                self.core.tell(BytesSent(self.label, sent, self.clip.size))

    def _answered(self, status: int) -> None:
        """A success that comes before the clip was whole makes no sense, so it proves nothing: it may be charged."""
        if 200 <= status < 300:
            self.fate = Fate.UNCERTAIN

    async def attempt(self, number: int) -> Started[R, C]:
        """Sends the start once. Raises `UncertainStart` where it may have happened."""
        call = start_call(self.upload())
        try:
            response = await self.core.send(call.request)
        except OchyError as trouble:
            failure = trouble
            phase = trouble.phase if isinstance(trouble, ConnectionFailed) else self._phase()
            fate = fate_of_trouble(phase)
        else:
            try:
                return self._accepted(self.core.read(call, response))
            except OchyError as refusal:
                fate = fate_of_answer(response)
                failure = _cut_short(refusal) if fate is Fate.NOT_HAPPENED else refusal
        failure.attempt = number
        # Accepted and yet not readable: charged, without an id to wait for.
        self.fate = Fate.UNCERTAIN if fate is Fate.ACCEPTED else fate
        raise self.uncertain(failure, number) if self.fate is Fate.UNCERTAIN else failure

    def _phase(self) -> Phase:
        return Phase.COMPLETE if self.fate is Fate.UNCERTAIN else Phase.INCOMPLETE

    def _accepted(self, answer: StartAnswer) -> Started[R, C]:
        """The paid analysis: known before anybody is told of it."""
        core = self.core
        started: Started[R, C] = Started(
            analysis_id=answer.video_id,
            view=self.request.view,
            started_at=core.clock(),
            clip=self.clip.name,
            subject_id=self.request.subject_id,
        )
        self.accepted, self.fate = started, Fate.ACCEPTED
        core.started.add(answer.video_id)
        core.budget.earn()
        logger.info("started analysis %s of %s", clean(answer.video_id), clean(self.label))
        core.tell(AnalysisStarted(self.label, answer.video_id))
        return started

    def uncertain(self, cause: OchyError, number: int) -> UncertainStart:
        """The error for a start that may have been charged."""
        why = str(cause).partition(" Try again")[0]  # the advice of its cause would cost a second credit
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
        error.start, error.why = self.tell_uncertain(why), why
        return error

    def tell_uncertain(self, reason: str) -> StartAttempt:
        """Tells that the start may have been charged; gives what a lookup needs."""
        start = StartAttempt(
            clip=self.clip.name,
            view=self.request.view,
            earliest=self.earliest,
            latest=self.core.clock(),
            subject_id=self.request.subject_id,
        )
        self.doubt = start
        logger.warning("the start of %s may or may not have been charged; it is not sent again", clean(self.label))
        self.core.tell(StartUncertain(self.label, start, reason))
        return start


def _cut_short(failure: OchyError) -> ConnectionFailed:
    """An answer without a meaning of its own that came before our body was whole: as if cut short."""
    return ConnectionFailed(
        str(failure),
        phase=Phase.INCOMPLETE,
        status=failure.status,
        code=failure.code,
        detail=failure.detail,
        route=failure.route,
        attempt=failure.attempt,
    )


async def start(
    core: SessionCore, clip: Clip, request: AnalysisRequest[R, C], label: str | None = None
) -> Started[R, C]:
    """Starts an analysis of `clip` and spends a credit.

    Raises `UncertainStart` where it may have been charged, else the error that it surely ended with.
    """
    return await Sending(core, clip, request, label or clip.name).started()

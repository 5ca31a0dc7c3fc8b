"""A service whose replicas share a journal in Postgres: a clip is bought once, whichever replicas get it.

    pip install 'ochy-async[postgres,video]'
    export OCHY_API_KEY=… OCHY_JOURNAL=postgresql://…
    PORT=8081 python replicas.py & PORT=8082 python replicas.py &

    curl --data-binary @runner.mp4 'http://127.0.0.1:8081/analyses?view=side&height=1.75&weight=68'

The answer comes when the analysis is finished. A replica keeps nothing that the others lack, so a client that gets no
answer, or 503, sends the same clip again, to any replica: if it is paid for, it is only collected. Of replicas that get
the same clip at the same time, one buys it and all answer. What a killed replica paid for is collected by the others
half a minute later, also if no client asks again. A replica that is told to end (SIGTERM) hands over what is in flight.

Invariant: the journal says what was bought; this file only waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final
from uuid import uuid4

import anyio
from aiohttp import web

from ochy_async import (
    Analyzed,
    BackView,
    Batch,
    BatchItem,
    Failed,
    FilmAgain,
    OchyError,
    OchySession,
    PostgresJournal,
    Refused,
    SideView,
)
from ochy_async.batch.outcomes import Outcome

logger = logging.getLogger("replicas")

MAX_CLIP_BYTES: Final = 31_000_000
MAX_CLIPS: Final = 16
"""Clips in memory at once: half a gigabyte, with the largest ones."""
TEND_SECONDS: Final = float(os.environ.get("TEND_SECONDS", "60"))
"""Seconds between two looks for what dead replicas paid for."""
routes = web.RouteTableDef()


class Analyses:
    """The analyses that clients of this replica wait for, all in one batch."""

    def __init__(self, batch: Batch[Any, Any]) -> None:
        self.batch = batch
        self._inbox, self._clips = anyio.create_memory_object_stream[BatchItem]()
        self._answers: dict[str, asyncio.Future[Outcome[Any, Any]]] = {}
        self.tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._tend())]

    @property
    def problem(self) -> str:
        """Why no clip is taken any more (no credits, a wrong key); empty if nothing is wrong."""
        return self.batch.report.stopped or ("A task has ended." if any(task.done() for task in self.tasks) else "")

    @property
    def is_full(self) -> bool:
        return len(self._answers) >= MAX_CLIPS

    async def outcome(self, content: bytes, request: SideView | BackView) -> Outcome[Any, Any]:
        """Waits until the clip is analyzed, here or by another replica."""
        asked = uuid4().hex
        answer: asyncio.Future[Outcome[Any, Any]] = asyncio.get_running_loop().create_future()
        self._answers[asked] = answer
        try:
            await self._inbox.send(BatchItem(content, request, extra={"asked": asked}))
            return await answer
        except anyio.BrokenResourceError:
            raise _try_again("The replica takes no more clips.") from None
        finally:
            del self._answers[asked]

    async def _run(self) -> None:
        """Runs the batch until it stops."""
        async with self._clips, aclosing(self.batch.run(self._clips)) as outcomes:
            async for outcome in outcomes:
                answer = self._answers.get(outcome.extra["asked"])
                if answer is not None and not answer.done():  # otherwise the client has gone
                    answer.set_result(outcome)

    async def _tend(self) -> None:
        """Collects what dead replicas paid for, until cancelled, so that it is there when a client asks again."""
        while True:
            with suppress(OchyError):  # the next round tries again
                async with aclosing(self.batch.tend()) as outcomes:
                    async for outcome in outcomes:
                        logger.info("left by another replica: %s. %s", outcome.word, " ".join(outcome.reason.split()))
            await anyio.sleep(TEND_SECONDS)


ANALYSES = web.AppKey("ANALYSES", Analyses)


async def analyzing(app: web.Application) -> AsyncGenerator[None]:
    """Runs the batch as long as the application runs."""
    # The ceilings are those of all replicas together, and so is `max_credits`, which a batch takes, too.
    journal = PostgresJournal(polls_per_second=20, uploads=16)
    async with OchySession() as ochy, ochy.batch(journal=journal, tag_starts=True) as batch:
        analyses = app[ANALYSES] = Analyses(batch)
        yield
        for task in analyses.tasks:
            task.cancel()
        await asyncio.wait(analyses.tasks)


async def hand_over(app: web.Application) -> None:
    """Leaves what is in flight to the other replicas. Clients that wait get 503, and ask one of those."""
    app[ANALYSES].batch.stop("The replica is shutting down.", hand_over=True)


@routes.post("/analyses")
async def analyze(request: web.Request) -> web.Response:
    """Returns the scores of a clip, which is bought if nobody has bought it yet."""
    analyses = request.app[ANALYSES]
    try:
        view = _view_of(request.query)
    except (KeyError, ValueError) as error:  # `InvalidRequest` is a `ValueError`
        raise web.HTTPUnprocessableEntity(text=f"The query is not valid: {error}") from None
    if analyses.is_full:
        raise _try_again("The replica is busy.")
    return _response(await analyses.outcome(await request.read(), view))


def _view_of(query: Mapping[str, str]) -> SideView | BackView:
    height, weight = float(query["height"]), float(query["weight"])
    return BackView(height=height, weight=weight) if query["view"] == "back" else SideView(height=height, weight=weight)


def _response(outcome: Outcome[Any, Any]) -> web.Response:
    """The client learns what it can act on. The full reason may name commands of the operator, so the log has it."""
    match outcome:
        case Analyzed(results=results, analysis_id=analysis_id, bought=bought):
            return web.json_response({"id": analysis_id, "bought": bought, "total_score": results.total_score})
        case Failed() | Refused(error=None | FilmAgain()):
            raise web.HTTPUnprocessableEntity(text="The video cannot be analyzed. Film again.")
        case _:  # not the clip's fault: the network, the account, a start that is still looked up, or a shutdown
            logger.warning("%s: %s", outcome.word, " ".join(outcome.reason.split()))
            raise _try_again("The analysis is delayed.")


def _try_again(text: str) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=f"{text} Send the clip again.", headers={"Retry-After": "10"})


@routes.get("/ready")
async def ready(request: web.Request) -> web.Response:
    """Whether the replica takes clips. If not, it is to be replaced."""
    if problem := request.app[ANALYSES].problem:
        raise web.HTTPServiceUnavailable(text=problem)
    return web.Response()


def main() -> None:
    """Serves until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO)
    app = web.Application(client_max_size=MAX_CLIP_BYTES)
    app.cleanup_ctx.append(analyzing)
    app.on_shutdown.append(hand_over)
    app.add_routes(routes)
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    main()

"""From a clip to its outcome: checked, hashed, known by its identity, walked to its end, collected.

Law of this room: clips of one identity go one after the other, so that the second finds what the first
has paid for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio import CapacityLimiter, Lock, move_on_after
from attrs import define, field

from ..checking import Checking
from ..clips import Clip, digest, prepare
from ..errors import ClipUnusable, OchyError
from ..journal.contract import Kept
from ..policy.batching import State, Step
from ..policy.identity import identity
from ..policy.limits import Bounds
from ..protocol.analysis import results_call
from ..protocol.routes import START
from ..protocol.values import Answer
from ..protocol.wire import Request, Response
from .buying import start
from .collecting import Collected
from .keeping import Keeper
from .lookup import look_up
from .outcomes import Analyzed, Failed, Outcome, Refused, Unfinished
from .road import Road
from .sources import Item
from .walk import NotAnalyzed, Walk
from .watching import kept_of, watch

__all__ = ["Line"]


@define(eq=False)
class _Turn:
    lock: Lock = field(factory=Lock)
    users: int = 0


@define(eq=False)
class Line:
    """What is done for each clip of a batch."""

    road: Road
    account: str
    origins: tuple[str, ...]
    """The base URLs under which the journal may know a clip; what is new goes under the first."""
    bounds: Bounds
    checking: Checking
    keeper: Keeper = field(factory=Keeper)
    checks: CapacityLimiter = field(init=False)
    collecting: CapacityLimiter = field(init=False)
    _turns: dict[str, _Turn] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.checks = CapacityLimiter(self.bounds.checks)
        self.collecting = CapacityLimiter(self.bounds.collecting)

    async def outcome(self, item: Item) -> Outcome[Any, Any]:
        """The one end that the clip comes to."""
        walk = await self.identified(item)
        if isinstance(walk, Refused | Unfinished):
            return walk
        async with self._turn(walk.key):
            try:
                walk.entry = await self.road.books.find(walk.key)
            except OchyError as error:
                return walk.end(Unfinished, str(error), error)
            ended = await self._walked(walk)
            # Within the turn: two that are the same are not collected, and written, at once.
            return ended if ended is not None else await self._analyzed(walk)

    async def _walked(self, walk: Walk) -> NotAnalyzed | None:
        """Step after step until nothing is left to do. None where the results are there."""
        refused = await self.unfit(walk)
        if refused is not None:
            return refused
        entry = walk.entry
        if self.again(walk) and entry is not None:
            walk.entry = await self.road.books.record(entry, State.OPEN, reason="It is tried again.")
        if walk.step() is not Step.NOTHING:
            async with self.road.in_flight:
                while walk.step() is not Step.NOTHING:
                    ended = await _STEPS[walk.step()](walk)
                    if ended is not None:
                        return ended
        kind = _ENDS.get(walk.known.state)
        return walk.end(kind, walk.known.reason) if kind is not None else None

    def again(self, walk: Walk) -> bool:
        """Whether what the server refused before is sent again."""
        return walk.entry is not None and self.road.retries(walk.entry)

    async def unfit(self, walk: Walk) -> Refused | None:
        """Why the clip is not bought, if it would be. What is paid for already is collected, fit or not."""
        return await self.refused(walk) if walk.step() is Step.START or self.again(walk) else None

    async def refused(self, walk: Walk) -> Refused | None:
        """Why the clip would not be bought as it is now, whatever is paid."""
        async with self.checks:
            try:
                await self.checking.check(walk.clip, walk.item.request, walk.item.label)
            except ClipUnusable as error:
                return walk.end(Refused, str(error), error, problems=error.problems)
        return None

    async def identified(self, item: Item) -> Walk | Refused | Unfinished:
        """The clip checked and hashed, before anything is known of it."""
        async with self.checks:
            try:
                clip = await self._prepared(item)
                await self.checking.refuse_limits(clip, item.request, item.label)
                content = await digest(clip)
                key = await self._key(content, item)
            except ClipUnusable as error:
                return Refused(**item.facts, reason=str(error), error=error, problems=error.problems)
            except OchyError as error:
                return Unfinished(**item.facts, reason=str(error), error=error)
        return Walk(self.road, item, clip, content, key)

    async def _key(self, content: str, item: Item) -> str:
        """The identity of a clip: the one that the journal knows, should it know it by another address."""
        keys = [identity(content, item.request, self.account, origin) for origin in self.origins]
        for key in keys if len(keys) > 1 else ():
            if await self.road.books.find(key) is not None:
                return key
        return keys[0]

    async def _prepared(self, item: Item) -> Clip:
        exchange, clip = self.road.exchange, None
        with move_on_after(exchange.limits.call):  # a file system may hang as a network does
            clip = await prepare(item.clip)
        if clip is None:
            raise exchange.deadline_passed(Request(START, START.path()), 1, exchange.limits.call)
        return clip

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncGenerator[None]:
        """One clip of an identity at a time. What nobody waits for is forgotten."""
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]

    async def _analyzed(self, walk: Walk) -> Outcome[Any, Any]:
        """What is kept, read again as if it had just come."""
        state, kept = walk.state, None
        try:
            if state is None:  # what came in this run needs no journal: that may have failed meanwhile
                kept = await self.road.books.journal.kept(walk.key)
                state = results_call(walk.started).outcome(Response(200, {}, kept.results))[0] if kept else None
        except OchyError as error:
            return walk.end(Unfinished, str(error), error)
        if state is None or state.results is None:
            return walk.end(Unfinished, "The journal has lost its results; they can be had with `ochy wait`.")
        collected = await self._collected(walk, state.results, kept or kept_of(state))
        return Analyzed(
            **walk.facts,
            results=state.results,
            calculated=collected.calculated,
            files=collected.files,
            missing=tuple(collected.missing),
            reason=collected.reason,
        )

    async def _collected(self, walk: Walk, results: Answer, kept: Kept) -> Collected:
        if self.keeper.idle:
            return Collected()
        async with self.collecting:
            return await self.keeper.collect(walk, results, kept)


_STEPS: Final[Mapping[Step, Callable[[Walk], Awaitable[NotAnalyzed | None]]]] = {
    Step.START: start,
    Step.LOOK_UP: look_up,
    Step.WATCH: watch,
}
_ENDS: Final[Mapping[State, type[Refused | Failed]]] = {State.REFUSED: Refused, State.FAILED: Failed}

"""An event loop on virtual time whose processes can be paused and killed between any two steps of their tasks.

Invariant: while a process is paused none of its callbacks runs, neither a step of a task nor a timer, and everything
else goes on. What is due meanwhile runs in its order afterwards, as with SIGSTOP and SIGCONT.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import Handle, TimerHandle
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, Literal, TypeVar, TypeVarTuple

from attrs import define, field, frozen

from ochy_async.emulator.virtual_time import VirtualTimeLoop

__all__ = ["Crash", "Process", "Strike", "in_pausing_time"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
TICKS: Final = 1024
"""Moments of a second. They are binary fractions, so that sums of times are exact: after a wait that is shorter than
the resolution of the loop its timer would be due and the time not yet come, again and again."""
MOST_STEPS: Final = 200_000
"""A process that takes as many steps does not end."""


class Crash(BaseException):
    """The process is dead."""


@frozen(kw_only=True)
class Strike:
    """What befalls a process, once."""

    seconds: float | None
    """How long it is paused; None: it is killed."""
    counted: Literal["moments", "moments of starts", "steps"]
    """What `after` counts: moments (before and after each call of the journal, before, within and after each request),
    those since the first intent of the process, or steps of the event loop, which every `await` may take."""
    after: int


@define(eq=False, repr=False)
class Process:
    """What runs in one context, all tasks that it starts included."""

    name: str
    strikes: list[Strike] = field(factory=list)
    on_strike: Callable[[Strike], None] | None = None
    steps: int = field(default=0, init=False)
    moments: int = field(default=0, init=False)
    moments_before_starts: int | None = field(default=None, init=False)
    paused: bool = field(default=False, init=False)
    dead: bool = field(default=False, init=False)
    paused_at: float = field(default=-math.inf, init=False)
    """When the latest pause ended, or began if it lasts."""
    main: asyncio.Task[Any] | None = field(default=None, init=False)
    _held: list[_Call] = field(factory=list, init=False)

    def start(self, main: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts the process."""
        context = Context()
        context.run(_RUNNING.set, self)
        self.main = task = asyncio.get_running_loop().create_task(main, context=context)
        return task

    async def moment(self) -> None:
        """A moment at which the process may be struck. Raises `Crash` if it is dead."""
        if self.note_moment():
            await asyncio.sleep(0)  # the pause begins here
        if self.dead:
            raise Crash

    def note_moment(self) -> bool:
        """Strikes the process if it is time, but waits for no pause. Returns whether it was struck."""
        self.moments += 1
        before = self.moments if self.moments_before_starts is None else self.moments_before_starts
        return self._struck("moments", self.moments) or self._struck("moments of starts", self.moments - before)

    def note_intent(self) -> None:
        """The process intends a start."""
        if self.moments_before_starts is None:
            self.moments_before_starts = self.moments

    def kill(self) -> None:
        """Kills the process: it does nothing any more. Its tasks are cancelled."""
        self.dead = True
        self.resume()
        if self.main is not None:
            self.main.cancel()

    def pause(self, seconds: float) -> None:
        """Pauses the process for so many seconds."""
        loop = asyncio.get_running_loop()
        self.paused, self.paused_at = True, loop.time()
        loop.call_later(seconds, self.resume, context=Context())

    def resume(self) -> None:
        """Ends a pause."""
        if self.paused:
            self.paused, self.paused_at = False, asyncio.get_running_loop().time()
            held, self._held = self._held, []
            for call in held:
                call.schedule_again()

    def is_held(self, call: _Call) -> bool:
        """Counts a step of the event loop. Returns whether it must wait until the pause is over."""
        if not self.paused:
            self.steps += 1
            if self.steps > MOST_STEPS and not self.dead:
                self.kill()
            if self.strikes:
                self._struck("steps", self.steps)
        if self.paused:
            self._held.append(call)
        return self.paused

    def _struck(self, counted: str, count: int) -> bool:
        due = [strike for strike in self.strikes if strike.counted == counted and strike.after <= count]
        if not due or self.dead or self.paused:
            return False
        self.strikes.remove(due[0])
        if self.on_strike is not None:
            self.on_strike(due[0])
        if due[0].seconds is None:
            self.kill()
        else:
            self.pause(due[0].seconds)
        return True


_RUNNING: ContextVar[Process | None] = ContextVar("running process", default=None)


def running_process() -> Process | None:
    """The process that runs this code; None for code of no process."""
    return _RUNNING.get()


@define(eq=False, repr=False)
class _Call:
    """One callback of a process, which waits while the process is paused."""

    process: Process
    callback: Callable[..., Any]
    args: tuple[Any, ...]
    context: Context
    handle: Handle | None = None

    def __call__(self) -> None:
        if not (self.handle is not None and self.handle.cancelled()) and not self.process.is_held(self):
            self.callback(*self.args)

    def schedule_again(self) -> None:
        asyncio.get_running_loop().call_soon(self, context=self.context)


class _PausingLoop(VirtualTimeLoop):
    """Holds the callbacks of paused processes."""

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Handle:
        call = _call_of(callback, args, context)
        if call is None:
            return super().call_soon(callback, *args, context=context)
        call.handle = super().call_soon(call, context=call.context)
        return call.handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        when = math.ceil(when * TICKS) / TICKS
        call = _call_of(callback, args, context)
        if call is None:
            return super().call_at(when, callback, *args, context=context)
        call.handle = timer = super().call_at(when, call, context=call.context)
        return timer


def _call_of(callback: Any, args: tuple[Any, ...], context: Context | None) -> _Call | None:
    """The callback as one of the process to whose context it belongs, if there is one. One that was held is already."""
    process = _RUNNING.get() if context is None else context.get(_RUNNING)
    if process is None or isinstance(callback, _Call):
        return None
    return _Call(process, callback, args, copy_context() if context is None else context)


def in_pausing_time(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on an event loop on virtual time whose processes can be paused."""
    with asyncio.Runner(loop_factory=_PausingLoop) as runner:
        return runner.run(main)
